//! The reports of shards as the report of one machine that did all of it.
//!
//! Trials are put in the order of the whole. The findings of an exploration are counted again in that
//! order, by the rule by which one exploration counts them ([`counts_to`]): which cause a failing
//! state is counted to depends on the causes that were known before it, and a shard knows only its
//! own. So a shard minimises the first trial of each kind that lacks the same, and not only what
//! no cause of its own explains: whatever is new to the whole was minimised by its shard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plugpull_workloads::FindingKind;

use crate::builder::ReportBuilder;
use crate::fold::gravest_first;
use crate::identity::cause;
use crate::mergeable::{MergeError, belong, coverage, ended, loaded, plan};
use crate::report::{Report, ReportedFinding, Trial};
use crate::shard::{MinimisedFinding, Shard};

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
fn said(signs: &BTreeSet<String>, kind: FindingKind) -> Option<&String> {
    let mark = said_mark(kind);
    signs.iter().find(|sign| sign.starts_with(&mark))
}

/// More shards than anybody has: each that is missing gets a row.
const MOST: u64 = 10_000;

/// A report with what says which shard it is.
struct Part {
    report: Report,
    shard: Shard,
}

/// One report of the shards of a run or an exploration. A shard that is missing becomes a row that
/// was not measured.
pub(crate) fn merge_shards(reports: Vec<Report>) -> Result<Report, MergeError> {
    let parts = parts(loaded(reports)?)?;
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
    let ended = ended(&reports);
    let order = order(&parts);
    let mut builder = ReportBuilder::new(plan);
    for (number, place) in &order {
        builder.trial(&renumbered(place.trial, *number));
    }
    let mut merged = builder.finish(Duration::from_micros(took), interrupted);
    if coverage.is_some() {
        merged.findings = findings(&parts, &order);
    }
    merged.coverage = coverage;
    merged.ended = ended;
    merged.needs_coverage();
    merged.merged = Some(parts.len() as u64);
    Ok(merged)
}

/// The shards in order, each once.
fn parts(reports: Vec<Report>) -> Result<Vec<Part>, MergeError> {
    let mut parts = Vec::new();
    for mut report in reports {
        match report.shard.take() {
            Some(shard) if shard.of > MOST || !(1..=shard.of).contains(&shard.number) => {
                return Err(MergeError::NoSuchShard(shard.name()));
            }
            Some(shard) => parts.push(Part {
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
fn same_work(one: &Part, other: &Part) -> Result<(), MergeError> {
    let same = |what, one: String, other: String| match one == other {
        true => Ok(()),
        false => Err(MergeError::Mixed { what, one, other }),
    };
    let (a, b) = (&one.shard, &other.shard);
    let trace = |shard: &Shard| shard.trace.clone().unwrap_or_else(|| "none".into());
    same("the number of shards", a.of.to_string(), b.of.to_string())?;
    belong(&one.report, &other.report)?;
    same("the trace (its digest)", trace(a), trace(b))?;
    let seed = |part: &Part| part.report.seed.to_string();
    same("the seed", seed(one), seed(other))?;
    let faults = |shard: &Shard| shard.faults.join(", ");
    same("what is tried", faults(a), faults(b))?;
    same("what was asked for", a.options.clone(), b.options.clone())
}

/// Where a trial comes from.
struct Place<'a> {
    trial: &'a Trial,
    part: usize,
    depth: u32,
    signs: BTreeSet<String>,
    minimised: &'a [Option<u64>],
}

/// All trials in the order of the whole, with the numbers that they have there.
fn order(parts: &[Part]) -> Vec<(u64, Place<'_>)> {
    let mut all = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let known: BTreeMap<u64, _> = part
            .shard
            .trials
            .in_memory()
            .iter()
            .map(|one| (one.trial, one))
            .collect();
        for trial in part.report.trial_log.in_memory() {
            let explored = known.get(&trial.number);
            // A run's trials have the numbers of the whole already.
            let position = explored.map_or(trial.number, |one| one.position);
            let place = Place {
                trial,
                part: number,
                depth: explored.map_or(0, |one| one.depth),
                signs: explored.iter().flat_map(|one| one.signs.clone()).collect(),
                minimised: explored.map_or(&[], |one| &one.minimised),
            };
            all.push((position, place));
        }
    }
    let key = |(position, place): &(u64, Place<'_>)| {
        (*position, place.depth, place.part, place.trial.number)
    };
    all.sort_by_key(key);
    let explored = parts.iter().any(|part| part.report.coverage.is_some());
    let numbered = all.into_iter().zip(1..).map(|((_, place), next)| {
        let number = if explored { next } else { place.trial.number };
        (number, place)
    });
    numbered.collect()
}

fn renumbered(trial: &Trial, number: u64) -> Trial {
    let mut trial = Trial {
        number,
        ..trial.clone()
    };
    for finding in &mut trial.findings {
        finding.trial = number;
    }
    trial
}

/// A cause that was met, and the finding that shows it.
struct Group {
    depth: u32,
    cause: BTreeSet<String>,
    /// What the target said.
    said: BTreeSet<String>,
    size: (u64, u64),
    finding: ReportedFinding,
    /// The last trial that was counted to it: a trial counts once, however many findings it has.
    last: u64,
}

impl Group {
    fn count(&mut self, trial: u64) {
        if self.last != trial {
            self.finding.count += 1;
            self.last = trial;
        }
    }
}

/// The findings, counted in the order of the whole.
fn findings(parts: &[Part], order: &[(u64, Place<'_>)]) -> Vec<ReportedFinding> {
    let mut groups: Vec<Group> = Vec::new();
    for (number, place) in order {
        for (found, minimised) in place.trial.findings.iter().zip(place.minimised) {
            let kind = found.finding.kind;
            let alike = |group: &&mut Group| {
                shows_as(&group.cause, group.finding.finding.kind, kind)
                    && group.depth == place.depth
            };
            let said = said(&place.signs, kind);
            let mut known = groups.iter_mut().filter(alike);
            let explains = |group: &&mut Group| {
                said.is_none_or(|said| group.said.contains(said))
                    && counts_to(&place.signs, &group.cause)
            };
            if let Some(group) = known.find(explains) {
                group.count(*number);
                continue;
            }
            // New to all of them, so it was new to its shard too, which minimised it.
            let part = &parts[place.part];
            let small = minimised.and_then(|at| part.shard.minimised.get(at as usize));
            let Some(small) = small.or_else(|| substitute(part, kind, place)) else {
                continue;
            };
            let cause = cause(&small.finding);
            match groups.iter_mut().filter(alike).find(|g| g.cause == cause) {
                Some(group) => {
                    group.count(*number);
                    group.said.extend(said.cloned());
                    if small.size < group.size {
                        let (count, trial) = (group.finding.count, group.finding.trial);
                        group.size = small.size;
                        group.finding = entry(part, small, count, trial);
                    }
                }
                None => groups.push(Group {
                    depth: place.depth,
                    cause,
                    said: said.cloned().into_iter().collect(),
                    last: *number,
                    size: small.size,
                    finding: entry(part, small, 1, *number),
                }),
            }
        }
    }
    let mut findings: Vec<ReportedFinding> = groups.into_iter().map(|one| one.finding).collect();
    gravest_first(&mut findings);
    findings
}

/// What another trial of the shard was minimised to, for one that was not because the shard's time
/// was over.
fn substitute<'a>(
    part: &'a Part,
    kind: FindingKind,
    place: &Place<'_>,
) -> Option<&'a MinimisedFinding> {
    part.shard.minimised.iter().find(|one| {
        one.finding.finding.kind == kind && counts_to(&place.signs, &cause(&one.finding))
    })
}

/// The entry of the merged report. Where the shard kept an artifact of the same cause, that one is
/// taken, because it can be replayed.
fn entry(part: &Part, small: &MinimisedFinding, count: u64, trial: u64) -> ReportedFinding {
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
