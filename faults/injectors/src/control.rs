//! The rules and the watch in force on one crash filesystem, and the filesystem itself.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::errno::Errno;
use parking_lot::Mutex;
use plugpull_crashsim::fs::{Disk, Tree};
use plugpull_sandbox::fuse::{Admission, CrashFs, Decision, OpKind, Operation, WaitId};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::rule::{Matcher, PageOutcome, Response, Rule, RuleId};

/// An operation that a watch has paused, and the whole filesystem with it, until
/// [`Injector::release`].
#[derive(Clone, Debug)]
pub struct PausedOperation {
    /// The number that the operation's record will get, if it comes to that.
    pub seq: u64,
    /// Its kind.
    pub kind: OpKind,
    /// Its file.
    pub path: Arc<str>,
}

struct Watch {
    matcher: Matcher,
    skip: u64,
    paused: Sender<PausedOperation>,
}

struct InForce {
    rules: Vec<(RuleId, Rule, u64)>,
    watch: Option<Watch>,
    /// True while an operation is paused by the watch.
    paused: bool,
    /// True when there are rules or a watch: the one test on the fast path.
    armed: bool,
    next_rule: RuleId,
    rng: ChaCha8Rng,
}

/// The wait of an operation that a watch has paused; those of rules are their numbers, from 1.
const PAUSED: WaitId = 0;

struct Rules(Mutex<InForce>);

impl Admission for Rules {
    fn admit(&self, op: &Operation<'_>) -> Decision {
        let mut force = self.0.lock();
        if !force.armed {
            return Decision::Serve;
        }
        let path = op.path();
        if !op.resumed && force.watch_fires(op, &path) {
            return Decision::Pause(PAUSED);
        }
        let Some((id, response)) = force.response_to(op.kind, &path) else {
            return Decision::Serve;
        };
        match response {
            Response::Fail(errno) => Decision::Fail(errno),
            Response::SyncFails(PageOutcome::MarkedClean) => Decision::FailSyncPagesClean,
            Response::SyncFails(PageOutcome::KeptDirty) => Decision::Fail(Errno::EIO),
            Response::Delay(time) => Decision::Delay(id, Some(time)),
            Response::Hang => Decision::Delay(id, None),
        }
    }

    fn waits(&self, id: WaitId) -> bool {
        let force = self.0.lock();
        if id == PAUSED {
            force.paused
        } else {
            force.has_rule(id)
        }
    }
}

/// A crash filesystem with rules and a watch. Shared by `Arc`.
pub struct Injector {
    fs: Arc<CrashFs>,
    rules: Arc<Rules>,
}

/// What the trial does to a filesystem; all methods may be called from any thread.
pub type Control = Arc<Injector>;

impl Injector {
    /// A filesystem that holds `tree`, with its log beginning at number `first` on a clock that
    /// began at `began`. `seed` decides the chances of rules.
    pub fn new(tree: Tree, began: Instant, first: u64, seed: u64) -> Control {
        Self::on(Disk::new(tree, began, first), seed)
    }

    /// An empty filesystem whose root belongs to user and group `owner`.
    pub fn empty(owner: (u32, u32), seed: u64) -> Control {
        Self::on(Disk::empty(owner), seed)
    }

    fn on(disk: Disk, seed: u64) -> Control {
        let rules = Arc::new(Rules(Mutex::new(InForce {
            rules: Vec::new(),
            watch: None,
            paused: false,
            armed: false,
            next_rule: 1,
            rng: ChaCha8Rng::seed_from_u64(seed),
        })));
        let fs = Arc::new(CrashFs::new(disk, rules.clone()));
        Arc::new(Self { fs, rules })
    }

    /// The filesystem, to serve it.
    pub fn fs(&self) -> Arc<CrashFs> {
        self.fs.clone()
    }

    /// Puts a rule in force.
    pub fn add_rule(&self, rule: Rule) -> RuleId {
        let mut force = self.rules.0.lock();
        let id = force.next_rule;
        force.next_rule += 1;
        force.rules.push((id, rule, 0));
        force.armed = true;
        id
    }

    /// Ends a rule; operations that hang by it go on. Returns how often it was met.
    pub fn remove_rule(&self, id: RuleId) -> u64 {
        let mut hits = 0;
        let mut force = self.rules.0.lock();
        force.rules.retain(|(known, _, met)| {
            if *known == id {
                hits = *met;
            }
            *known != id
        });
        force.rearm();
        drop(force);
        self.fs.wake();
        hits
    }

    /// How often a rule was met so far.
    pub fn hits(&self, id: RuleId) -> u64 {
        let force = self.rules.0.lock();
        let mut rules = force.rules.iter();
        rules
            .find(|(known, ..)| *known == id)
            .map_or(0, |(_, _, hits)| *hits)
    }

    /// Pauses the operation after `skip` fitting ones, before it happens, and all behind it, until
    /// [`Injector::release`] or the next watch, and sends it through the channel. One watch at a time:
    /// a new one replaces the old, whose channel is closed, and lets what it had paused go on. No
    /// operation passes between the two unseen.
    pub fn watch(&self, matcher: Matcher, skip: u64) -> Receiver<PausedOperation> {
        let (paused, receiver) = bounded(1);
        let mut force = self.rules.0.lock();
        force.watch = Some(Watch {
            matcher,
            skip,
            paused,
        });
        force.armed = true;
        force.paused = false;
        drop(force);
        self.fs.wake();
        receiver
    }

    /// Ends the watch and lets a paused operation go on.
    pub fn release(&self) {
        let mut force = self.rules.0.lock();
        force.watch = None;
        force.paused = false;
        force.rearm();
        drop(force);
        self.fs.wake();
    }
}

impl Deref for Injector {
    type Target = CrashFs;

    fn deref(&self) -> &CrashFs {
        &self.fs
    }
}

impl InForce {
    fn rearm(&mut self) {
        self.armed = self.watch.is_some() || !self.rules.is_empty();
    }

    fn has_rule(&self, id: RuleId) -> bool {
        self.rules.iter().any(|(known, ..)| *known == id)
    }

    fn watch_fires(&mut self, op: &Operation<'_>, path: &Arc<str>) -> bool {
        let Some(watch) = &mut self.watch else {
            return false;
        };
        if !watch.matcher.fits(op.kind, path) {
            return false;
        }
        if watch.skip > 0 {
            watch.skip -= 1;
            return false;
        }
        let paused = PausedOperation {
            seq: op.seq,
            kind: op.kind,
            path: path.clone(),
        };
        // It fails when nobody waits any more, because the trial went on without it.
        self.paused = watch.paused.try_send(paused).is_ok();
        self.watch = None;
        self.paused
    }

    fn response_to(&mut self, kind: OpKind, path: &str) -> Option<(RuleId, Response)> {
        let Self { rules, rng, .. } = self;
        rules.iter_mut().find_map(|(id, rule, hits)| {
            rule.meets(kind, path, rng).then(|| {
                *hits += 1;
                (*id, rule.response)
            })
        })
    }
}
