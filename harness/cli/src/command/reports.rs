//! Commands about reports that are there: `compare`, `merge`, `report`.

// tidy: small because a command is a file

use std::io::Write as _;

use plugpull_reports::{Look, Report, compare, exit_code, load, merge, render_comparison};

use super::outputs::check_files;
use super::reporters::{Reporters, unless_unread};
use super::wrong;
use crate::cli::{CompareArgs, MergeArgs, ReportArgs};

/// Prints what became better and worse; 1 when something became worse.
pub(crate) fn run_compare(args: &CompareArgs) -> anyhow::Result<u8> {
    let before = load(&args.before).map_err(wrong)?;
    let now = load(&args.now).map_err(wrong)?;
    let comparison = compare(&before, &now).map_err(wrong)?;
    let text = render_comparison(&comparison, Look::of_stdout());
    unless_unread(std::io::stdout().write_all(text.as_bytes()))?;
    Ok(u8::from(comparison.worse()))
}

/// Reads the reports, and shows all of them as one run.
pub(crate) fn run_merge(args: &MergeArgs) -> anyhow::Result<u8> {
    check_files(&args.report)?;
    let reports: Vec<Report> = args
        .reports
        .iter()
        .map(|path| load(path).map_err(wrong))
        .collect::<anyhow::Result<_>>()?;
    let merged = merge(reports).map_err(wrong)?;
    let code = exit_code(&merged);
    Reporters::new(&args.report).finish(&merged)?;
    Ok(code)
}

/// Reads a run file, or a JSON report, and shows it as the run itself would have.
pub(crate) fn run_report(args: &ReportArgs) -> anyhow::Result<u8> {
    check_files(&args.report)?;
    let report = load(&args.file).map_err(wrong)?;
    Reporters::new(&args.report).finish(&report)?;
    Ok(exit_code(&report))
}
