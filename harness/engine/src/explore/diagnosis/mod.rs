//! Why a finding is possible, and which sync makes it go: what only the owner of the trace can say.
//!
//! The cause is named by trying other losses at the place of the smallest crash. The fix is found by changing
//! the syncs of the trace, one cheap change after the other, and exploring again around each place where
//! the target does the same: a change counts only when no state there shows the finding any more, and
//! none shows a new one.

mod changes;
mod edited_run;
mod property;
mod verify;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use plugpull_crashsim::fs::SyncEdits;
use plugpull_reports::{Diagnosis, EARLY, VerifiedFix};

use super::answers::Answers;
use super::attempt::Workers;
use super::grouping::{Group, Grouping, Groups};
use super::limits::left;
use super::names::Names;
use super::oracle::Oracle;
use super::retry::{OutputSign, Retry, Wanted};
use changes::{Change, SyncChanges};
pub(crate) use edited_run::EditedRun;
pub(super) use edited_run::{Attempts, JudgedState, points_behind, spread, states_at};
use verify::{Subject, Verdict, verify};

/// A crash that lacks more than this was not made smaller, and says little of its cause.
const LARGEST: usize = 64;
/// States that naming the cause of a finding may try.
const NAMING: usize = 64;
/// States that one finding's changes may try, of those that were not tried before.
const ATTEMPTS: u64 = 1024;
/// And so many however short the run was.
const FEWEST_ATTEMPTS: u64 = 128;
/// So many findings that show behind another are looked at, each with so many changes.
const COMPOSED: usize = 3;
const CHANGES: usize = 6;
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
    edits: Option<SyncEdits>,
}

impl Diagnoser<'_, '_> {
    /// Diagnoses each finding that it can, the weakest failure first, and counts those to one that one fix
    /// makes go. The numbers of those that were diagnosed.
    pub(super) fn all(&self, groups: &mut Groups) -> Vec<usize> {
        let mut ids: Vec<usize> = (0..groups.all().len()).collect();
        ids.sort_by_key(|id| rank(&groups.all()[*id], self.oracle, *id));
        let mut diagnosed = Vec::new();
        let mut fixes: Vec<(SyncEdits, usize)> = Vec::new();
        let count = ids.len();
        for (nth, id) in ids.into_iter().enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let share = left(self.until) / u32::try_from(count - nth).unwrap_or(u32::MAX);
            let until = self.until.and_then(|_| Instant::now().checked_add(share));
            let Some(found) = self.of(groups, id, until) else {
                continue;
            };
            let known = fixes
                .iter()
                .find(|(edits, _)| Some(edits) == found.edits.as_ref());
            let known = known.map(|(_, main)| *main);
            if let Some(main) = known
                && let Some(sentence) = groups
                    .all()
                    .get(id)
                    .map(|one| one.minimised.finding.sentence.clone())
                && let Some(diagnosis) = groups
                    .get_mut(main)
                    .and_then(|main| main.diagnosis.as_mut())
            {
                diagnosis.same_fix.push(sentence);
            }
            if let Some(group) = groups.get_mut(id) {
                group.diagnosis = Some(found.diagnosis);
                group.same_as = known;
            }
            if known.is_none() {
                fixes.extend(found.edits.map(|edits| (edits, id)));
            }
            diagnosed.push(id);
        }
        diagnosed
    }

    /// The diagnosis of a finding; none where it does not come from unsynced data, or not each time.
    fn of(&self, groups: &Groups, id: usize, until: Option<Instant>) -> Option<Found> {
        let group = groups.all().get(id)?;
        let killed = comes_from_kill(group, self.oracle);
        if !killed && !comes_from_unsynced(group, self.oracle) {
            return None;
        }
        let said = |kind, observed: &_| self.grouping.output_sign(kind, observed);
        let said: OutputSign<'_> = &said;
        let mut retry = Retry::new(self.oracle, self.workers, self.answers, said, self.over);
        retry.begin(NAMING, until);
        let wanted = Wanted {
            kind: group.minimised.finding.kind,
            said: None,
            follow_up: group.minimised.finding.follow_up,
        };
        let missing = match killed {
            true => property::of_kill(&group.minimised, &wanted, &mut retry)?,
            false => property::property(&group.minimised, &wanted, &mut retry),
        };
        let mut diagnosis = Diagnosis {
            property: missing.property,
            cause: missing.cause,
            fix: None,
            no_fix: String::new(),
            refuted: Vec::new(),
            same_fix: Vec::new(),
        };
        if killed {
            diagnosis.no_fix = format!("no sync helps: nothing was lost; {OTHERWISE}");
            return Some(Found {
                diagnosis,
                edits: None,
            });
        }
        let edits = self.fix(groups, id, until, &mut diagnosis);
        Some(Found { diagnosis, edits })
    }

    /// Tries changes, the cheapest first, until one makes the finding go under all models in which it occurs.
    fn fix(
        &self,
        groups: &Groups,
        id: usize,
        until: Option<Instant>,
        diagnosis: &mut Diagnosis,
    ) -> Option<SyncEdits> {
        let group = groups.all().get(id)?;
        let names = Names::of(&self.oracle.trace.log);
        let changes = SyncChanges::of(&self.oracle.trace.log, &names);
        let subject = Subject {
            oracle: self.oracle,
            grouping: self.grouping,
            groups,
            id,
            minimised: &group.minimised,
            cause: changes.places_of(&group.minimised.crash.lost),
        };
        let mut attempts = Attempts::new(self.workers, self.answers, self.over, until);
        attempts.follow_up = group.minimised.finding.follow_up;
        attempts.left = self.most.clamp(FEWEST_ATTEMPTS, ATTEMPTS);
        let mut weaker: Option<(VerifiedFix, SyncEdits)> = None;
        let mut behind_it = String::new();
        let mut refuted = Vec::new();
        let mut why = "";
        let mut waiting: VecDeque<Change> = changes.for_loss(&group.minimised.crash.lost).into();
        let mut composed = 0;
        let mut whole = None;
        while let Some(change) = waiting.pop_front() {
            match verify(&subject, &change, &mut attempts) {
                Verdict::Gone(fix) if fix.not_enough_under.is_empty() => {
                    whole = Some((fix, change.edits));
                    break;
                }
                Verdict::Gone(fix) => drop(weaker.get_or_insert((fix, change.edits))),
                Verdict::Behind(behind) => {
                    // What shows behind it may lack a sync as well: both together come last.
                    if composed < COMPOSED {
                        composed += 1;
                        let more = changes.for_loss(&behind.lost);
                        let more = more.iter().filter(|more| !change.has(more));
                        waiting.extend(more.take(CHANGES).map(|more| changes::both(&change, more)));
                    }
                    if behind_it.is_empty() {
                        behind_it = format!(
                            "with {} it goes, and another one shows: {}",
                            change.words, behind.sentence
                        );
                    }
                }
                Verdict::Stays => refuted.push(change.words),
                Verdict::Unknown(ended) => {
                    why = ended;
                    break;
                }
            }
        }
        let (fix, edits) = whole.or(weaker).unzip();
        diagnosis.fix = fix;
        if diagnosis.fix.is_none() {
            diagnosis.no_fix = match (why, &*behind_it, refuted.is_empty()) {
                ("", "", true) => {
                    format!("no sync helps: each is synced as soon as it was done; {OTHERWISE}")
                }
                ("", "", false) => {
                    format!("no sync helps: it can be lost before any sync of it ends; {OTHERWISE}")
                }
                ("", behind, _) => format!("no sync helps alone: {behind}"),
                (why, "", _) => format!("not known: {why}"),
                (why, behind, _) => format!("not known: {why}; {behind}"),
            };
        }
        refuted.truncate(NAMED);
        diagnosis.refuted = refuted;
        edits
    }
}

/// True for a finding of a process that was killed in the recorded run, each time.
fn comes_from_kill(group: &Group, oracle: &Oracle<'_>) -> bool {
    let minimised = &group.minimised;
    let varies = minimised.rate.is_some_and(|rate| rate.shown < rate.tried);
    let killed = minimised.crash.loss.is_empty() && oracle.kills_at(&minimised.crash);
    killed && minimised.crash.depth() == 0 && !varies
}

/// True for a finding of a crash of the recorded run in which something unsynced was lost, each time.
fn comes_from_unsynced(group: &Group, oracle: &Oracle<'_>) -> bool {
    let minimised = &group.minimised;
    let varies = minimised.rate.is_some_and(|rate| rate.shown < rate.tried);
    let power = oracle.models[minimised.crash.model].power;
    let lost = minimised.crash.loss.len();
    power && minimised.crash.depth() == 0 && (1..=LARGEST).contains(&lost) && !varies
}

/// Which of two findings stands for both: the one that takes less to happen, then what was acknowledged
/// before what was still being made.
fn rank(group: &Group, oracle: &Oracle<'_>, id: usize) -> (usize, bool, usize) {
    let model = oracle.models[group.minimised.crash.model];
    (model.strength(), group.cause.contains(EARLY), id)
}
