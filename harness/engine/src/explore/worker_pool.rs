//! Workers that try states side by side, each in a thread of its own.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use parking_lot::Mutex;

use super::attempt::{Answer, Attempt, CrashDisk, Reply, TryState, Workers};
use crate::outcome::{HarnessFailed, guard};

/// Workers in threads, and one more for what is tried beside them.
pub struct WorkerPool {
    own: Mutex<Box<dyn TryState>>,
    jobs: Option<Sender<CrashDisk>>,
    queue: Receiver<CrashDisk>,
    answers: Receiver<Answer>,
    threads: Vec<JoinHandle<()>>,
}

impl WorkerPool {
    /// Sets the workers to work. `own` tries what minimising wants, in the caller's thread.
    pub fn start(own: Box<dyn TryState>, workers: Vec<Box<dyn TryState>>) -> Self {
        let (jobs, queue) = bounded::<CrashDisk>(workers.len() * 2);
        let (done, answers) = unbounded();
        let threads = workers
            .into_iter()
            .map(|worker| {
                let (queue, done) = (queue.clone(), done.clone());
                std::thread::spawn(move || work(worker, &queue, &done))
            })
            .collect();
        Self {
            own: Mutex::new(own),
            jobs: Some(jobs),
            queue,
            answers,
            threads,
        }
    }

    /// Ends the workers. What was handed out and not begun is not tried.
    pub fn finish(mut self) {
        self.jobs = None;
        while self.queue.try_recv().is_ok() {}
        for thread in self.threads.drain(..) {
            // What panics in a state is caught there; the thread itself only hands states on.
            let ended = thread.join();
            debug_assert!(ended.is_ok());
        }
    }
}

/// Tries states until there are no more, or until the worker cannot go on.
fn work(mut worker: Box<dyn TryState>, queue: &Receiver<CrashDisk>, done: &Sender<Answer>) {
    if guard(|| worker.begin()).is_err() {
        return;
    }
    for disk in queue {
        let result = guard(|| worker.try_state(&disk, disk.read_twice()));
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
        if let Some(jobs) = &self.jobs {
            // `queue` is kept here, so there is always somebody to take it.
            let sent = jobs.send(disk);
            debug_assert!(sent.is_ok());
        }
    }

    fn reply(&self, wait: Duration) -> Reply {
        match self.answers.recv_timeout(wait) {
            Ok(answer) => Reply::Answer(Box::new(answer)),
            Err(RecvTimeoutError::Timeout) => Reply::Nothing,
            Err(RecvTimeoutError::Disconnected) => Reply::Gone,
        }
    }

    fn try_now(&self, disk: &CrashDisk, twice: bool) -> Result<Attempt, HarnessFailed> {
        let mut own = self.own.lock();
        let result = guard(|| own.try_state(disk, twice));
        if result.is_err() {
            guard(|| own.renew())?;
        }
        result
    }
}
