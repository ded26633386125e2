//! How well `plugpull run` and `plugpull explore` keep `--budget`: planned and real time of the whole
//! command, for quick targets and for one whose check takes two seconds.

#[path = "../program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;

/// How far a command may miss its budget, as a part of it.
const ALLOWED: f64 = 0.10;

/// A store of small files.
const WORK: &str = r#"i=$PLUGPULL_LIFE
n=0
while [ $n -lt 1000 ]; do
    n=$((n + 1))
    echo "note $i-$n" >tmp && sync tmp && mv tmp "note-$i-$n" && sync .
    echo "ack $i-$n"
done
"#;

/// Its check, which takes its time.
const CHECK: &str = r#"sleep 2
while read -r id; do
    [ "$(cat "note-$id")" = "note $id" ] || echo "lost $id"
done
"#;

const SLOW: &str = r#"[workload]
command = ["sh", "{folder}/work.sh"]

[check]
command = ["sh", "{folder}/check.sh"]
"#;

/// Times whole commands against their `--budget`.
///
/// Exit code 0: every one kept it; 1: one did not; 2: wrong use; 3: it could not be measured.
#[derive(Parser)]
#[command(name = "budget-bench", version)]
struct BudgetCli {
    /// plugpull itself [default: the one beside this program]
    #[arg(long)]
    plugpull: Option<PathBuf>,
    /// Budgets, in seconds
    #[arg(long, value_delimiter = ',', default_values_t = [10, 30, 60])]
    budgets: Vec<u64>,
    /// Only this command
    #[arg(long, value_parser = ["run", "explore"])]
    command: Option<String>,
}

fn main() -> ExitCode {
    match run(&BudgetCli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("budget-bench: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// True when every budget is kept.
fn run(cli: &BudgetCli) -> anyhow::Result<bool> {
    let program = program::find(cli.plugpull.as_deref())?;
    let directory = tempfile::tempdir()?;
    for (name, content) in [("slow.toml", SLOW), ("work.sh", WORK), ("check.sh", CHECK)] {
        fs::write(directory.path().join(name), content)?;
    }
    let slow = directory.path().join("slow.toml").display().to_string();
    // A defect brings findings to be made small, and a trace that no budget exhausts.
    let targets: [(&str, Vec<&str>); 4] = [
        ("sqlite", vec!["sqlite"]),
        ("reference", vec!["reference"]),
        (
            "reference, no-fsync",
            vec!["reference", "--set", "defect=no-fsync"],
        ),
        ("a check of 2 s", vec![&slow]),
    ];
    println!(
        "{:<8} {:<20} {:>8} {:>8} {:>7}",
        "command", "target", "planned", "real", "missed"
    );
    let mut kept = true;
    for command in ["run", "explore"] {
        if cli.command.as_ref().is_some_and(|only| only != command) {
            continue;
        }
        for (name, target) in &targets {
            for budget in &cli.budgets {
                let planned = Duration::from_secs(*budget);
                let real = timed(&program, command, target, planned)?;
                let missed = real.as_secs_f64() / planned.as_secs_f64() - 1.0;
                kept &= missed <= ALLOWED;
                println!(
                    "{command:<8} {name:<20} {:>6.1} s {:>6.1} s {:>+6.1} %{}",
                    planned.as_secs_f64(),
                    real.as_secs_f64(),
                    missed * 100.0,
                    if missed <= ALLOWED { "" } else { "  MISSED" }
                );
            }
        }
    }
    Ok(kept)
}

/// How long the whole command takes.
fn timed(
    program: &Path,
    command: &str,
    target: &[&str],
    budget: Duration,
) -> anyhow::Result<Duration> {
    let mut plugpull = Command::new(program);
    plugpull.arg(command).args(target);
    plugpull.args(["--quiet", "--seed=1"]);
    plugpull.arg(format!("--budget={}s", budget.as_secs()));
    if command == "explore" {
        // More states than any budget here tries.
        plugpull.arg("--txns=300");
    }
    let began = Instant::now();
    let output = plugpull
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("plugpull could not be started")?;
    let took = began.elapsed();
    anyhow::ensure!(
        matches!(output.status.code(), Some(0 | 1 | 3)),
        "{plugpull:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(took)
}
