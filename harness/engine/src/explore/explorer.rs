//! The exploration itself: hands states to the stations, judges the answers in the order of the
//! states, and crashes the recoveries in turn.
//!
//! Everything is decided in the order in which states are made, never in the order in which
//! stations answer, so that the result is the same with any number of them. Recoveries are known
//! only when their states were tried, so the states of the recorded run are tried in rounds of a
//! fixed number, and each round is followed by the recoveries that it brought to light.
//!
//! A shard walks through the states of the recorded run as all others do, and tries its own. It
//! crashes the recoveries that it saw itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use plugpull_crashsim::fs::{Log, Tree};
use plugpull_reports::{ExploredTrial, PointCoverage, Record, ReportedFinding, Trial, TrialRecord};
use plugpull_workloads::{FailureClass, FindingKind, Judgement, Verdict};

use super::Rules;
use super::cases::{Case, Next, Order};
use super::extent::{Ended, Limits, Minimised, RecoveryCoverage, Sink};
use super::findings::{Group, Groups, signs};
use super::pace::Pace;
use super::scene::{Crash, Scene, changes};
use super::shrink::{Court, Shrink, tries};
use super::station::{Answers, Station, Stations, Tried};

/// Different states of the recorded run in a round, at most: the first rounds are shorter, so that
/// what they teach counts soon.
const ROUND: u64 = 64;
/// Those in the first round.
const FIRST_ROUND: u64 = 8;
/// Recoveries of one kind that are crashed.
const SAME_KIND: u32 = 2;
/// Different states that one recovery gives at most.
const OF_ONE_RECOVERY: usize = 16;
/// How often a wait for an answer looks whether the user wants it to end.
const LOOK: Duration = Duration::from_millis(50);
/// For so many different states of the recorded run in a round there are three of recoveries, so
/// that the recorded run comes on.
const FOR_THREE: u64 = 8;

/// An exploration under way.
pub struct Explorer<'a> {
    /// What decides whether a state breaks a promise.
    pub court: &'a Court<'a>,
    /// Where minimising happens.
    pub station: &'a Station,
    /// The report so far.
    sink: &'a mut dyn Sink,
    /// Takes every event.
    groups: Groups,
    answers: Answers,
    /// Trials of the recorded run, of all shards.
    seen: HashSet<u128>,
    /// Trials of recoveries that are not among these.
    recovered: HashSet<u128>,
    /// Contents that have a trial in the report: by model, and whether they are of a recovery.
    reported: HashSet<(usize, bool, u128)>,
    /// True when there are other shards.
    shares: bool,
    /// How many states were minimised for the shards to be merged.
    minimised: u64,
    /// How many states had been tried when the sink was last given the coverage.
    covered: u64,
    /// What failing states lacked of which one was made small and explains the others.
    explained: HashSet<(FindingKind, u32, BTreeSet<String>)>,
    /// When the time is over, for states and for making findings small.
    until: (Option<Instant>, Option<Instant>),
    pace: Pace,
    /// How many recoveries of each kind were crashed.
    kinds: HashMap<BTreeSet<(&'static str, String)>, u32>,
    /// Recoveries to crash, in the order in which they were judged.
    scenes: VecDeque<Rc<Scene>>,
    recoveries: RecoveryCoverage,
    /// States of the recorded run that were judged and that broke a promise, per model.
    counted: Vec<(u64, u64)>,
    /// The same per crash point.
    at: BTreeMap<u64, PointCoverage>,
    /// Points of the recorded run that were seen to fail with nothing lost, in this round.
    failing: BTreeSet<usize>,
    /// The point and depth of the last case, and what was said of the contents there.
    judged: Judged,
    /// Different states that were tried.
    given: u64,
    /// Those of other shards.
    others: u64,
    number: u64,
}

type Judged = ((u64, u32), HashMap<(FailureClass, u128), Judgement>);

impl<'a> Explorer<'a> {
    /// Nothing is tried yet. `shares` when there are other shards; `stations` work
    /// side by side.
    pub fn new(
        court: &'a Court<'a>,
        station: &'a Station,
        shares: bool,
        stations: usize,
        sink: &'a mut dyn Sink,
    ) -> Self {
        Self {
            court,
            station,
            sink,
            groups: Groups::default(),
            answers: Answers::default(),
            seen: HashSet::new(),
            recovered: HashSet::new(),
            shares,
            minimised: 0,
            covered: 0,
            explained: HashSet::new(),
            until: (None, None),
            pace: Pace::new(stations),
            reported: HashSet::new(),
            kinds: HashMap::new(),
            scenes: VecDeque::new(),
            recoveries: RecoveryCoverage::default(),
            counted: vec![(0, 0); court.rules.len()],
            at: BTreeMap::new(),
            failing: BTreeSet::new(),
            judged: Judged::default(),
            given: 0,
            others: 0,
            number: 0,
        }
    }

    /// Tries states until there are none left or a limit is reached.
    pub fn go(
        &mut self,
        order: &mut Order<'_>,
        stations: &Stations,
        limits: &Limits<'_>,
    ) -> anyhow::Result<Ended> {
        self.until = (limits.until, limits.small_until);
        let mut complete = false;
        let mut round = FIRST_ROUND;
        while !complete && !self.over(stations, limits)? {
            let mut waiting = VecDeque::new();
            let end = self.given + self.others + round;
            while self.given + self.others < end && !self.over(stations, limits)? {
                let Some(Next { case, tree, own }) = order.next(&mut self.seen) else {
                    complete = true;
                    break;
                };
                if own {
                    let tree = tree.filter(|_| !self.recovered.contains(&case.key));
                    self.give(case, tree, stations, &mut waiting, limits)?;
                } else {
                    self.others += u64::from(tree.is_some());
                }
            }
            self.finish(stations, &mut waiting, limits)?;
            // A part of a round, or when there is nothing else all there is.
            while !self.scenes.is_empty() && !self.over(stations, limits)? {
                for (case, tree) in self.of_recoveries(3 * round / FOR_THREE) {
                    if self.over(stations, limits)? {
                        break;
                    }
                    self.give(case, Some(tree), stations, &mut waiting, limits)?;
                }
                self.finish(stations, &mut waiting, limits)?;
                if !complete {
                    break;
                }
            }
            // Not before: what is judged in the middle of a round depends on the stations.
            for point in std::mem::take(&mut self.failing) {
                order.defer(point);
            }
            round = ROUND.min(round * 2);
            // Each time twice as much: a run file that ends early has most of it, and is no longer
            // for it.
            if self.given >= 2 * self.covered {
                self.covered = self.given;
                let so_far = self.ended(order, false, limits);
                self.sink.covered(&so_far);
            }
        }
        Ok(self.ended(order, complete, limits))
    }

    /// How far it came.
    fn ended(&self, order: &Order<'_>, complete: bool, limits: &Limits<'_>) -> Ended {
        Ended {
            tried: self.given,
            points: order.point_count() as u64,
            coverage: order.coverage.clone(),
            recoveries: self.recoveries,
            judged: self.counted.clone(),
            at: self.at.values().copied().collect(),
            complete,
            interrupted: limits.stop.load(Ordering::Relaxed),
        }
    }

    /// True when no more states are to be tried: none are left to try, or there is no time for one.
    /// Waits for answers where that makes room.
    fn over(&mut self, stations: &Stations, limits: &Limits<'_>) -> anyhow::Result<bool> {
        while let Ok((key, answer)) = stations.results.try_recv() {
            self.note(key, answer?);
        }
        loop {
            let left = limits.left();
            if limits.stop.load(Ordering::Relaxed)
                || Some(self.given + self.others) == limits.states
                || left.is_zero()
            {
                return Ok(true);
            }
            if self.pace.fits(left) {
                return Ok(false);
            }
            if self.pace.idle() {
                return Ok(true);
            }
            match stations.results.recv_timeout(left.min(LOOK)) {
                Ok((key, answer)) => self.note(key, answer?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(true),
            }
        }
    }

    /// Hands a state out, and judges what is ready.
    fn give(
        &mut self,
        case: Case,
        tree: Option<Tree>,
        stations: &Stations,
        waiting: &mut VecDeque<Case>,
        limits: &Limits<'_>,
    ) -> anyhow::Result<()> {
        if let Some(tree) = tree {
            let acked = self.court.acked.at(case.crash.first().point);
            stations.give(case.key, tree, acked);
            self.pace.given();
            self.given += 1;
        }
        waiting.push_back(case);
        while let Ok((key, answer)) = stations.results.try_recv() {
            self.note(key, answer?);
        }
        self.judge_ready(waiting, limits)
    }

    /// Waits for everything that was handed out.
    fn finish(
        &mut self,
        stations: &Stations,
        waiting: &mut VecDeque<Case>,
        limits: &Limits<'_>,
    ) -> anyhow::Result<()> {
        self.judge_ready(waiting, limits)?;
        while !waiting.is_empty() {
            let (key, answer) = stations.results.recv()?;
            self.note(key, answer?);
            self.judge_ready(waiting, limits)?;
        }
        Ok(())
    }

    fn note(&mut self, key: u128, (tried, log): (Tried, Log)) {
        self.pace.answered(tried.took);
        self.answers.note(key, tried);
        if changes(&log) {
            self.answers.note_recovery(key, log);
        }
    }

    fn judge_ready(
        &mut self,
        waiting: &mut VecDeque<Case>,
        limits: &Limits<'_>,
    ) -> anyhow::Result<()> {
        while let Some(tried) = waiting.front().and_then(|case| self.answers.get(case.key)) {
            if let Some(case) = waiting.pop_front() {
                let failed = self.judge(&case, &tried)?;
                self.consider_recovery(case, failed, limits.depth);
            }
        }
        Ok(())
    }

    /// Keeps a recovery to be crashed, unless it failed by itself or enough of its kind were.
    fn consider_recovery(&mut self, case: Case, failed: bool, depth: u32) {
        let Some(log) = self.answers.take_recovery(case.key) else {
            return;
        };
        self.recoveries.seen += 1;
        if failed || case.crash.depth() >= depth {
            return;
        }
        let scene = Scene {
            after: case.crash,
            position: case.position,
            digest: case.digest,
            log,
        };
        let count = self.kinds.entry(scene.kind()).or_default();
        if *count < SAME_KIND {
            *count += 1;
            self.scenes.push_back(Rc::new(scene));
        }
    }

    /// New states of the recoveries that wait to be crashed, about so many.
    fn of_recoveries(&mut self, wanted: u64) -> Vec<(Case, Tree)> {
        let mut all = Vec::new();
        while (all.len() as u64) < wanted
            && let Some(scene) = self.scenes.pop_front()
        {
            let before = all.len();
            let rules = self.court.rules;
            let indexes = Rules::indexes(rules, &scene.log, self.court.device);
            let mut order = Order::of_recovery(
                &scene,
                rules,
                &indexes,
                &self.court.acked,
                scene.after.point,
            );
            while all.len() < before + OF_ONE_RECOVERY
                && let Some(Next { case, tree, .. }) = order.next(&mut self.recovered)
            {
                let tree = tree.filter(|_| !self.seen.contains(&case.key));
                all.extend(tree.map(|tree| (case, tree)));
            }
            self.recoveries.crashed += 1;
            self.recoveries.distinct += (all.len() - before) as u64;
        }
        all
    }

    /// Counts a state of the recorded run that was judged.
    fn count(&mut self, crash: &Crash, failed: bool) {
        if crash.depth() > 0 {
            return;
        }
        let (judged, broken) = &mut self.counted[crash.rules];
        *judged += 1;
        *broken += u64::from(failed);
        let at = self.at.entry(crash.point).or_insert(PointCoverage {
            point: crash.point,
            tried: 0,
            failed: 0,
        });
        at.tried += 1;
        at.failed += u64::from(failed);
        // Shards keep to one order, and each knows only its own failures.
        if failed && crash.lost.is_empty() && !self.shares {
            self.failing.insert(crash.point as usize);
        }
    }

    /// What is to be said of a case. Most models give the same contents at a point, one after the
    /// other, and owe the same.
    fn judgement(&mut self, case: &Case, tried: &Tried) -> Judgement {
        let crash = &case.crash;
        let place = (crash.first().point, crash.depth());
        if self.judged.0 != place {
            self.judged = (place, HashMap::new());
        }
        let class = self.court.rules[crash.rules].class();
        let known = self.judged.1.entry((class, case.key));
        known
            .or_insert_with(|| self.court.judge(crash, tried))
            .clone()
    }

    /// Judges a case, reports it and keeps what is new. True when a promise was broken.
    fn judge(&mut self, case: &Case, tried: &Tried) -> anyhow::Result<bool> {
        let crash = &case.crash;
        let judgement = self.judgement(case, tried);
        let rules = self.court.rules[crash.rules];
        let depth = crash.depth();
        let fresh = self.reported.insert((crash.rules, depth > 0, case.key));
        let failed = !judgement.findings.is_empty();
        self.count(crash, failed);
        // Before the first ack there is little to lose; that is no failure of the measurement.
        if !failed && (!fresh || judgement.verdict == Verdict::NotMeasured) {
            return Ok(false);
        }
        self.number += 1;
        let during = match crash.depth() {
            0 => "",
            _ => ", then crashed again during recovery",
        };
        let mut trial = Trial {
            number: self.number,
            fault: rules.name.to_string(),
            spec: format!("{}@{}", rules.name, crash.first().point),
            seed: 0,
            class: rules.class(),
            hit: true,
            what: format!("{}{during}", missing(crash.first().lost.len())),
            acked: self.court.acked_at(crash.first().point) as u64,
            operations: crash.first().point,
            verdict: judgement.verdict,
            why: judgement.why,
            recovery_us: tried
                .observed
                .recovery
                .iter()
                .map(|t| t.as_micros() as u64)
                .collect(),
            took_us: tried.took.as_micros() as u64,
            findings: Vec::new(),
        };
        let signs = match failed {
            true => signs(crash, self.court),
            false => BTreeSet::new(),
        };
        let (mut minimised, mut counts) = (Vec::new(), Vec::new());
        for finding in judgement.findings {
            let (id, index) = self.count_finding(case, finding.kind, &signs)?;
            counts.extend(id);
            minimised.push(index);
            trial.findings.push(ReportedFinding {
                finding,
                trial: self.number,
                count: 1,
                repeat: String::new(),
                output: Vec::new(),
                evidence: None,
            });
        }
        let explored = ExploredTrial {
            position: case.position,
            depth,
            signs: signs.into_iter().collect(),
            counts,
            minimised: if self.shares { minimised } else { Vec::new() },
        };
        self.sink.emit(Record::Trial(Box::new(TrialRecord {
            trial,
            slot: None,
            explored: Some(explored),
        })));
        Ok(failed)
    }

    /// Counts a finding to its cause, and minimises it where that is new: the number of the finding
    /// that it counts to. Of a shard also where no trial that lacks the same was minimised, for to
    /// the other shards it may be new; then also the place of what it was minimised to.
    fn count_finding(
        &mut self,
        case: &Case,
        kind: FindingKind,
        signs: &BTreeSet<String>,
    ) -> anyhow::Result<(Option<u64>, Option<u64>)> {
        let depth = case.crash.depth();
        let known = self.groups.count(signs, kind, depth);
        let known_id = known.map(|known| known as u64);
        let alike = (kind, depth, signs.clone());
        let for_others = self.shares && !self.explained.contains(&alike);
        let late = self.until.0.is_some_and(|until| Instant::now() >= until);
        if known.is_some() && (!for_others || late) {
            return Ok((known_id, None));
        }
        let mut shrink = Shrink {
            court: self.court,
            station: self.station,
            answers: &mut self.answers,
            tries: tries(),
            until: self.until.1,
            pace: &self.pace,
        };
        let Some(small) = shrink.case(case, kind)? else {
            return Ok((known_id, None));
        };
        let group = Group::of(small, self.number, self.court);
        let mut index = None;
        if self.shares {
            if group.explains(signs) {
                self.explained.insert(alike);
            }
            index = Some(self.minimised);
            self.minimised += 1;
            self.sink.minimised(&Minimised {
                id: None,
                index,
                group: &group,
            });
        }
        if known.is_some() {
            return Ok((known_id, index));
        }
        let (id, new) = self.groups.add(group);
        if new {
            self.sink.minimised(&Minimised {
                id: Some(id as u64),
                index: None,
                group: &self.groups.all[id],
            });
        }
        Ok((Some(id as u64), index))
    }
}

/// How much is missing, in words.
fn missing(changes: usize) -> String {
    match changes {
        0 => "nothing missing".into(),
        1 => "1 change missing".into(),
        n => format!("{n} changes missing"),
    }
}
