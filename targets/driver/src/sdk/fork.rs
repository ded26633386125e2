//! A driver as a parent that forks: it has loaded what it needs, and each time plugpull asks it forks a
//! child, which goes on as if it had been started. `docs/driver-protocol.md` says what is exchanged.
//!
//! This is the wall around the unsafe code of it. Forking requires one thread: plugpull looks whether the
//! parent has one before it asks, and the parent looks for itself.
#![expect(unsafe_code, reason = "this is the wall")]

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::cmsg_space;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send};
use nix::unistd::{self, ForkResult, dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};

/// The variable that has a driver become a parent.
const VARIABLE: &str = "PLUGPULL_FORK";

/// The socket that the parent is asked over: its standard input.
const CONTROL: RawFd = 0;

/// The longest request, in bytes.
const LONGEST: usize = 4096;

#[derive(Deserialize)]
struct ForkRequest {
    id: u64,
    call: String,
}

#[derive(Serialize)]
struct ForkAnswer<'a> {
    id: u64,
    answer: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    random: Vec<String>,
}

/// True where plugpull has started this process as a parent that forks.
pub(super) fn is_parent() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Forks whenever plugpull asks for it. Returns true in each child, which has its own streams, session and
/// working directory then, and false in the parent at its end. `reseed` is called in each child: it gives
/// every random stream a fresh seed that was drawn from before, and returns what it draws from each.
///
/// # Errors
/// Nobody asks any more, or asks what is not known.
pub(super) fn children(data: &Path, reseed: impl Fn() -> Vec<String>) -> io::Result<bool> {
    loop {
        let Some((request, fds)) = receive()? else {
            return Ok(false);
        };
        let id = request.id;
        let mut answer = ForkAnswer {
            id,
            answer: "ok",
            text: String::new(),
            pid: None,
            random: Vec::new(),
        };
        match (request.call.as_str(), <[OwnedFd; 3]>::try_from(fds)) {
            ("ready", _) => {}
            ("fork", Ok(streams)) => {
                // SAFETY: this process has one thread, as was just looked at, so that the child finds no
                // lock taken.
                let forked = one_thread().and_then(|()| Ok(unsafe { unistd::fork() }?));
                match forked {
                    Ok(ForkResult::Parent { .. }) => continue,
                    Ok(ForkResult::Child) => {
                        answer.pid = Some(std::process::id());
                        answer.random = reseed();
                        answer.random.push(drawn());
                        become_child(&answer, streams, data)?;
                        return Ok(true);
                    }
                    Err(error) => {
                        answer.answer = "fail";
                        answer.text = error.to_string();
                    }
                }
            }
            (other, _) => {
                answer.answer = "fail";
                answer.text = format!("there is no call {other:?}, or its streams are missing");
            }
        }
        say(&answer)?;
    }
}

/// What the standard library's own random stream gives next: where the parent has drawn from it, all its
/// children get the same.
fn drawn() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}

fn one_thread() -> io::Result<()> {
    // Outside of its namespace of processes there is no /proc/self: plugpull has looked then.
    match fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(0 | 1) | Err(_) => Ok(()),
        Ok(threads) => Err(io::Error::other(format!("it has {threads} threads"))),
    }
}

fn become_child(answer: &ForkAnswer<'_>, streams: [OwnedFd; 3], data: &Path) -> io::Result<()> {
    let [stdin, stdout, stderr] = streams;
    // SAFETY: the default runs no code of ours.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    unistd::setsid()?;
    unistd::chdir(data)?;
    // SAFETY: there is one thread.
    unsafe { std::env::remove_var(VARIABLE) };
    say(answer)?;
    // The last is the end of the socket here.
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)?;
    dup2_stdin(stdin)?;
    Ok(())
}

fn say(answer: &ForkAnswer<'_>) -> io::Result<()> {
    send(
        CONTROL,
        &serde_json::to_vec(answer)?,
        MsgFlags::MSG_NOSIGNAL,
    )?;
    Ok(())
}

/// The next request with its descriptors; none at the end.
fn receive() -> io::Result<Option<(ForkRequest, Vec<OwnedFd>)>> {
    let mut bytes = [0; LONGEST];
    let mut control = cmsg_space!([RawFd; 3]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(CONTROL.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let length = message.bytes;
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = part {
            // SAFETY: the message came just now, and nobody else looks at its descriptors.
            fds.extend(
                raw.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[..length])?, fds)))
}
