//! What fails on plugpull's side is never the target's failure: each way of failing, shown once, with
//! a target that is sound.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use plugpull_crashsim::fs::{Mark, Record, Sink};
use plugpull_crashsim::persist::{self, Device};
use plugpull_engine::trial::{self, Elsewhere, SandboxHost, Setup, StorageRules, TrialSpec};
use plugpull_faults::fault::{Fault, Injected};
use plugpull_faults::machine::{InjectError, Machine};
use plugpull_faults::trigger::{Trigger, When};
use plugpull_reports::Trial;
use plugpull_sandbox::{
    self as sandbox, Isolation, IsolationPolicy, Sandbox, SandboxError, SandboxOptions,
};
use plugpull_targets::{Client, ClientError, Host, Launch, Process, Running, StartError, Target};
use plugpull_testing::MadeTest;
use plugpull_workloads::{
    Durability, FailureClass, FindingKind, Guarantee, Promise, Txn, Verdict, WorkloadConfig, Write,
};

/// How long a start may take; the target claims to have waited as long where it hangs.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long a start takes that is slow by nature.
const SLOW: Duration = Duration::from_millis(200);
/// What keeps running as the target, and writes to its data directory all the time.
/// It says so when it has begun: a target that never touched its data directory is not measured.
const WRITES: &str = "trap 'exit 0' TERM; echo line >> log; echo ready; while :; do echo line >> log; sleep 0.01; done";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args
        .first()
        .is_some_and(|word| word == sandbox::SANDBOX_ARG)
    {
        let code = sandbox::sandbox_main(&args[1..]);
        return ExitCode::from(u8::try_from(code).unwrap_or(3));
    }
    let all: [(&str, fn()); 10] = [
        ("a_sound_target_passes", sound),
        ("a_panic_costs_its_trial_only", panics),
        ("a_client_that_panics_is_not_the_target", client_panics),
        (
            "a_start_that_fails_on_the_host_is_not_a_refusal",
            host_fails,
        ),
        ("a_refusal_is_the_targets", refuses),
        ("a_limit_is_the_targets_where_others_start_quickly", hangs),
        ("a_recovery_that_is_slow_by_nature_is_not_hung", slow),
        (
            "a_second_start_that_hangs_is_held_to_the_same",
            second_start,
        ),
        ("a_server_that_panics_is_not_the_target", server_panics),
        ("a_sandbox_that_died_is_not_the_target", sandbox_dies),
    ];
    let tests = all.map(|(name, test)| MadeTest {
        name: name.to_owned(),
        needs: "fuse",
        run: Box::new(test),
    });
    // One of them kills every sandbox of this process.
    plugpull_testing::main_in_turn(|_| open().map(drop).map_err(|why| why.to_string()), tests)
}

/// What the target does wrong when it is started for the second time, or later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// It cannot be spawned.
    Host,
    Refuses,
    /// It hangs once.
    Hangs,
    /// It hangs, on an empty directory too.
    AlwaysHangs,
    /// Where it holds anything a start takes long, also after a clean stop, and too long once.
    Slow,
    /// The same, at the second start after the crash.
    SecondSlow,
    /// It hangs at its second start after the crash.
    SecondHangs,
    /// Its client has an assertion that does not hold.
    Panics,
}

/// A store that never loses anything: it is kept in the test.
struct Store {
    flaw: Flaw,
    starts: AtomicU64,
    data: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Target for Store {
    fn name(&self) -> &str {
        "store"
    }

    fn version(&self) -> String {
        "1".into()
    }

    fn promises(&self) -> Vec<Promise> {
        let guarantees = [
            Guarantee::Durable(Durability::AtAck),
            Guarantee::Consistent,
            Guarantee::RecoversWithinMs(60_000),
        ];
        let promise = |guarantee| Promise {
            classes: vec![FailureClass::ProcessCrash, FailureClass::PowerLoss],
            guarantee,
            words: "kept".into(),
            source: "the test".into(),
            demanded: false,
        };
        guarantees.map(promise).into()
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        let launch = Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), WRITES.into()],
            env: Vec::new(),
            cwd: None,
            reads_lines: true,
            forks: false,
            fork_exits: false,
        };
        let hung = StartError::Timeout {
            waited: START_LIMIT,
            output: String::new(),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        match (self.flaw, self.starts.fetch_add(1, Ordering::Relaxed)) {
            (_, 0) | (Flaw::None | Flaw::Panics, _) | (Flaw::Hangs, 2..) => {}
            (Flaw::Host, _) => return Err(io::Error::from_raw_os_error(libc::EAGAIN).into()),
            (Flaw::Refuses, _) => return Err(StartError::Refused("it is damaged".into())),
            (Flaw::Hangs | Flaw::AlwaysHangs, _) => return Err(hung),
            (Flaw::Slow, 1) | (Flaw::SecondSlow, 2) => {
                let waited = SLOW * 5;
                return Err(StartError::Timeout {
                    waited,
                    output: String::new(),
                });
            }
            // After a clean stop it is waited for longer.
            (Flaw::Slow | Flaw::SecondSlow, 2..) if left > START_LIMIT => thread::sleep(SLOW),
            (Flaw::Slow | Flaw::SecondSlow, _) => {}
            (Flaw::SecondHangs, 2) => return Err(hung),
            (Flaw::SecondHangs, _) => {}
        }
        let mut process = host.spawn(&launch)?;
        let ready = process.stdout_line(deadline)?;
        assert_eq!(ready.as_deref(), Some("ready"));
        Ok(Box::new(Up {
            process,
            data: self.data.clone(),
            panics: self.flaw == Flaw::Panics,
        }))
    }
}

struct Up {
    process: Box<dyn Process>,
    data: Arc<Mutex<BTreeMap<String, String>>>,
    panics: bool,
}

impl Running for Up {
    fn connect(&self, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(Connection {
            data: self.data.clone(),
            panics: self.panics,
        }))
    }

    fn process(&mut self) -> Option<&mut dyn Process> {
        Some(&mut *self.process)
    }
}

struct Connection {
    data: Arc<Mutex<BTreeMap<String, String>>>,
    panics: bool,
}

impl Client for Connection {
    fn apply(&mut self, txn: &Txn, _deadline: Instant) -> Result<(), ClientError> {
        let mut data = self.data.lock();
        assert!(!self.panics || data.len() < 20, "no room for {}", txn.id);
        for op in txn.ops.iter().filter(|_| !txn.abort) {
            match &op.write {
                Write::Put(value) => data.insert(op.key.clone(), value.text().into_owned()),
                Write::Delete => data.remove(&op.key),
            };
        }
        Ok(())
    }

    fn barrier(&mut self, _deadline: Instant) -> Result<(), ClientError> {
        Ok(())
    }

    fn get(&mut self, key: &str, _deadline: Instant) -> Result<Option<String>, ClientError> {
        Ok(self.data.lock().get(key).cloned())
    }

    fn read_all(&mut self, _deadline: Instant) -> Result<BTreeMap<String, String>, ClientError> {
        Ok(self.data.lock().clone())
    }

    fn check(&mut self, _deadline: Instant) -> Result<Option<String>, ClientError> {
        Ok(None)
    }
}

fn open() -> Result<Sandbox, SandboxError> {
    let options = SandboxOptions {
        isolation: IsolationPolicy::Only(Isolation::Full),
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::open(&options)?;
    sandbox.mount_fuse()?;
    sandbox.unmount(true)?;
    Ok(sandbox)
}

fn setup(flaw: Flaw) -> Setup {
    on(
        Arc::new(SandboxHost::new(open().unwrap(), None, false)),
        flaw,
    )
}

/// A store of its own, in a sandbox that was used before.
fn on(host: Arc<SandboxHost>, flaw: Flaw) -> Setup {
    let target = Store {
        flaw,
        starts: AtomicU64::new(0),
        data: Arc::default(),
    };
    Setup {
        host,
        promises: target.promises(),
        target: Arc::new(target),
        workload: WorkloadConfig {
            clients: 1,
            ..WorkloadConfig::default()
        },
        rules: StorageRules {
            model: persist::model("journaled").unwrap(),
            device: Device::default(),
            fuse: true,
        },
        recovery_bound: None,
        start_limit: START_LIMIT,
    }
}

const fn fault(inject: fn(&mut dyn Machine, &Trigger) -> Result<Injected, InjectError>) -> Fault {
    Fault {
        name: "test",
        about: "",
        class: FailureClass::ProcessCrash,
        needs: &[],
        default_trigger: |_| Trigger::at(When::Ack(5)),
        inject,
    }
}

fn strike(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine.until(&trigger.when)?;
    Ok(Injected::hit_if(machine.kill()?, "killed"))
}

static KILL: Fault = fault(strike);
static PANIC: Fault = fault(|_, _| panic!("the assertion of a fault"));
static SERVER: Fault = fault(|machine, _| {
    machine.fs().unwrap().stream_to(Box::new(Broken));
    machine.work_until(Duration::from_secs(20), &|_| false)?;
    Ok(Injected::hit_if(machine.kill()?, "killed"))
});
static SANDBOX: Fault = fault(|machine, trigger| {
    machine.until(&trigger.when)?;
    kill_children(Pid::this());
    Ok(Injected::hit_if(machine.kill()?, "killed"))
});

/// What takes the records of the crash filesystem, in the thread that serves it.
struct Broken;

impl Sink for Broken {
    fn record(&mut self, record: Record) {
        panic!("no room for operation {}", record.seq);
    }

    fn mark(&mut self, _mark: Mark) {}
}

/// Kills everything that this process started, whatever namespace it is in.
fn kill_children(of: Pid) {
    for thread in fs::read_dir(format!("/proc/{of}/task")).unwrap() {
        let Ok(children) = fs::read_to_string(thread.unwrap().path().join("children")) else {
            continue;
        };
        for child in children.split_whitespace() {
            let child = Pid::from_raw(child.parse().unwrap());
            kill_children(child);
            #[expect(
                clippy::let_underscore_must_use,
                reason = "it may have ended with its parent"
            )]
            let _ = kill(child, Signal::SIGKILL);
        }
    }
}

fn make(setup: &Setup, fault: &'static Fault, number: u64) -> Trial {
    let plan = TrialSpec {
        number,
        chosen: fault.into(),
        seed: number,
        elsewhere: Elsewhere::Never,
    };
    trial::run(setup, &plan).trial
}

/// The trial failed on plugpull's side, and says so; nothing is said of the target.
fn ours(trial: &Trial, because: &str) {
    assert_eq!(trial.verdict, Verdict::HarnessError, "{}", trial.why);
    assert!(trial.findings.is_empty(), "{:?}", trial.findings);
    assert!(trial.why.contains(because), "{}", trial.why);
}

fn sound() {
    let trial = make(&setup(Flaw::None), &KILL, 1);
    assert_eq!(trial.verdict, Verdict::Pass, "{}", trial.why);
    assert!(trial.acked >= 5);
}

fn panics() {
    let setup = setup(Flaw::None);
    let trial = make(&setup, &PANIC, 1);
    ours(&trial, "the assertion of a fault");
    assert!(trial.why.contains("outcomes.rs:"), "{}", trial.why);
    let next = make(&on(setup.host, Flaw::None), &KILL, 2);
    assert_eq!(next.verdict, Verdict::Pass, "{}", next.why);
}

fn client_panics() {
    let trial = make(&setup(Flaw::Panics), &KILL, 1);
    ours(&trial, "client 0 failed: no room for");
    assert!(trial.why.contains("outcomes.rs:"), "{}", trial.why);
}

fn host_fails() {
    let trial = make(&setup(Flaw::Host), &KILL, 1);
    ours(&trial, "the target could not be started");
}

fn refuses() {
    let trial = make(&setup(Flaw::Refuses), &KILL, 1);
    let kinds: Vec<FindingKind> = trial.findings.iter().map(|f| f.finding.kind).collect();
    assert_eq!(kinds, [FindingKind::WillNotStart], "{}", trial.why);
}

fn hangs() {
    let trial = make(&setup(Flaw::Hangs), &KILL, 1);
    let kinds: Vec<FindingKind> = trial.findings.iter().map(|f| f.finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Hung], "{}", trial.why);
    let sentence = &trial.findings[0].finding.sentence;
    // This one only says that it hangs.
    assert!(
        sentence.contains("none of its processes is there"),
        "{sentence}"
    );
    let trial = make(&setup(Flaw::AlwaysHangs), &KILL, 1);
    ours(&trial, "the machine is too slow for this limit");
}

fn slow() {
    let trial = make(&setup(Flaw::Slow), &KILL, 1);
    ours(&trial, "on the directory after a clean stop takes");
}

fn second_start() {
    let trial = make(&setup(Flaw::SecondHangs), &KILL, 1);
    let kinds: Vec<FindingKind> = trial.findings.iter().map(|f| f.finding.kind).collect();
    assert_eq!(kinds, [FindingKind::NotRepeatable], "{}", trial.why);
    let trial = make(&setup(Flaw::SecondSlow), &KILL, 1);
    ours(&trial, "on the directory after a clean stop takes");
}

fn server_panics() {
    let setup = setup(Flaw::None);
    let trial = make(&setup, &SERVER, 1);
    ours(&trial, "no room for operation");
    assert!(trial.why.contains("outcomes.rs:"), "{}", trial.why);
    ours(&make(&setup, &KILL, 2), "failed in an earlier trial");
}

fn sandbox_dies() {
    let setup = setup(Flaw::None);
    ours(&make(&setup, &SANDBOX, 1), "");
    ours(&make(&setup, &KILL, 2), "failed in an earlier trial");
}
