//! Parents that fork targets: their children are as started ones, no child reaches its parent, and one that
//! holds what its children would share forks nothing.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::time::Duration;

use libtest_mimic::Failed;
use plugpull_sandbox::{
    Child, ForkError, ForkParent, Isolation, Program, Sandbox, SpawnRequest, UNKNOWN_CODE,
};

use crate::support::{Test, ensure, open, soon};

const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../targets/sdk-python");

/// The number that a target is to have.
const FIRST: i32 = 1000;

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("a_forked_child_is_as_a_started_one", child),
        (
            "all_that_a_child_forks_dies_and_its_parent_lives",
            grandchildren,
        ),
        ("no_child_reaches_its_parent", attacks),
        ("a_parent_that_holds_something_forks_nothing", holds),
        ("a_parent_that_lies_is_not_believed", lies),
        ("the_end_of_a_forked_child_is_seen", ended),
        ("it_is_seen_how_a_forked_child_ended", how_it_ended),
        ("a_forked_child_ends_as_a_started_one_does", handlers),
    ]
}

/// A driver in Python that does `before` when it is loaded and `within` in each child, and then waits.
fn driver(before: &str, within: &str) -> SpawnRequest {
    let script = format!(
        "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, '{SDK}')\n\
         import os, plugpull, random, signal\n\
         reseed = None\n\
         {before}\n\
         def main():\n    {within}\n    sys.stdin.readline()\n\
         plugpull.run(main, reseed)\n"
    );
    SpawnRequest::new(
        Program::Path("/usr/bin/env".into()),
        ["python3".to_owned(), "-c".into(), script],
    )
}

/// A child with the other ends of its streams.
struct Forked {
    child: Child,
    _stdin: PipeWriter,
    stdout: BufReader<PipeReader>,
}

impl Forked {
    fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// A target under its number. Where the number was not free yet, it is for a later one, up to eight times.
fn fork(sandbox: &Sandbox, parent: &mut ForkParent) -> Result<Forked, String> {
    let mut taken = 0;
    loop {
        let pipes = || std::io::pipe().map_err(|error| error.to_string());
        let ((its_stdin, stdin), (stdout, its_stdout)) = (pipes()?, pipes()?);
        parent.fork(sandbox, FIRST, its_stdin.as_fd(), its_stdout.as_fd())?;
        match parent.forked(sandbox) {
            Ok(child) => {
                return Ok(Forked {
                    child,
                    _stdin: stdin,
                    stdout: BufReader::new(stdout),
                });
            }
            Err(ForkError::Number(_)) if taken < 8 => {
                taken += 1;
                // Only the next fork shows whether the kernel has freed it.
                std::thread::sleep(Duration::from_millis(1 << taken));
                sandbox.kill_all().map_err(|error| error.to_string())?;
            }
            Err(why) => return Err(why.to_string()),
        }
    }
}

/// What a process says of itself, with a prefix.
const ABOUT: &str = "print('about', os.getpid(), os.getcwd(), os.getsid(0) == os.getpid(), \
    signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, 'PLUGPULL_FORK' in os.environ, \
    sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')), flush=True)";

/// A started one says the same.
fn child() -> Result<(), Failed> {
    let sandbox = open(Isolation::Full)?;
    let mut request = driver("", ABOUT);
    let data = sandbox.data_dir().display().to_string();
    request.env = vec![("PLUGPULL_DATA_DIR".into(), data.clone())];
    sandbox.number_from(FIRST)?;
    let ((its_stdin, stdin), (stdout, its_stdout)) = (std::io::pipe()?, std::io::pipe()?);
    let started = sandbox.spawn_piped(&request, its_stdin.as_fd(), its_stdout.as_fd())?;
    let mut started = Forked {
        child: started,
        _stdin: stdin,
        stdout: BufReader::new(stdout),
    };
    let about = started.line()?;
    ensure(
        about.starts_with(&format!("about {FIRST} {data} True")),
        &about,
    )?;
    sandbox.kill_all()?;
    let mut parent = sandbox.fork_parent(&request)?;
    for _ in 0..3 {
        // Each on a directory of its own.
        sandbox.mount_tmpfs(1 << 20)?;
        let mut forked = fork(&sandbox, &mut parent)?;
        let line = forked.line()?;
        ensure(
            line == about,
            format!("{line} where a started one is {about}"),
        )?;
        sandbox.kill_all()?;
        sandbox.unmount(false)?;
    }
    Ok(())
}

fn in_data(sandbox: &Sandbox, mut request: SpawnRequest) -> SpawnRequest {
    let data = sandbox.data_dir().display().to_string();
    request.env = vec![("PLUGPULL_DATA_DIR".into(), data)];
    request
}

/// They leave the session and ignore what can be ignored; the first one has ended when all are killed.
fn grandchildren() -> Result<(), Failed> {
    let sandbox = open(Isolation::Full)?;
    let within = "\n    for n in range(3):\n        if os.fork() == 0:\n            os.setsid()\n            \
        [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 3, 15)]\n            \
        print('up', flush=True)\n            while True: signal.pause()\n    if os.fork(): os._exit(3)";
    let mut parent = sandbox.fork_parent(&in_data(&sandbox, driver("", within)))?;
    for _ in 0..3 {
        let mut forked = fork(&sandbox, &mut parent)?;
        for _ in 0..3 {
            ensure(forked.line()? == "up", "a grandchild is up")?;
        }
        sandbox.kill_all()?;
        // The end of the file is the end of all who could write.
        let end = forked.line()?;
        ensure(end.is_empty(), end)?;
    }
    Ok(())
}

fn attacks() -> Result<(), Failed> {
    let sandbox = open(Isolation::Full)?;
    let within = "parent = os.getppid()\n    print(parent, flush=True)\n    \
        [os.kill(one, 9) for one in (parent,) if one > 1]\n    \
        [print('control', flush=True) for one in os.listdir('/proc/self/fd') \
         if os.path.exists('/proc/self/fd/' + one) \
         and os.readlink('/proc/self/fd/' + one).startswith('socket')]\n    \
        print('done', flush=True)\n    os.kill(-1, 9) if os.fork() else None";
    let mut parent = sandbox.fork_parent(&in_data(&sandbox, driver("", within)))?;
    for _ in 0..3 {
        let mut forked = fork(&sandbox, &mut parent)?;
        let lines = [forked.line()?, forked.line()?];
        ensure(lines == ["0", "done"], format!("{lines:?}"))?;
        sandbox.kill_all()?;
    }
    Ok(())
}

/// Why a driver that does this when it is loaded is not forked, at the second time at the latest.
fn refused(before: &str) -> Result<String, Failed> {
    let sandbox = &open(Isolation::Full)?;
    let mut parent = sandbox.fork_parent(&in_data(sandbox, driver(before, "pass")))?;
    for _ in 0..2 {
        let forked = fork(sandbox, &mut parent);
        sandbox.kill_all()?;
        if let Err(why) = forked {
            return Ok(why);
        }
    }
    Ok(String::new())
}

fn holds() -> Result<(), Failed> {
    let thread = "import threading, time; threading.Thread(target=time.sleep, args=(99,), daemon=True).start()";
    for (before, why) in [
        (thread, "it can have no thread"),
        ("held = open('/tmp/held', 'w')", "/tmp/held open"),
        ("import socket; held = socket.socket()", "socket:["),
        ("held = os.pipe()", "pipe:["),
        ("import mmap; held = mmap.mmap(-1, 4096)", "a mapping"),
        ("os.chdir('/tmp')", "working directory is /tmp"),
        (
            "import sqlite3; held = sqlite3.connect('/tmp/kv.db'); held.execute('create table if not exists t(a)')",
            "/tmp/kv.db open",
        ),
        (
            "own = random.Random(7)\ndef reseed(): return [own.random()]",
            "the same random numbers",
        ),
        (
            "signal.signal(signal.SIGCHLD, signal.SIG_DFL)",
            "has the number",
        ),
        ("sys.exit(1)", "has ended"),
    ] {
        let said = refused(before)?;
        ensure(
            said.contains(why),
            format!("{before}: {said:?}, and not {why:?}"),
        )?;
    }
    // What is read alone, and a stream with a fresh seed, are nothing to share.
    for before in [
        "",
        "held = list(range(100_000))",
        "own = random.Random(7)\ndef reseed():\n    own.seed()\n    return [own.random()]",
    ] {
        let said = refused(before)?;
        ensure(said.is_empty(), format!("{before}: {said}"))?;
    }
    Ok(())
}

/// It answers in place of its children: with a number that nobody has, with one that is not asked for.
fn lies() -> Result<(), Failed> {
    for (answer, why) in [
        ("{'pid': 1, 'random': ['1']}", "has the number 1 and not"),
        ("{'pid': 1000}", "does not say what it draws"),
        ("{'id': 77, 'pid': 1000}", "answered request 77"),
        ("[]", "its answer is none"),
    ] {
        let before = format!(
            "import json, socket\n\
             def run(main, reseed):\n    control = socket.socket(fileno=0)\n    while True:\n        \
             message, fds, _, _ = socket.recv_fds(control, 4096, 3)\n        if not message: return\n        \
             asked = json.loads(message)\n        answer = {answer}\n        \
             if asked['call'] == 'ready': answer = {{}}\n        \
             if answer != []: answer = {{'id': asked['id'], 'answer': 'ok', **answer}}\n        \
             control.send(json.dumps(answer).encode())\n\
             plugpull.run = run"
        );
        let said = refused(&before)?;
        ensure(said.contains(why), format!("{answer}: {said:?}"))?;
    }
    Ok(())
}

/// Whether this kernel tells how a process ended that is no child: Linux 6.15 does.
fn tells_ends() -> Result<bool, Failed> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|one| one.parse::<u32>().ok());
    Ok((numbers.next(), numbers.next()) >= (Some(6), Some(15)))
}

/// Of a child that ends before anybody looks, and of one that never was, the end is seen.
fn ended() -> Result<(), Failed> {
    let sandbox = open(Isolation::Full)?;
    let mut parent = sandbox.fork_parent(&in_data(&sandbox, driver("", "sys.exit(3)")))?;
    for _ in 0..3 {
        let forked = fork(&sandbox, &mut parent)?;
        ensure(forked.child.wait(soon())?.is_some(), "it has ended")?;
        sandbox.kill_all()?;
    }
    Ok(())
}

/// Of a child that was there, it is also seen how it ended, where the kernel tells that.
fn how_it_ended() -> Result<(), Failed> {
    let sandbox = open(Isolation::Full)?;
    let tells = tells_ends()?;
    for (within, code) in [
        ("sys.exit(3)", 3),
        ("sys.exit(0)", 0),
        ("os.kill(os.getpid(), 15)", 128 + 15),
        ("1 / 0", 1),
    ] {
        let within = format!("sys.stdin.readline(); {within}");
        let mut parent = sandbox.fork_parent(&in_data(&sandbox, driver("", &within)))?;
        let expected = if tells { code } else { UNKNOWN_CODE };
        for _ in 0..3 {
            let Forked {
                child,
                _stdin: stdin,
                ..
            } = fork(&sandbox, &mut parent)?;
            drop(stdin);
            let ended = child.wait(soon())?;
            ensure(
                ended == Some(expected),
                format!("{within}: {ended:?}, and not {expected}"),
            )?;
            sandbox.kill_all()?;
        }
    }
    Ok(())
}

/// A child in Python does what is registered for its exit, as a started one does.
fn handlers() -> Result<(), Failed> {
    let sandbox = open(Isolation::Full)?;
    let before = "import atexit; atexit.register(print, 'loaded')";
    let within = "atexit.register(print, 'opened'); print('up', flush=True)";
    let mut parent = sandbox.fork_parent(&in_data(&sandbox, driver(before, within)))?;
    for _ in 0..2 {
        let Forked {
            child,
            _stdin: stdin,
            stdout,
        } = fork(&sandbox, &mut parent)?;
        drop(stdin);
        let said: Vec<String> = stdout.lines().collect::<Result<_, _>>()?;
        ensure(said == ["up", "opened", "loaded"], format!("{said:?}"))?;
        ensure(child.wait(soon())?.is_some(), "it has ended")?;
        sandbox.kill_all()?;
    }
    Ok(())
}
