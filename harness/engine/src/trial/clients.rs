//! The clients: threads that write through the target and put every outcome into the history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use plugpull_driver::{Client, ClientError, Process};
use plugpull_workloads::{Call, Generator, Outcome, Recorder};

use super::progress::{Progress, Reading};
use super::script::Reader;
use crate::outcome::{HarnessFailed, guard};

/// How long a client waits for one answer before it takes the connection for dead.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(20);
/// A client that was refused waits this long before it asks again.
const REFUSED_PAUSE: Duration = Duration::from_millis(1);

/// A client's request for a new connection, and where to send it.
type ReconnectRequest = Sender<Box<dyn Client>>;

/// The clients of one life of the target.
pub(super) struct ClientPool {
    stop: Arc<AtomicBool>,
    requests: Receiver<ReconnectRequest>,
    threads: Vec<JoinHandle<Result<Option<Generator>, HarnessFailed>>>,
    /// What came back so far.
    pub(super) progress: Arc<Progress>,
    /// The workload, where the target brings its own instead of having clients.
    pub(super) script: Option<Arc<Reading>>,
}

impl ClientPool {
    /// Sets one client going for each connection and generator.
    pub(super) fn start(
        clients: Vec<(u32, Box<dyn Client>, Generator)>,
        recorder: &Arc<Recorder>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Progress::default());
        let (request, requests) = unbounded();
        let threads = clients
            .into_iter()
            .map(|(number, connection, generator)| {
                let worker = Worker {
                    number,
                    recorder: recorder.clone(),
                    stop: stop.clone(),
                    progress: progress.clone(),
                    request: request.clone(),
                };
                std::thread::spawn(move || guard(|| Ok(Some(worker.run(connection, generator)))))
            })
            .collect();
        Self {
            stop,
            requests,
            threads,
            progress,
            script: None,
        }
    }

    /// Reads what the target's own workload prints. Its transactions are numbered by `numbers`.
    pub(super) fn read(
        process: Box<dyn Process>,
        recorder: &Arc<Recorder>,
        numbers: &Arc<AtomicU64>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Progress::default());
        let reading = Arc::new(Reading::default());
        let reader = Reader {
            process,
            recorder: recorder.clone(),
            progress: progress.clone(),
            reading: reading.clone(),
            numbers: numbers.clone(),
        };
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            guard(|| {
                reader.run(&stopped);
                Ok(None)
            })
        });
        Self {
            stop,
            // Nobody requests for a connection.
            requests: unbounded().1,
            threads: vec![thread],
            progress,
            script: Some(reading),
        }
    }

    /// Serves clients that lost their connection; `connect` makes a new one.
    pub(super) fn reconnect(&self, connect: impl Fn() -> Option<Box<dyn Client>>) {
        while let Ok(request) = self.requests.try_recv() {
            // Without a connection the client gives up: it was the target that went, not the connection.
            // A client that has stopped takes none.
            drop(connect().map(|connection| request.send(connection)));
        }
    }

    /// Stops all clients and gives their generators back, by client number. Calls that are under
    /// way end by themselves when the target is dead, else after their answer.
    ///
    /// # Errors
    /// A client panicked: what it did not note may have happened.
    pub(super) fn stop(self) -> Result<BTreeMap<u32, Generator>, HarnessFailed> {
        self.stop.store(true, Ordering::Relaxed);
        let Self {
            requests, threads, ..
        } = self;
        drop(requests);
        let ends: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        let mut generators = BTreeMap::new();
        for (number, end) in (0..).zip(ends) {
            let end =
                end.unwrap_or_else(|payload| Err(HarnessFailed::of_thread("a client", &*payload)));
            let end = end.map_err(|failed| failed.during(&format!("client {number} failed")));
            generators.extend(end?.map(|generator| (number, generator)));
        }
        Ok(generators)
    }
}

/// Makes a call: what came of it, and whether the connection is gone.
pub(crate) fn make(call: &Call, connection: &mut dyn Client, deadline: Instant) -> (Outcome, bool) {
    let answer = match call {
        Call::Txn(txn) => connection.apply(txn, deadline),
        Call::Barrier => connection.barrier(deadline),
    };
    match answer {
        Ok(()) => (Outcome::Ok, false),
        Err(ClientError::Fail(text)) => (Outcome::Fail(text), false),
        Err(ClientError::Info(text)) => (Outcome::Info(text), false),
        Err(ClientError::Gone(text)) => (Outcome::Info(text), true),
    }
}

struct Worker {
    number: u32,
    recorder: Arc<Recorder>,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    request: Sender<ReconnectRequest>,
}

impl Worker {
    fn run(&self, mut connection: Box<dyn Client>, mut generator: Generator) -> Generator {
        while !self.stop.load(Ordering::Relaxed) {
            let Some(call) = generator.next() else { break };
            let index = self.recorder.invoke(self.number, call.clone());
            let deadline = Instant::now() + CALL_LIMIT;
            let (outcome, gone) = make(&call, &mut *connection, deadline);
            let counted = self.recorder.complete(index, outcome.clone());
            // That something was rolled back says nothing of whether the target can still write.
            if !matches!(&call, Call::Txn(txn) if txn.abort) {
                self.progress.note(&counted);
            }
            if call == Call::Barrier && counted == Outcome::Ok {
                self.progress.note_barrier();
            }
            if gone {
                match self.new_connection() {
                    Some(fresh) => connection = fresh,
                    None => break,
                }
            } else if outcome != Outcome::Ok {
                std::thread::sleep(REFUSED_PAUSE);
            }
        }
        generator
    }

    fn new_connection(&self) -> Option<Box<dyn Client>> {
        let (send, receive) = bounded(1);
        self.request.send(send).ok()?;
        while !self.stop.load(Ordering::Relaxed) {
            match receive.recv_timeout(Duration::from_millis(20)) {
                Ok(connection) => return Some(connection),
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }
}
