//! Which names a trace has made so far: a record that no filesystem would have done is refused, since
//! what is made of a trace takes it for one. A directory that lies in itself has no end.

use crate::fs::{Op, RenameMode, Tree};

/// The names, and nothing of what is in the files.
pub(super) struct Names(Tree);

impl Default for Names {
    fn default() -> Self {
        Self(Tree::new(0, 0, 0))
    }
}

impl Names {
    /// Changes names as the operation did. The error says why it cannot have done so.
    pub(super) fn change(&mut self, op: &Op) -> Result<(), String> {
        let tree = &mut self.0;
        // The inodes that the operation found, and those that are found here.
        let (said, found) = match op {
            Op::Create {
                parent,
                name,
                ino,
                node,
                mode,
                owner,
            } => {
                if !tree.number_next(*ino) {
                    return Err(format!("inode {ino} is made a second time"));
                }
                let made = tree.create(*parent, name, node, *mode, *owner);
                ((*ino, None), made.map(|ino| (ino, None)))
            }
            Op::Link { ino, parent, name } => {
                let linked = tree.link(*ino, *parent, name, 0);
                ((*ino, None), linked.map(|()| (*ino, None)))
            }
            Op::Unlink {
                parent,
                name,
                ino,
                dir,
            } => {
                let removed = match dir {
                    true => tree.rmdir(*parent, name, 0),
                    false => tree.unlink(*parent, name, 0),
                };
                ((*ino, None), removed.map(|ino| (ino, None)))
            }
            Op::Rename {
                from,
                to,
                ino,
                replaced,
                exchange,
            } => {
                let mode = match exchange {
                    true => RenameMode::Exchange,
                    false => RenameMode::Replace,
                };
                let moved = tree.rename((from.0, &from.1), (to.0, &to.1), mode, 0);
                ((*ino, *replaced), moved)
            }
            _ => return Ok(()),
        };
        match found {
            Ok(found) if found == said => Ok(()),
            Ok(found) => Err(format!("a name of {found:?} is said to be of {said:?}")),
            Err(errno) => Err(format!("no filesystem does this ({errno}): {op:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Caller, Ino, NewNode, ROOT};

    fn create(parent: Ino, name: &str, ino: Ino) -> Op {
        Op::Create {
            parent,
            name: name.into(),
            ino,
            node: NewNode::Dir,
            mode: 0o755,
            owner: Caller {
                uid: 0,
                gid: 0,
                now: 0,
            },
        }
    }

    fn rename(from: (Ino, &str), to: (Ino, &str), ino: Ino, replaced: Option<Ino>) -> Op {
        Op::Rename {
            from: (from.0, from.1.into()),
            to: (to.0, to.1.into()),
            ino,
            replaced,
            exchange: false,
        }
    }

    /// Whether the last of these is refused; all others are not.
    fn refuses(ops: &[Op]) -> bool {
        let mut names = Names::default();
        let (last, before) = ops.split_last().unwrap();
        for op in before {
            names.change(op).unwrap();
        }
        names.change(last).is_err()
    }

    #[test]
    fn what_no_filesystem_does_is_refused() {
        let made = [create(ROOT, "a", 2), create(2, "b", 3)];
        let then = |op: Op| refuses(&[&made[..], &[op]].concat());
        assert!(!then(create(3, "c", 9)));
        assert!(then(create(3, "c", 2)), "made twice");
        assert!(then(create(ROOT, "a", 4)), "a name twice");
        assert!(then(create(7, "c", 4)), "in no directory");
        assert!(!then(rename((2, "b"), (ROOT, "b"), 3, None)));
        assert!(then(rename((ROOT, "a"), (3, "a"), 2, None)), "into itself");
        assert!(then(rename((2, "b"), (ROOT, "b"), 4, None)), "another one");
        assert!(
            then(rename((2, "b"), (ROOT, "b"), 3, Some(2))),
            "nothing there"
        );
        let link = |ino| Op::Link {
            ino,
            parent: ROOT,
            name: "l".into(),
        };
        assert!(then(link(2)), "of a directory");
        assert!(then(link(8)), "of nothing");
        let remove = |name: &str, ino| Op::Unlink {
            parent: ROOT,
            name: name.into(),
            ino,
            dir: true,
        };
        assert!(then(remove("a", 2)), "not empty");
        assert!(then(remove("b", 3)), "not there");
    }
}
