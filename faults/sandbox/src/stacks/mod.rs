//! Who made each operation of a recording: the stack of the thread at the entry of its call.
//!
//! ```text
//! a process of the sandbox   asks to be traced, then puts a seccomp filter over itself, then executes
//!   stops at write, fsync, rename ...
//! tracer (a thread each)     takes its registers and its stack, unwinds, notes the stack for the thread
//!   lets it go on
//! crash filesystem           records the operation; asks what the thread called last
//! ```
//!
//! The thread waits in its call until the crash filesystem has answered, so what it called last is the
//! call that the record is of, where that can make such a record. Any other record has no stack: none is
//! invented. Of a page that the kernel writes back nobody knows who stored it; it is said which call
//! waited for it.

mod address_space;
mod go;
mod interner;
mod memory;
mod module;
mod python;
mod table;
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "calls are traced on x86-64 alone")
)]
mod traced_calls;
mod tracer;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use plugpull_crashsim::fs::{Ino, Op, Record, Witness};

use interner::Interner;
use table::Made;
use traced_calls::TracedCall;

pub use table::{CodeKind, MadeHow, SourceCall, Stack, StackFrame, StackModule, Stacks};
pub(super) use tracer::await_tracer;

use super::error::SandboxError;
use super::pending::PATIENCE;
use super::pin;

/// Takes the stacks of traced processes, and joins them to the operations of a log.
#[derive(Default)]
pub struct StackRecorder {
    interner: Interner,
    joined: Mutex<Joined>,
    tracers: Mutex<Tracers>,
    fewer: Condvar,
    /// Says whether plugpull itself has the kernel write back what is stored in mappings just now.
    asks_now: Mutex<Option<Box<dyn Fn() -> bool + Send + Sync>>>,
}

#[derive(Default)]
struct Tracers {
    alive: usize,
    stops: u64,
    failed: Option<String>,
}

#[derive(Default)]
struct Joined {
    /// What each thread called last, by its number in the sandbox.
    calls: HashMap<u32, LastCall>,
    operations: Vec<Made>,
    /// What the kernel wrote back since the last sync of its file.
    written_back: Vec<WrittenBack>,
}

struct LastCall {
    call: &'static TracedCall,
    stack: Option<u32>,
    at: Instant,
}

struct WrittenBack {
    ino: Ino,
    seq: u64,
    at: Instant,
}

/// The most pages written back that wait for the call that asked for it.
const WRITTEN_BACK_MAX: usize = 1 << 16;

impl StackRecorder {
    /// Begins to trace the process that will hold the socket, on the CPU of this number where it runs on one
    /// alone: each waits for the other, and an idle CPU takes long to wake.
    pub(super) fn trace(self: &Arc<Self>, cpu: Option<usize>) -> io::Result<OwnedFd> {
        let (its, ours) = tracer::sockets()?;
        let recorder = Arc::clone(self);
        self.tracers.lock().alive += 1;
        let begun = thread::Builder::new().name("stacks".into()).spawn(move || {
            // Also where it panics: then all that it traces is killed, and the recording has failed.
            let _end = TracerEnd(&recorder);
            // Where pinning is refused it is slower, not wrong.
            let _pinned = cpu.map(pin::this_thread);
            tracer::follow(ours, &recorder);
        });
        if begun.is_err() {
            self.tracers.lock().alive -= 1;
        }
        begun.map(|_| its)
    }

    /// Keeps pages that plugpull asks the kernel for apart from those that a target has written back.
    pub(super) fn own_write_backs(&self, asks_now: impl Fn() -> bool + Send + Sync + 'static) {
        *self.asks_now.lock() = Some(Box::new(asks_now));
    }

    fn note_failure(&self, why: String) {
        self.tracers.lock().failed.get_or_insert(why);
    }

    /// A thread is at the entry of a call; none where it is not one that is known.
    fn called(&self, thread: u32, call: Option<&'static TracedCall>, stack: Option<u32>) {
        self.tracers.lock().stops += 1;
        let calls = &mut self.joined.lock().calls;
        match call {
            Some(call) => {
                let at = Instant::now();
                calls.insert(thread, LastCall { call, stack, at });
            }
            None => drop(calls.remove(&thread)),
        }
    }

    /// What a thread called last is over.
    fn ended(&self, thread: u32) {
        self.joined.lock().calls.remove(&thread);
    }

    /// How often a thread was stopped so far.
    pub fn stops(&self) -> u64 {
        self.tracers.lock().stops
    }

    /// All stacks, with the names of their functions. Every traced process must be dead; its program's file
    /// must still be there.
    ///
    /// # Errors
    /// Processes could not be traced, or do not end.
    pub fn finish(&self) -> Result<Stacks, SandboxError> {
        let mut tracers = self.tracers.lock();
        let deadline = Instant::now() + PATIENCE;
        while tracers.alive > 0 {
            if self.fewer.wait_until(&mut tracers, deadline).timed_out() {
                return Err(SandboxError::TimedOut(
                    "waiting for traced processes".into(),
                ));
            }
        }
        if let Some(why) = tracers.failed.take() {
            return Err(SandboxError::Unavailable(why));
        }
        drop(tracers);
        let joined = std::mem::take(&mut *self.joined.lock());
        Ok(self.interner.finish(joined.operations))
    }
}

struct TracerEnd<'a>(&'a StackRecorder);

impl Drop for TracerEnd<'_> {
    fn drop(&mut self) {
        let mut tracers = self.0.tracers.lock();
        tracers.alive -= 1;
        if thread::panicking() {
            tracers.failed = Some("a tracer panicked".into());
        }
        self.0.fewer.notify_all();
    }
}

impl Witness for StackRecorder {
    fn recorded(&self, record: &Record) {
        let own = || self.asks_now.lock().as_ref().is_some_and(|asks| asks());
        let mut joined = self.joined.lock();
        if record.pid == 0 {
            if matches!(record.op, Op::Write { .. }) {
                let own = own();
                joined.write_back(record, own);
            }
            return;
        }
        let Some(made) = joined.calls.get(&record.pid) else {
            return;
        };
        if !made.call.can_make(&record.op) {
            return;
        }
        let (stack, began) = (made.stack, made.at);
        let waited = made.call.writes_back();
        let how = match made.call.is_ring() {
            true => MadeHow::Submitted,
            false => MadeHow::Called,
        };
        let seq = record.seq;
        joined.operations.push(Made { seq, how, stack });
        if let Op::Sync { ino, .. } = record.op
            && waited
        {
            joined.written_back_by(ino, stack, began);
        }
    }
}

impl Joined {
    /// The kernel has written back a page of a mapping.
    fn write_back(&mut self, record: &Record, own: bool) {
        let seq = record.seq;
        if own {
            let how = MadeHow::OwnWriteBack;
            self.operations.push(Made {
                seq,
                how,
                stack: None,
            });
        } else if self.written_back.len() < WRITTEN_BACK_MAX {
            let (ino, at) = (record.op.ino(), Instant::now());
            self.written_back.push(WrittenBack { ino, seq, at });
        }
    }

    /// A call that began at this moment has waited for what was stored in mappings of a file.
    fn written_back_by(&mut self, ino: Ino, stack: Option<u32>, began: Instant) {
        let (its, others) = std::mem::take(&mut self.written_back)
            .into_iter()
            .partition(|one| one.ino == ino);
        let its: Vec<WrittenBack> = its;
        self.written_back = others;
        let its = its.into_iter().filter(|one| one.at >= began);
        self.operations.extend(its.map(|one| Made {
            seq: one.seq,
            how: MadeHow::WrittenBack,
            stack,
        }));
    }
}
