//! What a crash state costs beside how many durable files there are, in one run: side by side for few
//! and many files, in one directory and in a thousand.

use std::ffi::OsStr;
use std::hint::black_box;
use std::process::ExitCode;

use clap::Parser;
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use plugpull_crashsim::fs::{Caller, Disk, Log, NewNode, ROOT, RenameMode};
use plugpull_crashsim::persist::{Device, EXT4, Index};

/// Times the making and the digest of crash states with few and with many durable files.
///
/// Exit code 0: a state with many files costs at most 1.5 times one with few; 1: it costs more; 3: it
/// could not be measured.
#[derive(Parser)]
#[command(name = "state-bench", version)]
struct StateCli {
    /// Files, where there are many
    #[arg(long, default_value_t = 100_000)]
    files: usize,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..100))]
    rounds: u32,
}

/// The most that a state may cost, relative to one with few files.
const LIMIT: f64 = 1.5;
/// Files, where there are few.
const FEW: usize = 100;

const OWNER: Caller = Caller {
    uid: 0,
    gid: 0,
    now: 1,
};

/// A log that begins on a disk with so many durable files in so many directories, and in which a store
/// then does what it does to be durable: a write in place, an append, a file replaced by a rename.
fn recorded(files: usize, directories: usize) -> Result<Log, Errno> {
    let mut disk = Disk::empty((0, 0));
    let mut parents = vec![ROOT];
    if directories > 1 {
        parents.clear();
        for n in 0..directories {
            let name = format!("d{n}");
            let place = (ROOT, OsStr::new(&name));
            parents.push(disk.make(1, OWNER, place, NewNode::Dir, 0o755)?);
        }
    }
    let mut last = ROOT;
    for n in 0..files {
        let name = format!("f{n}");
        let place = (parents[n % parents.len()], OsStr::new(&name));
        last = disk.make(1, OWNER, place, NewNode::File, 0o644)?;
        disk.write_bytes(1, last, 0, &[1; 64])?;
    }
    drop(disk.take_log());
    let parent = parents[files / 2 % parents.len()];
    disk.write_bytes(1, last, 8, b"overwritten")?;
    disk.write_bytes(1, last, 64, b"appended")?;
    let new = disk.make(1, OWNER, (parent, OsStr::new("new")), NewNode::File, 0o644)?;
    disk.write_bytes(1, new, 0, &[2; 5000])?;
    let (from, to) = ((parent, OsStr::new("new")), (parent, OsStr::new("current")));
    disk.rename(1, from, to, RenameMode::Replace)?;
    Ok(disk.take_log())
}

/// Nanoseconds that this thread has had on a CPU: what else the machine does counts for little.
fn cpu_time() -> Result<f64, Errno> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}

/// Nanoseconds of making one state and its digest.
fn time(index: &Index<'_>, log: &Log) -> Result<f64, Errno> {
    let window = index.window(log.records().len());
    let sets = window.loss_sets(16, 1, usize::MAX);
    let began = cpu_time()?;
    let times = 20;
    for _ in 0..times {
        for losses in &sets {
            black_box(window.state(losses).tree.digest());
        }
    }
    Ok((cpu_time()? - began) / (times * sets.len()) as f64)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn run(cli: &StateCli) -> Result<bool, Errno> {
    let mut met = true;
    println!(
        "{:<44} {:>10} {:>10} {:>6}",
        "microseconds a crash state", FEW, cli.files, "ratio"
    );
    for directories in [1, 1000] {
        let logs = [
            recorded(FEW, directories)?,
            recorded(cli.files, directories)?,
        ];
        let indexes = logs
            .each_ref()
            .map(|log| Index::new(log, &EXT4, Device::default()));
        let mut times: [Vec<f64>; 2] = Default::default();
        for _ in 0..cli.rounds {
            for which in [0, 1] {
                times[which].push(time(&indexes[which], &logs[which])?);
            }
        }
        let [few, many] = times.map(median);
        let ratio = many / few;
        met &= ratio <= LIMIT;
        println!(
            "{:<44} {:>10.2} {:>10.2} {ratio:>6.2}",
            format!("files in {directories} directories"),
            few / 1000.0,
            many / 1000.0
        );
    }
    Ok(met)
}

fn main() -> ExitCode {
    match run(&StateCli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("state-bench: {error}");
            ExitCode::from(3)
        }
    }
}
