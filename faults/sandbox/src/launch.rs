//! From a fork of init to a running target: what happens between fork and exec.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::fstat;
use nix::unistd::{
    self, ForkResult, Gid, Pid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, execve, fexecve,
    getppid, pipe2, setsid,
};

use super::child::Limit;
use super::protocol::{During, Failure, FromParent, ProgramSpec};
use super::stacks::await_tracer;
use super::{calls, packet, readahead, sys};

/// What a target's environment holds unless its specification says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A target's HOME where there are namespaces.
pub(super) const HOME: &str = "/tmp";

/// Capabilities that no target gets, by their numbers in `linux/capability.h`: with them root
/// could undo the sandbox or change the machine. MAC_OVERRIDE, MAC_ADMIN, SYSLOG, BPF, PERFMON,
/// SYS_MODULE, SYS_RAWIO, SYS_ADMIN, SYS_BOOT, SYS_TIME, MKNOD.
const FORBIDDEN: [u64; 11] = [32, 33, 34, 39, 38, 16, 17, 21, 22, 25, 27];

/// What init knows and every target needs.
pub(super) struct Surroundings<'a> {
    /// plugpull's own binary.
    pub(super) exe: &'a OwnedFd,
    /// An open `cgroup.procs`.
    pub(super) cgroup: Option<&'a OwnedFd>,
    /// Where a target starts and what its HOME is, unless its specification says otherwise.
    pub(super) cwd: &'a Path,
    pub(super) home: &'a Path,
}

/// A child that may not have reached its program yet.
pub(super) struct Started {
    pub(super) pid: i32,
    /// End of file once the program runs; a [`Failure`] as JSON if it never will.
    pub(super) report: OwnedFd,
}

/// Forks a child that becomes the specified program, with three streams, where it is to wait a gate, and
/// where it is traced the socket to its tracer. Does not wait for it to get there, because a path on a filesystem that hangs must not hang
/// init.
#[expect(unsafe_code, reason = "forking is unsafe by its nature")]
pub(super) fn launch(
    spec: &ProgramSpec,
    streams: &[OwnedFd],
    around: &Surroundings<'_>,
) -> Result<Started, Failure> {
    let (report, write) = pipe2(OFlag::O_CLOEXEC).during("make a pipe")?;
    let init = unistd::getpid();
    // SAFETY: init has one thread, as the janitor that it was forked from.
    match unsafe { sys::fork() }.during("fork")? {
        ForkResult::Parent { child } => Ok(Started {
            pid: child.as_raw(),
            report,
        }),
        ForkResult::Child => {
            let failure = become_program(spec, streams, around, init);
            if let Ok(text) = serde_json::to_vec(&failure) {
                #[expect(
                    clippy::let_underscore_must_use,
                    reason = "it fails only where init is gone, and this process with it"
                )]
                let _ = unistd::write(&write, &text);
            }
            sys::exit_now(127)
        }
    }
}

/// Forks a child in the cgroup that takes `bytes` of memory and then waits to be killed.
///
/// It takes them as pages of an unmapped file in memory: they count against the cgroup's limit,
/// but not as the process's own (`oom_badness` in `mm/oom_kill.c`), so that the kernel sees a
/// small process and kills the target.
#[expect(unsafe_code, reason = "forking is unsafe by its nature")]
pub(super) fn launch_ballast(bytes: u64, around: &Surroundings<'_>) -> Result<i32, Failure> {
    let init = unistd::getpid();
    // SAFETY: init has one thread, as the janitor that it was forked from.
    match unsafe { sys::fork() }.during("fork")? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => {
            // SAFETY: this child leaves by a signal or `exit_now`, and uses nothing that is open.
            let alone = || unsafe { sys::close_from(3) };
            if clean_process(init, Some(around)).is_err() || alone().is_err() {
                sys::exit_now(127);
            }
            let Ok(file) = memfd_create(c"ballast", MFdFlags::MFD_CLOEXEC) else {
                sys::exit_now(127);
            };
            let piece = [1; 64 * 1024];
            let mut taken = 0;
            while taken < bytes {
                match unistd::write(&file, &piece) {
                    Ok(written) => taken += written as u64,
                    Err(Errno::EINTR) => {}
                    // The limit without a kill: then the target lives, which will be noticed.
                    Err(_) => break,
                }
            }
            loop {
                unistd::pause();
            }
        }
    }
}

/// Forks, from the janitor, a process that becomes a program which forks targets. Its children are in the
/// sandbox's namespace of processes; itself it is not, so that whatever kills all of them spares it, and
/// none of them can reach it. All else of the sandbox it shares with them.
#[expect(unsafe_code, reason = "forking is unsafe by its nature")]
pub(super) fn launch_parent(
    spec: &ProgramSpec,
    control: &OwnedFd,
    init: Pid,
    user_namespace: bool,
) -> nix::Result<Pid> {
    let janitor = unistd::getpid();
    // SAFETY: the janitor has one thread, which it has checked.
    match unsafe { sys::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let Err(failure) = try_become_parent(spec, control, (init, user_namespace), janitor);
            #[expect(
                clippy::let_underscore_must_use,
                reason = "where nobody reads, its end tells"
            )]
            let _ = packet::send(control, &FromParent::Failed(failure), &[]);
            sys::exit_now(127)
        }
    }
}

fn try_become_parent(
    spec: &ProgramSpec,
    control: &OwnedFd,
    (init, user_namespace): (Pid, bool),
    janitor: Pid,
) -> Result<std::convert::Infallible, Failure> {
    let pid = unistd::getpid().as_raw();
    let socket = fstat(control).during("look at its socket")?.st_ino;
    // Before it is where `/proc` does not know it.
    set_oom_score(spec)?;
    let null = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .during("open /dev/null")?;
    let mut namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    namespaces.set(CloneFlags::CLONE_NEWUSER, user_namespace);
    let init = sys::pidfd_open(init).during("find init")?;
    setns(&init, namespaces).during("enter the sandbox")?;
    clean_process(janitor, None)?;
    // Nobody waits for what it forks; a child gives the signal its default again.
    sys::ignore(libc::SIGCHLD);
    let calls = calls::listen(false).ok();
    let fds: Vec<_> = calls.iter().map(AsFd::as_fd).collect();
    packet::send(control, &FromParent::Ready { pid, socket }, &fds).during("say that it stands")?;
    drop(calls);
    dup2_stdin(control).during("set standard input")?;
    dup2_stdout(&null).during("set standard output")?;
    dup2_stderr(&null).during("set standard error")?;
    restrict(spec)?;
    prctl::set_no_new_privs().during("forbid new privileges")?;
    die_with(janitor)?;
    unistd::chdir("/").during("enter /")?;
    sys::close_at_exec_from(3).during("close what is open at exec")?;
    let program = spec.program.clone().unwrap_or_default();
    let mut args = vec![c_string(program.into_os_string().into_vec())?];
    for arg in &spec.args {
        args.push(c_string(arg.as_bytes().to_vec())?);
    }
    let env = environment(spec, Path::new(HOME))?;
    execve(&args[0], &args, &env).during("run the program")
}

fn become_program(
    spec: &ProgramSpec,
    streams: &[OwnedFd],
    around: &Surroundings<'_>,
    init: Pid,
) -> Failure {
    match try_become(spec, streams, around, init) {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

fn try_become(
    spec: &ProgramSpec,
    streams: &[OwnedFd],
    around: &Surroundings<'_>,
    init: Pid,
) -> Result<std::convert::Infallible, Failure> {
    if spec.cgroup && around.cgroup.is_none() {
        return Err(Failure::new("enter a cgroup", Errno::ENODEV));
    }
    let (tracer, streams) = match streams.split_last() {
        Some((tracer, streams)) if spec.traced => (Some(tracer), streams),
        _ => (None, streams),
    };
    let (stdin, stdout, stderr, gate) = match streams {
        [stdin, stdout, stderr] => (stdin, stdout, stderr, None),
        [stdin, stdout, stderr, gate] => (stdin, stdout, stderr, Some(gate)),
        _ => return Err(Failure::new("receive its streams", Errno::EBADF)),
    };
    clean_process(init, spec.cgroup.then_some(around))?;
    dup2_stdin(stdin).during("set standard input")?;
    dup2_stdout(stdout).during("set standard output")?;
    dup2_stderr(stderr).during("set standard error")?;
    set_oom_score(spec)?;
    restrict(spec)?;
    prctl::set_no_new_privs().during("forbid new privileges")?;
    // After the change of user, which clears it.
    die_with(init)?;
    let cwd = spec.cwd.as_deref().unwrap_or(around.cwd);
    unistd::chdir(cwd).during(&format!("enter {}", cwd.display()))?;
    // All descriptors close at exec anyway; this is the second lock on the door (Linux 5.11).
    match sys::close_at_exec_from(3) {
        // An old kernel, or a container runtime that knows only old kernels' calls.
        Ok(()) | Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => {}
        Err(errno) => return Err(Failure::new("close what is open at exec", errno)),
    }

    let name = match &spec.program {
        Some(program) => program.clone().into_os_string().into_vec(),
        None => b"plugpull".to_vec(),
    };
    let mut args = vec![c_string(name)?];
    for arg in &spec.args {
        args.push(c_string(arg.as_bytes().to_vec())?);
    }
    let env = environment(spec, around.home)?;
    if let Some(tracer) = tracer {
        await_tracer(tracer)?;
    }
    if let Some(gate) = gate {
        readahead::read(around.cwd, spec.readahead);
        // The end of the gate is the end of whoever wanted the program.
        if unistd::read(gate, &mut [0]).during("wait at the gate")? == 0 {
            return Err(Failure::new("open the gate", Errno::ECANCELED));
        }
    }
    match &spec.program {
        Some(program) => execve(&args[0], &args, &env)
            .map_err(|errno| Failure::new(format!("run {}", program.display()), errno)),
        None => fexecve(around.exe, &args, &env).during("run plugpull's own binary"),
    }
}

fn set_oom_score(spec: &ProgramSpec) -> Result<(), Failure> {
    if let Some(score) = spec.oom_score_adj {
        fs::write("/proc/self/oom_score_adj", score.to_string()).during("set the OOM score")?;
    }
    Ok(())
}

/// Sets what the specification sets of a process: CPU, limits, capabilities, user.
fn restrict(spec: &ProgramSpec) -> Result<(), Failure> {
    if let Some(cpu) = spec.cpu {
        let mut cpus = CpuSet::new();
        cpus.set(cpu)
            .and_then(|()| sched_setaffinity(Pid::from_raw(0), &cpus))
            .during(&format!("run on CPU {cpu}"))?;
    }
    // A target that aborts would else leave a core file in its data directory.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).during("forbid core files")?;
    for &(limit, value) in &spec.limits {
        setrlimit(resource(limit), value, value).during(&format!("limit {limit:?}"))?;
    }
    for capability in FORBIDDEN {
        match sys::drop_from_bounding_set(capability) {
            // Without the right to drop there is nothing to drop; old kernels know fewer.
            Ok(()) | Err(Errno::EPERM | Errno::EINVAL) => {}
            Err(errno) => return Err(Failure::new("drop capabilities", errno)),
        }
    }
    if let Some((uid, gid)) = spec.user {
        let what = format!("become user {uid} and group {gid}");
        unistd::setgroups(&[])
            .and_then(|()| unistd::setgid(Gid::from_raw(gid)))
            .and_then(|()| unistd::setuid(Uid::from_raw(uid)))
            .during(&what)?;
    }
    Ok(())
}

/// Makes of a copy of init a process of its own: session, signals, cgroup, and an end when init
/// ends.
fn clean_process(init: Pid, cgroup: Option<&Surroundings<'_>>) -> Result<(), Failure> {
    setsid().during("start a session")?;
    sys::default_signals();
    SigSet::empty()
        .thread_set_mask()
        .during("unblock signals")?;
    if let Some(procs) = cgroup.and_then(|around| around.cgroup) {
        // "0" is the writer itself, whatever its pid is outside.
        unistd::write(procs, b"0").during("enter the cgroup")?;
    }
    die_with(init)
}

fn die_with(init: Pid) -> Result<(), Failure> {
    prctl::set_pdeathsig(Signal::SIGKILL).during("tie its life to init's")?;
    if getppid() != init {
        // It died before we asked.
        sys::exit_now(127);
    }
    Ok(())
}

fn resource(limit: Limit) -> Resource {
    match limit {
        Limit::AddressSpace => Resource::RLIMIT_AS,
        Limit::CoreSize => Resource::RLIMIT_CORE,
        Limit::FileSize => Resource::RLIMIT_FSIZE,
        Limit::OpenFiles => Resource::RLIMIT_NOFILE,
    }
}

fn environment(spec: &ProgramSpec, home: &Path) -> Result<Vec<CString>, Failure> {
    let home = home.display().to_string();
    let mut all: Vec<(String, String)> = [
        ("PATH", PATH),
        ("LANG", "C.UTF-8"),
        ("HOME", &home),
        ("TMPDIR", &home),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (name, value) in &spec.env {
        all.retain(|(known, _)| known != name);
        all.push((name.clone(), value.clone()));
    }
    all.into_iter()
        .map(|(name, value)| c_string(format!("{name}={value}").into_bytes()))
        .collect()
}

fn c_string(bytes: Vec<u8>) -> Result<CString, Failure> {
    CString::new(bytes).map_err(|_| {
        Failure::new(
            "pass an argument or a variable with a zero byte",
            Errno::EINVAL,
        )
    })
}
