//! The sandbox, as targets see it.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use plugpull_driver::{Host, Input, Launch, Part, Pipes, Process};
use plugpull_sandbox::{Child, Program, Sandbox, SandboxError, SpawnRequest};

use super::prefork::{self, Forking, Launching, Prefork, ReadyProcess};
use crate::outcome::HarnessFailed;

/// How long a connection to the target's port may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A sandbox that targets are started in, all of them on one CPU.
pub struct SandboxHost {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// The CPU that targets run on; any when none.
    pub cpu: Option<usize>,
    /// Put targets in the sandbox's cgroup.
    pub cgroup: bool,
    /// The process that was started last, and the output of all before it.
    last: Mutex<Option<Arc<Child>>>,
    spawned: Condvar,
    prefork: Prefork,
    /// Whether targets may be forked here; none for never.
    forking: Option<Arc<Forking>>,
    /// Why no trial can be made here any more.
    broken: Mutex<Option<HarnessFailed>>,
    /// How long a check may take, where that is less than its own limit.
    check_limit: Mutex<Option<Duration>>,
    /// A start after a clean stop is nothing to hold one that hung beside: the target cannot be stopped
    /// so, or does not come up after that either.
    pub(super) no_clean_start: AtomicBool,
}

impl SandboxHost {
    /// A host in this sandbox, in which nothing was started yet.
    pub fn new(sandbox: Sandbox, cpu: Option<usize>, cgroup: bool) -> Self {
        Self {
            sandbox,
            cpu,
            cgroup,
            last: Mutex::new(None),
            spawned: Condvar::new(),
            prefork: Prefork::default(),
            forking: None,
            broken: Mutex::new(None),
            check_limit: Mutex::new(None),
            no_clean_start: AtomicBool::new(false),
        }
    }

    /// The same, in which a target may be forked as long as this is on.
    #[must_use]
    pub fn with_forking(self, forking: Option<Arc<Forking>>) -> Self {
        Self { forking, ..self }
    }

    /// Whether targets may be forked here.
    pub fn forking(&self) -> Option<&Forking> {
        self.forking.as_deref().filter(|forking| forking.is_on())
    }

    /// Whether the target that was started first was forked.
    pub fn has_forked(&self) -> bool {
        self.prefork.has_forked()
    }

    /// Notes that nothing that is seen in this sandbox from now on says anything of a target.
    pub fn give_up(&self, why: &HarnessFailed) {
        self.broken.lock().get_or_insert_with(|| why.clone());
    }

    /// Limits the target's own check from now on, or no more.
    pub fn limit_check(&self, limit: Option<Duration>) {
        *self.check_limit.lock() = limit;
    }

    /// How long the target's own check may take here; none for its own limit.
    pub fn check_limit(&self) -> Option<Duration> {
        *self.check_limit.lock()
    }

    /// An error once it was given up.
    ///
    /// # Errors
    /// Why it was.
    pub fn usable(&self) -> Result<(), HarnessFailed> {
        match &*self.broken.lock() {
            None => Ok(()),
            Some(why) => Err(why.clone().during("the sandbox failed in an earlier trial")),
        }
    }

    /// Gets ready for the start of a target on the data directory that is mounted now, as far as that
    /// can be known. Its first process will have the number `first`, where numbers can be chosen.
    pub fn begin(&self, first: i32) {
        self.prefork
            .begin(&self.sandbox, first, None, prefork::WARM);
    }

    /// The same, and nothing of the data directory is read for it.
    pub fn begin_cold(&self, first: i32) {
        self.prefork.begin(&self.sandbox, first, None, 0);
    }

    /// The same for a target that is forked where it may be.
    pub fn begin_forked(&self, first: i32) {
        self.prefork
            .begin(&self.sandbox, first, self.forking(), prefork::WARM);
    }

    /// The same for a target that will be stopped in order: one is forked only where it ends as a started
    /// one does.
    pub fn begin_forked_to_stop(&self, first: i32) {
        let forking = self.forking().filter(|forking| forking.stops());
        let forking = forking.filter(|_| self.prefork.exits());
        self.prefork
            .begin(&self.sandbox, first, forking, prefork::WARM);
    }

    /// The process that was started last.
    pub fn last(&self) -> Option<Arc<Child>> {
        self.last.lock().clone()
    }

    /// Waits until a process has been started; false when none was by `deadline`.
    pub fn await_spawn(&self, deadline: Instant) -> bool {
        let mut last = self.last.lock();
        while last.is_none() {
            if self.spawned.wait_until(&mut last, deadline).timed_out() {
                return last.is_some();
            }
        }
        true
    }

    /// The same, and forgets it.
    pub fn take_last(&self) -> Option<Arc<Child>> {
        self.last.lock().take()
    }

    /// True while the process that was started last lives.
    pub fn alive(&self) -> bool {
        self.last()
            .is_some_and(|child| matches!(child.wait(Instant::now()), Ok(None)))
    }
}

impl Host for SandboxHost {
    fn spawn(&self, launch: &Launch) -> io::Result<Box<dyn Process>> {
        let launching = Launching {
            request: self.request(launch, Part::Target),
            piped: false,
            forks: false,
            fork_exits: false,
        };
        let child = match self.take(Some(&launching)) {
            Some(ready) => ready?.0,
            None => self.sandbox.spawn(&launching.request)?,
        };
        Ok(self.started(Arc::new(child), Part::Target))
    }

    fn spawn_beside(
        &self,
        launch: &Launch,
        input: Option<Input<'_>>,
    ) -> io::Result<Box<dyn Process>> {
        self.take(None);
        let request = self.request(launch, Part::Beside);
        let child = match input {
            Some(input) => super::input::spawn(&self.sandbox, request, input.variable, input.text)?,
            None => self.sandbox.spawn(&request)?,
        };
        Ok(self.started(Arc::new(child), Part::Beside))
    }

    fn spawn_piped(&self, launch: &Launch, part: Part) -> io::Result<(Box<dyn Process>, Pipes)> {
        let launching = Launching {
            request: self.request(launch, part),
            piped: true,
            forks: launch.forks,
            fork_exits: launch.fork_exits,
        };
        if let Some(ready) = self.take(Some(&launching))
            && let (child, Some(pipes)) = ready?
        {
            return Ok((self.started(Arc::new(child), part), pipes));
        }
        let (its_stdin, its_stdout, pipes) = prefork::pipes()?;
        let (its_in, its_out) = (its_stdin.as_fd(), its_stdout.as_fd());
        let child = self
            .sandbox
            .spawn_piped(&launching.request, its_in, its_out)?;
        Ok((self.started(Arc::new(child), part), pipes))
    }

    fn connect(&self, port: u16) -> io::Result<TcpStream> {
        self.prefork.connects();
        Ok(self.sandbox.tcp_connect(port, CONNECT_LIMIT)?)
    }

    fn data_dir(&self) -> &Path {
        self.sandbox.data_dir()
    }
}

impl SandboxHost {
    /// The process that is ready, if it is the right one.
    fn take(&self, launching: Option<&Launching>) -> Option<Result<ReadyProcess, SandboxError>> {
        self.prefork.take(&self.sandbox, launching, self.forking())
    }

    fn request(&self, launch: &Launch, part: Part) -> SpawnRequest {
        let program = Program::Path(launch.program.clone());
        SpawnRequest {
            env: launch.env.clone(),
            cwd: launch.cwd.clone(),
            cpu: self.cpu,
            oom_score_adj: Some(1000),
            // The memory limit is for the target.
            cgroup: self.cgroup && part == Part::Target,
            reads_lines: launch.reads_lines,
            ..SpawnRequest::new(program, launch.args.iter().cloned())
        }
    }

    fn started(&self, child: Arc<Child>, part: Part) -> Box<dyn Process> {
        if part == Part::Target {
            *self.last.lock() = Some(child.clone());
            self.spawned.notify_all();
        }
        Box::new(Started(child))
    }
}

struct Started(Arc<Child>);

impl Process for Started {
    fn stdout_line(&mut self, deadline: Instant) -> io::Result<Option<String>> {
        self.0.stdout_line(deadline)
    }

    fn buffered(&self) -> bool {
        self.0.buffered()
    }

    fn catch_up(&self) -> Option<Arc<dyn Fn() + Send + Sync>> {
        Some(self.0.catch_up())
    }

    fn read_late(&self) -> bool {
        self.0.read_late()
    }

    fn ignore_lines(&mut self) {
        self.0.ignore_lines();
    }

    fn wait(&mut self, deadline: Instant) -> io::Result<Option<i32>> {
        self.0.wait(deadline)
    }

    fn output(&self) -> String {
        self.0.output()
    }

    fn complaint(&self) -> String {
        let said = self.0.stderr();
        match said.trim() {
            "" => self.0.output(),
            _ => said,
        }
    }
}
