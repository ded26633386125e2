//! The machine's side: what it mounts, and the operations that it does on the real filesystem.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FallocateFlags, RenameFlags, fallocate, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, umask, utimensat};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::unistd::{dup2_stdout, setsid, syncfs};
use plugpull_crashsim::fs::{Attrs, Ino, NewNode, Op, PAGE, Record, Times, Tree};
use plugpull_crashsim::trace;
use rustix::fs::{XattrFlags, lremovexattr, lsetxattr};

use crate::loop_device::LoopDevice;
use crate::names::Names;
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
    names: Names,
    /// Files that are open since they were first written: closing one may write it back, and a trace does
    /// not say when that was.
    open: HashMap<Ino, File>,
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
                return self.record(&record).map_err(during(what));
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
        // As the root of an empty disk.
        set_mode(&self.data(), 0o755)?;
        fs::write(self.top().join(OTHER), "0")?;
        for at in 0..before.min(self.records.len()) {
            let record = self.records[at].clone();
            let what = format!("{} of {:?}", record.op.name(), record.path);
            self.record(&record).map_err(during(what))?;
        }
        // What was there before the first operation was written, and closed, long ago.
        self.open.clear();
        syncfs(File::open(self.top())?)?;
        Ok(())
    }

    /// Files that are named, in the order of their numbers.
    fn write_back(&mut self, but: &[Ino], pages: &[(Ino, u64)]) -> io::Result<()> {
        for ino in self.names.files() {
            if but.contains(&ino) {
                continue;
            }
            if let Some(path) = self.path(ino) {
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
        self.open.clear();
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

    fn path(&self, ino: Ino) -> Option<PathBuf> {
        self.names.path(ino).map(|path| self.data().join(path))
    }

    fn place(&self, (parent, name): (Ino, &OsStr)) -> io::Result<PathBuf> {
        let parent = self.path(parent);
        let parent = parent.ok_or_else(|| io::Error::other("its directory has no name"))?;
        Ok(parent.join(name))
    }

    /// The file, open for writing.
    fn file(&mut self, ino: Ino) -> io::Result<Option<&mut File>> {
        let Some(path) = self.path(ino) else {
            return Ok(None);
        };
        match self.open.entry(ino) {
            Entry::Occupied(open) => Ok(Some(open.into_mut())),
            Entry::Vacant(free) => {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(libc::O_NOFOLLOW)
                    .open(path)?;
                Ok(Some(free.insert(file)))
            }
        }
    }

    /// Does what was recorded, as a call. What is no call, and what is about a file without a name, is left
    /// out.
    fn record(&mut self, record: &Record) -> io::Result<Reply> {
        let done = match &record.op {
            Op::Create { .. } | Op::Link { .. } | Op::Unlink { .. } | Op::Rename { .. } => {
                self.rename_or_make(&record.op)?;
                self.names.change(&record.op);
                true
            }
            Op::Write { ino, data, .. } => {
                let bytes = data.to_vec();
                self.on_file(*ino, |file| file.write_all_at(&bytes, data.offset()))?
            }
            Op::Truncate { ino, size, .. } => self.on_file(*ino, |file| file.set_len(*size))?,
            Op::Allocate {
                ino,
                offset,
                len,
                old_size,
                size,
            } => {
                let keep = (old_size == size).then_some(FallocateFlags::FALLOC_FL_KEEP_SIZE);
                self.allocate(
                    *ino,
                    keep.unwrap_or(FallocateFlags::empty()),
                    (*offset, *len),
                )?
            }
            Op::Zero {
                ino,
                offset,
                len,
                punch,
                old_size,
                size,
            } => {
                let mut flags = match punch {
                    true => FallocateFlags::FALLOC_FL_PUNCH_HOLE,
                    false => FallocateFlags::FALLOC_FL_ZERO_RANGE,
                };
                if old_size == size {
                    flags |= FallocateFlags::FALLOC_FL_KEEP_SIZE;
                }
                self.allocate(*ino, flags, (*offset, *len))?
            }
            Op::SetAttrs { ino, attrs } => self.on_path(*ino, |path| set_attrs(path, attrs))?,
            Op::Touch { ino, times } => self.on_path(*ino, |path| touch(path, times))?,
            Op::SetXattr { ino, name, value } => self.on_path(*ino, |path| match value {
                Some(value) => Ok(lsetxattr(path, name, value, XattrFlags::empty())?),
                None => Ok(lremovexattr(path, name)?),
            })?,
            Op::Sync { ino, dir: true, .. } => {
                self.on_path(*ino, |path| File::open(path)?.sync_all())?
            }
            Op::Sync { ino, data_only, .. } => self.on_file(*ino, |file| match data_only {
                true => file.sync_data(),
                false => file.sync_all(),
            })?,
            Op::SyncAll { .. } => {
                syncfs(File::open(self.top())?)?;
                true
            }
            Op::SyncFailed { .. }
            | Op::SyncAllFailed
            | Op::CallGoesOn { .. }
            | Op::CacheSettled
            | Op::CacheUnsettled => false,
        };
        Ok(match done {
            true => Reply::Done,
            false => Reply::Skipped,
        })
    }

    fn on_file(&mut self, ino: Ino, act: impl FnOnce(&File) -> io::Result<()>) -> io::Result<bool> {
        let Some(file) = self.file(ino)? else {
            return Ok(false);
        };
        act(&*file).map(|()| true)
    }

    fn on_path(&mut self, ino: Ino, act: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<bool> {
        let Some(path) = self.path(ino) else {
            return Ok(false);
        };
        act(&path).map(|()| true)
    }

    fn allocate(
        &mut self,
        ino: Ino,
        flags: FallocateFlags,
        (offset, len): (u64, u64),
    ) -> io::Result<bool> {
        let range = (i64::try_from(offset), i64::try_from(len));
        let (Ok(offset), Ok(len)) = range else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.on_file(ino, |file| Ok(fallocate(file, flags, offset, len)?))
    }

    /// Changes names as the operation did.
    fn rename_or_make(&mut self, op: &Op) -> io::Result<()> {
        match op {
            Op::Create {
                parent,
                name,
                node,
                mode,
                owner,
                ..
            } => {
                let path = self.place((*parent, name))?;
                create(&path, node, *mode)?;
                let made = path.symlink_metadata()?;
                if (made.uid(), made.gid()) != (owner.uid, owner.gid) {
                    lchown(&path, Some(owner.uid), Some(owner.gid))?;
                    if !matches!(node, NewNode::Symlink(_)) {
                        set_mode(&path, *mode)?;
                    }
                }
                Ok(())
            }
            Op::Link { ino, parent, name } => {
                let from = self.path(*ino);
                let from = from.ok_or_else(|| io::Error::other("it has no name any more"))?;
                fs::hard_link(from, self.place((*parent, name))?)
            }
            Op::Unlink {
                parent,
                name,
                ino,
                dir,
            } => {
                let path = self.place((*parent, name))?;
                match dir {
                    true => fs::remove_dir(path),
                    false => {
                        // Else its blocks stay in use until the end.
                        if self.names.is_last(*ino) {
                            self.open.remove(ino);
                        }
                        fs::remove_file(path)
                    }
                }
            }
            Op::Rename {
                from, to, exchange, ..
            } => {
                let (from, to) = (self.place((from.0, &from.1))?, self.place((to.0, &to.1))?);
                let flags = match exchange {
                    true => RenameFlags::RENAME_EXCHANGE,
                    false => RenameFlags::empty(),
                };
                Ok(renameat2(AT_FDCWD, &from, AT_FDCWD, &to, flags)?)
            }
            _ => Ok(()),
        }
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))
}

fn create(path: &Path, node: &NewNode, mode: u32) -> io::Result<()> {
    match node {
        NewNode::File => {
            let mut file = OpenOptions::new();
            let file = file.write(true).create_new(true).mode(mode & 0o7777);
            file.open(path).map(drop)
        }
        NewNode::Dir => {
            let mut directory = fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut directory, mode & 0o7777);
            directory.create(path)
        }
        NewNode::Symlink(to) => symlink(to, path),
        NewNode::Special { rdev } => {
            let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
            let mode = Mode::from_bits_truncate(mode & 0o7777);
            Ok(mknod(path, kind, mode, u64::from(*rdev))?)
        }
    }
}

fn set_attrs(path: &Path, attrs: &Attrs) -> io::Result<()> {
    if attrs.uid.is_some() || attrs.gid.is_some() {
        lchown(path, attrs.uid, attrs.gid)?;
    }
    if let Some(mode) = attrs.mode {
        set_mode(path, mode)?;
    }
    let time = |nanos: Option<i64>| nanos.map_or(TimeSpec::UTIME_OMIT, TimeSpec::nanoseconds);
    set_times(path, time(attrs.atime), time(attrs.mtime))
}

fn touch(path: &Path, times: &Times) -> io::Result<()> {
    let time = |set: bool| match set {
        true => TimeSpec::UTIME_NOW,
        false => TimeSpec::UTIME_OMIT,
    };
    let (atime, mtime) = (times.atime.is_some(), times.mtime.is_some());
    set_times(path, time(atime), time(mtime))
}

/// Where both are left out the kernel changes nothing.
fn set_times(path: &Path, atime: TimeSpec, mtime: TimeSpec) -> io::Result<()> {
    let link = UtimensatFlags::NoFollowSymlink;
    Ok(utimensat(AT_FDCWD, path, &atime, &mtime, link)?)
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
