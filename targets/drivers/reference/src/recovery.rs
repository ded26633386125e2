//! From the files to the state: what a start does, and when it refuses.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use plugpull_workloads::{Op, Write};

use super::directory::Directory;
use super::error::RecoveryError;
use super::log::{self, Log, no_space};
use super::mutant::Mutation;
use super::record::{BLOCK, Record, encode};
use super::settings::Settings;
use super::snapshot;

/// What was recovered.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) map: BTreeMap<String, String>,
    /// None when there was no space for one: the store reads, and writes when there is space.
    pub(crate) log: Option<Log>,
    /// The highest number of a snapshot or log.
    pub(crate) number: u64,
    pub(crate) next_seq: u64,
    /// How many records are in the log.
    pub(crate) records: u64,
    /// That a torn tail was dropped, and where.
    pub(crate) notice: Option<String>,
}

/// The log that is gone on with, and what was in it.
struct Opened {
    log: Option<Log>,
    records: Vec<Record>,
    notice: Option<String>,
}

/// Brings the directory into order and reads what it holds. Doing it again gives the same.
pub(crate) fn recover(
    directory: &Directory,
    settings: &Settings,
) -> Result<Recovered, RecoveryError> {
    let listing = directory
        .list()
        .map_err(|e| failed("list", directory.path(), e))?;
    let snapshot = listing.snapshots.iter().copied().max();
    let number = snapshot.unwrap_or(1);
    if let Some(orphan) = listing.logs.iter().find(|log| **log > number) {
        return Err(RecoveryError::Orphan {
            log: directory.log(*orphan),
            snapshot: directory.snapshot(*orphan),
        });
    }

    let (mut map, first) = match snapshot {
        Some(number) => {
            let path = directory.snapshot(number);
            snapshot::decode(&read(&path)?, &path, number)?
        }
        None => (BTreeMap::new(), 1),
    };
    let Opened {
        log,
        records,
        notice,
    } = open_log(directory, settings, number, first)?;
    let stored = snapshot.is_some() || !records.is_empty();
    // DEFECT hang-on-recovery: waits for something that never comes.
    while stored && settings.has(Mutation::HangOnRecovery) {
        thread::park();
    }
    // DEFECT slow-replay.
    if stored && settings.has(Mutation::SlowReplay) {
        let transactions = u32::try_from(first + records.len() as u64 - 1).unwrap_or(u32::MAX);
        thread::sleep(settings.slow_replay + settings.slow_replay_each * transactions);
    }
    for record in &records {
        replay(&mut map, &record.ops);
    }

    let mut recovered = Recovered {
        map,
        log,
        number,
        next_seq: first + records.len() as u64,
        records: records.len() as u64,
        notice,
    };
    // DEFECT non-idempotent-recovery: logs again what it has just replayed.
    if settings.has(Mutation::NonIdempotentRecovery)
        && let (Some(oldest), Some(log)) = (records.first(), &mut recovered.log)
    {
        let bytes = encode(log.number(), recovered.next_seq, &oldest.ops);
        log.append(&bytes)
            .and_then(|()| log.sync())
            .map_err(|e| failed("write", &directory.log(number), e))?;
        recovered.next_seq += 1;
        recovered.records += 1;
    }
    directory.clean(number);
    Ok(recovered)
}

/// Does to the state what the writes say.
pub(crate) fn replay(map: &mut BTreeMap<String, String>, ops: &[Op]) {
    for op in ops {
        match &op.write {
            Write::Put(value) => map.insert(op.key.clone(), value.text().into_owned()),
            Write::Delete => map.remove(&op.key),
        };
    }
}

/// The log with its records, its torn tail removed, everything in it durable.
fn open_log(
    directory: &Directory,
    settings: &Settings,
    number: u64,
    first: u64,
) -> Result<Opened, RecoveryError> {
    let path = directory.log(number);
    let bytes = match read(&path) {
        Ok(bytes) if log::never_finished(&bytes, number) => None,
        Ok(bytes) => Some(bytes),
        // The snapshot is durable before its log is made: a crash may come between.
        Err(RecoveryError::File { source, .. }) if source.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let Some(bytes) = bytes else {
        let log = match Log::create(directory, number, !settings.has(Mutation::NoDirFsync)) {
            Ok(log) => Some(log),
            Err(e) if no_space(&e) => None,
            Err(e) => return Err(failed("make", &path, e)),
        };
        return Ok(Opened {
            log,
            records: Vec::new(),
            notice: None,
        });
    };

    // DEFECT no-checksum: takes any record for a good one.
    let checked = !settings.has(Mutation::NoChecksum);
    let found = log::scan(&bytes, &path, number, first, checked)?;
    // DEFECT recovery-in-place: the records are nowhere before they are written again.
    if settings.has(Mutation::RecoveryInPlace) && !found.records.is_empty() {
        std::fs::write(&path, &bytes[..found.end as usize])
            .map_err(|e| failed("write", &path, e))?;
    }
    let mut log = Log::open(&path, number, found.end).map_err(|e| failed("open", &path, e))?;
    let notice = found.torn.map(|why| {
        format!(
            "{}: dropped the tail at offset {}: {why}",
            path.display(),
            found.end
        )
    });
    let wrong = |e| failed("write", &path, e);
    if settings.has(Mutation::TailNotTruncated) {
        // DEFECT tail-not-truncated: goes on behind the tail.
        log = Log::open(&path, number, bytes.len().next_multiple_of(BLOCK) as u64)
            .map_err(|e| failed("open", &path, e))?;
    } else if (found.end as usize) < bytes.len() {
        log.cut(found.end).map_err(wrong)?;
    }
    // After a sync that failed, the system may hold in memory what is not on the disk and call it
    // clean; only writing it again makes a sync worth something. Only the last record can be such.
    if !found.records.is_empty() {
        let last = &bytes[found.last as usize..found.end as usize];
        match log.rewrite(last, found.last) {
            Ok(()) => {}
            Err(e) if no_space(&e) => {
                return Ok(Opened {
                    log: None,
                    records: found.records,
                    notice,
                });
            }
            Err(e) => return Err(wrong(e)),
        }
    }
    log.sync()
        .and_then(|()| directory.sync())
        .map_err(|e| failed("sync", &path, e))?;
    Ok(Opened {
        log: Some(log),
        records: found.records,
        notice,
    })
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> RecoveryError {
    RecoveryError::File {
        path: path.to_owned(),
        what,
        source,
    }
}

/// All bytes of a file; an error names the first block that cannot be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, RecoveryError> {
    const CHUNK: usize = 32 * BLOCK;
    let file = File::open(path).map_err(|e| failed("open", path, e))?;
    let mut bytes = Vec::new();
    loop {
        let at = bytes.len();
        bytes.resize(at + CHUNK, 0);
        match file.read_at(&mut bytes[at..], at as u64) {
            Ok(0) => {
                bytes.truncate(at);
                return Ok(bytes);
            }
            Ok(n) => bytes.truncate(at + n),
            Err(e) if e.kind() == ErrorKind::Interrupted => bytes.truncate(at),
            Err(e) => {
                let offset = bad_block(&file, at as u64, CHUNK as u64);
                return Err(RecoveryError::Read {
                    path: path.to_owned(),
                    offset,
                    source: e,
                });
            }
        }
    }
}

/// The first block from `at` on that cannot be read.
fn bad_block(file: &File, at: u64, length: u64) -> u64 {
    let mut block = [0; BLOCK];
    (at..at + length)
        .step_by(BLOCK)
        .find(|offset| file.read_at(&mut block, *offset).is_err())
        .unwrap_or(at)
}
