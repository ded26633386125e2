//! Damage to a stored file: one bit, and whether anybody has read the file since.

use std::fs::{File, FileTimes, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::copy;

/// A file's time of access is set so far before its time of change that the kernel notes the next
/// access to it even on a filesystem mounted with `relatime` (mount(8)).
const LONG_AGO: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// One flipped bit.
pub(super) struct Flipped {
    /// What was done, in words.
    pub(super) what: String,
    file: PathBuf,
    accessed: SystemTime,
}

/// How often another place is drawn where the first holds a zero, which is padding more often than
/// not.
const DRAWS: usize = 64;

/// Flips a bit of a file below `root`, whose name has `snap` in it where `snapshots` are wanted.
/// Bytes that are not zero come first, each equally likely. None when there is no such file.
pub(super) fn flip(
    root: &Path,
    snapshots: bool,
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<Option<Flipped>> {
    let mut files = copy::files(root)?;
    files.retain(|(path, _)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !snapshots || name.to_lowercase().contains("snap")
    });
    let Some((mut path, mut at, mut size)) = draw(&files, rng) else {
        return Ok(None);
    };
    for _ in 0..DRAWS {
        if holds(&root.join(&path), at)? {
            break;
        }
        if let Some(other) = draw(&files, rng) {
            (path, at, size) = other;
        }
    }
    let bit = rng.random_range(0..8_u8);
    let file = root.join(&path);
    let accessed =
        flip_bit(&file, at, bit).with_context(|| format!("damaging {}", file.display()))?;
    let what = format!(
        "bit {bit} of byte {at} of {} ({size} bytes) was flipped",
        path.display()
    );
    Ok(Some(Flipped {
        what,
        file,
        accessed,
    }))
}

/// A place in one of the files: path, offset, and the file's size.
fn draw(files: &[(PathBuf, u64)], rng: &mut ChaCha8Rng) -> Option<(PathBuf, u64, u64)> {
    let all: u64 = files.iter().map(|(_, size)| size).sum();
    if all == 0 {
        return None;
    }
    let mut at = rng.random_range(0..all);
    for (path, size) in files {
        if at < *size {
            return Some((path.clone(), at, *size));
        }
        at -= size;
    }
    None
}

/// Whether there is anything but a zero.
fn holds(path: &Path, at: u64) -> anyhow::Result<bool> {
    let mut byte = [0];
    File::open(path)
        .and_then(|file| file.read_exact_at(&mut byte, at))
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(byte != [0])
}

/// Flips the bit, keeps the time of change, and returns the time of access that the file has now.
fn flip_bit(path: &Path, at: u64, bit: u8) -> std::io::Result<SystemTime> {
    let file: File = OpenOptions::new().read(true).write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ (1 << bit)], at)?;
    let accessed = modified.checked_sub(LONG_AGO).unwrap_or(modified);
    file.set_times(
        FileTimes::new()
            .set_modified(modified)
            .set_accessed(accessed),
    )?;
    file.metadata()?.accessed()
}

impl Flipped {
    /// Whether the file was read since, as far as its filesystem tells: it does not where it is
    /// mounted with `noatime`. A file that is gone, or was written to, was looked at.
    pub(super) fn was_read(&self) -> bool {
        let accessed = self.file.metadata().and_then(|about| about.accessed());
        accessed.map_or(true, |accessed| accessed != self.accessed)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn one_bit_of_a_file_of_the_kind_is_flipped() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("log"), [0; 100]).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert!(flip(directory.path(), true, &mut rng).unwrap().is_none());
        fs::write(directory.path().join("Snapshot-7"), [0; 10]).unwrap();
        let flipped = flip(directory.path(), true, &mut rng).unwrap().unwrap();
        assert!(flipped.what.contains("Snapshot-7"), "{}", flipped.what);
        assert!(!flipped.was_read());
        let now = fs::read(directory.path().join("Snapshot-7")).unwrap();
        assert_eq!(now.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        assert_eq!(fs::read(directory.path().join("log")).unwrap(), [0; 100]);
    }
}
