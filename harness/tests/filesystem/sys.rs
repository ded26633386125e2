//! The calls that the standard library has no safe form of.
//!
//! The only file of this test with `unsafe`: each block passes pointers to memory that lives
//! longer than the call, and lengths that fit it. Mappings are read and written through raw
//! pointers, because another process or call may change them at any time.

#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;

use libc::{c_int, c_long, off_t};

use crate::outcome::{Outcome, Trouble};

fn check<T: Into<i64> + Copy>(returned: T) -> io::Result<i64> {
    match returned.into() {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

fn path(path: impl AsRef<OsStr>) -> io::Result<CString> {
    Ok(CString::new(path.as_ref().as_bytes())?)
}

/// open(2).
pub(crate) fn open(name: impl AsRef<OsStr>, flags: c_int, mode: u32) -> io::Result<File> {
    openat(libc::AT_FDCWD, name, flags, mode)
}

/// openat(2).
pub(crate) fn openat(
    folder: c_int,
    name: impl AsRef<OsStr>,
    flags: c_int,
    mode: u32,
) -> io::Result<File> {
    let name = path(name)?;
    // SAFETY: `name` ends in a zero byte; the descriptor that comes back is ours alone.
    unsafe {
        let fd = check(libc::openat(folder, name.as_ptr(), flags | libc::O_CLOEXEC, mode))?;
        Ok(File::from_raw_fd(fd as c_int))
    }
}

/// renameat2(2) in the working directory.
pub(crate) fn renameat2(from: &str, to: &str, flags: u32) -> io::Result<()> {
    let (from, to, here) = (path(from)?, path(to)?, libc::AT_FDCWD);
    // SAFETY: both names end in a zero byte.
    let done = unsafe {
        libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), flags)
    };
    check(done).map(drop)
}

/// linkat(2) in the working directory.
pub(crate) fn linkat(from: &str, to: &str, flags: c_int) -> io::Result<()> {
    let (from, to, here) = (path(from)?, path(to)?, libc::AT_FDCWD);
    // SAFETY: both names end in a zero byte.
    check(unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), flags) }).map(drop)
}

/// rmdir(2), which the standard library calls with the path cleaned.
pub(crate) fn rmdir(name: &str) -> io::Result<()> {
    let name = path(name)?;
    // SAFETY: the name ends in a zero byte.
    check(unsafe { libc::rmdir(name.as_ptr()) }).map(drop)
}

/// mknod(2).
pub(crate) fn mknod(name: &str, mode: u32, device: u64) -> io::Result<()> {
    let name = path(name)?;
    // SAFETY: the name ends in a zero byte.
    check(unsafe { libc::mknod(name.as_ptr(), mode, device) }).map(drop)
}

/// truncate(2) with any length.
pub(crate) fn truncate(name: &str, size: i64) -> io::Result<()> {
    let name = path(name)?;
    // SAFETY: the name ends in a zero byte.
    check(unsafe { libc::truncate(name.as_ptr(), size) }).map(drop)
}

/// ftruncate(2) with any length.
pub(crate) fn ftruncate(file: &File, size: i64) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::ftruncate(file.as_raw_fd(), size) }).map(drop)
}

/// fallocate(2).
pub(crate) fn fallocate(file: &File, mode: c_int, offset: off_t, len: off_t) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, len) }).map(drop)
}

/// lseek(2) with any `whence`.
pub(crate) fn lseek(file: &File, offset: i64, whence: c_int) -> io::Result<i64> {
    // SAFETY: no pointers.
    check(unsafe { libc::lseek(file.as_raw_fd(), offset, whence) })
}

/// flock(2).
pub(crate) fn flock(file: &File, operation: c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::flock(file.as_raw_fd(), operation) }).map(drop)
}

/// fcntl(2) with a number.
pub(crate) fn fcntl(file: &File, command: c_int, value: c_int) -> io::Result<i64> {
    // SAFETY: the commands used here take an int.
    check(unsafe { libc::fcntl(file.as_raw_fd(), command, value) })
}

/// fcntl(2) on a lock of `len` bytes at `start`. Returns the kind and holder that F_GETLK found.
pub(crate) fn lock(
    file: &File,
    command: c_int,
    kind: c_int,
    (start, len): (i64, i64),
) -> io::Result<(c_int, i32)> {
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    };
    // SAFETY: `lock` lives until the call returns.
    check(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) })?;
    Ok((c_int::from(lock.l_type), lock.l_pid))
}

/// sync_file_range(2) over the whole file.
pub(crate) fn sync_file_range(file: &File) -> io::Result<()> {
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: no pointers.
    check(unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, all) }).map(drop)
}

/// syncfs(2).
pub(crate) fn syncfs(file: &File) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syncfs(file.as_raw_fd()) }).map(drop)
}

/// posix_fadvise(2) over the whole file.
pub(crate) fn advise(file: &File, advice: c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// copy_file_range(2) at explicit offsets.
pub(crate) fn copy_range(
    (from, mut at): (&File, i64),
    (to, mut into): (&File, i64),
    len: usize,
    flags: u32,
) -> io::Result<i64> {
    // SAFETY: both offsets live until the call returns.
    let copied = unsafe {
        libc::copy_file_range(
            from.as_raw_fd(),
            &raw mut at,
            to.as_raw_fd(),
            &raw mut into,
            len,
            flags,
        )
    };
    check(copied as i64)
}

/// sendfile(2) from the beginning of `from`.
pub(crate) fn sendfile(from: &File, to: &impl AsRawFd, len: usize) -> io::Result<i64> {
    let mut at = 0;
    // SAFETY: the offset lives until the call returns.
    check(unsafe { libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), &raw mut at, len) } as i64)
}

/// splice(2) at the files' own positions.
pub(crate) fn splice(from: &impl AsRawFd, to: &impl AsRawFd, len: usize) -> io::Result<i64> {
    let none = std::ptr::null_mut();
    // SAFETY: null stands for "no offset".
    check(unsafe { libc::splice(from.as_raw_fd(), none, to.as_raw_fd(), none, len, 0) } as i64)
}

fn vectors(buffers: &mut [&mut [u8]]) -> Vec<libc::iovec> {
    let one = |buffer: &mut &mut [u8]| libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    buffers.iter_mut().map(one).collect()
}

/// pwritev2(2). The buffers are not changed.
pub(crate) fn pwritev2(
    file: &File,
    buffers: &mut [&mut [u8]],
    offset: i64,
    flags: c_int,
) -> io::Result<i64> {
    let list = vectors(buffers);
    // SAFETY: the list and what it points to live until the call returns.
    let written = unsafe {
        libc::pwritev2(file.as_raw_fd(), list.as_ptr(), list.len() as c_int, offset, flags)
    };
    check(written as i64)
}

/// preadv2(2).
pub(crate) fn preadv2(
    file: &File,
    buffers: &mut [&mut [u8]],
    offset: i64,
    flags: c_int,
) -> io::Result<i64> {
    let list = vectors(buffers);
    // SAFETY: the list and what it points to live until the call returns, borrowed mutably.
    let read = unsafe {
        libc::preadv2(file.as_raw_fd(), list.as_ptr(), list.len() as c_int, offset, flags)
    };
    check(read as i64)
}

/// statvfs(3) of the working directory.
pub(crate) fn statvfs() -> io::Result<libc::statvfs> {
    let mut found = std::mem::MaybeUninit::zeroed();
    // SAFETY: all bytes zero are a valid value, and the call writes no more than the struct.
    unsafe {
        check(libc::statvfs(c".".as_ptr(), found.as_mut_ptr()))?;
        Ok(found.assume_init())
    }
}

/// The birth time by statx(2): seconds, if the filesystem tells it.
pub(crate) fn born(name: &str) -> io::Result<Option<i64>> {
    let name = path(name)?;
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: all bytes zero are a valid value, and the call writes no more than the struct.
    let found = unsafe {
        let (here, mask) = (libc::AT_FDCWD, libc::STATX_BTIME);
        check(libc::statx(here, name.as_ptr(), 0, mask, found.as_mut_ptr()))?;
        found.assume_init()
    };
    let told = found.stx_mask & libc::STATX_BTIME != 0;
    Ok(told.then_some(found.stx_btime.tv_sec))
}

/// name_to_handle_at(2): the number of bytes in the handle.
pub(crate) fn handle(name: &str) -> io::Result<u32> {
    let name = path(name)?;
    let mut buffer = [0u32; 2 + 32];
    buffer[0] = 128;
    let mut mount = 0;
    // SAFETY: the buffer begins with its own length, as struct file_handle does.
    let done = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            name.as_ptr(),
            buffer.as_mut_ptr(),
            &raw mut mount,
            0,
        )
    };
    check(done)?;
    Ok(buffer[0])
}

/// ioctl(2) with a pointer to 256 bytes of zeros.
pub(crate) fn ioctl(file: &File, request: libc::Ioctl) -> io::Result<()> {
    let mut buffer = [0u64; 32];
    // SAFETY: the requests used here write fewer bytes than the buffer has.
    check(unsafe { libc::ioctl(file.as_raw_fd(), request, buffer.as_mut_ptr()) }).map(drop)
}

/// ioctl(2) with a descriptor for its argument.
pub(crate) fn ioctl_fd(file: &File, request: libc::Ioctl, other: &File) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::ioctl(file.as_raw_fd(), request, other.as_raw_fd()) }).map(drop)
}

/// The calls of extended attributes.
pub(crate) mod xattr {
    use super::{check, io, path};

    pub(crate) fn set(name: &str, key: &str, value: &[u8]) -> io::Result<()> {
        let (name, key) = (path(name)?, path(key)?);
        let (bytes, len) = (value.as_ptr().cast(), value.len());
        // SAFETY: names end in a zero byte, the value has its length.
        check(unsafe { libc::setxattr(name.as_ptr(), key.as_ptr(), bytes, len, 0) }).map(drop)
    }

    pub(crate) fn get(name: &str, key: &str) -> io::Result<i64> {
        let (name, key) = (path(name)?, path(key)?);
        let mut value = [0u8; 256];
        let (bytes, len) = (value.as_mut_ptr().cast(), value.len());
        // SAFETY: names end in a zero byte, the buffer has its length.
        check(unsafe { libc::getxattr(name.as_ptr(), key.as_ptr(), bytes, len) } as i64)
    }

    pub(crate) fn list(name: &str) -> io::Result<i64> {
        let name = path(name)?;
        // SAFETY: the name ends in a zero byte; a length of 0 asks for the length only.
        check(unsafe { libc::listxattr(name.as_ptr(), std::ptr::null_mut(), 0) } as i64)
    }

    pub(crate) fn remove(name: &str, key: &str) -> io::Result<()> {
        let (name, key) = (path(name)?, path(key)?);
        // SAFETY: names end in a zero byte.
        check(unsafe { libc::removexattr(name.as_ptr(), key.as_ptr()) }).map(drop)
    }
}

/// A mapping, unmapped when it is dropped.
pub(crate) struct Map {
    at: *mut u8,
    len: usize,
}

impl Map {
    /// mmap(2).
    pub(crate) fn new(
        file: &File,
        len: usize,
        protection: c_int,
        flags: c_int,
        offset: i64,
    ) -> io::Result<Self> {
        let (none, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: the kernel chooses the place, so nothing that exists is replaced.
        let at = unsafe { libc::mmap(none, len, protection, flags, fd, offset) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { at: at.cast(), len })
    }

    /// Readable, writable, shared, from the beginning.
    pub(crate) fn shared(file: &File, len: usize) -> io::Result<Self> {
        Self::new(file, len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, 0)
    }

    /// Stores one byte.
    pub(crate) fn put(&self, at: usize, byte: u8) {
        assert!(at < self.len);
        // SAFETY: inside the mapping; where no file lies under it the process gets SIGBUS.
        unsafe { self.at.add(at).write_volatile(byte) }
    }

    /// Loads one byte.
    pub(crate) fn get(&self, at: usize) -> u8 {
        assert!(at < self.len);
        // SAFETY: as in `put`.
        unsafe { self.at.add(at).read_volatile() }
    }

    /// msync(2) with MS_SYNC.
    pub(crate) fn sync(&self) -> io::Result<()> {
        // SAFETY: exactly this mapping.
        check(unsafe { libc::msync(self.at.cast(), self.len, libc::MS_SYNC) }).map(drop)
    }

    /// madvise(2).
    pub(crate) fn advise(&self, advice: c_int) -> io::Result<()> {
        // SAFETY: exactly this mapping, which holds nothing of Rust's.
        check(unsafe { libc::madvise(self.at.cast(), self.len, advice) }).map(drop)
    }

    /// mremap(2), at any place.
    pub(crate) fn resize(&mut self, len: usize) -> io::Result<()> {
        // SAFETY: exactly this mapping; its old place is not used again.
        let at =
            unsafe { libc::mremap(self.at.cast(), self.len, len, libc::MREMAP_MAYMOVE) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        (self.at, self.len) = (at.cast(), len);
        Ok(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: exactly this mapping, used by nobody any more.
        unsafe { libc::munmap(self.at.cast(), self.len) };
    }
}

/// A buffer whose first byte lies `skew` bytes behind a page boundary, as O_DIRECT asks for.
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    from: usize,
    len: usize,
}

impl Aligned {
    pub(crate) fn new(len: usize, skew: usize, fill: u8) -> Self {
        let bytes = vec![fill; len + skew + 4096];
        let from = bytes.as_ptr().align_offset(4096) + skew;
        Self { bytes, from, len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[self.from..self.from + self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..self.from + self.len]
    }
}

/// A folder being listed, with the calls that the standard library leaves out.
pub(crate) struct Listing(*mut libc::DIR);

impl Listing {
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let name = path(name)?;
        // SAFETY: the name ends in a zero byte.
        let dir = unsafe { libc::opendir(name.as_ptr()) };
        if dir.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(dir)) }
    }

    /// The next name, with its inode number and type.
    pub(crate) fn next(&mut self) -> Option<(String, u64, u8)> {
        // SAFETY: the stream is open; the entry is copied before the next call.
        unsafe {
            let entry = libc::readdir(self.0);
            let entry = entry.as_ref()?;
            let name = std::ffi::CStr::from_ptr(entry.d_name.as_ptr());
            Some((name.to_string_lossy().into_owned(), entry.d_ino, entry.d_type))
        }
    }

    pub(crate) fn tell(&self) -> c_long {
        // SAFETY: the stream is open.
        unsafe { libc::telldir(self.0) }
    }

    pub(crate) fn seek(&mut self, to: c_long) {
        // SAFETY: the stream is open, and `to` comes from `tell`.
        unsafe { libc::seekdir(self.0, to) }
    }

    pub(crate) fn rewind(&mut self) {
        // SAFETY: the stream is open.
        unsafe { libc::rewinddir(self.0) }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        // SAFETY: open until here.
        unsafe { libc::closedir(self.0) };
    }
}

/// What runs in another process.
pub(crate) struct Child {
    pid: libc::pid_t,
    said: File,
}

impl Child {
    /// Waits for its end, and returns what it found, or the signal that killed it.
    pub(crate) fn outcome(mut self) -> Outcome {
        let mut said = String::new();
        io::Read::read_to_string(&mut self.said, &mut said)?;
        let mut status = 0;
        // SAFETY: our own child, waited for once.
        check(unsafe { libc::waitpid(self.pid, &raw mut status, 0) })?;
        if libc::WIFSIGNALED(status) {
            return Ok(match libc::WTERMSIG(status) {
                libc::SIGBUS => "SIGBUS".into(),
                libc::SIGSEGV => "SIGSEGV".into(),
                libc::SIGXFSZ => "SIGXFSZ".into(),
                other => format!("signal {other}"),
            });
        }
        match libc::WEXITSTATUS(status) {
            0 => Ok(said),
            NOT_MEASURED => Err(Trouble::NotMeasured(said)),
            _ => Err(Trouble::Other(said)),
        }
    }
}

const NOT_MEASURED: c_int = 3;

/// Runs `work` in another process. The caller must have no second thread.
pub(crate) fn fork(work: impl FnOnce() -> Outcome) -> io::Result<Child> {
    let mut ends = [0; 2];
    // SAFETY: with one thread the child may do all that the parent may; it leaves by `_exit`, so
    // that nothing of the parent's is torn down twice.
    unsafe {
        check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        let (read, mut write) = (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]));
        let pid = check(libc::fork())?;
        if pid == 0 {
            drop(read);
            let (text, code) = match work() {
                Ok(text) => (text, 0),
                Err(Trouble::NotMeasured(text)) => (text, NOT_MEASURED),
                Err(other) => (other.to_string(), 1),
            };
            let _ = io::Write::write_all(&mut write, text.as_bytes());
            libc::_exit(code);
        }
        Ok(Child { pid: pid as libc::pid_t, said: read })
    }
}

/// Makes this process user `uid` with group `gid` and no other group, for good.
pub(crate) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: no pointers that are followed.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setgid(gid))?;
        check(libc::setuid(uid)).map(drop)
    }
}

/// umask(2): sets it and returns the old one.
pub(crate) fn umask(mask: u32) -> u32 {
    // SAFETY: no pointers; never fails.
    unsafe { libc::umask(mask) }
}

/// Limits the size of this process's files, for good.
pub(crate) fn limit_file_size(bytes: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the limit lives until the call returns.
    check(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }).map(drop)
}

/// Ignores SIGXFSZ, so that the call fails instead.
pub(crate) fn ignore_size_signal() {
    // SAFETY: SIG_IGN runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// utimensat(2) in the working directory; times in seconds and nanoseconds, or UTIME_NOW and
/// UTIME_OMIT.
pub(crate) fn utimens(name: &str, times: [(i64, i64); 2], flags: c_int) -> io::Result<()> {
    let name = path(name)?;
    let times = times.map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec });
    // SAFETY: the name ends in a zero byte, and there are two times.
    let done =
        unsafe { libc::utimensat(libc::AT_FDCWD, name.as_ptr(), times.as_ptr(), flags) };
    check(done).map(drop)
}

/// Waits until the clock that filesystems stamp with has gone on.
pub(crate) fn tick() {
    let now = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the time lives until the call returns.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) };
        (time.tv_sec, time.tv_nsec)
    };
    let before = now();
    while now() == before {
        std::thread::yield_now();
    }
}

/// inotify(7) on a folder: the non-blocking stream of its events.
pub(crate) fn inotify(name: &str, mask: u32) -> io::Result<File> {
    let name = path(name)?;
    // SAFETY: the name ends in a zero byte; the descriptor that comes back is ours alone.
    unsafe {
        let fd = check(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC))? as c_int;
        let stream = File::from_raw_fd(fd);
        check(libc::inotify_add_watch(fd, name.as_ptr(), mask))?;
        Ok(stream)
    }
}

/// Writes, then reads back, through the kernel's asynchronous I/O (io_submit(2)).
pub(crate) fn aio(file: &File, data: &mut [u8]) -> io::Result<(i64, i64)> {
    #[repr(C)]
    #[derive(Default)]
    struct Block {
        data: u64,
        key: u32,
        rw_flags: u32,
        opcode: u16,
        priority: i16,
        fd: u32,
        buffer: u64,
        bytes: u64,
        offset: i64,
        rest: [u64; 2],
    }
    const READ: u16 = 0;
    const WRITE: u16 = 1;
    let mut context: u64 = 0;
    let mut results = [0; 2];
    // SAFETY: blocks, events and the data live until io_getevents has returned; the layouts are
    // those of struct iocb and struct io_event (linux/aio_abi.h).
    unsafe {
        check(libc::syscall(libc::SYS_io_setup, 4, &raw mut context))?;
        for (opcode, result) in [WRITE, READ].into_iter().zip(&mut results) {
            let block = Block {
                opcode,
                fd: file.as_raw_fd() as u32,
                buffer: data.as_mut_ptr() as u64,
                bytes: data.len() as u64,
                ..Block::default()
            };
            let list = [&raw const block];
            let mut event = [0i64; 4];
            let none = std::ptr::null::<libc::timespec>();
            check(libc::syscall(libc::SYS_io_submit, context, 1, list.as_ptr()))?;
            let done = libc::syscall(libc::SYS_io_getevents, context, 1, 1, event.as_mut_ptr(), none);
            check(done)?;
            *result = event[2];
        }
        check(libc::syscall(libc::SYS_io_destroy, context))?;
    }
    Ok((results[0], results[1]))
}
