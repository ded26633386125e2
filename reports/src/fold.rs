//! From records to the report: a fold that keeps what a report says, and no trial.
//!
//! The rules, which `docs/report.md` tells users:
//!
//! - A trial whose fault had no effect is `not measured`, whatever else was said of it, unless a
//!   promise was broken in it. A trial is `broken` exactly when it has a finding.
//! - A row's verdict is the worst of its measured trials. Trials that were not measured are
//!   counted in the row and do not change its verdict: that a trigger was missed now and then
//!   says nothing about the target. A row without any measured trial is `not measured`; or `not
//!   applicable` where that is what every trial of it, or the plan, says. Such a row keeps no run from
//!   being a `pass`.
//! - A run that was interrupted, or that was to measure how recovery grows and could not, or an
//!   exploration with states that plugpull could not measure, is `not measured`, where it would be a
//!   `pass`.
//! - A run is `broken` when there is a finding; else `harness error` when plugpull failed in any
//!   trial; else `not measured` when a fault that was planned was never measured and that was not
//!   allowed, or when no trial at all could be judged; else `pass`. A model that an exploration had not
//!   come to when its budget was over is named and keeps it from nothing: it is a part that is not covered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plugpull_workloads::{FailureClass, FindingKind, Verdict};

use crate::cause::EARLY;
use crate::coverage::Coverage;
use crate::growth::{Growth, GrowthSample};
use crate::report::{Ended, FaultRow, NotPromised, Plan, Report, SCHEMA};
use crate::rows::Rows;
use crate::run_file::record::{
    End, EndReason, ExploredTrial, FindingRecord, Header, NotMeasured, Record, Recording,
    RunCommand,
};
use crate::shard::{MinimisedFinding, Shard};
use crate::sync_audit::SyncAudit;
use crate::times::Times;
use crate::trial::{ReportedFinding, Trial};

/// Why a row without a trial has none, where nothing kept it from one.
const NEVER_TRIED: &str = "never tried: the run ended first";

/// Folds records, in any order after the header. Its size depends on how many faults, kinds of
/// findings and different recovery times there are, not on how many trials.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    plan: Plan,
    header: Option<Box<Header>>,
    rows: BTreeMap<String, Row>,
    trials: u64,
    groups: Vec<Group>,
    /// By fault and kind.
    observed: BTreeMap<(String, FindingKind), NotPromised>,
    /// Of an exploration, by id.
    findings: BTreeMap<u64, FindingRecord>,
    /// How many trials count to each of them.
    counts: BTreeMap<u64, u64>,
    /// The audit of the syncs.
    sync_audit: Option<SyncAudit>,
    /// Findings that count to another one.
    same: BTreeSet<u64>,
    /// How many trials showed a finding or one that counts to it.
    together: BTreeMap<u64, u64>,
    minimised: BTreeMap<u64, MinimisedFinding>,
    coverage: Option<Coverage>,
    /// By trial: one that was cut short is made again.
    samples: BTreeMap<u64, GrowthSample>,
    ended: Option<End>,
    /// The trace of an exploration.
    recording: Option<Recording>,
    /// The largest number of a trial.
    last_trial: u64,
    /// When the last record was written, in microseconds since the run began.
    last_us: u64,
}

/// What is known of a fault.
#[derive(Clone, Debug, Default)]
struct Row {
    /// The number of its first trial: faults that nobody planned come in this order.
    first: u64,
    trials: u64,
    hit: u64,
    verdicts: BTreeMap<Verdict, u64>,
    /// For each verdict the first trial that ended with it, and why.
    whys: BTreeMap<Verdict, (u64, String)>,
    /// Of measured trials: of those that stalled, and of the others.
    stalled: Times,
    times: Times,
}

/// Findings that are one entry of the report.
#[derive(Clone, Debug)]
struct Group {
    fault: String,
    /// The place of the first of them: trial, and index among its findings.
    at: (u64, usize),
    count: u64,
    first: ReportedFinding,
}

impl Fold {
    /// Without records yet.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            ..Self::default()
        }
    }

    /// What is known of the run before its first trial.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The header, where one was seen.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_deref()
    }

    /// How the run ended; none when it did not, as far as is known.
    pub fn end(&self) -> Option<&End> {
        self.ended.as_ref()
    }

    /// When the last record was written, in microseconds since the run began.
    pub fn last_us(&self) -> u64 {
        self.last_us
    }

    /// The trace of an exploration, where one was recorded.
    pub fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// The largest number of a trial; 0 for none.
    pub fn last_trial(&self) -> u64 {
        self.last_trial
    }

    /// How many trials there were.
    pub fn trials(&self) -> u64 {
        self.trials
    }

    /// Takes a record that was written at this time, in microseconds since the run began.
    pub fn record(&mut self, at_us: u64, record: &Record) {
        self.last_us = self.last_us.max(at_us);
        match record {
            Record::Header(header) => {
                self.plan = Plan::from(&**header);
                self.header = Some(header.clone());
            }
            Record::Trial(one) => {
                self.trial(&one.trial);
                if let Some(explored) = &one.explored {
                    self.explored(explored);
                }
            }
            Record::Finding(found) => self.found(found),
            Record::Coverage(coverage) => self.coverage = Some((**coverage).clone()),
            Record::SyncAudit(audit) => self.sync_audit = Some((**audit).clone()),
            Record::GrowthSample(sample) => {
                self.samples.insert(sample.trial, sample.clone());
            }
            Record::NotMeasured(one) => self.not_measured(&one.what, &one.why),
            Record::Resumed => self.ended = None,
            Record::End(end) => self.ended = Some(end.clone()),
            Record::Recording(recording) => self.recording = Some(recording.clone()),
            Record::TrialStarted(_) | Record::Progress(_) => {}
        }
    }

    /// Something cannot be measured: a row says why.
    pub fn not_measured(&mut self, what: &str, why: &str) {
        let one = (what.to_owned(), why.to_owned());
        if !self.plan.unavailable.contains(&one) {
            self.plan.unavailable.push(one);
        }
    }

    /// Takes a trial that has ended.
    pub fn trial(&mut self, trial: &Trial) {
        let trial = settled(trial.clone());
        self.trials += 1;
        self.last_trial = self.last_trial.max(trial.number);
        let row = self.rows.entry(trial.fault.clone()).or_default();
        row.first = match row.trials {
            0 => trial.number,
            _ => row.first.min(trial.number),
        };
        row.trials += 1;
        row.hit += u64::from(trial.hit);
        *row.verdicts.entry(trial.verdict).or_insert(0) += 1;
        let why = if trial.why.is_empty() {
            &trial.what
        } else {
            &trial.why
        };
        // The first, but one that showed something before one that did not.
        let rank = |number: u64, why: &str| (why.ends_with("nothing wrong"), number);
        match row.whys.get_mut(&trial.verdict) {
            Some(first) if rank(first.0, &first.1) <= rank(trial.number, why) => {}
            Some(first) => *first = (trial.number, why.clone()),
            None => {
                let first = (trial.number, why.clone());
                row.whys.insert(trial.verdict, first);
            }
        }
        if trial.is_measured() {
            let times = match trial.class {
                FailureClass::Stall => &mut row.stalled,
                _ => &mut row.times,
            };
            trial.recovery_us.iter().for_each(|us| times.add(*us));
        }
        self.group(&trial);
        self.observe(&trial);
    }

    /// Notes what a measured trial showed that no promise forbids.
    fn observe(&mut self, trial: &Trial) {
        if !trial.is_measured() {
            return;
        }
        let mut kinds: Vec<FindingKind> = Vec::new();
        for seen in &trial.observed {
            let name = (trial.fault.clone(), seen.kind);
            let known = self.observed.entry(name).or_insert_with(|| NotPromised {
                kind: seen.kind,
                fault: trial.fault.clone(),
                trials: 0,
                worst: 0,
                trial: u64::MAX,
                sentence: String::new(),
            });
            known.trials += u64::from(!kinds.contains(&seen.kind));
            kinds.push(seen.kind);
            let worse = (seen.count, std::cmp::Reverse(trial.number));
            if worse > (known.worst, std::cmp::Reverse(known.trial)) {
                known.worst = seen.count;
                known.trial = trial.number;
                known.sentence.clone_from(&seen.sentence);
            }
        }
    }

    /// One entry for each kind, fault and promise, with the details of the first and the number of
    /// trials that showed it.
    fn group(&mut self, trial: &Trial) {
        for (index, found) in trial.findings.iter().enumerate() {
            // One trial may lose many acks: it is one trial all the same.
            if trial.findings[..index]
                .iter()
                .any(|one| one_entry(one, found))
            {
                continue;
            }
            let known = self
                .groups
                .iter_mut()
                .find(|group| group.fault == trial.fault && one_entry(&group.first, found));
            let at = (trial.number, index);
            match known {
                Some(group) => {
                    group.count += 1;
                    if at < group.at {
                        group.at = at;
                        group.first = found.clone();
                    }
                }
                None => self.groups.push(Group {
                    fault: trial.fault.clone(),
                    at,
                    count: 1,
                    first: found.clone(),
                }),
            }
        }
    }

    fn explored(&mut self, explored: &ExploredTrial) {
        for id in &explored.counts {
            *self.counts.entry(*id).or_insert(0) += 1;
        }
    }

    fn found(&mut self, found: &FindingRecord) {
        if let Some(id) = found.id {
            self.findings.insert(id, found.clone());
            match found.same_as {
                Some(_) => self.same.insert(id),
                None => self.same.remove(&id),
            };
            self.together
                .extend(found.together.map(|count| (id, count)));
        }
        if let Some(index) = found.minimised {
            let one = MinimisedFinding {
                size: found.size,
                finding: found.finding.clone(),
            };
            self.minimised.insert(index, one);
        }
    }

    /// Which findings of a trial, by index, are the first of their entry in the report: those that
    /// have their evidence there.
    pub fn firsts(&self, trial: &Trial) -> Vec<usize> {
        let found = trial.findings.iter().enumerate();
        let first = |(index, found): &(usize, &ReportedFinding)| {
            let same = |other: &ReportedFinding| one_entry(other, found);
            let known = |group: &Group| group.fault == trial.fault && same(&group.first);
            !trial.findings[..*index].iter().any(same) && !self.groups.iter().any(known)
        };
        found.filter(first).map(|(index, _)| index).collect()
    }

    /// The report of what was taken. A run without an end was interrupted where its last record is.
    pub fn report(&self, trial_log: Rows<Trial>) -> Report {
        let (took_us, interrupted) = match &self.ended {
            Some(end) => (end.took_us, self.cut_short(end.reason)),
            None => (self.last_us, true),
        };
        let mut report = self.report_of(took_us, interrupted, trial_log);
        report.ended = Some(match &self.ended {
            Some(end) => Ended {
                reason: end.reason,
                why: end.why.clone(),
            },
            None => Ended {
                reason: EndReason::Interrupted,
                why: String::new(),
            },
        });
        report
    }

    /// True when a run that ended for this reason did not do what was planned. An exploration within
    /// a budget plans no more than what its budget allows.
    fn cut_short(&self, reason: EndReason) -> bool {
        match reason {
            EndReason::Complete => false,
            EndReason::Budget => {
                let command = self.header.as_ref().map(|header| header.command);
                command == Some(RunCommand::Run)
            }
            EndReason::Interrupted | EndReason::Failed => true,
        }
    }

    /// True for a model that an exploration had not come to when its budget was over: it is named, and less is
    /// covered. Never where coverage is demanded: a point is covered by any model, so that the demand can be met
    /// without this one.
    fn had_no_turn(&self, row: &FaultRow) -> bool {
        let Some(header) = &self.header else {
            return false;
        };
        let ended = self.ended.as_ref().map(|end| end.reason);
        header.command == RunCommand::Explore
            && header.min_coverage.is_none()
            && ended == Some(EndReason::Budget)
            && row.why == NEVER_TRIED
    }

    /// The same where how long it took and whether it was interrupted are known.
    pub(crate) fn report_of(
        &self,
        took_us: u64,
        interrupted: bool,
        trial_log: Rows<Trial>,
    ) -> Report {
        let faults = self.fault_rows();
        let mut times = Times::default();
        self.rows.values().for_each(|row| times.add_all(&row.times));
        let allowed = self.plan.allow_not_measured;
        let verdict = match run_verdict(&faults, |row| allowed || self.had_no_turn(row)) {
            Verdict::Pass if interrupted => Verdict::NotMeasured,
            verdict => verdict,
        };
        let mut report = Report {
            schema: SCHEMA.into(),
            plugpull: self.plan.plugpull.clone(),
            verdict,
            seed: self.plan.seed,
            trials: self.trials,
            findings: self.reported_findings(),
            observed: self.not_promised(),
            target: self.plan.target.clone(),
            recovery: times.recovery(),
            faults,
            recovery_bound_us: self.plan.recovery_bound.map(micros),
            warnings: Vec::new(),
            assumed: self.plan.assumed.clone(),
            took_us,
            allow_not_measured: allowed,
            interrupted,
            ended: None,
            coverage: self.coverage.clone(),
            growth: None,
            sync_audit: self.sync_audit.clone(),
            merged: None,
            shard: None,
            trial_log,
        };
        if let Some(header) = &self.header {
            report.warnings.clone_from(&header.warnings);
            if let Some(coverage) = &mut report.coverage {
                coverage.demanded = header.min_coverage;
            }
            report.growth = header.growth.as_ref().map(|plan| {
                let samples = self.samples.values().cloned().collect();
                Growth::of(plan.unit, samples, plan.bound_us, header.seed)
            });
            report.needs_growth();
        }
        if let Some(recording) = &self.recording {
            report.warnings.extend(recording.warnings.iter().cloned());
        }
        report.needs_coverage();
        report
    }

    /// Which part of the work it is, of a shard, without the places of its trials.
    pub fn shard(&self) -> Option<Shard> {
        let mut shard = self.header.as_ref()?.shard.as_deref()?.clone();
        shard.minimised = self.minimised.values().cloned().collect();
        Some(shard)
    }

    fn reported_findings(&self) -> Vec<ReportedFinding> {
        let explored = self
            .header
            .as_ref()
            .is_some_and(|header| header.command == RunCommand::Explore);
        if explored {
            let numbered = self.numbered().into_iter();
            return numbered.map(|one| one.finding).collect();
        }
        let mut groups: Vec<&Group> = self.groups.iter().collect();
        groups.sort_by_key(|group| group.at);
        let all = groups.into_iter();
        let all = all.map(|group| ReportedFinding {
            count: group.count,
            ..group.first.clone()
        });
        let mut findings: Vec<ReportedFinding> = all.collect();
        gravest_first(&mut findings);
        findings
    }

    /// The findings of an exploration as they stand in the report: the first one is its number 1.
    pub fn numbered(&self) -> Vec<FindingRecord> {
        let all = self.findings.iter();
        let all = all.filter(|(id, _)| !self.same.contains(*id));
        let mut all: Vec<FindingRecord> = all
            .map(|(id, found)| {
                let mut found = found.clone();
                found.finding.count = match self.together.get(id) {
                    Some(count) => *count,
                    None => self.counts.get(id).copied().unwrap_or(0).max(1),
                };
                found
            })
            .collect();
        all.sort_by_key(|found| rank(&found.finding));
        all
    }

    /// The gravest kinds first, then what most trials showed.
    fn not_promised(&self) -> Vec<NotPromised> {
        let mut all: Vec<NotPromised> = self.observed.values().cloned().collect();
        all.sort_by_key(|one| {
            let most = std::cmp::Reverse(one.trials);
            (gravity(one.kind), most, one.fault.clone())
        });
        all
    }

    fn fault_rows(&self) -> Vec<FaultRow> {
        let planned = self.plan.faults.iter();
        let others = self
            .plan
            .unavailable
            .iter()
            .chain(&self.plan.not_applicable);
        let planned = planned.chain(others.map(|(name, _)| name));
        let mut unplanned: Vec<(&String, &Row)> = self.rows.iter().collect();
        unplanned.sort_by_key(|(_, row)| row.first);
        let mut names: Vec<&String> = Vec::new();
        for name in planned.chain(unplanned.into_iter().map(|(name, _)| name)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.into_iter().map(|name| self.fault_row(name)).collect()
    }

    fn fault_row(&self, name: &str) -> FaultRow {
        let none = Row::default();
        let row = self.rows.get(name).unwrap_or(&none);
        let judged =
            |verdict: &Verdict| !matches!(verdict, Verdict::NotMeasured | Verdict::NotApplicable);
        let of = |list: &'_ [(String, String)]| {
            let mut all = list.iter();
            let found = all.find(|(other, _)| other == name);
            found.map(|(_, why)| why.clone())
        };
        let verdicts = &row.verdicts;
        let verdict = match verdicts.keys().copied().filter(judged).max() {
            Some(worst) => worst,
            None if verdicts.contains_key(&Verdict::NotMeasured) => Verdict::NotMeasured,
            None if !verdicts.is_empty() => Verdict::NotApplicable,
            None if of(&self.plan.not_applicable).is_some() => Verdict::NotApplicable,
            None => Verdict::NotMeasured,
        };
        let why = match verdict {
            Verdict::Pass | Verdict::Broken => String::new(),
            _ => row
                .whys
                .get(&verdict)
                .map(|(_, why)| why.clone())
                .or_else(|| of(&self.plan.not_applicable))
                .or_else(|| of(&self.plan.unavailable))
                .unwrap_or_else(|| NEVER_TRIED.into()),
        };
        let mut times = row.times.clone();
        times.add_all(&row.stalled);
        FaultRow {
            fault: name.to_string(),
            trials: row.trials,
            hit: row.hit,
            verdict,
            verdicts: row.verdicts.clone(),
            recovery: times.recovery(),
            why,
        }
    }
}

impl From<&Header> for Plan {
    fn from(header: &Header) -> Self {
        let pairs = |list: &[NotMeasured]| {
            let all = list.iter();
            all.map(|one| (one.what.clone(), one.why.clone())).collect()
        };
        Self {
            plugpull: header.plugpull.clone(),
            target: header.target.clone(),
            seed: header.seed,
            // Of a fault with few states none may be this shard's; whether one was never tried is
            // for the merged report to say.
            faults: match (&header.shard, header.command) {
                (Some(_), RunCommand::Explore) => Vec::new(),
                _ => header.faults.clone(),
            },
            unavailable: pairs(&header.unavailable),
            not_applicable: pairs(&header.not_applicable),
            allow_not_measured: header.allow_not_measured,
            assumed: header.assumed.clone(),
            recovery_bound: header.recovery_bound_us.map(Duration::from_micros),
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
            .is_some_and(|growth| growth.fit.is_none() || growth.restores_nothing());
        if open && self.verdict == Verdict::Pass {
            self.verdict = Verdict::NotMeasured;
        }
    }
}

impl Report {
    /// Settles the verdict of an exploration: where there are states that plugpull could not measure, or
    /// where less of the trace was covered than was demanded, nothing that was kept makes it a pass.
    pub fn needs_coverage(&mut self) {
        if self.lacks_coverage() && self.verdict == Verdict::Pass {
            self.verdict = Verdict::NotMeasured;
        }
    }

    /// True for an exploration that measured less than it had to, whatever it found.
    pub fn lacks_coverage(&self) -> bool {
        self.coverage
            .as_ref()
            .is_some_and(|coverage| coverage.could_not_measure() > 0 || !coverage.meets_demand())
    }
}

/// The exit code that says what the report says: 0 when every promise was kept, 1 when one was
/// broken, 3 when it was not measured or plugpull itself failed. Never 2, which is wrong use.
pub fn exit_code(report: &Report) -> u8 {
    match report.verdict {
        Verdict::Broken => 1,
        _ if !report.findings.is_empty() => 1,
        Verdict::Pass => 0,
        // The last three are no verdicts of a run; what is not known to be kept is not green.
        Verdict::NotMeasured
        | Verdict::HarnessError
        | Verdict::Detected
        | Verdict::NoPromise
        | Verdict::NotApplicable => 3,
    }
}

/// The trial with a verdict that agrees with its facts, so that no report can show a pass for a
/// fault that did nothing, or a broken promise without naming it.
pub(crate) fn settled(mut trial: Trial) -> Trial {
    let (verdict, why) = match trial.verdict {
        _ if !trial.findings.is_empty() => (Verdict::Broken, String::new()),
        Verdict::Broken => (
            Verdict::HarnessError,
            "the trial was called broken, but without a finding".to_string(),
        ),
        Verdict::Pass | Verdict::Detected | Verdict::NoPromise if !trial.hit => (
            Verdict::NotMeasured,
            if trial.what.is_empty() {
                "the fault had no effect".into()
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

/// The verdict of a run with these rows. `excused` says of one that was not measured whether the run may pass all
/// the same.
fn run_verdict(rows: &[FaultRow], excused: impl Fn(&FaultRow) -> bool) -> Verdict {
    let any = |verdict| rows.iter().any(|row| row.verdicts.contains_key(&verdict));
    if any(Verdict::Broken) {
        Verdict::Broken
    } else if any(Verdict::HarnessError) {
        Verdict::HarnessError
    } else if rows
        .iter()
        .any(|row| row.verdict == Verdict::NotMeasured && !excused(row))
        || !(any(Verdict::Pass) || any(Verdict::Detected))
    {
        Verdict::NotMeasured
    } else {
        Verdict::Pass
    }
}

/// True when two findings under the same fault are one entry of the report.
fn one_entry(one: &ReportedFinding, other: &ReportedFinding) -> bool {
    one.finding.kind == other.finding.kind && one.finding.promise == other.finding.promise
}

/// Leaves the evidence with the trials whose findings the report has in full. Shards bring more of
/// it.
pub(crate) fn evidence_once(trials: &mut [Trial], findings: &[ReportedFinding]) {
    for trial in trials {
        for found in trial.findings.iter_mut().filter(|f| f.evidence.is_some()) {
            let in_full = |entry: &ReportedFinding| {
                entry.trial == found.trial
                    && entry.finding.kind == found.finding.kind
                    && entry.evidence == found.evidence
            };
            if !findings.iter().any(in_full) {
                found.evidence = None;
            }
        }
    }
}

/// Sorts findings worst first, as a report has them: by what was seen (false data before lost data
/// before a store that does not come back before lateness), then what the target itself promised
/// before what was demanded of it, then by how many trials showed it.
pub fn gravest_first(findings: &mut [ReportedFinding]) {
    findings.sort_by_key(rank);
}

/// What decides about the place of a finding.
fn rank(found: &ReportedFinding) -> impl Ord + use<> {
    (
        likelihood(found),
        gravity(found.finding.kind),
        found.finding.promise.demanded,
        std::cmp::Reverse(found.count),
        found.trial,
    )
}

/// Of an exploration, what takes less to happen comes first: a plain kill, then what users' filesystems
/// leave, then what `journaled` and `strict` allow; and of these what was acknowledged before what was being
/// made. Of any other run all is equal.
fn likelihood(found: &ReportedFinding) -> (u8, bool) {
    const REAL: [&str; 4] = ["ext4", "xfs", "btrfs", "ext4-writeback"];
    let evidence = found.evidence.as_deref();
    let Some(evidence) = evidence.filter(|evidence| !evidence.cause.is_empty()) else {
        return (0, false);
    };
    let killed = found.finding.fault.starts_with("kill");
    let real = evidence
        .models
        .iter()
        .any(|model| REAL.contains(&model.as_str()));
    let class = match (killed, real) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    };
    let is_early = |sign: &String| sign == EARLY;
    (class, evidence.cause.iter().any(is_early))
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

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
