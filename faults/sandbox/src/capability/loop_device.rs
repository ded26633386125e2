//! Whether a loop device can be had.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens the control device and a free loop device, and attaches nothing. The control device
/// could be asked for a free one, but it may make one for that, which would be left behind.
pub(super) fn free() -> io::Result<String> {
    open(Path::new("/dev/loop-control"))?;
    let mut busy = 0;
    for number in 0.. {
        let name = format!("loop{number}");
        let Ok(_known) = fs::metadata(Path::new("/sys/block").join(&name)) else {
            break;
        };
        // This folder is there while a file is attached (drivers/block/loop.c).
        if Path::new("/sys/block").join(&name).join("loop").exists() {
            busy += 1;
            continue;
        }
        open(&Path::new("/dev").join(&name))?;
        return Ok(format!("opened /dev/loop-control and the free /dev/{name}"));
    }
    Ok(format!(
        "opened /dev/loop-control; {busy} devices are in use, it makes more"
    ))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}
