//! The reports of shards as the report of one machine that did all of it.
//!
//! Trials are put in the order of the whole. The findings of an exploration are counted again in that
//! order, by the rules by which one exploration counts them ([`KnownCause`]): which cause a failing
//! state is counted to depends on the causes that were known before it, and a shard knows only its
//! own. So a shard minimises the first trial of each kind that lacks the same, and not only what
//! no cause of its own explains: whatever is new to the whole was minimised by its shard.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use plugpull_workloads::FollowUp;

use crate::cause::{FailingState, KnownCause, said_in};
use crate::fold::gravest_first;
use crate::identity::cause;
use crate::mergeable::{MergeError, belong, coverage, ended, plan};
use crate::report::Report;
use crate::shard::{MinimisedFinding, Shard, ShardTrial};
use crate::sorted_trials::{SortedTrials, SourcedTrial, TrialSorter};
use crate::trial::ReportedFinding;

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
    known: KnownCause,
    /// Whether [`FailingState::is_unclear`] is true of the finding.
    unclear: bool,
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

/// A failing state by its kind of finding, its depth, its follow-up and its signs.
type StateName = (String, u32, Option<FollowUp>, BTreeSet<String>);

/// The findings, counted in the order of the whole. Its size depends on how many causes there are,
/// and on how many ways to fail, not on how many trials.
struct Causes<'a> {
    parts: &'a [ShardReport],
    found: Vec<FoundCause>,
    /// To which of them a state led that was minimised, by its signs.
    led: BTreeMap<StateName, usize>,
}

impl<'a> Causes<'a> {
    fn of(parts: &'a [ShardReport]) -> Self {
        Self {
            parts,
            found: Vec::new(),
            led: BTreeMap::new(),
        }
    }

    /// Takes the next trial.
    fn take(&mut self, one: &SourcedTrial) {
        let Some(place) = &one.place else { return };
        let part = &self.parts[one.source];
        let signs: BTreeSet<String> = place.signs.iter().cloned().collect();
        for (found, minimised) in one.trial.findings.iter().zip(&place.minimised) {
            let state = FailingState {
                kind: found.finding.kind,
                depth: place.depth,
                follow_up: found.finding.follow_up,
                signs: signs.clone(),
            };
            self.take_finding(part, one.trial.number, &state, *minimised);
        }
    }

    /// Takes a finding of the trial of this number.
    fn take_finding(
        &mut self,
        part: &ShardReport,
        number: u64,
        state: &FailingState,
        minimised: Option<u64>,
    ) {
        let said = said_in(&state.signs, state.kind);
        let alike = (
            format!("{:?}", state.kind),
            state.depth,
            state.follow_up,
            state.signs.clone(),
        );
        let known = self.found.iter();
        let known = known
            .map(|one| &one.known)
            .position(|one| one.explains(state, said));
        if let Some(known) = known.or_else(|| self.led.get(&alike).copied()) {
            self.found[known].count(number);
            return;
        }
        // New to all of them, so it was new to its shard too, which minimised it.
        let small = minimised.and_then(|at| part.shard.minimised.get(at as usize));
        let Some(small) = small.or_else(|| substitute(part, state)) else {
            return;
        };
        let new = FailingState {
            signs: cause(&small.finding),
            ..state.clone()
        };
        let position =
            |is: &dyn Fn(&KnownCause) -> bool| self.found.iter().position(|one| is(&one.known));
        let same = position(&|one| one.is_same(&new, said));
        let wider = || position(&|one| one.is_wider(&new, said));
        let known = same.or_else(wider);
        self.led.insert(alike, known.unwrap_or(self.found.len()));
        match known.map(|at| &mut self.found[at]) {
            Some(known) => {
                known.count(number);
                // What lacks less takes a cause over.
                let unclear = new.is_unclear();
                if same.is_none() || (unclear, small.size) < (known.unclear, known.size) {
                    known.unclear = unclear;
                    let (count, trial) = (known.finding.count, known.finding.trial);
                    known.size = small.size;
                    known.finding = entry(part, small, count, trial);
                }
                known.known.learn(new, said.cloned());
            }
            None => self.found.push(FoundCause {
                unclear: new.is_unclear(),
                known: KnownCause::new(new, said.cloned()),
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
fn substitute<'a>(part: &'a ShardReport, state: &FailingState) -> Option<&'a MinimisedFinding> {
    let explains = |one: &&MinimisedFinding| {
        let form = FailingState {
            signs: cause(&one.finding),
            ..state.clone()
        };
        let found = &one.finding.finding;
        (found.kind, found.follow_up) == (state.kind, state.follow_up)
            && KnownCause::new(form, None).explains(state, None)
    };
    part.shard.minimised.iter().find(explains)
}

/// The entry of the merged report. Where the shard kept an artifact of the same cause, that one is
/// taken, because it can be replayed.
fn entry(part: &ShardReport, small: &MinimisedFinding, count: u64, trial: u64) -> ReportedFinding {
    let kept = |finding: &&ReportedFinding| {
        let evidence = finding.evidence.as_ref();
        evidence.is_some_and(|evidence| evidence.artifact.is_some())
            && finding.finding.kind == small.finding.finding.kind
            && finding.finding.follow_up == small.finding.finding.follow_up
            && cause(finding) == cause(&small.finding)
    };
    let kept = || part.report.findings.iter().filter(kept);
    let itself = |one: &&ReportedFinding| one.finding.sentence == small.finding.finding.sentence;
    let finding = kept().find(itself).or_else(|| kept().next());
    let finding = finding.unwrap_or(&small.finding).clone();
    ReportedFinding {
        count,
        trial,
        repeat: of_the_whole(&finding.repeat),
        ..finding
    }
}

/// The command without the shard that it was one of: so it is that of the merged report.
fn of_the_whole(repeat: &str) -> String {
    match repeat.split_once(" --shard ") {
        Some((before, behind)) => {
            let rest = behind.split_once(' ').map_or("", |(_, rest)| rest);
            format!("{before} {rest}").trim_end().to_owned()
        }
        None => repeat.to_owned(),
    }
}
