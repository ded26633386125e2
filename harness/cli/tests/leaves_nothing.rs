//! Nothing of plugpull outlives it: no mount, process, port, directory or cgroup, whether it ends by
//! itself, on a signal, or is killed with SIGKILL at any moment.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "cli/support/mod.rs"]
mod support;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use plugpull_testing::test;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use support::machine::{self, await_that, own_copy};
use support::traces::{Traces, running};

fn main() -> std::process::ExitCode {
    plugpull_testing::main(machine::capability)
}

/// How many times plugpull is killed.
const MOMENTS: u64 = 50;
/// plugpull, janitor, init, file holder and target.
const ALL: usize = 5;
/// How long after its start at the latest, in milliseconds.
const LATEST: u64 = 2500;

/// Two of these tests at once would see each other's doing.
static ALONE: Mutex<()> = Mutex::new(());

/// A run of a copy of plugpull, in directories of its own; killed at the latest when it is dropped.
struct Run {
    directory: tempfile::TempDir,
    program: PathBuf,
    child: Child,
    before: Traces,
}

impl Run {
    fn start(options: &str) -> Self {
        Self::start_with(&format!("run {options}"), &[])
    }

    /// Any command, beside these files.
    fn start_with(command: &str, files: &[(&str, &str)]) -> Self {
        let (directory, program) = own_copy();
        for name in ["tmp", "work"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        for (name, content) in files {
            std::fs::write(directory.path().join("work").join(name), content).unwrap();
        }
        let before = look(&program, None, directory.path());
        let child = Command::new(&program)
            .args(command.split_whitespace())
            .args(["-q", "--json", "../report.json"])
            .env("TMPDIR", directory.path().join("tmp"))
            .current_dir(directory.path().join("work"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // As a shell does, so that Ctrl-C meets all of it and nothing else.
            .process_group(0)
            .spawn()
            .unwrap();
        Self {
            directory,
            program,
            child,
            before,
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// What it has of the machine now.
    fn traces(&self) -> Traces {
        look(&self.program, Some(self.child.id()), self.directory.path()).since(&self.before)
    }

    /// Waits until the target and all that is around it run.
    fn await_target(&mut self) {
        await_that("a target runs", || {
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended");
            running(&self.program).len() >= ALL
        });
    }

    /// Waits for the end and for everything to be gone.
    fn nothing_is_left(mut self, moment: &str) -> (Option<i32>, Option<Value>) {
        // A process that waits for itself ends never: it is found here, and not waited for.
        let mut status = None;
        await_that(&format!("plugpull has ended {moment}"), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let status = status.unwrap();
        let mut left = Traces::default();
        let nothing = Traces::default();
        let deadline = Instant::now() + machine::LONG;
        while Instant::now() < deadline {
            left = self.traces();
            if left == nothing {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(left, nothing, "left behind {moment}");
        let report = std::fs::read(self.directory.path().join("report.json")).ok();
        (
            status.code(),
            report.map(|bytes| serde_json::from_slice(&bytes).unwrap()),
        )
    }
}

impl Drop for Run {
    #[expect(clippy::let_underscore_must_use, reason = "mostly it is dead already")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn look(program: &Path, pid: Option<u32>, directory: &Path) -> Traces {
    Traces::look(
        program,
        pid,
        &[&directory.join("tmp"), &directory.join("work")],
    )
}

/// What these tests look for is seen when it is there.
#[test]
fn what_is_left_is_seen() {
    let _alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    let mut run = Run::start("reference --rounds 1000 --seed 1");
    run.await_target();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::write(run.directory.path().join("tmp/left"), "").unwrap();
    // Between two trials no target runs.
    let mut seen = Traces::default();
    await_that("a target is seen", || {
        seen = run.traces();
        seen.processes.len() >= ALL
    });
    drop(port);
    assert!(seen.processes.len() >= ALL, "{seen:?}");
    assert!(seen.processes.contains(&run.child.id()), "{seen:?}");
    assert_eq!(seen.ports.len(), 1, "{seen:?}");
    assert_eq!(seen.directories.len(), 1, "{seen:?}");
    assert_eq!(
        seen.cgroups.is_empty(),
        !machine::has("cgroup-memory"),
        "{seen:?}"
    );
    std::fs::remove_file(run.directory.path().join("tmp/left")).unwrap();
    killpg(run.pid(), Signal::SIGKILL).unwrap();
    run.nothing_is_left("when its whole process group was killed");
}

/// Kills runs one after the other at moments of this seed; says in how many a target was running.
fn killed(seed: u64, moments: u64) -> usize {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut with_target = 0;
    for moment in 0..moments {
        let after = Duration::from_millis(rng.random_range(0..LATEST));
        let mut run = Run::start(&format!("reference --rounds 1000 --seed {moment}"));
        // On a busy machine a start takes long, so every second moment is counted from a target on.
        let after = match moment % 2 {
            0 => after,
            _ => {
                run.await_target();
                after / 10
            }
        };
        // The moment is the point here; nothing is waited for.
        std::thread::sleep(after);
        with_target += usize::from(running(&run.program).len() >= ALL);
        kill(run.pid(), Signal::SIGKILL).unwrap();
        let (_, report) = run.nothing_is_left(&format!("when killed after {after:?}"));
        assert!(report.is_none(), "half a report after {after:?}");
    }
    with_target
}

#[test]
fn killed_at_any_moment() {
    let _alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    let with_target: usize = std::thread::scope(|scope| {
        let both = [1, 2].map(|seed| scope.spawn(move || killed(seed, MOMENTS / 2)));
        both.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // There was something to leave behind, and it was seen.
    assert!(
        with_target >= 10,
        "a target ran at {with_target} of {MOMENTS} moments"
    );
}

/// A workload that stores in a shared mapping without a pause, so that there is always something that
/// the kernel has not written back yet.
const STORES: &str = "import mmap, os\n\
    size = 1 << 22\n\
    f = os.open('m', os.O_RDWR | os.O_CREAT, 0o644)\n\
    os.ftruncate(f, size)\n\
    m = mmap.mmap(f, size)\n\
    n = 0\n\
    while True:\n\
    \x20   n += 1\n\
    \x20   for at in range(0, size, 8 * 4096): m[at] = n % 256\n\
    \x20   m.flush()\n\
    \x20   id = os.environ['PLUGPULL_LIFE'] + '.' + str(n)\n\
    \x20   with open('ids', 'a') as ids: print(id, file=ids, flush=True); os.fsync(ids.fileno())\n\
    \x20   print('ack', id, flush=True)\n";

/// The kernel writes a mapping back through plugpull, and plugpull must not have the file open when
/// it dies of that.
#[test(needs = "fuse python3")]
fn killed_while_a_mapping_is_written_back() {
    let _alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    let toml = "[workload]\ncommand = ['python3', '{folder}/stores.py']\n\
                [check]\ncommand = ['sh', '{folder}/check.sh']\n";
    let check = "while read -r id; do grep -qx \"$id\" ids || echo \"lost $id\"; done\n";
    let files = [
        ("stores.toml", toml),
        ("stores.py", STORES),
        ("check.sh", check),
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..6 {
        let command = "explore ./stores.toml --txns 3000 --budget 60s --seed 1";
        let run = Run::start_with(command, &files);
        // The moment is the point here; nothing is waited for.
        let after = Duration::from_millis(rng.random_range(800..3000));
        std::thread::sleep(after);
        kill(run.pid(), Signal::SIGKILL).unwrap();
        run.nothing_is_left(&format!("when killed after {after:?}"));
    }
}

#[test]
fn ended_by_itself() {
    let _alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    let mut run = Run::start("reference --fault kill --fault power-loss --rounds 2 --seed 1");
    run.await_target();
    let (code, report) = run.nothing_is_left("by a run that ended by itself");
    let report = report.expect("a report");
    assert_eq!(report["interrupted"], false);
    assert!(matches!(code, Some(0 | 3)), "{code:?}");
}

/// Interrupts a run by a signal to its whole process group, as a terminal and a CI runner do.
fn interrupted(signal: Signal) {
    let _alone = ALONE.lock().unwrap_or_else(|broken| broken.into_inner());
    let mut run = Run::start("reference --rounds 1000 --seed 1");
    run.await_target();
    killpg(run.pid(), signal).unwrap();
    let (code, report) = run.nothing_is_left(signal.as_str());
    let report = report.expect("a report");
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["findings"], Value::Array(Vec::new()));
    // Nothing was found, and not everything was tried: that is no pass.
    assert_eq!(report["verdict"], "not-measured");
    assert_eq!(code, Some(128 + signal as i32), "{report}");
}

#[test]
fn interrupted_by_ctrl_c() {
    interrupted(Signal::SIGINT);
}

#[test]
fn interrupted_by_sigterm() {
    interrupted(Signal::SIGTERM);
}

#[test]
fn interrupted_by_a_terminal_that_is_closed() {
    interrupted(Signal::SIGHUP);
}
