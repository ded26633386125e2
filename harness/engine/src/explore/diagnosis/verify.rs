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
/// So many places of the cause are enough where there is no time for more.
const FEW: usize = 8;
/// And so many are looked at before.
const LOOKED_AT: usize = 4;
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
    /// True where it shows only what was acknowledged.
    pub(super) of_acks: bool,
    /// How many recoveries deep it is.
    pub(super) depth: u32,
    /// The models that a change is held to.
    pub(super) models: Vec<CrashModel>,
}

/// What came of a change.
pub(super) enum Verdict {
    /// The finding is gone.
    Gone(VerifiedFix),
    /// It is gone, and behind it another one shows, which needs other losses than this one's cause; or, by
    /// such losses, this one.
    Behind(VerifiedFix, Box<Behind>),
    /// It is not: a state that shows it.
    Stays(Box<Behind>),
    /// It cannot be said.
    Unknown(&'static str),
}

/// What a quick look at a change shows.
pub(super) enum QuickLook {
    /// Nothing.
    Gone,
    /// This state.
    Shows(Failure),
    /// It cannot be said.
    Unknown(&'static str),
}

/// A state that shows a finding all the same, or once another one is gone.
pub(super) struct Behind {
    /// What was lost, on the clock of the recorded run; new syncs are none of it.
    pub(super) lost: Vec<LostUpdate>,
    /// In a sentence.
    pub(super) sentence: String,
    /// True when it needs what the finding is about: then it is the finding itself.
    pub(super) is_same: bool,
}

/// Why a change is not enough.
pub(super) struct Failure {
    /// What the change is about can still be lost, and then the finding shows.
    pub(super) is_own: bool,
    /// The state.
    pub(super) state: Box<Behind>,
}

/// True for the model of a filesystem that people use.
pub(super) fn is_real(model: &CrashModel) -> bool {
    ["ext4", "xfs", "btrfs", "ext4-writeback"].contains(&model.name)
}

/// Whether the smallest failing state shows a finding of its kind with no change at all.
pub(super) fn shows_unchanged(subject: &Subject<'_, '_>, attempts: &mut Attempts<'_>) -> bool {
    let Subject {
        oracle, minimised, ..
    } = subject;
    let crash = &minimised.crash;
    let window = oracle.recorded_window(crash.model, crash.point);
    let place = (crash.model, crash.point);
    let states = states_at(&window, place, [crash.loss.clone()], &mut BTreeSet::new());
    let judged = attempts.judge(oracle, states);
    let is_it = |finding: &Finding| finding.kind == minimised.finding.kind;
    judged.iter().any(|one| one.findings.iter().any(is_it))
}

/// Tries what the cause is about under these models, at the smallest failing state and at a few places.
pub(super) fn look(
    subject: &Subject<'_, '_>,
    change: &Change,
    models: &[CrashModel],
    attempts: &mut Attempts<'_>,
) -> QuickLook {
    let run = EditedRun::of(subject.oracle.trace, &change.edits);
    let points = spread(&places(subject, &subject.cause), LOOKED_AT);
    for model in models {
        let one = [*model];
        let indexes = run.indexes(subject.oracle, &one, points.iter().copied().max());
        let oracle = run.oracle(subject.oracle, (&one, &indexes));
        let mut trial = Trial::new(subject, &run, change, &oracle, points.len());
        for point in &points {
            let mut behind = None;
            let is_own = match trial.fails(&[*point], Pass::Cause, &mut behind, attempts) {
                Ok(None) => false,
                Ok(Some(own)) => {
                    behind = Some(own);
                    true
                }
                Err(why) => return QuickLook::Unknown(why),
            };
            if let Some(state) = behind {
                return QuickLook::Shows(Failure { is_own, state });
            }
        }
    }
    QuickLook::Gone
}

/// Tries a change under each model, those of users' filesystems first: at all places what the cause is about,
/// then other losses. Where the time for it is over once that was done at a few places, it is as good as it
/// says.
pub(super) fn verify(
    subject: &Subject<'_, '_>,
    change: &Change,
    attempts: &mut Attempts<'_>,
) -> Verdict {
    let run = EditedRun::of(subject.oracle.trace, &change.edits);
    let mut models = subject.models.clone();
    assert!(!models.is_empty(), "a fix that is held to nothing");
    models.sort_by_key(|model| model.strength());
    let all = places(subject, &change.places);
    let points = spread(&all, POINTS);
    let first = spread(&points, FEW);
    let rest = points.iter().filter(|point| !first.contains(point));
    let rest: Vec<u64> = rest.copied().collect();
    let mut fix = VerifiedFix {
        change: change.words.clone(),
        added: change.edits.added_count() as u64,
        removed: change.edits.removed_count() as u64,
        missing: missing(change),
        acked: subject.oracle.trace.about.history.acked() as u64,
        states: 0,
        points: 0,
        of_points: all.len() as u64,
        models: Vec::new(),
        not_enough_under: Vec::new(),
        behind: String::new(),
        cause_only: true,
        of_recovery: subject.depth > 0,
    };
    let indexes = run.indexes(subject.oracle, &models, points.iter().copied().max());
    let under = |nth: usize| (&models[nth..=nth], &indexes[nth..=nth]);
    let oracles: Vec<Oracle<'_>> = (0..models.len())
        .map(|nth| run.oracle(subject.oracle, under(nth)))
        .collect();
    let mut trials: Vec<Trial<'_, '_, '_>> = (oracles.iter())
        .map(|oracle| Trial::new(subject, &run, change, oracle, points.len()))
        .collect();
    let mut behind: Option<Box<Behind>> = None;
    let mut stays = None;
    let passes = [
        (&first, Pass::Cause),
        (&rest, Pass::Cause),
        (&points, Pass::Others),
    ];
    'passes: for (points, pass) in passes {
        for (trial, model) in trials.iter_mut().zip(&models) {
            let name = || model.name.to_owned();
            if fix.not_enough_under.contains(&name()) {
                continue;
            }
            match trial.fails(points, pass, &mut behind, attempts) {
                Ok(None) => {}
                Ok(Some(state)) if is_real(model) => return Verdict::Stays(state),
                Ok(Some(state)) => {
                    fix.not_enough_under.push(name());
                    stays.get_or_insert(state);
                }
                Err(_) if attempts.is_limited() && fix.points > 0 => break 'passes,
                Err(why) => return Verdict::Unknown(why),
            }
            if behind.as_ref().is_some_and(|behind| behind.is_same) {
                break 'passes;
            }
        }
        fix.cause_only = pass == Pass::Cause;
        if pass == Pass::Cause {
            fix.points += points.len() as u64;
        }
    }
    fix.states = trials.iter().map(|trial| trial.states).sum();
    let names = models.iter().map(|model| model.name.to_owned());
    fix.models = names
        .filter(|name| !fix.not_enough_under.contains(name))
        .collect();
    // Where it stays under models that no filesystem need keep to, the change is worth something if the
    // finding was one of a real filesystem.
    let occurs_on_real = CrashModel::all()
        .iter()
        .any(|model| is_real(model) && subject.minimised.models.contains(&model.name));
    match (stays.filter(|_| !occurs_on_real), behind) {
        (Some(state), _) => Verdict::Stays(state),
        (None, None) => Verdict::Gone(fix),
        (None, Some(behind)) => {
            fix.behind.clone_from(&behind.sentence);
            Verdict::Behind(fix, behind)
        }
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

/// The crash points of the recorded run at which the cause occurs: behind each of these operations, and at
/// the next ack; that of the finding first. Where nothing was acknowledged no ack can be lost.
fn places(subject: &Subject<'_, '_>, of: &BTreeSet<usize>) -> Vec<u64> {
    let oracle = subject.oracle;
    let own = subject.minimised.crash.point;
    let mut points = points_behind(&oracle.trace.log, of, (&[0, 1, 2], 1, &[0, 1]));
    points.remove(&own);
    if subject.of_acks {
        let first = oracle.first_at_stake();
        points = points.split_off(&first);
    }
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

/// True when a state shows the finding itself.
fn is_same(subject: &Subject<'_, '_>, oracle: &Oracle<'_>, one: &JudgedState) -> bool {
    let mut findings = one.findings.iter();
    findings.any(|finding| known_as(subject, oracle, finding, one) == Some(subject.id))
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
        depth: subject.depth,
        follow_up: finding.follow_up,
        signs,
    };
    groups.find(&state, said(finding).as_ref())
}

/// Which losses are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Those of what the cause is about.
    Cause,
    /// Others.
    Others,
}

/// Which losses a failing state fails by.
enum Needs {
    /// Those that the finding is about, alone: the crash that has only these.
    Cause(Crash),
    /// Others alone.
    Others(Crash),
    /// Both.
    Both,
}

/// A change under one model.
struct Trial<'t, 's, 'a> {
    subject: &'t Subject<'s, 'a>,
    run: &'t EditedRun,
    oracle: &'t Oracle<'t>,
    change: &'t Change,
    /// How many places are looked at.
    points: usize,
    /// How many states were judged.
    states: u64,
    seen: BTreeSet<(u64, usize, u128)>,
}

impl<'t, 's, 'a> Trial<'t, 's, 'a> {
    fn new(
        subject: &'t Subject<'s, 'a>,
        run: &'t EditedRun,
        change: &'t Change,
        oracle: &'t Oracle<'t>,
        points: usize,
    ) -> Self {
        Self {
            subject,
            run,
            oracle,
            change,
            points,
            states: 0,
            seen: BTreeSet::new(),
        }
    }
}

impl Trial<'_, '_, '_> {
    /// A state at these points that shows the finding, or a new one, by what the cause is about alone. One that
    /// needs other losses, too or alone, is put into `behind`. Of what the cause is about all is tried, of
    /// others as much as there is room for.
    fn fails(
        &mut self,
        points: &[u64],
        pass: Pass,
        behind: &mut Option<Box<Behind>>,
        attempts: &mut Attempts<'_>,
    ) -> Result<Option<Box<Behind>>, &'static str> {
        let mut waiting = Vec::new();
        let least = match pass {
            Pass::Cause => 0,
            Pass::Others => attempts.left.saturating_sub(OTHERS),
        };
        for before in points {
            if attempts.left < least {
                break;
            }
            for point in self.run.points(*before) {
                if !attempts.goes_on() {
                    return Err(attempts.ended.unwrap_or_default());
                }
                let window = self.oracle.recorded_window(0, point);
                let losses = match pass {
                    Pass::Cause => self.losses_of_cause(&window, *before),
                    Pass::Others => self.other_losses(&window, *before),
                };
                waiting.extend(states_at(&window, (0, point), losses, &mut self.seen));
                if waiting.len() >= BATCH {
                    let states = std::mem::take(&mut waiting);
                    if let Some(own) = self.judge(states, behind, attempts)? {
                        return Ok(Some(own));
                    }
                }
            }
        }
        self.judge(waiting, behind, attempts)
    }

    fn judge(
        &mut self,
        states: Vec<(Crash, Tree)>,
        behind: &mut Option<Box<Behind>>,
        attempts: &mut Attempts<'_>,
    ) -> Result<Option<Box<Behind>>, &'static str> {
        let judged = attempts.judge(self.oracle, states);
        self.states += judged.len() as u64;
        if let Some(why) = attempts.ended {
            return Err(why);
        }
        let (subject, oracle) = (self.subject, self.oracle);
        for one in judged {
            let Some(finding) = against(subject, oracle, &one) else {
                continue;
            };
            let state = |crash: &Crash, is_same| {
                Box::new(Behind {
                    lost: self.lost_before(crash),
                    sentence: finding.sentence.trim_end_matches('.').to_owned(),
                    is_same,
                })
            };
            let shows = |one: &JudgedState| against(subject, oracle, one).is_some();
            match self.needs(&one, attempts)? {
                Needs::Cause(crash) => return Ok(Some(state(&crash, true))),
                Needs::Both => {
                    *behind = Some(state(&attempts.smaller(oracle, &one.crash, shows), true));
                    return Ok(None);
                }
                // One is enough, for each costs many states.
                Needs::Others(crash) if behind.is_none() => {
                    *behind = Some(state(&attempts.smaller(oracle, &crash, shows), false));
                }
                Needs::Others(_) => {}
            }
        }
        Ok(None)
    }

    /// Which losses of a failing state it fails by: it is tried with those alone that the finding is about,
    /// and with the others alone.
    fn needs(&self, one: &JudgedState, attempts: &mut Attempts<'_>) -> Result<Needs, &'static str> {
        let crash = &one.crash;
        let is_of_cause = |id: usize| self.is_of_cause(id);
        let part = |of_cause: bool| {
            crash
                .loss
                .renumbered(|id| (is_of_cause(id) == of_cause).then_some(id))
        };
        let (cause, others) = (part(true), part(false));
        if cause.is_empty() {
            return Ok(Needs::Others(crash.clone()));
        }
        if others.is_empty() {
            return Ok(Needs::Cause(crash.clone()));
        }
        if let Some(alone) = self.shows(crash, cause, attempts)? {
            return Ok(Needs::Cause(alone.crash));
        }
        let Some(of_others) = self.shows(crash, others, attempts)? else {
            return Ok(Needs::Both);
        };
        // A filesystem that keeps an order loses with them what came later: that is harmless alone, and the
        // finding is another one by what the target says.
        let lost = &of_others.crash.loss.lost;
        let has_cause = lost.iter().any(|id| is_of_cause(*id));
        let is_same = has_cause && is_same(self.subject, self.oracle, &of_others);
        Ok(match is_same {
            true => Needs::Both,
            false => Needs::Others(of_others.crash),
        })
    }

    /// The state with these losses in place of a crash's own, where it shows a finding too.
    fn shows(
        &self,
        crash: &Crash,
        loss: LossSet,
        attempts: &mut Attempts<'_>,
    ) -> Result<Option<JudgedState>, &'static str> {
        let window = self.oracle.recorded_window(0, crash.point);
        let states = states_at(&window, (0, crash.point), [loss], &mut BTreeSet::new());
        let judged = attempts.judge(self.oracle, states);
        if let Some(why) = attempts.ended {
            return Err(why);
        }
        let mut shown = judged.into_iter();
        Ok(shown.find(|one| against(self.subject, self.oracle, one).is_some()))
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
