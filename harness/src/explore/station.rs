//! Where crash states are tried: a sandbox each, several side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use plugpull_faults::crashfs::{CrashFs, Log, Tree};
use plugpull_targets::Target;
use plugpull_workloads::{Observed, Start};

use crate::trial::storage::Storage;
use crate::trial::{PROBE, SandboxHost, restart};

/// The number of the first process of a trial: the same each time, because programs write it into
/// lock files; and another than the recorded one had, as after a reboot.
const FIRST_PID: i32 = 1000;

/// A sandbox in which a target is started on one state after the other.
pub(crate) struct Station {
    pub(crate) host: Arc<SandboxHost>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) start_limit: Duration,
}

/// What a target made of a state, and what it said.
#[derive(Clone)]
pub(crate) struct Tried {
    pub(crate) observed: Observed,
    pub(crate) output: String,
    pub(crate) took: Duration,
}

impl Station {
    /// Starts the target on this content, reads everything back and kills it; with `again` it is
    /// started and read a second time. Also what the first start did to the disk.
    pub(crate) fn observe(&self, tree: &Tree, again: bool) -> anyhow::Result<(Tried, Log)> {
        let began = Instant::now();
        let sandbox = &self.host.sandbox;
        let fs = CrashFs::new(tree.clone(), began, 0, 0);
        let mut storage = Storage::crash(sandbox, fs.clone(), self.host.cpu)?;
        // Where numbers cannot be chosen, states of recoveries may differ from run to run.
        let _ = sandbox.number_from(FIRST_PID);
        let mut observed = Observed::default();
        self.look(&mut observed);
        sandbox.kill_all()?;
        let log = fs.take_log();
        let mut output = self
            .host
            .take_last()
            .map(|child| child.output())
            .unwrap_or_default();
        if again && matches!(observed.state, Some(Ok(_))) {
            let mut second = Observed::default();
            self.look(&mut second);
            sandbox.kill_all()?;
            if let Some(child) = self.host.take_last() {
                output.push_str(&child.output());
            }
            observed.second = Some(match (second.start, second.state) {
                (Start::Started, Some(state)) => state,
                (Start::Refused { message }, _) => Err(message),
                (start, _) => Err(format!("{start:?}")),
            });
        }
        fs.cut();
        storage.unmount(sandbox)?;
        let tried = Tried {
            observed,
            output,
            took: began.elapsed(),
        };
        Ok((tried, log))
    }

    fn look(&self, observed: &mut Observed) {
        match restart::bring_up(&*self.target, &self.host, self.start_limit, PROBE) {
            Ok((_running, mut up)) => restart::note(Ok(&mut up), observed),
            Err(why) => restart::note(Err(why), observed),
        }
    }
}

/// True for one content in eight: it is started and read twice. The content decides, so that it
/// is the same one on every machine.
pub(super) fn twice(digest: u128) -> bool {
    digest.is_multiple_of(8)
}

type Job = (u128, Tree);
/// The content, what the target made of it, and what it did to the disk.
type Answer = (u128, anyhow::Result<(Tried, Log)>);

/// Stations at work, each in a thread of its own.
pub(crate) struct Stations {
    jobs: Option<Sender<Job>>,
    pub(crate) results: Receiver<Answer>,
    threads: Vec<JoinHandle<()>>,
}

impl Stations {
    /// Sets the stations to work.
    pub(crate) fn start(stations: Vec<Station>) -> Self {
        let (jobs, queue) = bounded::<Job>(stations.len() * 2);
        let (done, results) = unbounded();
        let threads = stations
            .into_iter()
            .map(|station| {
                let (queue, done) = (queue.clone(), done.clone());
                std::thread::spawn(move || {
                    for (digest, tree) in queue {
                        let result = station.observe(&tree, twice(digest));
                        if done.send((digest, result)).is_err() {
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
    pub(crate) fn give(&self, digest: u128, tree: Tree) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send((digest, tree));
        }
    }

    /// Ends them after what they were given.
    pub(crate) fn finish(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What is known of contents that were tried.
#[derive(Default)]
pub(crate) struct Answers {
    known: HashMap<u128, Arc<Tried>>,
    /// What recovery did to those of them that were not judged yet.
    recoveries: HashMap<u128, Log>,
}

impl Answers {
    /// Keeps an answer.
    pub(crate) fn note(&mut self, digest: u128, tried: Tried) -> Arc<Tried> {
        let tried = Arc::new(tried);
        self.known.insert(digest, tried.clone());
        tried
    }

    /// Keeps what recovery did to a content, until it is asked for.
    pub(crate) fn note_recovery(&mut self, digest: u128, log: Log) {
        self.recoveries.insert(digest, log);
    }

    /// What recovery did to a content; once.
    pub(crate) fn take_recovery(&mut self, digest: u128) -> Option<Log> {
        self.recoveries.remove(&digest)
    }

    /// The answer of a content, if it was tried.
    pub(crate) fn get(&self, digest: u128) -> Option<Arc<Tried>> {
        self.known.get(&digest).cloned()
    }
}
