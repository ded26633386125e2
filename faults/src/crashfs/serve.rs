//! The kernel's side: answers FUSE requests from a [`CrashFs`].
//!
//! What the kernel need not ask is not asked, because a round trip costs more than the work:
//! names and attributes are valid for a day (nobody else changes them), OPEN, OPENDIR, CREATE,
//! FLUSH and the xattr calls are refused once with ENOSYS, after which the kernel does without
//! (fs/fuse/file.c and dir.c: `no_open`, `no_create`, `no_flush`; xattr.c: `no_getxattr`).
//! Locks are left to the kernel, which is right as long as one machine mounts it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, Config, CopyFileRangeFlags, FileAttr, FileHandle, FileType, Filesystem,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyStatfs, ReplyWrite,
    Request, Session, SessionACL, TimeOrNow, WriteFlags,
};
use nix::errno::Errno;

use super::content::PAGE;
use super::fs::{CrashFs, FOR_EVER, State, wall_clock};
use super::log::Op;
use super::tree::{
    Attrs, Caller, FILE_MAX, Ino, Inode, NAME_MAX, NewNode, Node, RenameMode, from_system_time,
    to_system_time,
};
use crate::inject::OpKind;

/// The largest write that the kernel sends at once.
const MAX_WRITE: u32 = 1 << 20;

/// Serves `fs` on an open `/dev/fuse` that is mounted already, until it is unmounted or aborted.
/// Blocks; run it in a thread of its own, pinned to the target's CPU.
pub fn serve(fs: Arc<CrashFs>, device: OwnedFd) -> io::Result<()> {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    Session::from_fd(Server { fs }, device, SessionACL::All, config)?.run()
}

struct Server {
    fs: Arc<CrashFs>,
}

fn fail(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

fn caller(req: &Request) -> Caller {
    Caller {
        uid: req.uid(),
        gid: req.gid(),
        now: wall_clock(),
    }
}

fn file_type(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

fn file_attr(ino: Ino, inode: &Inode) -> FileAttr {
    FileAttr {
        ino: INodeNo(ino),
        size: inode.size(),
        blocks: inode.pages() * (PAGE as u64 / 512),
        atime: to_system_time(inode.atime),
        mtime: to_system_time(inode.mtime),
        ctime: to_system_time(inode.ctime),
        crtime: to_system_time(inode.crtime),
        kind: file_type(inode.mode),
        perm: (inode.mode & 0o7777) as u16,
        nlink: inode.nlink,
        uid: inode.uid,
        gid: inode.gid,
        rdev: inode.rdev,
        blksize: PAGE as u32,
        flags: 0,
    }
}

/// The answer that there is no such name, for the kernel to remember: inode number 0.
fn no_entry(reply: ReplyEntry) {
    let inode = Inode {
        node: Node::Special,
        mode: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        nlink: 0,
        atime: 0,
        mtime: 0,
        ctime: 0,
        crtime: 0,
        path: "".into(),
        lookups: 0,
    };
    reply.entry(&FOR_EVER, &file_attr(0, &inode), Generation(0));
}

fn answer_entry(state: &mut State, found: Result<Ino, Errno>, reply: ReplyEntry) {
    let attr = found.and_then(|ino| state.tree.get(ino).map(|inode| file_attr(ino, inode)));
    match attr {
        Ok(attr) => {
            state.tree.count_lookups(attr.ino.0, 1);
            reply.entry(&FOR_EVER, &attr, Generation(0));
        }
        Err(errno) => reply.error(fail(errno)),
    }
}

fn answer_empty(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(fail(errno)),
    }
}

impl Server {
    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        node: NewNode,
        mode: u32,
        reply: ReplyEntry,
    ) {
        let owner = caller(req);
        let mut state = match self.fs.admit(OpKind::Create, parent.0, Some(name)) {
            Ok(state) => state,
            Err(errno) => return reply.error(fail(errno)),
        };
        let takes_space = matches!(node, NewNode::Dir);
        if takes_space && state.free_pages() == 0 {
            state.full_hits += 1;
            return reply.error(fail(Errno::ENOSPC));
        }
        let created = state.tree.create(parent.0, name, &node, mode, owner);
        if let Ok(ino) = created {
            // The owner and mode that the new inode really has: its folder may have its say.
            let (mode, owner) = state
                .tree
                .get(ino)
                .map(|i| {
                    (
                        i.mode,
                        Caller {
                            uid: i.uid,
                            gid: i.gid,
                            now: owner.now,
                        },
                    )
                })
                .unwrap_or((mode, owner));
            let name = name.to_owned();
            let op = Op::Create {
                parent: parent.0,
                name,
                ino,
                node,
                mode,
                owner,
            };
            state.record(req.pid(), ino, op);
        }
        answer_entry(&mut state, created, reply);
    }

    fn remove(&self, req: &Request, parent: INodeNo, name: &OsStr, dir: bool) -> Result<(), Errno> {
        let mut state = self.fs.admit(OpKind::Unlink, parent.0, Some(name))?;
        let path = state.tree.path_of(parent.0, name);
        let now = wall_clock();
        let ino = if dir {
            state.tree.rmdir(parent.0, name, now)?
        } else {
            state.tree.unlink(parent.0, name, now)?
        };
        let op = Op::Unlink {
            parent: parent.0,
            name: name.to_owned(),
            ino,
            dir,
        };
        state.log.push(req.pid(), path, op);
        Ok(())
    }

    fn move_name(
        &self,
        req: &Request,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let mode = if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            RenameMode::Exchange
        } else if flags.contains(RenameFlags::RENAME_NOREPLACE) {
            RenameMode::NoReplace
        } else if flags.is_empty() {
            RenameMode::Replace
        } else {
            return Err(Errno::EINVAL);
        };
        let mut state = self.fs.admit(OpKind::Rename, to.0.0, Some(to.1))?;
        let path: Arc<str> = format!(
            "{} -> {}",
            state.tree.path_of(from.0.0, from.1),
            state.tree.path_of(to.0.0, to.1)
        )
        .into();
        let (ino, other) =
            state
                .tree
                .rename((from.0.0, from.1), (to.0.0, to.1), mode, wall_clock())?;
        let op = Op::Rename {
            from: (from.0.0, from.1.to_owned()),
            to: (to.0.0, to.1.to_owned()),
            ino,
            replaced: other,
            exchange: mode == RenameMode::Exchange,
        };
        state.log.push(req.pid(), path, op);
        Ok(())
    }

    fn write_bytes(
        &self,
        pid: u32,
        ino: INodeNo,
        offset: u64,
        mut data: &[u8],
    ) -> Result<u32, Errno> {
        let mut state = self.fs.admit(OpKind::Write, ino.0, None)?;
        let end = offset.checked_add(data.len() as u64).ok_or(Errno::EFBIG)?;
        if end > FILE_MAX {
            return Err(Errno::EFBIG);
        }
        let free = state.free_pages();
        // At most two pages more than the data fills: only then is an exact count worth it.
        if (data.len() / PAGE) as u64 + 2 > free {
            let content = state.tree.content(ino.0)?;
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
            state.bad.rewritten(ino.0, offset, end);
            state.flipped.rewritten(ino.0, offset, end);
        }
        let now = wall_clock();
        let old_size = state.tree.content(ino.0)?.size();
        let kept = state
            .tree
            .change(ino.0, |content| content.write(offset, data))?;
        let inode = state.tree.get_mut(ino.0)?;
        inode.mtime = now;
        inode.ctime = now;
        let path = inode.path.clone();
        state.log.push(
            pid,
            path,
            Op::Write {
                ino: ino.0,
                data: kept,
                old_size,
            },
        );
        Ok(data.len() as u32)
    }

    fn set_size(&self, pid: u32, ino: INodeNo, size: u64) -> Result<(), Errno> {
        let mut state = self.fs.admit(OpKind::Truncate, ino.0, None)?;
        if size > FILE_MAX {
            return Err(Errno::EFBIG);
        }
        let old_size = state.tree.content(ino.0)?.size();
        state.tree.change(ino.0, |content| content.truncate(size))?;
        let now = wall_clock();
        let inode = state.tree.get_mut(ino.0)?;
        inode.mtime = now;
        inode.ctime = now;
        state.record(
            pid,
            ino.0,
            Op::Truncate {
                ino: ino.0,
                old_size,
                size,
            },
        );
        Ok(())
    }

    fn set_attrs(&self, pid: u32, ino: INodeNo, attrs: Attrs) -> Result<(), Errno> {
        let mut state = self.fs.admit(OpKind::SetAttr, ino.0, None)?;
        let now = wall_clock();
        state.tree.set_attrs(ino.0, attrs, now)?;
        let attrs = Attrs {
            ctime: attrs.ctime.or(Some(now)),
            ..attrs
        };
        state.record(pid, ino.0, Op::SetAttrs { ino: ino.0, attrs });
        Ok(())
    }

    fn allocate(
        &self,
        req: &Request,
        ino: INodeNo,
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
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        if end > FILE_MAX {
            return Err(Errno::EFBIG);
        }
        let mut state = self.fs.admit(OpKind::Allocate, ino.0, None)?;
        let content = state.tree.content(ino.0)?;
        let old_size = content.size();
        let size = if keep_size {
            old_size
        } else {
            old_size.max(end)
        };
        if !punch && len.div_ceil(PAGE as u64) + 2 > state.free_pages() {
            let needed = state.tree.content(ino.0)?.pages_needed(offset, len);
            if needed > state.free_pages() {
                state.full_hits += 1;
                return Err(Errno::ENOSPC);
            }
        }
        state.tree.change(ino.0, |content| {
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
        let inode = state.tree.get_mut(ino.0)?;
        inode.ctime = now;
        if punch || zero || size != old_size {
            inode.mtime = now;
        }
        let ino = ino.0;
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
        state.record(req.pid(), ino, op);
        Ok(())
    }

    fn sync(&self, req: &Request, ino: INodeNo, data_only: bool, dir: bool) -> Result<(), Errno> {
        let kind = if dir { OpKind::SyncDir } else { OpKind::Sync };
        let mut state = self.fs.admit(kind, ino.0, None)?;
        state.record(
            req.pid(),
            ino.0,
            Op::Sync {
                ino: ino.0,
                data_only,
                dir,
            },
        );
        Ok(())
    }
}

/// How many bytes of a write fit into `free` more pages: a filesystem that runs full in the
/// middle of a write writes what fits.
fn longest_fit(content: &super::Content, offset: u64, len: usize, mut free: u64) -> usize {
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

impl Filesystem for Server {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Older kernels take less; the nearest value that they take comes back.
        if let Err(nearest) = config.set_max_write(MAX_WRITE) {
            let _ = config.set_max_write(nearest);
        }
        for wish in [
            InitFlags::FUSE_MAX_PAGES,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_NO_OPEN_SUPPORT,
            InitFlags::FUSE_NO_OPENDIR_SUPPORT,
        ] {
            let _ = config.add_capabilities(wish);
        }
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.fs.lock();
        match state.tree.lookup(parent.0, name) {
            Err(Errno::ENOENT) => no_entry(reply),
            found => answer_entry(&mut state, found, reply),
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        let count = i64::try_from(nlookup).unwrap_or(i64::MAX);
        self.fs.lock().tree.count_lookups(ino.0, -count);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.fs.lock().tree.get(ino.0) {
            Ok(inode) => reply.attr(&FOR_EVER, &file_attr(ino.0, inode)),
            Err(errno) => reply.error(fail(errno)),
        }
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let time = |time: TimeOrNow| match time {
            TimeOrNow::SpecificTime(time) => from_system_time(time),
            TimeOrNow::Now => wall_clock(),
        };
        let attrs = Attrs {
            mode,
            uid,
            gid,
            atime: atime.map(time),
            mtime: mtime.map(time),
            ctime: ctime.map(from_system_time),
        };
        let sized = size.map_or(Ok(()), |size| self.set_size(req.pid(), ino, size));
        let changed = sized.and_then(|()| {
            // A truncation carries its own times; recording them again would say nothing.
            let only_size = size.is_some() && mode.is_none() && uid.is_none() && gid.is_none();
            if only_size || attrs == Attrs::default() {
                return Ok(());
            }
            self.set_attrs(req.pid(), ino, attrs)
        });
        match changed {
            Ok(()) => self.getattr(req, ino, None, reply),
            Err(errno) => reply.error(fail(errno)),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.fs.lock().tree.get(ino.0).map(|inode| &inode.node) {
            Ok(Node::Symlink(to)) => reply.data(to.as_bytes()),
            Ok(_) => reply.error(fail(Errno::EINVAL)),
            Err(errno) => reply.error(fail(errno)),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let node = match mode & libc::S_IFMT {
            libc::S_IFREG | 0 => NewNode::File,
            _ => NewNode::Special { rdev },
        };
        self.create(req, parent, name, node, mode, reply);
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        self.create(req, parent, name, NewNode::Dir, mode, reply);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let node = NewNode::Symlink(target.as_os_str().to_owned());
        self.create(req, parent, link_name, node, 0o777, reply);
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(self.remove(req, parent, name, false), reply);
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(self.remove(req, parent, name, true), reply);
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer_empty(
            self.move_name(req, (parent, name), (newparent, newname), flags),
            reply,
        );
    }

    fn link(
        &self,
        req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let mut state = match self.fs.admit(OpKind::Link, newparent.0, Some(newname)) {
            Ok(state) => state,
            Err(errno) => return reply.error(fail(errno)),
        };
        let linked = state.tree.link(ino.0, newparent.0, newname, wall_clock());
        if linked.is_ok() {
            let path = state.tree.path_of(newparent.0, newname);
            let op = Op::Link {
                ino: ino.0,
                parent: newparent.0,
                name: newname.to_owned(),
            };
            state.log.push(req.pid(), path, op);
        }
        answer_entry(&mut state, linked.map(|()| ino.0), reply);
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: fuser::ReplyOpen) {
        reply.error(fail(Errno::ENOSYS));
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: fuser::ReplyOpen) {
        reply.error(fail(Errno::ENOSYS));
    }

    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: fuser::ReplyCreate,
    ) {
        reply.error(fail(Errno::ENOSYS));
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(fail(Errno::ENOSYS));
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = match self.fs.admit(OpKind::Read, ino.0, None) {
            Ok(state) => state,
            Err(errno) => return reply.error(fail(errno)),
        };
        let content = match state.tree.content(ino.0) {
            Ok(content) => content,
            Err(errno) => return reply.error(fail(errno)),
        };
        let end = offset.saturating_add(u64::from(size)).min(content.size());
        if offset < end && state.bad.hit(ino.0, offset, end) {
            state.bad_hits += 1;
            return reply.error(fail(Errno::EIO));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        content.read(offset, size as usize, &mut bytes);
        if !state.flipped.is_empty() && state.flipped.hit(ino.0, offset, end) {
            state.bad_hits += 1;
        }
        drop(state);
        reply.data(&bytes);
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // Write-back of a shared mapping names no process.
        let cached = write_flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let pid = if cached { 0 } else { req.pid() };
        match self.write_bytes(pid, ino, offset, data) {
            Ok(written) => reply.written(written),
            Err(errno) => reply.error(fail(errno)),
        }
    }

    fn fsync(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        answer_empty(self.sync(req, ino, datasync, false), reply);
    }

    fn fsyncdir(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        answer_empty(self.sync(req, ino, datasync, true), reply);
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.fs.lock();
        let dir = match state.tree.dir(ino.0) {
            Ok(dir) => dir,
            Err(errno) => return reply.error(fail(errno)),
        };
        for (cookie, name, to) in [(1, ".", ino.0), (2, "..", dir.parent)] {
            if offset < cookie && reply.add(INodeNo(to), cookie, FileType::Directory, name) {
                return reply.ok();
            }
        }
        for (cookie, name, to) in dir.list_from(offset.max(2)) {
            let kind = state
                .tree
                .get(to)
                .map_or(FileType::RegularFile, |i| file_type(i.mode));
            if reply.add(INodeNo(to), cookie, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let state = self.fs.lock();
        let (total, free) = (state.space.total, state.free_pages());
        let inodes = state.tree.inode_count();
        // One inode for each 16 KiB, mke2fs's usual ratio.
        let files = (total / 4).max(inodes);
        reply.statfs(
            total,
            free,
            free,
            files,
            files - inodes,
            PAGE as u32,
            NAME_MAX as u32,
            PAGE as u32,
        );
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer_empty(self.allocate(req, ino, offset, length, mode), reply);
    }

    fn lseek(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let state = self.fs.lock();
        let found = match (state.tree.content(ino.0), u64::try_from(offset)) {
            (Ok(content), Ok(offset)) => content.seek(offset, whence == libc::SEEK_DATA),
            (Err(errno), _) => return reply.error(fail(errno)),
            _ => None,
        };
        match found.and_then(|at| i64::try_from(at).ok()) {
            Some(at) => reply.offset(at),
            None => reply.error(fail(Errno::ENXIO)),
        }
    }

    fn copy_file_range(
        &self,
        req: &Request,
        ino_in: INodeNo,
        _fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // As much as one write carries: the caller asks again for the rest, as it must anyway.
        let mut bytes = Vec::new();
        let len = usize::try_from(len)
            .unwrap_or(usize::MAX)
            .min(MAX_WRITE as usize);
        {
            let state = match self.fs.admit(OpKind::Read, ino_in.0, None) {
                Ok(state) => state,
                Err(errno) => return reply.error(fail(errno)),
            };
            match state.tree.content(ino_in.0) {
                Ok(content) => content.read(offset_in, len, &mut bytes),
                Err(errno) => return reply.error(fail(errno)),
            }
            if state
                .bad
                .hit(ino_in.0, offset_in, offset_in + bytes.len() as u64)
            {
                return reply.error(fail(Errno::EIO));
            }
        }
        if bytes.is_empty() {
            return reply.written(0);
        }
        match self.write_bytes(req.pid(), ino_out, offset_out, &bytes) {
            Ok(written) => reply.written(written),
            Err(errno) => reply.error(fail(errno)),
        }
    }
}
