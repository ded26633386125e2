//! The private tree of mounts: all that is the user's read-only, and a few places to write.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{getegid, geteuid};

use super::elsewhere::WritablePlace;
use super::mount_table::parse_mount;
use super::protocol::{During, Failure};
use super::sys;

/// The devices that a private `/dev` shows, where the machine has them. No disk is among them.
const DEVICES: [&str; 7] = ["null", "zero", "full", "random", "urandom", "tty", "fuse"];

/// No device files, no set-uid programs.
const PLAIN: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// What [`build`] made.
pub(super) struct MountTree {
    /// The data directory.
    pub(super) data: PathBuf,
    /// How `/tmp` became private.
    pub(super) tmp: &'static str,
    /// Where else than in the data directory processes can write.
    pub(super) places: Vec<WritablePlace>,
    /// What was done without.
    pub(super) notes: Vec<String>,
    /// Where the number of the namespace's next process is chosen, open for writing
    /// (`ns_last_pid`, Documentation/admin-guide/sysctl/kernel.rst).
    pub(super) last_pid: Option<File>,
}

/// Builds the tree in the caller's own mount namespace. `base` is covered by a tmpfs; `programs`
/// stay visible. `real_root` says that no user namespace stands between us and the machine.
pub(super) fn build(
    base: &Path,
    programs: &[PathBuf],
    real_root: bool,
) -> Result<MountTree, Failure> {
    let mut notes = Vec::new();
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .during("make the mounts private")?;
    match sys::read_only_everywhere() {
        Ok(()) => {}
        Err(Errno::ENOSYS) => read_only_one_by_one()?,
        Err(errno) => return Err(Failure::new("make the mounts read-only", errno)),
    }
    tmpfs(base, PLAIN, "mode=0755").during(&format!("mount a tmpfs on {}", base.display()))?;
    let own = base.join("plugpull");
    let data = own.join("data");
    make_dir(&data, 0o777).during("make the data directory")?;

    let tmp = private_tmp(&own, programs, &mut notes);
    if let Err(failure) = private_dev(&own) {
        notes.push(format!(
            "the machine's /dev stays visible: {}",
            failure.what
        ));
        if Path::new("/dev/shm").is_dir() {
            tmpfs("/dev/shm", PLAIN, "mode=1777").during("mount a tmpfs on /dev/shm")?;
        }
    }
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        PLAIN | MsFlags::MS_NOEXEC,
        None::<&str>,
    )
    .during("mount /proc")?;
    // Now, while it can be written to.
    let last_pid = File::options()
        .write(true)
        .open("/proc/sys/kernel/ns_last_pid")
        .ok();
    if real_root {
        // As container runtimes do: here a write would change the whole machine.
        for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"] {
            if let Err(errno) = read_only_in_place(Path::new(path)) {
                notes.push(format!("{path} stays writable: {errno}"));
            }
        }
    }
    Ok(MountTree {
        places: places(base, &own, tmp),
        data,
        tmp,
        notes,
        last_pid,
    })
}

/// The type of a crash filesystem, as the kernel's tables name it.
pub(super) const FUSE_TYPE: &str = "fuse.plugpull";

/// Where else than in the data directory processes can write: `/tmp`, `/dev/shm`, and what lies
/// around the data directory.
fn places(base: &Path, own: &Path, tmp: &str) -> Vec<WritablePlace> {
    let tmp = match tmp {
        "overlay" => Some(WritablePlace {
            at: upper(own),
            ..WritablePlace::plain(Path::new("/tmp"))
        }),
        "tmpfs" => Some(WritablePlace::plain(Path::new("/tmp"))),
        _ => None,
    };
    let ours = ["data", "input", ".tmp", ".dev"].map(|name| own.join(name));
    let around = WritablePlace {
        not: ours.into(),
        ..WritablePlace::plain(base)
    };
    let shared = WritablePlace::plain(Path::new("/dev/shm"));
    tmp.into_iter().chain([shared, around]).collect()
}

/// The upper layer of `/tmp`: what is written there.
fn upper(own: &Path) -> PathBuf {
    own.join(".tmp").join("upper")
}

/// Mounts a FUSE filesystem served through `device`, an open `/dev/fuse`.
///
/// The kernel wants the device opened in the user namespace that mounts it (`fuse_fill_super`),
/// so the caller opens it, and hands it to the server afterwards. The call does not wait for the
/// server. Options: `Documentation/filesystems/fuse.rst`.
pub(super) fn mount_fuse(target: &Path, device: i32) -> nix::Result<()> {
    let options = format!(
        "fd={device},rootmode=40000,user_id={},group_id={},allow_other,default_permissions",
        geteuid(),
        getegid()
    );
    mount(
        Some("plugpull"),
        target,
        Some(FUSE_TYPE),
        PLAIN,
        Some(options.as_str()),
    )
}

/// Mounts a tmpfs of `size` bytes.
pub(super) fn mount_tmpfs(target: &Path, size: u64) -> nix::Result<()> {
    tmpfs(target, PLAIN, &format!("mode=0777,size={size}"))
}

/// Unmounts the topmost mount of `target`. By force, a FUSE connection is aborted, so that every
/// waiting request ends with an error, and the mount leaves the tree even when it is in use.
pub(super) fn unmount(target: &Path, force: bool) -> nix::Result<()> {
    let flags = if force {
        MntFlags::MNT_FORCE | MntFlags::MNT_DETACH
    } else {
        MntFlags::empty()
    };
    umount2(target, flags)
}

fn tmpfs<P: ?Sized + nix::NixPath>(target: &P, flags: MsFlags, options: &str) -> nix::Result<()> {
    mount(
        Some("plugpull"),
        target,
        Some("tmpfs"),
        flags,
        Some(options),
    )
}

/// Makes a directory, and its parents, with exactly these permissions whatever the umask is.
fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Makes `/tmp` writable and private. Its present content stays visible where overlayfs is
/// allowed; programs that live there stay visible in any case.
fn private_tmp(own: &Path, programs: &[PathBuf], notes: &mut Vec<String>) -> &'static str {
    let overlay = overlay_tmp(own);
    let Err(failure) = overlay else {
        return "overlay";
    };
    if programs.iter().any(|program| program.starts_with("/tmp")) {
        notes.push(format!("/tmp stays read-only: {}", failure.what));
        return "read-only";
    }
    match tmpfs("/tmp", PLAIN, "mode=1777") {
        Ok(()) => {
            notes.push(format!("/tmp is empty: {}", failure.what));
            "tmpfs"
        }
        Err(errno) => {
            notes.push(format!("/tmp stays read-only: {errno}"));
            "read-only"
        }
    }
}

/// Lays a layer that can be written to, below `own`, over the user's `/tmp`.
pub(super) fn overlay_tmp(own: &Path) -> Result<(), Failure> {
    let hidden = own.join(".tmp");
    let (upper, work) = (upper(own), hidden.join("work"));
    make_dir(&upper, 0o1777).during("make the upper layer of /tmp")?;
    make_dir(&work, 0o755).during("make the work directory of /tmp")?;
    fs::set_permissions(&hidden, Permissions::from_mode(0o700)).during("hide the layers")?;
    let layers = format!(
        "lowerdir=/tmp,upperdir={},workdir={}",
        upper.display(),
        work.display()
    );
    let overlay = |options: &str| {
        mount(
            Some("plugpull"),
            "/tmp",
            Some("overlay"),
            PLAIN,
            Some(options),
        )
    };
    // In a user namespace overlayfs may only use the `user.` attributes (Linux 5.11).
    overlay(&format!("{layers},userxattr"))
        .or_else(|_| overlay(&layers))
        .during("mount an overlay on /tmp")
}

/// Puts a `/dev` in place that shows the harmless devices only.
fn private_dev(own: &Path) -> Result<(), Failure> {
    let dev = own.join(".dev");
    make_dir(&dev, 0o755).during("make a directory for /dev")?;
    tmpfs(&dev, MsFlags::MS_NOSUID, "mode=0755").during("mount a tmpfs for /dev")?;
    let filled = fill_dev(&dev).and_then(|()| {
        mount(
            Some(&dev),
            "/dev",
            None::<&str>,
            MsFlags::MS_MOVE,
            None::<&str>,
        )
        .during("move the private /dev in place")
    });
    if filled.is_err() {
        #[expect(
            clippy::let_underscore_must_use,
            reason = "a mount out of the way harms nothing"
        )]
        let _ = umount2(&dev, MntFlags::MNT_DETACH);
    }
    filled
}

fn fill_dev(dev: &Path) -> Result<(), Failure> {
    for name in DEVICES {
        let real = Path::new("/dev").join(name);
        if !real.exists() {
            continue;
        }
        let shown = dev.join(name);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&shown)
            .during("make a device's place")?;
        bind(&real, &shown, MsFlags::empty()).during(&format!("show /dev/{name}"))?;
    }
    if Path::new("/dev/pts").is_dir() {
        // Of its own: on the machine's, root could write on anybody's terminal.
        make_dir(&dev.join("pts"), 0o755).during("make /dev/pts")?;
        mount(
            Some("plugpull"),
            &dev.join("pts"),
            Some("devpts"),
            MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
            Some("newinstance,ptmxmode=0666,mode=0620"),
        )
        .during("mount a devpts for /dev/pts")?;
        symlink("pts/ptmx", dev.join("ptmx")).during("link /dev/ptmx")?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(to, dev.join(name)).during("link the standard streams")?;
    }
    make_dir(&dev.join("shm"), 0o1777).during("make /dev/shm")?;
    tmpfs(&dev.join("shm"), PLAIN, "mode=1777").during("mount a tmpfs on /dev/shm")
}

fn bind(from: &Path, to: &Path, more: MsFlags) -> nix::Result<()> {
    mount(
        Some(from),
        to,
        None::<&str>,
        MsFlags::MS_BIND | more,
        None::<&str>,
    )
}

/// Makes one file or directory read-only by a mount of itself on itself. Nothing to do where it does
/// not exist.
fn read_only_in_place(path: &Path) -> nix::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    bind(path, path, MsFlags::MS_REC)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(
        None::<&str>,
        path,
        None::<&str>,
        flags | PLAIN | MsFlags::MS_NOEXEC,
        None::<&str>,
    )
}

/// What [`sys::read_only_everywhere`] does, for kernels before 5.12.
fn read_only_one_by_one() -> Result<(), Failure> {
    let table = fs::read_to_string("/proc/self/mountinfo").during("read the list of mounts")?;
    for line in table.lines() {
        let Some((path, flags)) = parse_mount(line) else {
            continue;
        };
        let flags = flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        match mount(None::<&str>, &path, None::<&str>, flags, None::<&str>) {
            // Covered by another mount, or in a directory that we may not enter: then a target
            // cannot reach it either.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT | Errno::EACCES) => {}
            Err(errno) => {
                return Err(Failure::new(
                    format!("make {} read-only", path.display()),
                    errno,
                ));
            }
        }
    }
    Ok(())
}
