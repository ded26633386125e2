//! The reports of shards as the report of one machine that did all of it.
//!
//! Trials are put in the order of the whole. The findings of an exploration are counted again in that
//! order, by the rule by which one exploration counts them ([`counts_to`]): which cause a failing
//! state is counted to depends on the causes that were known before it, and a shard knows only its
//! own. So a shard minimises the first trial of each kind that lacks the same, and not only what
//! no cause of its own explains: whatever is new to the whole was minimised by its shard.

use std::collections::BTreeSet;
use std::io;

use plugpull_workloads::FindingKind;

use crate::fold::gravest_first;
use crate::identity::cause;
use crate::mergeable::{MergeError, belong, coverage, ended, plan};
use crate::report::Report;
use crate::shard::{MinimisedFinding, Shard, ShardTrial};
use crate::sorted_trials::{SortedTrials, SourcedTrial, TrialSorter};
use crate::trial::ReportedFinding;

/// True when a state that lacks this is one more of this cause: when it lacks all of the cause. A
/// cause that lacks nothing is only itself.
pub fn counts_to(signs: &BTreeSet<String>, cause: &BTreeSet<String>) -> bool {
    cause == signs || !cause.is_empty() && cause.is_subset(signs)
}

/// True when a finding of this cause shows as one kind here and as another there. What is in a file
/// that was not written can be wrong in several ways, each of which may be a bug of its own. But a
/// name that was not made durable is one, whatever the target makes of it.
pub fn shows_as(cause: &BTreeSet<String>, kind: FindingKind, other: FindingKind) -> bool {
    let name = |sign: &String| sign.starts_with("name ") || sign.starts_with("removal of ");
    let of_names = cause.iter().filter(|sign| *sign != EARLY).all(name);
    kind == other || of_names && cause.iter().any(name)
}

/// The sign of a crash before the first ack.
const EARLY: &str = "before the first ack";

/// What the target said when it showed a finding of this kind, as a sign of a failing state.
pub fn said_sign(kind: FindingKind, wording: &str) -> String {
    format!("{}{wording}", said_mark(kind))
}

fn said_mark(kind: FindingKind) -> String {
    format!("{kind:?} says: ")
}

/// What of the signs of a state the target said about findings of this kind.
fn said_in(signs: &BTreeSet<String>, kind: FindingKind) -> Option<&String> {
    let mark = said_mark(kind);
    signs.iter().find(|sign| sign.starts_with(&mark))
}

/// More shards than anybody has: each that is missing gets a row.
const MOST: u64 = 10_000;

/// A report with what says which shard it is.
struct ShardReport {
    report: Report,
    shard: Shard,
}

/// One report of the shards of a run or an exploration. A shard that is missing becomes a row that
/// was not measured.
pub(crate) fn merge_shards(reports: Vec<Report>) -> Result<Report, MergeError> {
    let parts = parts(reports)?;
    let (Some(first), Some(of)) = (parts.first(), parts.first().map(|part| part.shard.of)) else {
        return Err(MergeError::Nothing);
    };
    for other in &parts[1..] {
        same_work(first, other)?;
    }
    let reports: Vec<Report> = parts.iter().map(|part| part.report.clone()).collect();
    let mut plan = plan(&reports);
    plan.faults.clone_from(&first.shard.faults);
    let given: BTreeSet<u64> = parts.iter().map(|part| part.shard.number).collect();
    let missing: Vec<u64> = (1..=of).filter(|one| !given.contains(one)).collect();
    plan.unavailable.extend(missing.iter().map(|number| {
        let why = "its report is missing, so nobody knows what its part of the work has shown";
        (format!("shard {number}/{of}"), why.to_string())
    }));
    let mut coverage = coverage(&reports)?;
    if let Some(coverage) = &mut coverage {
        coverage.complete &= missing.is_empty();
    }
    let took = reports.iter().map(|report| report.took_us).sum();
    let interrupted = reports.iter().any(|report| report.interrupted);
    let mut causes = Causes::of(&parts);
    let sorted = sorted(&parts, coverage.is_some())?;
    let mut merged = sorted.report(plan, took, interrupted, |one| causes.take(one))?;
    if coverage.is_some() {
        merged.findings = causes.findings();
    }
    merged.coverage = coverage;
    merged.ended = ended(&reports);
    merged.needs_coverage();
    merged.merged = Some(parts.len() as u64);
    Ok(merged)
}

/// The shards in order, each once.
fn parts(reports: Vec<Report>) -> Result<Vec<ShardReport>, MergeError> {
    let mut parts = Vec::new();
    for mut report in reports {
        match report.shard.take() {
            Some(shard) if shard.of > MOST || !(1..=shard.of).contains(&shard.number) => {
                return Err(MergeError::NoSuchShard(shard.name()));
            }
            Some(shard) => parts.push(ShardReport {
                report,
                shard: *shard,
            }),
            None => return Err(MergeError::NoShard),
        }
    }
    parts.sort_by_key(|part| (part.shard.of, part.shard.number));
    for pair in parts.windows(2) {
        if let [one, other] = pair
            && (one.shard.of, one.shard.number) == (other.shard.of, other.shard.number)
        {
            return Err(MergeError::ShardTwice(one.shard.name()));
        }
    }
    Ok(parts)
}

/// An error unless the two are shards of the same work.
fn same_work(one: &ShardReport, other: &ShardReport) -> Result<(), MergeError> {
    let same = |what, one: String, other: String| match one == other {
        true => Ok(()),
        false => Err(MergeError::Mixed { what, one, other }),
    };
    let (a, b) = (&one.shard, &other.shard);
    let trace = |shard: &Shard| shard.trace.clone().unwrap_or_else(|| "none".into());
    same("the number of shards", a.of.to_string(), b.of.to_string())?;
    belong(&one.report, &other.report)?;
    same("the trace (its digest)", trace(a), trace(b))?;
    let seed = |part: &ShardReport| part.report.seed.to_string();
    same("the seed", seed(one), seed(other))?;
    let faults = |shard: &Shard| shard.faults.join(", ");
    same("what is tried", faults(a), faults(b))?;
    same("what was asked for", a.options.clone(), b.options.clone())
}

/// All trials in the order of the whole. Those of an exploration are numbered in it; a run's have the
/// numbers of the whole already.
fn sorted(parts: &[ShardReport], explored: bool) -> Result<SortedTrials, MergeError> {
    let mut sorter = TrialSorter::new(explored);
    for (source, part) in (0..).zip(parts) {
        let mut places = part.shard.trials.iter()?.peekable();
        for trial in part.report.trial_log.iter()? {
            let trial = trial?;
            let own = |place: &io::Result<ShardTrial>| {
                place
                    .as_ref()
                    .is_ok_and(|place| place.trial == trial.number)
            };
            let place = places.next_if(own).transpose()?;
            if explored && place.is_none() {
                return Err(MergeError::Misplaced(part.shard.name()));
            }
            let (position, depth) = match &place {
                Some(place) => (place.position, place.depth),
                None => (trial.number, 0),
            };
            let key = [position, depth.into(), source as u64, trial.number];
            sorter.push(key, source, trial, place)?;
        }
        if places.next().transpose()?.is_some() {
            return Err(MergeError::Misplaced(part.shard.name()));
        }
    }
    Ok(sorter.finish())
}

/// A cause that was met, and the finding that shows it.
struct FoundCause {
    depth: u32,
    cause: BTreeSet<String>,
    /// What the target said.
    said: BTreeSet<String>,
    size: (u64, u64),
    finding: ReportedFinding,
    /// The last trial that was counted to it: a trial counts once, however many findings it has.
    last: u64,
}

impl FoundCause {
    fn count(&mut self, trial: u64) {
        if self.last != trial {
            self.finding.count += 1;
            self.last = trial;
        }
    }
}

/// The findings, counted in the order of the whole. Its size depends on how many causes there are,
/// not on how many trials.
struct Causes<'a> {
    parts: &'a [ShardReport],
    found: Vec<FoundCause>,
}

impl<'a> Causes<'a> {
    fn of(parts: &'a [ShardReport]) -> Self {
        Self {
            parts,
            found: Vec::new(),
        }
    }

    /// Takes the next trial.
    fn take(&mut self, one: &SourcedTrial) {
        let Some(place) = &one.place else { return };
        let part = &self.parts[one.source];
        let signs = place.signs.iter().cloned().collect();
        for (found, minimised) in one.trial.findings.iter().zip(&place.minimised) {
            let trial = (one.trial.number, place.depth);
            self.take_finding(part, trial, &signs, found.finding.kind, *minimised);
        }
    }

    /// Takes a finding of the trial of this number and depth.
    fn take_finding(
        &mut self,
        part: &ShardReport,
        (number, depth): (u64, u32),
        signs: &BTreeSet<String>,
        kind: FindingKind,
        minimised: Option<u64>,
    ) {
        let alike = |one: &&mut FoundCause| {
            shows_as(&one.cause, one.finding.finding.kind, kind) && one.depth == depth
        };
        let said = said_in(signs, kind);
        let mut known = self.found.iter_mut().filter(alike);
        let explains = |one: &&mut FoundCause| {
            said.is_none_or(|said| one.said.contains(said)) && counts_to(signs, &one.cause)
        };
        if let Some(known) = known.find(explains) {
            known.count(number);
            return;
        }
        // New to all of them, so it was new to its shard too, which minimised it.
        let small = minimised.and_then(|at| part.shard.minimised.get(at as usize));
        let Some(small) = small.or_else(|| substitute(part, kind, signs)) else {
            return;
        };
        let cause = cause(&small.finding);
        let mut known = self.found.iter_mut().filter(alike);
        match known.find(|one| one.cause == cause) {
            Some(known) => {
                known.count(number);
                known.said.extend(said.cloned());
                if small.size < known.size {
                    let (count, trial) = (known.finding.count, known.finding.trial);
                    known.size = small.size;
                    known.finding = entry(part, small, count, trial);
                }
            }
            None => self.found.push(FoundCause {
                depth,
                cause,
                said: said.cloned().into_iter().collect(),
                last: number,
                size: small.size,
                finding: entry(part, small, 1, number),
            }),
        }
    }

    /// The findings, worst first.
    fn findings(self) -> Vec<ReportedFinding> {
        let mut findings: Vec<_> = self.found.into_iter().map(|one| one.finding).collect();
        gravest_first(&mut findings);
        findings
    }
}

/// What another trial of the shard was minimised to, for one that was not because the shard's time
/// was over.
fn substitute<'a>(
    part: &'a ShardReport,
    kind: FindingKind,
    signs: &BTreeSet<String>,
) -> Option<&'a MinimisedFinding> {
    part.shard
        .minimised
        .iter()
        .find(|one| one.finding.finding.kind == kind && counts_to(signs, &cause(&one.finding)))
}

/// The entry of the merged report. Where the shard kept an artifact of the same cause, that one is
/// taken, because it can be replayed.
fn entry(part: &ShardReport, small: &MinimisedFinding, count: u64, trial: u64) -> ReportedFinding {
    let kept = |finding: &&ReportedFinding| {
        let evidence = finding.evidence.as_ref();
        evidence.is_some_and(|evidence| evidence.artifact.is_some())
            && finding.finding.kind == small.finding.finding.kind
            && cause(finding) == cause(&small.finding)
    };
    let finding = part.report.findings.iter().find(kept);
    ReportedFinding {
        count,
        trial,
        ..finding.unwrap_or(&small.finding).clone()
    }
}
