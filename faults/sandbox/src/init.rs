//! Process 1 of the sandbox: starts, signals, kills and reaps on the supervisor's orders.
//!
//! It has one thread and waits in one place, and it does nothing that a hanging filesystem could
//! hold up. Without namespaces the same loop runs in an ordinary process that is a subreaper.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, Pid};

use super::elsewhere::{self, WritablePlace};
use super::launch::{self, Started, Surroundings};
use super::protocol::{Answer, Command, During, Failure, FromInit, Ready, SetUp, ToInit};
use super::{UNKNOWN_CODE, bare, calls, mounts, packet, proctree, renew, sys, usage};

/// How often a tree without a PID namespace is walked again until all of it is gone, in ms.
const WALK_AGAIN_MS: u16 = 2;

/// How often it is looked whether the number of a process is free that has ended.
const MOST_LOOKS: u32 = 100;

/// What the janitor hands to init.
pub(super) struct Inheritance {
    /// The socket to the supervisor.
    pub(super) control: OwnedFd,
    /// Ends when the janitor ends.
    pub(super) life: OwnedFd,
    /// plugpull's own binary.
    pub(super) exe: OwnedFd,
    /// Tells of SIGCHLD, which is blocked.
    pub(super) signals: SignalFd,
    /// The directory that stands for private mounts where there are none.
    pub(super) bare: Option<PathBuf>,
    /// The uid and gid to map, where there is a user namespace.
    pub(super) user_namespace: Option<(u32, u32)>,
}

struct Init {
    has: Inheritance,
    data: PathBuf,
    home: PathBuf,
    cgroup: Option<OwnedFd>,
    /// Where the number of the next process is chosen.
    last_pid: Option<File>,
    /// Where else than in the data directory processes can write.
    places: Vec<WritablePlace>,
    /// Children that have not reached their program yet, with the request to answer.
    starting: Vec<(u64, Started)>,
    /// Children whose end the supervisor wants to know.
    children: HashSet<i32>,
    /// Processes that were forked from outside of the namespace of processes: no children of init's, until
    /// whose end the others wait.
    adopted: Vec<Adopted>,
    /// There was one of them.
    adopts: bool,
    /// Requests to answer when nobody is left.
    killing: Vec<u64>,
}

/// A process that was forked from outside.
struct Adopted {
    pid: i32,
    /// Can be read from once it has ended, and hangs up once its number is free (Linux 6.9).
    end: OwnedFd,
    /// How often it was looked whether its number is free, since it has ended.
    looks: u32,
}

/// Why init ends.
enum End {
    /// The supervisor ended it.
    Shutdown,
    /// The supervisor or the janitor is gone.
    Alone,
}

/// Sets the inside of the sandbox up, serves the supervisor until the end, and returns the exit
/// code. All processes of a PID namespace end with this one.
pub(super) fn run(has: Inheritance, plan: &SetUp) -> i32 {
    let (mut ready, last_pid, places) = match set_up(&has, plan) {
        Ok(ready) => ready,
        Err(failure) => {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "where the supervisor is gone nobody can be informed"
            )]
            let _ = packet::send(&has.control, &FromInit::Failed(failure), &[]);
            return 1;
        }
    };
    let home = has
        .bare
        .as_ref()
        .map_or_else(|| PathBuf::from(launch::HOME), |dir| dir.join(bare::TMP));
    let mut init = Init {
        data: ready.data.clone(),
        home,
        cgroup: None,
        starting: Vec::new(),
        children: HashSet::new(),
        adopted: Vec::new(),
        adopts: false,
        killing: Vec::new(),
        last_pid,
        places,
        has,
    };
    // Last of all, so that nothing of this is watched; every process of the sandbox is a descendant.
    let calls = calls::listen(init.has.bare.is_some()).map_err(|failure| {
        ready.deaf = Some(failure);
    });
    // Where there is a namespace of processes, its numbers are looked up there.
    let proc = (init.has.bare.is_none()).then(|| File::open("/proc"));
    let proc: Option<OwnedFd> = proc.and_then(Result::ok).map(Into::into);
    ready.proc = proc.is_some();
    let fds: Vec<_> = proc.iter().chain(&calls).map(AsFd::as_fd).collect();
    if packet::send(&init.has.control, &FromInit::Ready(ready), &fds).is_err() {
        return 1;
    }
    // The supervisor's alone: with its end, calls that wait fail and none waits any more.
    drop(calls);
    let code = match init.serve() {
        Ok(End::Shutdown) => 0,
        Ok(End::Alone) | Err(_) => 1,
    };
    init.leave();
    code
}

/// Also where the number of the next process is chosen, if it can be, and where processes can write.
fn set_up(
    has: &Inheritance,
    plan: &SetUp,
) -> Result<(Ready, Option<File>, Vec<WritablePlace>), Failure> {
    prctl::set_pdeathsig(Signal::SIGKILL).during("tie init's life to the janitor's")?;
    unistd::chdir("/").during("enter /")?;
    if let Some(dir) = &has.bare {
        prctl::set_child_subreaper(true).during("become a subreaper")?;
        let ready = Ready {
            data: dir.join(bare::DATA),
            user_namespace: false,
            tmp: "shared".into(),
            notes: Vec::new(),
            deaf: None,
            proc: false,
        };
        return Ok((ready, None, Vec::new()));
    }
    if let Some((uid, gid)) = has.user_namespace {
        map_ids(uid, gid)?;
    }
    let real_root = has.user_namespace.is_none();
    let tree = mounts::build(&plan.base, &plan.programs, real_root)?;
    sys::loopback_up().during("bring the loopback interface up")?;
    unistd::sethostname("plugpull").during("set the host name")?;
    let ready = Ready {
        data: tree.data,
        user_namespace: !real_root,
        tmp: tree.tmp.into(),
        notes: tree.notes,
        deaf: None,
        proc: false,
    };
    Ok((ready, tree.last_pid, tree.places))
}

/// Maps the user to himself (user_namespaces(7)): targets see the uid that they would see
/// without a sandbox, and lose all capabilities at exec; init, which never execs, keeps its own.
fn map_ids(uid: u32, gid: u32) -> Result<(), Failure> {
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{uid} {uid} 1")),
        ("gid_map", format!("{gid} {gid} 1")),
    ] {
        std::fs::write(Path::new("/proc/self").join(file), text)
            .during(&format!("write /proc/self/{file}"))?;
    }
    Ok(())
}

impl Init {
    fn serve(&mut self) -> std::io::Result<End> {
        loop {
            let looks = self.has.bare.is_some() || self.adopts;
            let timeout = if looks && !self.killing.is_empty()
                || self.adopted.iter().any(|one| one.looks > 0)
            {
                PollTimeout::from(WALK_AGAIN_MS)
            } else {
                PollTimeout::NONE
            };
            let (asked, died, alone, reported, ended) = {
                let input = PollFlags::POLLIN;
                let mut fds = vec![
                    PollFd::new(self.has.control.as_fd(), input),
                    PollFd::new(self.has.signals.as_fd(), input),
                    PollFd::new(self.has.life.as_fd(), input),
                ];
                for (_, started) in &self.starting {
                    fds.push(PollFd::new(started.report.as_fd(), input));
                }
                for one in &self.adopted {
                    let input = if one.looks > 0 {
                        PollFlags::empty()
                    } else {
                        input
                    };
                    fds.push(PollFd::new(one.end.as_fd(), input));
                }
                match poll(&mut fds, timeout) {
                    Ok(_) => {}
                    Err(Errno::EINTR) => continue,
                    Err(errno) => return Err(errno.into()),
                }
                let on = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
                let reported: Vec<i32> = self
                    .starting
                    .iter()
                    .zip(&fds[3..])
                    .filter(|(_, fd)| on(fd))
                    .map(|((_, started), _)| started.pid)
                    .collect();
                let adopted = self.adopted.iter().zip(&fds[3 + self.starting.len()..]);
                let ended: Vec<i32> = adopted
                    .filter(|(one, fd)| one.looks > 0 || on(fd))
                    .map(|(one, _)| one.pid)
                    .collect();
                (on(&fds[0]), on(&fds[1]), on(&fds[2]), reported, ended)
            };
            if alone {
                return Ok(End::Alone);
            }
            for pid in reported {
                self.settle(pid)?;
            }
            for pid in ended {
                self.adopted_ended(pid)?;
            }
            if died {
                while let Ok(Some(_)) = self.has.signals.read_signal() {}
            }
            if died || !self.killing.is_empty() {
                self.reap()?;
            }
            if asked {
                match packet::receive::<ToInit>(&self.has.control)? {
                    None => return Ok(End::Alone),
                    Some((
                        ToInit {
                            command: Command::Shutdown,
                            ..
                        },
                        _,
                    )) => return Ok(End::Shutdown),
                    Some((request, fds)) => self.obey(request, fds)?,
                }
            }
        }
    }

    fn obey(&mut self, request: ToInit, fds: Vec<OwnedFd>) -> std::io::Result<()> {
        let id = request.id;
        match self.act(request, fds) {
            Ok(Some((answer, fd))) => self.answer(id, Ok(answer), fd),
            Ok(None) => Ok(()),
            Err(failure) => self.answer(id, Err(failure), None),
        }
    }

    /// Obeys, and says what to answer; nothing yet when the answer comes later.
    fn act(
        &mut self,
        request: ToInit,
        fds: Vec<OwnedFd>,
    ) -> Result<Option<(Answer, Option<OwnedFd>)>, Failure> {
        let done = Ok(Some((Answer::Done, None)));
        match request.command {
            Command::MountFuse => Ok(Some((Answer::Done, Some(self.mount_fuse()?)))),
            Command::MountTmpfs { size } => {
                self.need_mounts("mount a tmpfs")?;
                mounts::mount_tmpfs(&self.data, size).during("mount a tmpfs")?;
                done
            }
            Command::Reopen { pid, fd } => {
                // Of its own: what it locks, the process would else go on holding when it closes it.
                let file = File::open(format!("/proc/{pid}/fd/{fd}")).during("open it again")?;
                Ok(Some((Answer::Done, Some(file.into()))))
            }
            Command::Unmount { force } => {
                self.need_mounts("unmount")?;
                mounts::unmount(&self.data, force).during("unmount the data directory")?;
                done
            }
            Command::Spawn(spec) => {
                let started = launch::launch(&spec, &fds, &self.surroundings())?;
                self.children.insert(started.pid);
                self.starting.push((request.id, started));
                Ok(None)
            }
            Command::Ballast { bytes } => {
                let pid = launch::launch_ballast(bytes, &self.surroundings())?;
                self.children.insert(pid);
                Ok(Some((Answer::Started(pid), None)))
            }
            Command::Adopt { pid } => self.adopt(request.id, pid),
            Command::KillAll => {
                self.killing.push(request.id);
                self.kill_all();
                self.reap().during("reap")?;
                Ok(None)
            }
            Command::NumberFrom { pid } => {
                self.number_from(pid)?;
                done
            }
            Command::Signal { pid, signal, tree } => {
                let signal = Signal::try_from(signal).during("know the signal")?;
                self.signal(pid, signal, tree).during("send the signal")?;
                done
            }
            Command::Socket => {
                let socket = socket(
                    AddressFamily::Inet,
                    SockType::Stream,
                    SockFlag::SOCK_CLOEXEC,
                    None,
                )
                .during("make a socket")?;
                Ok(Some((Answer::Done, Some(socket))))
            }
            Command::Elsewhere { since } => {
                self.need_mounts("know what was written outside of the data directory")?;
                let found = elsewhere::written(&self.places, since);
                Ok(Some((Answer::Elsewhere(found), None)))
            }
            Command::Renew => {
                let own = self.data.parent().unwrap_or(&self.data);
                renew::renew(own, &self.places)?;
                done
            }
            // In a namespace of processes they are all below process 1, as they are below a subreaper.
            Command::Usage => {
                let pids = proctree::pids(unistd::getpid().as_raw());
                Ok(Some((Answer::Usage(usage::used_by(pids)), None)))
            }
            Command::UseCgroup => {
                self.cgroup = fds.into_iter().next();
                done
            }
            // Handled by the caller.
            Command::Shutdown => done,
        }
    }

    /// Mounts a FUSE filesystem on the data directory: the device to serve it through.
    fn mount_fuse(&self) -> Result<OwnedFd, Failure> {
        self.need_mounts("mount a FUSE filesystem")?;
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .during("open /dev/fuse")?;
        mounts::mount_fuse(&self.data, device.as_raw_fd()).during("mount a FUSE filesystem")?;
        Ok(device.into())
    }

    /// Gives the next process this number.
    fn number_from(&self, pid: i32) -> Result<(), Failure> {
        let file = self.last_pid.as_ref();
        let file = file.ok_or_else(|| Failure::new("number processes", Errno::ENOSYS))?;
        // The kernel goes on behind the number that is written (kernel/pid_namespace.c).
        file.write_all_at((pid - 1).to_string().as_bytes(), 0)
            .during("write ns_last_pid")
    }

    fn need_mounts(&self, what: &str) -> Result<(), Failure> {
        if self.has.bare.is_some() {
            return Err(Failure::new(
                format!("{what} without a mount namespace"),
                Errno::ENOTSUP,
            ));
        }
        Ok(())
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            exe: &self.has.exe,
            cgroup: self.cgroup.as_ref(),
            cwd: &self.data,
            home: &self.home,
        }
    }

    fn signal(&self, pid: i32, signal: Signal, tree: bool) -> nix::Result<()> {
        if !tree {
            // A pid that is not a child's may have gone to somebody else.
            if !self.children.contains(&pid) {
                return Err(Errno::ESRCH);
            }
            return kill(Pid::from_raw(pid), signal);
        }
        if self.has.bare.is_some() {
            proctree::signal_descendants(unistd::getpid().as_raw(), signal);
            return Ok(());
        }
        // All of the namespace but process 1 itself (kill(2)).
        match kill(Pid::from_raw(-1), signal) {
            Err(Errno::ESRCH) => Ok(()),
            sent => sent,
        }
    }

    fn kill_all(&self) {
        if self.has.bare.is_some() {
            proctree::kill_descendants(unistd::getpid().as_raw());
        } else {
            // One call, under the kernel's lock of the process list: nobody sees a neighbour die
            // first and nobody can fork away.
            #[expect(
                clippy::let_underscore_must_use,
                reason = "it fails only when there is nobody"
            )]
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        }
    }

    /// Reaps all that is dead, tells of those that the supervisor started, and answers a request
    /// to kill all when nobody is left.
    fn reap(&mut self) -> std::io::Result<()> {
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid.as_raw(), 128 + signal as i32),
                Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => {
                    if !self.adopted.is_empty() || self.strangers() {
                        return Ok(());
                    }
                    for id in std::mem::take(&mut self.killing) {
                        self.answer(id, Ok(Answer::Done), None)?;
                    }
                    return Ok(());
                }
                // Alive, or an event that we did not ask for.
                Ok(_) => break,
                Err(errno) => return Err(errno.into()),
            };
            self.settle(pid)?;
            if self.children.remove(&pid) {
                packet::send(&self.has.control, &FromInit::Exited { pid, code }, &[])?;
            }
        }
        if !self.killing.is_empty() && self.has.bare.is_some() {
            // Those whose parents have died are ours only now.
            self.kill_all();
        }
        Ok(())
    }

    /// Whether processes live that are no children of init's: what was forked from outside. Those that have
    /// ended may be kept by their parent.
    fn strangers(&self) -> bool {
        self.adopts && kill(Pid::from_raw(-1), None).is_ok() && proctree::anybody_lives()
    }

    /// Watches a process that was forked from outside.
    fn adopt(&mut self, id: u64, pid: i32) -> Result<Option<(Answer, Option<OwnedFd>)>, Failure> {
        self.adopts = true;
        let end = match sys::pidfd_open(Pid::from_raw(pid)) {
            // It has ended, or never was: whoever asked sees an end either way.
            Err(Errno::ESRCH) => {
                self.answer(id, Ok(Answer::Started(pid)), None)
                    .and_then(|()| self.report_end(pid, UNKNOWN_CODE))
                    .during("report its end")?;
                return Ok(None);
            }
            end => end.during("find a forked process")?,
        };
        self.adopted.push(Adopted { pid, end, looks: 0 });
        Ok(Some((Answer::Started(pid), None)))
    }

    /// Tells of the end of a process that was forked from outside, once its number is free: its parent
    /// ignores that it has ended, so the kernel frees it right after it has reported the end.
    fn adopted_ended(&mut self, pid: i32) -> std::io::Result<()> {
        if kill(Pid::from_raw(pid), None).is_ok() {
            for one in self.adopted.iter_mut().filter(|one| one.pid == pid) {
                one.looks += 1;
                // Its parent keeps it.
                if one.looks < MOST_LOOKS {
                    return Ok(());
                }
            }
        }
        let found = self.adopted.iter().position(|one| one.pid == pid);
        let gone = found.map(|at| self.adopted.swap_remove(at));
        let status = gone.and_then(|one| sys::pidfd_exit(&one.end));
        let code = match status.map(|status| WaitStatus::from_raw(Pid::from_raw(pid), status)) {
            Some(Ok(WaitStatus::Exited(_, code))) => code,
            Some(Ok(WaitStatus::Signaled(_, signal, _))) => 128 + signal as i32,
            _ => UNKNOWN_CODE,
        };
        self.report_end(pid, code)
    }

    /// Tells of the end of a process that was forked from outside.
    fn report_end(&self, pid: i32, code: i32) -> std::io::Result<()> {
        packet::send(&self.has.control, &FromInit::Exited { pid, code }, &[])
    }

    /// Answers the request to start `pid`, if that is still open: its pipe has ended, or it has.
    fn settle(&mut self, pid: i32) -> std::io::Result<()> {
        let Some(at) = self.starting.iter().position(|(_, s)| s.pid == pid) else {
            return Ok(());
        };
        let (id, started) = self.starting.swap_remove(at);
        let mut text = Vec::new();
        // Called only when the pipe is readable or its writer is dead, so this cannot block for
        // long: the writer writes once and ends.
        std::fs::File::from(started.report).read_to_end(&mut text)?;
        if text.is_empty() {
            return self.answer(id, Ok(Answer::Started(pid)), None);
        }
        self.children.remove(&pid);
        let failure = serde_json::from_slice(&text)
            .unwrap_or_else(|_| Failure::new("start the program", Errno::EIO));
        self.answer(id, Err(failure), None)
    }

    fn answer(
        &self,
        id: u64,
        result: Result<Answer, Failure>,
        fd: Option<OwnedFd>,
    ) -> std::io::Result<()> {
        let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
        packet::send(&self.has.control, &FromInit::Answer { id, result }, &fds)
    }

    /// Leaves nothing that could hold the end up: a process that waits for a FUSE server cannot
    /// be killed before its connection is aborted.
    fn leave(&mut self) {
        if self.has.bare.is_some() {
            // The janitor kills and reaps the rest.
            self.kill_all();
            return;
        }
        while mounts::unmount(&self.data, true).is_ok() {}
    }
}
