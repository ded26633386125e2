//! The process between plugpull and the sandbox, which stays outside and cleans up.
//!
//! plugpull starts itself again as its own janitor. The janitor starts init in new namespaces,
//! waits for the end of plugpull or of init, whichever comes first, ends the other side, and
//! removes what no namespace takes along: cgroups, and the directory that stands for private mounts
//! where there are none. That plugpull has ended it knows by the end of file on its socket, which
//! comes whatever plugpull died of.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid, dup2_stdin, dup2_stdout, pipe2, setsid};

use super::bare;
use super::cgroup::Cgroup;
use super::file_holder::{self, HOLDER_ARG};
use super::init::{self, Inheritance};
use super::protocol::{During, Failure, FromInit, FromJanitor, SetUp, ToJanitor};
use super::{launch, packet, proctree, sys};

/// Exit code when this was not called by plugpull.
const WRONG_USE: i32 = 2;

/// What a program that opens a [`super::Sandbox`] does when its first argument is
/// [`super::SANDBOX_ARG`], before it starts any thread. `args` are those after it: none for the
/// janitor, one for the file holder; all else comes over sockets. Returns the exit code.
pub fn sandbox_main(args: &[String]) -> i32 {
    let result = match args {
        [] => run(),
        [holder] if holder == HOLDER_ARG => file_holder::run(),
        _ => Err(io::Error::other("it takes no other arguments")),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("the sandbox's helper: {error}");
            WRONG_USE
        }
    }
}

fn run() -> io::Result<()> {
    // Forking later on is safe only so.
    if !sys::one_thread()? {
        return Err(io::Error::other("the program has started a thread before"));
    }
    // Both sockets come as standard streams, so that nothing must be passed across exec by hand.
    let orders = io::stdin().as_fd().try_clone_to_owned()?;
    let control = io::stdout().as_fd().try_clone_to_owned()?;
    let null = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    drop(null);
    // Ctrl-C ends plugpull, and the janitor by way of plugpull's end, never before it.
    setsid()?;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        sys::ignore(signal);
    }
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let plan = match packet::receive::<ToJanitor>(&orders) {
        Ok(Some((ToJanitor::SetUp(plan), _))) => plan,
        Ok(None) => return Ok(()),
        Ok(Some(_)) | Err(_) => {
            return Err(io::Error::other(
                "plugpull calls this itself; it is of no use by hand",
            ));
        }
    };
    unistd::chdir("/")?;
    let mut left = Leftovers::default();
    let served = serve(orders, control, &plan, &mut left);
    left.remove();
    served
}

/// What must be removed at the end.
#[derive(Default)]
struct Leftovers {
    cgroups: Vec<Cgroup>,
    /// Processes that fork targets.
    parents: Vec<Pid>,
    directory: Option<PathBuf>,
}

impl Leftovers {
    #[expect(
        clippy::let_underscore_must_use,
        reason = "plugpull has ended, so nobody can be informed, and the rest must be tried"
    )]
    fn remove(&self) {
        for parent in &self.parents {
            let _ = kill(*parent, Signal::SIGKILL);
            let _ = waitpid(*parent, None);
        }
        for cgroup in &self.cgroups {
            let _ = cgroup.remove();
        }
        if let Some(directory) = &self.directory {
            let _ = bare::remove(directory);
        }
    }
}

fn serve(orders: OwnedFd, control: OwnedFd, plan: &SetUp, left: &mut Leftovers) -> io::Result<()> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.thread_block()?;
    let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    // Held until this process ends, whatever it dies of; init watches the other end.
    let (life, alive) = pipe2(OFlag::O_CLOEXEC)?;
    let start = |left: &mut Leftovers| {
        let exe = File::open("/proc/self/exe").during("open plugpull's own binary")?;
        if !plan.full {
            left.directory = Some(bare::make().during("make a temporary directory")?);
            prctl::set_child_subreaper(true).during("become a subreaper")?;
        }
        let (forked, user_namespace) = fork_init(plan).during("enter new namespaces")?;
        Ok::<_, Failure>((exe, forked, user_namespace))
    };
    let (exe, forked, user_namespace) = match start(left) {
        Ok(started) => started,
        Err(failure) => return packet::send(&control, &FromInit::Failed(failure), &[]),
    };
    let init = match forked {
        ForkResult::Child => {
            // What belongs to the janitor alone. With these open here, nobody would notice its
            // end, or the supervisor's.
            drop((alive, orders));
            let has = Inheritance {
                control,
                life,
                exe: exe.into(),
                signals,
                bare: left.directory.clone(),
                user_namespace,
            };
            sys::exit_now(init::run(has, plan))
        }
        ForkResult::Parent { child } => child,
    };
    drop((control, life, exe));
    watch(&orders, &signals, (init, user_namespace.is_some()), left)?;
    if !plan.full {
        end_tree();
    }
    Ok(())
}

/// Forks init into the namespaces of the plan. With a user namespace, says which uid and gid it
/// was entered with: they read otherwise inside.
#[expect(unsafe_code, reason = "forking is unsafe by its nature")]
fn fork_init(plan: &SetUp) -> nix::Result<(ForkResult, Option<(u32, u32)>)> {
    if !plan.full {
        // SAFETY: the janitor has one thread, which it has checked.
        return Ok((unsafe { sys::fork()? }, None));
    }
    let private = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if !plan.user_namespace && unistd::geteuid().is_root() {
        // SAFETY: as above.
        match unsafe { sys::fork_into(private) } {
            // Root of a container, without the rights of root.
            Err(Errno::EPERM) => {}
            forked => return Ok((forked?, None)),
        }
    }
    let ids = (unistd::geteuid().as_raw(), unistd::getegid().as_raw());
    // SAFETY: as above.
    let forked = unsafe { sys::fork_into(private | CloneFlags::CLONE_NEWUSER)? };
    Ok((forked, Some(ids)))
}

/// Serves the supervisor until it or init ends. Init, and with it its PID namespace, is dead and
/// reaped afterwards.
fn watch(
    orders: &OwnedFd,
    signals: &SignalFd,
    (init, user_namespace): (Pid, bool),
    left: &mut Leftovers,
) -> io::Result<()> {
    loop {
        let mut fds = [
            PollFd::new(orders.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let [asked, died] = fds.map(|fd| fd.any().unwrap_or(true));
        if died {
            while let Ok(Some(_)) = signals.read_signal() {}
            if reap_until(init, left) {
                return Ok(());
            }
        }
        if asked {
            match packet::receive::<ToJanitor>(orders) {
                Ok(Some((ToJanitor::MakeCgroup { supervisor, number }, _))) => {
                    make_cgroup(orders, supervisor, number, left);
                }
                Ok(Some((ToJanitor::ForkParent(spec), fds))) => {
                    if let [control] = &fds[..] {
                        let forked = launch::launch_parent(&spec, control, init, user_namespace);
                        left.parents.extend(forked);
                    }
                }
                _ => {
                    end_init(init);
                    return Ok(());
                }
            }
        }
    }
}

/// Ends init because the supervisor is gone. Waiting for init waits for its whole namespace.
fn end_init(init: Pid) {
    #[expect(
        clippy::let_underscore_must_use,
        reason = "it fails only where init has ended already"
    )]
    let _ = kill(init, Signal::SIGKILL);
    while matches!(waitpid(init, None), Err(Errno::EINTR)) {}
}

/// Makes a cgroup and answers the supervisor.
#[expect(
    clippy::let_underscore_must_use,
    reason = "a supervisor that died meanwhile is noticed when the next request is awaited"
)]
fn make_cgroup(orders: &OwnedFd, supervisor: u32, number: u64, left: &mut Leftovers) {
    match Cgroup::make(supervisor, number) {
        Ok((cgroup, procs)) => {
            left.cgroups.push(cgroup.clone());
            let Cgroup { version, dir } = cgroup;
            let answer = FromJanitor::Cgroup { version, dir };
            let _ = packet::send(orders, &answer, &[procs.as_fd()]);
        }
        Err(why) => {
            let _ = packet::send(orders, &FromJanitor::NoCgroup(why), &[]);
        }
    }
}

/// Reaps what is dead; true when init is among it. Without a PID namespace, its orphans come here
/// when it dies.
fn reap_until(init: Pid, left: &mut Leftovers) -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => {
                if pid == init {
                    return true;
                }
                left.parents.retain(|parent| *parent != pid);
            }
            Err(Errno::EINTR) => {}
            _ => return false,
        }
    }
}

/// Kills and reaps all that is left below this process, where no PID namespace does it.
fn end_tree() {
    loop {
        proctree::kill_descendants(unistd::getpid().as_raw());
        // Whoever waits for the kernel cannot die yet; waiting for one death at a time makes no
        // more walks than there are generations.
        if waitpid(None, None) == Err(Errno::ECHILD) {
            return;
        }
    }
}
