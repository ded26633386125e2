//! Calls on names, relative to the working directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;

use libc::c_int;

use super::{check, path};

/// open(2).
pub(crate) fn open(name: impl AsRef<OsStr>, flags: c_int, mode: u32) -> io::Result<File> {
    openat(libc::AT_FDCWD, name, flags, mode)
}

/// openat(2).
pub(crate) fn openat(
    directory: c_int,
    name: impl AsRef<OsStr>,
    flags: c_int,
    mode: u32,
) -> io::Result<File> {
    let name = path(name)?;
    // SAFETY: `name` ends in a zero byte; the descriptor that comes back is ours alone.
    unsafe {
        let fd = check(libc::openat(
            directory,
            name.as_ptr(),
            flags | libc::O_CLOEXEC,
            mode,
        ))?;
        Ok(File::from_raw_fd(fd as c_int))
    }
}

/// renameat2(2) in the working directory.
pub(crate) fn renameat2(from: &str, to: &str, flags: u32) -> io::Result<()> {
    let (from, to, here) = (path(from)?, path(to)?, libc::AT_FDCWD);
    // SAFETY: both names end in a zero byte.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            here,
            from.as_ptr(),
            here,
            to.as_ptr(),
            flags,
        )
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
        check(libc::statx(
            here,
            name.as_ptr(),
            0,
            mask,
            found.as_mut_ptr(),
        ))?;
        found.assume_init()
    };
    let known = found.stx_mask & libc::STATX_BTIME != 0;
    Ok(known.then_some(found.stx_btime.tv_sec))
}

/// name_to_handle_at(2); the handle is thrown away.
pub(crate) fn handle(name: &str) -> io::Result<()> {
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
    check(done).map(drop)
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

/// utimensat(2) in the working directory; times in seconds and nanoseconds, or UTIME_NOW and
/// UTIME_OMIT.
pub(crate) fn utimens(name: &str, times: [(i64, i64); 2], flags: c_int) -> io::Result<()> {
    let name = path(name)?;
    let times = times.map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec });
    // SAFETY: the name ends in a zero byte, and there are two times.
    let done = unsafe { libc::utimensat(libc::AT_FDCWD, name.as_ptr(), times.as_ptr(), flags) };
    check(done).map(drop)
}

/// inotify(7) on a directory: the non-blocking stream of its events.
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
