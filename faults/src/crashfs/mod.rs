//! The crash filesystem: in memory, copy-on-write, with a log of every mutation and every sync.

#[allow(unsafe_code)]
mod ahead;
#[allow(unsafe_code)]
mod buffers;
mod content;
mod digest;
mod fs;
mod log;
#[cfg(test)]
mod model_test;
mod node;
mod ops;
#[allow(unsafe_code)]
pub(crate) mod page;
#[cfg(test)]
mod plain_model;
mod raw;
mod serve;
mod tree;
pub(crate) mod write_data;

pub use content::{Content, PAGE};
pub use fs::{Control, CrashFs, Held, Space};
pub use log::{Log, Mark, Op, Record, Sink, apply};
pub use node::{
    Attrs, Caller, Dir, DirEntry, FILE_MAX, Ino, Inode, NAME_MAX, Nanos, NewNode, Node, ROOT,
    RenameMode,
};
pub use serve::serve;
pub use tree::Tree;
pub use write_data::WriteData;
