//! What the machine under the tests can do, and what lies on it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{PLUGPULL, Ran, plugpull};

/// Far beyond what anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Whether the doctor finds this capability. Where it is missing a test has nothing to show, and
/// says so.
pub(crate) fn has(capability: &str) -> bool {
    static FOUND: OnceLock<String> = OnceLock::new();
    let found = FOUND.get_or_init(|| Ran::from(plugpull().arg("doctor").output().unwrap()).stdout);
    let there = found.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(capability) && words.next() == Some("yes")
    });
    if !there {
        eprintln!("not tested: this machine has no {capability}; see `plugpull doctor`");
    }
    there
}

/// Waits until a condition holds.
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What plugpull could leave behind on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traces {
    mounts: BTreeSet<String>,
    pub(crate) ports: BTreeSet<String>,
    pub(crate) folders: BTreeSet<PathBuf>,
    pub(crate) cgroups: BTreeSet<PathBuf>,
    /// The processes that run a program.
    pub(crate) processes: BTreeSet<u32>,
}

impl Traces {
    /// Looks for the processes that run `program`, for everything below `folders`, and all over
    /// the machine for mounts, ports and cgroups.
    pub(crate) fn look(program: &Path, folders: &[&Path]) -> Self {
        let mut traces = Self {
            mounts: lines("/proc/mounts").collect(),
            processes: running(program),
            ..Self::default()
        };
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let listening =
                lines(table).filter(|line| line.split_whitespace().nth(3) == Some("0A"));
            // Local address and inode: a port that is closed and opened again is another one.
            traces.ports.extend(listening.filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                Some(format!("{} {}", fields.get(1)?, fields.get(9)?))
            }));
        }
        for folder in folders.iter().copied().chain(PLACES.map(Path::new)) {
            below(folder, &mut |path| {
                traces.folders.insert(path.to_path_buf());
                false
            });
        }
        below(Path::new("/sys/fs/cgroup"), &mut |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("plugpull-") {
                traces.cgroups.insert(path.to_path_buf());
            }
            path.is_dir() && !path.is_symlink()
        });
        traces
    }

    /// What is here and was not there before.
    pub(crate) fn since(&self, before: &Self) -> Self {
        fn new<T: Ord + Clone>(now: &BTreeSet<T>, then: &BTreeSet<T>) -> BTreeSet<T> {
            now.difference(then).cloned().collect()
        }
        Self {
            mounts: new(&self.mounts, &before.mounts),
            ports: new(&self.ports, &before.ports),
            folders: new(&self.folders, &before.folders),
            cgroups: new(&self.cgroups, &before.cgroups),
            processes: new(&self.processes, &before.processes),
        }
    }
}

/// Where plugpull mounts, in its own namespace: nothing of it may show in the machine's.
const PLACES: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];

fn lines(path: &str) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(str::to_string)
        .collect::<Vec<_>>()
        .into_iter()
}

/// Shows every entry below a folder, and goes into those for which `enter` says so. What vanishes
/// meanwhile is left out.
fn below(folder: &Path, enter: &mut impl FnMut(&Path) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if enter(&entry.path()) {
            below(&entry.path(), enter);
        }
    }
}

/// The processes that run this very file, whatever they call themselves and in whatever
/// namespaces they are.
pub(crate) fn running(program: &Path) -> BTreeSet<u32> {
    let same = |path: &Path| {
        fs::metadata(path)
            .map(|about| (about.dev(), about.ino()))
            .ok()
    };
    let wanted = same(program);
    assert!(wanted.is_some(), "{} is not there", program.display());
    let numbers = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u32>().ok())
        });
    numbers
        .filter(|pid| same(Path::new(&format!("/proc/{pid}/exe"))) == wanted)
        .collect()
}

/// A copy of the binary under test, so that its processes are told from all others, in a folder
/// that every user may enter.
pub(crate) fn own_copy() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("plugpull");
    fs::copy(PLUGPULL, &program).unwrap();
    (folder, program)
}
