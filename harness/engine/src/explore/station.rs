//! Where crash states are tried: a sandbox each, several side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use plugpull_crashsim::fs::{Log, Tree};
use plugpull_faults::control::Injector;
use plugpull_sandbox::pin;
use plugpull_targets::Target;
use plugpull_workloads::{Observed, Start};

use crate::trial::storage::Storage;
use crate::trial::{Acked, SandboxHost, restart};

/// The number of the first process of a trial: the same each time, because programs write it into
/// lock files; and another than the recorded one had, as after a reboot.
const FIRST_PID: i32 = 1000;

/// Held while a target runs. Stations that share one take turns: while the target of one starts and
/// is read, the others take down what they had and set up what comes next.
pub type Turn = Arc<Mutex<()>>;

/// A sandbox in which a target is started on one state after the other.
pub struct Station {
    /// Who may use its CPU now.
    pub turn: Turn,
    /// Its sandbox.
    pub host: Arc<SandboxHost>,
    /// The program under test.
    pub target: Arc<dyn Target>,
    /// How long a start may take before it counts as hung.
    pub start_limit: Duration,
}

/// What a target made of a state, and what it said.
#[derive(Clone)]
pub struct Tried {
    pub observed: Observed,
    pub output: String,
    pub took: Duration,
}

impl Station {
    /// Starts the target on this content, reads everything back and kills it; with `again` it is
    /// started and read a second time. A target with a check of its own is asked for what was
    /// `acked`. Also what the first start did to the disk.
    pub fn observe(&self, tree: &Tree, again: bool, acked: &Acked) -> anyhow::Result<(Tried, Log)> {
        let began = Instant::now();
        let sandbox = &self.host.sandbox;
        let fs = Injector::new(tree.clone(), began, 0, 0);
        let mut storage = Storage::crash(sandbox, fs.clone(), self.host.cpu)?;
        self.host.begin(FIRST_PID);
        let mut observed = Observed::default();
        let turn = self.turn.lock();
        let said = self.look(acked, &mut observed)?;
        let turn = again.then_some(turn);
        sandbox.kill_all()?;
        let log = fs.take_log();
        let mut output = self
            .host
            .take_last()
            .map(|child| child.output())
            .unwrap_or_default();
        output.push_str(&said);
        if again && matches!(observed.state, Some(Ok(_))) {
            let mut second = Observed::default();
            let said = self.look(acked, &mut second)?;
            sandbox.kill_all()?;
            if let Some(child) = self.host.take_last() {
                output.push_str(&child.output());
            }
            output.push_str(&said);
            observed.second = Some(match (second.start, second.state) {
                (Start::Started, Some(state)) => state,
                (Start::Refused { message }, _) => Err(message),
                (start, _) => Err(format!("{start:?}")),
            });
        }
        drop(turn);
        fs.cut();
        storage.unmount(sandbox)?;
        let tried = Tried {
            observed,
            output,
            took: began.elapsed(),
        };
        Ok((tried, log))
    }

    /// Returns what the target's own check printed, where it has one.
    fn look(&self, acked: &Acked, observed: &mut Observed) -> anyhow::Result<String> {
        let (target, limit) = (&*self.target, self.start_limit);
        Ok(restart::observe(
            target,
            &self.host,
            limit,
            acked.clone(),
            observed,
        )?)
    }
}

/// True for one trial in eight: the target is started and read twice. The content decides, so that
/// it is the same one on every machine.
pub(super) fn twice(key: u128) -> bool {
    key.is_multiple_of(8)
}

/// The name of a trial, its content, and what was acknowledged.
type Job = (u128, Tree, Acked);
/// The name of the trial, what the target made of it, and what it did to the disk.
type Answer = (u128, anyhow::Result<(Tried, Log)>);

/// Stations at work, each in a thread of its own.
pub struct Stations {
    jobs: Option<Sender<Job>>,
    /// What came out, in the order in which it was ready.
    pub results: Receiver<Answer>,
    threads: Vec<JoinHandle<()>>,
}

impl Stations {
    /// Sets the stations to work.
    pub fn start(stations: Vec<Station>) -> Self {
        let (jobs, queue) = bounded::<Job>(stations.len() * 2);
        let (done, results) = unbounded();
        let threads = stations
            .into_iter()
            .map(|station| {
                let (queue, done) = (queue.clone(), done.clone());
                std::thread::spawn(move || {
                    // Without it, it is slower and not wrong.
                    let _ = station.host.cpu.map(pin::this_thread);
                    for (key, tree, acked) in queue {
                        let result = station.observe(&tree, twice(key), &acked);
                        if done.send((key, result)).is_err() {
                            break;
                        }
                    }
                })
            })
            .collect();
        Self {
            jobs: Some(jobs),
            results,
            threads,
        }
    }

    /// Hands a state over; waits while all stations are busy and have one waiting.
    pub fn give(&self, key: u128, tree: Tree, acked: Acked) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send((key, tree, acked));
        }
    }

    /// Ends them after what they were given.
    pub fn finish(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What is known of trials that were made, by [`Acked::key`].
#[derive(Default)]
pub(super) struct Answers {
    known: HashMap<u128, Arc<Tried>>,
    /// Those that minimising made for itself. They are kept apart: which of them a station answers
    /// too, and when, depends on how fast it is, and only a station tells what recovery did.
    beside: HashMap<u128, Arc<Tried>>,
    /// What recovery did to those of them that were not judged yet.
    recoveries: HashMap<u128, Log>,
}

impl Answers {
    /// Keeps a station's answer.
    pub(super) fn note(&mut self, key: u128, tried: Tried) {
        self.known.insert(key, Arc::new(tried));
    }

    /// Keeps an answer that minimising made for itself.
    pub(super) fn note_beside(&mut self, key: u128, tried: Tried) -> Arc<Tried> {
        let tried = Arc::new(tried);
        self.beside.insert(key, tried.clone());
        tried
    }

    /// The answer of a trial, whoever made it.
    pub(super) fn get_any(&self, key: u128) -> Option<Arc<Tried>> {
        self.get(key).or_else(|| self.beside.get(&key).cloned())
    }

    /// Keeps what recovery did in a trial, until it is asked for.
    pub(super) fn note_recovery(&mut self, key: u128, log: Log) {
        self.recoveries.insert(key, log);
    }

    /// What recovery did in a trial; once.
    pub(super) fn take_recovery(&mut self, key: u128) -> Option<Log> {
        self.recoveries.remove(&key)
    }

    /// A station's answer of a trial, if it was made.
    pub(super) fn get(&self, key: u128) -> Option<Arc<Tried>> {
        self.known.get(&key).cloned()
    }
}
