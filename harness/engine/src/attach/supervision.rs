//! The service's process, and who starts it: systemd, something that keeps a pid file, or commands.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::endpoint::resolve;
use super::options::AttachOptions;
use super::process::{self, ProcessHandle};
use super::serving;
use super::shell::Shell;
use super::systemd;
use crate::wrong;

/// How much of a pid file is read, in bytes.
const PID_FILE: u64 = 4096;

/// Who tells the main process.
#[derive(Clone, Debug)]
enum Source {
    Unit(String),
    PidFile(PathBuf),
    /// On whatever machine: what they print is compared, and numbers are never signalled.
    Commands {
        pid: Option<String>,
        /// Prints another text after each start.
        identity: Option<String>,
    },
    /// The process of this machine that listens where clients connect to: never signalled.
    Listener(SocketAddr),
    /// Nobody.
    Unknown,
}

/// What is known of the service at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its main process.
    pub(super) pid: Option<i32>,
    /// What tells this life of the service from the one before; none while it is down.
    pub(super) identity: Option<String>,
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

/// What was done so that the service ends.
pub(super) struct EndAttempt {
    /// In words.
    pub(super) what: String,
    /// A command of the user's did it.
    pub(super) by_command: bool,
    /// It was stopped so that its supervisor leaves it so.
    pub(super) stopped: bool,
}

/// The service's process as this machine has it.
fn local(pid: Option<i32>) -> Seen {
    Seen {
        pid,
        identity: pid.and_then(|pid| Some(format!("{pid} of {}", process::birth(pid)?))),
        ..Seen::default()
    }
}

impl Supervision {
    /// As the options say; looks at nothing yet.
    pub(super) fn new(args: &AttachOptions, shell: Shell) -> anyhow::Result<Self> {
        let source = match (&args.unit, &args.pid_file) {
            (Some(unit), _) => {
                systemd::check_name(unit)?;
                Source::Unit(unit.clone())
            }
            (_, Some(file)) => Source::PidFile(file.clone()),
            _ if args.pid_cmd.is_some() || args.identity_cmd.is_some() => Source::Commands {
                pid: args.pid_cmd.clone(),
                identity: args.identity_cmd.clone(),
            },
            _ => match args.connect.as_deref().and_then(resolve) {
                Some(address) => Source::Listener(address),
                None => Source::Unknown,
            },
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
                    restarts: unit.restarts,
                    at_rest: unit.at_rest(),
                    active_since_us: unit.active_since_us,
                    result: match unit.result.as_str() {
                        "success" => String::new(),
                        _ => unit.result,
                    },
                    ..local(unit.pid)
                }
            }
            // None while the supervisor writes it again.
            Source::PidFile(file) => local(pid_in(file).ok()),
            Source::Commands { pid, identity } => {
                let pid = pid
                    .as_ref()
                    .and_then(|command| self.printed(command, "--pid-cmd").ok());
                let identity = match identity {
                    Some(command) => self.printed(command, "--identity-cmd").ok(),
                    None => pid.clone(),
                };
                let number = pid.and_then(|pid| pid.parse().ok());
                Seen {
                    pid: number.filter(|pid| *pid > 0),
                    identity,
                    ..Seen::default()
                }
            }
            Source::Listener(address) => local(serving::listener(*address)),
            Source::Unknown => Seen::default(),
        })
    }

    /// What a command prints, on one line.
    fn printed(&self, command: &str, option: &str) -> Result<String, String> {
        let ended = self
            .shell
            .run(command, &[])
            .map_err(|error| format!("{option}: {error:#}"))?;
        let text = ended.stdout.trim();
        match (ended.code, text) {
            (0, "") => Err(format!("{option}: `{command}` printed nothing")),
            (0, text) => Ok(text.to_owned()),
            (code, _) => Err(format!(
                "{option}: `{command}` ended with {code}: {}",
                ended.describe()
            )),
        }
    }

    /// The service as it is now, which must run. An error says where nobody tells its process.
    pub(super) fn require(&self) -> Result<Seen, String> {
        let seen = self.look().map_err(|error| format!("{error:#}"))?;
        match (&self.source, &seen) {
            (Source::Unit(unit), Seen { pid: None, .. }) => {
                Err(format!("the unit {unit} has no main process"))
            }
            (Source::PidFile(file), Seen { identity: None, .. }) => Err(match pid_in(file) {
                Ok(pid) => format!("{} names process {pid}, which is not there", file.display()),
                Err(why) => format!("{}: {why}", file.display()),
            }),
            (Source::Commands { pid, identity }, _) => {
                if let Some(command) = pid {
                    let text = self.printed(command, "--pid-cmd")?;
                    if !text.parse::<i32>().is_ok_and(|pid| pid > 0) {
                        return Err(format!(
                            "--pid-cmd: `{command}` printed {text:?}, which is no process number"
                        ));
                    }
                }
                if let Some(command) = identity {
                    let text = self.printed(command, "--identity-cmd")?;
                    if seen.identity.as_ref() != Some(&text) {
                        return Err(format!(
                            "--identity-cmd: `{command}` printed {:?} and then {text:?} of the same start of the \
                             service",
                            seen.identity.unwrap_or_default()
                        ));
                    }
                }
                Ok(seen)
            }
            (Source::Listener(_) | Source::Unknown, Seen { identity: None, .. }) => Err(
                "nobody would know whether the service was killed: give --pid-cmd, or --identity-cmd \
                 that prints what changes with each start"
                    .into(),
            ),
            _ => Ok(seen),
        }
    }

    /// Who tells the main process, in words.
    pub(super) fn describe_source(&self) -> String {
        match &self.source {
            Source::Unit(unit) => format!("the unit {unit}"),
            Source::PidFile(file) => file.display().to_string(),
            Source::Commands { identity, pid } => {
                let command = identity.as_ref().or(pid.as_ref());
                format!("`{}`", command.map_or("", String::as_str))
            }
            Source::Listener(address) => format!("the listener at {address}"),
            Source::Unknown => "nobody".into(),
        }
    }

    /// Whether its process ids are of this machine.
    pub(super) fn local(&self) -> bool {
        self.signals() || matches!(self.source, Source::Listener(_))
    }

    /// Whether plugpull may signal its process itself.
    fn signals(&self) -> bool {
        matches!(self.source, Source::Unit(_) | Source::PidFile(_))
    }

    /// How often it may be looked.
    pub(super) fn pace(&self) -> Duration {
        match self.source {
            Source::PidFile(_) | Source::Unknown => Duration::from_millis(10),
            Source::Unit(_) | Source::Commands { .. } | Source::Listener(_) => {
                Duration::from_millis(100)
            }
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

    /// Kills the service as SIGKILL does: `main`, its main process, or by the command that is given its pid.
    pub(super) fn kill(
        &self,
        pid: Option<i32>,
        main: Option<&ProcessHandle>,
    ) -> anyhow::Result<EndAttempt> {
        let command = self.kill.clone();
        self.end_process((pid, main), "SIGKILL", command, ProcessHandle::kill)
    }

    /// SIGTERM for its main process, which its supervisor starts again; where plugpull may not signal
    /// it, `--stop-cmd`, after which plugpull starts it.
    pub(super) fn terminate(
        &self,
        pid: Option<i32>,
        main: Option<&ProcessHandle>,
    ) -> anyhow::Result<EndAttempt> {
        let command = self.stop.clone().filter(|_| !self.signals());
        let stopped = command.is_some();
        let attempt =
            self.end_process((pid, main), "SIGTERM", command, ProcessHandle::terminate)?;
        Ok(EndAttempt { stopped, ..attempt })
    }

    fn end_process(
        &self,
        (pid, main): (Option<i32>, Option<&ProcessHandle>),
        name: &str,
        command: Option<String>,
        signal: fn(&ProcessHandle) -> anyhow::Result<()>,
    ) -> anyhow::Result<EndAttempt> {
        if let Some(command) = command {
            self.shell.must(&command, &variables(pid))?;
            return Ok(EndAttempt {
                what: format!("`{command}`"),
                by_command: true,
                stopped: false,
            });
        }
        let main = main.filter(|_| self.signals());
        let main = main.with_context(|| {
            format!(
                "{name} wants --kill-cmd or --stop-cmd where there is no --unit and no --pid-file"
            )
        })?;
        signal(main)?;
        Ok(EndAttempt {
            what: format!("{name} to process {}", main.pid),
            by_command: false,
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
                "process {} has not ended {limit:.1?} after it was stopped",
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
                Source::Commands { pid, identity } => {
                    let commands = [pid, identity].into_iter().flatten();
                    let all: Vec<String> = commands.map(|one| format!("run `{one}`")).collect();
                    all.join(", ")
                }
                Source::Listener(address) => format!("look who listens at {address}"),
                Source::Unknown => "nothing: nobody tells the main process".into(),
            },
            kill: command(&self.kill, "SIGKILL"),
            terminate: command(&self.stop.clone().filter(|_| !self.signals()), "SIGTERM"),
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

/// The process number in a file, or why there is none.
fn pid_in(file: &Path) -> Result<i32, String> {
    let read = fs::File::open(file).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(PID_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let bytes = read.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    // Some write more about themselves below the number.
    let first = text.trim().lines().next().unwrap_or_default().trim();
    match first.parse() {
        _ if first.is_empty() => Err("it is empty".into()),
        Ok(pid) if pid > 0 => Ok(pid),
        _ => {
            let first: String = first.chars().take(40).collect();
            Err(format!("it holds {first:?}, which is no process number"))
        }
    }
}
