//! Fills a plain data directory: what `disk-full` does where there is no crash filesystem.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use plugpull_faults::machine::InjectError;
use plugpull_sandbox::{Program, Sandbox, SpawnRequest};

/// The hidden command that fills a directory from inside the sandbox.
pub const FILL: &str = "__fill";
/// The file that takes the space.
const NAME: &str = ".plugpull-ballast";

/// Takes all space of the data directory but about `leave` bytes.
pub(super) fn fill(sandbox: &Sandbox, leave: u64) -> Result<(), InjectError> {
    run(sandbox, leave.to_string())
}

/// Gives it back.
pub(super) fn free(sandbox: &Sandbox) -> Result<(), InjectError> {
    run(sandbox, "free".into())
}

fn run(sandbox: &Sandbox, what: String) -> Result<(), InjectError> {
    let path = sandbox.data_dir().join(NAME).display().to_string();
    let request = SpawnRequest::new(Program::Myself, [FILL.to_string(), path, what]);
    let failed = |why: String| InjectError::Io(io::Error::other(why));
    let child = sandbox
        .spawn(&request)
        .map_err(|error| failed(error.to_string()))?;
    match child.wait(Instant::now() + Duration::from_secs(20))? {
        Some(0) => Ok(()),
        _ => Err(failed(format!(
            "filling the data directory: {}",
            child.output()
        ))),
    }
}

/// The hidden command: `PATH free`, or `PATH BYTES-TO-LEAVE`.
pub fn main(args: &[String]) -> i32 {
    let result = match args {
        [path, what] if what == "free" => match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        [path, leave] => match leave.parse() {
            Ok(leave) => take(Path::new(path), leave),
            Err(_) => Err(io::Error::other("the second argument is no number")),
        },
        _ => Err(io::Error::other("two arguments are wanted")),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn take(path: &Path, leave: u64) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    let block = vec![0u8; 1 << 16];
    let mut size: u64 = 0;
    loop {
        match file.write(&block) {
            Ok(written) => size += written as u64,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
            Err(error) => return Err(error),
        }
    }
    file.set_len(size.saturating_sub(leave))
}
