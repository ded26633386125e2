//! Commands about reports that are there: `compare`, `merge`, `report`; and `--baseline REPORT`, which
//! lets only what became worse fail.

use std::io::Write as _;
use std::path::Path;

use plugpull_reports::{
    Comparison, Look, Report, compare, exit_code, load, merge, render_comparison,
};
use plugpull_workloads::Verdict;

use super::asked::files;
use super::reporters::Reporters;
use super::wrong;
use crate::cli::{CompareArgs, MergeArgs, ReportArgs};

/// Prints what became better and worse; 1 when something became worse.
pub(crate) fn run_compare(args: &CompareArgs) -> anyhow::Result<u8> {
    let before = load(&args.before).map_err(wrong)?;
    let now = load(&args.now).map_err(wrong)?;
    let comparison = compare(&before, &now).map_err(wrong)?;
    let text = render_comparison(&comparison, Look::of_stdout());
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(u8::from(comparison.worse()))
}

/// Reads the reports, and tells of all of them as of one run.
pub(crate) fn run_merge(args: &MergeArgs) -> anyhow::Result<u8> {
    files(&args.report)?;
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
    files(&args.report)?;
    let report = load(&args.file).map_err(wrong)?;
    Reporters::new(&args.report).finish(&report)?;
    Ok(exit_code(&report))
}

/// An earlier report that a run is held against.
pub(super) struct Baseline {
    report: Report,
}

impl Baseline {
    /// Reads it before anything is started.
    pub(super) fn open(path: &Path, target: &str) -> anyhow::Result<Self> {
        let report = load(path).map_err(wrong)?;
        if report.target.name != target {
            return Err(wrong(format!(
                "the baseline {} is about the target '{}', not '{target}'",
                path.display(),
                report.target.name
            )));
        }
        Ok(Self { report })
    }

    /// What became better and worse, and the exit code of the run.
    pub(super) fn held_against(&self, now: &Report) -> anyhow::Result<(Comparison, u8)> {
        let comparison = compare(&self.report, now)?;
        let code = baseline_exit_code(&comparison, now);
        Ok((comparison, code))
    }
}

/// 1 when something became worse; else 3 when not everything was measured; else 0, whatever
/// findings the baseline has too.
fn baseline_exit_code(comparison: &Comparison, now: &Report) -> u8 {
    let unknown = |verdict: &Verdict| match verdict {
        Verdict::NotMeasured => !now.allow_not_measured,
        verdict => *verdict == Verdict::HarnessError,
    };
    let mut verdicts = now.faults.iter().map(|row| &row.verdict);
    match () {
        () if comparison.worse() => 1,
        () if verdicts.any(unknown) || now.lacks_coverage() => crate::FAILED,
        () if now.verdict == Verdict::Broken || now.verdict == Verdict::Pass => crate::KEPT,
        () => crate::FAILED,
    }
}
