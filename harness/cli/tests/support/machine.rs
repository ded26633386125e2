//! What the machine under the tests can do, and waiting for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
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

/// A copy of the binary under test, so that its processes are told from all others, in a folder
/// that every user may enter.
pub(crate) fn own_copy() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("plugpull");
    fs::copy(PLUGPULL, &program).unwrap();
    (folder, program)
}
