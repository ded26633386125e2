//! What a plugpull has of the machine while it runs, and could leave behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where plugpull mounts, in its own namespace: nothing of it may show in the machine's.
const PLACES: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];

/// What one plugpull has of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traces {
    /// Every mount of the machine.
    mounts: BTreeSet<String>,
    /// Every TCP port of this user that somebody listens on, and the inode of the socket: a port
    /// that is closed and opened again is another one.
    pub(crate) ports: BTreeSet<(String, String)>,
    pub(crate) directories: BTreeSet<PathBuf>,
    pub(crate) cgroups: BTreeSet<PathBuf>,
    pub(crate) processes: BTreeSet<u32>,
}

impl Traces {
    /// Looks for the processes that run `program`, for the cgroups of the plugpull with this pid,
    /// for what lies in `directories`, and all over the machine for mounts and ports.
    pub(crate) fn look(program: &Path, pid: Option<u32>, directories: &[&Path]) -> Self {
        let places = directories.iter().copied().chain(PLACES.map(Path::new));
        Self {
            mounts: lines("/proc/mounts").collect(),
            ports: ports(),
            directories: places
                .flat_map(entries)
                .filter(|path| !is_kept(path))
                .collect(),
            cgroups: pid.map(cgroups).unwrap_or_default(),
            processes: running(program),
        }
    }

    /// What is here and was not there before. Other programs go on meanwhile: their ports do not
    /// count.
    pub(crate) fn since(&self, before: &Self) -> Self {
        fn new<T: Ord + Clone>(now: &BTreeSet<T>, then: &BTreeSet<T>) -> BTreeSet<T> {
            now.difference(then).cloned().collect()
        }
        let mut ports = new(&self.ports, &before.ports);
        if !ports.is_empty() {
            let strange = sockets_of_others(&self.processes);
            ports.retain(|(_, inode)| !strange.contains(inode));
        }
        Self {
            mounts: new(&self.mounts, &before.mounts),
            ports,
            directories: new(&self.directories, &before.directories),
            cgroups: new(&self.cgroups, &before.cgroups),
            processes: new(&self.processes, &before.processes),
        }
    }
}

fn lines(path: &str) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(str::to_string)
        .collect::<Vec<_>>()
        .into_iter()
}

/// Run files stay in the working directory after a run, and nothing else does.
fn is_kept(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == ".plugpull")
}

/// The paths in a directory; none where it cannot be read.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn ports() -> BTreeSet<(String, String)> {
    let user = nix::unistd::geteuid().to_string();
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .flat_map(lines)
        .filter_map(|line| {
            // Number, local and remote address, state (0A listens), queues, timer, retransmits,
            // user, timeout, inode.
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = *fields.get(3)? == "0A" && *fields.get(7)? == user;
            listens.then_some((fields[1].to_string(), fields.get(9)?.to_string()))
        })
        .collect()
}

/// The inodes of the sockets that processes other than these and this one have open.
fn sockets_of_others(ours: &BTreeSet<u32>) -> BTreeSet<String> {
    processes()
        .filter(|pid| !ours.contains(pid) && *pid != std::process::id())
        .flat_map(|pid| entries(Path::new(&format!("/proc/{pid}/fd"))))
        .filter_map(|link| {
            let name = fs::read_link(link).ok()?;
            let inode = name.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_string())
        })
        .collect()
}

fn cgroups(pid: u32) -> BTreeSet<PathBuf> {
    fn walk(directory: &Path, name: &str, found: &mut BTreeSet<PathBuf>) {
        for path in entries(directory)
            .into_iter()
            .filter(|path| path.is_dir() && !path.is_symlink())
        {
            let own = path
                .file_name()
                .is_some_and(|own| own.to_string_lossy().starts_with(name));
            walk(&path, name, found);
            if own {
                found.insert(path);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(
        Path::new("/sys/fs/cgroup"),
        &format!("plugpull-{pid}-"),
        &mut found,
    );
    found
}

fn processes() -> impl Iterator<Item = u32> {
    let names = entries(Path::new("/proc")).into_iter();
    names.filter_map(|path| path.file_name()?.to_str()?.parse().ok())
}

/// The processes that run this very file or a driver that lies beside it, whatever they call
/// themselves and in whatever namespaces they are.
pub(crate) fn running(program: &Path) -> BTreeSet<u32> {
    let file = |path: &Path| {
        fs::metadata(path)
            .map(|about| (about.dev(), about.ino()))
            .ok()
    };
    let wanted = file(program);
    assert!(wanted.is_some(), "{} is not there", program.display());
    let driver = program.with_file_name("plugpull-driver-reference");
    processes()
        .filter(|pid| {
            let link = PathBuf::from(format!("/proc/{pid}/exe"));
            let runs = file(&link);
            // In the sandbox a layer above the directory gives the file another number.
            let path = fs::read_link(&link).unwrap_or_default();
            (runs.is_some() && runs == wanted) || path == driver
        })
        .collect()
}
