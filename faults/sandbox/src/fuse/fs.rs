//! One crash filesystem: a simulated disk, shared between the thread that serves the kernel and the
//! trial that commands it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use parking_lot::{Condvar, Mutex, MutexGuard};
use plugpull_crashsim::fs::{
    BadSectors, Disk, Ino, Log, LogLimit, Mark, Nanos, ROOT, Reads, Sink, Space, Tree,
    from_system_time,
};

use super::admission::{Admission, Decision, OpKind, Operation, WaitId};
use super::caller;
use super::failure::{Failures, ServerFailure};
use super::mappings::{CacheLog, Mappings, Moments};
use crate::stacks::StackRecorder;

/// The disk, and whether the machine lives.
pub(super) struct Mounted {
    pub(super) disk: Disk,
    dead: bool,
}

/// A crash filesystem. All methods may be called from any thread.
pub struct CrashFs {
    state: Mutex<Mounted>,
    changed: Condvar,
    admission: Arc<dyn Admission>,
    failures: Failures,
    mappings: Mappings,
    /// What was called that is not available here.
    unsupported: Mutex<BTreeSet<&'static str>>,
    /// The directory `/proc` of whoever calls, where that is known.
    callers: Mutex<Option<OwnedFd>>,
    /// What has to be done before a change is recorded.
    before: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl CrashFs {
    /// A filesystem on this disk, which asks `admission` about each operation. It is as large as
    /// memory allows (see [`disk_size`](crate::disk_size)).
    pub fn new(mut disk: Disk, admission: Arc<dyn Admission>) -> Self {
        disk.set_capacity(crate::disk_size());
        Self {
            state: Mutex::new(Mounted { disk, dead: false }),
            changed: Condvar::new(),
            admission,
            failures: Failures::default(),
            mappings: Mappings::default(),
            unsupported: Mutex::default(),
            callers: Mutex::new(None),
            before: Mutex::new(None),
        }
    }

    /// Begins the log again, with this limit.
    pub fn limit_log(&self, limit: LogLimit) {
        self.state.lock().disk.limit_log(limit);
    }

    /// From here on every record and mark goes to `sink`, and the log keeps nothing.
    pub fn stream_to(&self, sink: Box<dyn Sink>) {
        self.state.lock().disk.log.stream_to(sink);
    }

    /// From here on `recorder` joins each record with the call that made it.
    pub fn record_stacks(&self, recorder: &Arc<StackRecorder>) {
        recorder.own_write_backs(self.mappings.asks());
        let witness = Arc::clone(recorder);
        self.state.lock().disk.log.witness(witness);
    }

    /// The position on the trace's clock: the number that the next operation will get, and the
    /// nanoseconds since the clock began.
    pub fn now(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.disk.log.next_seq(), state.disk.log.nanos())
    }

    /// Marks a client's ack in the log, behind what was stored in shared mappings before it. Where acks
    /// are noted before a change goes on ([`CrashFs::before_changes`]) that cannot be waited for, since
    /// the server waits here: then the log says that it has not what was stored.
    pub fn mark(&self, id: u64) -> Mark {
        if self.before.lock().is_none() {
            self.mappings.settle_now();
            return self.state.lock().disk.log.mark(id);
        }
        let mut state = self.state.lock();
        if !state.dead && self.mappings.is_served() {
            state.disk.cache_unsettled();
        }
        let mark = state.disk.log.mark(id);
        drop(state);
        self.mappings.ask();
        mark
    }

    /// From here on the log has what was stored in shared mappings, as it was after each operation
    /// and at each ack: the kernel is asked to write it back, by a thread of its own that is begun
    /// with the first mapping.
    pub fn settle_mappings(&self) {
        self.mappings.keep_settled(Moments::Throughout);
    }

    /// Does this before each change is admitted, so that an ack that was written before it is marked before
    /// it.
    pub fn before_changes(&self, act: Arc<dyn Fn() + Send + Sync>) {
        *self.before.lock() = Some(act);
    }

    /// From here on the log notes where the first file is mapped, and [`CrashFs::processes_gone`]: what is
    /// stored there between is known where the target itself has it written back. Such a log is the
    /// same each time, as far as the target is.
    pub fn note_mappings(&self) {
        self.state.lock().disk.hold_write_backs();
        self.mappings.keep_settled(Moments::AtTheEnds);
    }

    /// Notes that no process is left that could have mapped a file.
    pub fn processes_gone(&self) {
        self.mappings.all_gone(self);
    }

    /// Notes that something was called that is not available here.
    pub(crate) fn note_unsupported(&self, what: &'static str) {
        self.unsupported.lock().insert(what);
    }

    /// What was called that is not available here, as far as that is seen: `FICLONE`, `O_TMPFILE`.
    pub fn unsupported_calls(&self) -> Vec<&'static str> {
        self.unsupported.lock().iter().copied().collect()
    }

    /// Takes the log away, and begins a new one on what the tree holds now.
    pub fn take_log(&self) -> Log {
        self.state.lock().disk.take_log()
    }

    /// Looks at the tree and the log as they are now.
    pub fn inspect<T>(&self, look: impl FnOnce(&Tree, &Log) -> T) -> T {
        let state = self.state.lock();
        look(&state.disk.tree, &state.disk.log)
    }

    /// Changes the tree behind the kernel's back, without a record: damage at rest. Only for a
    /// filesystem that is not mounted, or whose caches are dropped afterwards.
    pub fn damage<T>(&self, change: impl FnOnce(&mut Tree, &mut BadSectors) -> T) -> T {
        let mut state = self.state.lock();
        let Disk { tree, bad, .. } = &mut state.disk;
        change(tree, bad)
    }

    /// Flips one bit of a file at rest, and watches whether its sector is read before it is
    /// written again. The file must not be in the kernel's cache.
    pub fn flip_bit(&self, ino: Ino, offset: u64, bit: u8) {
        self.state.lock().disk.flip_bit(ino, offset, bit);
    }

    /// Notes from here on what is read.
    pub fn log_reads(&self) {
        self.state.lock().disk.reads = Some(Vec::new());
    }

    /// What was read since the last call: file, and the range in bytes. Not what the kernel had in its
    /// cache; what it read ahead too.
    pub fn take_reads(&self) -> Vec<(Ino, u64, u64)> {
        let mut state = self.state.lock();
        state
            .disk
            .reads
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Notes from here on all by which a program could tell what the disk holds from something else. To
    /// be called before it is mounted: the kernel asks once.
    pub fn note_reads(&self) {
        self.state.lock().disk.note_reads();
    }

    /// What was noted; none where nothing was to be.
    pub fn take_noted(&self) -> Option<Reads> {
        self.state.lock().disk.take_noted()
    }

    /// How many reads met a bad sector, and how many operations found no space.
    pub fn damage_hits(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.disk.bad_hits, state.disk.full_hits)
    }

    /// Has every operation that waits ask its admission again.
    pub fn wake(&self) {
        // Every operation that decides to wait does so under this lock: none can miss it.
        let _state = self.state.lock();
        self.changed.notify_all();
    }

    /// Sets the size of the filesystem.
    pub fn set_space(&self, space: Space) {
        self.state.lock().disk.space = space;
    }

    /// Sets the size to what is in use now and this many pages more.
    pub fn fill(&self, pages_left: u64) {
        self.state.lock().disk.fill(pages_left);
    }

    /// Gives the whole default space back.
    pub fn free(&self) {
        self.state.lock().disk.free();
    }

    /// The machine is dead from this moment: returns the position of the crash on the trace's
    /// clock. Every operation from now on fails with EIO and changes nothing, and what was paused
    /// or hung fails so too.
    pub fn cut(&self) -> u64 {
        let mut state = self.state.lock();
        state.dead = true;
        self.changed.notify_all();
        state.disk.log.next_seq()
    }

    /// Why it is not served any more, or was not served as it should have been; none where all
    /// went well so far. It stays, also when the filesystem is mounted again.
    pub fn failure(&self) -> Option<ServerFailure> {
        self.failures.first()
    }

    /// Notes that its server failed: from here on nothing is served.
    pub(super) fn fail(&self, message: String) {
        self.failures.note(message, None);
        self.cut();
    }

    /// Does a part of the server's work; where it panics that is a failure of the server, and there
    /// is no result.
    pub(super) fn guard<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let done = self.failures.catch(work);
        if done.is_none() {
            self.cut();
        }
        done
    }

    /// Lets an operation through, or returns how it fails. Waits where the admission decides so.
    /// Returns with the lock held, so that what was admitted happens at once.
    fn admit(
        &self,
        kind: OpKind,
        ino: Ino,
        name: Option<&OsStr>,
    ) -> Result<MutexGuard<'_, Mounted>, Errno> {
        let mut state = self.state.lock();
        let mut resumed = false;
        loop {
            if state.dead {
                return Err(Errno::EIO);
            }
            let operation = Operation {
                kind,
                seq: state.disk.log.next_seq(),
                resumed,
                tree: &state.disk.tree,
                ino,
                name,
            };
            match self.admission.admit(&operation) {
                Decision::Serve => return Ok(state),
                Decision::Fail(errno) => return Err(errno),
                Decision::FailSyncPagesClean => {
                    // That of a directory, the root too, is another kind.
                    match (kind, ino) {
                        (OpKind::Sync, ROOT) => state.disk.sync_all_failed(),
                        _ => state.disk.sync_failed(ino),
                    }
                    return Err(Errno::EIO);
                }
                Decision::Pause(id) => {
                    self.wait(&mut state, id, None);
                    resumed = true;
                }
                Decision::Delay(id, limit) => {
                    self.wait(&mut state, id, limit);
                    return if state.dead {
                        Err(Errno::EIO)
                    } else {
                        Ok(state)
                    };
                }
            }
        }
    }

    fn wait(&self, state: &mut MutexGuard<'_, Mounted>, id: WaitId, limit: Option<Duration>) {
        let until = limit.map(|limit| Instant::now() + limit);
        while !state.dead && self.admission.waits(id) {
            match until {
                None => self.changed.wait(state),
                Some(until) if self.changed.wait_until(state, until).timed_out() => return,
                Some(_) => {}
            }
        }
    }

    /// Serves one operation, if it is admitted: done at once, with nothing in between.
    pub(super) fn serve<T>(
        &self,
        kind: OpKind,
        ino: Ino,
        name: Option<&OsStr>,
        operation: impl FnOnce(&mut Disk) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if kind.changes() {
            let before = self.before.lock().clone();
            if let Some(act) = before {
                act();
            }
        }
        let mut state = self.admit(kind, ino, name)?;
        let done = operation(&mut state.disk);
        let at = state.disk.log.next_seq();
        drop(state);
        self.mappings.operation_done(kind, at);
        done
    }

    /// sync(2) (`machine`) or syncfs(2).
    pub(crate) fn sync_all(&self, pid: u32, machine: bool) -> Result<(), Errno> {
        self.serve(OpKind::Sync, ROOT, None, |disk| {
            disk.sync_all(pid, machine);
            Ok(())
        })
    }

    /// Looks up in this directory `/proc` what its callers asked for.
    pub(crate) fn look_at_callers(&self, proc: OwnedFd) {
        *self.callers.lock() = Some(proc);
    }

    /// The length of the write that a thread waits in; none when it cannot be known.
    pub(super) fn call_length(&self, thread: u32) -> Option<u64> {
        let callers = self.callers.lock();
        caller::call_length(callers.as_ref()?, thread)
    }

    /// Shared mappings, and what is done about them.
    pub(crate) fn mappings(&self) -> &Mappings {
        &self.mappings
    }

    /// The lock, for what no admission is asked about.
    pub(super) fn lock(&self) -> MutexGuard<'_, Mounted> {
        self.state.lock()
    }
}

impl CacheLog for CrashFs {
    fn next_seq(&self) -> u64 {
        self.state.lock().disk.log.next_seq()
    }

    fn settled_at(&self, at: u64) -> bool {
        let mut state = self.state.lock();
        let quiet = !state.dead && state.disk.log.next_seq() == at;
        if quiet {
            state.disk.cache_settled();
        }
        quiet
    }
}

/// The time now, as inodes keep it.
pub(super) fn wall_clock() -> Nanos {
    from_system_time(SystemTime::now())
}

/// How long the kernel may keep names and attributes: nobody else changes the filesystem.
pub(super) const CACHE_TTL: Duration = Duration::from_secs(24 * 3600);
