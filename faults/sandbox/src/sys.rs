//! Kernel calls that no safe wrapper offers: the wall around the sandbox's unsafe code.
//!
//! What has a condition that the compiler cannot see is an `unsafe fn` here, and its callers say
//! why the condition holds:
//!
//! - forking, [`fork_into`] and [`fork`], requires a process with one thread. The janitor checks that it
//!   has one before it does anything ([`one_thread`]), and neither it nor init, which is forked
//!   from it, ever starts another. The supervisor has many and never forks.
//! - [`own`] requires descriptors that nothing owns: those of a message that was received just now.
//! - [`close_from`] requires that no owner of a closed descriptor runs afterwards.
#![expect(unsafe_code, reason = "this is the wall")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, ControlMessageOwned, RecvMsg, SockFlag, SockType, socket};
use nix::unistd::{ForkResult, Pid};

/// Whether this process has one thread only, as forking requires.
pub(super) fn one_thread() -> std::io::Result<bool> {
    Ok(std::fs::read_dir("/proc/self/task")?.count() == 1)
}

/// Forks a child into new namespaces. With `CLONE_NEWPID` the child is process 1 of its own.
///
/// Unlike `unshare`, this leaves the caller itself in its old namespaces.
///
/// # Safety
/// The process has one thread: another one could hold a lock that the child then never gets.
pub(super) unsafe fn fork_into(namespaces: CloneFlags) -> nix::Result<ForkResult> {
    let flags = i64::from(namespaces.bits() | libc::SIGCHLD);
    // SAFETY: a null stack makes the child go on with a copy of ours, as fork does; every other
    // argument is null, so their order, which differs between architectures, does not matter.
    // That there is one thread only is the caller's promise.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0i64, 0i64, 0i64, 0i64) };
    match Errno::result(pid)? {
        0 => Ok(ForkResult::Child),
        child => Ok(ForkResult::Parent {
            child: Pid::from_raw(child as libc::pid_t),
        }),
    }
}

/// Forks.
///
/// # Safety
/// The process has one thread, as for [`fork_into`].
pub(super) unsafe fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the caller's promise is the one that this asks for.
    unsafe { nix::unistd::fork() }
}

/// Ends the process at once, without running exit handlers that belong to the parent.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any code and does not return.
    unsafe { libc::_exit(code) }
}

/// Takes ownership of the descriptors of a message that was received.
///
/// # Safety
/// The message has just been received, and this is the one call for it: nothing else owns its
/// descriptors.
pub(super) unsafe fn own<S>(message: &RecvMsg<'_, '_, S>) -> nix::Result<Vec<OwnedFd>> {
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = part {
            // SAFETY: recvmsg has installed them, and by the caller's promise nothing owns them.
            fds.extend(
                raw.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    Ok(fds)
}

/// Makes the mount that holds `/` and all mounts under it read-only, in one step.
/// Needs Linux 5.12: `ENOSYS` before.
pub(super) fn read_only_everywhere() -> nix::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string and the size is that of the structure pointed to.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(done).map(drop)
}

/// Brings the loopback interface of the caller's network namespace up.
pub(super) fn loopback_up() -> nix::Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: ifreq is plain data for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, whose name ends with a zero byte.
    let done = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    Errno::result(done).map(drop)
}

/// Connects an IPv4 socket to a port of 127.0.0.1.
pub(super) fn connect_loopback(socket: &OwnedFd, port: u16) -> nix::Result<()> {
    // SAFETY: sockaddr_in is plain data for which all zeros is a valid value.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = libc::INADDR_LOOPBACK.to_be();
    // SAFETY: the address is of the size given.
    let done = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
        )
    };
    Errno::result(done).map(drop)
}

/// A descriptor of a process, which can be read from once that has ended (pidfd_open(2)). Needs Linux
/// 5.3.
pub(super) fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the kernel says of a process by its descriptor, as far as its first version goes
/// (`struct pidfd_info`, linux/pidfd.h).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// Numbers of the process, of its parent and of its users.
    numbers: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`: asks for the exit code, and says that it is there.
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// How a process ended that is no child, as wait(2) would say it, once its number is free; none where the
/// kernel does not tell (before Linux 6.15).
pub(super) fn pidfd_exit(pidfd: &OwnedFd) -> Option<i32> {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    let request = libc::_IOWR::<PidfdInfo>(0xff, 11);
    // SAFETY: the request says how long the structure is, and the kernel fills in no more of it.
    let done = unsafe { libc::ioctl(pidfd.as_raw_fd(), request, &raw mut info) };
    (done == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// Gives every signal its default disposition. Ignored signals would otherwise stay ignored
/// across exec.
pub(super) fn default_signals() {
    // All zeros is SIG_DFL without flags in the kernel's own sigaction, which is no longer than
    // this. The C library's call would refuse the two signals that it keeps for itself.
    let action = [0u64; 16];
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads one of its sigactions, and writes nothing; the last argument is
        // the size of its signal set. SIGKILL and SIGSTOP are refused, which is right.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8usize,
            )
        };
    }
}

/// Ignores a signal.
pub(super) fn ignore(signal: libc::c_int) {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Marks all descriptors from `first` on to be closed at exec. Needs Linux 5.11.
pub(super) fn close_at_exec_from(first: RawFd) -> nix::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC as libc::c_int)
}

/// Closes all descriptors from `first` on.
///
/// # Safety
/// No owner of one of them uses or drops it afterwards: the caller is a child that will not exec
/// and that ends by [`exit_now`] or a signal.
pub(super) unsafe fn close_from(first: RawFd) -> nix::Result<()> {
    close_range(first, 0)
}

fn close_range(first: RawFd, flags: libc::c_int) -> nix::Result<()> {
    // SAFETY: three integers. That no owner uses a closed descriptor is what `close_from` asks of
    // its caller; with CLOSE_RANGE_CLOEXEC nothing is closed here.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX as i64,
            flags,
        )
    };
    Errno::result(done).map(drop)
}

/// Puts a filter over the caller and all that it forks from now on, and returns what tells of the
/// calls that the filter hands over (seccomp(2), seccomp_unotify(2)). Needs Linux 5.0, and
/// CAP_SYS_ADMIN in the caller's user namespace.
pub(super) fn listen_to_calls(filter: &mut [libc::sock_filter]) -> nix::Result<OwnedFd> {
    let program = libc::sock_fprog {
        len: libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::EINVAL)?,
        filter: filter.as_mut_ptr(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    let install = |flags: libc::c_ulong| {
        // SAFETY: the program points to as many instructions as it says, which outlive the call;
        // the kernel copies them.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel made this descriptor for us just now.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // Since 5.19 a call that waits for us is not begun again by a signal that does not kill.
    match install(flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(Errno::EINVAL) => install(flags),
        done => done,
    }
}

/// The next call that the filter hands over; waits for it. `ENOENT` when the caller has died.
pub(super) fn next_call(listener: &OwnedFd) -> nix::Result<libc::seccomp_notif> {
    // SAFETY: seccomp_notif is plain data for which all zeros is a valid value; the kernel asks for
    // zeros.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes one seccomp_notif, of the size that is in its number.
    let done = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV as _,
            &raw mut call,
        )
    };
    Errno::result(done)?;
    Ok(call)
}

/// Whether the caller of this call still waits for its answer. Until then its process number is its
/// own.
pub(super) fn still_waits(listener: &OwnedFd, id: u64) -> bool {
    // SAFETY: the request reads one u64.
    let done = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _,
            &raw const id,
        )
    };
    done == 0
}

/// Answers a call: with a result (0, or a negative error number), or (none) by having the kernel do
/// it after all.
pub(super) fn answer_call(listener: &OwnedFd, id: u64, result: Option<i32>) -> nix::Result<()> {
    let flags = match result {
        Some(_) => 0,
        None => libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
    };
    let answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: result.unwrap_or(0),
        flags,
    };
    // SAFETY: the request reads one seccomp_notif_resp, of the size that is in its number.
    let done = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND as _,
            &raw const answer,
        )
    };
    Errno::result(done).map(drop)
}

/// Puts a filter over the caller and all that it forks from now on, whose calls a tracer hears of.
pub(super) fn filter_calls(filter: &mut [libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::EINVAL)?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: as for `listen_to_calls`.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    Errno::result(done).map(drop)
}

/// Waits for the next change of a thread that this thread traces: its number, and what wait(2) says of it.
/// `ECHILD` when there is none. (`nix` knows no real-time signals.)
pub(super) fn next_traced() -> nix::Result<(i32, libc::c_int)> {
    let mut status = 0;
    // Children of other threads of plugpull are not waited for.
    let which = libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: it writes one int.
    let tid = unsafe { libc::waitpid(-1, &raw mut status, which) };
    Ok((Errno::result(tid)?, status))
}

/// How a traced thread that has stopped goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoOn {
    /// It runs, and receives this signal; 0 for none.
    With(libc::c_int),
    /// It stays stopped, as its process is, until that is continued.
    Stopped,
}

/// Lets a traced thread go on. `ESRCH` when it was killed meanwhile.
pub(super) fn go_on(tid: i32, how: GoOn) -> nix::Result<()> {
    let (request, signal) = match how {
        GoOn::With(signal) => (libc::PTRACE_CONT, signal),
        GoOn::Stopped => (libc::PTRACE_LISTEN, 0),
    };
    // SAFETY: neither request reads or writes memory of this process.
    let done = unsafe { libc::ptrace(request, tid, 0, i64::from(signal)) };
    Errno::result(done).map(drop)
}

/// Takes a capability (`linux/capability.h`) from all that this process will exec.
pub(super) fn drop_from_bounding_set(capability: libc::c_ulong) -> nix::Result<()> {
    // SAFETY: integers only.
    let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    Errno::result(done).map(drop)
}

/// Has the allocator map buffers of 8 MiB and more always: they come from the kernel, which gives
/// zeros for nothing, and go back to it. Once a process; does nothing but on glibc.
///
/// Every session of the `fuser` crate asks for two zeroed buffers of 16 MiB and touches little of
/// them. glibc maps such a buffer the first time; once it was freed, it takes the next from its
/// heap and clears it by hand (mallopt(3), "dynamic mmap threshold"), which cost half of all time
/// where a filesystem is mounted for each of many trials.
pub(super) fn map_large_buffers() {
    #[cfg(target_env = "gnu")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: it sets a number of the allocator's, under the allocator's own lock.
            unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 8 << 20) };
        });
    }
}
