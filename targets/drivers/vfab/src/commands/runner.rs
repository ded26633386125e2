//! Running a command of vfab, or our script in its Python.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Takes a job to COMPLETED by vfab's Python API; its text says how it is called.
const DRIVE: &str = include_str!("drive.py");

/// How a command ended.
pub(super) struct Ended {
    /// Its exit code is 0.
    pub(super) good: bool,
    pub(super) stdout: String,
    /// The end of what it said.
    pub(super) said: String,
}

/// Runs commands, with a directory as HOME and working directory.
#[derive(Clone)]
pub(super) struct Runner {
    program: PathBuf,
    directory: PathBuf,
}

impl Runner {
    /// For the vfab at `program`, in `directory`.
    pub(super) fn new(program: &Path, directory: &Path) -> Self {
        Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
        }
    }

    /// The directory it runs in.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The same vfab with another home.
    pub(super) fn at(&self, directory: &Path) -> Self {
        Self::new(&self.program, directory)
    }

    /// Runs a command of vfab, with a yes for what it asks.
    pub(super) fn run(&self, args: &[&str]) -> Result<Ended, String> {
        self.start(Command::new(&self.program).args(args))
            .map_err(|e| format!("vfab cannot be run: {e}"))
    }

    /// Takes a job to COMPLETED by the API. `how` is `fresh` or `recovered`.
    pub(super) fn drive(
        &self,
        how: &str,
        job: &str,
        strokes: u64,
        log: &Path,
    ) -> Result<Ended, String> {
        let python = python(&self.program)?;
        let mut command = Command::new(&python);
        command.args(["-c", DRIVE, how, job]);
        command.arg(strokes.to_string()).arg(log);
        self.start(&mut command)
            .map_err(|e| format!("{} cannot be run: {e}", python.display()))
    }

    fn start(&self, command: &mut Command) -> std::io::Result<Ended> {
        let places = self.program.parent().map(Path::to_owned).into_iter();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(places.chain(std::env::split_paths(&path)))
            .map_err(|e| std::io::Error::new(ErrorKind::InvalidInput, e))?;
        let mut child = command
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.directory)
            .env("LANG", "C.UTF-8")
            .env("COLUMNS", "400")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "where nothing is asked, nobody reads it"
            )]
            let _ = stdin.write_all(b"y\n");
        }
        let output = child.wait_with_output()?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = end(&stdout, 3).chain(end(&stderr, 2)).collect();
        Ok(Ended {
            good: output.status.success(),
            said: said.join(" | "),
            stdout,
        })
    }
}

/// The last lines of a text that say something.
fn end(text: &str, most: usize) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let skipped = lines.len().saturating_sub(most);
    lines.into_iter().skip(skipped)
}

/// The Python that a vfab is installed for: beside it in a virtual environment, else the one that
/// its first line names.
pub(super) fn python(vfab: &Path) -> Result<PathBuf, String> {
    let beside = vfab.with_file_name("python");
    if beside.is_file() {
        return Ok(beside);
    }
    let named = fs::read_to_string(vfab).ok().and_then(|text| {
        let line = text.lines().next()?.strip_prefix("#!")?;
        let path = PathBuf::from(line.split_whitespace().next()?);
        path.is_file().then_some(path)
    });
    named.ok_or_else(|| {
        format!(
            "no python is beside {}, and its first line names none: install vfab in a virtual \
             environment and name that with --set venv=DIR",
            vfab.display()
        )
    })
}
