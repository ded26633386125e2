//! What the machine under the tests can do, and waiting for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{PLUGPULL, Ran, plugpull};

/// Far beyond what anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Whether the doctor finds this capability, by the doctor's name for it.
pub(crate) fn has(capability: &str) -> bool {
    static FOUND: OnceLock<String> = OnceLock::new();
    let found = FOUND.get_or_init(|| Ran::from(plugpull().arg("doctor").output().unwrap()).stdout);
    found.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(capability) && words.next() == Some("yes")
    })
}

/// Whether the machine has what a test needs: a capability of the doctor (`namespaces` is its
/// `mount-namespace`), a version of Python, or a program.
///
/// # Errors
/// It has not; says why.
pub(crate) fn capability(name: &str) -> Result<(), String> {
    let holds = match name {
        "namespaces" => has("mount-namespace"),
        "root" | "user-namespaces" | "fuse" | "cgroup-memory" | "loop" | "stacks" => has(name),
        // Whoever may open the device has no case without it.
        "fuse-closed" => fs::metadata("/dev/fuse")
            .map_or(true, |about| about.permissions().mode() & 0o006 != 0o006),
        "sys-resource" => has_sys_resource(),
        "tomllib" => python("import tomllib"),
        "python3.10" => python("import sys; assert sys.version_info >= (3, 10)"),
        program => return plugpull_testing::program(program),
    };
    if holds {
        return Ok(());
    }
    Err(format!("see `plugpull doctor` about {name}"))
}

/// CAP_SYS_RESOURCE, which a container may lack.
fn has_sys_resource() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_some_and(|mask| mask & 1 << 24 != 0)
}

/// Whether Python runs this.
fn python(script: &str) -> bool {
    let mut command = std::process::Command::new("python3");
    command
        .args(["-c", script])
        .stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Waits until a condition holds.
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A copy of the binary under test, so that its processes are known from all others, in a directory
/// that every user may enter.
pub(crate) fn own_copy() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("plugpull");
    // The driver of the target that these copies test is found beside them. By a process of its own: a
    // fork of another test would keep a copy open for writing, and what is open so cannot be started
    // (ETXTBSY, execve(2)).
    let copied = Command::new("cp")
        .arg(PLUGPULL)
        .arg(Path::new(PLUGPULL).with_file_name("plugpull-driver-reference"))
        .arg(directory.path())
        .status();
    assert!(copied.unwrap().success(), "the copy failed");
    (directory, program)
}
