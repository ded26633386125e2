//! Directories being listed.

use std::io;

use libc::c_long;

use super::path;

/// A directory being listed, with the calls that the standard library leaves out.
pub(crate) struct Listing(*mut libc::DIR);

impl Listing {
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let name = path(name)?;
        // SAFETY: the name ends in a zero byte.
        let dir = unsafe { libc::opendir(name.as_ptr()) };
        if dir.is_null() {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self(dir))
        }
    }

    /// The next name, with its inode number and type.
    pub(crate) fn next(&mut self) -> Option<(String, u64, u8)> {
        // SAFETY: the stream is open; the entry is copied before the next call.
        unsafe {
            let entry = libc::readdir(self.0);
            let entry = entry.as_ref()?;
            let name = std::ffi::CStr::from_ptr(entry.d_name.as_ptr());
            Some((
                name.to_string_lossy().into_owned(),
                entry.d_ino,
                entry.d_type,
            ))
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
