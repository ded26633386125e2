//! FUSE filesystems in the sandbox, served from outside.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use plugpull_crashsim::fs::Disk;
use plugpull_sandbox::fuse::{
    Admission, AdmitAll, CrashFs, Decision, OpKind, Operation, Server, WaitId,
};

use fuser::{
    BackgroundSession, Config, FileAttr, FileHandle, FileType, Filesystem, INodeNo, ReplyAttr,
    ReplyEntry, Request, Session, SessionACL,
};
use libtest_mimic::Failed;
use nix::unistd::{getegid, geteuid};
use plugpull_sandbox::{Isolation, Sandbox};

use crate::support::{Test, await_that, ensure, expect_line, finish, run, shell};

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    vec![
        ("a_fuse_mount_is_served_from_outside", served),
        ("force_frees_whoever_waits_for_the_server", force),
        ("drop_frees_whoever_waits_for_the_server", drop_frees),
        ("pids_are_those_of_the_sandbox", pids),
        ("a_panic_of_the_server_is_kept", panicking),
        ("an_unmount_that_nobody_called_for_is_noticed", unmounted),
    ]
}

/// Requests that were not answered, by the pid that made them.
pub(crate) type Parked = Arc<Mutex<Vec<(u32, ReplyEntry)>>>;

/// A root directory in which `missing` is not there and any other name gets no answer.
struct Silent {
    parked: Parked,
}

impl Filesystem for Silent {
    fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let attributes = FileAttr {
            ino: INodeNo::ROOT,
            size: 4711,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: FileType::Directory,
            perm: 0o777,
            nlink: 2,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        reply.attr(&Duration::from_secs(1), &attributes);
    }

    fn lookup(&self, request: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == "missing" {
            return reply.error(fuser::Errno::ENOENT);
        }
        if let Ok(mut parked) = self.parked.lock() {
            parked.push((request.pid(), reply));
        }
    }
}

pub(crate) fn serve(device: OwnedFd) -> std::io::Result<(BackgroundSession, Parked)> {
    let parked = Parked::default();
    let silent = Silent {
        parked: Arc::clone(&parked),
    };
    let mut config = Config::default();
    config.acl = SessionACL::All;
    let session = Session::from_fd(silent, device, SessionACL::All, config)?;
    Ok((session.spawn()?, parked))
}

fn mounted() -> Result<(Sandbox, BackgroundSession, Parked), Failed> {
    let sandbox = crate::support::open(Isolation::Full)?;
    let (session, parked) = serve(sandbox.mount_fuse()?)?;
    Ok((sandbox, session, parked))
}

fn someone_waits(parked: &Parked) -> Result<(), Failed> {
    await_that("somebody waits for the server", || {
        parked.lock().is_ok_and(|parked| !parked.is_empty())
    })
}

fn served() -> Result<(), Failed> {
    let (sandbox, session, _) = mounted()?;
    let (code, output) = run(&sandbox, "stat -c %s .; LC_ALL=C ls missing")?;
    ensure(
        code != 0 && output.starts_with("4711\n") && output.contains("No such file"),
        format!("{code} {output}"),
    )?;
    sandbox.unmount(false)?;
    // The server's thread ends with the mount.
    session.join()?;
    // And the directory can be mounted again.
    let (session, _) = serve(sandbox.mount_fuse()?)?;
    let (_, output) = run(&sandbox, "stat -c %s .")?;
    ensure(output == "4711\n", output)?;
    sandbox.unmount(false)?;
    Ok(session.join()?)
}

fn force() -> Result<(), Failed> {
    let (sandbox, session, parked) = mounted()?;
    let child = sandbox.spawn(&shell("cat silent"))?;
    someone_waits(&parked)?;
    sandbox.unmount(true)?;
    let (code, _) = finish(&child)?;
    ensure(code == 1, format!("{code} instead of an error of cat"))?;
    session.join()?;
    sandbox.kill_all()?;
    Ok(())
}

fn drop_frees() -> Result<(), Failed> {
    let (sandbox, session, parked) = mounted()?;
    sandbox.spawn(&shell("cat silent"))?;
    someone_waits(&parked)?;
    drop(sandbox);
    Ok(session.join()?)
}

fn pids() -> Result<(), Failed> {
    let (sandbox, _session, parked) = mounted()?;
    let child = sandbox.spawn(&shell("echo up; exec cat silent"))?;
    expect_line(&child, "up")?;
    someone_waits(&parked)?;
    let seen = parked.lock().map_err(|_| "poisoned")?[0].0;
    sandbox.unmount(true)?;
    ensure(
        seen as i32 == child.pid(),
        format!("the server saw {seen}, its pid is {}", child.pid()),
    )
}

/// Panics when a file gets a name that no operation before had.
struct Panicking;

impl Admission for Panicking {
    fn admit(&self, op: &Operation<'_>) -> Decision {
        assert!(op.kind != OpKind::Rename, "no rename of {} here", op.path());
        Decision::Serve
    }

    fn waits(&self, _: WaitId) -> bool {
        false
    }
}

/// A crash filesystem with this admission, mounted in a sandbox.
fn crash_fs(admission: Arc<dyn Admission>) -> Result<(Sandbox, Arc<CrashFs>, Server), Failed> {
    let sandbox = crate::support::open(Isolation::Full)?;
    let owner = (geteuid().as_raw(), getegid().as_raw());
    let fs = Arc::new(CrashFs::new(Disk::empty(owner), admission));
    let server = Server::start(Arc::clone(&fs), sandbox.mount_fuse()?, None)?;
    Ok((sandbox, fs, server))
}

fn panicking() -> Result<(), Failed> {
    let (sandbox, fs, server) = crash_fs(Arc::new(Panicking))?;
    let (code, output) = run(&sandbox, "echo data > a && cat a")?;
    ensure(code == 0 && output == "data\n", format!("{code} {output}"))?;
    server.check()?;
    let (code, output) = run(&sandbox, "LC_ALL=C mv a b")?;
    ensure(
        code != 0 && output.contains("Input/output error"),
        format!("{code} {output}"),
    )?;
    let Err(failure) = server.check() else {
        return Err("the panic was not kept".into());
    };
    ensure(
        failure.message == "panicked: no rename of b here"
            && failure
                .place
                .as_ref()
                .is_some_and(|place| place.contains("fuse.rs:")),
        failure.to_string(),
    )?;
    // What comes after it fails, and does not hide it.
    let (code, output) = run(&sandbox, "LC_ALL=C touch c")?;
    ensure(
        code != 0 && output.contains("Input/output error"),
        format!("{code} {output}"),
    )?;
    sandbox.unmount(true)?;
    ensure(server.join() == Err(failure.clone()), "another end")?;
    ensure(fs.failure() == Some(failure), "the filesystem forgot it")
}

fn unmounted() -> Result<(), Failed> {
    let (sandbox, _, server) = crash_fs(Arc::new(AdmitAll))?;
    run(&sandbox, "echo data > a")?;
    server.check()?;
    sandbox.unmount(true)?;
    await_that("the end of the mount is noticed", || {
        server.check().is_err()
    })?;
    // Whoever unmounted it does not ask, but waits for the end.
    Ok(server.join()?)
}
