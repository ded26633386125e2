//! What an exploration says as it goes: its trials, as reports have them, its findings and its
//! coverage.

use std::collections::HashSet;
use std::time::Duration;

use plugpull_reports::{ExploredTrial, Record, ReportedFinding, Trial, TrialRecord};
use plugpull_workloads::{Finding, Judgement, Verdict};

use super::enumerator::Candidate;
use super::grouping::{Cause, Group};
use super::oracle::Oracle;
use super::tally::Summary;
use crate::trial::micros;

/// What is said of a state, with how long it took.
pub(super) struct Outcome {
    /// What the oracle said; where plugpull failed, that.
    pub judgement: Judgement,
    /// From the start to the first correct answer.
    pub recovery: Option<Duration>,
    /// How long the attempt took.
    pub took: Duration,
}

/// Takes what an exploration does as it happens.
pub trait Sink {
    /// Takes a record.
    fn emit(&mut self, record: Record);

    /// A finding was minimised: a new one, or a known one to a smaller state.
    fn minimised(&mut self, found: &FoundGroup<'_>);

    /// Takes how far it came.
    fn covered(&mut self, so_far: &Summary);
}

/// A finding that was minimised.
pub struct FoundGroup<'a> {
    /// Its number in this exploration, from 0; none where it is of use to other shards only.
    pub id: Option<u64>,
    /// Of a shard: its place among all that it minimised.
    pub index: Option<u64>,
    /// How many trials showed it or one that counts to it, where there are such.
    pub together: Option<u64>,
    /// The finding.
    pub group: &'a Group,
}

/// What the findings of a trial count to.
#[derive(Default)]
pub(super) struct Counted {
    /// What of the state may be the cause.
    pub(super) signs: Cause,
    /// The numbers of the findings that it counts to.
    pub(super) ids: Vec<u64>,
    /// Of a shard: for each of its findings the place of what it was minimised to.
    pub(super) minimised: Vec<Option<u64>>,
}

/// Numbers and reports trials.
#[derive(Default)]
pub(super) struct TrialLog {
    /// Contents that have a trial: by model, whether they are of a recovery, and whether they were
    /// measured.
    reported: HashSet<(usize, bool, bool, u128)>,
    number: u64,
}

impl TrialLog {
    /// The number of the trial of this state; none when it needs no trial of its own: equal
    /// contents that came out well are one.
    pub(super) fn number(&mut self, candidate: &Candidate, verdict: Verdict) -> Option<u64> {
        let crash = &candidate.crash;
        let measured = !matches!(verdict, Verdict::NotMeasured | Verdict::HarnessError);
        let name = (crash.model, crash.depth() > 0, measured, candidate.key);
        let new = self.reported.insert(name);
        if !new && verdict != Verdict::Broken {
            return None;
        }
        self.number += 1;
        Some(self.number)
    }

    /// The record of a trial.
    pub(super) fn record(
        number: u64,
        candidate: &Candidate,
        outcome: Outcome,
        counted: Counted,
        oracle: &Oracle<'_>,
    ) -> Record {
        let crash = &candidate.crash;
        let first = crash.first();
        let model = oracle.models[crash.model];
        let Outcome {
            judgement,
            recovery,
            took,
        } = outcome;
        let during = match crash.depth() {
            0 => "",
            _ => ", then crashed again during recovery",
        };
        let reported = |finding: Finding| ReportedFinding {
            // The record of the finding that it counts to has them.
            finding: Finding {
                parts: Vec::new(),
                ..finding
            },
            trial: number,
            count: 1,
            repeat: String::new(),
            output: Vec::new(),
            evidence: None,
        };
        let trial = Trial {
            number,
            fault: model.name.to_string(),
            spec: format!("{}@{}", model.name, first.point),
            seed: 0,
            class: model.class(),
            hit: true,
            what: format!("{}{during}", missing(first.lost.len())),
            acked: oracle.acked_at(first.point) as u64,
            operations: first.point,
            verdict: judgement.verdict,
            why: judgement.why,
            observed: judgement.observed,
            recovery_us: recovery.into_iter().map(micros).collect(),
            took_us: micros(took),
            findings: judgement.findings.into_iter().map(reported).collect(),
        };
        let explored = ExploredTrial {
            position: candidate.position,
            depth: crash.depth(),
            signs: counted.signs.into_iter().collect(),
            counts: counted.ids,
            minimised: counted.minimised,
        };
        Record::Trial(Box::new(TrialRecord {
            trial,
            slot: None,
            explored: Some(explored),
        }))
    }
}

/// How much is missing, for people.
fn missing(updates: usize) -> String {
    match updates {
        0 => "nothing missing".into(),
        1 => "1 change missing".into(),
        n => format!("{n} changes missing"),
    }
}
