//! What a process can ask of the filesystem: each operation is let through by the rules in force,
//! done to the tree, and recorded.
//!
//! No FUSE in here: `serve` translates the kernel's requests into these calls, and tests make
//! them without a kernel.

use std::ffi::OsStr;
use std::sync::Arc;

use nix::errno::Errno;

use super::content::{Content, PAGE};
use super::fs::{CrashFs, wall_clock};
use super::log::Op;
use super::node::{Attrs, Caller, FILE_MAX, Ino, NewNode, RenameMode};
use crate::inject::OpKind;

impl CrashFs {
    /// Makes a new inode under a new name.
    pub(crate) fn make(
        &self,
        pid: u32,
        owner: Caller,
        (parent, name): (Ino, &OsStr),
        node: NewNode,
        mode: u32,
    ) -> Result<Ino, Errno> {
        let mut state = self.admit(OpKind::Create, parent, Some(name))?;
        if node.pages() > state.free_pages() {
            state.full_hits += 1;
            return Err(Errno::ENOSPC);
        }
        let ino = state.tree.create(parent, name, &node, mode, owner)?;
        // The owner and mode that the new inode really has: its folder may have its say.
        let inode = state.tree.get(ino)?;
        let (mode, owner) = (
            inode.mode,
            Caller {
                uid: inode.uid,
                gid: inode.gid,
                now: owner.now,
            },
        );
        let op = Op::Create {
            parent,
            name: name.to_owned(),
            ino,
            node,
            mode,
            owner,
        };
        state.record(pid, ino, op);
        Ok(ino)
    }

    /// Gives a file one more name.
    pub(crate) fn link(
        &self,
        pid: u32,
        ino: Ino,
        (parent, name): (Ino, &OsStr),
    ) -> Result<(), Errno> {
        let mut state = self.admit(OpKind::Link, parent, Some(name))?;
        state.tree.link(ino, parent, name, wall_clock())?;
        let path = state.tree.path_of(parent, name);
        state.log.push(
            pid,
            path,
            Op::Link {
                ino,
                parent,
                name: name.to_owned(),
            },
        );
        Ok(())
    }

    /// unlink(2), or rmdir(2) (`dir`).
    pub(crate) fn remove(
        &self,
        pid: u32,
        (parent, name): (Ino, &OsStr),
        dir: bool,
    ) -> Result<(), Errno> {
        let mut state = self.admit(OpKind::Unlink, parent, Some(name))?;
        let path = state.tree.path_of(parent, name);
        let now = wall_clock();
        let ino = if dir {
            state.tree.rmdir(parent, name, now)?
        } else {
            state.tree.unlink(parent, name, now)?
        };
        state.log.push(
            pid,
            path,
            Op::Unlink {
                parent,
                name: name.to_owned(),
                ino,
                dir,
            },
        );
        Ok(())
    }

    /// rename(2) and renameat2(2).
    pub(crate) fn rename(
        &self,
        pid: u32,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let mut state = self.admit(OpKind::Rename, to.0, Some(to.1))?;
        let path: Arc<str> = format!(
            "{} -> {}",
            state.tree.path_of(from.0, from.1),
            state.tree.path_of(to.0, to.1)
        )
        .into();
        let (ino, other) = state.tree.rename(from, to, mode, wall_clock())?;
        if other == Some(ino) {
            // Two names of one file: nothing happened.
            return Ok(());
        }
        let op = Op::Rename {
            from: (from.0, from.1.to_owned()),
            to: (to.0, to.1.to_owned()),
            ino,
            replaced: other,
            exchange: mode == RenameMode::Exchange,
        };
        state.log.push(pid, path, op);
        Ok(())
    }

    /// Writes, and returns how many bytes: fewer than asked where the space or the largest file
    /// size ends in the middle, as real filesystems do.
    pub(crate) fn write_bytes(
        &self,
        pid: u32,
        ino: Ino,
        offset: u64,
        mut data: &[u8],
    ) -> Result<u32, Errno> {
        let mut state = self.admit(OpKind::Write, ino, None)?;
        let content = state.tree.content(ino)?;
        let old_size = content.size();
        if data.is_empty() {
            return Ok(0);
        }
        let room = FILE_MAX
            .checked_sub(offset)
            .filter(|room| *room > 0)
            .ok_or(Errno::EFBIG)?;
        data = &data[..data.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let free = state.free_pages();
        // At most two pages more than the data fills: only then is an exact count worth it.
        if (data.len() / PAGE) as u64 + 2 > free {
            let fits = longest_fit(content, offset, data.len(), free);
            if fits < data.len() {
                state.full_hits += 1;
                if fits == 0 {
                    return Err(Errno::ENOSPC);
                }
                data = &data[..fits];
            }
        }
        if !state.bad.is_empty() || !state.flipped.is_empty() {
            let end = offset + data.len() as u64;
            state.bad.rewritten(ino, offset, end);
            state.flipped.rewritten(ino, offset, end);
        }
        let now = wall_clock();
        let kept = state
            .tree
            .change(ino, |content| content.write(offset, data))?;
        let inode = state.tree.get_mut(ino)?;
        inode.mtime = now;
        inode.ctime = now;
        let path = inode.path.clone();
        state.log.push(
            pid,
            path,
            Op::Write {
                ino,
                data: kept,
                old_size,
            },
        );
        Ok(data.len() as u32)
    }

    /// ftruncate(2), and O_TRUNC.
    pub(crate) fn set_size(&self, pid: u32, ino: Ino, size: u64) -> Result<(), Errno> {
        let mut state = self.admit(OpKind::Truncate, ino, None)?;
        if size > FILE_MAX {
            return Err(Errno::EFBIG);
        }
        let old_size = state.tree.content(ino)?.size();
        state.tree.change(ino, |content| content.truncate(size))?;
        let now = wall_clock();
        let inode = state.tree.get_mut(ino)?;
        inode.mtime = now;
        inode.ctime = now;
        state.record(
            pid,
            ino,
            Op::Truncate {
                ino,
                old_size,
                size,
            },
        );
        Ok(())
    }

    /// chmod(2), chown(2), utimensat(2).
    pub(crate) fn set_attrs(&self, pid: u32, ino: Ino, attrs: Attrs) -> Result<(), Errno> {
        let mut state = self.admit(OpKind::SetAttr, ino, None)?;
        let now = wall_clock();
        state.tree.set_attrs(ino, attrs, now)?;
        let attrs = Attrs {
            ctime: attrs.ctime.or(Some(now)),
            ..attrs
        };
        state.record(pid, ino, Op::SetAttrs { ino, attrs });
        Ok(())
    }

    /// fallocate(2) with `mode` as the call has it; what is not known there is `EOPNOTSUPP`.
    pub(crate) fn allocate(
        &self,
        pid: u32,
        ino: Ino,
        offset: u64,
        len: u64,
        mode: i32,
    ) -> Result<(), Errno> {
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        let punch = mode & libc::FALLOC_FL_PUNCH_HOLE != 0;
        let zero = mode & libc::FALLOC_FL_ZERO_RANGE != 0;
        let known =
            libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE;
        if mode & !known != 0 || (punch && (zero || !keep_size)) {
            return Err(Errno::EOPNOTSUPP);
        }
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let end = offset
            .checked_add(len)
            .filter(|end| *end <= FILE_MAX)
            .ok_or(Errno::EFBIG)?;
        let mut state = self.admit(OpKind::Allocate, ino, None)?;
        let content = state.tree.content(ino)?;
        let old_size = content.size();
        let size = if keep_size {
            old_size
        } else {
            old_size.max(end)
        };
        let needed = if punch {
            0
        } else {
            content.pages_needed(offset, len)
        };
        if needed > state.free_pages() {
            state.full_hits += 1;
            return Err(Errno::ENOSPC);
        }
        state.tree.change(ino, |content| {
            if punch || zero {
                content.zero(offset, len, punch);
            } else {
                content.allocate(offset, len);
            }
            if size != old_size {
                content.truncate(size);
            }
        })?;
        let now = wall_clock();
        let inode = state.tree.get_mut(ino)?;
        inode.ctime = now;
        // Even where no byte changes, as `file_modified` in `ext4_fallocate`.
        inode.mtime = now;
        let op = if punch || zero {
            Op::Zero {
                ino,
                offset,
                len,
                punch,
                old_size,
                size,
            }
        } else {
            Op::Allocate {
                ino,
                offset,
                len,
                old_size,
                size,
            }
        };
        state.record(pid, ino, op);
        Ok(())
    }

    /// Appends up to `len` bytes from `offset` to `into`; `EIO` where a bad sector lies.
    pub(crate) fn read_bytes(
        &self,
        ino: Ino,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let mut state = self.admit(OpKind::Read, ino, None)?;
        let content = state.tree.content(ino)?;
        let end = offset.saturating_add(len as u64).min(content.size());
        if offset < end && state.bad.hit(ino, offset, end) {
            state.bad_hits += 1;
            return Err(Errno::EIO);
        }
        content.read(offset, len, into);
        if offset < end && state.flipped.hit(ino, offset, end) {
            state.bad_hits += 1;
        }
        Ok(())
    }

    /// fsync(2), fdatasync(2) (`data_only`), of a file or a folder (`dir`).
    pub(crate) fn sync(&self, pid: u32, ino: Ino, data_only: bool, dir: bool) -> Result<(), Errno> {
        let kind = if dir { OpKind::SyncDir } else { OpKind::Sync };
        let mut state = self.admit(kind, ino, None)?;
        state.record(
            pid,
            ino,
            Op::Sync {
                ino,
                data_only,
                dir,
            },
        );
        Ok(())
    }
}

/// How many bytes of a write fit into `free` more pages.
fn longest_fit(content: &Content, offset: u64, len: usize, mut free: u64) -> usize {
    let mut fits = 0;
    while fits < len {
        let at = offset + fits as u64;
        let n = (PAGE - (at % PAGE as u64) as usize).min(len - fits);
        let needs = content.pages_needed(at, n as u64);
        if needs > free {
            break;
        }
        free -= needs;
        fits += n;
    }
    fits
}
