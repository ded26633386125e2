//! The options that several commands have: what is tested, and where the results go.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use plugpull_faults::trigger::parse_duration;

/// What is tested, and what it is held to: the same for every command that tests something.
#[derive(Debug, Args)]
pub(crate) struct TargetOptions {
    /// The target; `plugpull targets` lists them [default: sqlite]
    #[arg(value_name = "TARGET")]
    pub(crate) name: Option<String>,

    /// Set a setting of the target; `plugpull targets NAME` lists them
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) settings: Vec<(String, String)>,

    /// Test plugpull's own fake of the target, where it has one; it keeps every promise
    #[arg(long)]
    pub(crate) reference: bool,

    /// Hold the target to more than it promises: durable, durable-within=MS, barrier, atomic,
    /// prefix, consistent, detects, recovers=MS
    #[arg(long = "promise", value_name = "PROMISE")]
    pub(crate) promises: Vec<String>,

    /// Recovery, from spawn to the first correct answer, may take so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) recovery_bound: Option<Duration>,
}

/// Where the results go: the same for every command that has some.
#[derive(Debug, Args)]
pub(crate) struct OutputOptions {
    #[command(flatten)]
    pub(crate) report: ReportOptions,

    /// Hold the run against this earlier report (JSON or run file): only new findings, and recovery that takes
    /// clearly longer, fail it
    #[arg(long, value_name = "REPORT")]
    pub(crate) baseline: Option<PathBuf>,

    /// Keep what shows each finding in this directory: `run` the crashed data directory as plain files,
    /// `explore` an artifact for `plugpull replay`
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,

    /// Write what happens into this file as it happens; `plugpull report` and `plugpull resume` take
    /// it [default: .plugpull/runs/TIME-COMMAND.jsonl, where the last 20 are kept]
    #[arg(long, value_name = "FILE")]
    pub(crate) run_file: Option<PathBuf>,

    /// Write no run file
    #[arg(long, conflicts_with = "run_file")]
    pub(crate) no_run_file: bool,

    /// No progress bar
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// The whole command line, as it was resolved.
    #[arg(skip)]
    pub(crate) arguments: Vec<String>,
}

/// The forms of a report: the same for every command that makes one.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReportOptions {
    /// What standard output gets: a table for people, the JSON report and nothing else, or GitHub's
    /// annotations before the table
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,

    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the report as JUnit XML, a test case for each promise and fault
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Write the findings as SARIF, for code scanning: at the lines that `--stacks` names
    #[arg(long, value_name = "FILE")]
    pub(crate) sarif: Option<PathBuf>,

    /// Write a summary in Markdown, for the page of a CI job
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// Write the report as a page, one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// What standard output gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The table.
    Human,
    /// The JSON report and nothing else.
    Json,
    /// Annotations and the table.
    Github,
}

/// `KEY=VALUE`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("it wants KEY=VALUE, for example synchronous=off".into()),
    }
}

/// A percentage.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let number = number.parse().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "it wants a percentage, for example 80 or 99.5".into())
}

/// A duration that is not zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "it wants a duration, for example 30s, 500ms or 2m".into())
}

/// A number of bytes, by KiB, MiB, GiB or TiB; MiB where there is no unit.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => 10,
        "" | "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => 64,
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(1u64.checked_shl(shift)?));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "it wants a size, for example 512M or 2G".into())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_size_has_a_unit_or_is_in_mib() {
        assert_eq!(size("512"), Ok(512 << 20));
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("64k"), Ok(64 << 10));
        for wrong in ["", "M", "0", "2X", "-1", "1.5G", "99999999999T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
