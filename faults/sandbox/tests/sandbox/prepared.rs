//! Processes that are ready before they are wanted.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request, Session,
    SessionACL,
};
use libtest_mimic::Failed;
use plugpull_sandbox::{Isolation, Sandbox, SandboxError};

use crate::support::{Test, await_that, ensure, finish, run, shell};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("a_prepared_process_waits_for_the_word", waits),
        ("a_prepared_process_that_is_dropped_ends", dropped),
        ("a_prepared_process_knows_what_it_is_for", is_for),
        ("a_prepared_socket_connects_once", socket),
    ]
}

pub(crate) fn fuse_tests() -> Vec<(&'static str, Test)> {
    vec![("files_are_read_ahead", read_ahead)]
}

fn full() -> Result<Sandbox, SandboxError> {
    crate::support::open(Isolation::Full)
}

fn waits() -> Result<(), Failed> {
    let sandbox = full()?;
    sandbox.number_from(1000)?;
    let prepared = sandbox.prepare(&shell("echo $$; ls made"), 0)?;
    // It has its number already, and has not looked for the file yet.
    let (_, output) = run(&sandbox, "echo $$; touch made")?;
    ensure(output == "1001\n", output)?;
    let (code, output) = finish(&prepared.go()?)?;
    ensure(
        code == 0 && output == "1000\nmade\n",
        format!("{code} {output:?}"),
    )
}

fn dropped() -> Result<(), Failed> {
    let sandbox = full()?;
    sandbox.number_from(1000)?;
    let there = || run(&sandbox, "test -e /proc/1000").map(|(code, _)| code == 0);
    let prepared = sandbox.prepare(&shell("touch made"), 0)?;
    ensure(there()?, "it is not there")?;
    drop(prepared);
    await_that("it is gone", || matches!(there(), Ok(false)))?;
    let (code, _) = run(&sandbox, "test -e made")?;
    ensure(code == 1, "it became its program")
}

fn is_for() -> Result<(), Failed> {
    let sandbox = full()?;
    let request = shell("true");
    let prepared = sandbox.prepare(&request, 4096)?;
    ensure(prepared.is_for(&request), "it is for what it was made for")?;
    let mut other = request.clone();
    other.env.push(("NAME".into(), "value".into()));
    ensure(!prepared.is_for(&other), "another environment")?;
    ensure(!prepared.is_for(&shell("false")), "another program")
}

fn socket() -> Result<(), Failed> {
    let sandbox = full()?;
    sandbox.prepare_socket()?;
    for port in [5432, 5433] {
        ensure(
            matches!(
                sandbox.tcp_connect(port, Duration::from_secs(10)),
                Err(SandboxError::Refused { .. })
            ),
            "nobody listens there",
        )?;
    }
    Ok(())
}

/// What the file `note` holds.
const TEXT: &[u8] = b"read ahead";
/// Its number.
const NOTE: u64 = 2;
/// How long the kernel may keep names and attributes.
const LONG: Duration = Duration::from_secs(3600);

/// A directory with one file, whose reads are counted.
struct Counting(Arc<AtomicU64>);

fn attributes(ino: INodeNo) -> FileAttr {
    let (kind, perm, size) = match ino {
        INodeNo::ROOT => (FileType::Directory, 0o777, 0),
        _ => (FileType::RegularFile, 0o666, TEXT.len() as u64),
    };
    FileAttr {
        ino,
        size,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Counting {
    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&LONG, &attributes(ino));
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name == "note" {
            true => reply.entry(&LONG, &attributes(INodeNo(NOTE)), Generation(0)),
            false => reply.error(fuser::Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        _: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.0.fetch_add(1, Ordering::SeqCst);
        reply.data(TEXT.get(offset as usize..).unwrap_or_default());
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if offset == 0 && reply.add(INodeNo(NOTE), 1, FileType::RegularFile, "note") {
            return reply.error(fuser::Errno::EINVAL);
        }
        reply.ok();
    }
}

/// The text of the file, and how often the server was asked for it before and after the program
/// began.
fn reads(warm: u64) -> Result<(String, u64, u64), Failed> {
    let sandbox = full()?;
    let count = Arc::new(AtomicU64::new(0));
    let mut config = Config::default();
    config.acl = SessionACL::All;
    let counting = Counting(count.clone());
    let session = Session::from_fd(counting, sandbox.mount_fuse()?, SessionACL::All, config)?;
    let _session = session.spawn()?;
    let read = || count.load(Ordering::SeqCst);
    let prepared = sandbox.prepare(&shell("cat note"), warm)?;
    if warm > 0 {
        await_that("the file is read", || read() > 0)?;
    }
    let before = read();
    let (_, output) = finish(&prepared.go()?)?;
    let after = read() - before;
    sandbox.unmount(true)?;
    Ok((output, before, after))
}

fn read_ahead() -> Result<(), Failed> {
    let (text, before, after) = reads(TEXT.len() as u64)?;
    ensure(
        text.as_bytes() == TEXT && before == 1 && after == 0,
        format!("{text:?} was read {before} and {after} times"),
    )?;
    // It is larger than that.
    let (text, before, after) = reads(0)?;
    ensure(
        text.as_bytes() == TEXT && before == 0 && after > 0,
        format!("{text:?} was read {before} and {after} times"),
    )
}
