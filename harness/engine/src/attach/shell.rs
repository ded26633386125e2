//! The commands that the user gives to reach a service: run by `sh -c`, each within a limit.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often it is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(5);
/// How much of a command's words is kept, in bytes.
const KEPT: u64 = 4096;

/// Runs commands with variables added to plugpull's own environment.
#[derive(Clone, Debug)]
pub(super) struct Shell {
    /// The variables.
    pub(super) env: Vec<(String, String)>,
    /// How long a command may take.
    pub(super) limit: Duration,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct CommandResult {
    /// Its exit code, or 128 + the signal's number.
    pub(super) code: i32,
    /// The beginning of its standard output.
    pub(super) stdout: String,
    /// The beginning of its standard error.
    pub(super) stderr: String,
}

impl CommandResult {
    /// What it said, on one line.
    pub(super) fn describe(&self) -> String {
        let said = if self.stderr.trim().is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        let lines: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        match lines.is_empty() {
            true => "it said nothing".into(),
            false => lines.join("; "),
        }
    }
}

impl Shell {
    /// Runs a command and waits for its end. What it leaves running in the background is left
    /// alone. An error when it cannot be started, or has not ended within the limit: then its
    /// process group is killed.
    pub(super) fn run(
        &self,
        command: &str,
        env: &[(&str, String)],
    ) -> anyhow::Result<CommandResult> {
        // Files and not pipes: a daemon that a command started would keep a pipe open.
        let mut stdout = tempfile::tempfile().context("a file for a command's output")?;
        let mut stderr = tempfile::tempfile().context("a file for a command's output")?;
        let mut child = self
            .command(command, env)
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .spawn()
            .with_context(|| format!("`{command}` could not be started"))?;
        let deadline = Instant::now() + self.limit;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() >= deadline {
                kill_group(&mut child);
                anyhow::bail!("`{command}` had not ended after {:?}", self.limit);
            }
            std::thread::sleep(LOOK);
        };
        Ok(CommandResult {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: text(&mut stdout)?,
            stderr: text(&mut stderr)?,
        })
    }

    /// Runs a command that must end with 0.
    pub(super) fn must(
        &self,
        command: &str,
        env: &[(&str, String)],
    ) -> anyhow::Result<CommandResult> {
        let ended = self.run(command, env)?;
        match ended.code {
            0 => Ok(ended),
            code => anyhow::bail!("`{command}` ended with {code}: {}", ended.describe()),
        }
    }

    /// Starts a command in a process group of its own and leaves it running.
    pub(super) fn spawn(&self, command: &str, env: &[(&str, String)]) -> anyhow::Result<Left> {
        let stderr = tempfile::tempfile().context("a file for a command's output")?;
        let child = self
            .command(command, env)
            .stdout(Stdio::null())
            .stderr(stderr.try_clone()?)
            .spawn()
            .with_context(|| format!("`{command}` could not be started"))?;
        Ok(Left { child, stderr })
    }

    fn command(&self, command: &str, env: &[(&str, String)]) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            // Ctrl-C is for plugpull, which lets a command come to its end.
            .process_group(0);
        shell
    }
}

/// A command that was left running.
pub(super) struct Left {
    /// Its shell, which leads a process group.
    pub(super) child: Child,
    stderr: File,
}

impl Left {
    /// Its exit code, or 128 + signal, when it has ended with another code than 0: one that ends
    /// with 0 has left a service running behind it.
    pub(super) fn failed(&mut self) -> anyhow::Result<Option<String>> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(None);
        };
        if status.success() {
            return Ok(None);
        }
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let said = text(&mut self.stderr)?;
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        Ok(Some(format!("exit code {code}: {}", lines.join("; "))))
    }

    /// Kills it with its group.
    pub(super) fn kill(&mut self) {
        kill_group(&mut self.child);
    }
}

/// The beginning of what was written to a file.
fn text(file: &mut File) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(KEPT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Kills a process that leads a group, and the group.
#[expect(
    clippy::let_underscore_must_use,
    reason = "a process that has ended needs no kill and no wait"
)]
pub(super) fn kill_group(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // Not waited for yet, so the number is no other process's.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(limit: Duration) -> Shell {
        Shell {
            env: vec![("WHO".into(), "world".into())],
            limit,
        }
    }

    #[test]
    fn a_command_is_heard() {
        let ended = shell(Duration::from_secs(20))
            .run(
                "echo hello $WHO $N; echo no >&2; exit 3",
                &[("N", "7".into())],
            )
            .unwrap();
        assert_eq!((ended.code, ended.stdout.trim()), (3, "hello world 7"));
        assert_eq!(ended.describe(), "no");
        let error = shell(Duration::from_secs(20))
            .must("exit 3", &[])
            .unwrap_err();
        assert!(error.to_string().contains("ended with 3"), "{error}");
    }

    #[test]
    fn a_command_without_end_is_ended_and_one_in_the_background_is_not_waited_for() {
        let error = shell(Duration::from_millis(50))
            .run("sleep 60", &[])
            .unwrap_err();
        assert!(error.to_string().contains("had not ended"), "{error}");
        let ended = shell(Duration::from_secs(20))
            .run("sleep 5 & echo $!", &[])
            .unwrap();
        let pid: i32 = ended.stdout.trim().parse().unwrap();
        nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
}
