//! Who made an operation: stacks of real processes, joined to what the crash filesystem recorded.

use std::sync::Arc;

use libtest_mimic::Failed;
use nix::unistd::{getegid, geteuid};
use plugpull_crashsim::fs::{Disk, Op, Record};
use plugpull_sandbox::fuse::{AdmitAll, CrashFs, Server};
use plugpull_sandbox::{Isolation, MadeHow, Program, Sandbox, SpawnRequest, StackRecorder, Stacks};

use crate::support::{Test, ensure, expect_line, finish, own, run, shell};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("a_write_has_the_stack_of_its_caller", called),
        ("each_thread_has_its_own_stack", threads),
        ("what_no_call_made_has_no_stack", nobody),
        ("a_prepared_process_is_traced", prepared),
        ("a_stopped_process_stays_stopped", stopped),
        ("signals_reach_a_traced_process", signalled),
        ("many_processes_are_followed", many),
        ("a_tracer_ends_with_what_it_traces", killed),
    ]
}

pub(crate) fn python_tests() -> Vec<(&'static str, Test)> {
    vec![
        ("a_mapping_is_written_back_by_msync", mapped),
        ("code_that_is_loaded_later_is_known", loaded_later),
    ]
}

/// A sandbox with a crash filesystem, whose stacks are recorded.
pub(crate) struct Mounted {
    sandbox: Sandbox,
    fs: Arc<CrashFs>,
    server: Server,
    recorder: Arc<StackRecorder>,
}

impl Mounted {
    pub(crate) fn new() -> Result<Self, Failed> {
        let sandbox = crate::support::open(Isolation::Full)?;
        let owner = (geteuid().as_raw(), getegid().as_raw());
        let fs = Arc::new(CrashFs::new(Disk::empty(owner), Arc::new(AdmitAll)));
        let server = Server::start(Arc::clone(&fs), sandbox.mount_fuse()?, None)?;
        sandbox.watch_calls(Arc::clone(&fs))?;
        let recorder = Arc::new(StackRecorder::default());
        sandbox.record_stacks(Some(Arc::clone(&recorder)));
        fs.record_stacks(&recorder);
        Ok(Self {
            sandbox,
            fs,
            server,
            recorder,
        })
    }

    /// Runs a process to its end.
    pub(crate) fn run(&self, request: &SpawnRequest) -> Result<(), Failed> {
        let (code, output) = finish(&self.sandbox.spawn(request)?)?;
        ensure(code == 0, format!("{code}: {output}"))
    }

    /// Ends all, and gives the operations and who made them.
    pub(crate) fn end(self) -> Result<(Vec<Record>, Stacks), Failed> {
        self.sandbox.kill_all()?;
        let stacks = self.recorder.finish()?;
        let records = self.fs.inspect(|_, log| log.records().to_vec());
        stacks.check(records.len() as u64)?;
        self.sandbox.unmount(true)?;
        self.server.join()?;
        Ok((records, stacks))
    }
}

/// The number of the one operation of this name.
fn only(records: &[Record], name: &str) -> Result<u64, Failed> {
    let mut found = records.iter().filter(|one| one.op.name() == name);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.seq),
        _ => Err(format!("not one {name}: {:?}", names(records)).into()),
    }
}

fn names(records: &[Record]) -> Vec<&'static str> {
    records.iter().map(|one| one.op.name()).collect()
}

/// The functions of an operation's stack, innermost first, each with its file's name and its line.
fn functions(stacks: &Stacks, seq: u64) -> Vec<(String, String, u32)> {
    let Some(stack) = stacks.stack_of(seq) else {
        return Vec::new();
    };
    let calls = stack.frames().flat_map(|(frame, _)| frame.calls.iter());
    let named = calls.map(|call| {
        let file = call.file.as_deref().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default().to_string();
        (call.function.clone(), file, call.line.unwrap_or(0))
    });
    named.collect()
}

/// The functions of this test program among them, without their paths.
fn own_functions(stacks: &Stacks, seq: u64) -> Vec<String> {
    let all = functions(stacks, seq).into_iter();
    let own = all.filter(|(_, file, _)| file == "target.rs");
    own.filter_map(|(name, _, _)| Some(name.split("::").last()?.to_string()))
        .collect()
}

fn called() -> Result<(), Failed> {
    let mounted = Mounted::new()?;
    mounted.run(&own(&["write", "a"]))?;
    let (records, stacks) = mounted.end()?;
    for (name, call, wanted) in [
        ("create", "openat", "makes_the_file"),
        ("write", "write", "writes_the_line"),
        ("fdatasync", "fdatasync", "syncs_it"),
        ("rename", "rename", "moves_it"),
        ("truncate", "ftruncate", "cuts_it"),
        ("unlink", "unlink", "removes_it"),
        ("mkdir", "mkdir", "makes_a_directory"),
        ("link", "linkat", "links_it"),
    ] {
        let seq = only(&records, name)?;
        let own = own_functions(&stacks, seq);
        let all = functions(&stacks, seq);
        let expected = [wanted, "write_and_sync", "main"];
        let starts = own.iter().zip(expected).all(|(one, wanted)| one == wanted);
        ensure(starts && own.len() >= 3, format!("{name}: {all:?}"))?;
        let stack = stacks.stack_of(seq).ok_or("it has a stack")?;
        let made = (stack.how, stack.call());
        ensure(made == (MadeHow::Called, Some(call)), format!("{made:?}"))?;
        let outer = all
            .iter()
            .find(|(name, ..)| name.ends_with("write_and_sync"));
        let line = outer.map_or(0, |(_, _, line)| *line);
        ensure(line > 0, format!("{name}: {outer:?}"))?;
    }
    // As many stacks as there are places, not operations.
    let again = Mounted::new()?;
    again.run(&own(&["write-often", "a"]))?;
    let (records, stacks) = again.end()?;
    let (operations, different) = stacks.counts();
    ensure(
        operations >= 50 && different < 10,
        format!(
            "{operations} operations, {different} stacks of {}",
            records.len()
        ),
    )
}

fn threads() -> Result<(), Failed> {
    let mounted = Mounted::new()?;
    mounted.run(&own(&["threads"]))?;
    let (records, stacks) = mounted.end()?;
    let mut writes = 0;
    for record in records.iter().filter(|one| one.op.name() == "write") {
        let wanted = format!("writes_{}", record.path);
        let own = own_functions(&stacks, record.seq);
        ensure(own.contains(&wanted), format!("{wanted}: {own:?}"))?;
        writes += 1;
    }
    ensure(writes == 100, format!("{writes} writes"))
}

/// A chmod stops nobody, and is not taken for the write before it; so is what sync(2) made.
fn nobody() -> Result<(), Failed> {
    let mounted = Mounted::new()?;
    mounted.run(&shell("echo a > f && chmod 600 f && sync"))?;
    let (records, stacks) = mounted.end()?;
    for name in ["chmod", "sync"] {
        let seq = only(&records, name)?;
        let found = functions(&stacks, seq);
        ensure(stacks.stack_of(seq).is_none(), format!("{name}: {found:?}"))?;
    }
    let write = stacks.stack_of(only(&records, "write")?);
    ensure(write.is_some(), "the write has one")
}

fn prepared() -> Result<(), Failed> {
    let mounted = Mounted::new()?;
    let ready = mounted.sandbox.prepare(&own(&["write", "a"]), 0)?;
    let (code, output) = finish(&ready.go()?)?;
    ensure(code == 0, output)?;
    let (records, stacks) = mounted.end()?;
    let own = own_functions(&stacks, only(&records, "rename")?);
    ensure(own.contains(&"moves_it".into()), format!("{own:?}"))
}

fn stopped() -> Result<(), Failed> {
    let mounted = Mounted::new()?;
    let child = mounted
        .sandbox
        .spawn(&shell("echo up; kill -STOP $$; echo on; echo a > f"))?;
    expect_line(&child, "up")?;
    // Seen in its sandbox, where it has this number. A process that is not held runs on and is gone.
    let look = format!("grep '^State:.[tT]' /proc/{}/status", child.pid());
    let is_stopped = || matches!(run(&mounted.sandbox, &look), Ok((0, _)));
    crate::support::await_that("it is stopped", || is_stopped() && is_stopped())?;
    ensure(!child.output().contains("on"), "it went on by itself")?;
    mounted.sandbox.signal(child.pid(), libc::SIGCONT)?;
    expect_line(&child, "on")?;
    let (code, output) = finish(&child)?;
    ensure(code == 0, output)?;
    let (records, stacks) = mounted.end()?;
    let write = stacks.stack_of(only(&records, "write")?);
    ensure(write.is_some(), "it is traced still")
}

fn signalled() -> Result<(), Failed> {
    let mounted = Mounted::new()?;
    let script = "trap 'echo usr1' USR1; trap 'echo rt' RTMIN; kill -USR1 $$; kill -RTMIN $$; \
                  kill -TERM $$; echo never";
    let request = SpawnRequest {
        reads_lines: true,
        ..SpawnRequest::new(Program::Path("/bin/bash".into()), ["-c", script])
    };
    let child = mounted.sandbox.spawn(&request)?;
    expect_line(&child, "usr1")?;
    expect_line(&child, "rt")?;
    let (code, output) = finish(&child)?;
    ensure(code == 128 + libc::SIGTERM, format!("{code}: {output}"))?;
    mounted.end().map(drop)
}

fn many() -> Result<(), Failed> {
    let mounted = Mounted::new()?;
    let script = "for n in 1 2 3 4 5; do /bin/sh -c \"echo $n > f$n; mv f$n g$n\" & done; wait";
    mounted.run(&shell(script))?;
    let (records, stacks) = mounted.end()?;
    let with = |name: &str| {
        let its = records.iter().filter(|one| one.op.name() == name);
        its.filter(|one| stacks.stack_of(one.seq).is_some()).count()
    };
    let found = (with("write"), with("rename"));
    ensure(
        found == (5, 5),
        format!("{found:?} of {:?}", names(&records)),
    )
}

/// Its thread ends, and a process that is killed while it is stopped holds nobody up.
fn killed() -> Result<(), Failed> {
    let mounted = Mounted::new()?;
    let child = mounted
        .sandbox
        .spawn(&shell("echo a > f; echo up; while :; do echo a > f; done"))?;
    expect_line(&child, "up")?;
    // It waits for all tracers.
    let (records, _) = mounted.end()?;
    let writes = records
        .iter()
        .filter(|one| matches!(one.op, Op::Write { .. }));
    ensure(
        writes.count() < records.len(),
        "it made its file before it wrote",
    )
}

fn mapped() -> Result<(), Failed> {
    let script = "import mmap, os\n\
                  f = os.open('f', os.O_RDWR | os.O_CREAT)\n\
                  os.ftruncate(f, 8192)\n\
                  m = mmap.mmap(f, 8192)\n\
                  m[5000] = 7\n\
                  m.flush()\n";
    let mounted = Mounted::new()?;
    mounted.run(&SpawnRequest::new(
        Program::Path("/usr/bin/env".into()),
        ["python3", "-c", script],
    ))?;
    let (records, stacks) = mounted.end()?;
    let stack = stacks.stack_of(only(&records, "write")?);
    let made = stack.map(|stack| (stack.how, stack.call()));
    let wanted = Some((MadeHow::WrittenBack, Some("msync")));
    ensure(made == wanted, format!("{made:?} of {:?}", names(&records)))?;
    let sync = stacks.stack_of(only(&records, "fdatasync")?);
    let made = sync.map(|stack| (stack.how, stack.call()));
    ensure(
        made == Some((MadeHow::Called, Some("msync"))),
        format!("{made:?}"),
    )
}

/// A library is loaded when the process's code was looked at already.
fn loaded_later() -> Result<(), Failed> {
    let script = "import os\n\
                  f = os.open('f', os.O_RDWR | os.O_CREAT)\n\
                  os.write(f, b'x')\n\
                  import sqlite3\n\
                  db = sqlite3.connect('db')\n\
                  db.execute('create table t(n)')\n\
                  db.commit()\n";
    let mounted = Mounted::new()?;
    mounted.run(&SpawnRequest::new(
        Program::Path("/usr/bin/env".into()),
        ["python3", "-c", script],
    ))?;
    let (records, stacks) = mounted.end()?;
    let written = |path: &str| {
        let is_write = |one: &&Record| one.op.name() == "write" && &*one.path == path;
        let seq = records.iter().find(is_write).map(|one| one.seq);
        let stack = seq.and_then(|seq| stacks.stack_of(seq));
        let frames = stack.into_iter().flat_map(|stack| stack.frames());
        frames
            .map(|(_, module)| module.path.clone())
            .collect::<Vec<_>>()
    };
    let (first, later) = (written("f"), written("db"));
    let of_sqlite = |modules: &[String]| modules.iter().any(|path| path.contains("sqlite3"));
    ensure(
        !first.is_empty() && !of_sqlite(&first),
        format!("{first:?}"),
    )?;
    // Through it, and out of it again into the interpreter.
    let through = of_sqlite(&later) && later.len() > 5;
    ensure(through, format!("{later:?} of {:?}", names(&records)))
}
