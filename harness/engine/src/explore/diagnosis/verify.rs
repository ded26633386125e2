//! Whether a change of syncs makes a finding go: the states that the changed run could have left around each
//! place of the cause are tried.

use std::collections::BTreeSet;

use plugpull_crashsim::persist::{LossSet, Window};
use plugpull_reports::{FailingState, VerifiedFix};
use plugpull_workloads::Finding;

use super::super::crash::{Crash, CrashModel};
use super::super::grouping::{Grouping, Groups};
use super::super::oracle::Oracle;
use super::super::retry::Minimised;
use super::changes::Change;
use super::edited_run::{Attempts, EditedRun, JudgedState, record_of, states_at};

/// So many places of the cause are looked at, at most.
const POINTS: usize = 48;
/// So many loss sets a place, beside those of the cause.
const LOSS_SETS: usize = 16;
/// Seeded ones among them.
const SUBSETS: usize = 6;
/// States that are tried side by side before they are judged.
const BATCH: usize = 32;

/// What a change is held to.
pub(super) struct Subject<'s, 'a> {
    pub(super) oracle: &'s Oracle<'a>,
    pub(super) grouping: &'s dyn Grouping,
    pub(super) groups: &'s Groups,
    /// The number of the finding.
    pub(super) id: usize,
    pub(super) minimised: &'s Minimised,
}

/// What came of a change.
pub(super) enum Verdict {
    /// The finding is gone.
    Gone(VerifiedFix),
    /// It is not, or there is a new one.
    Stays,
    /// It cannot be said.
    Unknown(&'static str),
}

/// True for the model of a filesystem that people use.
fn is_real(model: &CrashModel) -> bool {
    ["ext4", "xfs", "btrfs", "ext4-writeback"].contains(&model.name)
}

/// Tries a change under each model, those of users' filesystems first.
pub(super) fn verify(
    subject: &Subject<'_, '_>,
    change: &Change,
    attempts: &mut Attempts<'_>,
) -> Verdict {
    let run = EditedRun::of(subject.oracle.trace, &change.edits);
    let power = |model: &CrashModel| model.power;
    let mut models: Vec<CrashModel> = CrashModel::all().into_iter().filter(power).collect();
    models.sort_by_key(|model| model.strength());
    let points = places(subject, change);
    let mut fix = VerifiedFix {
        change: change.words.clone(),
        added: change.edits.added_count() as u64,
        removed: change.edits.removed_count() as u64,
        acked: subject.oracle.trace.about.history.acked() as u64,
        states: 0,
        points: points.len().min(POINTS) as u64,
        of_points: points.len() as u64,
        models: Vec::new(),
        not_enough_under: Vec::new(),
    };
    let points = spread(&points);
    for model in models {
        let one = [model];
        let indexes = CrashModel::indexes(&one, &run.trace.log, subject.oracle.device);
        let oracle = run.oracle(subject.oracle, (&one, &indexes));
        let mut trial = Trial {
            subject,
            run: &run,
            oracle: &oracle,
            change,
            attempts,
            states: 0,
        };
        match trial.fails(&points) {
            Ok(false) => fix.models.push(model.name.to_owned()),
            Ok(true) => fix.not_enough_under.push(model.name.to_owned()),
            Err(why) => return Verdict::Unknown(why),
        }
        fix.states += trial.states;
        if !fix.not_enough_under.is_empty() && is_real(&model) {
            return Verdict::Stays;
        }
    }
    // Where it stays under models that no filesystem need keep to, the change is worth something if the
    // finding was one of a real filesystem.
    let occurs_on_real = CrashModel::all()
        .iter()
        .any(|model| is_real(model) && subject.minimised.models.contains(&model.name));
    match fix.not_enough_under.is_empty() || occurs_on_real {
        true => Verdict::Gone(fix),
        false => Verdict::Stays,
    }
}

/// The crash points of the recorded run at which the cause occurs: behind each operation of the kind that
/// was lost, and at the next ack; that of the finding first.
fn places(subject: &Subject<'_, '_>, change: &Change) -> Vec<u64> {
    let log = &subject.oracle.trace.log;
    let end = log.records().len() as u64;
    let own = subject.minimised.crash.point;
    let mut points = BTreeSet::new();
    for place in &change.places {
        let behind = *place as u64 + 1;
        points.extend([behind, behind + 1, behind + 2]);
        let marks = log.marks();
        let next = marks.partition_point(|mark| mark.seq < behind);
        if let Some(mark) = marks.get(next) {
            points.extend([mark.seq, mark.seq + 1]);
        }
    }
    points.remove(&own);
    let others = points.into_iter().filter(|point| *point <= end);
    std::iter::once(own).chain(others).collect()
}

/// The first, and as many of the others as are looked at, from all over.
fn spread(points: &[u64]) -> Vec<u64> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    let step = |nth: usize| points[nth * points.len() / POINTS];
    (0..POINTS).map(step).collect()
}

/// A change under one model.
struct Trial<'t, 's, 'a, 'r> {
    subject: &'t Subject<'s, 'a>,
    run: &'t EditedRun,
    oracle: &'t Oracle<'t>,
    change: &'t Change,
    attempts: &'t mut Attempts<'r>,
    states: u64,
}

impl Trial<'_, '_, '_, '_> {
    /// True when a state shows the finding, or a new one. First those in which what was lost is lost again,
    /// at all places; then others.
    fn fails(&mut self, points: &[u64]) -> Result<bool, &'static str> {
        let mut seen = BTreeSet::new();
        for pass in [Trial::losses_of_cause, Trial::other_losses] {
            let mut waiting = Vec::new();
            for before in points {
                for point in self.run.points(*before) {
                    let window = self.oracle.recorded_window(0, point);
                    let losses = pass(self, &window, *before);
                    waiting.extend(states_at(&window, (0, point), losses, &mut seen));
                    if waiting.len() >= BATCH && self.judge(std::mem::take(&mut waiting))? {
                        return Ok(true);
                    }
                    if !self.attempts.goes_on() {
                        return Err(self.attempts.ended.unwrap_or_default());
                    }
                }
            }
            if self.judge(waiting)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn judge(
        &mut self,
        states: Vec<(Crash, plugpull_crashsim::fs::Tree)>,
    ) -> Result<bool, &'static str> {
        let judged = self.attempts.judge(self.oracle, states);
        self.states += judged.len() as u64;
        if judged.iter().any(|one| self.is_against(one)) {
            return Ok(true);
        }
        match self.attempts.ended {
            Some(why) => Err(why),
            None => Ok(false),
        }
    }

    /// True when a state shows this finding, or one that is no known one.
    fn is_against(&self, one: &JudgedState) -> bool {
        one.findings.iter().any(|finding| {
            let known = self.known_as(finding, one);
            known.is_none_or(|known| known == self.subject.id)
        })
    }

    /// The finding of the exploration that a finding is one more of.
    fn known_as(&self, finding: &Finding, one: &JudgedState) -> Option<usize> {
        let Subject {
            grouping, groups, ..
        } = self.subject;
        let observed = one.kept.observed();
        let mut signs = grouping.signs(&one.crash, self.oracle);
        let said = |finding: &Finding| grouping.output_sign(finding.kind, &observed);
        signs.extend(one.findings.iter().filter_map(said));
        let state = FailingState {
            kind: finding.kind,
            depth: 0,
            signs,
        };
        groups.find(&state, said(finding).as_ref())
    }

    /// What the cause is about is lost: alone, with all that came later, and as in the finding.
    fn losses_of_cause(&self, window: &Window<'_>, before: u64) -> Vec<LossSet> {
        let pending = window.pending();
        let is_own = |id: &usize| {
            let origin = self.run.origin(record_of(*id));
            origin.is_some_and(|origin| self.change.places.contains(&origin))
        };
        let own: BTreeSet<usize> = pending.iter().copied().filter(is_own).collect();
        let mut all = vec![LossSet::default()];
        if before == self.subject.minimised.crash.point {
            all.push(self.run.loss(&self.subject.minimised.crash.loss));
        }
        let lost = |lost: BTreeSet<usize>| LossSet {
            lost,
            ..LossSet::default()
        };
        if let Some(first) = own.first() {
            let later = pending.iter().copied().filter(|id| id >= first).collect();
            let last = own.last().copied().into_iter().collect();
            all.extend([lost(own.clone()), lost(last), lost(later)]);
        }
        all.push(lost(pending.into_iter().collect()));
        all
    }

    fn other_losses(&self, window: &Window<'_>, before: u64) -> Vec<LossSet> {
        window.loss_sets(SUBSETS, before, LOSS_SETS)
    }
}
