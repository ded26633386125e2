//! How fast `plugpull explore` is, next to the target's own bare start and check, in one run.
//!
//! Four questions: what a state costs beside starting the target by hand; how many different states
//! a second there are; whether a state costs more when the trace is ten times longer; how memory
//! grows with the data.

mod bare;
mod explored;
#[path = "../program.rs"]
mod program;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use bare::Bare;
use explored::{Explored, Plugpull};

/// One start in so many is followed by a second one, to see whether recovery is repeatable.
const TWICE: f64 = 8.0;

/// Times `plugpull explore` and says which targets it meets.
///
/// Exit code 0: no target is missed; 1: one is; 2: wrong use; 3: it could not be measured.
#[derive(Parser)]
#[command(name = "explore-bench", version)]
struct ExploreCli {
    /// plugpull itself [default: the one beside this program]
    #[arg(long)]
    plugpull: Option<PathBuf>,
    /// Different states a measurement
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(50..))]
    states: u64,
    /// A driver in Python, by its path
    #[arg(long, default_value = "docs/examples/driver-python/kv.py")]
    python: PathBuf,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..100))]
    rounds: u32,
}

fn main() -> ExitCode {
    match run(&ExploreCli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("explore-bench: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// What was measured so far, printed as it comes.
struct Measured {
    /// Every target is met.
    met: bool,
}

impl Measured {
    /// Prints a value, held to a limit where it has one: true for at most.
    fn say(&mut self, what: &str, value: f64, unit: &str, limit: Option<(f64, bool)>) {
        let verdict = match limit {
            None => String::new(),
            Some((limit, at_most)) => {
                let good = if at_most {
                    value <= limit
                } else {
                    value >= limit
                };
                self.met &= good;
                let sign = if at_most { "at most" } else { "at least" };
                let word = if good { "met" } else { "MISSED" };
                format!("  ({sign} {limit}: {word})")
            }
        };
        println!("{what:<62} {value:>9.2} {unit}{verdict}");
    }
}

/// True when every target is met.
fn run(cli: &ExploreCli) -> anyhow::Result<bool> {
    let program = program::find(cli.plugpull.as_deref())?;
    let plugpull = Plugpull::new(program)?;
    let mut measured = Measured { met: true };
    let python = format!("python3 {}", cli.python.display());
    for (target, settings) in [
        ("sqlite", &[][..]),
        ("reference", &[]),
        ("driver", &[("cmd", python.as_str())]),
    ] {
        trials(cli, &plugpull, (target, settings), &mut measured)?;
    }
    longer(cli, &plugpull, &mut measured)?;
    memory(cli, &plugpull, &mut measured)?;
    Ok(measured.met)
}

/// What a trial costs beside a bare start, check and stop, and how many states a second are tried.
fn trials(
    cli: &ExploreCli,
    plugpull: &Plugpull,
    (target, settings): (&str, &[(&str, &str)]),
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let trace = plugpull.record((target, settings), 100, 200)?;
    let bare = Bare::new(target, settings)?;
    let mut its = Vec::new();
    let mut rounds = STARTED_AND_FORKED.map(|_| Rounds::default());
    for _ in 0..cli.rounds {
        let own = bare.start_check_stop(cli.states / 4)?;
        its.push(own * 1e3);
        for (option, rounds) in STARTED_AND_FORKED.into_iter().zip(&mut rounds) {
            let alone = [&["--workers=1", "--recovery-depth=0"], option].concat();
            let one = plugpull.explore(&trace, cli.states, &alone)?;
            let per_start = one.seconds_a_state() / (1.0 + 1.0 / TWICE);
            rounds.ratios.push(per_start / own);
            rounds.mine.push(per_start * 1e3);
            let all = plugpull.explore(&trace, cli.states, option)?;
            rounds.rates.push(1.0 / all.seconds_a_state());
        }
    }
    let mut say = |what: &str, values, unit, limit| {
        measured.say(&format!("{target}: {what}"), median(values), unit, limit);
    };
    say("one start, check and stop, on tmpfs, bare", its, "ms", None);
    let sqlite = target == "sqlite";
    for ((how, most, least), rounds) in [("started", 1.25, 200.0), ("forked", 0.8, 400.0)]
        .into_iter()
        .zip(rounds)
    {
        say(
            &format!("the same as a trial, one worker, {how}"),
            rounds.mine,
            "ms",
            None,
        );
        let what = format!("(a) a trial, {how}, relative to bare");
        say(&what, rounds.ratios, "", Some((most, true)));
        let what = format!("(b) different states, all CPUs, {how}");
        say(
            &what,
            rounds.rates,
            "a second",
            sqlite.then_some((least, false)),
        );
    }
    Ok(())
}

/// The options by which drivers are started for each state, and forked.
const STARTED_AND_FORKED: [&[&str]; 2] = [&["--no-fork"], &[]];

/// What the rounds of one of them took.
#[derive(Default)]
struct Rounds {
    /// Relative to bare.
    ratios: Vec<f64>,
    /// Milliseconds a start.
    mine: Vec<f64>,
    /// States a second.
    rates: Vec<f64>,
}

/// What a state costs when the trace is ten times longer.
fn longer(cli: &ExploreCli, plugpull: &Plugpull, measured: &mut Measured) -> anyhow::Result<()> {
    let (short, long) = (
        plugpull.record(("sqlite", &[]), 300, 200)?,
        plugpull.record(("sqlite", &[]), 3000, 200)?,
    );
    let mut longer = Vec::new();
    for _ in 0..cli.rounds {
        let cost = |trace| -> anyhow::Result<f64> {
            let options = ["--workers=1", "--recovery-depth=0"];
            Ok(plugpull
                .explore(trace, cli.states, &options)?
                .seconds_a_state())
        };
        let (one, ten) = (cost(&short)?, cost(&long)?);
        longer.push(ten / one);
    }
    measured.say(
        "(c) cost of a state when the trace is 10 times longer",
        median(longer),
        "",
        Some((1.2, true)),
    );
    Ok(())
}

/// The most memory that exploring takes, by the length of values.
fn memory(cli: &ExploreCli, plugpull: &Plugpull, measured: &mut Measured) -> anyhow::Result<()> {
    for size in [200, 2_000, 20_000, 200_000] {
        let trace = plugpull.record(("sqlite", &[]), 200, size)?;
        let Explored { peak_kib, .. } = plugpull.explore(&trace, cli.states.min(200), &[])?;
        let written = std::fs::metadata(trace.path()).context("the trace")?.len();
        let what = format!(
            "(d) memory at its peak, values up to {size} bytes, a trace of {:.1} MB",
            written as f64 / 1e6
        );
        measured.say(&what, peak_kib as f64 / 1024.0, "MiB", None);
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
