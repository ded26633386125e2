//! A subject in a process of its own: with little memory, ended where one input takes too long, and
//! with the number of the input at hand whatever it dies of.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::resource::{Resource, setrlimit};

use crate::mutate::input;
use crate::subject::{Property, Reading, Subject, hold};

/// The memory of the process, in bytes.
pub const MEMORY: u64 = 2 << 30;
/// How much processor time one input may take: a busy machine makes it no slower.
pub const HANG: Duration = Duration::from_secs(10);
/// How long one input may take that waits for something.
const WAITS: Duration = Duration::from_secs(120);
/// How often it is looked whether the process lives.
const LOOK: Duration = Duration::from_millis(20);
/// The exit code of a process that found an input for which the property does not hold.
const FOUND: i32 = 7;

/// An input that a reader failed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its number, which gives the input again with the same seed.
    pub number: u64,
    /// What failed.
    pub why: String,
}

/// How many inputs held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// All of them.
    pub inputs: u64,
    /// Those that were read to their end.
    pub read: u64,
}

/// How long to go on: what is reached first ends it.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// So many inputs.
    pub inputs: u64,
    /// So long.
    pub time: Duration,
}

impl Until {
    fn reached(self, inputs: u64, began: Instant) -> bool {
        inputs >= self.inputs || began.elapsed() >= self.time
    }
}

/// Holds a property to one input after the other, in this process, beginning with this number. Returns
/// how many held, or the first that did not. `begins` is called before each.
pub fn here(
    subject: &Subject,
    property: Property,
    seed: u64,
    until: Until,
    mut begins: impl FnMut(Progress),
) -> anyhow::Result<Result<Progress, Failure>> {
    let scratch = tempfile::tempdir()?;
    let seeds = (subject.seeds)();
    anyhow::ensure!(!seeds.is_empty(), "{} has no sound input", subject.name);
    for sound in &seeds {
        match hold(subject.property, sound, scratch.path()) {
            Ok(Reading::Read) => {}
            Ok(Reading::Refused) => anyhow::bail!(
                "a sound input of {} is refused: {:?}",
                subject.name,
                String::from_utf8_lossy(&sound[..sound.len().min(200)])
            ),
            Err(why) => anyhow::bail!("a sound input of {} is not: {why}", subject.name),
        }
    }
    let began = Instant::now();
    let mut held = Progress::default();
    while !until.reached(held.inputs, began) {
        begins(held);
        let number = held.inputs;
        let bytes = input(subject, &seeds, seed, number);
        match hold(property, &bytes, scratch.path()) {
            Ok(reading) => held.read += u64::from(reading == Reading::Read),
            Err(why) => return Ok(Err(Failure { number, why })),
        }
        held.inputs += 1;
    }
    Ok(Ok(held))
}

/// What the process of [`apart`] does: limits itself, and says in `progress` which input it is at.
///
/// # Errors
/// It could not begin.
pub fn child(subject: &Subject, seed: u64, until: Until, progress: &Path) -> anyhow::Result<i32> {
    setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY)?;
    // A panic is a failure that is reported below.
    std::panic::set_hook(Box::new(|_| {}));
    let file = File::options().write(true).open(progress)?;
    let begins = |held: Progress| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&held.inputs.to_le_bytes());
        bytes[8..].copy_from_slice(&held.read.to_le_bytes());
        #[expect(
            clippy::let_underscore_must_use,
            reason = "where it fails, a death has the number of an earlier input"
        )]
        let _ = file.write_all_at(&bytes, 0);
    };
    match here(subject, subject.property, seed, until, begins)? {
        Ok(held) => {
            begins(held);
            Ok(0)
        }
        Err(failure) => {
            println!("{}", failure.why.replace('\n', " "));
            Ok(FOUND)
        }
    }
}

/// Runs a subject in a process of its own. Returns how many inputs held, or the one that did not.
///
/// # Errors
/// The process could not be started, or looked at.
pub fn apart(
    subject: &Subject,
    seed: u64,
    until: Until,
) -> anyhow::Result<Result<Progress, Failure>> {
    let place = tempfile::tempdir()?;
    let [progress, output, errors] = ["at", "output", "errors"].map(|name| place.path().join(name));
    fs::write(&progress, [0; 16])?;
    let mut process = Command::new(std::env::current_exe()?)
        .args(["--child", subject.name, "--seed", &seed.to_string()])
        .args(["--seconds", &until.time.as_secs().to_string()])
        .args(["--inputs", &until.inputs.to_string(), "--progress"])
        .arg(&progress)
        .stdin(Stdio::null())
        .stdout(File::create(&output)?)
        .stderr(File::create(&errors)?)
        .spawn()
        .context("starting the process of a subject")?;
    let ended = awaited(&mut process, &progress)?;
    let held = at(&progress)?;
    let number = held.inputs;
    let failure = |why: String| Ok(Err(Failure { number, why }));
    match ended {
        None => failure(format!(
            "it takes more than {HANG:?} of the processor, or waits for more than {WAITS:?}"
        )),
        Some(status) if status.success() => Ok(Ok(held)),
        Some(status) if status.code() == Some(FOUND) => {
            failure(fs::read_to_string(&output)?.trim().to_owned())
        }
        Some(status) => failure(match status.signal() {
            Some(signal) => format!(
                "its process died of signal {signal} (6: no memory left of {} MiB; 11: no stack left)",
                MEMORY >> 20
            ),
            None => anyhow::bail!(
                "{} could not be fuzzed: {}",
                subject.name,
                fs::read_to_string(&errors)?.trim()
            ),
        }),
    }
}

fn at(progress: &Path) -> io::Result<Progress> {
    let file = File::open(progress)?;
    let number = |at| -> io::Result<u64> {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at)?;
        Ok(u64::from_le_bytes(bytes))
    };
    Ok(Progress {
        inputs: number(0)?,
        read: number(8)?,
    })
}

/// The processor time that a process has used (proc_pid_stat(5)); nothing once it has ended.
fn processor_time(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // USER_HZ is 100 on every machine that Rust's standard library runs on.
    Duration::from_millis(ticks * 10)
}

/// Waits for the end of a process; none where it was killed because one input took too long.
fn awaited(process: &mut Child, progress: &Path) -> io::Result<Option<ExitStatus>> {
    let pid = process.id();
    let (mut last, mut since, mut used) = (0, Instant::now(), Duration::ZERO);
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(Some(status));
        }
        let number = at(progress)?.inputs;
        if number != last {
            (last, since, used) = (number, Instant::now(), processor_time(pid));
        }
        if processor_time(pid).saturating_sub(used) >= HANG || since.elapsed() >= WAITS {
            process.kill()?;
            process.wait()?;
            return Ok(None);
        }
        sleep(LOOK);
    }
}

/// Writes the input of this number to a file of the directory, and returns its path.
///
/// # Errors
/// It cannot be written.
pub fn keep(
    subject: &Subject,
    seed: u64,
    number: u64,
    directory: &Path,
) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("{}-{seed}-{number}", subject.name));
    fs::write(&path, input(subject, &(subject.seeds)(), seed, number))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
