//! Files that others wrote are read under a limit of size.

// tidy: small because all that reads what others wrote shares it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, or is longer than that.
pub fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {}, which is the limit", size(limit)),
        ));
    }
    Ok(bytes)
}

/// The same for text.
///
/// # Errors
/// As [`read_file`], and what is no UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read_file(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_never_ends_is_refused() {
        let error = read_file(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it is longer than 1 MiB, which is the limit"
        );
        assert_eq!(read_file(Path::new("/dev/null"), 0).unwrap(), b"");
        let error = read_text(Path::new("/dev/zero"), 1 << 10).unwrap_err();
        assert!(error.to_string().contains("1 KiB"), "{error}");
    }
}
