//! Why a finding is possible, and which sync makes it go: what only the owner of the trace can say.
//!
//! The cause is named by trying other losses at the place of the smallest crash. The fix is found by changing
//! the syncs of the trace and exploring again around each place where the target does the same: a change
//! counts only when no state there shows the finding any more, and none shows a new one.

mod changes;
mod edited_run;
mod property;
mod recovery;
mod search;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use plugpull_reports::{Diagnosis, EARLY, Property};

use super::answers::Answers;
use super::attempt::Workers;
use super::crash::CrashModel;
use super::grouping::{Group, Grouping, Groups};
use super::limits::left;
use super::oracle::Oracle;
use super::retry::{Minimised, OutputSign, Retry, Symptom};
use changes::{Change, SyncChanges};
pub(crate) use edited_run::EditedRun;
use edited_run::TIME;
pub(super) use edited_run::{Attempts, JudgedState, points_behind, spread, states_at};
use property::Missing;
use recovery::RecoveryRun;
use search::FixSearch;
use verify::Subject;

/// A crash that lacks more than this was not made smaller, and says little of its cause.
const LARGEST: usize = 64;
/// States that naming the cause of a finding may try.
const NAMING: usize = 64;
/// States that one finding's changes may try, of those that were not tried before.
const ATTEMPTS: u64 = 1024;
/// And so many however short the run was.
const FEWEST_ATTEMPTS: u64 = 128;
/// Findings have so many turns, and one of them at least so large a part of what is left, as one in so many.
const TURNS: usize = 3;
const AT_ONCE: u32 = 3;
/// What is said where no sync helps, and where some do, but not which.
const EVEN_SO: &str = "with every file and directory synced behind each operation it still shows";
const ALL_AT_ONCE: &str = "with every file and directory synced behind each operation it goes, and no few of these syncs do";
/// What is said of a crash of a recovery that only breaks what this recovery served when nothing interrupted it.
const NOT_ALONE: &str =
    "it shows only beside what this recovery served when nothing interrupted it";
/// What is to be done where no sync helps.
const OTHERWISE: &str =
    "the protocol needs something else (a checksum, or a new file that replaces the old one)";
/// SyncChanges that were tried in vain and are named.
const NAMED: usize = 4;

/// What diagnosing works with.
pub(super) struct Diagnoser<'d, 'a> {
    pub(super) oracle: &'d Oracle<'a>,
    pub(super) workers: &'d dyn Workers,
    pub(super) answers: &'d Mutex<Answers>,
    pub(super) grouping: &'d dyn Grouping,
    pub(super) over: &'d AtomicBool,
    /// True when the user wants it to end.
    pub(super) stop: &'d AtomicBool,
    pub(super) until: Option<Instant>,
    /// How many states were tried before: diagnosing one finding tries no more.
    pub(super) most: u64,
}

/// A finding's diagnosis, and the change of its fix.
struct Found {
    diagnosis: Diagnosis,
    change: Option<Change>,
    /// True when the time for it was over.
    is_late: bool,
}

/// A fix that was found.
struct KnownFix {
    change: Change,
    /// The number of its finding.
    id: usize,
    /// Of which recovery: the disk that it began on; none for the recorded run.
    of: Option<u128>,
}

/// What is known of a finding and of others once it has its turn.
struct SoFar<'k> {
    changes: &'k SyncChanges<'k>,
    /// The fixes of other findings.
    fixes: Vec<KnownFix>,
    /// By finding: what is missing.
    missing: BTreeMap<usize, Missing>,
}

impl Diagnoser<'_, '_> {
    /// Diagnoses each finding that it can, the weakest failure first, and counts those to one that one fix
    /// makes go. What one leaves of its time others have, in turn. The numbers of those that were diagnosed.
    pub(super) fn all(&self, groups: &mut Groups) -> Vec<usize> {
        let mut open: Vec<usize> = (0..groups.all().len())
            .filter(|id| self.comes_from(groups, *id).is_some())
            .collect();
        open.sort_by_key(|id| rank(&groups.all()[*id], self.oracle, *id));
        let changes = SyncChanges::of(self.oracle.trace, "");
        let mut known = SoFar {
            changes: &changes,
            fixes: Vec::new(),
            missing: BTreeMap::new(),
        };
        let mut diagnosed = BTreeSet::new();
        for _ in 0..TURNS {
            let mut late = Vec::new();
            for (nth, id) in open.iter().copied().enumerate() {
                if self.stop.load(Ordering::Relaxed) {
                    return diagnosed.into_iter().collect();
                }
                let Some(found) = self.of(groups, id, &mut known, open.len() - nth) else {
                    continue;
                };
                late.extend(found.is_late.then_some(id));
                keep(groups, id, found, &mut known.fixes);
                diagnosed.insert(id);
            }
            open = late;
            if open.is_empty() || left(self.until).is_zero() {
                break;
            }
        }
        diagnosed.into_iter().collect()
    }

    /// When the turn of a finding ends that is one of so many.
    fn share_until(&self, count: usize) -> Option<Instant> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let share = left(self.until) / count.min(AT_ONCE);
        self.until.and_then(|_| Instant::now().checked_add(share))
    }

    /// Whether a finding comes from a plain kill; none where it does not come from unsynced data either, or
    /// not each time.
    fn comes_from(&self, groups: &Groups, id: usize) -> Option<bool> {
        let group = groups.all().get(id)?;
        let killed = comes_from_kill(group, self.oracle);
        (killed || comes_from_unsynced(group, self.oracle)).then_some(killed)
    }

    /// The diagnosis of a finding, one of so many that wait.
    fn of(
        &self,
        groups: &Groups,
        id: usize,
        known: &mut SoFar<'_>,
        waiting: usize,
    ) -> Option<Found> {
        let killed = self.comes_from(groups, id)?;
        let group = groups.all().get(id)?;
        let until = self.share_until(waiting);
        let missing = match known.missing.remove(&id) {
            Some(missing) => missing,
            None => self.missing(group, killed, until)?,
        };
        let mut diagnosis = Diagnosis {
            property: missing.property,
            cause: missing.cause.clone(),
            fix: None,
            no_fix: String::new(),
            refuted: Vec::new(),
            same_fix: Vec::new(),
        };
        let (change, is_late) = match killed {
            true => {
                let instead = missing.instead.as_deref().unwrap_or(OTHERWISE);
                diagnosis.no_fix = format!("no sync helps: nothing was lost; {instead}");
                (None, false)
            }
            false => self.fix(groups, id, (&missing, until), known, &mut diagnosis),
        };
        known.missing.insert(id, missing);
        Some(Found {
            diagnosis,
            change,
            is_late,
        })
    }

    fn missing(&self, group: &Group, killed: bool, until: Option<Instant>) -> Option<Missing> {
        let said = |kind, observed: &_| self.grouping.output_sign(kind, observed);
        let said: OutputSign<'_> = &said;
        let mut retry = Retry::new(self.oracle, self.workers, self.answers, said, self.over);
        retry.begin(NAMING, until);
        let symptom = Symptom {
            kind: group.minimised.finding.kind,
            said: None,
            follow_up: group.minimised.finding.follow_up,
        };
        match killed {
            true => property::of_kill(&group.minimised, &symptom, &mut retry),
            false => {
                let minimised = self.with_roots_alone(&group.minimised);
                Some(property::property(&minimised, &symptom, &mut retry))
            }
        }
    }

    /// Searches the cheapest change that makes a finding go under all models in which it occurs, and whether
    /// the time was over before.
    fn fix(
        &self,
        groups: &Groups,
        id: usize,
        (missing, until): (&Missing, Option<Instant>),
        known: &SoFar<'_>,
        diagnosis: &mut Diagnosis,
    ) -> (Option<Change>, bool) {
        let minimised = &self.with_roots_alone(&groups.all()[id].minimised);
        let of = began_on(minimised);
        let fixes = known.fixes.iter().filter(|fix| fix.of == of);
        let fixes: Vec<&Change> = fixes.map(|fix| &fix.change).collect();
        let Some(recovery) = &minimised.crash.within else {
            let power = |model: &CrashModel| model.power;
            let subject = Subject {
                oracle: self.oracle,
                grouping: self.grouping,
                groups,
                id,
                minimised,
                cause: known.changes.places_of(&minimised.crash.lost),
                of_acks: missing.property == Property::Durability,
                depth: 0,
                models: CrashModel::all().into_iter().filter(power).collect(),
            };
            return self.search(&subject, known.changes, (missing, until), &fixes, diagnosis);
        };
        let run = RecoveryRun::of(self.oracle, recovery);
        let indexes = run.indexes(self.oracle);
        let oracle = run.oracle(self.oracle, &indexes);
        let changes = run.changes();
        let minimised = run.without_what_came_before(minimised);
        let subject = Subject {
            oracle: &oracle,
            grouping: self.grouping,
            groups,
            id,
            minimised: &minimised,
            cause: changes.places_of(&minimised.crash.lost),
            of_acks: false,
            depth: recovery.after.depth() + 1,
            models: run.models(self.oracle, &minimised),
        };
        let mut attempts = self.attempts(&minimised, until);
        if !verify::shows_unchanged(&subject, &mut attempts) {
            // Where the time was over nothing was shown.
            let why = attempts.ended.unwrap_or(NOT_ALONE);
            diagnosis.no_fix = format!("not known: {why}");
            return (None, why == TIME);
        }
        let found = self.search(&subject, &changes, (missing, until), &fixes, diagnosis);
        for sync in diagnosis.fix.iter_mut().flat_map(|fix| &mut fix.missing) {
            sync.after += run.began();
        }
        found
    }

    /// A finding whose crash names of what is lost only what the rest follows from.
    fn with_roots_alone(&self, minimised: &Minimised) -> Minimised {
        let mut alone = minimised.clone();
        alone.crash = self.oracle.with_roots_alone(&minimised.crash);
        alone
    }

    fn attempts(&self, minimised: &Minimised, until: Option<Instant>) -> Attempts<'_> {
        let mut attempts = Attempts::new(self.workers, self.answers, self.over, until);
        attempts.follow_up = minimised.finding.follow_up;
        attempts.left = self.most.clamp(FEWEST_ATTEMPTS, ATTEMPTS);
        attempts
    }

    fn search(
        &self,
        subject: &Subject<'_, '_>,
        changes: &SyncChanges<'_>,
        (missing, until): (&Missing, Option<Instant>),
        fixes: &[&Change],
        diagnosis: &mut Diagnosis,
    ) -> (Option<Change>, bool) {
        let mut attempts = self.attempts(subject.minimised, until);
        let before = missing.before.as_deref();
        let mut search = FixSearch::new(subject, changes, &mut attempts, before);
        let sought = search.run(fixes.iter().copied());
        let why = sought.as_ref().err().copied().unwrap_or_default();
        let (behind, none_helps) = (std::mem::take(&mut search.behind), search.none_helps);
        let found = sought.ok().flatten().or(search.beside.take());
        let (fix, change) = found.or(search.weaker.take()).unzip();
        diagnosis.refuted = std::mem::take(&mut search.refuted);
        diagnosis.refuted.truncate(NAMED);
        if fix.is_none() {
            diagnosis.no_fix = match (none_helps, why, &*behind) {
                (true, ..) => format!("no sync helps: {EVEN_SO}; {OTHERWISE}"),
                (false, "", "") => format!("not known: {ALL_AT_ONCE}"),
                (false, "", behind) => format!("not known: {ALL_AT_ONCE}; {behind}"),
                (false, why, "") => format!("not known: {why}"),
                (false, why, behind) => format!("not known: {why}; {behind}"),
            };
        }
        diagnosis.fix = fix;
        let is_late = diagnosis.fix.is_none() && why == TIME;
        (change, is_late)
    }
}

/// The disk that the recovery began on which a crash interrupted; none where that was the recorded run.
fn began_on(minimised: &Minimised) -> Option<u128> {
    let recovery = minimised.crash.within.as_ref();
    recovery.map(|recovery| recovery.digest)
}

/// Keeps what was found of a finding; it counts to the one that has the same fix.
fn keep(groups: &mut Groups, id: usize, found: Found, fixes: &mut Vec<KnownFix>) {
    let edits = found.change.as_ref().map(|change| &change.edits);
    let of = began_on(&groups.all()[id].minimised);
    let main = fixes
        .iter()
        .find(|fix| fix.of == of && Some(&fix.change.edits) == edits)
        .map(|fix| fix.id);
    let sentence = groups.all()[id].minimised.finding.sentence.clone();
    if let Some(main) = main.and_then(|main| groups.get_mut(main))
        && let Some(diagnosis) = main.diagnosis.as_mut()
    {
        diagnosis.same_fix.push(sentence);
    }
    if let Some(group) = groups.get_mut(id) {
        group.diagnosis = Some(found.diagnosis);
        group.same_as = main;
    }
    if main.is_none() {
        fixes.extend(found.change.map(|change| KnownFix { change, id, of }));
    }
}

/// True for a finding of a process that was killed, each time.
fn comes_from_kill(group: &Group, oracle: &Oracle<'_>) -> bool {
    let minimised = &group.minimised;
    let killed = minimised.crash.loss.is_empty() && oracle.kills_at(&minimised.crash);
    killed && !minimised.varies()
}

/// True for a finding of a crash in which something unsynced was lost, each time: of the recorded run, or of the
/// recovery that it interrupted.
fn comes_from_unsynced(group: &Group, oracle: &Oracle<'_>) -> bool {
    let minimised = &group.minimised;
    let power = oracle.models[minimised.crash.model].power;
    let lost = minimised.crash.loss.len();
    // There are no more roots than losses, and to find them a window is read.
    let few = || lost <= LARGEST || oracle.with_roots_alone(&minimised.crash).loss.len() <= LARGEST;
    power && !minimised.varies() && lost > 0 && few()
}

/// Which of two findings stands for both: the one that takes less to happen, then what was acknowledged
/// before what was still being made.
fn rank(group: &Group, oracle: &Oracle<'_>, id: usize) -> (usize, bool, usize) {
    let model = oracle.models[group.minimised.crash.model];
    (model.strength(), group.cause.contains(EARLY), id)
}
