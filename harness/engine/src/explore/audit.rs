//! The sync audit: which syncs of a recorded run are needed, learnt by leaving them out of the trace.
//!
//! A site is where the target syncs one kind of file after one kind of operation, and where stacks were
//! recorded, from one place of its program. Without all syncs of a
//! site, the states around each of them are tried. A site is needed where such a state breaks a promise and
//! the recorded run could not have left it, nor the same state with all on the disk that the sync covered.
//! Sites of which that is not shown are left out together, as many as can be without a finding.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use plugpull_crashsim::fs::{Log, SyncEdits, Tree};
use plugpull_crashsim::persist::{Index, LossSet, Window};
use plugpull_reports::{AuditedSite, MadeBy, SyncAudit, SyncNeed, TogetherRemovable};
use plugpull_sandbox::Stacks;
use plugpull_workloads::FindingKind;

use super::answers::Answers;
use super::attempt::Workers;
use super::crash::{Crash, CrashModel};
use super::diagnosis::{Attempts, EditedRun, JudgedState, points_behind, spread, states_at};
use super::limits::left;
use super::names::Names;
use super::oracle::Oracle;
use crate::evidence::made_by;

/// So many places of a site are looked at, at most.
const POINTS: usize = 48;
/// So many loss sets a place, beside those of what the sync covered.
const LOSS_SETS: usize = 12;
/// Seeded ones among them.
const SUBSETS: usize = 4;
/// So many of the updates that a sync covered are lost one by one.
const SINGLES: usize = 8;
/// States that are tried side by side before they are judged.
const BATCH: usize = 32;
/// So many syncs of a needed site are left out one by one.
const OCCURRENCES: usize = 4;

/// What an audit works with.
pub(super) struct Audit<'d, 'a> {
    pub(super) oracle: &'d Oracle<'a>,
    pub(super) workers: &'d dyn Workers,
    pub(super) answers: &'d Mutex<Answers>,
    pub(super) over: &'d AtomicBool,
    /// True when the user wants it to end.
    pub(super) stop: &'d AtomicBool,
    pub(super) until: Option<Instant>,
    pub(super) seed: u64,
}

/// Where syncs are called.
struct Site {
    call: &'static str,
    path: String,
    after: String,
    /// Who calls, where that is known.
    made_by: Option<MadeBy>,
    /// Indices of the syncs.
    places: Vec<usize>,
}

/// What came of leaving syncs out.
enum SiteOutcome {
    /// A promise breaks.
    Needed(SyncNeed),
    /// None does, in so many states at so many points.
    NotShown(Extent),
    /// It could not be looked at to its end.
    Unknown(&'static str, Extent),
}

/// How much was looked at.
#[derive(Clone, Copy, Default)]
struct Extent {
    states: u64,
    points: u64,
    of_points: u64,
}

/// The sites of a log, those with the most syncs first.
fn sites(log: &Log, stacks: Option<&Stacks>) -> Vec<Site> {
    let names = Names::of(log);
    let mut all: BTreeMap<(String, &'static str, String, String), Vec<usize>> = BTreeMap::new();
    let by = |index: usize| {
        let seq = log.records()[index].seq;
        Some(made_by(&stacks?.stack_of(seq)?))
    };
    let records = log.records();
    for (index, record) in records.iter().enumerate() {
        if !record.op.is_sync() {
            continue;
        }
        let before = records[..index].iter().rev().find(|one| one.op.changes());
        let after = before.map_or("the start".to_owned(), |one| {
            format!("{} {}", one.op.name(), names.pattern(&one.path))
        });
        // Beside the innermost functions, what led there is no other site.
        let from = by(index).map_or(String::new(), |by| by.describe());
        let key = (names.pattern(&record.path), record.op.name(), after, from);
        all.entry(key).or_default().push(index);
    }
    let mut sites: Vec<Site> = all
        .into_iter()
        .map(|((path, call, after, _), places)| Site {
            call,
            path,
            after,
            made_by: by(places[0]),
            places,
        })
        .collect();
    sites.sort_by_key(|site| (std::cmp::Reverse(site.places.len()), site.places[0]));
    sites
}

impl Audit<'_, '_> {
    /// Audits every site. The time is shared evenly.
    pub(super) fn run(&self) -> SyncAudit {
        let log = &self.oracle.trace.log;
        let sites = sites(log, self.oracle.trace.about.stacks.as_deref());
        let mut audit = SyncAudit {
            acked: self.oracle.trace.about.history.acked() as u64,
            models: self
                .models()
                .iter()
                .map(|model| model.name.to_owned())
                .collect(),
            ..SyncAudit::default()
        };
        let mut spare: Vec<usize> = Vec::new();
        for (nth, site) in sites.iter().enumerate() {
            // One share more is for what can go together.
            if self.stop.load(Ordering::Relaxed) {
                self.over.store(true, Ordering::Relaxed);
            }
            let share = left(self.until) / u32::try_from(sites.len() - nth + 1).unwrap_or(u32::MAX);
            let until = self.until.and_then(|_| Instant::now().checked_add(share));
            let outcome = self.without(&site.places, until);
            if matches!(outcome, SiteOutcome::NotShown(_)) {
                spare.push(nth);
            }
            audit.sites.push(self.audited(site, outcome, until));
        }
        // What notices nothing has nothing to offer.
        if audit.is_blind() {
            return audit;
        }
        if spare.len() > 1 || spare.iter().any(|nth| sites[*nth].places.len() > 1) {
            audit.together = self.together(&sites, &spare);
        }
        audit
    }

    /// The models that lose power, those of users' filesystems first.
    fn models(&self) -> Vec<CrashModel> {
        let models = self.oracle.models.iter().copied();
        let mut models: Vec<CrashModel> = models.filter(|model| model.power).collect();
        models.sort_by_key(|model| model.strength());
        models
    }

    fn audited(&self, site: &Site, outcome: SiteOutcome, until: Option<Instant>) -> AuditedSite {
        let mut audited = AuditedSite {
            call: site.call.to_owned(),
            path: site.path.clone(),
            after: site.after.clone(),
            count: site.places.len() as u64,
            places: site.places.iter().map(|place| *place as u64).collect(),
            made_by: site.made_by.clone().map(Box::new),
            ..AuditedSite::default()
        };
        let mut note = |looked: Extent| {
            audited.states = looked.states;
            audited.points = looked.points;
            audited.of_points = looked.of_points;
        };
        match outcome {
            SiteOutcome::Needed(mut need) => {
                // Whether each of them is, or only all.
                let count = site.places.len();
                let step = count.div_ceil(OCCURRENCES).max(1);
                for place in site.places.iter().step_by(step).filter(|_| count > 1) {
                    match self.without(&[*place], until) {
                        SiteOutcome::Needed(_) => need.alone += 1,
                        SiteOutcome::NotShown(_) => {}
                        SiteOutcome::Unknown(..) => break,
                    }
                    need.tried_alone += 1;
                }
                audited.needed = Some(need);
            }
            SiteOutcome::NotShown(looked) => note(looked),
            SiteOutcome::Unknown(why, looked) => {
                note(looked);
                audited.why = why.to_owned();
            }
        }
        audited
    }

    /// As many of these sites as can go together: the one with the most syncs first, each that breaks
    /// nothing beside those before it (a greedy form of delta debugging).
    fn together(&self, sites: &[Site], spare: &[usize]) -> Option<TogetherRemovable> {
        let mut gone: Vec<usize> = Vec::new();
        let mut chosen: Vec<u64> = Vec::new();
        let mut last = None;
        let all: Vec<usize> = spare
            .iter()
            .flat_map(|nth| sites[*nth].places.clone())
            .collect();
        // Mostly all of them can.
        if let SiteOutcome::NotShown(looked) = self.without(&all, self.until) {
            chosen = spare.iter().map(|nth| *nth as u64).collect();
            return Some(removable(chosen, &all, looked));
        }
        for nth in spare {
            let with: Vec<usize> = gone.iter().chain(&sites[*nth].places).copied().collect();
            match self.without(&with, self.until) {
                SiteOutcome::NotShown(looked) => {
                    gone = with;
                    chosen.push(*nth as u64);
                    last = Some(looked);
                }
                SiteOutcome::Needed(_) => {}
                SiteOutcome::Unknown(..) => break,
            }
        }
        last.map(|looked| removable(chosen, &gone, looked))
    }

    /// Leaves these syncs out and tries the states around each of them.
    fn without(&self, places: &[usize], until: Option<Instant>) -> SiteOutcome {
        let mut edits = SyncEdits::default();
        places.iter().for_each(|place| edits.remove(*place));
        let run = EditedRun::of(self.oracle.trace, &edits);
        let models = self.models();
        let indexes = CrashModel::indexes(&models, &run.trace.log, self.oracle.device);
        let oracle = run.oracle(self.oracle, (&models, &indexes));
        let before = CrashModel::indexes(&models, &self.oracle.trace.log, self.oracle.device);
        let original = self.oracle.under((&models, &before));
        let mut attempts = Attempts::new(self.workers, self.answers, self.over, until);
        // It may matter behind it, and at the next acks.
        let log = &self.oracle.trace.log;
        let points = points_behind(log, places, (&[0, 1, 2, 4, 8], 2, &[0, 1, 2]));
        let points: Vec<u64> = points.into_iter().collect();
        let mut removal = Removal {
            run: &run,
            oracle: &oracle,
            original: &original,
            before: &before,
            attempts: &mut attempts,
            looked: Extent {
                of_points: points.len() as u64,
                ..Extent::default()
            },
            seed: self.seed,
        };
        let found = removal.try_points(&spread(&points, POINTS));
        let looked = removal.looked;
        match found {
            Ok(Some(need)) => SiteOutcome::Needed(need),
            Ok(None) => SiteOutcome::NotShown(looked),
            Err(why) => SiteOutcome::Unknown(why, looked),
        }
    }
}

fn removable(sites: Vec<u64>, places: &[usize], looked: Extent) -> TogetherRemovable {
    TogetherRemovable {
        sites,
        syncs: places.len() as u64,
        states: looked.states,
        points: looked.points,
        of_points: looked.of_points,
    }
}

/// A run without some syncs.
struct Removal<'t, 'r> {
    run: &'t EditedRun,
    oracle: &'t Oracle<'t>,
    /// Over the run with them.
    original: &'t Oracle<'t>,
    before: &'t [Index<'t>],
    attempts: &'t mut Attempts<'r>,
    looked: Extent,
    seed: u64,
}

/// A state of the run without the syncs, with what the run with them could have left at most of its losses.
struct StatePair {
    without: (Crash, Tree),
    with: (Crash, Tree),
}

impl Removal<'_, '_> {
    /// The first promise that breaks because of the syncs that are gone.
    fn try_points(&mut self, points: &[u64]) -> Result<Option<SyncNeed>, &'static str> {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<StatePair> = Vec::new();
        for before in points {
            for model in 0..self.oracle.models.len() {
                waiting.extend(self.pairs(model, *before, &mut seen));
                if waiting.len() >= BATCH
                    && let Some(need) = self.judge(std::mem::take(&mut waiting))?
                {
                    return Ok(Some(need));
                }
                if !self.attempts.goes_on() {
                    return Err(self.attempts.ended.unwrap_or_default());
                }
            }
            self.looked.points += 1;
        }
        self.judge(waiting)
    }

    /// The states at a point that the run with the syncs could not have left.
    fn pairs(
        &self,
        model: usize,
        before: u64,
        seen: &mut BTreeSet<(u64, usize, u128)>,
    ) -> Vec<StatePair> {
        let mut pairs = Vec::new();
        let with = self.before[model].window(before as usize);
        for point in self.run.points(before) {
            let window = self.oracle.recorded_window(model, point);
            let losses = self.losses(&window, &with);
            for without in states_at(&window, (model, point), losses, seen) {
                let loss = self.run.loss_before(&without.0.loss);
                let state = with.state(&loss);
                // What the run with the syncs could have left says nothing of them.
                if state.tree.digest() == without.1.digest() {
                    continue;
                }
                let crash = Crash {
                    point: before,
                    loss: with.legalize(&loss),
                    lost: state.lost,
                    ..without.0.clone()
                };
                pairs.push(StatePair {
                    without,
                    with: (crash, state.tree),
                });
            }
        }
        pairs
    }

    /// What the syncs covered is lost: each alone, all of it, with all that came later; then others.
    fn losses(&self, window: &Window<'_>, with: &Window<'_>) -> Vec<LossSet> {
        let with = with.pending();
        let covered = |id: &usize| {
            let before = self.run.id_before(*id);
            before.is_none_or(|before| with.binary_search(&before).is_err())
        };
        let pending = window.pending();
        let newly: Vec<usize> = pending.iter().copied().filter(covered).collect();
        let lost = |lost: BTreeSet<usize>| LossSet {
            lost,
            ..LossSet::default()
        };
        let Some(first) = newly.first() else {
            return Vec::new();
        };
        let singles = newly
            .iter()
            .rev()
            .take(SINGLES)
            .map(|id| lost([*id].into()));
        let mut all: Vec<LossSet> = singles.collect();
        all.push(lost(newly.iter().copied().collect()));
        all.push(lost(
            pending.iter().copied().filter(|id| id >= first).collect(),
        ));
        all.push(lost(pending.iter().copied().collect()));
        all.extend(window.loss_sets(SUBSETS, self.seed, LOSS_SETS));
        all
    }

    /// The first of these that breaks a promise, where the run with the syncs does not break the same one.
    fn judge(&mut self, pairs: Vec<StatePair>) -> Result<Option<SyncNeed>, &'static str> {
        let (without, with): (Vec<_>, Vec<_>) = pairs
            .into_iter()
            .map(|pair| (pair.without, pair.with))
            .unzip();
        let judged = self.attempts.judge(self.oracle, without);
        self.looked.states += judged.len() as u64;
        for (one, with) in judged.into_iter().zip(with) {
            let Some(finding) = one.findings.first() else {
                continue;
            };
            let kinds = |findings: &[plugpull_workloads::Finding]| -> BTreeSet<FindingKind> {
                findings.iter().map(|finding| finding.kind).collect()
            };
            let sound = self.attempts.judge(self.original, vec![with]);
            let Some(sound) = sound.first() else {
                break;
            };
            if kinds(&one.findings).is_subset(&kinds(&sound.findings)) {
                continue;
            }
            let (kind, sentence) = (finding.kind, finding.sentence.clone());
            let shows = |one: &JudgedState| one.findings.iter().any(|finding| finding.kind == kind);
            let crash = self.attempts.smaller(self.oracle, &one.crash, shows);
            let model = self.oracle.models[crash.model];
            let names = crash.lost.iter();
            let missing: BTreeSet<String> = names
                .map(|lost| format!("{} of {}", lost.what, lost.path))
                .collect();
            return Ok(Some(SyncNeed {
                kind,
                sentence,
                model: model.name.to_owned(),
                point: self.run.point_before(crash.point),
                missing: missing.into_iter().take(3).collect(),
                alone: 0,
                tried_alone: 0,
            }));
        }
        match self.attempts.ended {
            Some(why) => Err(why),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::fs::{Op, Record};

    use super::*;

    /// Four syncs of one file, of which every other one is called from elsewhere.
    #[test]
    fn other_callers_are_other_sites() {
        let record = |seq: u64| Record {
            seq,
            nanos: seq,
            pid: 1,
            path: "log".into(),
            op: Op::Sync {
                ino: 2,
                data_only: false,
                dir: false,
            },
        };
        let log = Log::of(Tree::new(0, 0, 0), (0..4).map(record).collect(), Vec::new());
        let frame = |name: &str| serde_json::json!({"module": 0, "offset": 1, "calls": [{"function": name}]});
        let made = |seq: u64| serde_json::json!({"seq": seq, "how": "called", "stack": seq % 2});
        let stacks: Stacks = serde_json::from_value(serde_json::json!({
            "modules": [{"path": "/bin/a"}],
            "frames": [frame("commit"), frame("checkpoint")],
            "stacks": [{"call": "fsync", "frames": [0]}, {"call": "fsync", "frames": [1]}],
            "operations": [made(0), made(1), made(2), made(3)],
        }))
        .expect("stacks");
        let found = |stacks| -> Vec<(String, Vec<usize>)> {
            let by = |site: &Site| site.made_by.as_ref().map(MadeBy::describe);
            let sites = sites(&log, stacks).into_iter();
            sites
                .map(|site| (by(&site).unwrap_or_default(), site.places))
                .collect()
        };
        let both = [
            ("commit".into(), vec![0, 2]),
            ("checkpoint".into(), vec![1, 3]),
        ];
        assert_eq!(found(Some(&stacks)), both);
        assert_eq!(found(None), [(String::new(), vec![0, 1, 2, 3])]);
    }
}
