//! Logs of block writes: what somebody else's kernel or QEMU wrote.

use std::path::Path;

use plugpull_crashsim::file::{File, SimDisk, Storage};
use plugpull_filesystems::{BlockLog, empty_image, read_log_writes, write_log_writes};

use crate::subject::{Reading, Shape, Subject, any};

/// `confirm --block-log FILE`.
pub(crate) const LOG_WRITES: Subject = Subject {
    name: "log-writes",
    shape: Shape::Bytes,
    seeds,
    property: read_log,
    mutant: trust_a_count,
};

/// The most bytes of a log that is written again.
const WRITTEN: u64 = 1 << 20;

/// A write, a flush and another write.
fn seeds() -> Vec<Vec<u8>> {
    let write = || -> Option<Vec<u8>> {
        let disk = SimDisk::new();
        let image = disk.create("image").ok()?;
        image.write_at(0, &[7; 4096]).ok()?;
        image.sync_data().ok()?;
        image.write_at(8192, &[8; 512]).ok()?;
        let made = disk.take_log();
        let records = made.records()[1..].iter().zip(0..);
        let records = records.map(|(record, seq)| {
            let mut record = record.clone();
            record.seq = seq;
            record
        });
        let image = empty_image(1 << 20).ok()?;
        let log = plugpull_crashsim::fs::Log::of(image, records.collect(), Vec::new());
        let mut bytes = Vec::new();
        write_log_writes(&BlockLog { log, from: 2 }, &mut bytes).ok()?;
        Some(bytes)
    };
    write().into_iter().collect()
}

/// What was read and is written again reads as the same.
fn read_log(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    let Ok(blocks) = read_log_writes(input) else {
        return Ok(Reading::Refused);
    };
    any(blocks.filesystem());
    let (records, from) = (blocks.log.records().len(), blocks.from);
    if from > records {
        return Err(format!("the last operation is behind {from} of {records}"));
    }
    if input.len() as u64 > WRITTEN {
        return Ok(Reading::Read);
    }
    let mut bytes = Vec::new();
    write_log_writes(&blocks, &mut bytes).map_err(|error| error.to_string())?;
    let again = read_log_writes(&bytes[..]).map_err(|error| error.to_string())?;
    // With the flush behind the empty image.
    match (again.log.records().len(), again.from) == (records + 1, from + 1) {
        true => Ok(Reading::Read),
        false => Err("it reads otherwise when it is written again".into()),
    }
}

/// A reader that takes each entry to be as long as it says.
fn trust_a_count(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| input[at + n])) as usize;
    let mut at = 512;
    while at < input.len() {
        let count = number(at + 8);
        let data = &input[at + 512..at + 512 + count * 512];
        at += 512 + data.len();
    }
    Ok(Reading::Read)
}
