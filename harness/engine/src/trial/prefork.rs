//! Getting a target's first process ready before its turn.
//!
//! A target is started in the same way trial after trial, so the start of the last one tells how the
//! next one will be. Where the guess is wrong, the process is thrown away and nothing more is guessed.

use parking_lot::Mutex;
use plugpull_sandbox::{Child, Prepared, Sandbox, SandboxError, SpawnRequest};

/// Files of the data directory are read ahead as far as they are no larger than this together, in
/// bytes: a small store is read as a whole at its start anyway.
const WARM: u64 = 4 << 20;

/// The next first process.
#[derive(Default)]
pub(super) struct Prefork(Mutex<Guess>);

#[derive(Default)]
struct Guess {
    /// The number of the first process.
    first: i32,
    /// How the last trial's was started.
    expected: Option<SpawnRequest>,
    /// The one that is ready.
    prepared: Option<Prepared>,
    /// No process of this trial was started yet.
    fresh: bool,
    /// The guess was wrong.
    wrong: bool,
    /// The target is spoken to over TCP.
    connects: bool,
}

impl Prefork {
    /// Begins a trial: the first process will have the number `first`, where numbers can be chosen.
    /// Its data directory is mounted.
    pub(super) fn begin(&self, sandbox: &Sandbox, first: i32) {
        let mut state = self.0.lock();
        state.first = first;
        state.fresh = true;
        // Where they cannot, states of recoveries may differ from run to run.
        let _ = sandbox.number_from(first);
        // What fails here is done again, and reported, when it is needed.
        state.prepared = match &state.expected {
            Some(request) if !state.wrong => sandbox.prepare(request, WARM).ok(),
            _ => None,
        };
        if state.connects {
            let _ = sandbox.prepare_socket();
        }
    }

    /// The process that is ready, if it is the one that is wanted. `request` is none for one that is
    /// never prepared.
    pub(super) fn take(
        &self,
        sandbox: &Sandbox,
        request: Option<&SpawnRequest>,
    ) -> Option<Result<Child, SandboxError>> {
        let mut state = self.0.lock();
        if !std::mem::take(&mut state.fresh) {
            return None;
        }
        let prepared = state.prepared.take();
        state.expected = request.cloned();
        match (prepared, request) {
            (Some(prepared), Some(request)) if prepared.is_for(request) => Some(prepared.go()),
            (None, _) => None,
            (Some(other), _) => {
                state.wrong = true;
                drop(other);
                // Its number shall be the wanted one's.
                let _ = sandbox.kill_all();
                let _ = sandbox.number_from(state.first);
                None
            }
        }
    }

    /// Notes that the target is spoken to over TCP.
    pub(super) fn connects(&self) {
        self.0.lock().connects = true;
    }
}
