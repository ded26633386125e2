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

use super::rule::{Effect, Matcher, PageOutcome, Rule, RuleId};

/// An operation that a watch is holding: the whole filesystem stands still until
/// [`Injector::release`].
#[derive(Clone, Debug)]
pub struct Held {
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
    tell: Sender<Held>,
}

struct InForce {
    rules: Vec<(RuleId, Rule, u64)>,
    watch: Option<Watch>,
    held: bool,
    /// True when `rules` or `watch` need a look: the one test on the fast path.
    armed: bool,
    next_rule: RuleId,
    rng: ChaCha8Rng,
}

/// The wait of an operation that a watch holds; those of rules are their numbers, from 1.
const HELD: WaitId = 0;

struct Rules(Mutex<InForce>);

impl Admission for Rules {
    fn admit(&self, op: &Operation<'_>) -> Decision {
        let mut force = self.0.lock();
        if !force.armed {
            return Decision::Serve;
        }
        let path = op.path();
        if !op.resumed && force.watch_fires(op, &path) {
            return Decision::Pause(HELD);
        }
        let Some((id, effect)) = force.effect_on(op.kind, &path) else {
            return Decision::Serve;
        };
        match effect {
            Effect::Fail(errno) => Decision::Fail(errno),
            Effect::SyncFails(PageOutcome::MarkedClean) => Decision::FailSyncPagesClean,
            Effect::SyncFails(PageOutcome::KeptDirty) => Decision::Fail(Errno::EIO),
            Effect::Delay(time) => Decision::Delay(id, Some(time)),
            Effect::Hang => Decision::Delay(id, None),
        }
    }

    fn waits(&self, id: WaitId) -> bool {
        let force = self.0.lock();
        if id == HELD {
            force.held
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
            held: false,
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

    /// Waits for the operation after `skip` fitting ones, and holds it, before it happens, with
    /// all that come behind it, until [`Injector::release`]. One watch at a time: a new one takes
    /// the place of the old, whose receiver is closed.
    pub fn watch(&self, matcher: Matcher, skip: u64) -> Receiver<Held> {
        let (tell, told) = bounded(1);
        let mut force = self.rules.0.lock();
        force.watch = Some(Watch {
            matcher,
            skip,
            tell,
        });
        force.armed = true;
        told
    }

    /// Takes the watch back and lets a held operation go on.
    pub fn release(&self) {
        let mut force = self.rules.0.lock();
        force.watch = None;
        force.held = false;
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
        let held = Held {
            seq: op.seq,
            kind: op.kind,
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
}
