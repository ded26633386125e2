//! The machine that a trial runs on: target, storage and clients.

mod afterwards;
mod machine;
mod rehearse;
mod unharmed;

use std::collections::BTreeMap;
use std::io;
use std::iter::once;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use nix::unistd::{getegid, geteuid};
use parking_lot::Mutex;
use plugpull_crashsim::fs::Tree;
use plugpull_crashsim::persist::{Device, Model};
use plugpull_driver::{Action, ClientError, Running, Target};
use plugpull_faults::control::{Control, Injector, PausedOperation};
use plugpull_faults::machine::{InjectError, Machine, sizes};
use plugpull_faults::rule::Matcher;
use plugpull_faults::trigger::When;
use plugpull_sandbox::Usage;
use plugpull_workloads::{
    Call, Clock, Entry, Generator, History, Outcome, Recorder, Stamp, Start, TxnId, WorkloadConfig,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::PROBE;
use super::clients::ClientPool;
use super::crashes::{Crashed, Crashes, JudgedBy};
use super::host::SandboxHost;
use super::progress::End;
use super::restart::{self, Up};
use super::script::{Acked, GateOpener};
use super::storage::Storage;
use super::untouched::{Untouched, WroteTo};
use crate::outcome::{HarnessFailed, Observed, TargetFailed, guard};

/// How many acknowledged transactions the workload begins with, before a fault may fire.
const WARM_UP_ACKS: u64 = 3;
/// How long they may take.
const WARM_UP_LIMIT: Duration = Duration::from_secs(5);
/// How long the moment of a fault is waited for.
const MOMENT_LIMIT: Duration = Duration::from_secs(5);
/// How many transactions it is waited for.
const MOMENT_ACKS: u64 = 600;
/// How often a wait looks whether the target still lives and clients want connections.
const LOOK: Duration = Duration::from_millis(5);
/// The tmpfs that stands in for the crash filesystem.
const PLAIN_BYTES: u64 = 256 << 20;

/// How a trial's storage behaves.
#[derive(Clone, Copy)]
pub struct StorageRules {
    /// What of the unsynced updates a power loss may leave.
    pub model: &'static dyn Model,
    /// What the device does with a write when power is lost.
    pub device: Device,
    /// True when FUSE is available.
    pub fuse: bool,
}

/// The trace's clock: the crash filesystem's log, whichever filesystem that is just now.
pub(super) struct TraceClock {
    began: Instant,
    fs: Mutex<Option<Control>>,
}

impl Clock for TraceClock {
    fn acked(&self, txn: TxnId) -> Stamp {
        let fs = self.fs.lock().clone();
        match fs {
            Some(fs) => {
                let mark = fs.mark(txn);
                Stamp {
                    seq: mark.seq,
                    nanos: mark.nanos,
                }
            }
            None => self.now(),
        }
    }

    fn now(&self) -> Stamp {
        let fs = self.fs.lock().clone();
        match fs {
            Some(fs) => {
                let (seq, nanos) = fs.now();
                Stamp { seq, nanos }
            }
            None => {
                let nanos = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                Stamp { seq: 0, nanos }
            }
        }
    }
}

/// The machine under one trial.
pub struct Testbed<'a> {
    host: Arc<SandboxHost>,
    /// The same host, for what borrows it.
    borrowed: &'a SandboxHost,
    target: Arc<dyn Target>,
    rules: StorageRules,
    pub(super) storage: Storage,
    clock: Arc<TraceClock>,
    /// Notes every call and what came back.
    pub recorder: Arc<Recorder>,
    /// What was there when the recorder's history began.
    inherited: Option<Entry>,
    running: Option<Box<dyn Running + 'a>>,
    clients: Option<ClientPool>,
    generators: BTreeMap<u32, Generator>,
    /// How often a workload of the target's own was started.
    lives: u64,
    /// Numbers the transactions of such workloads.
    numbers: Arc<AtomicU64>,
    starting: Option<JoinHandle<Result<(), HarnessFailed>>>,
    /// The action of the target's driver that the trial is about.
    pub(super) action: Option<Action>,
    /// How long the first start took, on the empty directory.
    first_start: Option<Duration>,
    rng: ChaCha8Rng,
    /// What it was made with.
    workload: WorkloadConfig,
    seed: u64,
    start_limit: Duration,
    /// What its processes had used when a start reached its limit.
    pub(super) used: Option<Usage>,
    /// The crashes so far, where there is a crash filesystem.
    pub(super) crashes: Crashes,
    /// Where the last crash was, on the trace's clock.
    pub(super) crashed_at: Option<Stamp>,
    /// What each life of the target wrote.
    pub outputs: Vec<String>,
    /// How many pages the data took when the workload began, and the size of each file.
    space_at_work: Option<(u64, BTreeMap<String, u64>)>,
    /// Storage operations of filesystems that power loss ended.
    past_operations: u64,
    /// When it was made, on the clock of the sandbox's files.
    since: u64,
    /// What a workload printed had waited in a buffer of its own.
    pub(super) buffered: bool,
    /// plugpull read it so late that an ack may count from later than it was written.
    pub(crate) read_late: bool,
}

/// How a target that was asked to end did so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// By itself, with this exit code: it had the time to close what it had open.
    Ended(i32),
    /// The signal itself ended it, as SIGKILL would have.
    BySignal,
    /// It went on, and was killed.
    Not,
}

impl<'a> Testbed<'a> {
    /// An empty machine. The target is not started yet.
    pub fn new(
        host: &'a Arc<SandboxHost>,
        target: &Arc<dyn Target>,
        rules: StorageRules,
        workload: &WorkloadConfig,
        seed: u64,
        rng: ChaCha8Rng,
        start_limit: Duration,
    ) -> Result<Self, HarnessFailed> {
        host.usable()?;
        let sandbox = &host.sandbox;
        let storage = if rules.fuse {
            // Inside the sandbox a user is who he is outside.
            let owner = (geteuid().as_raw(), getegid().as_raw());
            Storage::crash(sandbox, Injector::empty(owner, seed), host.cpu)?
        } else {
            Storage::tmpfs(sandbox, PLAIN_BYTES)?
        };
        let clock = Arc::new(TraceClock {
            began: Instant::now(),
            fs: Mutex::new(storage.fs()),
        });
        let generators = (0..workload.clients)
            .map(|client| match Generator::new(workload, seed, client) {
                Ok(generator) => Ok((client, generator)),
                Err(error) => Err(HarnessFailed::new(error)),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            host: host.clone(),
            borrowed: host,
            target: target.clone(),
            rules,
            storage,
            recorder: Arc::new(Recorder::new(clock.clone())),
            clock,
            inherited: None,
            running: None,
            clients: None,
            generators,
            lives: 0,
            numbers: Arc::new(AtomicU64::new(1)),
            starting: None,
            action: None,
            first_start: None,
            rng,
            workload: workload.clone(),
            seed,
            start_limit,
            used: None,
            crashes: Crashes::default(),
            crashed_at: None,
            outputs: Vec::new(),
            space_at_work: None,
            past_operations: 0,
            since: sandbox.moment(),
            buffered: false,
            read_late: false,
        })
    }

    /// Starts the target and asks it for `probe`; the time runs from the spawn to the answer.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    pub fn bring_up(&mut self, probe: &str) -> Result<Result<Up<'_>, TargetFailed>, HarnessFailed> {
        let acked = Acked::of(&self.history(), &*self.target);
        self.bring_up_for(probe, acked)
    }

    /// The same, where its check will be asked for these IDs.
    ///
    /// # Errors
    /// plugpull failed; nothing is known of the target.
    pub fn bring_up_for(
        &mut self,
        probe: &str,
        acked: Acked,
    ) -> Result<Result<Up<'_>, TargetFailed>, HarnessFailed> {
        let (target, limit) = (&*self.target, self.start_limit);
        let began = Instant::now();
        Ok(
            match restart::bring_up(target, self.borrowed, limit, probe, acked)? {
                Ok((running, up)) => {
                    self.running = Some(running);
                    self.first_start.get_or_insert(began.elapsed());
                    Ok(up)
                }
                Err(failed) => Err(failed),
            },
        )
    }

    /// Starts the target on the empty data directory of a new trial.
    ///
    /// # Errors
    /// It does not start there: there is nothing to test.
    pub fn start_empty(&mut self) -> Result<(), HarnessFailed> {
        match self.bring_up(PROBE)? {
            Ok(_) => Ok(()),
            Err(failed) => Err(HarnessFailed::new(format!(
                "the target did not start on an empty data directory: {failed}"
            ))),
        }
    }

    /// Starts the target, and notes how that went and all that it shows. Returns what its own check
    /// printed, where it has one.
    ///
    /// # Errors
    /// plugpull failed, or the machine is too slow for the limit that was reached.
    pub fn observe(&mut self, observed: &mut Observed) -> Result<String, HarnessFailed> {
        let printed = match self.bring_up(PROBE)? {
            Ok(mut up) => up.note(observed)?,
            Err(failed) => {
                failed.note(observed);
                String::new()
            }
        };
        self.storage.check()?;
        if let Start::Hung { waited } = observed.start {
            self.confirmed(TargetFailed::Hung(waited))?;
        }
        Ok(printed)
    }

    /// Sets the clients going on the running target.
    ///
    /// # Errors
    /// None could connect, or the workload could not be started.
    pub fn work(&mut self) -> Result<(), HarnessFailed> {
        let deadline = Instant::now() + self.start_limit;
        self.try_work(deadline)?.map_err(HarnessFailed::new)
    }

    /// The same; also says where the target takes no connection.
    fn try_work(&mut self, deadline: Instant) -> Result<Result<(), ClientError>, HarnessFailed> {
        let space = |fs: &Control| Some((self.pages()?, sizes(fs)));
        self.space_at_work = self.storage.fs().as_ref().and_then(space);
        let running = self
            .running
            .as_ref()
            .ok_or_else(|| HarnessFailed::new("no target runs"))?;
        if let Some(script) = self.target.scripted() {
            self.lives += 1;
            // An ack counts from where it was written, however late its reader is scheduled. What serves
            // goes on beside the workload, which may need it before it can be read.
            let mut opener = GateOpener::default();
            let fs = self.storage.fs();
            if let (Some(fs), false) = (&fs, script.serves()) {
                fs.before_changes(opener.before_changes());
            }
            let process = script.work(self.borrowed, self.lives);
            let catch_up = process.as_ref().ok().and_then(|process| process.catch_up());
            if let (Some(fs), Some(catch_up), true) = (&fs, &catch_up, script.serves()) {
                fs.before_changes(catch_up.clone());
            }
            opener.catch_up = catch_up;
            drop(opener);
            let process = process?;
            self.recorder.restarted();
            self.clients = Some(ClientPool::read(process, &self.recorder, &self.numbers));
            return Ok(Ok(()));
        }
        let mut connections = Vec::new();
        for _ in &self.generators {
            match running.connect(deadline) {
                Ok(connection) => connections.push(connection),
                Err(error) => return Ok(Err(error)),
            }
        }
        let clients = std::mem::take(&mut self.generators)
            .into_iter()
            .zip(connections)
            .map(|((number, generator), connection)| (number, connection, generator))
            .collect();
        self.recorder.restarted();
        self.clients = Some(ClientPool::start(clients, &self.recorder));
        Ok(Ok(()))
    }

    /// How many pages the data takes now; none without a crash filesystem.
    fn pages(&self) -> Option<u64> {
        let fs = self.storage.fs()?;
        Some(fs.inspect(|tree, _| tree.pages()))
    }

    /// Storage operations recorded so far.
    pub fn operations(&self) -> u64 {
        match self.storage.fs() {
            Some(fs) => fs.now().0,
            None => self.past_operations,
        }
    }

    /// How much time lies between the first and the last storage operation that is known.
    pub(super) fn operations_took(&self) -> Duration {
        let took = self.storage.fs().and_then(|fs| {
            fs.inspect(|_, log| {
                let (first, last) = (log.records().first()?, log.records().last()?);
                Some(last.nanos.saturating_sub(first.nanos))
            })
        });
        Duration::from_nanos(took.unwrap_or_default())
    }

    /// Forgets the history, and lets the workload go on in a new one that begins with this.
    pub(super) fn new_history(&mut self, beginning: Entry) {
        self.inherited = Some(beginning);
        self.recorder = Arc::new(Recorder::new(self.clock.clone()));
    }

    /// The history, with what was there when it began.
    pub fn history(&self) -> History {
        let mut history = self.recorder.history();
        history.entries.splice(0..0, self.inherited.clone());
        history
    }

    /// Where the last crash was, on the trace's clock; none where there was none.
    pub fn crashed_at(&self) -> Option<Stamp> {
        self.crashed_at
    }

    /// That the target wrote nothing to its data directory, whatever it acknowledged; none where it
    /// did.
    ///
    /// # Errors
    /// What lies there cannot be known.
    pub fn untouched(&mut self) -> Result<Option<Untouched>, HarnessFailed> {
        let empty = match self.storage.fs() {
            Some(_) => self.operations() == 0,
            None => self.files()?.is_empty(),
        };
        if !empty {
            return Ok(None);
        }
        let sandbox = &self.host.sandbox;
        Ok(Some(Untouched {
            directory: sandbox.data_dir().to_path_buf(),
            acked: self.acked() as u64,
            elsewhere: match sandbox.written_elsewhere(self.since)? {
                _ if self.awaits_barrier() => WroteTo::NoBarrier,
                Some(found) => WroteTo::Known(found),
                None => WroteTo::Unknown,
            },
        }))
    }

    /// Asks the target to end by this signal, and waits until it has, and until all that its workload
    /// acknowledged has been read. Whatever is left is killed then. This is no crash: acks go on to
    /// count.
    ///
    /// # Errors
    /// plugpull failed.
    pub fn stop(&mut self, signal: i32, limit: Duration) -> Result<Stopped, HarnessFailed> {
        let deadline = Instant::now() + limit;
        if let Some(clients) = self.clients.take_if(|clients| clients.script.is_none()) {
            self.generators = clients.stop()?;
        }
        self.signal_all(signal)?;
        let code = match self.host.last() {
            Some(child) => child.wait(deadline)?,
            None => None,
        };
        if let Some(clients) = &self.clients
            && let Some(reading) = &clients.script
        {
            while !reading.is_over() && Instant::now() < deadline {
                clients.progress.wait(deadline.min(Instant::now() + LOOK));
            }
        }
        self.host.sandbox.kill_all()?;
        self.reap()?;
        Ok(match code {
            Some(code) if code == 128 + signal => Stopped::BySignal,
            Some(code) => Stopped::Ended(code),
            None => Stopped::Not,
        })
    }

    /// # Errors
    /// Acks were read so late that they may count from later than they were written.
    pub(super) fn must_have_read_in_time(&self) -> Result<(), HarnessFailed> {
        match self.read_late {
            true => Err(HarnessFailed::new(
                "plugpull had no time to read acks for over a second: they would count from later than \
                 they were written",
            )),
            false => Ok(()),
        }
    }

    /// How a workload of the target's own ended, if it has.
    pub fn workload_end(&self) -> Option<End> {
        self.clients.as_ref()?.script.as_ref()?.end()
    }

    /// Why a workload of the target's own ended that had more to do, with the calls that are not
    /// available here: a program that needs one cannot be tested, and the cause is not its own.
    pub fn workload_trouble(&self) -> Option<String> {
        let trouble = self.workload_end()?.trouble()?;
        let called = self.fs().map_or(Vec::new(), |fs| fs.unsupported_calls());
        let named = called.iter().map(|call| match *call {
            "FICLONE" => "; FICLONE is not supported here, as on ext4".to_owned(),
            call => format!("; {call} is not supported here, as on many filesystems"),
        });
        Some(once(trouble).chain(named).collect())
    }

    /// Takes leave of a life that was ended: waits for all that served it, and keeps its output.
    ///
    /// # Errors
    /// A client, what started the target or what served its files failed.
    fn reap(&mut self) -> Result<(), HarnessFailed> {
        let clients = self.clients.take();
        let reading = clients.as_ref().and_then(|clients| clients.script.clone());
        let stopped = clients.map(ClientPool::stop).transpose();
        let end = reading.and_then(|reading| reading.end());
        if let Some(end) = &end {
            self.buffered |= end.buffered;
            self.read_late |= end.read_late;
        }
        let started = self.starting.take().map_or(Ok(()), |starting| {
            let panicked = |payload: Box<dyn std::any::Any + Send>| {
                Err(HarnessFailed::of_thread(
                    "what started the target",
                    &*payload,
                ))
            };
            starting.join().unwrap_or_else(panicked)
        });
        self.running = None;
        if let Some(child) = self.host.take_last() {
            self.outputs.push(child.output());
        }
        if let Some(generators) = stopped? {
            self.generators = generators;
        }
        started?;
        self.storage.check()
    }

    fn signal_all(&self, signal: i32) -> Result<(), InjectError> {
        self.host.sandbox.signal_all(signal).map_err(to_io)
    }

    /// Looks after the clients once, and says whether the target lives.
    fn poll(&self) -> bool {
        let reading = self
            .clients
            .as_ref()
            .and_then(|clients| clients.script.as_ref());
        if let (Some(reading), Some(script)) = (reading, self.target.scripted()) {
            // What a workload printed before its end is still being read after it.
            return !reading.is_over() && (!script.serves() || self.host.alive());
        }
        let alive = self.host.alive();
        if let (Some(clients), Some(running)) = (&self.clients, &self.running) {
            let deadline = Instant::now() + Duration::from_secs(1);
            clients.reconnect(|| {
                if alive {
                    running.connect(deadline).ok()
                } else {
                    None
                }
            });
        }
        alive
    }

    fn exit_error(&self) -> InjectError {
        if self.workload_end().is_some() {
            return match self.workload_trouble() {
                Some(why) => InjectError::TargetGone(why),
                None => InjectError::NeverReached("the workload had come to its end".into()),
            };
        }
        let said = self
            .host
            .last()
            .map(|child| child.output())
            .unwrap_or_default();
        InjectError::TargetGone(said.trim().to_string())
    }

    /// How many transactions the clients of this life were acknowledged.
    fn acks_of_clients(&self) -> u64 {
        let clients = self.clients.as_ref();
        clients.map_or(0, |clients| clients.progress.tally().ok)
    }

    fn await_watch(
        &mut self,
        paused: &Receiver<PausedOperation>,
        give_up: impl Fn(&Self) -> bool,
    ) -> Result<(), InjectError> {
        let deadline = Instant::now() + self.patient(MOMENT_LIMIT);
        let acked = self.acks_of_clients();
        loop {
            match paused.recv_timeout(LOOK) {
                Ok(_) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(InjectError::NeverReached("the watch was replaced".into()));
                }
            }
            let alive = self.poll();
            let idle = self.acks_of_clients() >= acked + MOMENT_ACKS;
            let over = idle || Instant::now() >= deadline;
            // A target that is being started may not have been spawned yet; its starter ends when it
            // dies.
            let died = !alive && self.starting.is_none();
            if died || over || give_up(self) {
                // It may have come in this very moment.
                if paused.try_recv().is_ok() {
                    return Ok(());
                }
                self.go_on();
                return Err(if died {
                    self.exit_error()
                } else if over {
                    InjectError::NeverReached(
                        "the workload went on without such an operation".into(),
                    )
                } else {
                    InjectError::NeverReached("recovery had fewer such operations".into())
                });
            }
        }
    }

    /// The watch for a moment at an operation.
    fn watch(&mut self, when: &When) -> Result<Receiver<PausedOperation>, InjectError> {
        let fs = self.crash_fs()?;
        let (matcher, skip) = match when {
            When::Op { matcher, nth } => (matcher.clone(), nth - 1),
            When::Chance { matcher, chance } => {
                (matcher.clone(), geometric(*chance, &mut self.rng))
            }
            When::Ack(_) | When::Time(_) => (Matcher::default(), 0),
        };
        Ok(fs.watch(matcher, skip))
    }
}

/// How many tries with this chance fail before the first that does not.
fn geometric(chance: f64, rng: &mut ChaCha8Rng) -> u64 {
    if chance >= 1.0 {
        return 0;
    }
    let uniform: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
    (uniform.ln() / (1.0 - chance).ln()) as u64
}

fn to_io(error: plugpull_sandbox::SandboxError) -> InjectError {
    InjectError::Io(error.into())
}

fn storage_error(error: anyhow::Error) -> InjectError {
    InjectError::Io(io::Error::other(format!("{error:#}")))
}

impl Testbed<'_> {
    /// A limit on waiting for transactions, for a target whose every one takes long.
    pub(super) fn patient(&self, limit: Duration) -> Duration {
        limit.saturating_mul(self.target.patience().max(1))
    }

    /// Lets the workload go on until something is at stake: a crash before would tell nothing.
    pub fn warm_up(&mut self) -> Result<(), InjectError> {
        if !self.first_barrier()? {
            let first = self.work_until(self.first_ack_limit(), &|tally| tally.ok > 0)?;
            // Of one that acknowledged nothing in all this time nothing more is to be waited for.
            if first.ok > 0 {
                let limit = self.patient(WARM_UP_LIMIT);
                self.work_until(limit, &|tally| tally.ok + 1 >= WARM_UP_ACKS)?;
            }
        }
        Ok(())
    }

    /// How long the first ack is waited for: what comes before it (a schema, a first copy) may take as
    /// long as a start.
    pub(super) fn first_ack_limit(&self) -> Duration {
        self.patient(WARM_UP_LIMIT).max(self.start_limit)
    }

    /// Waits for the first barrier of a workload that nothing should happen to before; false where
    /// there is none to wait for.
    pub fn first_barrier(&mut self) -> Result<bool, InjectError> {
        let limit = self.target.scripted().and_then(|s| s.first_barrier());
        if let Some(limit) = limit {
            let tally = self.work_until(limit, &|tally| tally.barriers > 0)?;
            if tally.barriers == 0 {
                return Err(match self.poll() {
                    true => InjectError::NeverReached(format!(
                        "its workload reached no barrier within {limit:.1?} ({} acknowledged, {} \
                         refused, {} unanswered)",
                        tally.ok, tally.fail, tally.info
                    )),
                    false => self.exit_error(),
                });
            }
        }
        Ok(limit.is_some())
    }

    /// Whether what was acknowledged may still wait for a barrier.
    fn awaits_barrier(&self) -> bool {
        let history = self.recorder.history();
        let acked = |entry: &Entry| {
            entry.call == Call::Barrier && matches!(entry.done, Some((_, Outcome::Ok)))
        };
        self.workload.barrier_chance > 0.0 && !history.entries.iter().any(acked)
    }

    /// Lets clients go on until a barrier is acknowledged, where the target promises something for one and
    /// acknowledges anything.
    pub fn reach_barrier(&mut self) -> Result<(), InjectError> {
        if self.awaits_barrier() && self.acked() > 0 {
            self.work_until(self.first_ack_limit(), &|tally| tally.barriers > 0)?;
        }
        Ok(())
    }

    /// The outcome that counts as an ack.
    pub fn acked(&self) -> usize {
        let history = self.recorder.history();
        history
            .entries
            .iter()
            .filter(|e| matches!(e.done, Some((_, Outcome::Ok))))
            .count()
    }

    /// Leaves the machine clean for the next trial.
    ///
    /// # Errors
    /// It is not clean: the sandbox is given up.
    pub fn tear_down(mut self) -> Result<(), HarnessFailed> {
        let host = self.host.clone();
        let cleaned = guard(|| {
            if let Some(fs) = self.storage.fs() {
                fs.cut();
            }
            self.signal_all(libc::SIGKILL)?;
            self.host.sandbox.kill_all()?;
            let reaped = self.reap();
            self.storage.unmount(&self.host.sandbox)?;
            reaped
        });
        if let Err(failed) = &cleaned {
            host.give_up(failed);
        }
        cleaned
    }

    /// A copy of what lies on the disk now, to start from again; none without a crash filesystem.
    pub fn snapshot(&self) -> Option<Tree> {
        self.storage
            .fs()
            .map(|fs| fs.inspect(|tree, _| tree.clone()))
    }

    /// The crashes so far and what lies on the disk now, with what a fault damaged there besides;
    /// none without a crash filesystem.
    pub(super) fn crashed(&self, damaged: Option<String>) -> Option<Crashed> {
        Some(Crashed {
            crashes: self.crashes.clone(),
            disk: self.snapshot()?,
            damaged: damaged.unwrap_or_default(),
            unreadable: self
                .storage
                .fs()
                .is_some_and(|fs| fs.damage(|_, bad| !bad.is_empty())),
            judged: JudgedBy::default(),
        })
    }

    /// Puts a copy on the disk again. Every process must be dead.
    pub fn restore(&mut self, mut tree: Tree) -> Result<(), InjectError> {
        let Some(fs) = self.storage.fs() else {
            return Ok(());
        };
        let (seq, _) = fs.now();
        let began = fs.inspect(|_, log| log.began());
        tree.settle();
        let fresh = Injector::new(tree, began, seq, self.rng.random());
        self.storage
            .remount(&self.host.sandbox, fresh.clone(), self.host.cpu)
            .map_err(storage_error)?;
        *self.clock.fs.lock() = Some(fresh);
        Ok(())
    }
}
