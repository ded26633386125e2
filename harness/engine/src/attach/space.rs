//! A full filesystem for a while: a ballast file without a name, so that the kernel frees its space
//! when plugpull ends in any way.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use nix::sys::statvfs::statvfs;

use crate::wrong;

/// The first piece of space that is asked for, in bytes; halved whenever there is not so much.
const PIECE: i64 = 1 << 30;
/// The last.
const CRUMB: i64 = 1 << 12;

/// The space that is taken. Dropping it gives the space back.
pub(super) struct Ballast {
    _file: File,
    /// How much, in bytes.
    pub(super) size: i64,
}

/// Refuses unless `mount` is where the data directory's filesystem is mounted, and not the machine's
/// root.
pub(super) fn named(mount: &Path, data: &Path) -> anyhow::Result<PathBuf> {
    let at_path =
        |path: &Path, error: std::io::Error| wrong(format!("{}: {error}", path.display()));
    let device = data.metadata().map_err(|error| at_path(data, error))?.dev();
    let mut own = data;
    for above in data.ancestors() {
        if above
            .metadata()
            .map_err(|error| at_path(above, error))?
            .dev()
            != device
        {
            break;
        }
        own = above;
    }
    let given = mount
        .canonicalize()
        .map_err(|error| at_path(mount, error))?;
    if given != own {
        return Err(wrong(format!(
            "--fill {} is not where the data directory's filesystem is mounted, which is {}",
            mount.display(),
            own.display()
        )));
    }
    if own == Path::new("/") {
        return Err(wrong(
            "--fill / is refused: the data directory is on the machine's root filesystem, which \
             everything else needs too",
        ));
    }
    Ok(own.to_owned())
}

/// How much is free for this user in the filesystem of a directory, in bytes.
pub(super) fn free(directory: &Path) -> anyhow::Result<u64> {
    let about =
        statvfs(directory).with_context(|| format!("the space of {}", directory.display()))?;
    let blocks = if nix::unistd::geteuid().is_root() {
        about.blocks_free()
    } else {
        about.blocks_available()
    };
    Ok(blocks.saturating_mul(about.fragment_size()))
}

/// Takes all space of the filesystem that the directory is in. `Err` in the inner result, with why,
/// when that would be more than `limit` bytes, or cannot be done there.
pub(super) fn fill(directory: &Path, limit: u64) -> anyhow::Result<Result<Ballast, String>> {
    let free = free(directory)?;
    if free > limit {
        return Ok(Err(format!(
            "{} MiB are free, and --fill-limit allows to take {}",
            free >> 20,
            limit >> 20
        )));
    }
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_TMPFILE.bits())
        .mode(0o600)
        .open(directory);
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            return Ok(Err(format!(
                "no file without a name can be made in {}: {error}",
                directory.display()
            )));
        }
    };
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut size: i64 = 0;
    let mut piece = PIECE;
    while piece >= CRUMB {
        // Somebody else may have freed space meanwhile.
        if size + piece > most {
            piece /= 2;
            continue;
        }
        match fallocate(&file, FallocateFlags::empty(), size, piece) {
            Ok(()) => size += piece,
            Err(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG) => piece /= 2,
            Err(Errno::EINTR) => {}
            Err(error) => {
                return Ok(Err(format!(
                    "space in {} cannot be taken: {error}",
                    directory.display()
                )));
            }
        }
    }
    Ok(Ok(Ballast { _file: file, size }))
}
