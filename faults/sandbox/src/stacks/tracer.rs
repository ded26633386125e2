//! Follows one process of the sandbox and all that it starts (ptrace(2)), from a thread of its own.
//!
//! A traced thread stops at the entry of each call of [`traced_calls`](super::traced_calls), at no other
//! call. Signals are handed on as they come, and a process that is stopped by one stays so until it is
//! continued (`PTRACE_LISTEN`). With this thread everything that it traces is killed
//! (`PTRACE_O_EXITKILL`), whatever plugpull died of.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials, recvmsg,
    setsockopt, socketpair, sockopt,
};
use nix::unistd::{self, Pid};

use super::StackRecorder;
use super::address_space::{AddressSpace, Place, Stopped};
use super::traced_calls::{CALLS, TracedCall, filter};
use crate::protocol::{During, Failure};
use crate::sys::{self, GoOn};

/// The two ends of the socket over which a process asks to be traced: its own, and the tracer's.
pub(super) fn sockets() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let (its, ours) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    // The kernel then says who sent a message, by the number that the process has here.
    setsockopt(&ours, sockopt::PassCred, &true)?;
    Ok((its, ours))
}

/// In the process: waits until it is traced, and has its calls stop from here on.
pub(crate) fn await_tracer(socket: &OwnedFd) -> Result<(), Failure> {
    let what = "be traced (ptrace)";
    if CALLS.is_empty() {
        // Of this machine neither calls nor registers are known here.
        return Err(Failure::new(what, Errno::ENOSYS));
    }
    unistd::write(socket, &[1]).during(what)?;
    let mut answer = [0; 4];
    let read = unistd::read(socket, &mut answer).during(what)?;
    match i32::from_ne_bytes(answer) {
        0 if read == answer.len() => {}
        errno => return Err(Failure::new(what, Errno::from_raw(errno))),
    }
    sys::filter_calls(&mut filter()).during("watch calls (a seccomp filter)")
}

/// Follows the process that asks for it over this socket, until it and all that it started have ended.
pub(super) fn follow(socket: OwnedFd, recorder: &Arc<StackRecorder>) {
    // It may have ended before it asked.
    let Some(pid) = who_asks(&socket) else { return };
    let options = Options::PTRACE_O_EXITKILL
        | Options::PTRACE_O_TRACESECCOMP
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC;
    let seized = ptrace::seize(Pid::from_raw(pid), options);
    let answer = seized.map_or_else(|errno| errno as i32, |()| 0);
    // Where it has ended meanwhile there is nobody to wait for, either.
    let _heard = unistd::write(&socket, &answer.to_ne_bytes());
    drop(socket);
    if let Err(errno) = seized {
        recorder.note_failure(format!("a process cannot be traced: {errno}"));
        return;
    }
    let mut tracer = Tracer {
        recorder,
        threads: HashMap::new(),
        spaces: HashMap::new(),
    };
    loop {
        match sys::next_traced() {
            Ok((tid, status)) => tracer.changed(tid, status),
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return,
            Err(errno) => {
                recorder.note_failure(format!("traced processes cannot be waited for: {errno}"));
                return;
            }
        }
    }
}

/// The number, as it is here, of the process that asks; none when it has ended.
fn who_asks(socket: &OwnedFd) -> Option<i32> {
    let mut byte = [0];
    let mut parts = [std::io::IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!(UnixCredentials);
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::empty(),
    );
    let message = message.ok().filter(|message| message.bytes == 1)?;
    message.cmsgs().ok()?.find_map(|part| match part {
        ControlMessageOwned::ScmCredentials(who) => Some(who.pid()),
        _ => None,
    })
}

struct Tracer<'a> {
    recorder: &'a StackRecorder,
    threads: HashMap<i32, Thread>,
    /// By the number of the process.
    spaces: HashMap<i32, Rc<RefCell<AddressSpace>>>,
}

/// A traced thread.
struct Thread {
    /// Its number in the sandbox, which its requests carry.
    number: u32,
    /// Its number in the innermost PID namespace, which it knows itself by.
    own: u32,
    space: Rc<RefCell<AddressSpace>>,
}

impl Tracer<'_> {
    /// A thread has stopped or ended.
    fn changed(&mut self, tid: i32, status: libc::c_int) {
        if !libc::WIFSTOPPED(status) {
            self.ended(tid);
            return;
        }
        let signal = libc::WSTOPSIG(status);
        let how = match status >> 16 {
            // A signal on its way to it.
            0 => GoOn::With(signal),
            libc::PTRACE_EVENT_SECCOMP => {
                self.calls(tid);
                GoOn::With(0)
            }
            libc::PTRACE_EVENT_EXEC => {
                self.executes(tid);
                GoOn::With(0)
            }
            // Its process is stopped, by a signal that was delivered.
            libc::PTRACE_EVENT_STOP if signal != libc::SIGTRAP => GoOn::Stopped,
            libc::PTRACE_EVENT_STOP => {
                // It is new, or goes on after a stop: its last call is over.
                self.forget_call(tid);
                GoOn::With(0)
            }
            // It has started something, which is traced from its first instruction on.
            _ => GoOn::With(0),
        };
        // Where it was killed meanwhile, its end is next.
        let _alive = sys::go_on(tid, how);
    }

    fn ended(&mut self, tid: i32) {
        self.forget_call(tid);
        self.threads.remove(&tid);
        self.spaces.remove(&tid);
    }

    fn forget_call(&self, tid: i32) {
        if let Some(thread) = self.threads.get(&tid) {
            self.recorder.ended(thread.number);
        }
    }

    /// The thread, which is the only one left of its process, has become another program.
    fn executes(&mut self, tid: i32) {
        // One that was not the first of its process has taken over the number of that.
        if let Ok(before) = ptrace::getevent(Pid::from_raw(tid)) {
            self.ended(before as i32);
        }
        self.ended(tid);
    }

    /// The thread is at the entry of a call.
    fn calls(&mut self, tid: i32) {
        let call = ptrace::getevent(Pid::from_raw(tid)).ok();
        let call = call.and_then(TracedCall::of);
        let Some(thread) = self.thread(tid) else {
            return;
        };
        let (number, own) = (thread.number, thread.own);
        let space = Rc::clone(&thread.space);
        let mut space = space.borrow_mut();
        if call.is_some_and(TracedCall::maps_code) {
            space.changes();
        }
        let recorded = call.filter(|call| call.is_recorded());
        let stack = recorded.and_then(|one| {
            let at = place(tid)?;
            let stopped = Stopped { tid, own, at };
            Some(space.stack(stopped, one.name, &self.recorder.interner))
        });
        self.recorder.called(number, recorded, stack);
    }

    fn thread(&mut self, tid: i32) -> Option<&Thread> {
        if !self.threads.contains_key(&tid) {
            let thread = self.new_thread(tid)?;
            self.threads.insert(tid, thread);
        }
        self.threads.get(&tid)
    }

    fn new_thread(&mut self, tid: i32) -> Option<Thread> {
        let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let process = field("Tgid:")?.trim().parse().ok()?;
        // Here, in the sandbox, and in namespaces of processes that the target made.
        let numbers: Vec<&str> = field("NSpid:")?.split_whitespace().collect();
        let number = numbers.get(1).or(numbers.first())?.parse().ok()?;
        let space = self.spaces.entry(process);
        let space = space.or_insert_with(|| Rc::new(RefCell::new(AddressSpace::new())));
        Some(Thread {
            number,
            own: numbers.last()?.parse().ok()?,
            space: Rc::clone(space),
        })
    }
}

/// Where a stopped thread is.
#[cfg(target_arch = "x86_64")]
fn place(tid: i32) -> Option<Place> {
    let regs = ptrace::getregs(Pid::from_raw(tid)).ok()?;
    Some(Place {
        ip: regs.rip,
        sp: regs.rsp,
        bp: regs.rbp,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn place(_: i32) -> Option<Place> {
    None
}
