//! The models held to real filesystems: a disk image on the crash filesystem is made into ext4,
//! XFS or btrfs, a short history is done on it, the power is cut between any two block writes with
//! any of those lost that no flush covered, and what the filesystem then recovers must be a state
//! that its model calls legal.
//!
//! Needs root, loop devices and the mkfs programs, and takes minutes, so it runs when it is asked for:
//! `cargo test -p plugpull-sandbox --test blocks -- --include-ignored --test-threads 1`.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::{File as StdFile, OpenOptions};
use std::io::{Seek, SeekFrom, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use plugpull_crashsim::fs::RenameMode::Replace as Over;
use plugpull_crashsim::fs::{Disk, Op};
use plugpull_crashsim::persist::{BTRFS, Device, EXT4, EXT4_WRITEBACK, Index, Model, STRICT, XFS};
use plugpull_crashsim::{fs, persist};
use plugpull_sandbox::fuse::{AdmitAll, CrashFs, Server};
use plugpull_testing::test;
use testing::{Call, Call::*, Run, all_states, visible};

// What the unit tests of the models use to make and to look at histories.
#[allow(dead_code)]
#[path = "../../../crashsim/src/persist/testing_test.rs"]
mod testing;

fn main() -> std::process::ExitCode {
    plugpull_testing::main(|name| match name {
        "root" if !nix::unistd::geteuid().is_root() => Err("this is not root".to_owned()),
        "loop" if !Path::new("/dev/loop-control").exists() => {
            Err("there is no /dev/loop-control".to_owned())
        }
        "root" | "loop" => Ok(()),
        mkfs => plugpull_testing::program(mkfs),
    })
}

type Control = Arc<CrashFs>;

fn mounted_on(disk: Disk) -> Control {
    Arc::new(CrashFs::new(disk, Arc::new(AdmitAll)))
}

/// A real filesystem and its model.
struct Real {
    model: &'static dyn Model,
    kind: &'static str,
    mkfs: &'static [&'static str],
    options: &'static str,
    bytes: u64,
}

const EXT4_DISK: Real = Real {
    model: &EXT4,
    kind: "ext4",
    mkfs: &[
        "mkfs.ext4",
        "-q",
        "-F",
        "-b",
        "4096",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
    ],
    options: "commit=1",
    bytes: 32 << 20,
};
const WRITEBACK_DISK: Real = Real {
    model: &EXT4_WRITEBACK,
    options: "commit=1,data=writeback",
    ..EXT4_DISK
};
const XFS_DISK: Real = Real {
    model: &XFS,
    kind: "xfs",
    mkfs: &["mkfs.xfs", "-q", "-f"],
    options: "rw",
    bytes: 320 << 20,
};
const BTRFS_DISK: Real = Real {
    model: &BTRFS,
    kind: "btrfs",
    mkfs: &["mkfs.btrfs", "-q", "-f"],
    options: "commit=1",
    bytes: 128 << 20,
};

/// What is done on the real filesystem.
#[derive(Clone)]
enum Act {
    /// As in the model.
    Do(Call),
    /// Data of a file is written back, as the kernel may at any time: sync_file_range(2), which
    /// commits no metadata. No call of the model.
    WriteBack(&'static str),
    /// Waits for a flush that the filesystem itself makes: its commit, once a second. No call of
    /// the model.
    Commit,
}
use Act::{Commit, Do, WriteBack};

/// Histories: what is on disk before, and what is done then.
#[expect(clippy::too_many_lines, reason = "it is a table of histories")]
fn histories() -> Vec<(&'static str, Vec<Call>, Vec<Act>)> {
    let base = || {
        vec![
            File("a"),
            Write("a", 0, 100),
            File("o"),
            Write("o", 0, 9000),
        ]
    };
    let other = [Do(File("s")), Do(Append("s", 10)), Do(Fsync("s"))];
    let with = |acts: &[Act]| [acts, &other, &[Commit]].concat();
    vec![
        (
            "replace by rename",
            base(),
            with(&[
                Do(File("b")),
                Do(Write("b", 0, 5000)),
                Do(Rename("b", "a", Over)),
            ]),
        ),
        (
            "new name by rename",
            base(),
            with(&[
                Do(File("b")),
                Do(Write("b", 0, 5000)),
                Do(Rename("b", "c", Over)),
            ]),
        ),
        (
            "append in the last block",
            base(),
            with(&[Do(Append("a", 50))]),
        ),
        (
            "append across the last block",
            base(),
            with(&[Do(Append("o", 6000)), WriteBack("o")]),
        ),
        (
            "appends written back",
            base(),
            with(&[
                Do(File("b")),
                Do(Append("b", 4096)),
                Do(Append("b", 4096)),
                WriteBack("b"),
            ]),
        ),
        (
            "replace by truncate",
            base(),
            with(&[Do(Truncate("a", 0)), Do(Append("a", 300)), WriteBack("a")]),
        ),
        (
            "overwrite",
            base(),
            with(&[Do(Write("o", 0, 8192)), WriteBack("o"), Do(File("n"))]),
        ),
        (
            "fdatasync after a rename",
            base(),
            vec![
                Do(Rename("a", "c", Over)),
                Do(Fdatasync("c")),
                Do(File("n")),
                Commit,
            ],
        ),
        (
            "fsync of an unchanged file",
            base(),
            vec![
                Do(File("n")),
                Do(Fsync("o")),
                Do(Unlink("a")),
                Do(FsyncDir("")),
                Commit,
            ],
        ),
        (
            "directories",
            base(),
            with(&[
                Do(Dir("d")),
                Do(File("d/a")),
                Do(Append("d/a", 30)),
                Do(Rename("o", "d/o", Over)),
                Do(FsyncDir("d")),
            ]),
        ),
        (
            "truncate up and down",
            base(),
            with(&[
                Do(Append("a", 8000)),
                Do(Truncate("a", 12_000)),
                Do(Truncate("a", 2000)),
                WriteBack("a"),
            ]),
        ),
    ]
}

/// Runs a program; its output when it fails is the error.
fn run(program: &str, args: &[&OsStr]) -> Result<String, String> {
    let done = Command::new(program).args(args).output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&done.stdout).trim().to_string();
    if done.status.success() {
        Ok(said)
    } else {
        let error = String::from_utf8_lossy(&done.stderr).trim().to_string();
        Err(format!("{program} {args:?}: {error}"))
    }
}

/// A crash filesystem with an image, mounted; and on it a loop device, and its filesystem mounted.
/// All goes with the value.
struct Mounted {
    disk: Option<PathBuf>,
    fuse: PathBuf,
    device: Option<String>,
    top: PathBuf,
    server: Option<Server>,
}

impl Mounted {
    fn new(fs: &Control, dir: &Path) -> Self {
        let (fuse, top) = (dir.join("fuse"), dir.join("top"));
        for directory in [&fuse, &top] {
            std::fs::create_dir_all(directory).unwrap();
        }
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap();
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(
            Some("plugpull"),
            &fuse,
            Some("fuse"),
            flags,
            Some(options.as_str()),
        )
        .unwrap();
        let fs = fs.clone();
        let server = Server::start(fs, OwnedFd::from(device), None).unwrap();
        Self {
            disk: None,
            fuse,
            device: None,
            top,
            server: Some(server),
        }
    }

    fn attach(&mut self) {
        let image = self.fuse.join("disk");
        let args = ["--direct-io=on", "--show", "-f"].map(OsStr::new);
        // A device that was let go of is free a moment later.
        let until = Instant::now() + Duration::from_secs(5);
        self.device = loop {
            match run("losetup", &[&args[..], &[image.as_os_str()]].concat()) {
                Ok(device) => break Some(device),
                Err(error) if Instant::now() > until => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
    }

    fn mount(&mut self, real: &Real) -> Result<(), String> {
        let device = self.device.clone().unwrap_or_default();
        let args = ["-t", real.kind, "-o", real.options, &device].map(OsStr::new);
        run("mount", &[&args[..], &[self.top.as_os_str()]].concat())?;
        self.disk = Some(self.top.clone());
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(top) = &self.disk
            && let Err(error) = umount2(top, MntFlags::empty())
        {
            eprintln!("{}: {error}", top.display());
        }
        if let Some(device) = &self.device
            && let Err(error) = run("losetup", &["-d".as_ref(), device.as_ref()])
        {
            eprintln!("{error}");
        }
        // The loop device lets go of the image a moment later.
        let until = Instant::now() + Duration::from_secs(5);
        while umount2(&self.fuse, MntFlags::empty()).is_err() {
            if Instant::now() > until {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let served = self.server.take().map(Server::join);
        if let (Some(Err(failure)), false) = (served, std::thread::panicking()) {
            panic!("{failure}");
        }
    }
}

/// Does a call on a real filesystem as [`Run`] does it on the model's.
fn really(top: &Path, call: &Call, written: &mut u8) -> std::io::Result<()> {
    let open = |path: &str| OpenOptions::new().write(true).open(top.join(path));
    let mut put = |mut file: StdFile, len: usize| {
        *written = *written % 250 + 1;
        file.write_all(&vec![*written; len])
    };
    match call {
        File(path) => StdFile::create_new(top.join(path)).map(drop),
        Dir(path) => std::fs::create_dir(top.join(path)),
        Unlink(path) => std::fs::remove_file(top.join(path)),
        Rename(from, to, _) => std::fs::rename(top.join(from), top.join(to)),
        Write(path, at, len) => {
            let mut file = open(path)?;
            file.seek(SeekFrom::Start(*at))?;
            put(file, *len)
        }
        Append(path, len) => {
            let mut file = open(path)?;
            file.seek(SeekFrom::End(0))?;
            put(file, *len)
        }
        Truncate(path, size) => open(path)?.set_len(*size),
        Fsync(path) => open(path)?.sync_all(),
        Fdatasync(path) => open(path)?.sync_data(),
        FsyncDir(path) => StdFile::open(top.join(path))?.sync_all(),
        other => panic!("{other:?} is in no history"),
    }
}

type Shown = BTreeMap<String, Option<Vec<u8>>>;

/// What a real filesystem shows: files with their bytes, directories with none.
fn shown(top: &Path) -> std::io::Result<Shown> {
    let mut all = Shown::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(top.join(&directory))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "lost+found" {
                continue;
            }
            let path = if directory.is_empty() {
                name
            } else {
                format!("{directory}/{name}")
            };
            if entry.file_type()?.is_dir() {
                directories.push(path.clone());
                all.insert(path, None);
            } else {
                all.insert(path, Some(std::fs::read(entry.path())?));
            }
        }
    }
    Ok(all)
}

/// What the model allows after some calls.
fn legal(run: &Run, model: &dyn Model) -> BTreeSet<Shown> {
    let device = Device::with_sector(4096).unwrap();
    let states = all_states(run, model, device);
    let shown = states.iter().map(|tree| {
        let seen = visible(tree)
            .into_iter()
            .filter(|(path, _)| !path.is_empty());
        seen.map(|(path, seen)| {
            let file = tree.content(seen.ino).is_ok();
            (path, file.then_some(seen.bytes))
        })
        .collect()
    });
    shown.collect()
}

/// In short: every path with its bytes in runs.
fn short(shown: &Shown) -> String {
    let one = |(path, bytes): (&String, &Option<Vec<u8>>)| {
        let runs = bytes.iter().flat_map(|bytes| bytes.chunk_by(|a, b| a == b));
        let runs: Vec<String> = runs
            .map(|run| format!("{}*{}", run[0], run.len()))
            .collect();
        format!("{path}: {}", runs.join(" "))
    };
    shown.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What was seen of one history.
#[derive(Default)]
struct Tried {
    states: usize,
    contents: BTreeSet<Shown>,
    legal: BTreeSet<Shown>,
    illegal: BTreeSet<String>,
}

/// The real filesystem, empty, on an image that is no part of what is lost.
fn formatted(real: &Real, image: &Control, dir: &Path) -> Mounted {
    let mut mounted = Mounted::new(image, dir);
    StdFile::create(mounted.fuse.join("disk"))
        .unwrap()
        .set_len(real.bytes)
        .unwrap();
    for synced in [mounted.fuse.join("disk"), mounted.fuse.clone()] {
        StdFile::open(synced).unwrap().sync_all().unwrap();
    }
    mounted.attach();
    let device = mounted.device.clone().unwrap();
    let mkfs: Vec<&OsStr> = real.mkfs[1..].iter().map(OsStr::new).collect();
    run(real.mkfs[0], &[&mkfs[..], &[device.as_ref()]].concat()).unwrap();
    mounted.mount(real).unwrap();
    mounted
}

fn write_back(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let flags = libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open, and the call takes no pointer.
    #[allow(unsafe_code)]
    let done = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) };
    assert_eq!(done, 0);
}

/// Waits for the filesystem's own flush, and goes on where it has nothing to flush.
fn await_flush(image: &Control) {
    let from = image.inspect(|_, log| log.records().len());
    let until = Instant::now() + Duration::from_millis(2500);
    let flushed = || {
        image.inspect(|_, log| {
            log.records()[from..]
                .iter()
                .any(|r| matches!(r.op, Op::Sync { .. }))
        })
    };
    while !flushed() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn try_history(real: &Real, base: &[Call], acts: &[Act], most: usize) -> Tried {
    let dir = tempfile::tempdir().unwrap();
    let image = mounted_on(Disk::empty((0, 0)));
    let mut model = Run::new(base);
    let mounted = formatted(real, &image, dir.path());
    let mut written = 0;
    for call in base {
        really(&mounted.top, call, &mut written).unwrap();
    }
    run("sync", &["-f".as_ref(), mounted.top.as_os_str()]).unwrap();
    model.sync_all();
    let length = || image.inspect(|_, log| log.records().len());
    let first = length();
    let mut legal_after = vec![legal(&model, real.model)];
    // When each call was over, on the image's clock.
    let mut over = vec![first];
    for act in acts {
        match act {
            Do(call) => {
                really(&mounted.top, call, &mut written).unwrap();
                model.call(call);
                over.push(length());
                legal_after.push(legal(&model, real.model));
            }
            WriteBack(path) => write_back(&mounted.top.join(path)),
            Commit => await_flush(&image),
        }
    }
    let last = length();
    drop(mounted);

    let mut tried = Tried::default();
    let mut seen = HashSet::new();
    let states = image.inspect(|_, log| {
        let index = Index::new(log, &STRICT, Device::with_sector(4096).unwrap());
        let mut states = Vec::new();
        for point in first..=last {
            let window = index.window(point);
            for choice in window.loss_sets(3, point as u64, usize::MAX) {
                let state = window.state(&choice).tree;
                // Right after a call, and at the end: not to be missed.
                let telling = choice.is_empty() && (over.contains(&point) || point == last);
                if seen.insert(state.digest()) || telling {
                    states.push((telling, point, state));
                }
            }
        }
        states
    });
    let every = states.len().div_ceil(most).max(1);
    let sample = states.into_iter().enumerate();
    let sample = sample.filter(|(n, (telling, ..))| *telling || n % every == 0);
    for (_, (_, point, tree)) in sample {
        // Steps over before the cut, and the one under way.
        let done = over.partition_point(|end| *end <= point).saturating_sub(1);
        let fs = mounted_on(Disk::new(tree, Instant::now(), 0));
        let mut mounted = Mounted::new(&fs, dir.path());
        mounted.attach();
        mounted.mount(real).unwrap();
        let shown = shown(&mounted.top).unwrap();
        drop(mounted);
        tried.states += 1;
        let legal = legal_after[done..].iter().take(2);
        if !legal.clone().any(|legal| legal.contains(&shown)) {
            tried
                .illegal
                .insert(format!("after {done} calls: {}", short(&shown)));
        }
        tried.contents.insert(shown);
        tried.legal.extend(legal.flatten().cloned());
    }
    tried
}

fn hold(real: &Real) {
    // Mounts of this thread are its own, and go with it.
    unshare(CloneFlags::CLONE_NEWNS).expect("this test needs root");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    let most = std::env::var("PLUGPULL_BLOCK_STATES").ok();
    let most = most.and_then(|most| most.parse().ok()).unwrap_or(150);
    let mut illegal = Vec::new();
    for (name, base, acts) in histories() {
        let tried = try_history(real, &base, &acts, most);
        println!(
            "{} {name}: {} block states, {} contents seen of {} legal, {} illegal",
            real.model.name(),
            tried.states,
            tried.contents.len(),
            tried.legal.len(),
            tried.illegal.len()
        );
        for shown in &tried.contents {
            println!("    seen: {}", short(shown));
        }
        for what in &tried.illegal {
            println!("    ILLEGAL {what}");
        }
        illegal.extend(
            tried
                .illegal
                .into_iter()
                .map(|what| format!("{name}: {what}")),
        );
    }
    assert_eq!(
        illegal, [""; 0],
        "{} shows what its model calls illegal",
        real.kind
    );
}

#[test(needs = "root loop mkfs.ext4", ignore = "takes minutes")]
fn blocks_of_ext4() {
    hold(&EXT4_DISK);
}

#[test(needs = "root loop mkfs.ext4", ignore = "takes minutes")]
fn blocks_of_ext4_writeback() {
    hold(&WRITEBACK_DISK);
}

#[test(needs = "root loop mkfs.xfs", ignore = "takes minutes")]
fn blocks_of_xfs() {
    hold(&XFS_DISK);
}

#[test(needs = "root loop mkfs.btrfs", ignore = "takes minutes")]
fn blocks_of_btrfs() {
    hold(&BTRFS_DISK);
}
