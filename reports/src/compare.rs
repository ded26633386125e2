//! Two reports held against each other: which bugs are new or gone, and whether recovery became
//! slower. The rules are in `docs/report.md`.

use std::io;

use plugpull_workloads::Verdict;
use thiserror::Error;

use crate::facts::Facts;
use crate::growth::LEAST_GROWTH;
use crate::identity::of_bug;
use crate::mann_whitney::larger;
use crate::report::Report;
use crate::times::Times;
use crate::trial::ReportedFinding;

/// The chance of calling a run slower that is not, over all faults of a comparison.
pub const SIGNIFICANCE: f64 = 0.01;
/// Fewer trials than this on either side are too few to say anything.
pub const LEAST_TRIALS: usize = 8;

/// Why two reports cannot be compared.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CompareError {
    /// They are about different targets.
    #[error("the reports are about different targets: {0} and {1}")]
    OtherTarget(String, String),
    /// The trials of one of them are in a run file that cannot be read.
    #[error("the trials of a run file cannot be read: {0}")]
    Unreadable(String),
}

impl From<io::Error> for CompareError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// What became of recovery under one fault.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveryChange {
    /// The fault.
    pub fault: String,
    /// Trials timed, before and now.
    pub trials: (u64, u64),
    /// The medians of the first restart, in microseconds, before and now.
    pub medians: (u64, u64),
    /// The chance of such ranks if nothing had changed.
    pub chance: f64,
    /// What is made of it.
    pub trend: Trend,
}

/// What is made of two samples of recovery times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// Recovery takes longer now: by [`LEAST_GROWTH`] at least, and not by luck.
    Slower,
    /// Recovery takes less time now, likewise.
    Faster,
    /// Neither.
    Same,
    /// One side has fewer than [`LEAST_TRIALS`].
    TooFew,
}

/// Two reports, compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Findings that were not there before, as they are now.
    pub new: Vec<ReportedFinding>,
    /// Findings that are in both, as they are now.
    pub known: Vec<ReportedFinding>,
    /// Findings that were there before and are not now, as they were.
    pub gone: Vec<ReportedFinding>,
    /// Faults under which recovery was timed in both.
    pub recovery: Vec<RecoveryChange>,
    /// Faults that were measured before and are not now.
    pub unmeasured: Vec<String>,
}

impl Comparison {
    /// True when something became worse: a new finding, or a slower recovery.
    pub fn worse(&self) -> bool {
        !self.new.is_empty() || self.slower().next().is_some()
    }

    /// The faults under which recovery is slower.
    pub fn slower(&self) -> impl Iterator<Item = &RecoveryChange> {
        self.recovery.iter().filter(|c| c.trend == Trend::Slower)
    }
}

/// Compares two reports about the same target.
pub fn compare(before: &Report, now: &Report) -> Result<Comparison, CompareError> {
    if before.target.name != now.target.name {
        let names = (before.target.name.clone(), now.target.name.clone());
        return Err(CompareError::OtherTarget(names.0, names.1));
    }
    let (then_facts, now_facts) = (Facts::of(before)?, Facts::of(now)?);
    let bugs = |report: &Report, facts: &Facts| -> Vec<String> {
        let findings = report.findings.iter();
        findings.map(|finding| of_bug(facts, finding)).collect()
    };
    let (had, has) = (bugs(before, &then_facts), bugs(now, &now_facts));
    let mut comparison = Comparison::default();
    for (finding, bug) in now.findings.iter().zip(&has) {
        let list = match had.contains(bug) {
            true => &mut comparison.known,
            false => &mut comparison.new,
        };
        list.push(finding.clone());
    }
    for (finding, bug) in before.findings.iter().zip(&had) {
        if !has.contains(bug) {
            comparison.gone.push(finding.clone());
        }
    }
    comparison.recovery = recovery(now, &then_facts, &now_facts);
    comparison.unmeasured = before
        .faults
        .iter()
        .filter(|row| known(row.verdict))
        .filter(|row| {
            let now = now.faults.iter().find(|other| other.fault == row.fault);
            now.is_none_or(|now| !known(now.verdict))
        })
        .map(|row| row.fault.clone())
        .collect();
    Ok(comparison)
}

/// True when something was judged.
fn known(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::NotMeasured | Verdict::NotApplicable)
}

fn recovery(now: &Report, then_facts: &Facts, now_facts: &Facts) -> Vec<RecoveryChange> {
    let mut changes: Vec<RecoveryChange> = Vec::new();
    let none = Times::default();
    for row in &now.faults {
        let of = |facts: &Facts| {
            let fault = facts.faults.get(&row.fault);
            fault.map_or_else(|| none.clone(), |fault| fault.first_restarts.clone())
        };
        let (old, new) = (of(then_facts), of(now_facts));
        if old.is_empty() || new.is_empty() {
            continue;
        }
        let medians = (old.median(), new.median());
        let enough = old.total().min(new.total()) >= LEAST_TRIALS as u64;
        let slower = medians.1 as f64 >= medians.0 as f64 * LEAST_GROWTH;
        let faster = medians.0 as f64 >= medians.1 as f64 * LEAST_GROWTH;
        let (chance, trend) = match (enough, slower, faster) {
            (false, ..) => (1.0, Trend::TooFew),
            (true, true, _) => (larger(&new, &old), Trend::Slower),
            (true, _, true) => (larger(&old, &new), Trend::Faster),
            _ => (larger(&new, &old), Trend::Same),
        };
        changes.push(RecoveryChange {
            fault: row.fault.clone(),
            trials: (old.total(), new.total()),
            medians,
            chance,
            trend,
        });
    }
    settle(&mut changes);
    changes
}

/// Takes back what may be luck. Many faults are many chances to be wrong, so the smallest of k
/// chances must be below 1/k of [`SIGNIFICANCE`], the next one below 1/(k-1), and so on until one
/// is not (Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
/// Statistics 6, 1979).
fn settle(changes: &mut [RecoveryChange]) {
    let mut order: Vec<usize> = (0..changes.len())
        .filter(|at| changes[*at].trend != Trend::TooFew)
        .collect();
    order.sort_by(|a, b| changes[*a].chance.total_cmp(&changes[*b].chance));
    let mut sure = true;
    for (place, at) in order.iter().enumerate() {
        sure &= changes[*at].chance < SIGNIFICANCE / (order.len() - place) as f64;
        if !sure {
            changes[*at].trend = Trend::Same;
        }
    }
}
