//! Cgroups with a memory limit, of version 2 or version 1.
//!
//! Sources: `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst` of the kernel.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::mount_table::unescape;

/// How long the kernel may take to let go of a cgroup whose processes are dead.
const REMOVE_WITHIN: Duration = Duration::from_secs(2);

/// The two interfaces of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupVersion {
    /// A hierarchy of the memory controller's own.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A cgroup of plugpull's own. Dropping it removes nothing: [`Cgroup::remove`] does.
#[derive(Clone, Debug)]
pub(super) struct Cgroup {
    pub(super) version: CgroupVersion,
    pub(super) dir: PathBuf,
}

/// A mounted hierarchy that may hold the memory controller, and our place in it.
struct Hierarchy {
    version: CgroupVersion,
    /// Where it is mounted.
    top: PathBuf,
    /// The cgroup of this process.
    here: PathBuf,
}

impl Cgroup {
    /// Makes a cgroup for the plugpull with pid `supervisor`, as near to this process's own
    /// cgroup as is allowed, and removes those that dead plugpulls left there. The error says
    /// what was tried.
    pub(super) fn make(supervisor: u32, number: u64) -> Result<(Self, File), String> {
        let hierarchies = hierarchies().map_err(|error| format!("reading /proc/self: {error}"))?;
        let space = number_space();
        let mut tried = Vec::new();
        for hierarchy in &hierarchies {
            for parent in hierarchy.here.ancestors() {
                if !parent.starts_with(&hierarchy.top) {
                    break;
                }
                if hierarchy.version == CgroupVersion::V2 && !hands_memory_down(parent) {
                    tried.push(format!(
                        "{} hands no memory controller down",
                        parent.display()
                    ));
                    continue;
                }
                remove_stale(parent, &space);
                let cgroup = Self {
                    version: hierarchy.version,
                    dir: parent.join(format!("plugpull-{supervisor}-{number}-{space}")),
                };
                match cgroup.create() {
                    Ok(procs) => return Ok((cgroup, procs)),
                    Err(error) => tried.push(format!("{}: {error}", cgroup.dir.display())),
                }
            }
        }
        if tried.is_empty() {
            return Err("no cgroup hierarchy with a memory controller is mounted".into());
        }
        Err(tried.join("; "))
    }

    fn create(&self) -> io::Result<File> {
        fs::create_dir(&self.dir)?;
        let ready = self.prepare();
        if ready.is_err() {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "the error that matters is the first"
            )]
            let _ = fs::remove_dir(&self.dir);
        }
        ready
    }

    /// Sees to it that the limit, once set, means an OOM kill: no swapping, no waiting.
    fn prepare(&self) -> io::Result<File> {
        match self.version {
            CgroupVersion::V1 => {
                fs::write(self.dir.join("memory.swappiness"), "0")?;
                fs::write(self.dir.join("memory.oom_control"), "0")?;
            }
            CgroupVersion::V2 => {
                // Absent in kernels without swap.
                let swap = self.dir.join("memory.swap.max");
                if swap.exists() {
                    fs::write(swap, "0")?;
                }
            }
        }
        self.oom_kills()?;
        self.set_limit(None)?;
        OpenOptions::new()
            .write(true)
            .open(self.dir.join("cgroup.procs"))
    }

    /// Sets the limit in bytes; none takes it away.
    pub(super) fn set_limit(&self, bytes: Option<u64>) -> io::Result<()> {
        let (file, unlimited) = match self.version {
            CgroupVersion::V1 => ("memory.limit_in_bytes", "-1"),
            CgroupVersion::V2 => ("memory.max", "max"),
        };
        let value = bytes.map_or_else(|| unlimited.to_owned(), |bytes| bytes.to_string());
        fs::write(self.dir.join(file), value)
    }

    /// What its processes use, in bytes, with the page cache charged to them.
    pub(super) fn usage(&self) -> io::Result<u64> {
        let file = match self.version {
            CgroupVersion::V1 => "memory.usage_in_bytes",
            CgroupVersion::V2 => "memory.current",
        };
        let text = fs::read_to_string(self.dir.join(file))?;
        text.trim().parse().map_err(io::Error::other)
    }

    /// How many of its processes the kernel has OOM-killed so far.
    pub(super) fn oom_kills(&self) -> io::Result<u64> {
        let file = match self.version {
            CgroupVersion::V1 => "memory.oom_control",
            CgroupVersion::V2 => "memory.events",
        };
        let text = fs::read_to_string(self.dir.join(file))?;
        parse_oom_kills(&text)
            .ok_or_else(|| io::Error::other(format!("{file} counts no OOM kills")))
    }

    /// Removes it. Its processes must be dead; the kernel may need a moment to let go of them.
    pub(super) fn remove(&self) -> io::Result<()> {
        let deadline = Instant::now() + REMOVE_WITHIN;
        loop {
            match fs::remove_dir(&self.dir) {
                Err(error)
                    if error.raw_os_error() == Some(Errno::EBUSY as i32)
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                done => return done,
            }
        }
    }
}

fn parse_oom_kills(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?
        .trim()
        .parse()
        .ok()
}

/// Whether children of this cgroup of version 2 get the memory controller.
fn hands_memory_down(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.subtree_control"))
        .is_ok_and(|text| text.split_ascii_whitespace().any(|name| name == "memory"))
}

/// The number of this process's PID namespace; empty where it cannot be known.
fn number_space() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let text = link.to_string_lossy();
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Removes the empty cgroups of plugpulls that are no more. Those of another PID namespace, as in a
/// container that shares the hierarchy, have process numbers that mean nothing here.
fn remove_stale(parent: &Path, space: &str) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| owner(name, space)) else {
            continue;
        };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "one that still holds processes refuses, and rightly"
            )]
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The pid in the name of one of our cgroups, where it is one of this PID namespace.
fn owner(name: &str, space: &str) -> Option<u32> {
    let parts: Vec<&str> = name.strip_prefix("plugpull-")?.split('-').collect();
    let [pid, number, other] = parts[..] else {
        return None;
    };
    number.parse::<u64>().ok()?;
    (other == space && !space.is_empty()).then(|| pid.parse().ok())?
}

/// The hierarchies to try, version 2 first.
fn hierarchies() -> io::Result<Vec<Hierarchy>> {
    Ok(parse_hierarchies(
        &fs::read_to_string("/proc/self/mountinfo")?,
        &fs::read_to_string("/proc/self/cgroup")?,
    ))
}

/// The fewest bytes that a memory limit over this process leaves; none where there is no limit.
/// Pages of files that the kernel can drop count as left.
pub(super) fn memory_left() -> Option<u64> {
    let hierarchies = hierarchies().unwrap_or_default();
    let left = hierarchies.iter().flat_map(|hierarchy| {
        let own = hierarchy.here.ancestors();
        own.take_while(|dir| dir.starts_with(&hierarchy.top))
            .filter_map(|dir| left_below(dir, hierarchy.version))
    });
    left.min()
}

fn left_below(dir: &Path, version: CgroupVersion) -> Option<u64> {
    let (limit, usage, droppable) = match version {
        CgroupVersion::V1 => (
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
        CgroupVersion::V2 => ("memory.max", "memory.current", "inactive_file"),
    };
    let text = |name: &str| fs::read_to_string(dir.join(name)).ok();
    let number = |name: &str| text(name)?.trim().parse::<u64>().ok();
    // "max" is no number, and so no limit.
    let limit = number(limit)?;
    let droppable = text("memory.stat").and_then(|stat| {
        let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
        let (_, bytes) = lines.find(|(name, _)| *name == droppable)?;
        bytes.parse::<u64>().ok()
    });
    let usage = number(usage).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(droppable.unwrap_or(0))))
}

/// From the tables of mounts (proc(5)) and of this process's cgroups (cgroups(7)).
fn parse_hierarchies(mounts: &str, own: &str) -> Vec<Hierarchy> {
    let mut found = Vec::new();
    for version in [CgroupVersion::V2, CgroupVersion::V1] {
        let hierarchy = mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let kind = right.next()?;
            let options = right.nth(1)?;
            let fits = match version {
                CgroupVersion::V1 => kind == "cgroup" && options.split(',').any(|o| o == "memory"),
                CgroupVersion::V2 => kind == "cgroup2",
            };
            if !fits {
                return None;
            }
            let mut left = left.split(' ');
            let root = unescape(left.nth(3)?);
            let top = unescape(left.next()?);
            let path = own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                let ours = match version {
                    CgroupVersion::V1 => controllers.split(',').any(|name| name == "memory"),
                    CgroupVersion::V2 => controllers.is_empty(),
                };
                ours.then(|| Path::new(path))
            })?;
            // Where only a part of the hierarchy that we are not in is mounted, try its top.
            let here = match path.strip_prefix(&root) {
                Ok(below) => top.join(below),
                Err(_) => top.clone(),
            };
            Some(Hierarchy { version, top, here })
        });
        found.extend(hierarchy);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_with_our_place_in_them() {
        let mounts = "\
30 23 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate
31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
32 23 0:28 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        let own = "4:memory:/docker/x/job\n1:cpu:/\n0::/user.slice";
        let found = parse_hierarchies(mounts, own);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].version, CgroupVersion::V2);
        assert_eq!(
            found[0].here,
            Path::new("/sys/fs/cgroup/unified/user.slice")
        );
        assert_eq!(found[1].version, CgroupVersion::V1);
        assert_eq!(found[1].here, Path::new("/sys/fs/cgroup/memory/job"));
    }

    #[test]
    fn only_our_own_names_have_an_owner() {
        assert_eq!(owner("plugpull-17-3-40", "40"), Some(17));
        assert_eq!(owner("plugpull-17-3-", ""), None);
        for name in [
            "plugpull-17",
            "plugpull-17-3",
            "plugpull-17-3-41",
            "plugpull-x-3-40",
            "plugpull-17-3-40.scope",
            "user-17-3-40",
        ] {
            assert_eq!(owner(name, "40"), None, "{name}");
        }
    }

    #[test]
    fn kills_are_read_from_both_forms() {
        assert_eq!(
            parse_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
            Some(3)
        );
        assert_eq!(
            parse_oom_kills("low 0\noom 2\noom_kill 1\noom_group_kill 0\n"),
            Some(1)
        );
        assert_eq!(parse_oom_kills("oom_kill_disable 0\n"), None);
    }
}
