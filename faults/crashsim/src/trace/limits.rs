//! What a trace of somebody else's may hold: names that stay in their directory, files that a disk
//! could have, and no more than memory has room for.

use super::names::Names;
use crate::fs::{FILE_MAX, Ino, NAME_MAX, NewNode, Op, PAGE, ROOT, check_name};

/// The most that all frames of a trace hold when they are unpacked, in bytes: a recording keeps at most
/// 1 GiB of log in memory.
const UNPACKED_MAX: u64 = 3 << 30;
/// The most records.
const RECORDS_MAX: usize = 16 << 20;
/// The most space that operations take without writing to it, in bytes: what a whole disk has, a few
/// times.
const ALLOCATED_MAX: u64 = 64 << 30;
/// The highest number of an inode.
const INO_MAX: Ino = 1 << 48;
/// The longest value of an extended attribute, in bytes (xattr(7)).
const XATTR_MAX: usize = 64 << 10;
/// The longest target of a symbolic link, in bytes (path_resolution(7)).
const LINK_MAX: usize = 4095;

/// What was read so far.
#[derive(Default)]
pub(super) struct Limits {
    unpacked: u64,
    allocated: u64,
    names: Names,
}

impl Limits {
    /// One more frame, with a payload of so many bytes.
    pub(super) fn frame(&mut self, len: usize) -> Result<(), String> {
        self.unpacked += len as u64;
        match self.unpacked <= UNPACKED_MAX {
            true => Ok(()),
            false => Err(format!("more than {} GiB of log", UNPACKED_MAX >> 30)),
        }
    }

    /// One more record, behind so many others.
    pub(super) fn record(&mut self, op: &Op, before: usize) -> Result<(), String> {
        if before >= RECORDS_MAX {
            return Err(format!("more than {RECORDS_MAX} records"));
        }
        self.alone(op)?;
        self.names.change(op)
    }

    /// What is wrong with a record whatever was before it.
    fn alone(&mut self, op: &Op) -> Result<(), String> {
        inode(op.ino())?;
        match op {
            Op::Create {
                parent,
                name,
                ino,
                node,
                ..
            } => {
                if *ino == ROOT {
                    return Err("the root is made a second time".into());
                }
                if let NewNode::Symlink(to) = node {
                    link(to.as_encoded_bytes())?;
                }
                place(*parent, name)
            }
            Op::Link { parent, name, .. } | Op::Unlink { parent, name, .. } => place(*parent, name),
            Op::Rename {
                from, to, replaced, ..
            } => {
                inode(replaced.unwrap_or(ROOT))?;
                place(from.0, &from.1)?;
                place(to.0, &to.1)
            }
            Op::Truncate { size, old_size, .. } => size_of(*size).and(size_of(*old_size)),
            Op::Allocate {
                offset,
                len,
                size,
                old_size,
                ..
            }
            | Op::Zero {
                offset,
                len,
                size,
                old_size,
                ..
            } => {
                range(*offset, *len)?;
                size_of(*size).and(size_of(*old_size))?;
                self.allocated = self.allocated.saturating_add(*len);
                let punched = matches!(op, Op::Zero { punch: true, .. });
                match punched || self.allocated <= ALLOCATED_MAX {
                    true => Ok(()),
                    false => Err(format!("more than {} GiB allocated", ALLOCATED_MAX >> 30)),
                }
            }
            Op::Write { data, old_size, .. } => {
                range(data.offset(), data.len()).and(size_of(*old_size))
            }
            Op::SetXattr { name, value, .. } => {
                let long = value.as_ref().is_some_and(|value| value.len() > XATTR_MAX);
                match long || name.is_empty() || name.len() > NAME_MAX {
                    false => Ok(()),
                    true => Err("an extended attribute that no file has".into()),
                }
            }
            Op::CallGoesOn { done, of, .. } => match done <= of {
                true => Ok(()),
                false => Err(format!("{done} of {of} bytes of a call")),
            },
            Op::SetAttrs { .. }
            | Op::Touch { .. }
            | Op::Sync { .. }
            | Op::SyncFailed { .. }
            | Op::SyncAll { .. }
            | Op::SyncAllFailed
            | Op::CacheSettled
            | Op::CacheUnsettled => Ok(()),
        }
    }
}

/// Refuses the pages of a write that are more than it is long, before they are put together.
pub(super) fn pages(len: u64, pages: u64) -> Result<(), String> {
    match pages <= len / PAGE as u64 {
        true => Ok(()),
        false => Err("a write of another length than it says".into()),
    }
}

fn inode(ino: Ino) -> Result<(), String> {
    match (ROOT..=INO_MAX).contains(&ino) {
        true => Ok(()),
        false => Err(format!("no inode has the number {ino}")),
    }
}

fn place(parent: Ino, name: &std::ffi::OsStr) -> Result<(), String> {
    inode(parent)?;
    check_name(name)
}

fn link(to: &[u8]) -> Result<(), String> {
    match to.len() <= LINK_MAX && !to.contains(&0) {
        true => Ok(()),
        false => Err("a symbolic link to no path".into()),
    }
}

fn size_of(size: u64) -> Result<(), String> {
    match size <= FILE_MAX {
        true => Ok(()),
        false => Err(format!("a file of {size} bytes")),
    }
}

fn range(offset: u64, len: u64) -> Result<(), String> {
    match offset.checked_add(len) {
        Some(end) => size_of(end),
        None => Err(format!("{len} bytes at {offset}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Caller;

    fn created(name: &str, ino: Ino) -> Op {
        Op::Create {
            parent: ROOT,
            name: name.into(),
            ino,
            node: NewNode::File,
            mode: 0o644,
            owner: Caller {
                uid: 0,
                gid: 0,
                now: 0,
            },
        }
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        let refused = |name: &str| Limits::default().record(&created(name, 2), 0).is_err();
        for name in ["..", ".", "", "a/b", "/etc/passwd", "../x", "a\0b"] {
            assert!(refused(name), "{name:?}");
        }
        for name in ["a", "...", "..x", "ä b", "a\\b"] {
            assert!(!refused(name), "{name:?}");
        }
    }

    #[test]
    fn what_no_disk_holds_is_refused() {
        let refused = |op: &Op| Limits::default().record(op, 0).is_err();
        assert!(refused(&created("a", ROOT)));
        assert!(refused(&created("a", 0)));
        assert!(refused(&created("a", u64::MAX)));
        let truncated = |size| Op::Truncate {
            ino: 2,
            old_size: 0,
            size,
        };
        assert!(!refused(&truncated(FILE_MAX)));
        assert!(refused(&truncated(FILE_MAX + 1)));
        let allocated = |offset, len| Op::Allocate {
            ino: 2,
            offset,
            len,
            old_size: 0,
            size: 0,
        };
        assert!(!refused(&allocated(0, 1 << 30)));
        assert!(refused(&allocated(u64::MAX, 1)));
        assert!(refused(&allocated(0, ALLOCATED_MAX + 1)));
        assert!(
            Limits::default()
                .record(&created("a", 2), RECORDS_MAX)
                .is_err()
        );
        let mut limits = Limits::default();
        assert!(limits.frame(UNPACKED_MAX as usize).is_ok());
        assert!(limits.frame(1).is_err());
    }
}
