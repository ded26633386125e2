//! Workers that are no threads and no processes: states are tried in the explorer's own thread, and
//! answered in an order that a seed decides.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use plugpull_workloads::{Observed, Start};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::files::Files;
use super::recording::on_simulated_clock;
use super::store::{Mutant, NoStart, Store};
use crate::explore::{Answer, Attempt, CrashDisk, Reply, Workers, changes_disk};
use crate::outcome::{HarnessFailed, guard};

/// What becomes of the answers of some states.
pub(crate) type Failing = fn(key: u128) -> bool;

/// Simulated workers.
pub(crate) struct SimulatedWorkers {
    mutant: Option<Mutant>,
    count: usize,
    /// States in which plugpull fails: every second of them by a panic.
    failing: Failing,
    state: RefCell<Waiting>,
}

struct Waiting {
    disks: VecDeque<CrashDisk>,
    rng: ChaCha8Rng,
    /// How many states were tried.
    tried: u64,
}

impl SimulatedWorkers {
    /// So many workers; `seed` decides who is first.
    pub(crate) fn new(mutant: Option<Mutant>, count: usize, seed: u64) -> Self {
        Self {
            mutant,
            count,
            failing: |_| false,
            state: RefCell::new(Waiting {
                disks: VecDeque::new(),
                rng: ChaCha8Rng::seed_from_u64(seed),
                tried: 0,
            }),
        }
    }

    /// The same, in which plugpull fails in some states.
    pub(crate) fn failing(self, failing: Failing) -> Self {
        Self { failing, ..self }
    }

    /// How many states were tried.
    pub(crate) fn tried(&self) -> u64 {
        self.state.borrow().tried
    }

    fn answer(&self, disk: &CrashDisk, twice: bool) -> Result<Attempt, HarnessFailed> {
        self.state.borrow_mut().tried += 1;
        guard(|| {
            if (self.failing)(disk.key) {
                assert!(disk.key.is_multiple_of(2), "the simulated worker panics");
                return Err(HarnessFailed::new("the simulated sandbox fails"));
            }
            Ok(attempt(disk, twice, self.mutant))
        })
    }
}

impl Workers for SimulatedWorkers {
    fn count(&self) -> usize {
        self.count
    }

    fn submit(&self, disk: CrashDisk) {
        self.state.borrow_mut().disks.push_back(disk);
    }

    fn reply(&self, wait: Duration) -> Reply {
        let mut state = self.state.borrow_mut();
        // Nothing may be there yet, unless it is waited for.
        let busy = state.disks.len().min(self.count);
        if busy == 0 || wait.is_zero() && state.rng.random_bool(0.6) {
            return Reply::Nothing;
        }
        // As many as there are workers are under way; any of them may be the first.
        let first = state.rng.random_range(0..busy);
        let Some(disk) = state.disks.remove(first) else {
            return Reply::Nothing;
        };
        drop(state);
        Reply::Answer(Box::new(Answer {
            key: disk.key,
            result: self.answer(&disk, disk.read_twice()),
        }))
    }

    fn try_now(&self, disk: &CrashDisk, twice: bool) -> Result<Attempt, HarnessFailed> {
        self.answer(disk, twice)
    }
}

/// Starts the store on what a crash left and reads it; where `twice`, a second time.
fn attempt(disk: &CrashDisk, twice: bool, mutant: Option<Mutant>) -> Attempt {
    let (mut observed, mut files) = start(Files::new(disk.tree.clone()), mutant);
    let log = files.take_log();
    let recovery =
        changes_disk(&log).then(|| on_simulated_clock(disk.tree.clone(), &log, Vec::new()));
    if twice && matches!(observed.state, Some(Ok(_))) {
        let (second, _) = start(files, mutant);
        observed.second = Some(match (second.start, second.state) {
            (Start::Started, Some(state)) => state,
            (start, _) => Err(format!("{start:?}")),
        });
    }
    Attempt {
        observed,
        output: String::new(),
        took: Duration::ZERO,
        recovery,
    }
}

fn start(files: Files, mutant: Option<Mutant>) -> (Observed, Files) {
    match Store::open(files, mutant) {
        Ok(store) => {
            let state = store.state().clone();
            (Observed::holding(state), store.into_files())
        }
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
            (observed, files)
        }
    }
}
