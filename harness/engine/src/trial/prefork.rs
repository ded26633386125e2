//! Getting a target's first process ready before it is needed.
//!
//! A target is started in the same way trial after trial, so the start of the last one shows how the
//! next one will be. Where that is wrong once, the process is thrown away and nothing more is guessed. A
//! target that can be forked is, from a parent that has loaded what it needs, as long as [`Forking`] is on.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use plugpull_driver::Pipes;
use plugpull_sandbox::{
    Child, ForkError, ForkParent, Prepared, Sandbox, SandboxError, SpawnRequest,
};

/// Files of the data directory are read ahead as far as they are no larger than this together, in
/// bytes: a small store is read as a whole at its start anyway.
pub(super) const WARM: u64 = 4 << 20;

/// What all who try states of one target share: forking is on until something speaks against it.
pub struct Forking {
    off: AtomicBool,
    /// One that is to be stopped in order is started all the same.
    starts_to_stop: AtomicBool,
    /// How long a recovery may take, where that is promised.
    bound: Option<Duration>,
    /// Hears why it was turned off, once.
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl Forking {
    /// It is on. `bound` is how long a recovery may take, where that is promised.
    pub fn new(bound: Option<Duration>, tell: impl Fn(&str) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            off: AtomicBool::new(false),
            starts_to_stop: AtomicBool::new(false),
            bound,
            tell: Box::new(tell),
        })
    }

    /// Whether targets may be forked.
    pub fn is_on(&self) -> bool {
        !self.off.load(Ordering::Acquire)
    }

    /// Whether targets that are to be stopped in order may be forked.
    pub fn stops(&self) -> bool {
        !self.starts_to_stop.load(Ordering::Acquire)
    }

    /// Targets that are to be stopped in order are started from here on.
    pub fn start_to_stop(&self) {
        self.starts_to_stop.store(true, Ordering::Release);
    }

    /// Whether a recovery in a forked target, which took so long, is within its bound in a started one: the
    /// start itself takes a part of it.
    pub fn is_within(&self, recovery: Option<Duration>) -> bool {
        let Some(bound) = self.bound else { return true };
        recovery.is_some_and(|took| took <= bound / FORKED_PART)
    }

    /// Learns how long a start and the recovery take. Where that is most of the bound, only a started one
    /// can show whether it is kept.
    pub fn learn(&self, recovery: Option<Duration>) {
        let bound = self.bound.unwrap_or(Duration::MAX);
        if recovery.is_none_or(|took| took > bound / 2) {
            self.rest();
        }
    }

    /// Targets are started each time from here on: that is nothing to report.
    pub fn rest(&self) {
        self.off.store(true, Ordering::Release);
    }

    /// Targets are started each time from here on.
    pub fn turn_off(&self, why: &str) {
        if !self.off.swap(true, Ordering::AcqRel) {
            (self.tell)(why);
        }
    }
}

/// The next first process.
#[derive(Default)]
pub(super) struct Prefork(Mutex<Guess>);

/// A recovery in a forked target must not take more than this part of its bound.
const FORKED_PART: u32 = 10;

/// So many forks in a row may have a number that was not theirs: where the one before has just ended, the
/// kernel frees its number a moment later, and only the next fork shows whether it has.
const NUMBERS: u32 = 6;
/// How long is waited before the third of them; before each later one twice as long as before the last.
const PAUSE: Duration = Duration::from_millis(1);

/// How a process is started.
#[derive(Clone)]
pub(super) struct Launching {
    pub(super) request: SpawnRequest,
    /// Its standard input and standard output are pipes.
    pub(super) piped: bool,
    /// It can be forked.
    pub(super) forks: bool,
    /// What is forked ends as a started one does.
    pub(super) fork_exits: bool,
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
    prepared: Option<FirstProcess>,
    /// What forks the first process.
    parent: Option<ForkParent>,
    /// The first process of this trial was forked.
    forked: bool,
    /// No process of this trial was started yet.
    fresh: bool,
    /// The guess was wrong once.
    wrong: bool,
    /// The target is spoken to over TCP.
    connects: bool,
}

/// A process that waits for its turn.
enum FirstProcess {
    /// It was started, and waits to become its program.
    Prepared(Box<Prepared>, Option<Pipes>),
    /// It is being forked, and waits for its first request then.
    Forked(Box<ForkParent>, Pipes),
}

impl FirstProcess {
    fn is_for(&self, launching: &Launching) -> bool {
        match self {
            Self::Prepared(ready, pipes) => {
                ready.is_for(&launching.request) && launching.piped == pipes.is_some()
            }
            Self::Forked(parent, _) => launching.forks && parent.is_for(&launching.request),
        }
    }
}

/// Two pipes: the ends of the process, and the others.
pub(super) fn pipes() -> io::Result<(io::PipeReader, io::PipeWriter, Pipes)> {
    let (its_stdin, stdin) = io::pipe()?;
    let (stdout, its_stdout) = io::pipe()?;
    Ok((its_stdin, its_stdout, Pipes { stdin, stdout }))
}

impl Launching {
    fn prepare(&self, sandbox: &Sandbox, ahead: u64) -> Option<FirstProcess> {
        if !self.piped {
            let prepared = sandbox.prepare(&self.request, ahead).ok()?;
            return Some(FirstProcess::Prepared(Box::new(prepared), None));
        }
        let (its_stdin, its_stdout, pipes) = pipes().ok()?;
        let (stdin, stdout) = (its_stdin.as_fd(), its_stdout.as_fd());
        let prepared = sandbox.prepare_piped(&self.request, ahead, stdin, stdout);
        Some(FirstProcess::Prepared(
            Box::new(prepared.ok()?),
            Some(pipes),
        ))
    }
}

impl Guess {
    /// Forks the process that is expected. Where that cannot be, all are started from here on.
    fn fork(&mut self, sandbox: &Sandbox, forking: &Forking) -> Option<FirstProcess> {
        let request = &self.expected.as_ref()?.request;
        let forked = match self.parent.take().filter(|parent| parent.is_for(request)) {
            Some(parent) => Ok(parent),
            None => sandbox
                .fork_parent(request)
                .map_err(|error| error.to_string()),
        };
        let forked = forked.and_then(|mut parent| {
            let pipes = fork(&mut parent, sandbox, self.first)?;
            Ok(FirstProcess::Forked(Box::new(parent), pipes))
        });
        forked.map_err(|why| forking.turn_off(&why)).ok()
    }
}

/// Has a parent fork a process with the number `first`.
fn fork(parent: &mut ForkParent, sandbox: &Sandbox, first: i32) -> Result<Pipes, String> {
    let (its_stdin, its_stdout, pipes) = pipes().map_err(|error| error.to_string())?;
    let (stdin, stdout) = (its_stdin.as_fd(), its_stdout.as_fd());
    parent.fork(sandbox, first, stdin, stdout)?;
    Ok(pipes)
}

/// The process that was forked, with the number `first`: once more where that was not free yet.
fn numbered(
    parent: &mut ForkParent,
    mut pipes: Pipes,
    sandbox: &Sandbox,
    first: i32,
) -> Result<ReadyProcess, String> {
    let mut forks = 1;
    loop {
        match parent.forked(sandbox) {
            Ok(child) => return Ok((child, Some(pipes))),
            Err(ForkError::Number(_)) if forks < NUMBERS => {
                sandbox.kill_all().map_err(|error| error.to_string())?;
                if forks > 1 {
                    thread::sleep(PAUSE * (1 << (forks - 2)));
                }
                pipes = fork(parent, sandbox, first)?;
                forks += 1;
            }
            Err(why) => return Err(why.to_string()),
        }
    }
}

#[expect(
    clippy::let_underscore_must_use,
    reason = "what fails here fails again, with its error, when it is needed"
)]
impl Prefork {
    /// Begins a trial: the first process will have the number `first`, where numbers can be chosen.
    /// Its data directory is mounted.
    /// Forked where that is on and the target can be.
    /// So many bytes of the directory are read ahead.
    pub(super) fn begin(
        &self,
        sandbox: &Sandbox,
        first: i32,
        forking: Option<&Forking>,
        ahead: u64,
    ) {
        let mut state = self.0.lock();
        state.first = first;
        state.fresh = true;
        state.forked = false;
        state.prepared = None;
        let expected = state.expected.clone().filter(|_| !state.wrong);
        if let Some(forking) = forking
            && expected.as_ref().is_some_and(|launching| launching.forks)
        {
            state.prepared = state.fork(sandbox, forking);
            if state.prepared.is_none() {
                // Whatever was forked all the same.
                let _ = sandbox.kill_all();
            }
        }
        if state.prepared.is_none() {
            // Where they cannot, states of recoveries may differ from run to run.
            let _ = sandbox.number_from(first);
            state.prepared = expected.and_then(|launching| launching.prepare(sandbox, ahead));
        }
        if state.connects {
            let _ = sandbox.prepare_socket();
        }
    }

    /// Whether the first process of this trial was forked.
    pub(super) fn has_forked(&self) -> bool {
        self.0.lock().forked
    }

    /// Whether what is expected ends as a started one does where it is forked.
    pub(super) fn exits(&self) -> bool {
        let state = self.0.lock();
        let expected = state.expected.as_ref();
        expected.is_some_and(|launching| launching.fork_exits)
    }

    /// The process that is ready, if it is the right one. `launching` is none for one that is
    /// never prepared.
    pub(super) fn take(
        &self,
        sandbox: &Sandbox,
        launching: Option<&Launching>,
        forking: Option<&Forking>,
    ) -> Option<Result<ReadyProcess, SandboxError>> {
        let mut state = self.0.lock();
        if !std::mem::take(&mut state.fresh) {
            return None;
        }
        let ready = state.prepared.take();
        state.expected = launching.cloned();
        let ready = ready?;
        let right = launching.is_some_and(|launching| ready.is_for(launching));
        match ready {
            FirstProcess::Prepared(ready, pipes) if right => {
                return Some(ready.go().map(|child| (child, pipes)));
            }
            FirstProcess::Forked(mut parent, pipes) if right => {
                match numbered(&mut parent, pipes, sandbox, state.first) {
                    Ok(ready) => {
                        state.parent = Some(*parent);
                        state.forked = true;
                        return Some(Ok(ready));
                    }
                    Err(why) => forking
                        .into_iter()
                        .for_each(|forking| forking.turn_off(&why)),
                }
            }
            // What was prepared ends when it is dropped.
            FirstProcess::Prepared(..) | FirstProcess::Forked(..) => state.wrong = true,
        }
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
