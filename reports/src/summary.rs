//! From trials to the report: rows, findings, recovery times, the verdict and the exit code.
//!
//! The rules, which `docs/report.md` tells users:
//!
//! - A trial whose fault did not bite is `not measured`, whatever else was said of it, unless a
//!   promise was broken in it. A trial is `broken` exactly when it has a finding.
//! - A row's verdict is the worst of its measured trials. Trials that were not measured are
//!   counted in the row and do not change its verdict: that a trigger was missed now and then
//!   says nothing about the target. A row without any measured trial is `not measured`.
//! - A run that was to measure how recovery grows and could not is `not measured`, where it would
//!   be a `pass`.
//! - A run is `broken` when there is a finding; else `harness error` when plugpull failed in any
//!   trial; else `not measured` when a fault that was planned was never measured, or when no
//!   trial at all could be judged; else `pass`.

use std::collections::BTreeMap;
use std::time::Duration;

use plugpull_workloads::{FailureClass, FindingKind, Verdict};

use crate::{FaultRow, Recovery, Report, ReportedFinding, SCHEMA, TargetInfo, Trial};

/// What is known of a run before its first trial.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// plugpull's version.
    pub plugpull: String,
    /// What is tested.
    pub target: TargetInfo,
    /// The seed of everything that plugpull decides.
    pub seed: u64,
    /// The names of the faults that will be tried, in order ([`Trial::fault`], not its spec).
    pub faults: Vec<String>,
    /// Names of faults that were asked for and that this machine cannot inject, with the reason.
    /// Each becomes a row that is `not measured`.
    pub unavailable: Vec<(String, String)>,
    /// The bound that recovery is judged against.
    pub recovery_bound: Option<Duration>,
}

/// Collects trials, in any order, and makes the [`Report`] of them.
#[derive(Clone, Debug)]
pub struct ReportBuilder {
    plan: Plan,
    trials: Vec<Trial>,
}

impl ReportBuilder {
    /// Without trials yet.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            trials: Vec::new(),
        }
    }

    /// Takes note of a trial that has ended.
    pub fn trial(&mut self, trial: &Trial) {
        self.trials.push(settled(trial.clone()));
    }

    /// Which findings of a trial, by index, are the first of their entry in the report: those that
    /// are told in full there.
    pub fn firsts(&self, trial: &Trial) -> Vec<usize> {
        let before = || {
            self.trials
                .iter()
                .filter(|other| other.fault == trial.fault)
        };
        let found = trial.findings.iter().enumerate();
        let first = |(index, found): &(usize, &ReportedFinding)| {
            let same = |other: &ReportedFinding| one_entry(other, found);
            !trial.findings[..*index].iter().any(same)
                && !before().any(|other| other.findings.iter().any(same))
        };
        found.filter(first).map(|(index, _)| index).collect()
    }

    /// The report of all trials so far. `interrupted` when the user or the budget ended the run
    /// before every fault was tried.
    pub fn finish(mut self, took: Duration, interrupted: bool) -> Report {
        self.trials.sort_by_key(|trial| trial.number);
        let faults = rows(&self.plan, &self.trials);
        let times = self
            .trials
            .iter()
            .filter(|t| measured(t) && t.class != FailureClass::Stall);
        let recovery = Recovery::of(times.flat_map(|t| t.recovery_us.iter().copied()));
        let findings = findings(&self.trials);
        told_once(&mut self.trials, &findings);
        Report {
            schema: SCHEMA.into(),
            plugpull: self.plan.plugpull,
            verdict: run_verdict(&faults),
            seed: self.plan.seed,
            trials: self.trials.len() as u64,
            findings,
            target: self.plan.target,
            recovery,
            faults,
            recovery_bound_us: self.plan.recovery_bound.map(micros),
            took_us: micros(took),
            interrupted,
            coverage: None,
            growth: None,
            merged: None,
            shard: None,
            trial_log: self.trials,
        }
    }
}

impl Report {
    /// Settles the verdict of a run that was to measure growth: where too little was measured to
    /// say anything, nothing that was kept makes it a pass.
    pub fn needs_growth(&mut self) {
        let open = self
            .growth
            .as_ref()
            .is_some_and(|growth| growth.fit.is_none());
        if open && self.verdict == Verdict::Pass {
            self.verdict = Verdict::NotMeasured;
        }
    }
}

impl Recovery {
    /// The distribution of these times, in microseconds. Percentiles are by nearest rank: the
    /// smallest time that at least p percent of all times do not exceed. All zero for no times.
    pub fn of(times: impl IntoIterator<Item = u64>) -> Recovery {
        let mut times: Vec<u64> = times.into_iter().collect();
        times.sort_unstable();
        let rank = |percent: usize| (times.len() * percent).div_ceil(100);
        let at = |rank: usize| times.get(rank.saturating_sub(1)).copied().unwrap_or(0);
        Recovery {
            count: times.len() as u64,
            p50_us: at(rank(50)),
            p99_us: at(rank(99)),
            max_us: at(times.len()),
        }
    }
}

/// The exit code that says what the report says: 0 when every promise was kept, 1 when one was
/// broken, 3 when it was not measured or plugpull itself failed. Never 2, which is wrong use.
pub fn exit_code(report: &Report) -> u8 {
    match report.verdict {
        Verdict::Broken => 1,
        _ if !report.findings.is_empty() => 1,
        Verdict::Pass => 0,
        // The last two are no verdicts of a run; what is not known to be kept is not green.
        Verdict::NotMeasured | Verdict::HarnessError | Verdict::Detected | Verdict::NoPromise => 3,
    }
}

/// The trial with a verdict that agrees with its facts, so that no report can show a pass for a
/// fault that did nothing, or a broken promise without naming it.
fn settled(mut trial: Trial) -> Trial {
    let (verdict, why) = match trial.verdict {
        _ if !trial.findings.is_empty() => (Verdict::Broken, String::new()),
        Verdict::Broken => (
            Verdict::HarnessError,
            "the trial was called broken, but without a finding".to_string(),
        ),
        Verdict::Pass | Verdict::Detected | Verdict::NoPromise if !trial.bit => (
            Verdict::NotMeasured,
            if trial.what.is_empty() {
                "the fault never bit".into()
            } else {
                trial.what.clone()
            },
        ),
        verdict => (verdict, trial.why.clone()),
    };
    trial.verdict = verdict;
    trial.why = why;
    for finding in &mut trial.findings {
        finding.trial = trial.number;
        if finding.finding.fault.is_empty() {
            finding.finding.fault.clone_from(&trial.spec);
        }
    }
    trial
}

/// True when the fault bit and the restart after it was looked at.
pub(crate) fn measured(trial: &Trial) -> bool {
    trial.bit && !matches!(trial.verdict, Verdict::NotMeasured | Verdict::HarnessError)
}

fn rows(plan: &Plan, trials: &[Trial]) -> Vec<FaultRow> {
    let mut names: Vec<&str> = Vec::new();
    let planned = plan
        .faults
        .iter()
        .chain(plan.unavailable.iter().map(|(name, _)| name));
    for name in planned.chain(trials.iter().map(|trial| &trial.fault)) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
        .into_iter()
        .map(|name| row(name, plan, trials))
        .collect()
}

fn row(name: &str, plan: &Plan, trials: &[Trial]) -> FaultRow {
    let own = || trials.iter().filter(|trial| trial.fault == name);
    let mut verdicts = BTreeMap::new();
    for trial in own() {
        *verdicts.entry(trial.verdict).or_insert(0) += 1;
    }
    let verdict = verdicts
        .keys()
        .copied()
        .filter(|verdict| *verdict != Verdict::NotMeasured)
        .max()
        .unwrap_or(Verdict::NotMeasured);
    let why = match verdict {
        Verdict::Pass | Verdict::Broken => String::new(),
        _ => own()
            .find(|trial| trial.verdict == verdict)
            .map(|trial| {
                if trial.why.is_empty() {
                    &trial.what
                } else {
                    &trial.why
                }
            })
            .or_else(|| {
                plan.unavailable
                    .iter()
                    .find(|(n, _)| n == name)
                    .map(|(_, why)| why)
            })
            .cloned()
            .unwrap_or_else(|| "never tried: the run ended first".into()),
    };
    let times = own().filter(|trial| measured(trial));
    FaultRow {
        fault: name.to_string(),
        trials: own().count() as u64,
        bit: own().filter(|trial| trial.bit).count() as u64,
        verdict,
        verdicts,
        recovery: Recovery::of(times.flat_map(|trial| trial.recovery_us.iter().copied())),
        why,
    }
}

fn run_verdict(rows: &[FaultRow]) -> Verdict {
    let any = |verdict| rows.iter().any(|row| row.verdicts.contains_key(&verdict));
    if any(Verdict::Broken) {
        Verdict::Broken
    } else if any(Verdict::HarnessError) {
        Verdict::HarnessError
    } else if rows.iter().any(|row| row.verdict == Verdict::NotMeasured)
        || !(any(Verdict::Pass) || any(Verdict::Detected))
    {
        Verdict::NotMeasured
    } else {
        Verdict::Pass
    }
}

/// The findings of trials that are in order of their number, one for each kind, fault and
/// promise, with the details of the first and the number of trials that showed it. Worst first:
/// by [`gravity`], then what the target itself promised before what was demanded of it, then by
/// how many trials showed it, then by which came first.
fn findings(trials: &[Trial]) -> Vec<ReportedFinding> {
    let mut groups: Vec<(&str, u64, ReportedFinding)> = Vec::new();
    for trial in trials {
        for found in &trial.findings {
            let group = groups
                .iter_mut()
                .find(|(fault, _, first)| *fault == trial.fault && one_entry(first, found));
            match group {
                // One trial may lose many acks: it is one trial all the same.
                Some((_, last, _)) if *last == trial.number => {}
                Some((_, last, first)) => {
                    *last = trial.number;
                    first.count += 1;
                }
                None => {
                    let first = ReportedFinding {
                        count: 1,
                        ..found.clone()
                    };
                    groups.push((&trial.fault, trial.number, first));
                }
            }
        }
    }
    let mut findings: Vec<ReportedFinding> = groups.into_iter().map(|group| group.2).collect();
    gravest_first(&mut findings);
    findings
}

/// True when two findings under the same fault are one entry of the report.
fn one_entry(one: &ReportedFinding, other: &ReportedFinding) -> bool {
    one.finding.kind == other.finding.kind && one.finding.promise == other.finding.promise
}

/// Leaves the evidence with the trials whose findings are told in full. Shards bring more of it.
fn told_once(trials: &mut [Trial], findings: &[ReportedFinding]) {
    for trial in trials {
        for found in trial.findings.iter_mut().filter(|f| f.evidence.is_some()) {
            let told = |entry: &ReportedFinding| {
                entry.trial == found.trial
                    && entry.finding.kind == found.finding.kind
                    && entry.evidence == found.evidence
            };
            if !findings.iter().any(told) {
                found.evidence = None;
            }
        }
    }
}

/// Sorts findings worst first, as a report has them: by what was seen (false data before lost data
/// before a store that does not come back before lateness), then what the target itself promised
/// before what was demanded of it, then by how many trials showed it.
pub fn gravest_first(findings: &mut [ReportedFinding]) {
    findings.sort_by_key(|f| {
        (
            gravity(f.finding.kind),
            f.finding.promise.demanded,
            std::cmp::Reverse(f.count),
            f.trial,
        )
    });
}

/// The place of a kind among findings, worst first: false data served as true (nobody will
/// notice), then data that is gone, then a store that says it is unusable, then lateness.
fn gravity(kind: FindingKind) -> u8 {
    match kind {
        FindingKind::WrongValue => 0,
        FindingKind::Phantom => 1,
        FindingKind::TornTransaction => 2,
        FindingKind::Inconsistent => 3,
        FindingKind::LostAck => 4,
        FindingKind::Resurrected => 5,
        FindingKind::PrefixHole => 6,
        FindingKind::StateNotReplayed => 7,
        FindingKind::MissingEvent => 8,
        FindingKind::StrayEvent => 9,
        FindingKind::EventOrder => 10,
        FindingKind::VersionGap => 11,
        FindingKind::NotRepeatable => 12,
        FindingKind::Unreadable => 13,
        FindingKind::WillNotStart => 14,
        FindingKind::StaysDown => 15,
        FindingKind::Hung => 16,
        FindingKind::TooSlow => 17,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
