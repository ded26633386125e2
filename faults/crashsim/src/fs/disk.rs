//! A simulated disk: a tree, the log of what was done to it, its space and its bad sectors; and the
//! operations that a process can ask of it, each done to the tree and recorded.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use nix::errno::Errno;

use super::content::{Content, PAGE};
use super::log::{Log, LogLimit, Op};
use super::node::{
    Attrs, Caller, Dir, FILE_MAX, Ino, Inode, Nanos, NewNode, ROOT, RenameMode, Times,
    from_system_time,
};
use super::reads::Reads;
use super::sectors::BadSectors;
use super::tree::Tree;

/// The size of a disk when nothing else is said: 16 GiB.
const DEFAULT_PAGES: u64 = (16 << 30) / PAGE as u64;
/// Bytes of writes that the log keeps when nothing else is said.
const DEFAULT_LOG_LIMIT: LogLimit = LogLimit::Fold(1 << 30);

/// The most pages that one record of what was held back has.
const HELD_MAX: usize = 32;

/// How much space there is, in pages of 4 KiB.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Pages in all.
    pub total: u64,
}

/// A simulated disk with one filesystem on it.
pub struct Disk {
    /// What it holds now.
    pub tree: Tree,
    /// What was done to it.
    pub log: Log,
    /// What of it cannot be read.
    pub bad: BadSectors,
    /// How large it is.
    pub space: Space,
    /// How large it is when nobody makes it smaller.
    capacity: Space,
    /// How many reads met a bad or a flipped sector.
    pub bad_hits: u64,
    /// Ranges that were changed at rest, to know whether anybody reads them.
    pub flipped: BadSectors,
    /// How many operations found no space.
    pub full_hits: u64,
    /// What was read: file, and the range in bytes; none while nobody asks.
    pub reads: Option<Vec<(Ino, u64, u64)>>,
    /// All by which what it holds could be distinguished from something else, since that is noted.
    noted: Option<Reads>,
    /// What the kernel writes back by itself is to be held.
    hold: bool,
    /// The pages of files that the kernel wrote back and the log has not yet; none where it has each
    /// when it comes.
    held: Option<BTreeSet<(Ino, u64)>>,
}

impl Disk {
    /// A disk that holds `tree`, with its log beginning at number `first` on a clock that began at
    /// `began`.
    pub fn new(mut tree: Tree, began: Instant, first: u64) -> Self {
        tree.untrack();
        let log = Log::new(tree.clone(), began, first, DEFAULT_LOG_LIMIT);
        let capacity = Space {
            total: DEFAULT_PAGES,
        };
        Self {
            tree,
            log,
            bad: BadSectors::default(),
            space: capacity,
            capacity,
            bad_hits: 0,
            flipped: BadSectors::default(),
            full_hits: 0,
            reads: None,
            noted: None,
            hold: false,
            held: None,
        }
    }

    /// An empty disk whose root belongs to user and group `owner`.
    pub fn empty(owner: (u32, u32)) -> Self {
        Self::new(Tree::new(owner.0, owner.1, wall_clock()), Instant::now(), 0)
    }

    /// Notes from here on all by which a program could tell what it holds from something else. From here
    /// on the space that a file takes follows from its length.
    pub fn note_reads(&mut self) {
        self.noted = Some(Reads::default());
    }

    /// True where that is noted.
    pub fn notes_reads(&self) -> bool {
        self.noted.is_some()
    }

    /// What was noted, and no more is.
    pub fn take_noted(&mut self) -> Option<Reads> {
        let mut reads = self.noted.take()?;
        if self.full_hits > 0 {
            // There would have been space where less lies on the disk.
            reads.all();
        }
        Some(reads)
    }

    fn note(&mut self, note: impl FnOnce(&mut Reads)) {
        if let Some(reads) = &mut self.noted {
            note(reads);
        }
    }

    /// The inode of a name: see [`Tree::lookup`].
    ///
    /// # Errors
    /// There is none.
    pub fn look_up(&mut self, parent: Ino, name: &OsStr) -> Result<Ino, Errno> {
        self.note(|reads| match name.as_encoded_bytes() {
            b"." | b".." => reads.list(parent),
            _ => reads.name(parent, name),
        });
        self.tree.lookup(parent, name)
    }

    /// Follows a path from the root, by names only: see [`Tree::resolve`].
    ///
    /// # Errors
    /// There is nothing of this path.
    pub fn resolve(&mut self, path: &str) -> Result<Ino, Errno> {
        let mut names = path.split('/').filter(|part| !part.is_empty());
        names.try_fold(ROOT, |at, name| self.look_up(at, OsStr::new(name)))
    }

    /// An inode, for all that is said of it but its bytes.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn inode(&mut self, ino: Ino) -> Result<&Inode, Errno> {
        self.note(|reads| reads.inode(ino));
        self.tree.get(ino)
    }

    /// A directory, for its names.
    ///
    /// # Errors
    /// It is none.
    pub fn list(&mut self, ino: Ino) -> Result<&Dir, Errno> {
        self.note(|reads| reads.list(ino));
        self.tree.dir(ino)
    }

    /// How large it is and what of it is free, in pages.
    pub fn free_space(&mut self) -> (Space, u64) {
        self.note(Reads::all);
        (self.space, self.free_pages())
    }

    /// Where data or a hole is: see [`Content::seek`].
    ///
    /// # Errors
    /// It is no file.
    pub fn seek(&mut self, ino: Ino, offset: u64, data: bool) -> Result<Option<u64>, Errno> {
        self.note(|reads| reads.holes(ino));
        Ok(self.tree.content(ino)?.seek(offset, data))
    }

    /// Begins the log again, with this limit.
    pub fn limit_log(&mut self, limit: LogLimit) {
        let (base, began, first) = (self.tree.clone(), self.log.began(), self.log.next_seq());
        self.log = Log::new(base, began, first, limit);
    }

    /// Takes the log away, and begins a new one on what the tree holds now.
    pub fn take_log(&mut self) -> Log {
        self.record_held(None);
        self.held = None;
        let (began, first) = (self.log.began(), self.log.next_seq());
        let fresh = Log::new(self.tree.clone(), began, first, self.log.limit());
        std::mem::replace(&mut self.log, fresh)
    }

    /// The log has what the kernel writes back of a mapping by itself (page cache write-back, of no
    /// process) only where the file is synced next, or in the end; from where it has noted a mapping
    /// ([`Disk::cache_settled`]) on, since before that such a record alone tells that there is one
    /// ([`Log::kill_points`]). When the kernel
    /// does so follows from no operation; such a log is the same each time, but for a file of which
    /// msync(2) is asked for a part: the rest may have been written back before.
    pub fn hold_write_backs(&mut self) {
        self.hold = true;
    }

    /// Records what was held back of one file or of all, as it is now. A file without a name is in no
    /// crash state.
    fn record_held(&mut self, of: Option<Ino>) {
        let Some(held) = &mut self.held else { return };
        let wanted = |(ino, _): &(Ino, u64)| of.is_none_or(|of| of == *ino);
        let pages: Vec<(Ino, u64)> = held.iter().copied().filter(wanted).collect();
        held.retain(|page| !wanted(page));
        let goes_on = |a: &(Ino, u64), b: &(Ino, u64)| a.0 == b.0 && a.1 + 1 == b.1;
        for run in pages.chunk_by(goes_on).flat_map(|run| run.chunks(HELD_MAX)) {
            let [(ino, first), ..] = *run else { continue };
            if self.tree.get(ino).is_ok_and(|inode| inode.nlink > 0) {
                self.record_written_back(ino, first * PAGE as u64, run.len() * PAGE);
            }
        }
    }

    fn record_written_back(&mut self, ino: Ino, offset: u64, len: usize) {
        let Ok(content) = self.tree.content(ino) else {
            return;
        };
        let old_size = content.size();
        let mut bytes = Vec::new();
        content.read(offset, len, &mut bytes);
        if bytes.is_empty() {
            // It was cut off since.
            return;
        }
        if let Ok(data) = self
            .tree
            .change(ino, |content| content.write(offset, &bytes))
        {
            let op = Op::Write {
                ino,
                data,
                old_size,
            };
            self.record(0, ino, op);
        }
    }

    /// Flips one bit of a file at rest, and watches whether its sector is read before it is
    /// written again. The file must not be in the kernel's cache.
    pub fn flip_bit(&mut self, ino: Ino, offset: u64, bit: u8) {
        let mut byte = Vec::with_capacity(1);
        if let Ok(content) = self.tree.content(ino) {
            content.read(offset, 1, &mut byte);
        }
        if let Some(byte) = byte.first() {
            let flipped = [byte ^ (1 << (bit % 8))];
            self.tree
                .raw_content(ino, |content| content.patch(offset, &flipped));
            self.flipped.add(ino, offset, offset + 1, false);
        }
    }

    /// Sets the size to what is in use now and this many pages more.
    pub fn fill(&mut self, pages_left: u64) {
        self.space.total = self.tree.pages() + pages_left;
    }

    /// Gives the whole space back.
    pub fn free(&mut self) {
        self.space = self.capacity;
    }

    /// Makes it `bytes` large, for good.
    pub fn set_capacity(&mut self, bytes: u64) {
        self.capacity.total = bytes / PAGE as u64;
        self.space = self.capacity;
    }

    /// The time now, as its inodes keep it.
    pub fn now(&self) -> Nanos {
        wall_clock()
    }

    /// Pages still free.
    pub fn free_pages(&self) -> u64 {
        self.space.total.saturating_sub(self.tree.pages())
    }

    /// Records that a sync of this file failed, after which its pages count as clean.
    pub fn sync_failed(&mut self, ino: Ino) {
        self.record_held(Some(ino));
        self.record(0, ino, Op::SyncFailed { ino });
    }

    /// Records that a sync of everything failed, after which all pages count as clean.
    pub fn sync_all_failed(&mut self) {
        self.record_held(None);
        self.record(0, ROOT, Op::SyncAllFailed);
    }

    /// Records that the write just recorded is a part of a call that goes on.
    pub fn call_goes_on(&mut self, pid: u32, ino: Ino, done: u64, of: u64) {
        self.record(pid, ino, Op::CallGoesOn { ino, done, of });
    }

    /// Records that the page cache holds nothing that the log has not.
    pub fn cache_settled(&mut self) {
        self.record_held(None);
        self.record(0, ROOT, Op::CacheSettled);
        if self.hold {
            self.held.get_or_insert_default();
        }
    }

    /// Records that the page cache may hold from here on what the log has not.
    pub fn cache_unsettled(&mut self) {
        self.record(0, ROOT, Op::CacheUnsettled);
    }

    /// Appends a record about an inode that exists.
    fn record(&mut self, pid: u32, ino: Ino, op: Op) {
        let path = self
            .tree
            .get(ino)
            .map_or_else(|_| "?".into(), |inode| inode.path.clone());
        self.log.push(pid, path, op);
    }

    /// Makes a new inode under a new name.
    pub fn make(
        &mut self,
        pid: u32,
        owner: Caller,
        (parent, name): (Ino, &OsStr),
        node: NewNode,
        mode: u32,
    ) -> Result<Ino, Errno> {
        self.note(|reads| reads.name(parent, name));
        if node.pages() > self.free_pages() {
            self.full_hits += 1;
            return Err(Errno::ENOSPC);
        }
        let ino = self.tree.create(parent, name, &node, mode, owner)?;
        // The owner and mode that the new inode really has: its directory may have its say.
        let inode = self.tree.get(ino)?;
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
        self.record(pid, ino, op);
        Ok(ino)
    }

    /// Gives a file one more name.
    pub fn link(&mut self, pid: u32, ino: Ino, (parent, name): (Ino, &OsStr)) -> Result<(), Errno> {
        self.note(|reads| {
            reads.name(parent, name);
            reads.inode(ino);
        });
        self.tree.link(ino, parent, name, wall_clock())?;
        let path = self.tree.path_of(parent, name);
        self.log.push(
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
    pub fn remove(
        &mut self,
        pid: u32,
        (parent, name): (Ino, &OsStr),
        dir: bool,
    ) -> Result<(), Errno> {
        self.note_replaced(parent, name);
        let path = self.tree.path_of(parent, name);
        let now = wall_clock();
        let ino = if dir {
            self.tree.rmdir(parent, name, now)?
        } else {
            self.tree.unlink(parent, name, now)?
        };
        self.log.push(
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

    /// Notes a name that is taken away or given to something else: a directory must be empty for it.
    fn note_replaced(&mut self, parent: Ino, name: &OsStr) {
        if self.noted.is_none() {
            return;
        }
        if let Ok(ino) = self.look_up(parent, name) {
            self.note(|reads| {
                reads.inode(ino);
                reads.list(ino);
            });
        }
    }

    /// rename(2) and renameat2(2).
    pub fn rename(
        &mut self,
        pid: u32,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        mode: RenameMode,
    ) -> Result<(), Errno> {
        self.note_replaced(from.0, from.1);
        self.note_replaced(to.0, to.1);
        let path: Arc<str> = format!(
            "{} -> {}",
            self.tree.path_of(from.0, from.1),
            self.tree.path_of(to.0, to.1)
        )
        .into();
        let (ino, other) = self.tree.rename(from, to, mode, wall_clock())?;
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
        self.log.push(pid, path, op);
        Ok(())
    }

    /// Writes, and returns how many bytes: fewer than asked where the space or the largest file
    /// size ends in the middle, as real filesystems do.
    pub fn write_bytes(
        &mut self,
        pid: u32,
        ino: Ino,
        offset: u64,
        mut data: &[u8],
    ) -> Result<u32, Errno> {
        let content = self.tree.content(ino)?;
        let old_size = content.size();
        if data.is_empty() {
            return Ok(0);
        }
        let room = FILE_MAX
            .checked_sub(offset)
            .filter(|room| *room > 0)
            .ok_or(Errno::EFBIG)?;
        data = &data[..data.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let free = self.free_pages();
        // At most two pages more than the data fills: only then is an exact count worth it.
        if (data.len() / PAGE) as u64 + 2 > free {
            let fits = longest_fit(content, offset, data.len(), free);
            if fits < data.len() {
                self.full_hits += 1;
                if fits == 0 {
                    return Err(Errno::ENOSPC);
                }
                data = &data[..fits];
            }
        }
        if !self.bad.is_empty() || !self.flipped.is_empty() {
            let end = offset + data.len() as u64;
            self.bad.rewritten(ino, offset, end);
            self.flipped.rewritten(ino, offset, end);
        }
        let (from, to) = (offset, offset + data.len() as u64);
        self.note(|reads| reads.wrote(ino, from, to));
        let now = wall_clock();
        let kept = self
            .tree
            .change(ino, |content| content.write(offset, data))?;
        let inode = self.tree.get_mut(ino)?;
        inode.mtime = now;
        inode.ctime = now;
        let path = inode.path.clone();
        match &mut self.held {
            Some(held) if pid == 0 => {
                let end = offset + data.len() as u64;
                let pages = offset / PAGE as u64..end.div_ceil(PAGE as u64);
                held.extend(pages.map(|page| (ino, page)));
            }
            _ => {
                let op = Op::Write {
                    ino,
                    data: kept,
                    old_size,
                };
                self.log.push(pid, path, op);
            }
        }
        Ok(data.len() as u32)
    }

    /// ftruncate(2), and O_TRUNC.
    pub fn set_size(&mut self, pid: u32, ino: Ino, size: u64) -> Result<(), Errno> {
        if size > FILE_MAX {
            return Err(Errno::EFBIG);
        }
        let old_size = self.tree.content(ino)?.size();
        self.tree.change(ino, |content| content.truncate(size))?;
        // What was there before is nowhere, also when the file grows again.
        self.note(|reads| reads.wrote(ino, size, u64::MAX));
        let now = wall_clock();
        let inode = self.tree.get_mut(ino)?;
        inode.mtime = now;
        inode.ctime = now;
        self.record(
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
    pub fn set_attrs(&mut self, pid: u32, ino: Ino, attrs: Attrs) -> Result<(), Errno> {
        let now = wall_clock();
        self.tree.set_attrs(ino, attrs, now)?;
        let attrs = Attrs {
            ctime: attrs.ctime.or(Some(now)),
            ..attrs
        };
        self.record(pid, ino, Op::SetAttrs { ino, attrs });
        Ok(())
    }

    /// Takes the set-id bits from a file that is written to, cut or given to somebody else; where it
    /// has none, nothing happens (`setattr_should_drop_suidgid` in fs/attr.c).
    pub fn drop_set_ids(&mut self, pid: u32, ino: Ino) -> Result<(), Errno> {
        match self.inode(ino)?.without_set_ids() {
            None => Ok(()),
            mode => self.set_attrs(
                pid,
                ino,
                Attrs {
                    mode,
                    ..Attrs::default()
                },
            ),
        }
    }

    /// Sets times to the clock's: `atime`, `mtime` or both. utimensat(2) with UTIME_NOW.
    pub fn touch(&mut self, pid: u32, ino: Ino, atime: bool, mtime: bool) -> Result<(), Errno> {
        let now = wall_clock();
        let times = Times {
            atime: atime.then_some(now),
            mtime: mtime.then_some(now),
            ctime: now,
        };
        self.tree.touch(ino, times)?;
        self.record(pid, ino, Op::Touch { ino, times });
        Ok(())
    }

    /// The value of an extended attribute. `ENODATA` when there is none, `EOPNOTSUPP` for names
    /// that are not a user's.
    pub fn xattr(&mut self, ino: Ino, name: &OsStr) -> Result<Arc<[u8]>, Errno> {
        check_xattr(name)?;
        let inode = self.inode(ino)?;
        inode.xattrs.get(name).cloned().ok_or(Errno::ENODATA)
    }

    /// setxattr(2) with `flags` as the call has them. As on ext4 the attributes of an inode have
    /// one block: `ENOSPC` beyond it.
    pub fn set_xattr(
        &mut self,
        pid: u32,
        ino: Ino,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> Result<(), Errno> {
        check_xattr(name)?;
        let inode = self.inode(ino)?;
        let known = inode.xattrs.contains_key(name);
        match known {
            true if flags & libc::XATTR_CREATE != 0 => return Err(Errno::EEXIST),
            false if flags & libc::XATTR_REPLACE != 0 => return Err(Errno::ENODATA),
            _ => {}
        }
        let others = inode.xattrs.iter().filter(|(other, _)| *other != name);
        let others: usize = others.map(|(name, value)| xattr_room(name, value)).sum();
        if others + xattr_room(name, value) > XATTR_ROOM {
            self.full_hits += 1;
            return Err(Errno::ENOSPC);
        }
        self.change_xattr(pid, ino, name, Some(value))
    }

    /// removexattr(2). `ENODATA` when there is none.
    pub fn remove_xattr(&mut self, pid: u32, ino: Ino, name: &OsStr) -> Result<(), Errno> {
        self.xattr(ino, name)?;
        self.change_xattr(pid, ino, name, None)
    }

    fn change_xattr(
        &mut self,
        pid: u32,
        ino: Ino,
        name: &OsStr,
        value: Option<&[u8]>,
    ) -> Result<(), Errno> {
        self.tree.set_xattr(ino, name, value.map(Arc::from))?;
        self.tree.get_mut(ino)?.ctime = wall_clock();
        let op = Op::SetXattr {
            ino,
            name: name.to_owned(),
            value: value.map(<[u8]>::to_vec),
        };
        self.record(pid, ino, op);
        Ok(())
    }

    /// Whether fallocate(2) can take this range and `mode`, as the call has it; what is not known
    /// there is `EOPNOTSUPP`.
    pub fn can_allocate(offset: u64, len: u64, mode: i32) -> Result<(), Errno> {
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
        let end = offset.checked_add(len).filter(|end| *end <= FILE_MAX);
        end.map(drop).ok_or(Errno::EFBIG)
    }

    /// fallocate(2) with `mode` as the call has it; refused as [`Disk::can_allocate`] says.
    pub fn allocate(
        &mut self,
        pid: u32,
        ino: Ino,
        offset: u64,
        len: u64,
        mode: i32,
    ) -> Result<(), Errno> {
        Self::can_allocate(offset, len, mode)?;
        self.note(|reads| reads.inode(ino));
        let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        let punch = mode & libc::FALLOC_FL_PUNCH_HOLE != 0;
        let zero = mode & libc::FALLOC_FL_ZERO_RANGE != 0;
        let end = offset + len;
        let content = self.tree.content(ino)?;
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
        if needed > self.free_pages() {
            self.full_hits += 1;
            return Err(Errno::ENOSPC);
        }
        self.tree.change(ino, |content| {
            if punch || zero {
                content.zero(offset, len, punch);
            } else {
                content.allocate(offset, len);
            }
            if size != old_size {
                content.truncate(size);
            }
        })?;
        if punch || zero {
            self.note(|reads| reads.wrote(ino, offset, end));
        }
        let now = wall_clock();
        let inode = self.tree.get_mut(ino)?;
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
        self.record(pid, ino, op);
        Ok(())
    }

    /// Appends up to `len` bytes from `offset` to `into`; `EIO` where a bad sector lies.
    pub fn read_bytes(
        &mut self,
        ino: Ino,
        offset: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let asked = offset.saturating_add(len as u64);
        self.note(|reads| reads.bytes(ino, offset, asked));
        let content = self.tree.content(ino)?;
        let end = asked.min(content.size());
        if offset < end
            && let Some(reads) = &mut self.reads
        {
            reads.push((ino, offset, end));
        }
        if offset < end && self.bad.hit(ino, offset, end) {
            self.bad_hits += 1;
            return Err(Errno::EIO);
        }
        content.read(offset, len, into);
        if offset < end && self.flipped.hit(ino, offset, end) {
            self.bad_hits += 1;
        }
        Ok(())
    }

    /// sync(2) (`machine`) or syncfs(2).
    pub fn sync_all(&mut self, pid: u32, machine: bool) {
        self.record_held(None);
        self.record(pid, ROOT, Op::SyncAll { machine });
    }

    /// fsync(2), fdatasync(2) (`data_only`), of a file or a directory (`dir`).
    pub fn sync(&mut self, pid: u32, ino: Ino, data_only: bool, dir: bool) -> Result<(), Errno> {
        self.record_held(Some(ino));
        self.record(
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

/// How many bytes the extended attributes of an inode may take: ext4's one block of 4 KiB, less its
/// header and end mark (`ext4_xattr_block_set` in fs/ext4/xattr.c).
const XATTR_ROOM: usize = PAGE - 32 - 4;

/// What an attribute takes of it: an entry of 16 bytes with the name behind its prefix, and the
/// value, each rounded up to 4 bytes.
fn xattr_room(name: &OsStr, value: &[u8]) -> usize {
    let name = name.len().saturating_sub(USER.len());
    16 + name.next_multiple_of(4) + value.len().next_multiple_of(4)
}

/// What the names of a user's extended attributes begin with.
const USER: &[u8] = b"user.";

fn check_xattr(name: &OsStr) -> Result<(), Errno> {
    if name.as_encoded_bytes().starts_with(USER) {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
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

/// The time now, as inodes keep it.
fn wall_clock() -> Nanos {
    from_system_time(SystemTime::now())
}
