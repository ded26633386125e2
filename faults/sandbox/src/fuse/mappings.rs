//! Shared mappings of files: what is stored there reaches the server only when the kernel writes it
//! back, and until then a process that dies leaves it in the page cache all the same.
//!
//! So where a process maps a file, shared and writable, the kernel is asked to write back what is
//! dirty of it: after each operation, and before an ack is stamped; after it where the server itself waits
//! for the stamp. That is a call that waits for the server (fsync(2), whose own request is not recorded),
//! so it is done by a thread of its own, after an operation was answered and never in the middle of one. The log notes each moment at which it
//! then has all that the page cache has
//! ([`Op::CacheSettled`](plugpull_crashsim::fs::Op::CacheSettled)): no page was written back during a
//! round over all files, so what the round before had written was still all there was when it began.
//!
//! When such a moment comes depends on how threads are scheduled. A log that has to be the same each
//! time has only two of them: before the first mapping, and when every process is gone, for the kernel
//! writes back what a process had mapped before it counts as ended ([`Moments::AtTheEnds`]).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::admission::OpKind;
use crate::file_holder::FileHolder;

/// How often the kernel is asked until a round finds nothing dirty. A process that stores without a
/// pause has no such moment.
const TRIES: usize = 4;
/// How long an ack waits for it.
const ACK_LIMIT: Duration = Duration::from_secs(1);
/// The most files that are kept open for it.
const FILES_MAX: usize = 256;

/// The log of a filesystem, as far as mappings need it.
pub(crate) trait CacheLog: Send + Sync {
    /// The number that the next record will get.
    fn next_seq(&self) -> u64;
    /// Records that the page cache holds nothing that the log has not, unless something was recorded
    /// since number `at`, or the machine is dead. True where it was recorded.
    fn settled_at(&self, at: u64) -> bool;
}

/// What is known of the mappings of one filesystem.
#[derive(Default)]
pub(crate) struct Mappings {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// An fsync of our own is under way.
    own_sync: AtomicBool,
    /// One at a time.
    round: Mutex<()>,
}

/// When the log notes that it has all that the page cache has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moments {
    /// Wherever it can be: the kernel is asked after each operation.
    Throughout,
    /// Before the first mapping, and when every process is gone.
    AtTheEnds,
}

#[derive(Default)]
struct State {
    /// The log is to have what is stored.
    wanted: Option<Moments>,
    /// The inode numbers, where known, of the files that were mapped, shared and writable. The files
    /// themselves are in the holder, in this order.
    files: Vec<Option<u64>>,
    /// Who holds them, and for whom.
    holder: Option<(Arc<FileHolder>, u64)>,
    /// A file was mapped that could not be opened: what is stored there is not known.
    blind: bool,
    /// The thread that asks the kernel lives.
    serving: bool,
    /// No more is asked.
    over: bool,
    /// How many times it should have been asked, and was.
    asked: u64,
    done: u64,
    /// The number of the record behind the last settled moment.
    settled: u64,
}

impl State {
    /// Hands a file over to the holder.
    fn keep(&mut self, holder: &Arc<FileHolder>, file: OwnedFd) -> io::Result<()> {
        let (holder, owner) = self
            .holder
            .get_or_insert_with(|| (Arc::clone(holder), holder.owner()));
        holder.keep(*owner, file)
    }
}

impl Mappings {
    pub(super) fn keep_settled(&self, moments: Moments) {
        self.shared.state.lock().wanted = Some(moments);
    }

    /// Notes that every process is gone, and with them all that was mapped.
    pub(super) fn all_gone(&self, fs: &impl CacheLog) {
        let mapped = {
            let state = self.shared.state.lock();
            state.wanted.is_some() && !state.files.is_empty() && !state.blind
        };
        if mapped {
            quietly(fs);
        }
    }

    /// Notes that a process is about to map the file with this inode number, which is opened once
    /// more for it.
    pub(crate) fn note<L: CacheLog + 'static>(
        &self,
        fs: &Arc<L>,
        holder: &Arc<FileHolder>,
        ino: Option<u64>,
        open: impl FnOnce() -> Option<OwnedFd>,
    ) {
        let known = |state: &State| ino.is_some() && state.files.contains(&ino);
        if known(&self.shared.state.lock()) {
            return;
        }
        let file = open();
        let mut state = self.shared.state.lock();
        let first = state.files.is_empty() && !state.blind;
        let kept = match file.filter(|_| state.files.len() < FILES_MAX && !state.over) {
            Some(file) => state.keep(holder, file).is_ok(),
            None => false,
        };
        match kept {
            true => state.files.push(ino),
            false => state.blind = true,
        }
        let Some(moments) = state.wanted else { return };
        if state.serving || state.over || state.blind {
            return;
        }
        state.serving = moments == Moments::Throughout;
        drop(state);
        if first {
            // Nothing is stored yet, whatever else is done meanwhile.
            quietly(&**fs);
        }
        if moments != Moments::Throughout {
            return;
        }
        let (shared, fs) = (Arc::clone(&self.shared), Arc::downgrade(fs));
        let begun = thread::Builder::new()
            .name("write-back".into())
            .spawn(move || shared.serve(&fs));
        if begun.is_err() {
            self.shared.state.lock().serving = false;
        }
    }

    /// Nothing is asked any more; the files are let go, as soon as a call that waits ends.
    pub(crate) fn end(&self) {
        let mut state = self.shared.state.lock();
        state.over = true;
        state.files.clear();
        if let Some((holder, owner)) = state.holder.take() {
            // Where it has ended, so have its files.
            let _closed = holder.forget(owner);
        }
        self.shared.changed.notify_all();
    }

    /// Has the kernel write back what is stored in mappings now.
    pub(crate) fn write_back(&self) {
        // Where nobody serves any more, nobody wants it either.
        let _served = self.shared.write_back();
    }

    /// Whether an fsync that no process of the sandbox asked for is our own; only once.
    pub(super) fn takes_own_sync(&self) -> bool {
        self.shared.own_sync.swap(false, Ordering::SeqCst)
    }

    /// What says whether the kernel is being asked just now.
    pub(super) fn asks(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || {
            let shared = shared.upgrade();
            shared.is_some_and(|shared| shared.own_sync.load(Ordering::SeqCst))
        }
    }

    /// Asks the kernel after an operation that was answered; `at` is the next record's number.
    pub(super) fn operation_done(&self, kind: OpKind, at: u64) {
        let mut state = self.shared.state.lock();
        // What the kernel writes back is an operation as well, also when we asked for it: whether
        // all is settled is found out by asking once more.
        if state.serving && kind.changes() && at > state.settled {
            state.asked += 1;
            self.shared.changed.notify_all();
        }
    }

    /// Asks the kernel, and waits for nothing.
    pub(super) fn ask(&self) {
        let mut state = self.shared.state.lock();
        if state.serving {
            state.asked += 1;
            self.shared.changed.notify_all();
        }
    }

    /// True while the kernel is asked for what is stored.
    pub(super) fn is_served(&self) -> bool {
        self.shared.state.lock().serving
    }

    /// Asks the kernel, and waits a limited time until it has been.
    pub(super) fn settle_now(&self) {
        let mut state = self.shared.state.lock();
        if !state.serving || state.over {
            return;
        }
        state.asked += 1;
        let wanted = state.asked;
        self.shared.changed.notify_all();
        let until = Instant::now() + ACK_LIMIT;
        while state.done < wanted && !state.over && state.serving {
            let waited = self.shared.changed.wait_until(&mut state, until);
            if waited.timed_out() {
                return;
            }
        }
    }
}

/// Notes a settled moment, whatever is recorded meanwhile: where it is busy without a pause, none.
fn quietly(fs: &impl CacheLog) {
    let _quiet = (0..100).any(|_| fs.settled_at(fs.next_seq()));
}

impl Drop for Mappings {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn serve(&self, fs: &Weak<impl CacheLog>) {
        let mut state = self.state.lock();
        while !state.over {
            if state.asked == state.done {
                self.changed.wait(&mut state);
                continue;
            }
            let (asked, last) = (state.asked, state.settled);
            drop(state);
            let Some(fs) = fs.upgrade() else { return };
            let settled = self.settle(&*fs, last);
            drop(fs);
            state = self.state.lock();
            state.done = asked;
            if let Some(settled) = settled {
                state.settled = settled;
            }
            self.changed.notify_all();
        }
        state.serving = false;
        self.changed.notify_all();
    }

    /// Asks until a round found nothing dirty: the number behind its record. Where nothing happened
    /// since the last one, which was at `last`, that one is right still.
    fn settle(&self, fs: &impl CacheLog, last: u64) -> Option<u64> {
        for _ in 0..TRIES {
            let before = fs.next_seq();
            self.write_back()?;
            let blind = self.state.lock().blind;
            if before == last && fs.next_seq() == before {
                return Some(before);
            }
            if !blind && fs.settled_at(before) {
                return Some(before + 1);
            }
        }
        None
    }

    /// One round over all files; none where the server takes nothing any more.
    ///
    /// It waits for calls under way that change the same file (`inode_lock` in `fuse_fsync`), and
    /// for all that the kernel has sent of it (`fuse_sync_writes`, fs/fuse/file.c).
    fn write_back(&self) -> Option<()> {
        let _one = self.round.lock();
        let (files, holder) = {
            let state = self.state.lock();
            (state.files.len(), state.holder.clone())
        };
        let Some((holder, owner)) = holder else {
            return Some(());
        };
        for at in 0..files {
            self.own_sync.store(true, Ordering::SeqCst);
            let synced = holder.sync(owner, at);
            self.own_sync.store(false, Ordering::SeqCst);
            synced.ok()?;
        }
        Some(())
    }
}
