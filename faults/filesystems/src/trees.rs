//! Trees as operations: those that make a tree of an empty one, and the tree that they make. So a tree is
//! kept and sent in the form of a trace.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use plugpull_crashsim::fs::{
    Attrs, Caller, Content, Ino, Inode, NewNode, Node, Op, PAGE, ROOT, Record, Times, Tree, apply,
};

/// The most bytes of one write.
const PIECE: u64 = 256 * PAGE as u64;

/// The operations that make this tree of an empty one, numbered from 0, with the numbers that its inodes
/// have. Each inode is made in the root first, under a name that nothing else has there, in the order of
/// numbers; what lies in what need not follow it.
pub fn records_of(tree: &Tree) -> Vec<Record> {
    let mut made = Made::default();
    let named: Vec<(Ino, &Inode)> = tree
        .inodes()
        .filter(|(ino, inode)| *ino != ROOT && inode.nlink > 0)
        .collect();
    let mut prefix = String::from(".plugpull-");
    while tree.dir(ROOT).is_ok_and(|root| {
        root.iter()
            .any(|(name, _)| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    }) {
        prefix.push('-');
    }
    let first = |ino: Ino| OsString::from(format!("{prefix}{ino}"));
    for (ino, inode) in &named {
        made.inode((ROOT, &first(*ino)), *ino, inode);
    }
    let mut placed = std::collections::HashSet::new();
    let directories = tree.inodes().filter(|(_, inode)| inode.is_dir());
    for (parent, inode) in directories {
        let Node::Dir(dir) = &inode.node else {
            continue;
        };
        for (name, entry) in dir.iter() {
            let to = (parent, (**name).to_owned());
            match placed.insert(entry.ino) {
                true => made.push(Op::Rename {
                    from: (ROOT, first(entry.ino)),
                    to,
                    ino: entry.ino,
                    replaced: None,
                    exchange: false,
                }),
                false => made.link(entry.ino, to),
            }
        }
    }
    for (ino, inode) in tree.inodes() {
        made.attributes(ino, inode);
    }
    made.records
}

/// The tree that these operations make of an empty one.
pub fn tree_of(records: &[Record]) -> Tree {
    let mut tree = Tree::new(0, 0, 0);
    for record in records {
        apply(&mut tree, record);
    }
    tree.settle();
    tree
}

/// Operations, as they are put one after the other.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) records: Vec<Record>,
}

impl Made {
    fn push(&mut self, op: Op) {
        let seq = self.records.len() as u64;
        self.records.push(Record {
            seq,
            nanos: 0,
            pid: 0,
            path: Arc::from(""),
            op,
        });
    }

    pub(crate) fn link(&mut self, ino: Ino, (parent, name): (Ino, OsString)) {
        self.push(Op::Link { ino, parent, name });
    }

    /// A new inode with what is in it, but for names.
    fn inode(&mut self, (parent, name): (Ino, &OsStr), ino: Ino, inode: &Inode) {
        let node = match &inode.node {
            Node::File(_) => NewNode::File,
            Node::Dir(_) => NewNode::Dir,
            Node::Symlink(to) => NewNode::Symlink(to.clone()),
            Node::Special => NewNode::Special { rdev: inode.rdev },
        };
        self.create((parent, name), ino, node, inode);
        if let Node::File(content) = &inode.node {
            self.content(ino, content);
        }
    }

    pub(crate) fn create(
        &mut self,
        (parent, name): (Ino, &OsStr),
        ino: Ino,
        node: NewNode,
        like: &Inode,
    ) {
        let owner = Caller {
            uid: like.uid,
            gid: like.gid,
            now: like.crtime,
        };
        self.push(Op::Create {
            parent,
            name: name.to_owned(),
            ino,
            node,
            mode: like.mode,
            owner,
        });
    }

    fn content(&mut self, ino: Ino, content: &Content) {
        let (mut at, mut size) = (0, 0);
        while let Some(start) = content.seek(at, true) {
            let end = content.seek(start, false).unwrap_or(content.size());
            at = start;
            while at < end {
                let mut bytes = Vec::new();
                content.read(at, (end - at).min(PIECE) as usize, &mut bytes);
                self.write(ino, at, &bytes, size);
                at += bytes.len() as u64;
                size = at;
            }
        }
        self.resize(ino, size, content.size());
    }

    pub(crate) fn write(&mut self, ino: Ino, at: u64, bytes: &[u8], old_size: u64) {
        let data = Content::default().write(at, bytes);
        self.push(Op::Write {
            ino,
            data,
            old_size,
        });
    }

    pub(crate) fn resize(&mut self, ino: Ino, old_size: u64, size: u64) {
        if old_size != size {
            self.push(Op::Truncate {
                ino,
                old_size,
                size,
            });
        }
    }

    /// Attributes and times. The root has no operation that made it.
    pub(crate) fn attributes(&mut self, ino: Ino, inode: &Inode) {
        for (name, value) in &inode.xattrs {
            self.push(Op::SetXattr {
                ino,
                name: name.clone(),
                value: Some(value.to_vec()),
            });
        }
        let attrs = Attrs {
            mode: (ino == ROOT).then_some(inode.mode),
            uid: (ino == ROOT).then_some(inode.uid),
            gid: (ino == ROOT).then_some(inode.gid),
            atime: inode.atime_set.then_some(inode.atime),
            mtime: inode.mtime_set.then_some(inode.mtime),
            ctime: None,
        };
        if attrs != Attrs::default() {
            self.push(Op::SetAttrs { ino, attrs });
        }
        let times = Times {
            atime: (!inode.atime_set).then_some(inode.atime),
            mtime: (!inode.mtime_set).then_some(inode.mtime),
            ctime: inode.ctime,
        };
        self.push(Op::Touch { ino, times });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use plugpull_crashsim::file::{File, SimDisk, Storage};
    use plugpull_crashsim::trace;

    use super::*;

    /// A tree in which a directory has a higher number than the one that it lies in, and lies in what is
    /// younger than it.
    fn tree() -> Tree {
        let disk = SimDisk::new();
        disk.create_dir("old").unwrap();
        let file = disk.create("old/f").unwrap();
        file.write_at(5000, &[7; 9000]).unwrap();
        file.set_len(20_000).unwrap();
        disk.create_dir("young").unwrap();
        disk.rename("old", "young/old").unwrap();
        disk.create(".plugpull-2").unwrap();
        let log = disk.take_log();
        let mut tree = log.base().clone();
        for record in log.records() {
            apply(&mut tree, record);
        }
        let file = tree.resolve("young/old/f").unwrap();
        tree.raw_entry(ROOT, OsStr::new("second"), Some(file));
        tree.raw_xattr(file, OsStr::new("user.a"), Some(b"b"));
        let times = Attrs {
            mode: Some(0o640),
            mtime: Some(77),
            ..Attrs::default()
        };
        tree.raw_attrs(file, times, 0);
        tree.settle();
        tree
    }

    #[test]
    fn a_tree_is_what_its_operations_make() {
        let tree = tree();
        let records = records_of(&tree);
        let made = tree_of(&records);
        assert_eq!(made.flaw(), None);
        assert_eq!(made.digest(), tree.digest());
        let numbers = |tree: &Tree| tree.resolve("young/old/f");
        assert_eq!(numbers(&made), numbers(&tree));
        // It goes through the reader of traces, which refuses what no filesystem does.
        let bytes = trace::to_bytes(&records, usize::MAX).unwrap().unwrap();
        let read = trace::read_from(&bytes[..], Path::new("it"), |_| Tree::new(0, 0, 0));
        let Ok(read) = read else { panic!("refused") };
        assert_eq!(tree_of(read.log.records()).digest(), tree.digest());
        assert_eq!(trace::to_bytes(&records, 100).unwrap(), None, "the limit");
    }
}
