//! From the logs to the state.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::record::{Meaning, Read, read};
use plugpull_driver_interstice::Mutant;
use plugpull_driver_interstice::Settings;
use plugpull_driver_interstice::guide_log_files::{ACTIVE, path, rotated};

/// What was recovered.
pub(super) struct Recovered {
    pub(super) state: BTreeMap<String, String>,
    pub(super) log: File,
    /// In bytes: how far the log holds whole transactions.
    pub(super) length: u64,
    /// The logical time of the last transaction.
    pub(super) clock: u64,
    /// The number of the next log that is rotated.
    pub(super) next: u64,
}

/// The whole transactions of one log.
struct Whole {
    end: usize,
    /// Where the last of them begins.
    last: usize,
}

/// Reads all logs in `directory`, cuts the unfinished end off the last one, and makes it if there is
/// none. Doing it again gives the same. An error names the file.
pub(super) fn recover(directory: &Path, settings: &Settings) -> Result<Recovered, String> {
    let failed = |path: &Path, e: io::Error| format!("{}: {e}", path.display());
    let mut numbers = rotated(directory).map_err(|e| failed(directory, e))?;
    let next = numbers.last().map_or(0, |last| last + 1);
    if next != numbers.len() as u64 {
        return Err(format!(
            "corruption: of {next} rotated logs {} are there",
            numbers.len()
        ));
    }
    // MUTANT logs-by-name.
    if settings.has(Mutant::LogsByName) {
        numbers.sort_by_key(u64::to_string);
    }
    let mut replay = Replay {
        state: BTreeMap::new(),
        clock: 0,
        valid: 0,
        settings,
    };
    let mut newest = Vec::new();
    for number in numbers {
        let path = path(directory, number);
        let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
        let whole = replay.log(&bytes, &path)?;
        if whole.end < bytes.len() && !settings.has(Mutant::DamageAccepted) {
            return Err(replay.damage(&path, whole.end));
        }
        newest = bytes;
    }
    let path = directory.join(ACTIVE);
    half_rotated(directory, &path, &newest).map_err(|e| failed(&path, e))?;
    let log = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| failed(&path, e))?;
    let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
    let whole = replay.log(&bytes, &path)?;
    let mut length = whole.end as u64;
    let settled = || -> io::Result<()> {
        // MUTANT torn-tail-kept.
        if settings.has(Mutant::TornTailKept) {
            return Ok(());
        }
        if whole.end < bytes.len() {
            log.set_len(length)?;
        }
        // After a sync that failed, the system may have in memory what is not on the disk and call
        // it clean: only what is written again is certainly synced.
        log.write_all_at(&bytes[whole.last..whole.end], whole.last as u64)?;
        log.sync_all()?;
        File::open(directory)?.sync_all()
    };
    match settled() {
        // Reading needs no space; the next append tries again.
        Err(e) if e.kind() == ErrorKind::StorageFull => {}
        other => other.map_err(|e| failed(&path, e))?,
    }
    if settings.has(Mutant::TornTailKept) {
        length = bytes.len() as u64;
    }
    let Replay { state, clock, .. } = replay;
    Ok(Recovered {
        state,
        log,
        length,
        // MUTANT clock-restarts.
        clock: if settings.has(Mutant::ClockRestarts) {
            0
        } else {
            clock
        },
        next,
    })
}

/// A rename that is half on the disk leaves the log under both names. Its new name counts: the old
/// one is removed, for good, before a log of that name is made, for both are one file.
fn half_rotated(directory: &Path, path: &Path, newest: &[u8]) -> io::Result<()> {
    match fs::read(path) {
        Ok(bytes) if !bytes.is_empty() && bytes == newest => {
            fs::remove_file(path)?;
            File::open(directory)?.sync_all()
        }
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A replay under way.
struct Replay<'a> {
    state: BTreeMap<String, String>,
    clock: u64,
    valid: u64,
    settings: &'a Settings,
}

impl Replay<'_> {
    fn damage(&self, path: &Path, at: usize) -> String {
        format!(
            "corruption: {} is damaged in the transaction at byte {at}; {} valid records before it",
            path.display(),
            self.valid
        )
    }

    /// Replays the whole transactions of a log. An error says where it is damaged.
    fn log(&mut self, bytes: &[u8], path: &Path) -> Result<Whole, String> {
        let settings = self.settings;
        // MUTANT damage-accepted.
        let lenient = settings.has(Mutant::DamageAccepted);
        // MUTANT commit-in-parts.
        let parts = settings.has(Mutant::CommitInParts);
        let mut whole = Whole { end: 0, last: 0 };
        let (mut at, mut pending) = (0, Vec::new());
        while at < bytes.len() {
            let Some(record) = read(bytes, at, lenient) else {
                if lenient {
                    at += 1;
                    continue;
                }
                break;
            };
            at = record.end;
            if self.continues(&record) || lenient {
                let (time, ended) = (record.time, matches!(record.meaning, Meaning::Commit(_)));
                let as_many = record.meaning == Meaning::Commit(pending.len() as u64);
                pending.push(record.meaning);
                if ended && !as_many && !lenient && !parts {
                    return Err(self.damage(path, whole.end));
                }
                if ended || parts || lenient {
                    self.apply(&mut pending, time);
                    (whole.last, whole.end) = (whole.end, at);
                }
            } else {
                return Err(self.damage(path, whole.end));
            }
        }
        // Only the transaction after the last whole one can be unfinished. Anything of a later one
        // was synced after it, so it was whole once.
        // MUTANT cut-at-damage.
        let checked = !lenient && !settings.has(Mutant::CutAtDamage);
        if checked && settings.mutant != Some(Mutant::ClockRestarts) {
            let later = |at: &usize| {
                read(bytes, *at, false).is_some_and(|record| record.time > self.clock + 1)
            };
            if (whole.end..bytes.len()).any(|at| later(&at)) {
                return Err(self.damage(path, whole.end));
            }
        }
        Ok(whole)
    }

    /// Whether a record belongs to the transaction after the last. Who writes by these defects does
    /// not look at that either.
    fn continues(&self, record: &Read) -> bool {
        use Mutant::{ClockRestarts, CommitInParts, LogsByName, RotationOverwrites};
        record.time == self.clock + 1
            || matches!(
                self.settings.mutant,
                Some(ClockRestarts | CommitInParts | LogsByName | RotationOverwrites)
            )
    }

    fn apply(&mut self, pending: &mut Vec<Meaning>, time: u64) {
        self.valid += pending.len() as u64;
        for said in pending.drain(..) {
            match said {
                Meaning::Change(key, Some(value)) => drop(self.state.insert(key, value)),
                Meaning::Change(key, None) => drop(self.state.remove(&key)),
                Meaning::Commit(_) => {}
            }
        }
        self.clock = self.clock.max(time);
    }
}
