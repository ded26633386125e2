//! plugpull's side of a machine: the image that it serves, and what it has the machine do.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plugpull_crashsim::fs::{Caller, Disk, Ino, Log, LogLimit, NewNode, ROOT, Record, Tree};
use plugpull_crashsim::trace;
use plugpull_sandbox::fuse::{AdmitAll, CrashFs, Server};
use thiserror::Error;

use crate::kinds::Filesystem;
use crate::protocol::{Reply, Request, receive, receive_bytes, send, send_bytes};
use crate::{MACHINE_ARG, sys, trees};

/// The most bytes of block writes that are kept of one image.
const LOG_LIMIT: u64 = 2 << 30;
/// How long one request may take. A machine that does not answer was given up by the kernel.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);
/// The inode of the image's file on the filesystem that holds it.
pub(crate) const IMAGE: Ino = ROOT + 1;
/// The longest that the operations are which a machine is given, in bytes.
const OPERATIONS_MAX: usize = 1 << 30;

/// Why a machine did not do what it should. That is plugpull's failure, or that of the kernel it runs on, and
/// never the target's.
#[derive(Debug, Error)]
pub enum MachineFailed {
    /// Something that always has to go.
    #[error("{0}")]
    Broken(String),
    /// The filesystem on this image could not be mounted or read.
    #[error("{0}")]
    Unreadable(String),
}

impl From<io::Error> for MachineFailed {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The name of the image's file: whoever lists loop devices sees whose it is.
fn image_name() -> String {
    format!("plugpull-image-{}", std::process::id())
}

/// An empty device of so many bytes, as the tree that holds its image.
///
/// # Errors
/// There is no room for its name, which cannot be.
pub fn empty_image(bytes: u64) -> Result<Tree, MachineFailed> {
    let mut tree = Tree::new(0, 0, 0);
    let owner = Caller {
        uid: 0,
        gid: 0,
        now: 0,
    };
    let name = image_name();
    let made = tree
        .create(ROOT, name.as_ref(), &NewNode::File, 0o600, owner)
        .and_then(|ino| tree.change(ino, |content| content.set_size_only(bytes)));
    made.map_err(|errno| MachineFailed::Broken(errno.to_string()))?;
    Ok(tree)
}

/// A process with a real filesystem on an image that this serves. All of it goes with the value.
pub struct Machine {
    fs: Arc<CrashFs>,
    server: Option<Server>,
    child: Child,
    socket: UnixStream,
}

impl Machine {
    /// Starts one on this image; `format` makes a new filesystem on it, else the kernel recovers the one
    /// that is there. The thread that calls this must outlive it: the machine dies with that thread.
    ///
    /// `program` calls [`crate::machine_main`].
    ///
    /// # Errors
    /// What the kernel, or mkfs, refuses; [`MachineFailed::Unreadable`] where it is this image.
    pub fn start(
        program: &Path,
        filesystem: &Filesystem,
        image: Tree,
        format: bool,
    ) -> Result<Self, MachineFailed> {
        let mkfs = match format {
            true => made_by(filesystem)?,
            false => Vec::new(),
        };
        let disk = Disk::new(image, Instant::now(), 0);
        let fs = Arc::new(CrashFs::new(disk, Arc::new(AdmitAll)));
        fs.limit_log(LogLimit::Stop(LOG_LIMIT));
        let device = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .map_err(|error| MachineFailed::Broken(format!("/dev/fuse: {error}")))?;
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_read_timeout(Some(ANSWERS_WITHIN))?;
        let child = Command::new(program)
            .arg(MACHINE_ARG)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(device.try_clone()?))
            .spawn()?;
        let mut machine = Self {
            fs,
            server: None,
            child,
            socket,
        };
        machine.ask(&Request::Begin)?;
        machine.server = Some(serve(machine.fs.clone(), device.into())?);
        machine.ask(&Request::Attach {
            image: image_name(),
            mkfs,
        })?;
        let mounted = machine.ask(&Request::Mount {
            kind: filesystem.kind.into(),
            options: filesystem.options.into(),
        });
        mounted.map_err(unreadable)?;
        Ok(machine)
    }

    /// Gives it the operations that it will do, has it do those before `before` and have them on disk. The
    /// log of block writes begins behind them.
    ///
    /// # Errors
    /// An operation was refused.
    pub fn prepare(&mut self, records: &[Record], before: usize) -> Result<(), MachineFailed> {
        let bytes = trace::to_bytes(records, OPERATIONS_MAX)?;
        let bytes =
            bytes.ok_or_else(|| MachineFailed::Broken("the operations are over 1 GiB".into()))?;
        send(&mut self.socket, &Request::Take)?;
        send_bytes(&mut self.socket, &bytes)?;
        self.answer()?;
        self.ask(&Request::Prepare { before })?;
        self.fs.limit_log(LogLimit::Stop(LOG_LIMIT));
        Ok(())
    }

    /// Does one operation, as a call. False where it is none, or about a file without a name.
    ///
    /// # Errors
    /// It was refused.
    pub fn perform(&mut self, record: usize) -> Result<bool, MachineFailed> {
        self.ask(&Request::Do { record })
    }

    /// Has the data of every file written back, but for these, and but for these pages of others.
    ///
    /// # Errors
    /// It could not be.
    pub fn write_back(&mut self, but: &[Ino], pages: &[(Ino, u64)]) -> Result<(), MachineFailed> {
        let (but, pages) = (but.to_vec(), pages.to_vec());
        self.ask(&Request::WriteBack { but, pages }).map(drop)
    }

    /// Has the filesystem commit its metadata, and no data.
    ///
    /// # Errors
    /// It could not be.
    pub fn commit(&mut self) -> Result<(), MachineFailed> {
        self.ask(&Request::Commit).map(drop)
    }

    /// How many block writes and flushes there were since the operations that were prepared.
    pub fn blocks(&self) -> usize {
        self.fs.inspect(|_, log| log.records().len())
    }

    /// Takes the log of block writes.
    ///
    /// # Errors
    /// It was longer than is kept.
    pub fn take_blocks(&mut self) -> Result<Log, MachineFailed> {
        let log = self.fs.take_log();
        match log.is_complete() {
            true => Ok(log),
            false => Err(MachineFailed::Broken(
                "more than 2 GiB of block writes".into(),
            )),
        }
    }

    /// What the data directory holds.
    ///
    /// # Errors
    /// [`MachineFailed::Unreadable`] where the filesystem gives an error.
    pub fn read(&mut self) -> Result<Tree, MachineFailed> {
        self.ask(&Request::Read).map_err(unreadable)?;
        let bytes = receive_bytes(&mut self.socket)?.unwrap_or_default();
        let read = trace::read_from(&bytes[..], Path::new("what was read"), |_| {
            Tree::new(0, 0, 0)
        });
        let read = read.map_err(|error| MachineFailed::Broken(error.to_string()))?;
        Ok(trees::tree_of(read.log.records()))
    }

    /// Unmounts everything, and waits for its end. The image as it is then.
    ///
    /// # Errors
    /// The filesystem could not be unmounted, or an operation on the image failed.
    pub fn end(mut self) -> Result<Tree, MachineFailed> {
        self.ask(&Request::Unmount)?;
        self.child.wait()?;
        match self.server.take().map(Server::join) {
            Some(Err(failure)) => Err(MachineFailed::Broken(failure.to_string())),
            _ => Ok(self.fs.inspect(|tree, _| tree.clone())),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<bool, MachineFailed> {
        send(&mut self.socket, request)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<bool, MachineFailed> {
        match receive(&mut self.socket)? {
            Some(Reply::Done) => Ok(true),
            Some(Reply::Skipped) => Ok(false),
            Some(Reply::Failed(why)) => Err(MachineFailed::Broken(why)),
            None => Err(MachineFailed::Broken(
                "the process with the real filesystem has ended".into(),
            )),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Where it ended by itself there is nothing to do; its mounts go with it, and the server with them.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
        drop(self.server.take().map(Server::join));
    }
}

fn unreadable(failed: MachineFailed) -> MachineFailed {
    MachineFailed::Unreadable(failed.to_string())
}

/// The program that makes this filesystem, with its arguments.
fn made_by(filesystem: &Filesystem) -> Result<Vec<String>, MachineFailed> {
    let program: PathBuf = filesystem
        .program()
        .ok_or_else(|| MachineFailed::Broken(format!("there is no {}", filesystem.mkfs[0])))?;
    let rest = filesystem.mkfs[1..].iter().map(|arg| (*arg).to_owned());
    Ok(std::iter::once(program.display().to_string())
        .chain(rest)
        .collect())
}

/// Serves the image, by threads that the kernel lets have memory while others wait for what they serve.
fn serve(fs: Arc<CrashFs>, device: OwnedFd) -> io::Result<Server> {
    let started = thread::spawn(move || {
        match sys::serves_io() {
            // A container may lack CAP_SYS_RESOURCE. Where memory is short, the kernel may then wait for what
            // waits for it, until a request takes too long: that is no answer, and never a wrong one.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            done => done?,
        }
        Server::start(fs, device, None)
    });
    match started.join() {
        Ok(server) => server,
        Err(_) => Err(io::Error::other("the server could not be started")),
    }
}
