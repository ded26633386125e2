//! One crash filesystem: tree, log, space and the rules in force, shared between the thread that
//! serves the kernel and the trial that commands it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::errno::Errno;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::content::PAGE;
use super::log::{Log, Mark, Op, Sink};
use super::node::{Ino, Nanos, from_system_time};
use super::tree::Tree;
use crate::inject::{BadSectors, Effect, Matcher, OpKind, PageOutcome, Rule, RuleId};

/// The size of the filesystem when nothing else is said: 16 GiB.
const DEFAULT_PAGES: u64 = (16 << 30) / PAGE as u64;
/// Bytes of writes that the log keeps when nothing else is said.
const DEFAULT_LOG_LIMIT: u64 = 1 << 30;

/// How much space there is, in pages of 4 KiB.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Pages in all.
    pub total: u64,
}

/// An operation that a watch is holding: the whole filesystem stands still until
/// [`CrashFs::release`].
#[derive(Clone, Debug)]
pub struct Held {
    /// The number that the operation's record will get, if it comes to that.
    pub seq: u64,
    /// Its kind.
    pub kind: OpKind,
    /// Its file.
    pub path: Arc<str>,
}

pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) log: Log,
    pub(super) bad: BadSectors,
    pub(super) space: Space,
    pub(super) bad_hits: u64,
    /// Ranges that were changed at rest, to know whether anybody reads them.
    pub(super) flipped: BadSectors,
    pub(super) full_hits: u64,
    rules: Vec<(RuleId, Rule, u64)>,
    watch: Option<Watch>,
    held: bool,
    dead: bool,
    /// True when `rules`, `watch` or `dead` need a look: the one test on the fast path.
    armed: bool,
    next_rule: RuleId,
    rng: ChaCha8Rng,
}

struct Watch {
    matcher: Matcher,
    skip: u64,
    tell: Sender<Held>,
}

/// A crash filesystem. Shared by `Arc`.
pub struct CrashFs {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the trial does to a filesystem; all methods may be called from any thread.
pub type Control = Arc<CrashFs>;

impl CrashFs {
    /// A filesystem that holds `tree`, with its log beginning at number `first` on a clock that
    /// began at `began`. `seed` decides the chances of rules.
    pub fn new(tree: Tree, began: Instant, first: u64, seed: u64) -> Control {
        let log = Log::new(tree.clone(), began, first, DEFAULT_LOG_LIMIT);
        Arc::new(Self {
            state: Mutex::new(State {
                tree,
                log,
                bad: BadSectors::default(),
                space: Space {
                    total: DEFAULT_PAGES,
                },
                bad_hits: 0,
                flipped: BadSectors::default(),
                full_hits: 0,
                rules: Vec::new(),
                watch: None,
                held: false,
                dead: false,
                armed: false,
                next_rule: 1,
                rng: ChaCha8Rng::seed_from_u64(seed),
            }),
            changed: Condvar::new(),
        })
    }

    /// An empty filesystem whose root belongs to user and group `owner`.
    pub fn empty(owner: (u32, u32), seed: u64) -> Control {
        let now = from_system_time(SystemTime::now());
        Self::new(Tree::new(owner.0, owner.1, now), Instant::now(), 0, seed)
    }

    /// Limits the bytes of writes that the log keeps.
    pub fn limit_log(&self, bytes: u64) {
        let mut state = self.state.lock();
        let (base, began, first) = (state.tree.clone(), state.log.began(), state.log.next_seq());
        state.log = Log::new(base, began, first, bytes);
    }

    /// From here on every record and mark goes to `sink`, and the log keeps nothing.
    pub fn stream_to(&self, sink: Box<dyn Sink>) {
        self.state.lock().log.stream_to(sink);
    }

    /// The position on the trace's clock: the number that the next operation will get, and the
    /// nanoseconds since the clock began.
    pub fn now(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.log.next_seq(), state.log.nanos())
    }

    /// Marks a client's ack in the log.
    pub fn mark(&self, id: u64) -> Mark {
        self.state.lock().log.mark(id)
    }

    /// Takes the log away, and begins a new one on what the tree holds now.
    pub fn take_log(&self) -> Log {
        let mut state = self.state.lock();
        let (began, first) = (state.log.began(), state.log.next_seq());
        let fresh = Log::new(state.tree.clone(), began, first, state.log.limit());
        std::mem::replace(&mut state.log, fresh)
    }

    /// Looks at the tree and the log as they are now.
    pub fn inspect<T>(&self, look: impl FnOnce(&Tree, &Log) -> T) -> T {
        let state = self.state.lock();
        look(&state.tree, &state.log)
    }

    /// Changes the tree behind the kernel's back, without a record: damage at rest. Only for a
    /// filesystem that is not mounted, or whose caches are dropped afterwards.
    pub fn damage<T>(&self, change: impl FnOnce(&mut Tree, &mut BadSectors) -> T) -> T {
        let mut state = self.state.lock();
        let State { tree, bad, .. } = &mut *state;
        change(tree, bad)
    }

    /// Flips one bit of a file at rest, and watches whether its sector is read before it is
    /// written again. The file must not be in the kernel's cache.
    pub fn flip_bit(&self, ino: Ino, offset: u64, bit: u8) {
        let mut state = self.state.lock();
        let mut byte = Vec::with_capacity(1);
        if let Ok(content) = state.tree.content(ino) {
            content.read(offset, 1, &mut byte);
        }
        if let Some(byte) = byte.first() {
            let flipped = [byte ^ (1 << (bit % 8))];
            state
                .tree
                .raw_content(ino, |content| content.patch(offset, &flipped));
            state.flipped.add(ino, offset, offset + 1, false);
        }
    }

    /// Puts a rule in force.
    pub fn add_rule(&self, rule: Rule) -> RuleId {
        let mut state = self.state.lock();
        let id = state.next_rule;
        state.next_rule += 1;
        state.rules.push((id, rule, 0));
        state.armed = true;
        id
    }

    /// Ends a rule; operations that hang by it go on. Returns how often it was met.
    pub fn remove_rule(&self, id: RuleId) -> u64 {
        let mut state = self.state.lock();
        let mut hits = 0;
        state.rules.retain(|(known, _, met)| {
            if *known == id {
                hits = *met;
            }
            *known != id
        });
        state.rearm();
        self.changed.notify_all();
        hits
    }

    /// How often a rule was met so far.
    pub fn hits(&self, id: RuleId) -> u64 {
        let state = self.state.lock();
        state
            .rules
            .iter()
            .find(|(known, ..)| *known == id)
            .map_or(0, |(_, _, hits)| *hits)
    }

    /// How many reads met a bad sector, and how many operations found no space.
    pub fn damage_hits(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.bad_hits, state.full_hits)
    }

    /// Waits for the operation after `skip` fitting ones, and holds it, before it happens, with
    /// all that come behind it, until [`CrashFs::release`]. One watch at a time: a new one takes
    /// the place of the old, whose receiver is closed.
    pub fn watch(&self, matcher: Matcher, skip: u64) -> Receiver<Held> {
        let (tell, told) = bounded(1);
        let mut state = self.state.lock();
        state.watch = Some(Watch {
            matcher,
            skip,
            tell,
        });
        state.armed = true;
        told
    }

    /// Takes the watch back and lets a held operation go on.
    pub fn release(&self) {
        let mut state = self.state.lock();
        state.watch = None;
        state.held = false;
        state.rearm();
        self.changed.notify_all();
    }

    /// Sets the size of the filesystem.
    pub fn set_space(&self, space: Space) {
        self.state.lock().space = space;
    }

    /// Sets the size to what is in use now and this many pages more.
    pub fn fill(&self, pages_left: u64) {
        let mut state = self.state.lock();
        state.space.total = state.tree.pages() + pages_left;
    }

    /// Gives the whole default space back.
    pub fn free(&self) {
        self.set_space(Space {
            total: DEFAULT_PAGES,
        });
    }

    /// The machine is dead from this moment: returns the position of the crash on the trace's
    /// clock. Everything that is asked from now on fails with EIO and changes nothing, and what
    /// was held or hung goes on to fail so.
    pub fn cut(&self) -> u64 {
        let mut state = self.state.lock();
        state.dead = true;
        state.armed = true;
        state.held = false;
        self.changed.notify_all();
        state.log.next_seq()
    }

    /// Lets an operation through, or says how it fails. Waits where a watch or a rule says so.
    /// Returns with the lock held, so that what was admitted happens at once.
    pub(super) fn admit(
        &self,
        kind: OpKind,
        ino: Ino,
        name: Option<&std::ffi::OsStr>,
    ) -> Result<MutexGuard<'_, State>, Errno> {
        let mut state = self.state.lock();
        if !state.armed {
            return Ok(state);
        }
        let path = match name {
            Some(name) => state.tree.path_of(ino, name),
            None => state
                .tree
                .get(ino)
                .map_or_else(|_| "".into(), |inode| inode.path.clone()),
        };
        if state.watch_fires(kind, &path) {
            while state.held {
                self.changed.wait(&mut state);
            }
        }
        if state.dead {
            return Err(Errno::EIO);
        }
        let Some((id, effect)) = state.effect_on(kind, &path) else {
            return Ok(state);
        };
        match effect {
            Effect::Fail(errno) => Err(errno),
            Effect::SyncFails(outcome) => {
                if outcome == PageOutcome::MarkedClean {
                    state.log.push(0, path, Op::SyncFailed { ino });
                }
                Err(Errno::EIO)
            }
            Effect::Delay(time) => {
                let until = Instant::now() + time;
                while !state.dead && state.has_rule(id) {
                    if self.changed.wait_until(&mut state, until).timed_out() {
                        break;
                    }
                }
                if state.dead {
                    Err(Errno::EIO)
                } else {
                    Ok(state)
                }
            }
            Effect::Hang => {
                while !state.dead && state.has_rule(id) {
                    self.changed.wait(&mut state);
                }
                if state.dead {
                    Err(Errno::EIO)
                } else {
                    Ok(state)
                }
            }
        }
    }

    /// The lock, for what no rule can meet.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn rearm(&mut self) {
        self.armed = self.dead || self.watch.is_some() || !self.rules.is_empty();
    }

    fn has_rule(&self, id: RuleId) -> bool {
        self.rules.iter().any(|(known, ..)| *known == id)
    }

    fn watch_fires(&mut self, kind: OpKind, path: &Arc<str>) -> bool {
        let Some(watch) = &mut self.watch else {
            return false;
        };
        if self.dead || !watch.matcher.fits(kind, path) {
            return false;
        }
        if watch.skip > 0 {
            watch.skip -= 1;
            return false;
        }
        let held = Held {
            seq: self.log.next_seq(),
            kind,
            path: path.clone(),
        };
        // Nobody listens any more: the trial went on without it.
        self.held = watch.tell.try_send(held).is_ok();
        self.watch = None;
        self.held
    }

    fn effect_on(&mut self, kind: OpKind, path: &str) -> Option<(RuleId, Effect)> {
        let Self { rules, rng, .. } = self;
        rules.iter_mut().find_map(|(id, rule, hits)| {
            rule.meets(kind, path, rng).then(|| {
                *hits += 1;
                (*id, rule.effect)
            })
        })
    }

    /// Appends a record about an inode that exists.
    pub(super) fn record(&mut self, pid: u32, ino: Ino, op: Op) {
        let path = self
            .tree
            .get(ino)
            .map_or_else(|_| "?".into(), |inode| inode.path.clone());
        self.log.push(pid, path, op);
    }

    /// Pages still free.
    pub(super) fn free_pages(&self) -> u64 {
        self.space.total.saturating_sub(self.tree.pages())
    }
}

/// The time now, as inodes keep it.
pub(super) fn wall_clock() -> Nanos {
    from_system_time(SystemTime::now())
}

/// How long the kernel may believe what it was told: nobody else changes the filesystem.
pub(super) const FOR_EVER: Duration = Duration::from_secs(24 * 3600);
