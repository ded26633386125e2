//! A loop device over a file, which goes with its last user.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::sys;

/// How long it may take until a loop device is free. One that was let go of is free a moment later.
const FREE_WITHIN: Duration = Duration::from_secs(10);
/// The major number of loop devices (Documentation/admin-guide/devices.txt).
const MAJOR: u64 = 7;

/// A loop device. It is detached when this and every mount of it are gone.
pub(crate) struct LoopDevice {
    /// Where it is.
    pub(crate) path: PathBuf,
    _device: File,
}

impl LoopDevice {
    /// Attaches one to a file. Where there is no node for it (a container's `/dev`), it is made in `own`.
    pub(crate) fn attach(file: &File, own: &Path) -> io::Result<Self> {
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/loop-control")?;
        let until = Instant::now() + FREE_WITHIN;
        loop {
            let number = sys::free_loop(&control)?;
            let path = node(number, own)?;
            let device = OpenOptions::new().read(true).write(true).open(&path)?;
            match sys::configure_loop(&device, file) {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        _device: device,
                    });
                }
                // Somebody else was faster.
                Err(error) if is_busy(&error) && Instant::now() < until => {
                    thread::sleep(Duration::from_millis(2));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EBUSY as i32)
}

fn node(number: u32, own: &Path) -> io::Result<PathBuf> {
    let path = PathBuf::from(format!("/dev/loop{number}"));
    if path
        .metadata()
        .is_ok_and(|meta| meta.file_type().is_block_device())
    {
        return Ok(path);
    }
    let path = own.join(format!("loop{number}"));
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    match mknod(&path, SFlag::S_IFBLK, mode, makedev(MAJOR, number.into())) {
        Ok(()) | Err(Errno::EEXIST) => Ok(path),
        Err(errno) => Err(errno.into()),
    }
}
