//! The service's process, and who starts it: systemd, something that keeps a pid file, or commands.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::options::AttachOptions;
use super::process::ProcessHandle;
use super::shell::Shell;
use super::systemd;
use crate::wrong;

/// Who tells the main process.
#[derive(Clone, Debug)]
enum Source {
    Unit(String),
    PidFile(PathBuf),
    /// On whatever machine: its numbers are compared and never signalled.
    Command(String),
    /// Nobody.
    Unknown,
}

/// What is known of the service at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its main process.
    pub(super) pid: Option<i32>,
    /// How often the supervisor restarted it, where that is counted.
    pub(super) restarts: u64,
    /// Why its last end was out of the ordinary, in systemd's words; empty when it was not.
    pub(super) result: String,
    /// When it became active last, in microseconds of the monotonic clock; 0 where nobody says.
    pub(super) active_since_us: u64,
    /// The supervisor will not start it again by itself.
    pub(super) at_rest: bool,
}

/// How the service is watched, killed, stopped and started.
#[derive(Clone, Debug)]
pub(super) struct Supervision {
    source: Source,
    start: Option<String>,
    stop: Option<String>,
    kill: Option<String>,
    /// How long the supervisor has before plugpull starts the service.
    pub(super) wait: Duration,
    pub(super) shell: Shell,
}

/// The old process, which was to end.
pub(super) struct Struck {
    /// What was done, in words.
    pub(super) what: String,
    /// The process that it was done to, where it is one of this machine.
    handle: Option<ProcessHandle>,
    /// It was stopped so that its supervisor leaves it so.
    pub(super) stopped: bool,
}

impl Supervision {
    /// As the options say; looks at nothing yet.
    pub(super) fn new(args: &AttachOptions, shell: Shell) -> anyhow::Result<Self> {
        let source = match (&args.unit, &args.pid_file, &args.pid_cmd) {
            (Some(unit), ..) => {
                systemd::check_name(unit)?;
                Source::Unit(unit.clone())
            }
            (_, Some(file), _) => Source::PidFile(file.clone()),
            (.., Some(command)) => Source::Command(command.clone()),
            _ => Source::Unknown,
        };
        let supervised = matches!(source, Source::Unit(_) | Source::PidFile(_));
        if !supervised && args.kill_cmd.is_none() {
            return Err(wrong(
                "it is not known how to kill the service: give --unit, --pid-file or --kill-cmd",
            ));
        }
        let patience = if supervised || args.start_cmd.is_none() {
            args.start_limit
        } else {
            Duration::ZERO
        };
        Ok(Self {
            source,
            start: args.start_cmd.clone(),
            stop: args.stop_cmd.clone(),
            kill: args.kill_cmd.clone(),
            wait: args.supervisor_wait.unwrap_or(patience),
            shell,
        })
    }

    /// Looks at the service.
    pub(super) fn look(&self) -> anyhow::Result<Seen> {
        Ok(match &self.source {
            Source::Unit(unit) => {
                let unit = systemd::show(unit, &self.shell)?;
                Seen {
                    pid: unit.pid,
                    restarts: unit.restarts,
                    at_rest: unit.at_rest(),
                    active_since_us: unit.active_since_us,
                    result: match unit.result.as_str() {
                        "success" => String::new(),
                        _ => unit.result,
                    },
                }
            }
            Source::PidFile(file) => Seen {
                // None while the supervisor writes it again.
                pid: fs::read_to_string(file)
                    .ok()
                    .and_then(|text| text.trim().parse().ok()),
                ..Seen::default()
            },
            Source::Command(command) => Seen {
                pid: self
                    .shell
                    .run(command, &[])
                    .ok()
                    .filter(|ended| ended.code == 0)
                    .and_then(|ended| ended.stdout.trim().parse().ok())
                    .filter(|pid| *pid > 0),
                ..Seen::default()
            },
            Source::Unknown => Seen::default(),
        })
    }

    /// Whether its process ids are of this machine.
    pub(super) fn local(&self) -> bool {
        matches!(self.source, Source::Unit(_) | Source::PidFile(_))
    }

    /// How often it may be looked.
    pub(super) fn pace(&self) -> Duration {
        match self.source {
            Source::PidFile(_) | Source::Unknown => Duration::from_millis(10),
            Source::Unit(_) | Source::Command(_) => Duration::from_millis(100),
        }
    }

    /// So that systemd does not count plugpull's kills against its start limit, and counts
    /// restarts from 0 (systemctl(1), reset-failed).
    pub(super) fn forget_failures(&self) -> anyhow::Result<()> {
        match &self.source {
            Source::Unit(unit) => systemd::tell("reset-failed", unit, &self.shell),
            _ => Ok(()),
        }
    }

    /// Kills the service as SIGKILL does.
    pub(super) fn kill(&self) -> anyhow::Result<Struck> {
        let command = self.kill.clone();
        self.end_process("SIGKILL", command, ProcessHandle::kill)
    }

    /// SIGTERM for its main process, which its supervisor starts again; where that is not of this
    /// machine, `--stop-cmd`, after which plugpull starts it.
    pub(super) fn terminate(&self) -> anyhow::Result<Struck> {
        let command = self.stop.clone().filter(|_| !self.local());
        let stopped = command.is_some();
        let struck = self.end_process("SIGTERM", command, ProcessHandle::terminate)?;
        Ok(Struck { stopped, ..struck })
    }

    fn end_process(
        &self,
        name: &str,
        command: Option<String>,
        signal: fn(&ProcessHandle) -> anyhow::Result<()>,
    ) -> anyhow::Result<Struck> {
        let pid = self.look()?.pid;
        let handle = match pid {
            Some(pid) if self.local() => Some(ProcessHandle::open(pid)?),
            _ => None,
        };
        if let Some(command) = command {
            self.shell.must(&command, &variables(pid))?;
            let what = format!("`{command}`");
            return Ok(Struck {
                what,
                handle,
                stopped: false,
            });
        }
        let handle = handle.with_context(|| match self.local() {
            true => "the service has no main process".to_owned(),
            false => format!("{name} wants --kill-cmd or --stop-cmd where only --pid-cmd is given"),
        })?;
        // It may have been another's by now; what is handle is not.
        anyhow::ensure!(
            self.look()?.pid == Some(handle.pid),
            "the service's process changed while {name} was to be sent"
        );
        signal(&handle)?;
        Ok(Struck {
            what: format!("{name} to process {}", handle.pid),
            handle: Some(handle),
            stopped: false,
        })
    }

    /// Whether plugpull itself can start the service.
    pub(super) fn can_start(&self) -> bool {
        self.start.is_some() || matches!(self.source, Source::Unit(_))
    }

    /// Starts the service.
    pub(super) fn start(&self) -> anyhow::Result<()> {
        match (&self.start, &self.source) {
            (_, Source::Unit(unit)) => {
                systemd::tell("reset-failed", unit, &self.shell)?;
                systemd::tell("start", unit, &self.shell)
            }
            (Some(command), _) => {
                // It may stay in the foreground; then it is the service.
                let mut left = self.shell.spawn(command, &[])?;
                std::thread::spawn(move || left.child.wait());
                Ok(())
            }
            (None, _) => anyhow::bail!("there is no --start-cmd"),
        }
    }

    /// Whether the service can be stopped so that it stays so, and started.
    pub(super) fn can_hold(&self) -> bool {
        matches!(self.source, Source::Unit(_)) || (self.stop.is_some() && self.start.is_some())
    }

    /// Stops the service so that it stays stopped, and waits for the end of its process.
    pub(super) fn hold(&self, limit: Duration) -> anyhow::Result<()> {
        let pid = self.look()?.pid;
        let handle = match pid {
            Some(pid) if self.local() => ProcessHandle::open(pid).ok(),
            _ => None,
        };
        match (&self.source, &self.stop) {
            (Source::Unit(unit), _) => systemd::tell("stop", unit, &self.shell)?,
            (_, Some(command)) => {
                self.shell.must(command, &variables(pid))?;
            }
            _ => anyhow::bail!("there is no --stop-cmd"),
        }
        if let Some(handle) = handle {
            anyhow::ensure!(
                handle.ended(limit),
                "process {} has not ended {limit:?} after it was stopped",
                handle.pid
            );
        }
        Ok(())
    }

    /// How each of the things above would be done, for `--dry-run`.
    pub(super) fn describe(&self) -> ActionTexts {
        let own = |verb: &str| match &self.source {
            Source::Unit(unit) => Some(format!("systemctl {verb} {unit}")),
            _ => None,
        };
        let command = |given: &Option<String>, signal: &str| match given {
            Some(command) => format!("run `{command}`"),
            None => format!("send {signal} to the main process"),
        };
        ActionTexts {
            look: match &self.source {
                Source::Unit(unit) => format!("systemctl show {unit}"),
                Source::PidFile(file) => format!("read {}", file.display()),
                Source::Command(command) => format!("run `{command}`"),
                Source::Unknown => "nothing: nobody tells the main process".into(),
            },
            kill: command(&self.kill, "SIGKILL"),
            terminate: command(&self.stop.clone().filter(|_| !self.local()), "SIGTERM"),
            hold: own("stop").unwrap_or_else(|| command(&self.stop, "nothing")),
            start: own("start").or_else(|| {
                self.start
                    .as_ref()
                    .map(|command| format!("run `{command}`"))
            }),
        }
    }
}

/// The supervision in words.
pub(super) struct ActionTexts {
    pub(super) look: String,
    pub(super) kill: String,
    pub(super) terminate: String,
    pub(super) hold: String,
    /// None where plugpull cannot start the service.
    pub(super) start: Option<String>,
}

fn variables(pid: Option<i32>) -> Vec<(&'static str, String)> {
    pid.map(|pid| ("PLUGPULL_PID", pid.to_string()))
        .into_iter()
        .collect()
}

impl Struck {
    /// Waits for the end of the process. True also where it is not of this machine.
    pub(super) fn ended(&self, limit: Duration) -> bool {
        self.handle
            .as_ref()
            .is_none_or(|handle| handle.ended(limit))
    }

    /// Its number, where it is one of this machine.
    pub(super) fn pid(&self) -> Option<i32> {
        self.handle.as_ref().map(|handle| handle.pid)
    }

    /// SIGKILL, where SIGTERM was not enough.
    pub(super) fn kill(&self) -> anyhow::Result<()> {
        self.handle.as_ref().map_or(Ok(()), ProcessHandle::kill)
    }
}
