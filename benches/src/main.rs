//! How fast the crash filesystem is, next to a minimal FUSE filesystem, a directory of this machine,
//! a tmpfs and ext4 on a RAM disk, all in one run: the machine is never equally fast twice.
//!
//! A cell of the table is one row's work on one filesystem, done by a process of its own on the
//! CPU that serves the filesystem. The rounds are interleaved, so that a slow moment of the
//! machine meets every filesystem, and a cell's time is the median of its rounds.

mod cell;
mod minimal;
mod place;
mod ramdisk;
mod row;
mod table;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use clap::Parser;

use cell::Kind;
use place::Place;
use row::{ROWS, Row};
use table::Table;

/// Every target that could be measured is met.
const MET: u8 = 0;
/// A target is missed.
const MISSED: u8 = 1;
/// The benchmark itself failed.
const FAILED: u8 = 3;

/// Times the crash filesystem against others, side by side, and says which targets it meets.
///
/// Exit code 0: no target is missed; 1: one is; 2: wrong use; 3: it could not be measured.
#[derive(Parser)]
#[command(name = "crashfs-bench", version)]
struct Cli {
    /// A short run: three rounds of a fifth of the work.
    #[arg(long)]
    quick: bool,
    /// Rounds, of which each cell shows the median [default: 11, with --quick 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..1000))]
    rounds: Option<u32>,
    /// A directory on the disk to compare with [default: the one that this program lies in]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Only this row; may be given several times
    #[arg(long = "row", value_name = "NAME", value_parser = row::NAMES)]
    rows: Vec<String>,
    /// Only the filesystems in memory: no directory, no RAM disk.
    #[arg(long)]
    memory_only: bool,
}

/// As plugpull has it.
#[global_allocator]
static MEMORY: plugpull_sandbox::page_memory::PageMemory =
    plugpull_sandbox::page_memory::PageMemory::new();

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let code = match args.split_first() {
        Some((name, rest)) if name == plugpull_sandbox::SANDBOX_ARG => {
            u8::try_from(plugpull_sandbox::sandbox_main(rest)).unwrap_or(FAILED)
        }
        Some((name, rest)) if name == cell::ARG => exit_code(cell::main(rest).map(|()| MET)),
        Some((name, rest)) if name == work::ARG => exit_code(work::main(rest).map(|()| MET)),
        _ => exit_code(run(&Cli::parse())),
    };
    ExitCode::from(code)
}

fn exit_code(result: anyhow::Result<u8>) -> u8 {
    result.unwrap_or_else(|error| {
        eprintln!("crashfs-bench: {error:#}");
        FAILED
    })
}

fn run(cli: &Cli) -> anyhow::Result<u8> {
    let rows = chosen(&cli.rows)?;
    let rounds = cli.rounds.unwrap_or(if cli.quick { 3 } else { 11 });
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = stopped.clone();
    // Without this, an interrupt would leave the RAM disk behind.
    ctrlc::set_handler(move || stop.store(true, Ordering::Relaxed))
        .context("asking for interrupts")?;

    let (places, notes) = places(cli)?;
    let mut table = Table::new(places.iter().map(Place::label).collect());
    for row in rows {
        let count = if cli.quick {
            row.count.div_ceil(5)
        } else {
            row.count
        };
        eprint!("{} ", row.title);
        let mut cells: Vec<Vec<_>> = vec![Vec::new(); places.len()];
        for _ in 0..rounds {
            eprint!(".");
            for (place, cell) in places.iter().zip(&mut cells) {
                if stopped.load(Ordering::Relaxed) {
                    bail!("interrupted");
                }
                let took = place.time(row, count).with_context(|| {
                    format!("measuring \"{}\" on {}", row.title, place.label().title)
                })?;
                cell.push(took);
            }
        }
        eprintln!();
        table.add(row, cells);
    }
    println!("\n{}", machine());
    println!("{rounds} rounds, interleaved; each cell is the median of its rounds.\n");
    print!("{table}");
    for note in notes {
        println!("\n{note}");
    }
    Ok(if table.all_met() { MET } else { MISSED })
}

/// The rows of these names; all of them when there is no name.
fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    names.iter().map(|name| row::named(name)).collect()
}

/// The filesystems to compare, the crash filesystem first, and why some are missing.
fn places(cli: &Cli) -> anyhow::Result<(Vec<Place>, Vec<String>)> {
    let mut places = Vec::from([Kind::Crash, Kind::Minimal, Kind::Tmpfs].map(Place::Mounted));
    let mut notes = Vec::new();
    if !cli.memory_only {
        places.push(Place::directory(cli.dir.as_deref())?);
        match ramdisk::RamDisk::mount() {
            Ok(disk) => places.push(Place::RamDisk(disk)),
            Err(why) => notes.push(format!("No ext4 on a RAM disk: {why:#}.")),
        }
    }
    Ok((places, notes))
}

/// The machine, in a sentence.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    // The first two numbers: the rest names somebody's build.
    let kernel: Vec<&str> = kernel.split(['.', '-']).take(2).collect();
    format!(
        "{cpus} CPUs, Linux {}; server and work share one CPU.",
        kernel.join(".")
    )
}
