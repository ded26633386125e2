//! plugpull's own runs: recording a trace, exploring it, and what that took.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

/// plugpull, and a directory for what it writes.
pub(crate) struct Plugpull {
    program: PathBuf,
    directory: TempDir,
}

/// A trace in a file.
pub(crate) struct Trace(PathBuf);

impl Trace {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// What an exploration took.
pub(crate) struct Explored {
    seconds: f64,
    /// Different states that were tried: a small trace has fewer than were wanted.
    states: u64,
    /// The most memory that plugpull had, in KiB, without its targets.
    pub(crate) peak_kib: u64,
}

impl Explored {
    pub(crate) fn seconds_a_state(&self) -> f64 {
        self.seconds / self.states as f64
    }
}

impl Plugpull {
    pub(crate) fn new(program: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            program,
            directory: tempfile::tempdir()?,
        })
    }

    /// Records so many transactions with values of at most so many bytes.
    pub(crate) fn record(
        &self,
        (target, settings): (&str, &[(&str, &str)]),
        txns: u64,
        size: u64,
    ) -> anyhow::Result<Trace> {
        let path = self
            .directory
            .path()
            .join(format!("{target}-{txns}-{size}"));
        let settings = settings
            .iter()
            .map(|(name, value)| format!("--set={name}={value}"));
        let output = Command::new(&self.program)
            .args(["explore", target, "--quiet", "--seed=1", "--states=1"])
            .args(settings)
            .arg(format!("--txns={txns}"))
            .arg(format!("--value-size={size}"))
            .arg("--record")
            .arg(&path)
            .output()
            .context("recording")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(path.exists(), "nothing was recorded: {said}");
        Ok(Trace(path))
    }

    /// Tries so many different states of a trace.
    pub(crate) fn explore(
        &self,
        trace: &Trace,
        states: u64,
        options: &[&str],
    ) -> anyhow::Result<Explored> {
        let json = NamedTempFile::new_in(self.directory.path())?;
        let mut child = Command::new(&self.program)
            .args(["explore", "--quiet", "--budget=10m"])
            .arg(format!("--states={states}"))
            .args(options)
            .arg("--trace")
            .arg(trace.path())
            .arg("--json")
            .arg(json.path())
            .stdout(Stdio::null())
            .spawn()
            .context("exploring")?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak_kib = 0;
        let code = loop {
            if let Some(code) = child.try_wait()? {
                break code;
            }
            peak_kib = peak(&status).unwrap_or(0).max(peak_kib);
            std::thread::sleep(Duration::from_millis(20));
        };
        anyhow::ensure!(
            code.code() == Some(0),
            "exploring {} ended with {code}",
            trace.path().display()
        );
        let report: Value = serde_json::from_slice(&std::fs::read(json.path())?)?;
        let took = report["took_us"]
            .as_u64()
            .context("a report without a time")?;
        let tried = report["coverage"]["tried"].as_u64();
        Ok(Explored {
            seconds: took as f64 / 1e6,
            states: tried
                .filter(|tried| *tried > 0)
                .context("no state was tried")?,
            peak_kib,
        })
    }
}

/// The most memory that a process had so far, in KiB (proc(5), VmHWM).
fn peak(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
