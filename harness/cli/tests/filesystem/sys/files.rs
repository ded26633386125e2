//! Calls on open files.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use libc::{c_int, off_t};

use super::check;

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
        libc::pwritev2(
            file.as_raw_fd(),
            list.as_ptr(),
            list.len() as c_int,
            offset,
            flags,
        )
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
        libc::preadv2(
            file.as_raw_fd(),
            list.as_ptr(),
            list.len() as c_int,
            offset,
            flags,
        )
    };
    check(read as i64)
}

/// ioctl(2) with a pointer to 256 bytes: zeros, but for the second word, which is the length that
/// struct fiemap asks for.
pub(crate) fn ioctl(file: &File, request: libc::Ioctl) -> io::Result<()> {
    let mut buffer = [0u64; 32];
    buffer[1] = u64::MAX;
    // SAFETY: the requests used here write fewer bytes than the buffer has.
    check(unsafe { libc::ioctl(file.as_raw_fd(), request, buffer.as_mut_ptr()) }).map(drop)
}

/// ioctl(2) with a descriptor for its argument.
pub(crate) fn ioctl_fd(file: &File, request: libc::Ioctl, other: &File) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::ioctl(file.as_raw_fd(), request, other.as_raw_fd()) }).map(drop)
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
            check(libc::syscall(
                libc::SYS_io_submit,
                context,
                1,
                list.as_ptr(),
            ))?;
            let done = libc::syscall(
                libc::SYS_io_getevents,
                context,
                1,
                1,
                event.as_mut_ptr(),
                none,
            );
            check(done)?;
            *result = event[2];
        }
        check(libc::syscall(libc::SYS_io_destroy, context))?;
    }
    Ok((results[0], results[1]))
}
