//! The filesystem of a simulated disk: in memory, copy-on-write, with a log of every mutation and
//! every sync.

mod changes;
mod content;
mod digest;
mod disk;
mod layered;
mod log;
#[cfg(test)]
mod model_test;
mod node;
pub(crate) mod page;
#[cfg(test)]
mod plain_model_test;
mod raw;
mod reads;
mod sectors;
mod sync_edits;
mod tree;
pub(crate) mod write_data;

pub use content::{Content, PAGE};
pub use disk::{Disk, Space};
pub use log::{KillPoint, Log, LogLimit, Mark, Op, Record, Sink, Witness, apply};
pub use node::{
    Attrs, Caller, Dir, DirEntry, FILE_MAX, Ino, Inode, NAME_MAX, Nanos, NewNode, Node, ROOT,
    RenameMode, Times, check_name, from_system_time, to_system_time,
};
pub use page::PAGE_BLOCK;
pub(crate) use reads::Ranges;
pub use reads::Reads;
pub use sectors::{BadSectors, SECTOR};
pub use sync_edits::{EditedLog, NewSync, SyncEdits};
pub use tree::Tree;
pub use write_data::WriteData;
