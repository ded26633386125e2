//! What a trace is known by.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::TraceError;

/// The digest (XXH3, 128 bits) of a trace's file: two files with the same digest are copies of one.
///
/// # Errors
/// [`TraceError::Io`] when the file cannot be read. Whether it is a sound trace is not looked at.
pub fn fingerprint(path: &Path) -> Result<u128, TraceError> {
    let io = |error| TraceError::Io {
        path: path.to_path_buf(),
        error,
    };
    let mut file = File::open(path).map_err(io)?;
    let mut hash = Xxh3::new();
    let mut part = vec![0; 1 << 20];
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(hash.digest128()),
            Ok(read) => hash.update(&part[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(io(error)),
        }
    }
}
