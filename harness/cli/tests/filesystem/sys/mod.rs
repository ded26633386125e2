//! The calls that the standard library has no safe form of.
//!
//! The only directory of this test with `unsafe`: each block passes pointers to memory that lives
//! longer than the call, and lengths that fit it.

#![expect(unsafe_code, reason = "this is the wall")]

mod files;
mod listing;
mod map;
mod names;
mod process;

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;

pub(crate) use files::{
    advise, aio, copy_range, fallocate, fcntl, flock, ftruncate, ioctl, ioctl_fd, lock, lseek,
    preadv2, pwritev2, sendfile, splice, sync_file_range, syncfs,
};
pub(crate) use listing::Listing;
pub(crate) use map::{Aligned, Map};
pub(crate) use names::{
    born, handle, inotify, linkat, mknod, open, openat, renameat2, rmdir, statvfs, truncate,
    utimens, xattr,
};
pub(crate) use process::{become_user, fork, ignore_size_signal, limit_file_size, tick, umask};

fn check<T: Into<i64> + Copy>(returned: T) -> io::Result<i64> {
    match returned.into() {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

fn path(path: impl AsRef<OsStr>) -> io::Result<CString> {
    Ok(CString::new(path.as_ref().as_bytes())?)
}
