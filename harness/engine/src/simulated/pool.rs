//! Workers that are no threads and no processes: states are tried in the explorer's own thread, and
//! answered in an order that a seed decides.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use plugpull_crashsim::fs::Reads;
use plugpull_workloads::{Call, Entry, FollowUp, History, Observed, Outcome, Stamp, Start};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::files::Files;
use super::recording::on_simulated_clock;
use super::store::{CutOff, Mutants, NoStart, Store};
use crate::explore::{
    Answer, Attempt, CrashDisk, FollowUpPlan, FollowedUp, LifeCall, Reply, Shown, Workers,
    changes_disk, what_counts,
};
use crate::outcome::{HarnessFailed, guard};

/// What becomes of the answers of some states.
pub(crate) type FailsAt = fn(key: u128) -> bool;

/// What comes out now this way and now that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moods {
    /// Nothing.
    None,
    /// Every second recovery is that of the mutant, and the others are sound.
    Recovery,
    /// Every second check says that the store is damaged.
    Check,
}

/// Simulated workers.
pub(crate) struct SimulatedWorkers {
    mutants: Mutants,
    count: usize,
    /// States in which plugpull fails: every second of them by a panic.
    failing: FailsAt,
    moods: Moods,
    /// What is read of files is not noted.
    blind: bool,
    /// The mutants that a forked store has, where stores are forked.
    forked: Option<Mutants>,
    /// Stores are forked no more.
    started: AtomicBool,
    state: Mutex<Waiting>,
}

struct Waiting {
    /// Each with whether what is read of it is noted.
    disks: VecDeque<(CrashDisk, bool)>,
    rng: ChaCha8Rng,
    /// How many states were tried, and how often each.
    tried: u64,
    times: HashMap<u128, u64>,
}

impl SimulatedWorkers {
    /// So many workers; `seed` decides who is first.
    pub(crate) fn new(mutants: impl Into<Mutants>, count: usize, seed: u64) -> Self {
        Self {
            mutants: mutants.into(),
            count,
            failing: |_| false,
            moods: Moods::None,
            blind: false,
            forked: None,
            started: AtomicBool::new(false),
            state: Mutex::new(Waiting {
                disks: VecDeque::new(),
                rng: ChaCha8Rng::seed_from_u64(seed),
                tried: 0,
                times: HashMap::new(),
            }),
        }
    }

    /// The same, in which plugpull fails in some states.
    pub(crate) fn failing(self, failing: FailsAt) -> Self {
        Self { failing, ..self }
    }

    /// The same, where the same disk comes out now this way and now that.
    pub(crate) fn moody(self, moods: Moods) -> Self {
        Self { moods, ..self }
    }

    /// The same, which miss that files are read.
    pub(crate) fn blind(self) -> Self {
        Self {
            blind: true,
            ..self
        }
    }

    /// The same, which fork stores with these mutants where the others are started.
    pub(crate) fn forking(self, mutants: impl Into<Mutants>) -> Self {
        Self {
            forked: Some(mutants.into()),
            ..self
        }
    }

    /// How many states were tried.
    pub(crate) fn tried(&self) -> u64 {
        self.state.lock().tried
    }

    fn answer(&self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed> {
        let odd = {
            let mut state = self.state.lock();
            state.tried += 1;
            // Whoever else is being tried meanwhile: the same disk comes out in turn.
            let times = state.times.entry(disk.key).or_default();
            *times += 1;
            (*times + disk.key as u64) % 2 == 1
        };
        guard(|| {
            if (self.failing)(disk.key) {
                assert!(disk.key.is_multiple_of(2), "the simulated worker panics");
                return Err(HarnessFailed::new("the simulated sandbox fails"));
            }
            let mutants = match self.moods == Moods::Recovery && !odd {
                true => Mutants::default(),
                false => self.mutants,
            };
            let mut attempt = attempt(disk, mutants);
            if self.moods == Moods::Check && odd {
                attempt.observed.integrity = Some(Err("a mood".into()));
            }
            Ok(attempt)
        })
    }
}

impl SimulatedWorkers {
    /// What a worker answers: of a forked store where it may.
    fn worked(&self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed> {
        let forked = self
            .forked
            .filter(|_| !self.started.load(Ordering::Relaxed));
        let forked = forked.map(|mutants| Attempt {
            forked: true,
            ..attempt(disk, mutants)
        });
        what_counts(disk, forked, || self.answer(disk))
    }
}

impl Workers for SimulatedWorkers {
    fn count(&self) -> usize {
        self.count
    }

    fn submit(&self, disk: CrashDisk) {
        self.state.lock().disks.push_back((disk, false));
    }

    fn submit_noting(&self, disk: CrashDisk) {
        self.state.lock().disks.push_back((disk, true));
    }

    fn reply(&self, wait: Duration) -> Reply {
        let mut state = self.state.lock();
        // Nothing may be there yet, unless it is waited for.
        let busy = state.disks.len().min(self.count);
        if busy == 0 || wait.is_zero() && state.rng.random_bool(0.6) {
            return Reply::Nothing;
        }
        // As many as there are workers are under way; any of them may be the first.
        let first = state.rng.random_range(0..busy);
        let Some((disk, notes)) = state.disks.remove(first) else {
            return Reply::Nothing;
        };
        drop(state);
        Reply::Answer(Box::new(Answer {
            key: disk.key,
            result: match notes {
                true => self.answer(&disk).map(|attempt| Attempt {
                    recovery: None,
                    reads: attempt.reads.map(|reads| match self.blind {
                        true => Reads::default(),
                        false => reads,
                    }),
                    ..attempt
                }),
                false => self.worked(&disk),
            },
        }))
    }

    fn stop_forking(&self, _why: Option<&str>) {
        self.started.store(true, Ordering::Relaxed);
    }

    fn try_now(&self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed> {
        self.answer(disk)
    }

    fn check_now(&self, disk: &CrashDisk) -> Result<Option<Observed>, HarnessFailed> {
        Ok(Some(self.answer(disk)?.observed))
    }
}

/// Starts the store on what a crash left, reads it, and follows it up.
pub(super) fn attempt(disk: &CrashDisk, mutants: Mutants) -> Attempt {
    let mut files = Files::new(disk.tree.clone());
    files.note_reads();
    let (observed, mut opened) = start(files, mutants);
    let files = match &mut opened {
        Ok(store) => store.files(),
        Err(files) => files,
    };
    let reads = files.take_noted();
    let log = files.take_log();
    let recovery =
        changes_disk(&log).then(|| on_simulated_clock(disk.tree.clone(), &log, Vec::new()));
    let follow_up = match (opened, &disk.then) {
        (Ok(store), Some(plan)) => Some(follow_up(store, &observed, plan, mutants)),
        _ => None,
    };
    Attempt {
        observed,
        output: String::new(),
        took: Duration::ZERO,
        recovery,
        forked: false,
        differs: None,
        reads,
        follow_up,
    }
}

/// Does with a store that was read back what is wanted, and starts it again.
fn follow_up(
    mut store: Store,
    first: &Observed,
    plan: &FollowUpPlan,
    mutants: Mutants,
) -> FollowedUp {
    let follow_up = plan.follow_up;
    let mut calls = History::default();
    match follow_up {
        FollowUp::CleanStop => store.end_in_order(),
        FollowUp::SecondRestart => {}
        FollowUp::SecondLife => calls = live(&mut store, &plan.life),
    }
    let (then, _) = start(store.into_files(), mutants);
    if follow_up != FollowUp::SecondLife {
        return FollowedUp::again(follow_up, first, then);
    }
    let observed = Box::new(then);
    FollowedUp {
        follow_up,
        shown: Shown::Life { calls, observed },
    }
}

/// Commits these transactions, one after the other.
fn live(store: &mut Store, life: &[LifeCall]) -> History {
    let mut moments = 0;
    let mut now = || {
        moments += 1;
        Stamp {
            seq: moments,
            nanos: moments,
        }
    };
    let entry = |one: &LifeCall| {
        let Call::Txn(txn) = &one.call else {
            panic!("the simulated store has no barriers");
        };
        let invoked = now();
        store.commit(&[&**txn], CutOff::Never, |_| ());
        Entry {
            client: one.client,
            call: one.call.clone(),
            invoked,
            done: Some((now(), Outcome::Ok)),
        }
    };
    History {
        entries: life.iter().map(entry).collect(),
    }
}

/// What a store shows that is started on these files; the store, or the files where it is not up.
fn start(files: Files, mutants: Mutants) -> (Observed, Result<Store, Files>) {
    match Store::open(files, mutants) {
        Ok(store) => (Observed::holding(store.state().clone()), Ok(store)),
        Err(failed) => {
            let (why, files) = *failed;
            let start = match why {
                NoStart::Refused(message) => Start::Refused { message },
                NoStart::Hung => Start::Hung {
                    waited: Duration::from_secs(1),
                },
            };
            let observed = Observed {
                start,
                ..Observed::default()
            };
            (observed, Err(files))
        }
    }
}
