//! A process with something to read, as its standard input and as a file: written in the sandbox by
//! plugpull itself, which then becomes the process.

// tidy: small because it is a program of its own, started by its hidden argument.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use plugpull_sandbox::{Child, Program, Sandbox, SpawnRequest};

/// The hidden command that writes the file and becomes the program.
pub const READS: &str = "__reads";
/// The file's name, beside the data directory.
const NAME: &str = "input";

/// Starts the program of `request`, which must be one by path, with this text to read; `variable`
/// names the file to it.
pub(super) fn spawn(
    sandbox: &Sandbox,
    mut request: SpawnRequest,
    variable: &str,
    text: &str,
) -> io::Result<Child> {
    let Program::Path(program) = &request.program else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let beside = sandbox.data_dir().parent().unwrap_or(Path::new("/"));
    let path = beside.join(NAME).display().to_string();
    request.env.push((variable.to_owned(), path.clone()));
    let first = [READS.to_owned(), path, program.display().to_string()];
    request.args.splice(0..0, first);
    request.program = Program::Myself;
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    io::Seek::rewind(&mut file)?;
    Ok(sandbox.spawn_with_stdin(&request, file.as_fd())?)
}

/// The hidden command: `PATH PROGRAM ARGUMENT...`. Returns only when it fails.
pub fn main(args: &[String]) -> i32 {
    let [path, program, args @ ..] = args else {
        eprintln!("two arguments are wanted");
        return 1;
    };
    let error = match written(path) {
        Ok(file) => Command::new(program).args(args).stdin(file).exec(),
        Err(error) => error,
    };
    eprintln!("{program} could not be started: {error}");
    126
}

fn written(path: &str) -> io::Result<File> {
    io::copy(&mut io::stdin().lock(), &mut File::create(path)?)?;
    File::open(path)
}
