//! The list of POSIX and Linux behaviours: a name, what ext4 does, and the steps that show it.
//!
//! Each behaviour runs with an empty working directory of its own and says what it saw as one
//! canonical line (`ok`, `EEXIST`, numbers): nothing that differs from run to run or with the
//! place of the directory.

mod append;
mod attributes;
mod copying;
mod direct;
mod directories;
mod links;
mod listing;
mod locking;
mod mapping;
mod names;
mod opening;
mod others;
mod ownership;
mod renaming;
mod seeking;
mod sizes;
mod space;
mod special;
mod times;
mod unlinked;
mod vectors;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::outcome::{Outcome, Trouble};
use crate::sys;

/// One behaviour.
pub(crate) struct Behaviour {
    /// Its name: subject, a dot, and what is done.
    pub(crate) name: &'static str,
    /// What ext4 does.
    pub(crate) ext4: &'static str,
    run: fn() -> Outcome,
}

const fn behaviour(name: &'static str, ext4: &'static str, run: fn() -> Outcome) -> Behaviour {
    Behaviour { name, ext4, run }
}

/// Every behaviour, in order.
pub(crate) fn all() -> impl Iterator<Item = &'static Behaviour> {
    [
        opening::LIST,
        direct::LIST,
        names::LIST,
        directories::LIST,
        renaming::LIST,
        links::LIST,
        unlinked::LIST,
        listing::LIST,
        mapping::LIST,
        sizes::LIST,
        space::LIST,
        seeking::LIST,
        copying::LIST,
        vectors::LIST,
        append::LIST,
        locking::LIST,
        others::LIST,
        ownership::LIST,
        times::LIST,
        attributes::LIST,
        special::LIST,
    ]
    .into_iter()
    .flatten()
}

/// Shows every behaviour below the working directory, and calls `tell` with each name and line.
/// The process must have no second thread.
pub(crate) fn show_all(mut tell: impl FnMut(&str, &str)) -> io::Result<()> {
    let home = std::env::current_dir()?;
    // What the list expects of new files' permissions.
    sys::umask(0o022);
    for one in all() {
        let place = home.join(one.name);
        fs::create_dir(&place)?;
        std::env::set_current_dir(&place)?;
        let outcome = (one.run)();
        std::env::set_current_dir(&home)?;
        match outcome {
            Ok(line) => tell(one.name, &line),
            Err(trouble) => tell(one.name, &trouble.to_string()),
        }
        match fs::remove_dir_all(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A user and group that own nothing.
const STRANGER: u32 = 1000;

/// Runs `work` as another user, where this process may become one.
fn as_stranger(work: impl FnOnce() -> Outcome) -> Outcome {
    sys::fork(|| {
        if sys::become_user(STRANGER, STRANGER).is_err() {
            return Err(Trouble::NotMeasured("needs root".into()));
        }
        work()
    })?
    .outcome()
}

/// Makes a file with these bytes and returns it, open for reading and writing.
fn file(name: &str, bytes: impl AsRef<[u8]>) -> io::Result<File> {
    fs::write(name, bytes)?;
    rw(name)
}

/// Opens a file for reading and writing.
fn rw(name: &str) -> io::Result<File> {
    File::options().read(true).write(true).open(name)
}

/// A file's bytes as text, zeros as `.`.
fn text(name: impl AsRef<Path>) -> io::Result<String> {
    let bytes = fs::read(name)?;
    Ok(bytes
        .iter()
        .map(|byte| if *byte == 0 { '.' } else { char::from(*byte) })
        .collect())
}

/// A file's bytes as runs: `3x. 2xa`.
fn runs(name: &str) -> io::Result<String> {
    let all = text(name)?;
    let mut runs: Vec<(char, usize)> = Vec::new();
    for letter in all.chars() {
        match runs.last_mut() {
            Some((last, count)) if *last == letter => *count += 1,
            _ => runs.push((letter, 1)),
        }
    }
    let shown: Vec<String> = runs
        .iter()
        .map(|(letter, count)| format!("{count}x{letter}"))
        .collect();
    Ok(shown.join(" "))
}

/// Link count.
fn nlink(name: &str) -> io::Result<u64> {
    Ok(fs::symlink_metadata(name)?.nlink())
}

/// Size in bytes and space in blocks of 512 bytes, once the space is settled.
fn size_and_blocks(file: &File) -> io::Result<String> {
    // ext4 decides about space when it writes back.
    file.sync_all()?;
    let meta = file.metadata()?;
    Ok(format!("{} {}", meta.size(), meta.blocks()))
}
