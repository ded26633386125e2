//! A copy of the data directory, and the way back from it.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;

use super::guard::MARKER;

/// The end of the name of a file that is being put back.
const HALF: &str = ".plugpull-restoring";
/// How often a directory that changes while it is copied is copied again.
const ATTEMPTS: usize = 5;

/// What is below a directory: path within it, and what tells one state of a file from another.
type Listing = BTreeMap<PathBuf, (u64, u64, Option<SystemTime>)>;

/// Copies a directory with its files, directories and symbolic links, with owners, permissions and times.
/// Sockets, pipes and devices are left out. The directory may be in use: it is copied again until it
/// was the same before and after; `Ok(false)` when it never was.
pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<bool> {
    for _ in 0..ATTEMPTS {
        remove(to)?;
        let before = listing(from)?;
        match tree(from, to) {
            Ok(()) => {}
            // It was renamed or removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("copying {} to {}", from.display(), to.display()));
            }
        }
        if listing(from)? == before {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes `directory` what `copy` is, file by file: each is whole at every moment, and it can be done
/// again when it was interrupted.
pub(super) fn put_back(copy: &Path, directory: &Path) -> anyhow::Result<()> {
    let wanted = listing(copy)?;
    let there = listing(directory)?;
    // What is below comes before the directory itself.
    for path in there
        .keys()
        .rev()
        .filter(|path| !wanted.contains_key(*path))
    {
        if path.as_os_str() == MARKER {
            continue;
        }
        let full = directory.join(path);
        let about = match full.symlink_metadata() {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| full.display().to_string()),
        };
        let removed = if about.is_dir() {
            fs::remove_dir(&full)
        } else {
            fs::remove_file(&full)
        };
        removed.with_context(|| format!("removing {}", full.display()))?;
    }
    for path in wanted.keys() {
        one_back(&copy.join(path), &directory.join(path))
            .with_context(|| format!("putting {} back", directory.join(path).display()))?;
    }
    File::open(directory)?.sync_all()?;
    Ok(())
}

fn one_back(from: &Path, to: &Path) -> io::Result<()> {
    let about = from.symlink_metadata()?;
    if about.is_dir() {
        match fs::create_dir(to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => return like(&about, to),
        }
    }
    let mut half = to.as_os_str().to_owned();
    half.push(HALF);
    let half = PathBuf::from(half);
    match fs::remove_file(&half) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if about.is_symlink() {
        symlink(fs::read_link(from)?, &half)?;
    } else {
        fs::copy(from, &half)?;
        like(&about, &half)?;
        File::open(&half)?.sync_all()?;
    }
    fs::rename(&half, to)
}

fn tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let about = path.symlink_metadata()?;
        if about.is_dir() {
            tree(&path, &target)?;
        } else if about.is_symlink() {
            symlink(fs::read_link(&path)?, &target)?;
        } else if about.is_file() {
            fs::copy(&path, &target)?;
            like(&about, &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    like(&from.metadata()?, to)?;
    File::open(to)?.sync_all()
}

/// Gives a file the owner, the permissions and the times of another.
fn like(about: &fs::Metadata, path: &Path) -> io::Result<()> {
    let own = path.metadata()?;
    if (own.uid(), own.gid()) != (about.uid(), about.gid()) {
        chown(path, Some(about.uid()), Some(about.gid()))?;
    }
    fs::set_permissions(path, about.permissions())?;
    let times = FileTimes::new()
        .set_accessed(about.accessed()?)
        .set_modified(about.modified()?);
    File::open(path)?.set_times(times)
}

/// Everything below a directory that is copied.
fn listing(root: &Path) -> anyhow::Result<Listing> {
    fn walk(root: &Path, directory: &Path, all: &mut Listing) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let about = match path.symlink_metadata() {
                Ok(about) => about,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
            if about.is_dir() {
                // Its own time changes with its entries, which are looked at.
                all.insert(name, (about.ino(), 0, None));
                walk(root, &path, all)?;
            } else if about.is_file() || about.is_symlink() {
                all.insert(name, (about.ino(), about.len(), about.modified().ok()));
            }
        }
        Ok(())
    }
    let mut all = Listing::new();
    walk(root, root, &mut all).with_context(|| format!("listing {}", root.display()))?;
    Ok(all)
}

/// The regular files below a directory that hold something: path within it and size, sorted by path.
pub(super) fn files(root: &Path) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let all = listing(root)?.into_iter();
    Ok(all
        .filter(|(path, (_, size, _))| {
            *size > 0
                && root
                    .join(path)
                    .symlink_metadata()
                    .is_ok_and(|about| about.is_file())
        })
        .map(|(path, (_, size, _))| (path, size))
        .collect())
}

/// Removes a directory with all that is in it; one that is not there is no error.
pub(super) fn remove(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_comes_back_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let (directory, kept) = (place.path().join("data"), place.path().join("copy"));
        fs::create_dir_all(directory.join("a/b")).unwrap();
        fs::write(directory.join("a/b/one"), "one").unwrap();
        fs::write(directory.join("two"), "two").unwrap();
        symlink("two", directory.join("link")).unwrap();
        let time = fs::metadata(directory.join("two"))
            .unwrap()
            .modified()
            .unwrap();
        assert!(copy(&directory, &kept).unwrap());

        fs::write(directory.join("two"), "damaged").unwrap();
        fs::remove_dir_all(directory.join("a")).unwrap();
        fs::create_dir(directory.join("new")).unwrap();
        fs::write(directory.join("new/file"), "new").unwrap();
        fs::write(directory.join("two.plugpull-restoring"), "half").unwrap();
        put_back(&kept, &directory).unwrap();

        assert_eq!(
            fs::read_to_string(directory.join("a/b/one")).unwrap(),
            "one"
        );
        assert_eq!(fs::read_to_string(directory.join("link")).unwrap(), "two");
        let about = fs::metadata(directory.join("two")).unwrap();
        assert_eq!((about.len(), about.modified().unwrap()), (3, time));
        assert!(!directory.join("new").exists());
        assert!(!directory.join("two.plugpull-restoring").exists());
        assert_eq!(
            files(&directory).unwrap(),
            [("a/b/one".into(), 3), ("two".into(), 3)]
        );
    }
}
