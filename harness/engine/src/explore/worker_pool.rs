//! Workers that try states side by side, each in a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use parking_lot::Mutex;
use plugpull_workloads::Observed;

use super::attempt::{Answer, Attempt, Breaker, CrashDisk, Reply, TryState, Workers};
use crate::outcome::{HarnessFailed, guard};
use crate::trial::Forking;

/// How often what is under way is ended again, until it has ended: a target may just be starting.
const AGAIN: Duration = Duration::from_millis(20);

/// A state that is to be tried, and whether what is read of it is noted.
struct Job {
    disk: CrashDisk,
    notes: bool,
}

/// Workers in threads, and one more for what is tried beside them.
pub struct WorkerPool {
    own: Mutex<Box<dyn TryState>>,
    jobs: Option<Sender<Job>>,
    queue: Receiver<Job>,
    answers: Receiver<Answer>,
    threads: Vec<JoinHandle<()>>,
    breakers: Vec<Breaker>,
    /// True when nothing more is tried.
    abandoned: Arc<AtomicBool>,
    /// Whether the workers may fork targets.
    forking: Option<Arc<Forking>>,
}

impl WorkerPool {
    /// Sets the workers to work. `own` tries what minimising wants, in the caller's thread.
    pub fn start(own: Box<dyn TryState>, workers: Vec<Box<dyn TryState>>) -> Self {
        let (jobs, queue) = unbounded::<Job>();
        let (done, answers) = unbounded();
        let abandoned = Arc::new(AtomicBool::new(false));
        let all = std::iter::once(&own).chain(&workers);
        let breakers = all.filter_map(|worker| worker.breaker()).collect();
        let threads = workers
            .into_iter()
            .map(|worker| {
                let (queue, done) = (queue.clone(), done.clone());
                let abandoned = abandoned.clone();
                std::thread::spawn(move || work(worker, &queue, &done, &abandoned))
            })
            .collect();
        Self {
            own: Mutex::new(own),
            jobs: Some(jobs),
            queue,
            answers,
            threads,
            breakers,
            abandoned,
            forking: None,
        }
    }

    /// The same, whose workers fork targets as long as this is on.
    #[must_use]
    pub fn with_forking(self, forking: Option<Arc<Forking>>) -> Self {
        Self { forking, ..self }
    }

    /// Ends the workers. What was handed out and not begun is not tried, and what was begun does not
    /// come to its end.
    pub fn finish(mut self) {
        self.jobs = None;
        for thread in std::mem::take(&mut self.threads) {
            while !thread.is_finished() {
                self.abandon();
                std::thread::sleep(AGAIN);
            }
            // What panics in a state is caught there; the thread itself only hands states on.
            let ended = thread.join();
            debug_assert!(ended.is_ok());
        }
    }

    fn hand_out(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // `queue` is kept here, so there is always somebody to take it.
            let sent = jobs.send(job);
            debug_assert!(sent.is_ok());
        }
    }

    /// Has the worker of the caller's thread do something, unless nothing more is tried.
    fn beside<T>(
        &self,
        doing: impl FnOnce(&mut dyn TryState) -> Result<T, HarnessFailed>,
    ) -> Result<T, HarnessFailed> {
        let mut own = self.own.lock();
        let ended = || HarnessFailed::new("nothing more is tried: the exploration ends");
        if self.abandoned.load(Ordering::Acquire) {
            return Err(ended());
        }
        let result = guard(|| doing(&mut **own));
        // What was seen while processes were being killed from outside says nothing.
        if self.abandoned.load(Ordering::Acquire) {
            return Err(ended());
        }
        if result.is_err() {
            guard(|| own.renew())?;
        }
        result
    }
}

/// Tries states until there are no more, or until the worker cannot go on.
fn work(
    mut worker: Box<dyn TryState>,
    queue: &Receiver<Job>,
    done: &Sender<Answer>,
    abandoned: &AtomicBool,
) {
    if guard(|| worker.begin()).is_err() {
        return;
    }
    for Job { disk, notes } in queue {
        let result = guard(|| match notes {
            true => worker.try_noting(&disk),
            false => worker.try_state(&disk),
        });
        // What was seen while processes were being killed from outside says nothing.
        if abandoned.load(Ordering::Acquire) {
            return;
        }
        let failed = result.is_err();
        let key = disk.key;
        // The explorer may have gone: it was interrupted.
        let heard = done.send(Answer { key, result }).is_ok();
        if !heard || failed && guard(|| worker.renew()).is_err() {
            return;
        }
    }
}

impl Workers for WorkerPool {
    fn count(&self) -> usize {
        self.threads.len()
    }

    fn submit(&self, disk: CrashDisk) {
        self.hand_out(Job { disk, notes: false });
    }

    fn submit_noting(&self, disk: CrashDisk) {
        self.hand_out(Job { disk, notes: true });
    }

    fn reply(&self, wait: Duration) -> Reply {
        // A wait of no time would spin, and take the CPU from the targets.
        if wait.is_zero() && self.answers.is_empty() {
            return Reply::Nothing;
        }
        match self.answers.recv_timeout(wait) {
            Ok(answer) => Reply::Answer(Box::new(answer)),
            Err(RecvTimeoutError::Timeout) => Reply::Nothing,
            Err(RecvTimeoutError::Disconnected) => Reply::Gone,
        }
    }

    fn try_now(&self, disk: &CrashDisk) -> Result<Attempt, HarnessFailed> {
        self.beside(|own| own.try_state(disk))
    }

    fn check_now(&self, disk: &CrashDisk) -> Result<Option<Observed>, HarnessFailed> {
        self.beside(|own| own.check_alone(disk))
    }

    fn try_patiently(&self, disk: &CrashDisk) -> Result<Option<Attempt>, HarnessFailed> {
        self.beside(|own| own.try_patiently(disk))
    }

    fn stop_forking(&self, why: Option<&str>) {
        match (&self.forking, why) {
            (Some(forking), Some(why)) => forking.turn_off(why),
            (Some(forking), None) => forking.rest(),
            (None, _) => {}
        }
    }

    fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        while self.queue.try_recv().is_ok() {}
        for breaker in &self.breakers {
            breaker();
        }
    }
}
