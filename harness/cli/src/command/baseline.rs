//! `--baseline REPORT`: only what became worse fails a run.

use std::path::Path;

use plugpull_reports::{Comparison, Report, TargetInfo, compare, load};
use plugpull_workloads::Verdict;

use super::wrong;
use crate::options::OutputOptions;

/// An earlier report that a run is held against.
pub(super) struct Baseline {
    report: Report,
}

impl Baseline {
    /// The one that the command line names, read before anything is started.
    pub(super) fn named(
        options: &OutputOptions,
        target: &TargetInfo,
    ) -> anyhow::Result<Option<Self>> {
        let path = options.baseline.as_deref();
        path.map(|path| Self::open(path, &target.name)).transpose()
    }

    fn open(path: &Path, target: &str) -> anyhow::Result<Self> {
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
