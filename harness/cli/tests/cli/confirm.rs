//! `plugpull confirm`: findings on the kernel's own filesystems, those that they show and those that they
//! do not; and that nothing is left of it, whenever it is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use plugpull_testing::test;
use serde_json::Value;

use crate::command_targets::{Made, tested};
use crate::support::machine::await_that;
use crate::support::{Ran, plugpull, text};

/// Replaces its one file by a rename that is made durable, and never syncs what is in it. ext4 writes such a
/// file back at the rename (auto_da_alloc); XFS does not.
const WORK: &str = r#"
import os
place = os.open(".", os.O_RDONLY)
n = 0
if not os.path.exists("config"):
    with open("config", "w") as file:
        file.write("version 0\n" * 300)
        file.flush()
        os.fsync(file.fileno())
    os.fsync(place)
while n < 20:
    n += 1
    with open("new", "w") as file:
        file.write(f"version {os.environ['PLUGPULL_LIFE']}.{n}\n" * 300)
    os.rename("new", "config")
    os.fsync(place)
    print("ack", f"{os.environ['PLUGPULL_LIFE']}.{n}", flush=True)
"#;
const CHECK: &str = r#"
import sys
acked = sys.stdin.read().split()
lines = open("config").read().split("\n")[:-1] if acked else []
if acked and len(lines) != 300:
    print("lost", acked[-1], "config has", len(lines), "lines")
"#;
const TARGET: &str = r#"
name = "config"
[workload]
command = ["python3", "{folder}/work.py"]
[check]
command = ["python3", "{folder}/check.py"]
"#;

/// Explores with these options; the artifact of the first finding.
fn explored(target: &str, options: &str, directory: &Path) -> PathBuf {
    let keep = directory.join("kept");
    let explored = tested("explore", target, options, Some(&keep));
    assert_eq!(explored.ran.code, 1, "{:?}", explored.ran);
    crate::support::artifact(&keep, 1)
}

fn config_finding(directory: &Path) -> (Made, PathBuf) {
    let made = Made::new(TARGET, &[]);
    let target = made.name();
    for (name, script) in [("work.py", WORK), ("check.py", CHECK)] {
        fs::write(Path::new(&target).with_file_name(name), script).unwrap();
    }
    let options = "--model xfs --txns 4 --states 200 --recovery-depth 0 --budget 60s";
    let artifact = explored(&target, options, directory);
    (made, artifact)
}

fn no_dir_fsync(directory: &Path, more: &str) -> PathBuf {
    let options = format!(
        "--set defect=no-dir-fsync --set snapshot_every=16 --txns 30 --states 150 --model strict \
         --recovery-depth 0 --budget 60s {more}"
    );
    explored("reference", &options, directory)
}

struct Confirmed {
    ran: Ran,
    report: Value,
}

impl Confirmed {
    fn of(artifact: &Path, options: &[&str]) -> Self {
        let json = artifact.with_extension("confirmed");
        let ran: Ran = plugpull()
            .arg("confirm")
            .arg(artifact)
            .args(options)
            .arg("--json")
            .arg(&json)
            .output()
            .unwrap()
            .into();
        let report = fs::read(&json).unwrap_or_default();
        Self {
            ran,
            report: serde_json::from_slice(&report).unwrap_or_default(),
        }
    }

    fn answers(&self) -> Vec<(&str, &str)> {
        let all = self.report["filesystems"].as_array();
        let all = all.unwrap_or_else(|| panic!("{:?}", self.ran));
        let answer = |one| (text(one, "filesystem"), text(one, "answer"));
        all.iter().map(answer).collect()
    }
}

#[test(needs = "fuse root loop mkfs.ext4 mkfs.xfs python3")]
fn a_finding_that_xfs_shows_and_ext4_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (_made, artifact) = config_finding(directory.path());
    let kept = directory.path().join("evidence");
    let both = [
        "--filesystem",
        "ext4",
        "--filesystem",
        "xfs",
        "--states",
        "24",
    ];
    let keep = ["--budget", "10m", "--keep", kept.to_str().unwrap()];
    let confirmed = Confirmed::of(&artifact, &[&both[..], &keep[..]].concat());
    assert_eq!(
        confirmed.answers(),
        [("ext4", "not-reached"), ("xfs", "seen")],
        "{:?}",
        confirmed.ran
    );
    assert_eq!(confirmed.ran.code, 1);
    let stdout = &confirmed.ran.stdout;
    assert!(
        stdout.contains("not reached on ext4 (data=ordered, kernel "),
        "{stdout}"
    );
    assert!(stdout.contains("seen on XFS (kernel "), "{stdout}");

    // What is kept is enough to see it again.
    let log = text(&confirmed.report["filesystems"][1], "block_log");
    let again = Confirmed::of(&artifact, &["--block-log", log, "--budget", "10m"]);
    assert_eq!(again.answers(), [("xfs", "seen")], "{:?}", again.ran);
    assert_eq!(again.ran.code, 1);
    fs::write(directory.path().join("empty"), "").unwrap();
    let none = directory.path().join("empty");
    let refused = Confirmed::of(&artifact, &["--block-log", none.to_str().unwrap()]);
    assert_eq!(refused.ran.code, 2, "{:?}", refused.ran);
}

/// Two slots in one sector, written in turn. What was acknowledged is in one of them, unless a device leaves junk
/// beside what it was writing.
const SLOTS_WORK: &str = r#"
import os
place = os.open(".", os.O_RDONLY)
slots = os.open("slots", os.O_RDWR | os.O_CREAT)
if os.fstat(slots).st_size == 0:
    os.pwrite(slots, b"0" * 4096, 0)
    os.fsync(slots)
    os.fsync(place)
for n in range(20):
    value = f"{os.environ['PLUGPULL_LIFE']}.{n}"
    os.pwrite(slots, value.ljust(20).encode(), 100 * (n % 2))
    os.fsync(slots)
    print("ack", value, flush=True)
"#;
const SLOTS_CHECK: &str = r#"
import sys
acked = sys.stdin.read().split()
slots = open("slots", "rb").read() if acked else b""
there = [slots[at:at + 20].decode(errors="replace").strip() for at in (0, 100)]
if acked and acked[-1] not in there:
    print("lost", acked[-1], "the slots have", there)
"#;

/// A finding of junk in a sector. Real filesystems on this device lose the same write, and leave the bytes of before.
#[test(needs = "fuse root loop mkfs.ext4 mkfs.xfs python3")]
fn a_finding_that_no_filesystem_shows() {
    let directory = tempfile::tempdir().unwrap();
    let made = Made::new(TARGET, &[]);
    let target = made.name();
    for (name, script) in [("work.py", SLOTS_WORK), ("check.py", SLOTS_CHECK)] {
        fs::write(Path::new(&target).with_file_name(name), script).unwrap();
    }
    let sound = "--model strict --txns 6 --states 300 --recovery-depth 0 --budget 60s";
    let silent = tested("explore", &target, sound, None);
    assert_eq!(silent.ran.code, 0, "{:?}", silent.ran);
    let options = format!("{sound} --device no-powersafe-overwrite");
    let artifact = explored(&target, &options, directory.path());
    let filesystems = ["--filesystem", "ext4", "--filesystem", "xfs"];
    let options = ["--states", "24", "--budget", "10m"];
    let confirmed = Confirmed::of(&artifact, &[filesystems, options].concat());
    let expected = ["ext4", "xfs"].map(|name| (name, "not-seen"));
    assert_eq!(confirmed.answers(), expected, "{:?}", confirmed.ran);
    assert_eq!(confirmed.ran.code, 0, "{:?}", confirmed.ran);
    let stdout = &confirmed.ran.stdout;
    assert!(stdout.contains("not seen on XFS (kernel "), "{stdout}");
}

#[test(needs = "fuse root loop mkfs.ext4 mkfs.xfs mkfs.btrfs")]
fn what_only_strict_loses_is_reached_on_no_filesystem() {
    let directory = tempfile::tempdir().unwrap();
    let artifact = no_dir_fsync(directory.path(), "");
    let confirmed = Confirmed::of(&artifact, &["--states", "8", "--budget", "10m"]);
    let expected = ["ext4", "xfs", "btrfs"].map(|name| (name, "not-reached"));
    assert_eq!(confirmed.answers(), expected, "{:?}", confirmed.ran);
    for line in confirmed.report["filesystems"].as_array().unwrap() {
        let count = |field: &str| line[field].as_u64().unwrap();
        assert!(count("lost_more") <= count("block_states"), "{line}");
        assert_eq!(
            (count("reached"), count("seen_lost_more")),
            (0, 0),
            "{line}"
        );
    }
    assert_eq!(
        confirmed.ran.code, 3,
        "it was not seen, and that says nothing"
    );
}

#[test(needs = "fuse root loop mkfs.ext4")]
fn an_artifact_without_operations_takes_them_from_its_trace() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let trace = trace.to_str().unwrap();
    let artifact = no_dir_fsync(directory.path(), &format!("--record {trace}"));
    let stored = fs::read(&artifact).unwrap();
    let mut older: Value = serde_json::from_slice(&stored).unwrap();
    assert!(older["operations"]["trace"].is_string());
    older.as_object_mut().unwrap().remove("operations");
    fs::write(&artifact, older.to_string()).unwrap();
    let replayed: Ran = plugpull()
        .arg("replay")
        .arg(&artifact)
        .output()
        .unwrap()
        .into();
    assert_eq!(replayed.code, 1, "an artifact of 0.1: {replayed:?}");

    let ext4 = ["--filesystem", "ext4", "--states", "4", "--budget", "10m"];
    let without = Confirmed::of(&artifact, &ext4);
    assert_eq!(without.ran.code, 2, "{:?}", without.ran);
    assert!(
        without.ran.stderr.contains("--trace FILE"),
        "{:?}",
        without.ran
    );
    let with = Confirmed::of(&artifact, &[&ext4[..], &["--trace", trace]].concat());
    assert_eq!(with.answers(), [("ext4", "not-reached")], "{:?}", with.ran);
}

#[test(needs = "fuse")]
fn what_no_filesystem_has_a_part_in_is_wrong_use() {
    let directory = tempfile::tempdir().unwrap();
    let options = "--set defect=non-atomic-commit --txns 8 --states 60 --model kill --budget 60s";
    let keep = directory.path().join("kept");
    let found = tested("explore", "reference", options, Some(&keep));
    assert_eq!(found.ran.code, 1, "{:?}", found.ran);
    let artifact = crate::support::artifact(&keep, 1);
    let killed = Confirmed::of(&artifact, &[]);
    assert_eq!(killed.ran.code, 2, "{:?}", killed.ran);
    assert!(
        killed.ran.stderr.contains("not of a power loss"),
        "{:?}",
        killed.ran
    );
    let unknown = Confirmed::of(&artifact, &["--filesystem", "ext9"]);
    assert_eq!(unknown.ran.code, 2, "{:?}", unknown.ran);
    assert!(unknown.ran.stderr.contains("ext9"), "{:?}", unknown.ran);
}

/// The loop devices over images of this process: name of the device, and of the file.
fn loop_devices(of: &str) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").unwrap().flatten();
    let backing = devices
        .filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
    backing.filter(|file| file.contains(of)).collect()
}

/// The processes that serve as its machine.
fn machines(child: &Child) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let parent = format!("PPid:\t{}\n", child.id());
    let machine = |directory: &PathBuf| {
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        read("status").contains(&parent) && read("cmdline").contains("__machine")
    };
    processes
        .map(|entry| entry.path())
        .filter(machine)
        .collect()
}

/// The threads of a process that the kernel lets have memory while others wait for what they serve: those with
/// PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE (`PR_SET_IO_FLUSHER`), by the ninth field of proc_pid_stat(5).
fn io_flushers(process: u32) -> usize {
    const FLUSHER: u32 = 0x0008_0000 | 0x0010_0000;
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let stats = threads.into_iter().flatten().flatten();
    let is_flusher = |stat: &String| {
        // Its name, which may hold anything, ends with the last bracket.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let flags = fields
            .split(' ')
            .nth(6)
            .and_then(|flags| flags.parse().ok());
        flags.is_some_and(|flags: u32| flags & FLUSHER == FLUSHER)
    };
    stats
        .filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok())
        .filter(is_flusher)
        .count()
}

/// Two filesystems with one UUID could not be mounted at a time.
#[test(needs = "fuse root loop mkfs.xfs mkfs.btrfs")]
fn workers_mount_side_by_side_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let artifact = no_dir_fsync(directory.path(), "");
    for filesystem in ["xfs", "btrfs"] {
        let mounted = format!(" - {filesystem} ");
        killed_when(
            &artifact,
            filesystem,
            "two machines have it mounted",
            |child| {
                let mounts = machines(child).into_iter().filter(|machine| {
                    let mounts = fs::read_to_string(machine.join("mountinfo")).unwrap_or_default();
                    mounts.contains(&mounted)
                });
                mounts.count() >= 2
            },
        );
    }
}

#[test(needs = "fuse root loop mkfs.ext4 sys-resource")]
fn what_serves_an_image_waits_for_no_filesystem() {
    let directory = tempfile::tempdir().unwrap();
    let artifact = no_dir_fsync(directory.path(), "");
    killed_when(&artifact, "ext4", "two threads serve", |child| {
        io_flushers(child.id()) >= 2
    });
}

/// Kills a search by three workers with SIGKILL when this holds. Nothing is left.
fn killed_when(artifact: &Path, filesystem: &str, what: &str, holds: impl Fn(&Child) -> bool) {
    let mut child = plugpull()
        .arg("confirm")
        .arg(artifact)
        .args(["--filesystem", filesystem, "--workers", "3"])
        .args(["--states", "100000", "--budget", "10m"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    await_that(what, || {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        holds(&child)
    });
    let left = machines(&child);
    let image = format!("plugpull-image-{}", child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    await_that("no machine is left", || {
        left.iter().all(|process| !process.exists())
    });
    await_that("no loop device is left", || loop_devices(&image).is_empty());
}

#[test(needs = "fuse root loop mkfs.ext4")]
fn killed_at_any_moment_it_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let artifact = no_dir_fsync(directory.path(), "");
    // While mkfs runs, while operations are played, and while block states are recovered.
    for moment in [1, 2, 3, 5, 9] {
        let mut child = plugpull()
            .arg("confirm")
            .arg(&artifact)
            .args(["--filesystem", "ext4", "--budget", "10m"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let image = format!("plugpull-image-{}", child.id());
        let mut known = Vec::new();
        await_that("a machine with a loop device", || {
            for machine in machines(&child) {
                if !known.contains(&machine) {
                    known.push(machine);
                }
            }
            let ended = child.try_wait().unwrap();
            assert_eq!(ended, None, "it ended before moment {moment}");
            known.len() >= moment && !loop_devices(&image).is_empty()
        });
        child.kill().unwrap();
        child.wait().unwrap();
        await_that("no machine is left", || {
            known.iter().all(|process| !process.exists())
        });
        await_that("no loop device is left", || loop_devices(&image).is_empty());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&image), "{mounts}");
    }
}
