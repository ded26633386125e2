//! The crash filesystem: in memory, copy-on-write, with a log of every mutation and every sync.

mod content;
mod fs;
mod log;
mod serve;
mod tree;

pub use content::{Content, PAGE, WriteData};
pub use fs::{Control, CrashFs, Space};
pub use log::{Log, Op, Record, apply};
pub use serve::serve;
pub use tree::{
    Attrs, Caller, Dir, DirEntry, FILE_MAX, Ino, Inode, Nanos, NewNode, Node, ROOT, RenameMode,
    Tree,
};
