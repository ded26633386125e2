//! Empty places for the next trial: what a target wrote outside of its data directory, a lock file, a
//! socket, a copy of its database, is not there for the target of the next one.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, unshare};

use super::elsewhere::WritablePlace;
use super::protocol::{During, Failure};
use super::{bare, mounts};

/// The System V objects of an IPC namespace (proc(5)), a table each. They outlive their processes.
const OBJECTS: [&str; 3] = [
    "/proc/sysvipc/shm",
    "/proc/sysvipc/sem",
    "/proc/sysvipc/msg",
];

/// Empties these places, and leaves System V memory, semaphores and queues behind. Every process must
/// be dead. `own` is the directory that holds the layers of `/tmp`.
pub(super) fn renew(own: &Path, places: &[WritablePlace]) -> Result<(), Failure> {
    for place in places {
        let what = format!("empty {}", place.shown.display());
        if place.at == place.shown {
            empty(&place.at, place).during(&what)?;
        } else if !is_empty(&place.at).during(&what)? {
            // A layer may not be changed while it is in use.
            umount2(&place.shown, MntFlags::empty()).during(&what)?;
            empty(&place.at, place).during(&what)?;
            mounts::overlay_tmp(own)?;
        }
    }
    if OBJECTS.iter().any(|table| has_lines(Path::new(table))) {
        unshare(CloneFlags::CLONE_NEWIPC).during("make another IPC namespace")?;
    }
    Ok(())
}

fn is_empty(directory: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(directory)?.next().is_none())
}

/// Removes what lies there but for what is ours. A directory that is not there is empty.
fn empty(directory: &Path, place: &WritablePlace) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if place.not.contains(&path) {
            continue;
        }
        match place.not.iter().any(|ours| ours.starts_with(&path)) {
            true => empty(&path, place)?,
            false => bare::remove(&path)?,
        }
    }
    Ok(())
}

/// Whether a table has more than its head. One that cannot be read has nothing that a target could
/// have made.
fn has_lines(table: &Path) -> bool {
    fs::read_to_string(table).is_ok_and(|text| text.lines().count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_stays() {
        let around = tempfile::tempdir().expect("a directory");
        let at = around.path();
        for directory in ["own/data", "own/theirs/deep", "theirs"] {
            fs::create_dir_all(at.join(directory)).expect("directories");
        }
        for file in ["own/data/kept", "own/left", "own/theirs/deep/left", "left"] {
            fs::write(at.join(file), "x").expect("a file");
        }
        let place = WritablePlace {
            not: vec![at.join("own/data")],
            ..WritablePlace::plain(at)
        };
        empty(at, &place).expect("emptied");
        let left = |directory: &str| -> Vec<String> {
            let entries = fs::read_dir(at.join(directory)).expect("a directory");
            let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
            entries.flatten().map(name).collect()
        };
        assert_eq!(
            (left("."), left("own")),
            (vec!["own".into()], vec!["data".into()])
        );
        assert_eq!(left("own/data"), ["kept"]);
        empty(&at.join("gone"), &place).expect("nothing to do");
    }
}
