//! The directories that stand for private mounts where there are none: one for the target's data, one
//! for its HOME and temporary files.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;

/// The target's data.
pub(super) const DATA: &str = "data";
/// Its HOME and TMPDIR.
pub(super) const TMP: &str = "tmp";

/// Makes the directories, below one that nobody else has.
pub(super) fn make() -> io::Result<PathBuf> {
    let directory = mkdtemp(&std::env::temp_dir().join("plugpull-XXXXXX"))?;
    let made = [DATA, TMP]
        .iter()
        .try_for_each(|name| fs::create_dir(directory.join(name)));
    if let Err(error) = made {
        // The error that matters is the first.
        remove(&directory).ok();
        return Err(error);
    }
    Ok(directory)
}

/// Puts empty directories in the places of those in use. Every process must be dead.
///
/// What was there is moved out of the way before it is removed: whatever a target did to its files,
/// and however long it takes to remove them, the next one finds none of them.
pub(super) fn renew(directory: &Path) -> io::Result<()> {
    for name in [DATA, TMP] {
        let place = directory.join(name);
        let old = (0..)
            .map(|number: u64| directory.join(format!("{name}.{number}")))
            .find(|free| free.symlink_metadata().is_err())
            .ok_or_else(|| io::Error::other("no name is free"))?;
        let there = match fs::rename(&place, &old) {
            Ok(()) => true,
            // The target removed the directory itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        fs::create_dir(&place)?;
        if there {
            // What cannot be removed is in nobody's way, and tried again with the whole.
            remove(&old).ok();
        }
    }
    Ok(())
}

/// Removes whatever is at this place; a symbolic link itself and not where it leads. A target may
/// have taken its own rights to a directory away.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let about = path.symlink_metadata()?;
    if !about.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_all(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

/// Gives the user all rights to a directory and those in it.
fn open_all(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Of a symbolic link it is the type of the link.
        if entry.file_type()?.is_dir() {
            open_all(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn is_empty(directory: &Path) -> bool {
        fs::read_dir(directory).expect("a directory").count() == 0
    }

    #[test]
    fn what_was_left_is_gone_from_both() {
        let directory = make().expect("directories");
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("kept"), "kept").expect("a file");
        for name in [DATA, TMP] {
            let closed = directory.join(name).join("a/closed");
            fs::create_dir_all(&closed).expect("directories");
            fs::write(closed.join("file"), "left").expect("a file");
            symlink(outside.path(), directory.join(name).join("link")).expect("a link");
            fs::set_permissions(&closed, Permissions::from_mode(0o000)).expect("no rights");
        }
        renew(&directory).expect("renewed");
        assert!(is_empty(&directory.join(DATA)) && is_empty(&directory.join(TMP)));
        assert_eq!(fs::read_dir(&directory).expect("a directory").count(), 2);
        assert!(outside.path().join("kept").exists());
        remove(&directory).expect("removed");
        assert!(!directory.exists());
    }

    /// A target may remove its directory, or put something else in its place.
    #[test]
    fn the_place_is_a_directory_whatever_became_of_it() {
        let directory = make().expect("directories");
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("kept"), "kept").expect("a file");
        fs::remove_dir(directory.join(DATA)).expect("removed");
        fs::remove_dir(directory.join(TMP)).expect("removed");
        symlink(outside.path(), directory.join(TMP)).expect("a link");
        renew(&directory).expect("renewed");
        assert!(is_empty(&directory.join(DATA)) && is_empty(&directory.join(TMP)));
        assert!(!directory.join(TMP).is_symlink());
        assert!(outside.path().join("kept").exists());
        remove(&directory).expect("removed");
    }
}
