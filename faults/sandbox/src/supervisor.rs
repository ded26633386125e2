//! The sandbox, seen from outside.

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use parking_lot::Mutex;

use super::calls::CallListener;
use super::cgroup::Cgroup;
use super::child::{Child, Ending, Program, SpawnRequest};
use super::elsewhere::{self, WrittenElsewhere};
use super::error::SandboxError;
use super::fuse::CrashFs;
use super::listener::{Replies, Reply};
use super::options::{Isolation, IsolationPolicy, SandboxOptions};
use super::output::Output;
use super::pending::{PATIENCE, PendingRequest, Prepared};
use super::protocol::{Answer, Command, FromInit, ProgramSpec, Ready, SetUp, ToInit, ToJanitor};
use super::stacks::StackRecorder;
use super::usage::Usage;
use super::{SANDBOX_ARG, bare, packet, sys};

/// Private namespaces with an init in them. Dropping it kills everything inside and waits until
/// all of it is gone.
pub struct Sandbox {
    pub(super) isolation: Isolation,
    ready: Ready,
    why_bare: Option<String>,
    control: OwnedFd,
    pub(super) orders: OwnedFd,
    janitor: process::Child,
    replies: Arc<Replies>,
    listener: Option<JoinHandle<()>>,
    next: Arc<AtomicU64>,
    pub(super) cgroup: Mutex<Option<Cgroup>>,
    /// A socket that is ready for the next connection.
    spare: Mutex<Option<OwnedFd>>,
    /// Answers the calls that the filesystem would not hear of.
    pub(super) calls: Option<CallListener>,
    /// Its directory `/proc`, where it has one of its own.
    proc: Option<OwnedFd>,
    /// Takes the stacks of what is started.
    stacks: Mutex<Option<Arc<StackRecorder>>>,
}

impl Sandbox {
    /// Opens a sandbox. It takes milliseconds.
    pub fn open(options: &SandboxOptions) -> Result<Self, SandboxError> {
        match options.isolation {
            IsolationPolicy::Only(isolation) => Self::start(options, isolation),
            IsolationPolicy::Best => match Self::start(options, Isolation::Full) {
                Ok(sandbox) => Ok(sandbox),
                Err(why) => {
                    let mut sandbox = Self::start(options, Isolation::Bare)?;
                    sandbox.why_bare = Some(why.to_string());
                    Ok(sandbox)
                }
            },
        }
    }

    fn start(options: &SandboxOptions, isolation: Isolation) -> Result<Self, SandboxError> {
        let start_failed = |error: io::Error| SandboxError::refused("start the janitor", error);
        let full = isolation == Isolation::Full;
        let plan = SetUp {
            full,
            user_namespace: options.user_namespace,
            base: if full {
                options.base()?
            } else {
                PathBuf::new()
            },
            programs: options.visible.clone(),
        };
        let (orders, janitors) = packet::pair().map_err(start_failed)?;
        let (control, inits) = packet::pair().map_err(start_failed)?;
        // By this name it is the running program even if its file has been replaced.
        let helper = options.helper.clone();
        let helper = helper.unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        let mut janitor = process::Command::new(&helper)
            .arg(SANDBOX_ARG)
            .stdin(Stdio::from(janitors))
            .stdout(Stdio::from(inits))
            .stderr(Stdio::null())
            .spawn()
            .map_err(start_failed)?;
        let ready = packet::send(&orders, &ToJanitor::SetUp(plan), &[])
            .map_err(start_failed)
            .and_then(|()| await_ready(&control));
        let replies = Arc::new(Replies::default());
        let replies_of_calls = Arc::clone(&replies);
        let next = Arc::new(AtomicU64::new(0));
        let numbers = Arc::clone(&next);
        let listening = ready.and_then(|ready| {
            let socket = control.try_clone().map_err(start_failed)?;
            let replies = Arc::clone(&replies);
            let Standing { ready, proc, calls } = ready;
            let calls = calls.map(|calls| {
                let to_init = control.try_clone()?;
                let (replies, next) = (Arc::clone(&replies_of_calls), Arc::clone(&numbers));
                CallListener::start(calls, &helper, move |pid, fd| {
                    reopen(&to_init, &replies, &next, (pid, fd))
                })
            });
            let calls = calls.transpose();
            let calls = calls.map_err(start_failed)?;
            let listener = std::thread::Builder::new()
                .name("sandbox".into())
                .spawn(move || replies.listen(&socket))
                .map_err(start_failed)?;
            Ok((ready, proc, calls, listener))
        });
        match listening {
            Ok((ready, proc, calls, listener)) => Ok(Self {
                isolation,
                ready,
                why_bare: None,
                control,
                orders,
                janitor,
                replies,
                listener: Some(listener),
                next,
                cgroup: Mutex::new(None),
                spare: Mutex::new(None),
                calls,
                proc,
                stacks: Mutex::new(None),
            }),
            Err(error) => {
                drop(control);
                await_end(&orders, &mut janitor);
                Err(error)
            }
        }
    }

    /// How far it is kept apart from the machine.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Why it is bare, when full isolation was tried first.
    pub fn why_bare(&self) -> Option<&str> {
        self.why_bare.as_deref()
    }

    /// Whether it is in a user namespace.
    pub fn user_namespace(&self) -> bool {
        self.ready.user_namespace
    }

    /// How `/tmp` is kept private: `overlay` shows what the real one holds, `tmpfs` is empty,
    /// `read-only` and `replies` are the real one.
    pub fn tmp(&self) -> &str {
        &self.ready.tmp
    }

    /// What is not available and was done without, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.ready.notes
    }

    /// The data directory, by the path that targets see.
    pub fn data_dir(&self) -> &Path {
        &self.ready.data
    }

    /// Mounts a FUSE filesystem on the data directory, and gives the device to serve it through:
    /// `fuser::Session::from_fd` with `SessionACL::All`. Init opens the device, because the kernel
    /// wants that done in the user namespace of the mount. The pids of its requests are those of
    /// the sandbox.
    pub fn mount_fuse(&self) -> Result<OwnedFd, SandboxError> {
        let reply = self.ask(Command::MountFuse, &[])?;
        reply.fd.ok_or(SandboxError::Gone)
    }

    /// Why the crash filesystem does not hear of sync(2), syncfs(2) and shared mappings; none where
    /// it is.
    pub fn why_deaf(&self) -> Option<SandboxError> {
        self.ready.deaf.clone().map(SandboxError::from)
    }

    /// Has the filesystem that is mounted on the data directory, and served already, hear of calls
    /// that the kernel does not pass on to it: sync(2), syncfs(2), and shared writable mappings.
    /// Does nothing where these calls cannot be watched (see [`Sandbox::why_deaf`]).
    pub fn watch_calls(&self, fs: Arc<CrashFs>) -> Result<(), SandboxError> {
        if let Some(proc) = &self.proc {
            let proc = proc.try_clone();
            fs.look_at_callers(proc.map_err(|error| SandboxError::refused("open /proc", error))?);
        }
        let Some(calls) = &self.calls else {
            return Ok(());
        };
        calls.tell(fs);
        Ok(())
    }

    /// Mounts an empty tmpfs of `size` bytes on the data directory.
    pub fn mount_tmpfs(&self, size: u64) -> Result<(), SandboxError> {
        self.ask(Command::MountTmpfs { size }, &[]).map(drop)
    }

    /// Empties what processes can write to beside a mounted data directory, so that nothing of one
    /// trial is left for the next: `/tmp` (of the user's own files there it forgets the changes),
    /// `/dev/shm`, what lies around the data directory, and System V memory, semaphores and queues. In a
    /// bare sandbox, which has no mounts that could hide what was there, it puts empty directories in the
    /// places of the data directory, HOME and TMPDIR. Every process must be dead.
    pub fn renew_directories(&self) -> Result<(), SandboxError> {
        if self.isolation != Isolation::Bare {
            return self.ask(Command::Renew, &[]).map(drop);
        }
        let Some(parent) = self.data_dir().parent() else {
            return Err(SandboxError::Gone);
        };
        bare::renew(parent)
            .map_err(|error| SandboxError::refused("make the directories empty", error))
    }

    /// Unmounts the data directory. With `force`, a FUSE connection is aborted, so that every request
    /// that waits for its server ends with an error, and the mount goes even when it is in use.
    pub fn unmount(&self, force: bool) -> Result<(), SandboxError> {
        if let Some(calls) = &self.calls {
            calls.forget();
        }
        self.ask(Command::Unmount { force }, &[]).map(drop)
    }

    /// Starts a process with `/dev/null` as its standard input.
    pub fn spawn(&self, request: &SpawnRequest) -> Result<Child, SandboxError> {
        let null = File::open("/dev/null");
        let null = null.map_err(|error| SandboxError::refused("open /dev/null", error))?;
        self.spawn_with_stdin(request, null.as_fd())
    }

    /// Starts a process with this standard input.
    pub fn spawn_with_stdin(
        &self,
        request: &SpawnRequest,
        stdin: BorrowedFd<'_>,
    ) -> Result<Child, SandboxError> {
        let (output, [out, err]) = Output::capture(request.reads_lines)
            .map_err(|error| SandboxError::refused("capture the output", error))?;
        self.spawn_to(request, &[stdin, out.as_fd(), err.as_fd()], output)
    }

    /// Starts a process with this standard input and standard output; only its standard error is
    /// captured.
    pub fn spawn_piped(
        &self,
        request: &SpawnRequest,
        stdin: BorrowedFd<'_>,
        stdout: BorrowedFd<'_>,
    ) -> Result<Child, SandboxError> {
        let (output, [out, err]) = Output::capture(false)
            .map_err(|error| SandboxError::refused("capture the output", error))?;
        // What would be captured of its standard output ends here and now.
        drop(out);
        self.spawn_to(request, &[stdin, stdout, err.as_fd()], output)
    }

    /// Starts a process with these as its standard input, output and error; of what it writes
    /// nothing is kept.
    pub fn spawn_with_streams(
        &self,
        request: &SpawnRequest,
        streams: &[BorrowedFd<'_>; 3],
    ) -> Result<Child, SandboxError> {
        let (output, _) = Output::capture(false)
            .map_err(|error| SandboxError::refused("capture the output", error))?;
        self.spawn_to(request, streams, output)
    }

    fn spawn_to(
        &self,
        request: &SpawnRequest,
        streams: &[BorrowedFd<'_>; 3],
        output: Arc<Output>,
    ) -> Result<Child, SandboxError> {
        let pending = self.spawn_spec(ProgramSpec::from(request), streams)?;
        let (pid, ending) = pending.started()?;
        Ok(Child {
            pid,
            ending,
            output,
        })
    }

    /// Has init start a process, traced where stacks are recorded.
    fn spawn_spec(
        &self,
        spec: ProgramSpec,
        streams: &[BorrowedFd<'_>],
    ) -> Result<PendingRequest, SandboxError> {
        let Some(recorder) = self.stacks.lock().clone() else {
            return self.send(Command::Spawn(spec), streams);
        };
        let socket = recorder.trace(spec.cpu);
        let socket = socket.map_err(|error| SandboxError::refused("trace a process", error))?;
        let streams: Vec<_> = streams.iter().copied().chain([socket.as_fd()]).collect();
        let traced = true;
        self.send(Command::Spawn(ProgramSpec { traced, ..spec }), &streams)
    }

    /// From here on, what is started is traced, and the stacks of its calls are taken; none for nothing
    /// any more. Where that cannot be, nothing can be started: see [`Sandbox::try_stacks`].
    pub fn record_stacks(&self, recorder: Option<Arc<StackRecorder>>) {
        *self.stacks.lock() = recorder;
    }

    /// Whether stacks can be recorded here: a process is traced, in which nothing else may run just now.
    pub fn try_stacks(&self) -> Result<(), SandboxError> {
        let recorder = Arc::new(StackRecorder::default());
        self.record_stacks(Some(Arc::clone(&recorder)));
        let child = self.spawn(&SpawnRequest::new(
            Program::Path("/bin/true".into()),
            [] as [&str; 0],
        ));
        self.record_stacks(None);
        child?
            .wait(Instant::now() + PATIENCE)
            .map_err(|error| SandboxError::refused("trace a process", error))?;
        recorder.finish()?;
        match recorder.stops() {
            0 => Err(SandboxError::Unavailable(
                "no call of a traced process was seen".into(),
            )),
            _ => Ok(()),
        }
    }

    /// Makes a process ready to become the program, with `/dev/null` as its standard input, and has
    /// it read up to `readahead` bytes of the files in the data directory, so that the program will find
    /// them in the kernel's cache. It has its number, and waits for [`Prepared::go`].
    pub fn prepare(
        &self,
        request: &SpawnRequest,
        readahead: u64,
    ) -> Result<Prepared, SandboxError> {
        let failed = |error| SandboxError::refused("prepare a process", error);
        let null = File::open("/dev/null").map_err(failed)?;
        let (output, [out, err]) = Output::capture(request.reads_lines).map_err(failed)?;
        self.prepare_to(
            request,
            readahead,
            &[null.as_fd(), out.as_fd(), err.as_fd()],
            output,
        )
    }

    /// As [`Sandbox::prepare`], with these as its standard input and output; only what it writes
    /// to standard error is kept.
    pub fn prepare_piped(
        &self,
        request: &SpawnRequest,
        readahead: u64,
        stdin: BorrowedFd<'_>,
        stdout: BorrowedFd<'_>,
    ) -> Result<Prepared, SandboxError> {
        let (output, [out, err]) = Output::capture(false)
            .map_err(|error| SandboxError::refused("prepare a process", error))?;
        // What would be captured of its standard output ends here and now.
        drop(out);
        self.prepare_to(request, readahead, &[stdin, stdout, err.as_fd()], output)
    }

    fn prepare_to(
        &self,
        request: &SpawnRequest,
        readahead: u64,
        streams: &[BorrowedFd<'_>; 3],
        output: Arc<Output>,
    ) -> Result<Prepared, SandboxError> {
        let failed = |error| SandboxError::refused("prepare a process", error);
        let (its_gate, gate) = io::pipe().map_err(failed)?;
        let program = ProgramSpec::from(request);
        let spec = ProgramSpec {
            readahead,
            ..program.clone()
        };
        let [stdin, stdout, stderr] = *streams;
        let streams = [stdin, stdout, stderr, its_gate.as_fd()];
        let pending = self.spawn_spec(spec, &streams)?;
        Ok(Prepared {
            program,
            reads_lines: request.reads_lines,
            gate,
            request: pending,
            output,
        })
    }

    /// Keeps a socket ready for the next [`Sandbox::tcp_connect`].
    pub fn prepare_socket(&self) -> Result<(), SandboxError> {
        let mut spare = self.spare.lock();
        if spare.is_none() {
            *spare = Some(self.socket()?);
        }
        Ok(())
    }

    fn socket(&self) -> Result<OwnedFd, SandboxError> {
        let reply = self.ask(Command::Socket, &[])?;
        reply.fd.ok_or(SandboxError::Gone)
    }

    /// Sends a signal to a process that [`Sandbox::spawn`] started.
    pub fn signal(&self, pid: i32, signal: i32) -> Result<(), SandboxError> {
        let tree = false;
        self.ask(Command::Signal { pid, signal, tree }, &[])
            .map(drop)
    }

    /// Sends a signal to every process in the sandbox.
    pub fn signal_all(&self, signal: i32) -> Result<(), SandboxError> {
        let (pid, tree) = (0, true);
        self.ask(Command::Signal { pid, signal, tree }, &[])
            .map(drop)
    }

    /// Kills every process in the sandbox with SIGKILL, at once where it is full, and waits until
    /// all of them are gone. A process that waits for a FUSE server dies only when its request is
    /// answered or the mount is taken away by force: see that one of both happens, or this times
    /// out.
    pub fn kill_all(&self) -> Result<(), SandboxError> {
        self.ask(Command::KillAll, &[]).map(drop)
    }

    /// Lets the next process have the number `pid`, and those after it the numbers behind that, as
    /// far as they are free; so that a program that writes its number down does it alike each time.
    /// Only where the sandbox has a PID namespace of its own.
    pub fn number_from(&self, pid: i32) -> Result<(), SandboxError> {
        self.ask(Command::NumberFrom { pid }, &[]).map(drop)
    }

    /// The moment now, for [`Sandbox::written_elsewhere`].
    pub fn moment(&self) -> u64 {
        elsewhere::moment()
    }

    /// What its processes wrote outside of the data directory since this moment; none where that
    /// cannot be known, because they write where everybody does.
    pub fn written_elsewhere(&self, since: u64) -> Result<Option<WrittenElsewhere>, SandboxError> {
        if self.isolation == Isolation::Bare {
            return Ok(None);
        }
        match self.ask(Command::Elsewhere { since }, &[])?.answer {
            Answer::Elsewhere(found) => Ok(Some(found)),
            _ => Err(SandboxError::Gone),
        }
    }

    /// What its processes have used so far.
    pub fn usage(&self) -> Result<Usage, SandboxError> {
        match self.ask(Command::Usage, &[])?.answer {
            Answer::Usage(used) => Ok(used),
            _ => Err(SandboxError::Gone),
        }
    }

    /// Connects to a TCP port of the sandbox's loopback, 127.0.0.1, within `timeout`.
    pub fn tcp_connect(&self, port: u16, timeout: Duration) -> Result<TcpStream, SandboxError> {
        let spare = self.spare.lock().take();
        let socket = match spare {
            Some(socket) => socket,
            None => self.socket()?,
        };
        let refused = |errno: Errno| {
            // What a connect in progress says when its send timeout is up (socket(7)).
            if errno == Errno::EINPROGRESS {
                SandboxError::TimedOut(format!("connecting to port {port}"))
            } else {
                SandboxError::refused(format!("connect to port {port}"), errno)
            }
        };
        let set_timeout = |micros: i64| {
            setsockopt(
                &socket,
                sockopt::SendTimeout,
                &TimeVal::microseconds(micros),
            )
        };
        // Zero would mean to wait without end.
        let micros = timeout.as_micros().clamp(1000, 1 << 40) as i64;
        set_timeout(micros).map_err(refused)?;
        sys::connect_loopback(&socket, port).map_err(refused)?;
        set_timeout(0).map_err(refused)?;
        Ok(TcpStream::from(socket))
    }

    pub(super) fn started(
        &self,
        command: Command,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(i32, Arc<Ending>), SandboxError> {
        self.send(command, fds)?.started()
    }

    /// Sends init a request and waits for the answer.
    pub(super) fn ask(
        &self,
        command: Command,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Reply, SandboxError> {
        self.send(command, fds)?.reply()
    }

    /// Sends init a request.
    fn send(
        &self,
        command: Command,
        fds: &[BorrowedFd<'_>],
    ) -> Result<PendingRequest, SandboxError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let what = command.name();
        let pending = PendingRequest::new(&self.replies, id, what).ok_or(SandboxError::Gone)?;
        packet::send(&self.control, &ToInit { id, command }, fds).map_err(|error| {
            match error.kind() {
                io::ErrorKind::BrokenPipe => SandboxError::Gone,
                _ => SandboxError::refused("reach the sandbox", error),
            }
        })?;
        Ok(pending)
    }
}

impl Drop for Sandbox {
    #[expect(
        clippy::let_underscore_must_use,
        reason = "init may be gone already, then the janitor is or is about to be; and whatever \
                  fails here, the end of the sockets ends both"
    )]
    fn drop(&mut self) {
        let command = Command::Shutdown;
        let _ = packet::send(&self.control, &ToInit { id: 0, command }, &[]);
        // What holds a call up would hold its end up.
        self.calls = None;
        await_end(&self.orders, &mut self.janitor);
        let _ = shutdown(self.control.as_raw_fd(), Shutdown::Both);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// Has init open again what a process has open.
fn reopen(
    control: &OwnedFd,
    replies: &Arc<Replies>,
    next: &AtomicU64,
    (pid, fd): (u32, i32),
) -> Option<OwnedFd> {
    let id = next.fetch_add(1, Ordering::Relaxed);
    let command = Command::Reopen { pid, fd };
    let pending = PendingRequest::new(replies, id, command.name())?;
    packet::send(control, &ToInit { id, command }, &[]).ok()?;
    pending.reply().ok()?.fd
}

/// What init's first message brings.
struct Standing {
    ready: Ready,
    proc: Option<OwnedFd>,
    calls: Option<OwnedFd>,
}

/// Waits for init's first message.
fn await_ready(control: &OwnedFd) -> Result<Standing, SandboxError> {
    wait_readable(control, PATIENCE, "the sandbox to stand")?;
    match packet::receive::<FromInit>(control) {
        Ok(Some((FromInit::Ready(ready), fds))) => {
            let mut fds = fds.into_iter();
            Ok(Standing {
                proc: if ready.proc { fds.next() } else { None },
                calls: fds.next(),
                ready,
            })
        }
        Ok(Some((FromInit::Failed(failure), _))) => Err(failure.into()),
        Ok(_) => Err(SandboxError::Gone),
        Err(error) => Err(SandboxError::refused("understand the helper", error)),
    }
}

pub(super) fn wait_readable(
    socket: &OwnedFd,
    patience: Duration,
    what: &str,
) -> Result<(), SandboxError> {
    if wait_for(socket, PollFlags::POLLIN, patience) {
        Ok(())
    } else {
        Err(SandboxError::TimedOut(format!("waiting for {what}")))
    }
}

/// Waits for an event, or for the other side's end; false when `patience` is at its end first.
fn wait_for(socket: &OwnedFd, events: PollFlags, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), events)], timeout) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Waits until the janitor has cleaned up and ended. It ends by itself when init does; if init
/// does not, the end of its socket has the janitor end init.
#[expect(
    clippy::let_underscore_must_use,
    reason = "it may have ended at any moment, and then there is nothing left to do"
)]
fn await_end(orders: &OwnedFd, janitor: &mut process::Child) {
    let gone = PollFlags::empty();
    if !wait_for(orders, gone, PATIENCE) {
        let _ = shutdown(orders.as_raw_fd(), Shutdown::Write);
        if !wait_for(orders, gone, PATIENCE) {
            // It is not what we took it for, or the kernel holds it.
            let _ = janitor.kill();
        }
    }
    let _ = janitor.wait();
}
