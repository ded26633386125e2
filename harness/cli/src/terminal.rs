//! A program in the sandbox on the user's own terminal.
//!
//! A shell wants a terminal that controls its session: without one there is no Ctrl-C and no job
//! control. The user's own controls another session, so the shell gets a new one (pty(7)), and
//! what is typed and shown is carried to and fro.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use plugpull_sandbox::{Child, Program, Sandbox, SpawnRequest};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// The first argument that makes plugpull a program's way to its terminal.
pub(crate) const ARG: &str = "__terminal";
/// How often the size of the window is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Runs a program in the sandbox with the user's standard streams, as a session of its own where
/// they are a terminal, until it ends. Returns its exit code.
pub(crate) fn run(sandbox: &Sandbox, request: &SpawnRequest) -> anyhow::Result<i32> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    if !(stdin.is_terminal() && stdout.is_terminal()) {
        let streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let child = sandbox.spawn_with_streams(request, &streams)?;
        return ended(&child, || {});
    }
    let pty = openpty(None, None)?;
    let follow = |from: BorrowedFd<'_>, to: BorrowedFd<'_>| {
        if let Ok(size) = tcgetwinsize(from) {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "a window without a size is no reason to stop"
            )]
            let _ = tcsetwinsize(to, size);
        }
    };
    follow(stdout.as_fd(), pty.master.as_fd());
    let Program::Path(program) = &request.program else {
        anyhow::bail!("only a program with a path can have the terminal");
    };
    let mut args = vec![ARG.to_string(), program.to_string_lossy().into_owned()];
    args.extend(request.args.iter().cloned());
    let session = SpawnRequest {
        program: Program::Myself,
        args,
        ..request.clone()
    };
    let end = pty.slave.as_fd();
    let child = sandbox.spawn_with_streams(&session, &[end, end, end])?;
    drop(pty.slave);
    let _raw = Raw::enter()?;
    let mut shown = File::from(pty.master.try_clone()?);
    let mut typed = File::from(pty.master.try_clone()?);
    // The one ends with the program; the other may wait for a key for ever, and is left to.
    let show = std::thread::spawn(move || copy(&mut shown, &mut io::stdout()));
    std::thread::spawn(move || copy(&mut io::stdin(), &mut typed));
    let code = ended(&child, || follow(stdout.as_fd(), pty.master.as_fd()))?;
    anyhow::ensure!(
        show.join().is_ok(),
        "what the program showed did not reach the terminal"
    );
    Ok(code)
}

fn ended(child: &Child, mut meanwhile: impl FnMut()) -> anyhow::Result<i32> {
    loop {
        if let Some(code) = child.wait(Instant::now() + LOOK)? {
            return Ok(code);
        }
        meanwhile();
    }
}

/// Copies until one side is closed: a terminal whose last program has ended gives EIO.
fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to
            .write_all(&buffer[..n])
            .and_then(|()| to.flush())
            .is_err()
        {
            break;
        }
    }
}

/// The user's terminal in raw mode; as it was when this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    #[expect(
        clippy::let_underscore_must_use,
        reason = "a terminal that is gone needs nothing back"
    )]
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Inside the sandbox: makes standard input the terminal of this session, and becomes the program.
#[expect(
    clippy::let_underscore_must_use,
    reason = "without it the program still works, only without job control; and nobody else hears why it could not start"
)]
pub(crate) fn main(args: &[String]) -> i32 {
    let Some((program, rest)) = args.split_first() else {
        return 2;
    };
    let _ = rustix::process::ioctl_tiocsctty(io::stdin());
    let error = Command::new(program).args(rest).exec();
    let _ = writeln!(io::stderr(), "plugpull: {program}: {error}");
    127
}
