//! Command targets: a TOML file says how a program that plugpull has never heard of is started,
//! written to and checked. The keys are described in `docs/command-targets.md`.

mod answer;
mod file;
mod line;
mod prints;
mod promises;
pub(crate) mod ready;
mod version;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plugpull_workloads::{Checker, Promise, read_text};

use crate::{CheckAnswer, Checked, Scripted};
use crate::{Client, ClientError, Host, Input, Process, Running, StartError, Target, UsageError};
use file::{CommandLine, File};
use line::Line;
use plugpull_driver::closest;
use ready::Ready;

/// Names to the check the file with the acknowledged IDs, one a line.
const ACKED_VARIABLE: &str = "PLUGPULL_ACKED";
/// Tells the workload how often it was started in this trial, from 1.
const LIFE_VARIABLE: &str = "PLUGPULL_LIFE";
/// The longest file of a target, in bytes.
const LONGEST_FILE: u64 = 1 << 20;
/// How long a check may take when the file names no time.
const CHECK_LIMIT: Duration = Duration::from_secs(60);

/// Whether a target's name on the command line is that of a file.
pub fn is_file_name(name: &str) -> bool {
    name.ends_with(".toml") || name.contains('/')
}

/// A target that a file describes.
#[derive(Debug)]
pub struct CommandTarget {
    name: String,
    version: String,
    directory: PathBuf,
    recover: Option<Line>,
    start: Option<(Line, Ready)>,
    start_limit: Option<Duration>,
    workload: Line,
    check: Line,
    check_limit: Duration,
    /// A script that was probably meant to be named as one of the file's directory.
    hint: Option<String>,
    promises: Vec<Promise>,
    env: BTreeMap<String, String>,
}

impl CommandTarget {
    /// Reads the file at `path`. `settings` give other values to the variables of its `[env]`.
    /// Its version command is run; nothing else is started.
    ///
    /// # Errors
    /// The file cannot be read, has an unknown key, lacks one, or names a program that is not
    /// there: always with the file's path.
    pub fn open(path: &str, settings: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let wrong = |why: String| UsageError::File {
            path: path.to_owned(),
            why: one_line(&why),
        };
        let text =
            read_text(Path::new(path), LONGEST_FILE).map_err(|error| wrong(error.to_string()))?;
        let file = File::parse(&text).map_err(wrong)?;
        let full = std::path::absolute(path).map_err(|error| wrong(error.to_string()))?;
        let full = full.canonicalize().unwrap_or(full);
        let directory = full.parent().unwrap_or(Path::new("/")).to_path_buf();
        let short = full.file_name().unwrap_or_default().to_string_lossy();
        let name = file.name.clone().unwrap_or_else(|| {
            let stem = full.file_stem().unwrap_or_default();
            stem.to_string_lossy().into_owned()
        });
        let env = variables(&file, &name, settings)?;
        let line = |key: &str, command: &CommandLine| {
            Line::new(command, &directory, &env).map_err(|why| wrong(format!("{key}: {why}")))
        };
        let recover = (file.recover.as_ref())
            .map(|recover| line("recover.command", &recover.command))
            .transpose()?;
        let start = match &file.start {
            None => None,
            Some(start) => {
                let ready = &start.ready;
                let ready = match (&ready.line, ready.port, &ready.command) {
                    (Some(text), None, None) => Ready::Line(text.clone()),
                    (None, Some(port), None) => Ready::Port(port),
                    (None, None, Some(command)) => {
                        Ready::Command(line("start.ready.command", command)?)
                    }
                    _ => {
                        let why = "start.ready has one of the keys line, port and command";
                        return Err(wrong(why.into()));
                    }
                };
                Some((line("start.command", &start.command)?, ready))
            }
        };
        let limit = |key: &str, given: Option<u64>| match given {
            Some(0) => Err(wrong(format!("{key} is 0"))),
            given => Ok(given.map(Duration::from_millis)),
        };
        let start_limit = file.start.as_ref().and_then(|start| start.timeout_ms);
        let start_limit = limit("start.timeout_ms", start_limit)?;
        let settable: BTreeMap<String, String> = file
            .env
            .keys()
            .map(|name| (name.clone(), env[name].clone()))
            .collect();
        let timed = recover.is_some() || start.is_some();
        let promises = promises::promises(&file.promises, &settable, &short, timed)
            .map_err(|why| wrong(format!("promise: {why}")))?;
        let says = match &file.version {
            Some(command) => version::ask(&line("version", command)?)
                .map_err(|why| wrong(format!("version: {why}")))?,
            None => String::new(),
        };
        let version = version::line(
            &name,
            &says,
            &contents(&file, &full, &directory).map_err(wrong)?,
        );
        Ok(Self {
            name,
            version,
            recover,
            start,
            start_limit,
            hint: prints::hint(&directory, &commands(&file)),
            workload: workload_line(&file, &directory, &env)
                .map_err(|why| wrong(format!("workload.command: {why}")))?,
            check: line("check.command", &file.check.command)?,
            check_limit: limit("check.timeout_ms", file.check.timeout_ms)?.unwrap_or(CHECK_LIMIT),
            promises,
            env: settable,
            directory,
        })
    }
}

/// Reads the text of a target's file, and runs nothing of it.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn parse(text: &str) -> Result<(), String> {
    let file = File::parse(text).map_err(|why| one_line(&why))?;
    let timed = file.recover.is_some() || file.start.is_some();
    promises::promises(&file.promises, &file.env, "the file", timed)
        .map(drop)
        .map_err(|why| one_line(&why))
}

/// A message in which a file is quoted: on one line, and without what a terminal takes for a command.
fn one_line(why: &str) -> String {
    why.chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

/// The variables of every command: those of the file, as the settings change them, and `PATH`.
fn variables(
    file: &File,
    target: &str,
    settings: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, UsageError> {
    let mut env = file.env.clone();
    for (name, value) in settings {
        match env.get_mut(name) {
            Some(known) => known.clone_from(value),
            None => {
                return Err(UsageError::UnknownSetting {
                    target: target.to_owned(),
                    name: name.clone(),
                    suggestion: closest(name, file.env.keys().map(String::as_str)),
                    known: file.env.keys().cloned().collect(),
                });
            }
        }
    }
    env.entry("PATH".into())
        .or_insert_with(|| std::env::var("PATH").unwrap_or_default());
    Ok(env)
}

/// The command of the workload.
fn workload_line(
    file: &File,
    directory: &Path,
    env: &BTreeMap<String, String>,
) -> Result<Line, String> {
    let line = Line::new(&file.workload.command, directory, env)?;
    match file.workload.unbuffer {
        true => line.unbuffered(),
        false => Ok(line),
    }
}

/// Every command of the file, by its key.
fn commands(file: &File) -> Vec<(&'static str, &CommandLine)> {
    let mut commands = vec![
        ("workload.command", &file.workload.command),
        ("check.command", &file.check.command),
    ];
    commands.extend(file.version.iter().map(|command| ("version", command)));
    let recover = file.recover.iter();
    commands.extend(recover.map(|recover| ("recover.command", &recover.command)));
    if let Some(start) = &file.start {
        commands.push(("start.command", &start.command));
        let ready = start.ready.command.iter();
        commands.extend(ready.map(|command| ("start.ready.command", command)));
    }
    commands
}

/// The prints of the file and of everything that it names.
fn contents(file: &File, path: &Path, directory: &Path) -> Result<Vec<String>, String> {
    let commands = commands(file);
    if let Some(missing) = prints::missing(directory, &commands) {
        return Err(missing);
    }
    let commands: Vec<&CommandLine> = commands.into_iter().map(|(_, command)| command).collect();
    let mut all = vec![path.to_path_buf()];
    all.extend(prints::named(directory, &commands));
    for more in &file.files {
        let more = directory.join(more);
        if !all.contains(&more) {
            all.push(more);
        }
    }
    all.iter()
        .map(|path| prints::print(directory, path))
        .collect()
}

impl Target for CommandTarget {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn users_own(&self) -> bool {
        true
    }

    fn start_limit(&self) -> Option<Duration> {
        self.start_limit
    }

    fn promises(&self) -> Vec<Promise> {
        self.promises.clone()
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        if let Some(recover) = &self.recover {
            let began = Instant::now();
            let mut process = host.spawn(&recover.launch(host))?;
            match process.wait(deadline)? {
                Some(0) => {}
                Some(code) => {
                    return Err(StartError::Exited {
                        code,
                        output: process.complaint(),
                    });
                }
                None => {
                    return Err(StartError::Timeout {
                        waited: began.elapsed(),
                        output: process.output(),
                    });
                }
            }
        }
        let Some((line, ready)) = &self.start else {
            return Ok(Box::new(Up(None)));
        };
        let mut launch = line.launch(host);
        launch.reads_lines = matches!(ready, Ready::Line(_));
        let mut process = host.spawn(&launch)?;
        let own = self.start_limit.map(|limit| Instant::now() + limit);
        let deadline = own.map_or(deadline, |own| own.min(deadline));
        ready.wait(&mut *process, host, deadline)?;
        process.ignore_lines();
        Ok(Box::new(Up(Some(process))))
    }

    fn checker(&self) -> Checker {
        Checker::User
    }

    fn scripted(&self) -> Option<&dyn Scripted> {
        Some(self)
    }
}

impl Scripted for CommandTarget {
    fn serves(&self) -> bool {
        self.start.is_some()
    }

    fn recovers(&self) -> bool {
        self.start.is_some() || self.recover.is_some()
    }

    fn work(&self, host: &dyn Host, life: u64) -> io::Result<Box<dyn Process>> {
        let mut launch = self.workload.launch(host);
        launch.reads_lines = true;
        launch.env.push((LIFE_VARIABLE.into(), life.to_string()));
        if self.serves() {
            host.spawn_beside(&launch, None)
        } else {
            host.spawn(&launch)
        }
    }

    fn check(&self, host: &dyn Host, acked: &[String]) -> io::Result<CheckAnswer> {
        self.check_within(host, acked, None)
    }

    fn check_within(
        &self,
        host: &dyn Host,
        acked: &[String],
        limit: Option<Duration>,
    ) -> io::Result<CheckAnswer> {
        let began = Instant::now();
        let limit = limit.unwrap_or(self.check_limit).min(self.check_limit);
        let deadline = began + limit;
        let mut text = acked.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        let input = Input {
            variable: ACKED_VARIABLE,
            text: &text,
        };
        let mut launch = self.check.launch(host);
        launch.reads_lines = true;
        let mut process = host.spawn_beside(&launch, Some(input))?;
        let mut lines = Vec::new();
        let code = loop {
            match process.stdout_line(deadline) {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break process.wait(deadline)?,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break None,
                Err(error) => return Err(error),
            }
        };
        let output = process.output();
        let checked = match code {
            Some(code) => answer::read(&lines, code, &output, acked).map_err(io::Error::other)?,
            None => Checked::Hung(began.elapsed()),
        };
        Ok(CheckAnswer { checked, output })
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn visible(&self) -> Vec<PathBuf> {
        let mut all = vec![self.directory.clone()];
        let lines = [&self.workload, &self.check].into_iter();
        let more = self.recover.iter().chain(self.start.iter().map(|(l, _)| l));
        all.extend(lines.chain(more).map(|line| line.program.clone()));
        all
    }

    fn described(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut add = |name: &str, text: &str| all.push((name.to_owned(), text.to_owned()));
        for (name, value) in &self.env {
            add(&format!("env {name}"), value);
        }
        if let Some(recover) = &self.recover {
            add("recover", &recover.shown);
        }
        if let Some((line, ready)) = &self.start {
            add("start", &line.shown);
            match ready {
                Ready::Line(text) => add("ready when", &format!("it prints '{text}'")),
                Ready::Port(port) => add("ready when", &format!("port {port} is open")),
                Ready::Command(line) => {
                    add("ready when", &format!("this ends well: {}", line.shown))
                }
            }
        }
        add("workload", &self.workload.shown);
        add("check", &self.check.shown);
        all
    }
}

/// A command target that is up: its daemon, if it has one.
struct Up(Option<Box<dyn Process>>);

impl Running for Up {
    fn connect(&self, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        Err(ClientError::Fail(
            "a command target is written to by its own workload".into(),
        ))
    }

    fn process(&mut self) -> Option<&mut dyn Process> {
        match &mut self.0 {
            Some(process) => Some(&mut **process),
            None => None,
        }
    }
}
