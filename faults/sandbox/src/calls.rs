//! Calls of targets that the kernel answers without asking the crash filesystem, and that matter to
//! it: a seccomp filter hands them over (seccomp_unotify(2)), and no other call.
//!
//! - `sync` and `syncfs` reach no FUSE server: here they become an operation of the log like an fsync.
//! - `mmap` of a file, shared and writable: from then on bytes change and nobody hears of it.
//! - `FICLONE` and files without a name (`O_TMPFILE`) are not available here: where a target cannot go on
//!   without them, that is known.
//!
//! The filter is put over init when the sandbox stands, and whatever init starts inherits it, also
//! processes that were prepared. A target that has its own listener (a container runtime) cannot
//! have it below this one: the kernel allows one.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::Mutex;

use super::file_holder::FileHolder;
use super::fuse::CrashFs;
use super::mounts;
use super::protocol::{During, Failure};
use super::sys;

/// The kernel's name of the machine whose calls are known here (`linux/audit.h`).
#[cfg(target_arch = "x86_64")]
const ARCH: Option<u32> = Some(0xC000_003E);
#[cfg(target_arch = "aarch64")]
const ARCH: Option<u32> = Some(0xC000_00B7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCH: Option<u32> = None;

/// Places in `struct seccomp_data`.
const NR_AT: u32 = 0;
const ARCH_AT: u32 = 4;
/// The lower half of the argument of this number.
const fn argument_at(number: u32) -> u32 {
    let half = if cfg!(target_endian = "big") { 4 } else { 0 };
    16 + 8 * number + half
}

/// Requests of ioctl(2) that clone a file or a part of it (`linux/fs.h`).
const FICLONE: u32 = 0x4004_9409;
const FICLONERANGE: u32 = 0x4020_940D;
/// What `O_TMPFILE` has and `O_DIRECTORY` has not.
const TMPFILE: libc::c_int = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// The filter, in the kernel's classic BPF.
fn filter(arch: u32) -> Vec<libc::sock_filter> {
    let load = |at: u32| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, 0, 0);
    let is = |value: u32, then: u8, otherwise: u8| {
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            value,
            then,
            otherwise,
        )
    };
    let has = |bits: u32, then: u8, otherwise: u8| {
        instruction(
            libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K,
            bits,
            then,
            otherwise,
        )
    };
    let end = |action: u32| instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0);
    vec![
        load(ARCH_AT),
        is(arch, 0, 16),
        load(NR_AT),
        is(libc::SYS_sync as u32, 15, 0),
        is(libc::SYS_syncfs as u32, 14, 0),
        is(libc::SYS_mmap as u32, 0, 5),
        load(argument_at(2)),
        has(libc::PROT_WRITE as u32, 0, 10),
        load(argument_at(3)),
        has(libc::MAP_ANONYMOUS as u32, 8, 0),
        // Also in MAP_SHARED_VALIDATE.
        has(libc::MAP_SHARED as u32, 8, 7),
        is(libc::SYS_ioctl as u32, 0, 3),
        load(argument_at(1)),
        is(FICLONE, 5, 0),
        is(FICLONERANGE, 4, 3),
        is(libc::SYS_openat as u32, 0, 2),
        load(argument_at(2)),
        has(TMPFILE as u32, 1, 0),
        end(libc::SECCOMP_RET_ALLOW),
        end(libc::SECCOMP_RET_USER_NOTIF),
    ]
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

/// Puts the filter over this process. A bare sandbox has no crash filesystem that could hear of them.
pub(super) fn listen(bare: bool) -> Result<OwnedFd, Failure> {
    let what = "watch calls of sync, syncfs, mmap, ioctl and openat (a seccomp listener)";
    if bare {
        return Err(Failure::new(what, Errno::ENOTSUP));
    }
    let arch = ARCH.ok_or_else(|| Failure::new(what, Errno::ENOSYS))?;
    sys::listen_to_calls(&mut filter(arch)).during(what)
}

/// The filesystem that hears of calls.
type Listening = Arc<Mutex<Option<Arc<CrashFs>>>>;

/// Opens once more what a process of the sandbox has open under a number.
type Reopen = dyn Fn(u32, i32) -> Option<OwnedFd> + Send + Sync;

/// The threads that answer watched calls.
pub(super) struct CallListener {
    listening: Listening,
    reopen: Arc<Reopen>,
    /// Its end is that of the threads.
    stop: Option<io::PipeWriter>,
    stopped: io::PipeReader,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The process that holds mapped files, and its socket, whose end is the process's.
    holder: Arc<FileHolder>,
    holding: Child,
}

impl CallListener {
    /// `reopen` opens once more what a process of the sandbox has open under a number. `helper` is a
    /// program that calls [`super::sandbox_main`].
    pub(super) fn start(
        calls: OwnedFd,
        helper: &Path,
        reopen: impl Fn(u32, i32) -> Option<OwnedFd> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listening = Listening::default();
        let (stopped, stop) = io::pipe()?;
        let (holder, holding) = FileHolder::start(helper)?;
        let listener = Self {
            listening,
            reopen: Arc::new(reopen),
            stop: Some(stop),
            stopped,
            threads: Mutex::default(),
            holder: Arc::new(holder),
            holding,
        };
        listener.hear(calls)?;
        Ok(listener)
    }

    /// Answers the calls of these processes, too.
    pub(super) fn hear(&self, calls: OwnedFd) -> io::Result<()> {
        let (shared, reopen) = (Arc::clone(&self.listening), Arc::clone(&self.reopen));
        let (holder, stopped) = (Arc::clone(&self.holder), self.stopped.try_clone()?);
        let thread = thread::Builder::new().name("calls".into()).spawn(move || {
            while await_call(&calls, &stopped) {
                // It fails when the caller has died.
                if let Ok(call) = sys::next_call(&calls) {
                    let fs = shared.lock().clone();
                    let result = fs.and_then(|fs| answer(&fs, &calls, &call, (&holder, &*reopen)));
                    #[expect(
                        clippy::let_underscore_must_use,
                        reason = "the caller may have died meanwhile"
                    )]
                    let _ = sys::answer_call(&calls, call.id, result);
                }
            }
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Tells this filesystem from now on.
    pub(super) fn tell(&self, fs: Arc<CrashFs>) {
        *self.listening.lock() = Some(fs);
    }

    /// Tells nobody any more.
    pub(super) fn forget(&self) {
        if let Some(fs) = self.listening.lock().take() {
            fs.mappings().end();
        }
    }
}

impl Drop for CallListener {
    fn drop(&mut self) {
        if let Some(fs) = self.listening.lock().take() {
            // A sync that it holds would hold this thread, too.
            fs.cut();
            fs.mappings().end();
        }
        self.stop = None;
        for thread in self.threads.get_mut().drain(..) {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "whatever it met, nobody calls any more"
            )]
            let _ = thread.join();
        }
        self.holder.end();
        #[expect(
            clippy::let_underscore_must_use,
            reason = "it has ended, or ends with plugpull"
        )]
        let _ = self.holding.wait();
    }
}

/// Waits for a call; false at the end.
fn await_call(calls: &OwnedFd, stopped: &io::PipeReader) -> bool {
    loop {
        let mut fds = [
            PollFd::new(calls.as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_) => return false,
            Ok(_) => {}
        }
        let happened = |fd: &PollFd<'_>| fd.revents().unwrap_or(PollFlags::empty());
        if !happened(&fds[1]).is_empty() {
            return false;
        }
        // Without POLLIN it is the end of all who could call.
        return happened(&fds[0]).contains(PollFlags::POLLIN);
    }
}

/// What to answer; none for a call that is the kernel's own business.
fn answer(
    fs: &Arc<CrashFs>,
    calls: &OwnedFd,
    call: &libc::seccomp_notif,
    (holder, reopen): (&Arc<FileHolder>, &Reopen),
) -> Option<i32> {
    let nr = libc::c_long::from(call.data.nr);
    if nr == libc::SYS_openat {
        if opens_here(call).unwrap_or(false) {
            fs.note_unsupported("O_TMPFILE");
        }
        return None;
    }
    let fd = match nr {
        libc::SYS_mmap => Some(call.data.args[4]),
        libc::SYS_syncfs | libc::SYS_ioctl => Some(call.data.args[0]),
        _ => None,
    };
    let info = fd.map(|fd| open_file(call.pid, fd as i32));
    let pid = own_number(call.pid);
    let elsewhere = info.as_ref().is_some_and(|info| info.elsewhere);
    if elsewhere || !sys::still_waits(calls, call.id) {
        return None;
    }
    if nr == libc::SYS_mmap {
        let ino = info.and_then(|info| info.ino);
        fs.mappings()
            .note(fs, holder, ino, || reopen(pid, fd? as i32));
        return None;
    }
    if nr == libc::SYS_ioctl {
        fs.note_unsupported("FICLONE");
        return None;
    }
    let machine = nr == libc::SYS_sync;
    // What was stored in a mapping is in the kernel alone.
    fs.mappings().write_back();
    match fs.sync_all(pid, machine) {
        // sync(2) says nothing of errors.
        Err(errno) if !machine => Some(-(errno as i32)),
        _ => Some(0),
    }
}

/// Whether the path of an openat(2) is on a crash filesystem; none where the caller has died.
fn opens_here(call: &libc::seccomp_notif) -> Option<bool> {
    let [directory, path, ..] = call.data.args;
    let of = |what: &str| format!("/proc/{}/{what}", call.pid);
    let mut bytes = vec![0; libc::PATH_MAX as usize];
    let read = fs::File::open(of("mem")).ok()?.read_at(&mut bytes, path);
    bytes.truncate(read.ok()?);
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let directory = match directory as i32 {
        libc::AT_FDCWD => of("cwd"),
        fd => of(&format!("fd/{fd}")),
    };
    let path = fs::read_link(directory).ok()?;
    let path = path.join(OsStr::from_bytes(&bytes[..end]));
    let table = fs::read_to_string(of("mountinfo")).ok()?;
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, Path::new(fields.nth(3)?)))
    });
    let holds = mounts.filter(|(_, at)| path.starts_with(at));
    let (number, _) = holds.max_by_key(|(_, at)| at.as_os_str().len())?;
    Some(is_crash_fs(&table, number))
}

/// The number that a process has in its own namespace (proc(5), `NSpid`).
fn own_number(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let own = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
    own.unwrap_or(pid)
}

/// What is known of an open file of a process.
#[derive(Default)]
struct OpenFile {
    /// It is certainly on another filesystem than the crash filesystem.
    elsewhere: bool,
    /// Its inode number (since Linux 5.14).
    ino: Option<u64>,
}

fn open_file(pid: u32, fd: i32) -> OpenFile {
    let Ok(info) = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")) else {
        return OpenFile::default();
    };
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo"));
    let known = field("mnt_id:").zip(table.ok());
    OpenFile {
        elsewhere: known.is_some_and(|(mount, table)| !is_crash_fs(&table, mount.trim())),
        ino: field("ino:").and_then(|ino| ino.trim().parse().ok()),
    }
}

/// Whether the mount of this number is a crash filesystem (proc(5), mountinfo).
fn is_crash_fs(table: &str, mount: &str) -> bool {
    table.lines().any(|line| {
        let kind = line
            .split_once(" - ")
            .and_then(|(_, rest)| rest.split(' ').next());
        line.split(' ').next() == Some(mount) && kind == Some(mounts::FUSE_TYPE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_a_file_is_found() {
        let table = "36 35 98:0 / /a rw,noatime - ext4 /dev/root rw\n\
                     41 36 0:52 / /a/data rw - fuse.plugpull plugpull rw\n";
        assert!(is_crash_fs(table, "41"));
        assert!(!is_crash_fs(table, "36"));
        assert!(!is_crash_fs(table, "4"));
    }
}
