//! Memory that files are mapped to, and memory that O_DIRECT takes.
//!
//! Mappings are read and written through raw pointers, because another process or call may change
//! them at any time.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use libc::c_int;

use super::check;

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
        Self::new(
            file,
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            0,
        )
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
        let at = unsafe { libc::mremap(self.at.cast(), self.len, len, libc::MREMAP_MAYMOVE) };
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
