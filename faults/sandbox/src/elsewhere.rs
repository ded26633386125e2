//! Which files processes of a sandbox wrote outside of the data directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How many of them are named.
const NAMED: usize = 5;
/// How many names are looked at, at most: the places may hold anything.
const LOOKED_AT: usize = 100_000;
/// The clock of a filesystem is behind the machine's by up to one of its ticks.
const TICK: Duration = Duration::from_millis(20);
/// The System V shared memory of an IPC namespace (proc(5)).
const SHARED_MEMORY: &str = "/proc/sysvipc/shm";

/// What was written outside of the data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenElsewhere {
    /// The first of them: paths as processes of the sandbox see them, or what else it is.
    pub named: Vec<String>,
    /// How many there are.
    pub count: u64,
}

impl WrittenElsewhere {
    fn note(&mut self, name: String) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(name);
        }
    }
}

/// A directory that processes can write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WritablePlace {
    /// Where what they write lies.
    pub(super) at: PathBuf,
    /// Where they see it.
    pub(super) shown: PathBuf,
    /// Names in it that are ours.
    pub(super) not: Vec<PathBuf>,
}

impl WritablePlace {
    /// One that lies where it is seen.
    pub(super) fn plain(path: &Path) -> Self {
        Self {
            at: path.to_path_buf(),
            shown: path.to_path_buf(),
            not: Vec::new(),
        }
    }
}

/// Nanoseconds since 1970 of the moment from which on everything counts as written since now.
pub(super) fn moment() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default().saturating_sub(TICK);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What lies in these places and in shared memory, and was written since this moment.
pub(super) fn written(places: &[WritablePlace], since: u64) -> WrittenElsewhere {
    let mut found = WrittenElsewhere::default();
    let mut left = LOOKED_AT;
    for place in places {
        walk(place, &place.at, since, &mut found, &mut left);
    }
    let table = fs::read_to_string(SHARED_MEMORY).unwrap_or_default();
    for (id, size) in segments(&table, since / 1_000_000_000) {
        found.note(format!("System V shared memory {id} ({size} bytes)"));
    }
    found
}

/// Looks at a directory and at those in it, in the order of names. What cannot be read is left out.
fn walk(
    place: &WritablePlace,
    directory: &Path,
    since: u64,
    found: &mut WrittenElsewhere,
    left: &mut usize,
) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        if place.not.contains(&path) || *left == 0 {
            continue;
        }
        *left -= 1;
        if meta.is_dir() {
            walk(place, &path, since, found, left);
        } else if meta.is_file() && changed(&meta) >= since {
            let below = path.strip_prefix(&place.at).unwrap_or(&path);
            found.note(place.shown.join(below).display().to_string());
        }
    }
}

/// When a file was last changed, in nanoseconds since 1970.
fn changed(meta: &fs::Metadata) -> u64 {
    let seconds = u64::try_from(meta.ctime()).unwrap_or(0);
    let nanos = u64::try_from(meta.ctime_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The numbers and sizes of the segments that were made or attached since this second.
fn segments(table: &str, since: u64) -> Vec<(String, u64)> {
    let mut lines = table.lines();
    let head: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let column = |name: &str| head.iter().position(|head| *head == name);
    let (Some(id), Some(size)) = (column("shmid"), column("size")) else {
        return Vec::new();
    };
    let times = [column("atime"), column("ctime")];
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
            let recent = times.iter().flatten().any(|at| number(*at) >= Some(since));
            recent.then(|| Some((fields.get(id)?.to_string(), number(size)?)))?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_written_since_are_named_by_where_they_are_seen() {
        let place = tempfile::tempdir().expect("a directory");
        let at = place.path().to_path_buf();
        for name in ["ours", "a", "b/c", "b/d", "e", "f", "g"] {
            let path = at.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, name).expect("a file");
        }
        let places = [WritablePlace {
            shown: "/tmp".into(),
            not: vec![at.join("ours")],
            at,
        }];
        let found = written(&places, 0);
        assert_eq!(
            found.named[..5],
            ["/tmp/a", "/tmp/b/c", "/tmp/b/d", "/tmp/e", "/tmp/f"]
        );
        assert!(found.count >= 6 && found.named.len() == NAMED, "{found:?}");
        let later = moment() + 3_600_000_000_000;
        assert!(written(&places, later).named.is_empty());
    }

    #[test]
    fn shared_memory_is_read_from_its_table() {
        let table = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n\
                     16962          0   600                 65536    11    11      0     0     0     0     0 1700000100 1700000101 1700000100                  4096                     0\n\
                     16963          1   600                  4096    11    11      0     0     0     0     0 1600000000          0 1600000000                  4096                     0\n";
        assert_eq!(segments(table, 1_700_000_000), [("0".to_owned(), 65536)]);
        assert!(segments("", 0).is_empty());
    }
}
