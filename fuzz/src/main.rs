//! `plugpull-fuzz [SUBJECT]... [--seconds N] [--inputs N] [--seed N] [--keep DIR]`: fuzzes each subject
//! for so long, or with so many inputs. `--number N` tries and keeps the input of that number alone,
//! `--input FILE` a kept one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use plugpull_fuzz::subject::hold;
use plugpull_fuzz::supervise::{Until, apart, child, keep};
use plugpull_fuzz::{Subject, all};

#[derive(Clone)]
struct Options {
    subjects: Vec<Subject>,
    until: Until,
    seed: u64,
    directory: PathBuf,
    input: Option<PathBuf>,
    number: Option<u64>,
    /// The process of a subject: where it says how far it is.
    progress: Option<PathBuf>,
}

fn subject(name: &str) -> anyhow::Result<Subject> {
    let known = all().into_iter().find(|subject| subject.name == name);
    known.with_context(|| {
        let names = all().map(|subject| subject.name).join(", ");
        format!("there is no subject {name}; there are {names}")
    })
}

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        subjects: Vec::new(),
        until: Until {
            inputs: u64::MAX,
            time: Duration::from_secs(25),
        },
        seed: 1,
        directory: "fuzz-findings".into(),
        input: None,
        number: None,
        progress: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
        match arg.as_str() {
            "--seconds" => options.until.time = Duration::from_secs(value()?.parse()?),
            "--inputs" => options.until.inputs = value()?.parse()?,
            "--number" => options.number = Some(value()?.parse()?),
            "--seed" => options.seed = value()?.parse()?,
            "--keep" => options.directory = value()?.into(),
            "--input" => options.input = Some(value()?.into()),
            "--progress" => options.progress = Some(value()?.into()),
            "--child" => options.subjects = vec![subject(&value()?)?],
            name if !name.starts_with('-') => options.subjects.push(subject(name)?),
            _ => bail!(
                "there is no option {arg}: plugpull-fuzz [SUBJECT]... [--seconds N] [--inputs N] \
                 [--seed N] [--keep DIR] [--number N] [--input FILE]"
            ),
        }
    }
    if options.subjects.is_empty() {
        options.subjects = all().to_vec();
    }
    Ok(options)
}

/// Tries one input on each subject.
fn again(options: &Options, input: &Path) -> anyhow::Result<bool> {
    let bytes = std::fs::read(input).with_context(|| input.display().to_string())?;
    let mut sound = true;
    for subject in &options.subjects {
        let scratch = tempfile::tempdir()?;
        match hold(subject.property, &bytes, scratch.path()) {
            Ok(reading) => println!("{}: holds ({reading:?})", subject.name),
            Err(why) => {
                sound = false;
                println!("{}: {why}", subject.name);
            }
        }
    }
    Ok(sound)
}

/// Keeps the input of this number of each subject, and tries it.
fn numbered(options: &Options, number: u64) -> anyhow::Result<bool> {
    let mut sound = true;
    for subject in &options.subjects {
        let kept = keep(subject, options.seed, number, &options.directory)?;
        println!("{}", kept.display());
        let alone = Options {
            subjects: vec![*subject],
            ..options.clone()
        };
        sound &= again(&alone, &kept)?;
    }
    Ok(sound)
}

/// Fuzzes every subject, as many at a time as there are CPUs.
fn fuzz(options: &Options) -> anyhow::Result<bool> {
    let next = AtomicUsize::new(0);
    let worker = || -> anyhow::Result<bool> {
        let mut sound = true;
        while let Some(subject) = options.subjects.get(next.fetch_add(1, Ordering::Relaxed)) {
            sound &= fuzz_one(options, subject)?;
        }
        Ok(sound)
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cpus.min(options.subjects.len()))
            .map(|_| scope.spawn(worker))
            .collect();
        workers.into_iter().try_fold(true, |sound, worker| {
            let ended = worker.join();
            let ended = ended.map_err(|_| anyhow::anyhow!("a thread of the fuzzer panicked"))?;
            Ok(sound & ended?)
        })
    })
}

fn fuzz_one(options: &Options, subject: &Subject) -> anyhow::Result<bool> {
    match apart(subject, options.seed, options.until)? {
        Ok(held) => println!(
            "{:<12} {:>9} inputs, of which {} were read and all others refused",
            subject.name, held.inputs, held.read
        ),
        Err(failure) => {
            let kept = keep(subject, options.seed, failure.number, &options.directory)?;
            println!(
                "{:<12} FAILED at input {}: {}\n             plugpull-fuzz {} --input {}",
                subject.name,
                failure.number,
                failure.why,
                subject.name,
                kept.display()
            );
            return Ok(false);
        }
    }
    Ok(true)
}

fn main() -> anyhow::Result<ExitCode> {
    let options = options()?;
    if let (Some(progress), Some(subject)) = (&options.progress, options.subjects.first()) {
        let code = child(subject, options.seed, options.until, progress)?;
        return Ok(ExitCode::from(u8::try_from(code)?));
    }
    let sound = match (&options.input, options.number) {
        (Some(input), _) => again(&options, input)?,
        (None, Some(number)) => numbered(&options, number)?,
        (None, None) => fuzz(&options)?,
    };
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
