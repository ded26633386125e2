//! Whether a change of syncs makes a finding go: the states that the changed run could have left around each
//! place of the cause are tried.

use std::collections::BTreeSet;

use plugpull_crashsim::fs::{NewSync, Tree};
use plugpull_crashsim::persist::{LossSet, LostUpdate, Window, record_of};
use plugpull_reports::{FailingState, MissingSync, VerifiedFix};
use plugpull_workloads::Finding;

use super::super::crash::{Crash, CrashModel};
use super::super::grouping::{Grouping, Groups};
use super::super::oracle::Oracle;
use super::super::retry::Minimised;
use super::changes::Change;
use super::edited_run::{Attempts, EditedRun, JudgedState, points_behind, spread, states_at};

/// So many places of the cause are looked at, at most.
const POINTS: usize = 32;
/// So many loss sets a place, at least and at most, beside those of the cause.
const LOSS_SETS: (usize, usize) = (4, 16);
/// So many states of those that were not tried before, under one model: then it ends with what was tried.
const OTHERS: u64 = 96;
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
    /// The operations of the kinds that it lost, anywhere in the recorded run.
    pub(super) cause: BTreeSet<usize>,
}

/// What came of a change.
pub(super) enum Verdict {
    /// The finding is gone.
    Gone(VerifiedFix),
    /// It is gone, and behind it another one shows, which lacks nothing of this one's cause.
    Behind(Box<Behind>),
    /// It is not.
    Stays,
    /// It cannot be said.
    Unknown(&'static str),
}

/// A finding that shows once another one is gone.
pub(super) struct Behind {
    /// What was lost, on the clock of the recorded run; new syncs are none of it.
    pub(super) lost: Vec<LostUpdate>,
    /// In a sentence.
    pub(super) sentence: String,
}

/// Why a change is not enough.
enum Failure {
    /// What the change is about can still be lost, and then the finding shows.
    Own,
    /// Something else.
    Other(Box<Behind>),
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
        missing: missing(change),
        acked: subject.oracle.trace.about.history.acked() as u64,
        states: 0,
        points: points.len().min(POINTS) as u64,
        of_points: points.len() as u64,
        models: Vec::new(),
        not_enough_under: Vec::new(),
    };
    let points = spread(&points, POINTS);
    let mut behind = None;
    for model in models {
        if !attempts.goes_on() {
            return Verdict::Unknown(attempts.ended.unwrap_or_default());
        }
        let one = [model];
        let indexes = CrashModel::indexes(&one, &run.trace.log, subject.oracle.device);
        let oracle = run.oracle(subject.oracle, (&one, &indexes));
        let mut trial = Trial {
            subject,
            run: &run,
            oracle: &oracle,
            change,
            attempts,
            points: points.len(),
            states: 0,
        };
        match trial.fails(&points) {
            Ok(None) => fix.models.push(model.name.to_owned()),
            Ok(Some(Failure::Other(one))) => {
                fix.models.push(model.name.to_owned());
                behind.get_or_insert(one);
            }
            Ok(Some(Failure::Own)) => fix.not_enough_under.push(model.name.to_owned()),
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
    match (fix.not_enough_under.is_empty() || occurs_on_real, behind) {
        (false, _) => Verdict::Stays,
        (true, None) => Verdict::Gone(fix),
        (true, Some(behind)) => Verdict::Behind(behind),
    }
}

/// So many of the syncs that a fix adds are named.
const NAMED: usize = 256;

fn missing(change: &Change) -> Vec<MissingSync> {
    let added = change.edits.added().take(NAMED);
    let sync = |(after, sync): (usize, &NewSync)| MissingSync {
        after: after as u64,
        path: sync.path.to_string(),
        dir: sync.dir,
    };
    added.map(sync).collect()
}

/// The crash points of the recorded run at which the cause occurs: behind each operation of the kind that
/// was lost, and at the next ack; that of the finding first.
fn places(subject: &Subject<'_, '_>, change: &Change) -> Vec<u64> {
    let log = &subject.oracle.trace.log;
    let own = subject.minimised.crash.point;
    let mut points = points_behind(log, &change.places, (&[0, 1, 2], 1, &[0, 1]));
    points.remove(&own);
    std::iter::once(own).chain(points).collect()
}

/// The finding of a state that is this one, or no known one.
fn against<'j>(
    subject: &Subject<'_, '_>,
    oracle: &Oracle<'_>,
    one: &'j JudgedState,
) -> Option<&'j Finding> {
    one.findings.iter().find(|finding| {
        let known = known_as(subject, oracle, finding, one);
        known.is_none_or(|known| known == subject.id)
    })
}

/// The finding of the exploration that a finding is one more of.
fn known_as(
    subject: &Subject<'_, '_>,
    oracle: &Oracle<'_>,
    finding: &Finding,
    one: &JudgedState,
) -> Option<usize> {
    let Subject {
        grouping, groups, ..
    } = subject;
    let mut signs = grouping.signs(&one.crash, oracle);
    let said = |finding: &Finding| grouping.output_sign(finding.kind, &one.kept.seen(finding));
    signs.extend(one.findings.iter().filter_map(said));
    let state = FailingState {
        kind: finding.kind,
        depth: 0,
        follow_up: finding.follow_up,
        signs,
    };
    groups.find(&state, said(finding).as_ref())
}

/// A change under one model.
struct Trial<'t, 's, 'a, 'r> {
    subject: &'t Subject<'s, 'a>,
    run: &'t EditedRun,
    oracle: &'t Oracle<'t>,
    change: &'t Change,
    attempts: &'t mut Attempts<'r>,
    /// How many places are looked at.
    points: usize,
    states: u64,
}

impl Trial<'_, '_, '_, '_> {
    /// A state that shows the finding, or a new one where none shows this one. First those in which what was
    /// lost is lost again, at all places; then others.
    fn fails(&mut self, points: &[u64]) -> Result<Option<Failure>, &'static str> {
        let mut other = None;
        let mut seen = BTreeSet::new();
        let passes = [Trial::losses_of_cause, Trial::other_losses];
        for (nth, pass) in passes.into_iter().enumerate() {
            let mut waiting = Vec::new();
            // Of what the cause is about all is tried, of others as much as there is room for.
            let least = match nth {
                0 => 0,
                _ => self.attempts.left.saturating_sub(OTHERS),
            };
            for before in points {
                if self.attempts.left < least {
                    break;
                }
                for point in self.run.points(*before) {
                    let window = self.oracle.recorded_window(0, point);
                    let losses = pass(self, &window, *before);
                    waiting.extend(states_at(&window, (0, point), losses, &mut seen));
                    if waiting.len() >= BATCH {
                        match self.judge(std::mem::take(&mut waiting))? {
                            Some(Failure::Own) => return Ok(Some(Failure::Own)),
                            found => other = other.or(found),
                        }
                    }
                    if !self.attempts.goes_on() {
                        return Err(self.attempts.ended.unwrap_or_default());
                    }
                }
            }
            match self.judge(waiting)? {
                Some(Failure::Own) => return Ok(Some(Failure::Own)),
                found => other = other.or(found),
            }
        }
        Ok(other)
    }

    fn judge(&mut self, states: Vec<(Crash, Tree)>) -> Result<Option<Failure>, &'static str> {
        let judged = self.attempts.judge(self.oracle, states);
        self.states += judged.len() as u64;
        if let Some(why) = self.attempts.ended {
            return Err(why);
        }
        let mut other = None;
        for one in judged {
            if let Some(finding) = against(self.subject, self.oracle, &one) {
                match self.why_it_fails(&one, &finding.sentence)? {
                    Failure::Own => return Ok(Some(Failure::Own)),
                    failure => {
                        other.get_or_insert(failure);
                    }
                }
            }
        }
        Ok(other)
    }

    /// Whether a state fails because of what the finding is about: then it does so with that alone lost. Where
    /// other losses are needed as well it is another one.
    fn why_it_fails(&mut self, one: &JudgedState, sentence: &str) -> Result<Failure, &'static str> {
        let crash = &one.crash;
        let own = crash
            .loss
            .renumbered(|id| self.is_of_cause(id).then_some(id));
        if own == crash.loss && !own.is_empty() {
            return Ok(Failure::Own);
        }
        if !own.is_empty() {
            let window = self.oracle.recorded_window(0, crash.point);
            let states = states_at(&window, (0, crash.point), [own], &mut BTreeSet::new());
            let judged = self.attempts.judge(self.oracle, states);
            if let Some(why) = self.attempts.ended {
                return Err(why);
            }
            if judged
                .iter()
                .any(|one| against(self.subject, self.oracle, one).is_some())
            {
                return Ok(Failure::Own);
            }
        }
        let (subject, oracle) = (self.subject, self.oracle);
        let shows = |one: &JudgedState| against(subject, oracle, one).is_some();
        let crash = self.attempts.smaller(oracle, crash, shows);
        Ok(Failure::Other(Box::new(Behind {
            lost: self.lost_before(&crash),
            sentence: sentence.trim_end_matches('.').to_owned(),
        })))
    }

    /// True for an update of the operations that the change is about.
    fn is_own(&self, id: usize) -> bool {
        let origin = self.run.origin(record_of(id));
        origin.is_some_and(|origin| self.change.places.contains(&origin))
    }

    /// True for an update of the kinds that the finding lost.
    fn is_of_cause(&self, id: usize) -> bool {
        let origin = self.run.origin(record_of(id));
        self.is_own(id) || origin.is_some_and(|origin| self.subject.cause.contains(&origin))
    }

    /// What a crash lost, on the clock of the recorded run.
    fn lost_before(&self, crash: &Crash) -> Vec<LostUpdate> {
        let lost = crash.lost.iter();
        let before = |one: &LostUpdate| {
            Some(LostUpdate {
                seq: self.run.origin(one.seq as usize)? as u64,
                ..one.clone()
            })
        };
        lost.filter_map(before).collect()
    }

    /// What the cause is about is lost: alone, with all that came later, and as in the finding.
    fn losses_of_cause(&self, window: &Window<'_>, before: u64) -> Vec<LossSet> {
        let pending = window.pending();
        let own: BTreeSet<usize> = (pending.iter().copied())
            .filter(|id| self.is_own(*id))
            .collect();
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
        let (least, most) = LOSS_SETS;
        let each = 2 * OTHERS as usize / self.points.max(1);
        window.loss_sets(SUBSETS, before, each.clamp(least, most))
    }
}
