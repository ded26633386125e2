//! The guide's log and what was rotated away from it, as one history.

use std::fs;
use std::path::{Path, PathBuf};

use super::guide_log::scan;

/// The log that is appended to.
pub const ACTIVE: &str = "txn.log";

/// The numbers of the rotated logs (`txn.log.0` is the oldest), ascending.
pub fn rotated(directory: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| {
            let digits = name.strip_prefix(ACTIVE)?.strip_prefix('.')?;
            digits.parse::<u64>().ok()
        });
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Where a rotated log is.
pub fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{ACTIVE}.{number}"))
}

/// What does not hold in a directory at rest, by the parser alone; none when all does: every log is
/// good to its end, none is missing between two others, and logical time never goes back from the
/// oldest log to the newest.
pub fn complaint(directory: &Path) -> Option<String> {
    let numbers = match rotated(directory) {
        Ok(numbers) => numbers,
        Err(error) => return Some(format!("unreadable: {}: {error}", directory.display())),
    };
    for (index, number) in numbers.iter().enumerate() {
        if *number != index as u64 {
            return Some(format!(
                "missing-log: {} follows {} logs that begin with .0",
                path(directory, *number).display(),
                index
            ));
        }
    }
    let mut last = 0;
    let files = numbers.iter().map(|number| path(directory, *number));
    for file in files.chain([directory.join(ACTIVE)]) {
        let name = file.display();
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) => return Some(format!("unreadable: {name}: {error}")),
        };
        let found = scan(&bytes);
        if let Some(bad) = found.bad.first() {
            return Some(format!(
                "{}: {name}, the record at byte {}: {} ({} valid records, valid up to byte {})",
                bad.kind,
                bad.offset,
                bad.what,
                found.records.len(),
                found.sound_to
            ));
        }
        for record in &found.records {
            if record.timestamp < last {
                return Some(format!(
                    "time-went-back: {name}, the record at byte {}: logical time {} comes after \
                     {last}",
                    record.offset, record.timestamp
                ));
            }
            last = record.timestamp;
        }
    }
    None
}
