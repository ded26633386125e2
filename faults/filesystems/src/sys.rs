//! Kernel calls that no safe wrapper offers: the wall around this crate's unsafe code. Each takes open
//! descriptors and plain data alone.
#![expect(unsafe_code, reason = "this is the wall")]

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// `LOOP_CTL_GET_FREE` and `LOOP_CONFIGURE` of linux/loop.h.
const LOOP_CTL_GET_FREE: u64 = 0x4C82;
const LOOP_CONFIGURE: u64 = 0x4C0A;
/// `LO_FLAGS_AUTOCLEAR` and `LO_FLAGS_DIRECT_IO`: the device lets go of its file when it is closed, and keeps
/// no copy of it in the page cache.
const LO_FLAGS: u32 = 4 | 16;
/// `BTRFS_IOC_FORGET_DEV`, `BTRFS_IOC_WAIT_SYNC` and `BTRFS_IOC_START_SYNC` of linux/btrfs.h.
const BTRFS_IOC_FORGET_DEV: u64 = 0x5000_9405;
const BTRFS_IOC_WAIT_SYNC: u64 = 0x4008_9416;
const BTRFS_IOC_START_SYNC: u64 = 0x8008_9418;

/// `PR_SET_IO_FLUSHER` of linux/prctl.h.
const PR_SET_IO_FLUSHER: libc::c_int = 57;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    numbers: [u64; 5],
    number: u32,
    encrypt: [u32; 2],
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct BtrfsVolume {
    fd: i64,
    name: [u8; 4088],
}

fn done(result: libc::c_int) -> io::Result<libc::c_int> {
    Ok(Errno::result(result)?)
}

/// Has the kernel not wait for a filesystem while it makes memory available to this thread, and those that
/// it starts: they serve one.
pub(crate) fn serves_io() -> io::Result<()> {
    // SAFETY: integers only.
    done(unsafe { libc::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) }).map(drop)
}

/// The number of a loop device that is free at this moment.
pub(crate) fn free_loop(control: impl AsFd) -> io::Result<u32> {
    // SAFETY: this request takes no argument.
    let number = done(unsafe { libc::ioctl(control.as_fd().as_raw_fd(), LOOP_CTL_GET_FREE as _) })?;
    u32::try_from(number).map_err(io::Error::other)
}

/// Puts a loop device over a file. `EBUSY` where somebody else has taken it since.
pub(crate) fn configure_loop(device: impl AsFd, file: impl AsFd) -> io::Result<()> {
    let config = LoopConfig {
        fd: u32::try_from(file.as_fd().as_raw_fd()).map_err(io::Error::other)?,
        block_size: 512,
        info: LoopInfo {
            numbers: [0; 5],
            number: 0,
            encrypt: [0; 2],
            flags: LO_FLAGS,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    let device = device.as_fd().as_raw_fd();
    // SAFETY: the request reads one loop_config, which outlives the call.
    done(unsafe { libc::ioctl(device, LOOP_CONFIGURE as _, &raw const config) }).map(drop)
}

/// Writes data of a file back and waits for it: no metadata is committed (sync_file_range(2)).
pub(crate) fn write_back(file: impl AsFd, range: Range<u64>) -> io::Result<()> {
    let bytes = |at: u64| i64::try_from(at).map_err(io::Error::other);
    let (from, length) = (bytes(range.start)?, bytes(range.end - range.start)?);
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: integers only.
    done(unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), from, length, flags) }).map(drop)
}

/// Commits btrfs' transaction, and waits for it: no data is written back.
pub(crate) fn commit_btrfs(directory: impl AsFd) -> io::Result<()> {
    let directory = directory.as_fd().as_raw_fd();
    let mut transaction = 0u64;
    // SAFETY: the request writes one u64.
    let begun = unsafe { libc::ioctl(directory, BTRFS_IOC_START_SYNC as _, &raw mut transaction) };
    done(begun)?;
    // SAFETY: the request reads one u64.
    let waited =
        unsafe { libc::ioctl(directory, BTRFS_IOC_WAIT_SYNC as _, &raw const transaction) };
    done(waited).map(drop)
}

/// Has btrfs forget a device that it does not use now, for another one with the same content comes.
pub(crate) fn forget_btrfs(control: impl AsFd, device: &str) -> io::Result<()> {
    let mut volume = Box::new(BtrfsVolume {
        fd: 0,
        name: [0; 4088],
    });
    // The last byte stays 0.
    let length = device.len().min(volume.name.len() - 1);
    volume.name[..length].copy_from_slice(&device.as_bytes()[..length]);
    let control = control.as_fd().as_raw_fd();
    // SAFETY: the request reads one btrfs_ioctl_vol_args.
    done(unsafe { libc::ioctl(control, BTRFS_IOC_FORGET_DEV as _, &raw const *volume) }).map(drop)
}
