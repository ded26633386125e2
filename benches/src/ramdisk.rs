//! ext4 on a RAM disk: a zram device, mounted where only this process sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

const NAME: &str = "zram0";
const SIZE: &str = "4G";

/// The device, in use from [`RamDisk::mount`] until it is dropped.
pub(crate) struct RamDisk {
    // In this order: unmounted, then reset, then the mount point removed.
    mounted: Mounted,
    _device: Device,
    _point: TempDir,
}

impl RamDisk {
    /// Makes the filesystem. Only root can, and only while nobody else uses the device. The
    /// calling thread enters a mount namespace of its own.
    pub(crate) fn mount() -> anyhow::Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("only root can make one");
        }
        let device = Device::claim()?;
        // No journal replay, no background work in the middle of a measurement.
        let mkfs = Command::new("mkfs.ext4")
            .args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
            .arg(Path::new("/dev").join(NAME))
            .output()
            .context("starting mkfs.ext4")?;
        if !mkfs.status.success() {
            bail!(
                "mkfs.ext4: {}",
                String::from_utf8_lossy(&mkfs.stderr).trim()
            );
        }
        unshare(CloneFlags::CLONE_NEWNS).context("entering a mount namespace")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .context("making the mounts private")?;
        let point = tempfile::tempdir().context("making a mount point")?;
        let mounted = Mounted::new(&Path::new("/dev").join(NAME), point.path())?;
        Ok(Self {
            mounted,
            _device: device,
            _point: point,
        })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted.0
    }
}

struct Mounted(PathBuf);

impl Mounted {
    fn new(device: &Path, point: &Path) -> anyhow::Result<Self> {
        mount(
            Some(device),
            point,
            Some("ext4"),
            MsFlags::empty(),
            None::<&str>,
        )
        .context("mounting it")?;
        Ok(Self(point.to_path_buf()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        #[expect(
            clippy::let_underscore_must_use,
            reason = "if it cannot be unmounted the reset says so; the mount ends with this process"
        )]
        let _ = umount2(&self.0, MntFlags::empty());
    }
}

/// A device that was nobody's.
struct Device;

impl Device {
    fn claim() -> anyhow::Result<Self> {
        let size = attribute("disksize");
        let now = fs::read_to_string(&size)
            .with_context(|| format!("this kernel has no {NAME} (try: modprobe zram)"))?;
        if now.trim() != "0" {
            bail!(
                "{NAME} is in use (if by nothing that matters: echo 1 > {})",
                attribute("reset").display()
            );
        }
        fs::write(&size, SIZE).with_context(|| format!("sizing {NAME}"))?;
        Ok(Self)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // A filesystem that was unmounted just now may keep the device for a moment.
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Err(error) = fs::write(attribute("reset"), "1") {
            let busy = error.raw_os_error() == Some(Errno::EBUSY as i32);
            if !busy || Instant::now() > deadline {
                eprintln!("crashfs-bench: {NAME} could not be reset: {error}");
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn attribute(name: &str) -> PathBuf {
    Path::new("/sys/block").join(NAME).join(name)
}
