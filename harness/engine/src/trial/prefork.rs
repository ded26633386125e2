//! Getting a target's first process ready before it is needed.
//!
//! A target is started in the same way trial after trial, so the start of the last one shows how the
//! next one will be. Where that is wrong once, the process is thrown away and nothing more is guessed.

use std::io;
use std::os::fd::AsFd;

use parking_lot::Mutex;
use plugpull_driver::Pipes;
use plugpull_sandbox::{Child, Prepared, Sandbox, SandboxError, SpawnRequest};

/// Files of the data directory are read ahead as far as they are no larger than this together, in
/// bytes: a small store is read as a whole at its start anyway.
const WARM: u64 = 4 << 20;

/// The next first process.
#[derive(Default)]
pub(super) struct Prefork(Mutex<Guess>);

/// How a process is started.
#[derive(Clone)]
pub(super) struct Launching {
    pub(super) request: SpawnRequest,
    /// Its standard input and standard output are pipes.
    pub(super) piped: bool,
}

/// A process that was ready, with the other ends of its pipes where it has any.
pub(super) type ReadyProcess = (Child, Option<Pipes>);

#[derive(Default)]
struct Guess {
    /// The number of the first process.
    first: i32,
    /// How the last trial's was started.
    expected: Option<Launching>,
    /// The one that is ready.
    prepared: Option<(Prepared, Option<Pipes>)>,
    /// No process of this trial was started yet.
    fresh: bool,
    /// The guess was wrong once.
    wrong: bool,
    /// The target is spoken to over TCP.
    connects: bool,
}

/// Two pipes: the ends of the process, and the others.
pub(super) fn pipes() -> io::Result<(io::PipeReader, io::PipeWriter, Pipes)> {
    let (its_stdin, stdin) = io::pipe()?;
    let (stdout, its_stdout) = io::pipe()?;
    Ok((its_stdin, its_stdout, Pipes { stdin, stdout }))
}

impl Launching {
    fn prepare(&self, sandbox: &Sandbox) -> Option<(Prepared, Option<Pipes>)> {
        if !self.piped {
            return Some((sandbox.prepare(&self.request, WARM).ok()?, None));
        }
        let (its_stdin, its_stdout, pipes) = pipes().ok()?;
        let (stdin, stdout) = (its_stdin.as_fd(), its_stdout.as_fd());
        let prepared = sandbox.prepare_piped(&self.request, WARM, stdin, stdout);
        Some((prepared.ok()?, Some(pipes)))
    }
}

#[expect(
    clippy::let_underscore_must_use,
    reason = "what fails here fails again, with its error, when it is needed"
)]
impl Prefork {
    /// Begins a trial: the first process will have the number `first`, where numbers can be chosen.
    /// Its data directory is mounted.
    pub(super) fn begin(&self, sandbox: &Sandbox, first: i32) {
        let mut state = self.0.lock();
        state.first = first;
        state.fresh = true;
        // Where they cannot, states of recoveries may differ from run to run.
        let _ = sandbox.number_from(first);
        state.prepared = match &state.expected {
            Some(launching) if !state.wrong => launching.prepare(sandbox),
            _ => None,
        };
        if state.connects {
            let _ = sandbox.prepare_socket();
        }
    }

    /// The process that is ready, if it is the right one. `launching` is none for one that is
    /// never prepared.
    pub(super) fn take(
        &self,
        sandbox: &Sandbox,
        launching: Option<&Launching>,
    ) -> Option<Result<ReadyProcess, SandboxError>> {
        let mut state = self.0.lock();
        if !std::mem::take(&mut state.fresh) {
            return None;
        }
        let prepared = state.prepared.take();
        state.expected = launching.cloned();
        let (ready, pipes) = prepared?;
        let right = launching.is_some_and(|launching| {
            ready.is_for(&launching.request) && launching.piped == pipes.is_some()
        });
        if right {
            return Some(ready.go().map(|child| (child, pipes)));
        }
        state.wrong = true;
        drop(ready);
        // Its number shall be that of the right one.
        let _ = sandbox.kill_all();
        let _ = sandbox.number_from(state.first);
        None
    }

    /// Notes that the target is spoken to over TCP.
    pub(super) fn connects(&self) {
        self.0.lock().connects = true;
    }
}
