//! Calls that no FUSE server is asked about, seen by the crash filesystem all the same.

use std::sync::Arc;

use libtest_mimic::Failed;
use nix::unistd::{getegid, geteuid};
use plugpull_crashsim::fs::{Disk, Op, Record};
use plugpull_sandbox::fuse::{AdmitAll, CrashFs, Server};
use plugpull_sandbox::{Isolation, Program, Sandbox, SpawnRequest};

use crate::support::{Test, ensure, expect_line, finish, run, shell};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("sync_and_syncfs_are_operations", syncs),
        ("a_prepared_process_is_heard_too", prepared),
        ("a_sync_of_another_filesystem_is_none", elsewhere),
    ]
}

pub(crate) fn python_tests() -> Vec<(&'static str, Test)> {
    vec![
        ("stores_in_a_mapping_are_there_at_the_ack", mapped),
        ("stores_that_nobody_asks_for_are_not_known", mapped_unasked),
        (
            "write_backs_come_where_they_were_asked_for",
            mapped_the_same_each_time,
        ),
        ("a_long_write_is_one_call", pieces),
        ("writes_that_adjoin_are_calls_of_their_own", adjoining),
        ("attributes_of_a_user_are_kept", attributes),
    ]
}

/// A sandbox with a crash filesystem that hears of what happens in it.
struct Mounted {
    sandbox: Sandbox,
    fs: Arc<CrashFs>,
    server: Server,
}

impl Mounted {
    fn new(asked: impl FnOnce(&CrashFs)) -> Result<Self, Failed> {
        let sandbox = crate::support::open(Isolation::Full)?;
        if let Some(why) = sandbox.why_deaf() {
            return Err(format!("these calls are not seen: {why}").into());
        }
        let fs = Arc::new(CrashFs::new(Disk::empty(owner()), Arc::new(AdmitAll)));
        asked(&fs);
        let server = Server::start(Arc::clone(&fs), sandbox.mount_fuse()?, None)?;
        sandbox.watch_calls(Arc::clone(&fs))?;
        Ok(Self {
            sandbox,
            fs,
            server,
        })
    }

    /// The names of the operations so far, of those whose name is among these.
    fn seen(&self, names: &[&str]) -> Vec<&'static str> {
        self.records(|records| {
            let all = records.iter().map(|record| record.op.name());
            all.filter(|name| names.contains(name)).collect()
        })
    }

    fn records<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        self.fs.inspect(|_, log| look(log.records()))
    }

    fn end(self) -> Result<(), Failed> {
        self.sandbox.kill_all()?;
        self.sandbox.unmount(true)?;
        Ok(self.server.join()?)
    }
}

/// Whose the disk is: the user of the test.
fn owner() -> (u32, u32) {
    (geteuid().as_raw(), getegid().as_raw())
}

fn python(script: &str) -> SpawnRequest {
    SpawnRequest {
        reads_lines: true,
        ..SpawnRequest::new(
            Program::Path("/usr/bin/env".into()),
            ["python3", "-c", script],
        )
    }
}

const SYNCS: [&str; 3] = ["sync", "syncfs", "fsync"];

fn syncs() -> Result<(), Failed> {
    let mounted = Mounted::new(|_| ())?;
    let (code, output) = run(
        &mounted.sandbox,
        "echo a > f && sync -f f && echo b > f && sync",
    )?;
    ensure(code == 0, output)?;
    let seen = mounted.seen(&SYNCS);
    ensure(seen == ["syncfs", "sync"], format!("{seen:?}"))?;
    mounted.end()
}

fn prepared() -> Result<(), Failed> {
    let mounted = Mounted::new(|_| ())?;
    let ready = mounted
        .sandbox
        .prepare(&shell("echo a > f; sync -f f"), 0)?;
    let (code, output) = finish(&ready.go()?)?;
    ensure(code == 0, output)?;
    let seen = mounted.seen(&SYNCS);
    ensure(seen == ["syncfs"], format!("{seen:?}"))?;
    mounted.end()
}

fn elsewhere() -> Result<(), Failed> {
    let mounted = Mounted::new(|_| ())?;
    let (code, output) = run(&mounted.sandbox, "echo a > f; sync -f /dev/shm")?;
    ensure(code == 0, output)?;
    let seen = mounted.seen(&SYNCS);
    ensure(seen.is_empty(), format!("{seen:?}"))?;
    mounted.end()
}

/// Stores in two pages of a shared mapping, and then waits.
const STORES: &str = "
import mmap, sys, time
file = open('m', 'w+b')
file.truncate(8192)
memory = mmap.mmap(file.fileno(), 8192)
memory[0:4] = b'data'
memory[4096:4100] = b'more'
print('stored', flush=True)
time.sleep(600)
";

/// What the file of [`STORES`] holds in the simulated disk.
fn stored(mounted: &Mounted) -> Vec<u8> {
    mounted.fs.inspect(|tree, _| {
        let mut bytes = Vec::new();
        if let Ok(content) = tree.resolve("m").and_then(|ino| tree.content(ino)) {
            content.read(0, 4, &mut bytes);
            content.read(4096, 4, &mut bytes);
        }
        bytes
    })
}

fn mapped() -> Result<(), Failed> {
    let mounted = Mounted::new(CrashFs::settle_mappings)?;
    let child = mounted.sandbox.spawn(&python(STORES))?;
    expect_line(&child, "stored")?;
    mounted.fs.mark(1);
    let bytes = stored(&mounted);
    ensure(bytes == b"datamore", format!("{bytes:?}"))?;
    let last = mounted.records(|records| records.last().map(|record| record.op.name()));
    ensure(
        mounted.records(|records| {
            matches!(
                records.last(),
                Some(Record {
                    op: Op::CacheSettled,
                    ..
                })
            )
        }),
        format!("the last operation is {last:?}"),
    )?;
    // Nothing of it is durable, and nothing is recorded twice.
    ensure(mounted.seen(&["fsync", "fsync(dir)"]).is_empty(), "a sync")?;
    let before = mounted.records(<[Record]>::len);
    mounted.fs.mark(2);
    ensure(before == mounted.records(<[Record]>::len), "settled twice")?;
    mounted.end()
}

fn mapped_unasked() -> Result<(), Failed> {
    let mounted = Mounted::new(|_| ())?;
    let child = mounted.sandbox.spawn(&python(STORES))?;
    expect_line(&child, "stored")?;
    mounted.fs.mark(1);
    // When the kernel writes them back is its own business.
    let settled = mounted.seen(&["(mappings seen)"]);
    ensure(settled.is_empty(), format!("{settled:?}"))?;
    mounted.end()
}

/// What the kernel writes back when it likes is in the log where the target asks for it, and in the end.
fn mapped_the_same_each_time() -> Result<(), Failed> {
    let mounted = Mounted::new(CrashFs::note_mappings)?;
    let script = STORES.replace("print(", "memory.flush()\nmemory[4:8] = b'then'\nprint(");
    let child = mounted.sandbox.spawn(&python(&script))?;
    expect_line(&child, "stored")?;
    mounted.sandbox.kill_all()?;
    mounted.fs.processes_gone();
    let seen = mounted.records(|records| {
        let all = records.iter().map(|record| match &record.op {
            Op::Write { data, .. } => format!("write {}+{}", data.offset(), data.len()),
            op => op.name().to_owned(),
        });
        all.collect::<Vec<_>>()
    });
    // msync(2) of all of it needs no times.
    let wanted = [
        "create",
        "truncate",
        "(mappings seen)",
        "write 0+8192",
        "fdatasync",
        "write 0+4096",
        "(mappings seen)",
    ];
    ensure(seen == wanted, format!("{seen:?}"))?;
    mounted.end()
}

/// How far calls had come at the pieces that did not end them.
fn progress(script: &str) -> Result<Vec<(u64, u64)>, Failed> {
    let mounted = Mounted::new(|_| ())?;
    let (code, output) = finish(&mounted.sandbox.spawn(&python(script))?)?;
    ensure(code == 0, output)?;
    let found = mounted.records(|records| {
        let progress = records.iter().filter_map(|record| match record.op {
            Op::CallGoesOn { done, of, .. } => Some((done, of)),
            _ => None,
        });
        progress.collect()
    });
    mounted.end()?;
    Ok(found)
}

fn pieces() -> Result<(), Failed> {
    let open = "import os; fd = os.open('f', os.O_CREAT | os.O_RDWR);";
    for (call, of) in [
        ("os.write(fd, b'x' * 3000000)", 3_000_000),
        ("os.writev(fd, [b'x' * 1500000, b'y' * 1000000])", 2_500_000),
        ("os.pwrite(fd, b'x' * 2200000, 7)", 2_200_000),
    ] {
        let found = progress(&format!("{open} {call}"))?;
        let sound = found.len() >= 2
            && found.is_sorted()
            && found
                .iter()
                .all(|(done, whole)| done < whole && *whole == of);
        ensure(sound, format!("{call}: {found:?}"))?;
    }
    Ok(())
}

fn adjoining() -> Result<(), Failed> {
    let found = progress(
        "import os; fd = os.open('f', os.O_CREAT | os.O_RDWR)\n\
         for _ in range(3): os.write(fd, b'x' * 1048576)",
    )?;
    ensure(found.is_empty(), format!("{found:?}"))
}

fn attributes() -> Result<(), Failed> {
    let mounted = Mounted::new(|_| ())?;
    let script = "
import os, errno
open('f', 'w').close()
os.setxattr('f', 'user.a', b'one')
os.setxattr('f', 'user.b', b'')
assert os.getxattr('f', 'user.a') == b'one'
assert sorted(os.listxattr('f')) == ['user.a', 'user.b']
os.removexattr('f', 'user.b')
def fails(with_errno, call, *args):
    try: call(*args)
    except OSError as error: assert error.errno == with_errno, error
    else: assert False, call
fails(errno.ENODATA, os.getxattr, 'f', 'user.b')
fails(errno.EEXIST, os.setxattr, 'f', 'user.a', b'', os.XATTR_CREATE)
fails(errno.ENODATA, os.setxattr, 'f', 'user.c', b'', os.XATTR_REPLACE)
fails(errno.ENOSPC, os.setxattr, 'f', 'user.c', b'x' * 5000)
";
    let (code, output) = finish(&mounted.sandbox.spawn(&python(script))?)?;
    ensure(code == 0, output)?;
    let seen = mounted.seen(&["setxattr", "removexattr"]);
    ensure(
        seen == ["setxattr", "setxattr", "removexattr"],
        format!("{seen:?}"),
    )?;
    mounted.end()
}
