//! The machine's side: what it mounts, and the operations that it does on the real filesystem.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{dup2_stdout, setsid, syncfs};
use plugpull_crashsim::fs::{Ino, PAGE, Record, Tree};
use plugpull_crashsim::trace;

use crate::loop_device::LoopDevice;
use crate::player::{Player, set_mode};
use crate::protocol::{Reply, Request, receive, receive_bytes, send, send_bytes};
use crate::read_back;
use crate::sys;

/// Where everything is, in the mount namespace of the machine.
const PLACE: &str = "/tmp";
/// The name of the data directory on the real filesystem.
pub(crate) const DATA: &str = "data";
/// The name of the file beside it whose fsync commits the journal.
const OTHER: &str = "other";
/// The greatest offset in a file.
const END: u64 = i64::MAX as u64;
/// How long an unmount may be refused, by what lets go of it a moment later.
const BUSY_FOR: Duration = Duration::from_secs(10);

/// What a program that starts a [`crate::Machine`] does when its first argument is
/// [`crate::MACHINE_ARG`], before it starts any thread. Its standard input is the socket to plugpull, its
/// standard output the open `/dev/fuse`. Returns the exit code.
pub fn machine_main() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("the machine with the real filesystem: {error}");
            2
        }
    }
}

fn run() -> io::Result<()> {
    // Whatever plugpull dies of, this dies too; and where it died before, the socket has ended.
    set_pdeathsig(Signal::SIGKILL)?;
    // Ctrl-C ends plugpull, and this by way of plugpull's end.
    setsid()?;
    umask(Mode::empty());
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    let nothing = MsFlags::MS_NOSUID;
    mount(
        Some("plugpull"),
        PLACE,
        Some("tmpfs"),
        nothing,
        Some("size=1m"),
    )?;
    let mut mounted = Mounted::default();
    while let Some(request) = receive::<Request>(&mut socket)? {
        let last = matches!(request, Request::Unmount);
        let mut sent = None;
        let done = match request {
            Request::Take => {
                let bytes = receive_bytes(&mut socket)?.unwrap_or_default();
                mounted.take(&bytes)
            }
            Request::Read => read_back::read(&mounted.data()).map(|bytes| {
                sent = Some(bytes);
                Reply::Done
            }),
            request => mounted.perform(request),
        };
        let reply = done.unwrap_or_else(|error| Reply::Failed(error.to_string()));
        send(&mut socket, &reply)?;
        if let Some(bytes) = sent {
            send_bytes(&mut socket, &bytes)?;
        }
        if last {
            break;
        }
    }
    Ok(())
}

/// An error with what was being done.
fn during(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// What is mounted, and what was done on it.
#[derive(Default)]
struct Mounted {
    kind: String,
    device: Option<LoopDevice>,
    records: Vec<Record>,
    player: Player,
}

impl Mounted {
    fn fuse(&self) -> PathBuf {
        Path::new(PLACE).join("image")
    }

    fn top(&self) -> PathBuf {
        Path::new(PLACE).join("top")
    }

    fn data(&self) -> PathBuf {
        self.top().join(DATA)
    }

    fn perform(&mut self, request: Request) -> io::Result<Reply> {
        match request {
            Request::Begin => self.begin()?,
            Request::Attach { image, mkfs } => self.attach(&image, &mkfs)?,
            Request::Mount { kind, options } => self.mount(kind, &options)?,
            Request::Prepare { before } => self.prepare(before)?,
            Request::Do { record } => {
                let record = self.records.get(record).cloned();
                let record =
                    record.ok_or_else(|| io::Error::other("there is no such operation"))?;
                let what = format!("{} of {:?}", record.op.name(), record.path);
                let done = self.player.record(&record).map_err(during(what))?;
                return Ok(match done {
                    true => Reply::Done,
                    false => Reply::Skipped,
                });
            }
            Request::WriteBack { but, pages } => {
                self.write_back(&but, &pages)
                    .map_err(during("writing back"))?;
            }
            Request::Commit => self.commit().map_err(during("committing"))?,
            Request::Unmount => self.unmount()?,
            Request::Take | Request::Read => {}
        }
        Ok(Reply::Done)
    }

    fn begin(&self) -> io::Result<()> {
        let fuse = self.fuse();
        fs::create_dir_all(&fuse)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let fd = "fd=1,rootmode=40000,user_id=0,group_id=0";
        mount(Some("plugpull"), &fuse, Some("fuse"), flags, Some(fd))
            .map_err(io::Error::from)
            .map_err(during("mounting the image"))?;
        // From here on the server alone has it open: its end is the end of the image.
        dup2_stdout(OpenOptions::new().write(true).open("/dev/null")?)?;
        Ok(())
    }

    fn attach(&mut self, image: &str, mkfs: &[String]) -> io::Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.fuse().join(image))
            .map_err(during("the image"))?;
        let device =
            LoopDevice::attach(&file, Path::new(PLACE)).map_err(during("a loop device"))?;
        if let Some((program, args)) = mkfs.split_first() {
            make(program, args, &device.path)?;
        }
        self.device = Some(device);
        Ok(())
    }

    fn mount(&mut self, kind: String, options: &str) -> io::Result<()> {
        let top = self.top();
        fs::create_dir_all(&top)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let device = self.device.as_ref().map(|device| device.path.as_path());
        mount(device, &top, Some(kind.as_str()), flags, Some(options))
            .map_err(io::Error::from)
            .map_err(during(format!("mounting {kind}")))?;
        self.kind = kind;
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<Reply> {
        let read = trace::read_from(bytes, Path::new("operations"), |_| Tree::new(0, 0, 0));
        let read = read.map_err(io::Error::other)?;
        self.records = read.log.records().to_vec();
        Ok(Reply::Done)
    }

    fn prepare(&mut self, before: usize) -> io::Result<()> {
        fs::create_dir(self.data())?;
        self.player = Player::new(self.data());
        // As the root of an empty disk.
        set_mode(&self.data(), 0o755)?;
        fs::write(self.top().join(OTHER), "0")?;
        for at in 0..before.min(self.records.len()) {
            let record = self.records[at].clone();
            let what = format!("{} of {:?}", record.op.name(), record.path);
            self.player.record(&record).map_err(during(what))?;
        }
        // What was there before the first operation was written, and closed, long ago.
        self.player.close_all();
        syncfs(File::open(self.top())?)?;
        Ok(())
    }

    /// Files that are named, in the order of their numbers.
    fn write_back(&mut self, but: &[Ino], pages: &[(Ino, u64)]) -> io::Result<()> {
        for ino in self.player.names.files() {
            if but.contains(&ino) {
                continue;
            }
            if let Some(path) = self.player.path(ino) {
                let file = OpenOptions::new().write(true).open(path)?;
                let of_file = pages.iter().filter(|(of, _)| *of == ino);
                let but: BTreeSet<u64> = of_file.map(|(_, page)| *page).collect();
                let mut from = 0;
                for page in but {
                    if from < page {
                        sys::write_back(&file, from * PAGE as u64..page * PAGE as u64)?;
                    }
                    from = page + 1;
                }
                sys::write_back(&file, from * PAGE as u64..END)?;
            }
        }
        Ok(())
    }

    fn commit(&self) -> io::Result<()> {
        if self.kind == "btrfs" {
            return match sys::commit_btrfs(File::open(self.top())?) {
                // There is no transaction.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
                done => done,
            };
        }
        // Any change of any inode takes the whole journal along.
        let other = self.top().join(OTHER);
        let file = OpenOptions::new().append(true).open(other)?;
        io::Write::write_all(&mut &file, b"0")?;
        file.sync_all()
    }

    fn unmount(&mut self) -> io::Result<()> {
        self.player.close_all();
        until_free(|| umount2(&self.top(), MntFlags::empty())).map_err(during("unmounting"))?;
        if let (Some(device), "btrfs") = (&self.device, self.kind.as_str()) {
            let control = OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/btrfs-control")?;
            // It may have forgotten it by itself.
            drop(sys::forget_btrfs(control, &device.path.to_string_lossy()));
        }
        // Its last user lets it go.
        self.device = None;
        until_free(|| umount2(&self.fuse(), MntFlags::empty()))
            .map_err(during("unmounting the image"))
    }
}

/// Makes a filesystem on the device. It ends when the device does.
fn make(program: &str, args: &[String], device: &Path) -> io::Result<()> {
    let made = Command::new(program)
        .args(args)
        .arg(device)
        .stdin(Stdio::null())
        .output()
        .map_err(during(program))?;
    match made.status.success() {
        true => Ok(()),
        false => {
            let why = String::from_utf8_lossy(&made.stderr).trim().to_string();
            Err(io::Error::other(format!("{program}: {why}")))
        }
    }
}

/// Tries again while it is in use: a loop device lets go of its file a moment after its last user.
fn until_free(act: impl Fn() -> nix::Result<()>) -> io::Result<()> {
    let until = Instant::now() + BUSY_FOR;
    loop {
        match act() {
            Err(Errno::EBUSY) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            done => return Ok(done?),
        }
    }
}
