//! The files of a simulated disk, by name, all in one directory.

use std::ffi::OsStr;
use std::time::Instant;

use plugpull_crashsim::fs::{Caller, Disk, Ino, Log, NewNode, ROOT, Reads, RenameMode, Tree};

/// The directory of a process that runs on a simulated disk. What it asks for is possible, or the
/// simulation itself is wrong: then it panics.
pub(crate) struct Files(Disk);

const PID: u32 = 1000;

impl Files {
    /// A disk that holds this, and to which nothing was done yet.
    pub(crate) fn new(tree: Tree) -> Self {
        Self(Disk::new(tree, Instant::now(), 0))
    }

    /// Notes from here on what is read.
    pub(crate) fn note_reads(&mut self) {
        self.0.note_reads();
    }

    /// What was read, where that was noted.
    pub(crate) fn take_noted(&mut self) -> Option<Reads> {
        self.0.take_noted()
    }

    /// What was done so far.
    pub(crate) fn take_log(&mut self) -> Log {
        self.0.take_log()
    }

    /// The number that the next operation will get.
    pub(crate) fn next_seq(&self) -> u64 {
        self.0.log.next_seq()
    }

    fn find(&mut self, name: &str) -> Option<Ino> {
        self.0.look_up(ROOT, OsStr::new(name)).ok()
    }

    fn ino(&mut self, name: &str) -> Ino {
        self.find(name)
            .unwrap_or_else(|| panic!("the store expects a file {name}"))
    }

    /// A file's content; none when there is no such file.
    pub(crate) fn read(&mut self, name: &str) -> Option<Vec<u8>> {
        let ino = self.find(name)?;
        let len = self.0.inode(ino).ok()?.size() as usize;
        let mut bytes = Vec::new();
        self.0.read_bytes(ino, 0, len, &mut bytes).ok()?;
        Some(bytes)
    }

    /// The names in the directory.
    pub(crate) fn names(&mut self) -> Vec<String> {
        let names = self.0.list(ROOT).expect("the root");
        let text = |name: &OsStr| name.to_string_lossy().into_owned();
        names.iter().map(|(name, _)| text(name)).collect()
    }

    /// Makes an empty file; one of this name that is there already is emptied.
    pub(crate) fn create(&mut self, name: &str) {
        if self.find(name).is_some() {
            return self.truncate(name, 0);
        }
        let owner = Caller {
            uid: 0,
            gid: 0,
            now: 0,
        };
        let place = (ROOT, OsStr::new(name));
        let made = self.0.make(PID, owner, place, NewNode::File, 0o644);
        made.expect("a new file");
    }

    /// Writes behind the end of a file.
    pub(crate) fn append(&mut self, name: &str, bytes: &[u8]) {
        let ino = self.ino(name);
        let end = self.0.inode(ino).expect("a file").size();
        let written = self.0.write_bytes(PID, ino, end, bytes);
        assert_eq!(written.expect("a write") as usize, bytes.len());
    }

    /// Sets a file's size.
    pub(crate) fn truncate(&mut self, name: &str, size: u64) {
        let ino = self.ino(name);
        self.0.set_size(PID, ino, size).expect("a truncation");
    }

    /// Syncs a file.
    pub(crate) fn sync(&mut self, name: &str) {
        let ino = self.ino(name);
        self.0.sync(PID, ino, false, false).expect("a sync");
    }

    /// Syncs the directory.
    pub(crate) fn sync_directory(&mut self) {
        self.0.sync(PID, ROOT, false, true).expect("a sync");
    }

    /// Renames a file over another.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = ((ROOT, OsStr::new(from)), (ROOT, OsStr::new(to)));
        let done = self.0.rename(PID, from, to, RenameMode::Replace);
        done.expect("a rename");
    }

    /// Removes a file.
    pub(crate) fn unlink(&mut self, name: &str) {
        let done = self.0.remove(PID, (ROOT, OsStr::new(name)), false);
        done.expect("a removal");
    }
}
