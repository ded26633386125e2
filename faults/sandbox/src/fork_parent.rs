//! A program that has loaded what it needs, and forks a target whenever one is wanted.
//!
//! It lives in all namespaces of the sandbox but that of processes, where its children are: what kills a
//! trial's processes spares it, and no child has a number by which it could signal or trace it. Whatever
//! it holds would be in each of its children, so it is looked at before each fork. What it says decides
//! nothing: a child is taken for what the sandbox's init finds under its number.

use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::child::{Child, SpawnRequest};
use super::error::SandboxError;
use super::options::Isolation;
use super::output::Output;
use super::packet;
use super::pending::PATIENCE;
use super::protocol::{Command, FromParent, ProgramSpec, ToJanitor};
use super::supervisor::{Sandbox, wait_readable};

/// The variable that has a program become a parent that forks.
const FORK_VARIABLE: &str = "PLUGPULL_FORK";

/// How long it may take to fork.
const FORK_LIMIT: Duration = Duration::from_secs(5);

/// Where nobody answers. The kernel lets a process whose children are in another namespace of processes
/// start no thread (clone(2), `CLONE_THREAD`).
const ENDED: &str = "the parent that forks has ended; it can have no thread beside its first";

/// Why no target was forked.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// Its number was still that of a process which has ended, so that it got a later one: the next
    /// fork may be right. The kernel frees a number a moment after it has reported the end
    /// (`release_task`, kernel/exit.c).
    #[error("{0}")]
    Number(String),
    /// This parent forks nothing that could be used.
    #[error("{0}")]
    Cannot(String),
}

impl From<String> for ForkError {
    fn from(why: String) -> Self {
        Self::Cannot(why)
    }
}

impl From<&str> for ForkError {
    fn from(why: &str) -> Self {
        Self::Cannot(why.to_owned())
    }
}

/// A request to the parent: fork a child that has the packet's descriptors as its standard input, output
/// and error.
#[derive(Serialize)]
struct ForkRequest {
    id: u64,
    call: &'static str,
}

/// The child's answer; the parent's where it could not fork.
#[derive(Deserialize)]
struct ForkAnswer {
    id: u64,
    answer: String,
    #[serde(default)]
    text: String,
    /// The child's number, as it sees it.
    #[serde(default)]
    pid: i32,
    /// What it drew from each of its random streams.
    #[serde(default)]
    random: Vec<String>,
}

/// A program that forks targets.
pub struct ForkParent {
    request: SpawnRequest,
    control: OwnedFd,
    /// Its number outside of the sandbox.
    pid: i32,
    /// The inode of its socket.
    socket: u64,
    data: PathBuf,
    next: u64,
    /// What its children drew, by the stream: no two of them the same.
    drawn: HashSet<(usize, String)>,
    /// The number of the child that it is to fork, and where its standard error is kept.
    under_way: Option<(i32, Arc<Output>)>,
}

impl Sandbox {
    /// Starts a program as one that forks targets, outside of the data directory.
    ///
    /// # Errors
    /// It cannot be here.
    pub fn fork_parent(&self, request: &SpawnRequest) -> Result<ForkParent, SandboxError> {
        if self.isolation != Isolation::Full || request.cgroup || request.user.is_some() {
            let why = "a parent that forks targets, without namespaces or in a cgroup";
            return Err(SandboxError::Unavailable(why.into()));
        }
        let failed = |error| SandboxError::refused("start a parent that forks", error);
        let (control, its) = packet::pair().map_err(failed)?;
        let mut spec = ProgramSpec::from(request);
        spec.env.push((FORK_VARIABLE.into(), "1".into()));
        packet::send(&self.orders, &ToJanitor::ForkParent(spec), &[its.as_fd()]).map_err(failed)?;
        drop(its);
        wait_readable(&control, PATIENCE, "a parent that forks")?;
        let (pid, socket, calls) = match packet::receive::<FromParent>(&control).map_err(failed)? {
            Some((FromParent::Ready { pid, socket }, fds)) => (pid, socket, fds.into_iter().next()),
            Some((FromParent::Failed(failure), _)) => return Err(failure.into()),
            None => return Err(SandboxError::Gone),
        };
        match (&self.calls, calls) {
            (Some(listener), Some(calls)) => listener.hear(calls).map_err(failed)?,
            (None, None) => {}
            // The filesystem would hear of a started target's calls and not of a forked one's.
            _ => return Err(SandboxError::Unavailable("a listener of its calls".into())),
        }
        Ok(ForkParent {
            request: request.clone(),
            control,
            pid,
            socket,
            data: self.data_dir().to_owned(),
            next: 0,
            drawn: HashSet::new(),
            under_way: None,
        })
    }
}

impl ForkParent {
    /// Whether it forks what this request would start.
    pub fn is_for(&self, request: &SpawnRequest) -> bool {
        ProgramSpec::from(&self.request) == ProgramSpec::from(request)
    }

    /// Has it fork a target with the number `first` and with these as its standard input and output; only
    /// what it writes to standard error is kept. [`Self::forked`] takes it.
    ///
    /// # Errors
    /// Why it was not done. What was forked all the same is killed with all others.
    pub fn fork(
        &mut self,
        sandbox: &Sandbox,
        first: i32,
        stdin: BorrowedFd<'_>,
        stdout: BorrowedFd<'_>,
    ) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("it could not fork: {error}");
        let (output, [out, err]) = Output::capture(false).map_err(|error| failed(&error))?;
        drop(out);
        // It answers first when it has loaded what it needs: until then it may hold anything.
        if self.next == 0 {
            self.ask("ready", &[])?;
            self.answer()?;
        }
        self.holds_nothing()?;
        let numbered = sandbox.number_from(first);
        numbered.map_err(|error| failed(&error))?;
        self.ask("fork", &[stdin, stdout, err.as_fd()])?;
        self.under_way = Some((first, output));
        Ok(())
    }

    /// The target that it was to fork last.
    ///
    /// # Errors
    /// Why there is none.
    pub fn forked(&mut self, sandbox: &Sandbox) -> Result<Child, ForkError> {
        let under_way = self.under_way.take();
        let (first, output) = under_way.ok_or("it was not to fork")?;
        let forked = self.answer()?;
        if forked.pid != first {
            let pid = forked.pid;
            let why = format!("its child has the number {pid} and not {first}");
            return Err(match pid > first {
                true => ForkError::Number(why),
                false => ForkError::Cannot(why),
            });
        }
        if forked.random.is_empty() {
            return Err("its child does not say what it draws".into());
        }
        for drawn in forked.random.into_iter().enumerate() {
            if !self.drawn.insert(drawn) {
                return Err("two of its children draw the same random numbers".into());
            }
        }
        let adopted = sandbox.started(Command::Adopt { pid: first }, &[]);
        let (pid, ending) = adopted.map_err(|error| format!("its child is not there: {error}"))?;
        Ok(Child {
            pid,
            ending,
            output,
        })
    }

    fn ask(&mut self, call: &'static str, fds: &[BorrowedFd<'_>]) -> Result<(), String> {
        self.next += 1;
        let id = self.next;
        let sent = packet::send(&self.control, &ForkRequest { id, call }, fds);
        sent.map_err(|_| ENDED.into())
    }

    /// The next answer.
    fn answer(&self) -> Result<ForkAnswer, String> {
        let waited = wait_readable(&self.control, FORK_LIMIT, "a fork");
        waited.map_err(|error| error.to_string())?;
        match packet::receive::<ForkAnswer>(&self.control) {
            Ok(Some((answer, _))) if answer.id != self.next => {
                Err(format!("it answered request {}", answer.id))
            }
            Ok(Some((answer, _))) if answer.answer == "ok" => Ok(answer),
            Ok(Some((answer, _))) => Err(format!("it could not fork: {}", answer.text)),
            Ok(None) => Err(ENDED.into()),
            Err(error) => Err(format!("its answer is none: {error}")),
        }
    }

    /// That it has one thread, and no file, mapping, directory or socket that its children would share.
    fn holds_nothing(&self) -> Result<(), String> {
        let own = PathBuf::from(format!("/proc/{}", self.pid));
        let looked = look(&own);
        let Look {
            threads,
            cwd,
            mut files,
            maps,
        } = looked.map_err(|error| format!("it cannot be looked at: {error}"))?;
        if threads != 1 {
            return Err(format!("it has {threads} threads"));
        }
        if cwd != Path::new("/") {
            return Err(format!("its working directory is {}", cwd.display()));
        }
        files.sort();
        let socket = PathBuf::from(format!("socket:[{}]", self.socket));
        let null = PathBuf::from("/dev/null");
        let expected = [(0, socket), (1, null.clone()), (2, null)];
        if let Some((fd, path)) = files.iter().find(|file| !expected.contains(file)) {
            return Err(format!("it has {} open, as number {fd}", path.display()));
        }
        match maps.lines().find(|line| is_shared(line, &self.data)) {
            Some(line) => Err(format!("it has a mapping: {line}")),
            None => Ok(()),
        }
    }
}

/// What is known of a process.
struct Look {
    threads: usize,
    cwd: PathBuf,
    files: Vec<(i32, PathBuf)>,
    maps: String,
}

fn look(process: &Path) -> std::io::Result<Look> {
    let mut files = Vec::new();
    for entry in fs::read_dir(process.join("fd"))? {
        let entry = entry?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        files.push((number.unwrap_or(-1), fs::read_link(entry.path())?));
    }
    Ok(Look {
        threads: fs::read_dir(process.join("task"))?.count(),
        cwd: fs::read_link(process.join("cwd"))?,
        files,
        maps: fs::read_to_string(process.join("maps"))?,
    })
}

/// Whether a mapping (proc(5), `maps`) is one that children would share: it is written for all, or is one of
/// a file in the data directory.
fn is_shared(line: &str, data: &Path) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let rights = fields.nth(1).unwrap_or_default();
    let path = fields.nth(3).unwrap_or_default();
    rights.contains('w') && rights.ends_with('s') || Path::new(path).starts_with(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_for_all_or_lies_in_the_data_directory_is_shared() {
        let data = Path::new("/run/data");
        for (line, shared) in [
            ("7f00-7f01 r-xp 00001000 08:01 12 /usr/lib/libc.so.6", false),
            ("7f00-7f01 rw-p 00000000 00:00 0 ", false),
            (
                "7f00-7f01 r--s 00000000 08:01 13 /usr/lib/gconv-modules.cache",
                false,
            ),
            ("7f00-7f01 rw-s 00000000 00:01 14 /dev/zero (deleted)", true),
            ("7f00-7f01 r--p 00000000 00:50 2 /run/data/kv.db", true),
            ("7f00-7f01 r--p 00000000 00:50 2 /run/database/kv.db", false),
        ] {
            assert_eq!(is_shared(line, data), shared, "{line}");
        }
    }

    #[test]
    fn a_process_is_looked_at() {
        let look = look(Path::new("/proc/self")).expect("this process");
        assert!(look.threads > 1 && look.cwd.is_absolute());
        assert!(look.files.iter().any(|(fd, _)| *fd == 0) && look.maps.contains("[stack]"));
    }
}
