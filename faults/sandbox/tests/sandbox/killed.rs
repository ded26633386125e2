//! plugpull itself is killed with SIGKILL, at any moment: nothing may be left.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Failed;
use plugpull_sandbox::{Isolation, StackRecorder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{MARK, Test, await_that, ensure, expect_line, mark, marked, own, shell, soon};

/// The first argument of a supervisor that waits to be killed.
pub(crate) const ARG: &str = "__supervisor";

/// How many moments, in each isolation.
const MOMENTS: u64 = 24;

pub(crate) fn full_tests() -> Vec<(&'static str, Test)> {
    vec![
        ("nothing_is_left_after_kill_9", || at_all_moments("full")),
        ("nobody_outlives_the_janitor", janitor_killed),
    ]
}

pub(crate) fn bare_tests() -> Vec<(&'static str, Test)> {
    vec![("nothing_is_left_after_kill_9_bare", || {
        at_all_moments("bare")
    })]
}

/// A supervisor, killed at the latest when the test is over.
struct Victim(Child);

impl Drop for Victim {
    #[expect(clippy::let_underscore_must_use, reason = "mostly it is dead already")]
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Builds up all that a sandbox can have, says so, and waits.
pub(crate) fn main(args: &[String]) -> ExitCode {
    let isolation = match args.first().map(String::as_str) {
        Some("full" | "full-plain") => Isolation::Full,
        _ => Isolation::Bare,
    };
    let plain = args.first().is_some_and(|name| name == "full-plain");
    match build_up(isolation, !plain) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            println!("failed: {}", failed.message().unwrap_or("?"));
            ExitCode::FAILURE
        }
    }
}

fn build_up(isolation: Isolation, fuse: bool) -> Result<(), Failed> {
    let sandbox = crate::support::open(isolation)?;
    println!("open");
    let mark = std::env::var(MARK)?;
    let marked = |mut request: plugpull_sandbox::SpawnRequest, cgroup| {
        request.env = vec![(MARK.into(), mark.clone())];
        request.cgroup = cgroup;
        request
    };
    // Not every machine has it.
    let limited = sandbox.memory().is_ok();
    println!("cgroup {limited}");
    let script = "setsid sh -c '(sleep 1000 &) ; sleep 1000' & echo up; sleep 1000";
    let child = sandbox.spawn(&marked(shell(script), limited))?;
    expect_line(&child, "up")?;
    println!("tree");
    // One that is traced, where that can be.
    let recorder = Arc::new(StackRecorder::default());
    let traces = isolation == Isolation::Full && sandbox.try_stacks().is_ok();
    sandbox.record_stacks(traces.then_some(recorder));
    let listener = sandbox.spawn(&marked(own(&["listen", "0"]), false))?;
    sandbox.record_stacks(None);
    println!("{}", listener.stdout_line(soon())?.ok_or("no line")?);
    let _served = match fuse.then(|| sandbox.mount_fuse()) {
        Some(Ok(device)) => {
            let served = crate::fuse::serve(device)?;
            // Somebody waits for an answer that never comes.
            sandbox.spawn(&marked(shell("cat silent"), false))?;
            Some(served)
        }
        // Not asked for, or not available.
        _ => None,
    };
    println!("all");
    loop {
        std::thread::park();
    }
}

fn at_all_moments(isolation: &str) -> Result<(), Failed> {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut built = 0;
    for moment in 0..MOMENTS {
        // First while it builds up, then when all stands.
        let after =
            (moment % 4 != 3).then(|| Duration::from_micros(random.random_range(0..60_000)));
        built += usize::from(kill_at(isolation, after)?);
    }
    ensure(
        built >= MOMENTS as usize / 4,
        format!("only {built} of them ever stood"),
    )
}

/// Kills a supervisor so long after its start, or when all stands, and looks for what it left.
/// True when all stood.
fn kill_at(isolation: &str, after: Option<Duration>) -> Result<bool, Failed> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let directory = tempfile::tempdir()?;
    let mark = mark();
    let mut supervisor = Victim(
        Command::new(std::env::current_exe()?)
            .args([ARG, isolation])
            .env(MARK, &mark)
            .env("TMPDIR", directory.path())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let pid = supervisor.0.id();
    let mut said = Vec::new();
    let mut lines = BufReader::new(supervisor.0.stdout.take().ok_or("no output")?).lines();
    match after {
        // The moment is the point here; nothing is waited for.
        Some(after) => std::thread::sleep(after),
        None => {
            for line in lines.by_ref() {
                said.push(line?);
                if said
                    .last()
                    .is_some_and(|line| line == "all" || line.starts_with("failed"))
                {
                    break;
                }
            }
        }
    }
    let all = said.iter().any(|line| line == "all");
    if all {
        // What is looked for below can be seen, when it is there.
        await_that(&format!("all can be seen of {said:?}"), || {
            Seen::look(&mark, directory.path(), pid, &said)
                .is_ok_and(|seen| seen.is_all(isolation, &said))
        })?;
    }
    supervisor.0.kill()?;
    supervisor.0.wait()?;
    for line in lines {
        said.push(line?);
    }
    let moment = format!("killed after {after:?}, when it had said {said:?}");
    if let Some(failed) = said.iter().find(|line| line.starts_with("failed")) {
        return Err(failed.into());
    }
    await_that(&format!("every process is gone; {moment}"), || {
        marked(&mark) == 0
    })?;
    let seen = Seen::look(&mark, directory.path(), pid, &said)?;
    ensure(
        seen == Seen::default(),
        format!("{seen:?} is left; {moment}"),
    )?;
    ensure(
        fs::read_to_string("/proc/mounts")? == mounts,
        format!("the mounts have changed; {moment}"),
    )?;
    Ok(all)
}

/// What of a supervisor's doing can be seen from outside.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    processes: usize,
    directories: usize,
    cgroups: usize,
    port: bool,
}

impl Seen {
    fn look(mark: &str, directory: &Path, pid: u32, said: &[String]) -> Result<Self, Failed> {
        let port = said
            .iter()
            .find_map(|line| line.strip_prefix("listening on "))
            .map(str::parse::<u16>)
            .transpose()?;
        Ok(Self {
            processes: marked(mark),
            directories: fs::read_dir(directory)?.count(),
            cgroups: cgroups_of(Path::new("/sys/fs/cgroup"), &format!("plugpull-{pid}-")),
            port: port.is_some_and(|port| TcpStream::connect(("127.0.0.1", port)).is_ok()),
        })
    }

    /// Whether this is what must be there when all stands.
    fn is_all(&self, isolation: &str, said: &[String]) -> bool {
        let bare = isolation == "bare";
        let limited = said.iter().any(|line| line == "cgroup true");
        // Supervisor, janitor, two shells, two sleeps, a listener, and where there is a filesystem to
        // serve the file holder. Init, who has more rights than an ordinary user, does not show him
        // its environment.
        self.processes >= 7 + usize::from(!bare)
            && self.directories == usize::from(bare)
            && self.cgroups == usize::from(limited)
            // In a network of its own it is out of reach.
            && self.port == bare
    }
}

/// The janitor is killed, which nothing of ours does: what it has set up ends with it, and the
/// cgroup that it could not remove any more is removed by the next sandbox.
fn janitor_killed() -> Result<(), Failed> {
    let mark = mark();
    let mut supervisor = Victim(
        Command::new(std::env::current_exe()?)
            .args([ARG, "full-plain"])
            .env(MARK, &mark)
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let pid = supervisor.0.id();
    let mut limited = false;
    for line in BufReader::new(supervisor.0.stdout.take().ok_or("no output")?).lines() {
        match line?.as_str() {
            "all" => break,
            line => limited |= line == "cgroup true",
        }
    }
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    // The file holder was started after it.
    let janitor = children.split_whitespace().next().ok_or("no children")?;
    let janitor: i32 = janitor.parse()?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(janitor),
        nix::sys::signal::Signal::SIGKILL,
    )?;
    // The dead janitor's environment is gone; the supervisor lives.
    await_that("only the supervisor and its file holder are left", || {
        marked(&mark) == 2
    })?;
    supervisor.0.kill()?;
    supervisor.0.wait()?;
    await_that("the file holder has ended, too", || marked(&mark) == 0)?;
    if limited {
        let left = || cgroups_of(Path::new("/sys/fs/cgroup"), &format!("plugpull-{pid}-"));
        await_that("the stale cgroup is removed", || {
            // Each time a new sandbox: one looks once.
            let again = crate::support::open(Isolation::Bare);
            again.is_ok_and(|sandbox| sandbox.memory().is_ok()) && left() == 0
        })?;
    }
    Ok(())
}

/// How many cgroups below `dir` have a name that begins so.
fn cgroups_of(dir: &Path, name: &str) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            usize::from(entry.file_name().to_string_lossy().starts_with(name))
                + cgroups_of(&entry.path(), name)
        })
        .sum()
}
