//! The clients: threads that write at a limited rate and put every outcome into the history.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use plugpull_driver::{Client, ClientError};
use plugpull_workloads::{Call, Generator, Outcome, Recorder};

use super::prefix::Prefixed;
use crate::outcome::{HarnessFailed, guard};

/// How long a client waits for one answer before it takes the connection for dead.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// What came back so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WriteTally {
    pub(super) ok: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
    /// When the last acknowledgement came.
    pub(super) last_ok: Option<Instant>,
    /// Clients that lost their connection and ended.
    pub(super) gone: usize,
}

#[derive(Default)]
struct State {
    tally: WriteTally,
    stop: bool,
}

#[derive(Default)]
struct WriterState {
    state: Mutex<State>,
    changed: Condvar,
}

/// Clients at work.
pub(super) struct Writers {
    shared: Arc<WriterState>,
    threads: Vec<JoinHandle<Result<Generator, HarnessFailed>>>,
}

impl Writers {
    /// Sets one client going for each connection and generator. Each begins a transaction every
    /// `pause` at most.
    pub(super) fn start(
        clients: Vec<(Prefixed, Generator)>,
        recorder: &Arc<Recorder>,
        pause: Duration,
    ) -> Self {
        let shared = Arc::new(WriterState::default());
        let threads = (0..)
            .zip(clients)
            .map(|(number, (client, generator))| {
                let (shared, recorder) = (Arc::clone(&shared), Arc::clone(recorder));
                std::thread::spawn(move || {
                    guard(|| Ok(write(number, client, generator, &recorder, &shared, pause)))
                })
            })
            .collect();
        Self { shared, threads }
    }

    /// Waits until `done` says so of what came back since the start, or until the deadline;
    /// returns the tally then. Looks at least every 50 ms, so that `done` may also look at
    /// something else.
    pub(super) fn until(
        &self,
        deadline: Instant,
        mut done: impl FnMut(&WriteTally) -> bool,
    ) -> WriteTally {
        let mut state = self.shared.state.lock();
        loop {
            let over = state.tally.gone == self.threads.len() || Instant::now() >= deadline;
            if done(&state.tally) || over {
                return state.tally;
            }
            let soon = Instant::now() + Duration::from_millis(50);
            self.shared
                .changed
                .wait_until(&mut state, deadline.min(soon));
        }
    }

    /// Stops all of them, after the answers to what is under way. Returns the tally and the
    /// generators, in the order of the clients.
    ///
    /// # Errors
    /// A client panicked: what it did not note may have happened.
    pub(super) fn stop(mut self) -> Result<(WriteTally, Vec<Generator>), HarnessFailed> {
        self.raise_stop();
        let threads = std::mem::take(&mut self.threads);
        let ends: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        let mut generators = Vec::new();
        for end in ends {
            let panicked = |payload: Box<dyn std::any::Any + Send>| {
                Err(HarnessFailed::of_thread("a client", &*payload))
            };
            let end = end.unwrap_or_else(panicked);
            generators.push(end.map_err(|failed| failed.during("a client failed"))?);
        }
        Ok((self.shared.state.lock().tally, generators))
    }

    fn raise_stop(&self) {
        self.shared.state.lock().stop = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Writers {
    /// Clients that nobody waits for end by themselves.
    fn drop(&mut self) {
        self.raise_stop();
    }
}

fn write(
    number: u32,
    mut client: Prefixed,
    mut generator: Generator,
    recorder: &Recorder,
    shared: &WriterState,
    pause: Duration,
) -> Generator {
    let mut turn = Instant::now();
    loop {
        if !await_turn(shared, turn) {
            break;
        }
        // A turn that was missed is not made up for.
        turn = turn.max(Instant::now()) + pause;
        let Some(call) = generator.next() else { break };
        let index = recorder.invoke(number, call.clone());
        let deadline = Instant::now() + CALL_LIMIT;
        let answer = match &call {
            Call::Txn(txn) => client.apply(txn, deadline),
            Call::Barrier => client.barrier(deadline),
        };
        let gone = matches!(answer, Err(ClientError::Gone(_)));
        let outcome = recorder.complete(
            index,
            match answer {
                Ok(()) => Outcome::Ok,
                Err(ClientError::Fail(text)) => Outcome::Fail(text),
                Err(ClientError::Info(text) | ClientError::Gone(text)) => Outcome::Info(text),
            },
        );
        let mut state = shared.state.lock();
        let tally = &mut state.tally;
        match outcome {
            Outcome::Ok => {
                tally.ok += 1;
                tally.last_ok = Some(Instant::now());
            }
            Outcome::Fail(_) => tally.refused += 1,
            Outcome::Info(_) => tally.unknown += 1,
        }
        tally.gone += usize::from(gone);
        drop(state);
        shared.changed.notify_all();
        if gone {
            break;
        }
    }
    generator
}

/// Waits for a client's turn; false when it is to stop.
fn await_turn(shared: &WriterState, turn: Instant) -> bool {
    let mut state = shared.state.lock();
    while !state.stop && Instant::now() < turn {
        shared.changed.wait_until(&mut state, turn);
    }
    !state.stop
}
