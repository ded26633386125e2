//! All of it again as an ordinary user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libtest_mimic::Failed;

use crate::support::{Test, ensure};

/// Nobody, whom every machine has and who owns nothing.
const NOBODY: u32 = 65534;

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    if nix::unistd::geteuid().is_root() {
        vec![("all_of_this_as_an_ordinary_user", again)]
    } else {
        // The other tests have shown it.
        Vec::new()
    }
}

/// Runs this program as nobody. It ignores what nobody cannot have, such as a `/dev/fuse` that is
/// closed to users; namespaces he must have, since root could open them for himself.
fn again() -> Result<(), Failed> {
    // He may not be allowed where this program lies.
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let program = directory.path().join("again");
    // By a process of its own: a fork of another test would keep the copy open for writing, and what
    // is open so cannot be started (ETXTBSY, execve(2)).
    let copied = Command::new("cp")
        .arg(std::env::current_exe()?)
        .arg(&program)
        .status()?;
    ensure(copied.success(), "the copy failed")?;
    let output = Command::new(&program)
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .env_remove("TMPDIR")
        .env("PLUGPULL_REQUIRE", "namespaces")
        .output()?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure(output.status.success(), said.clone())?;
    ensure(
        said.lines()
            .any(|line| line.contains("kill_all_ends_the_whole_tree") && line.ends_with("ok")),
        format!("the namespaces were not tested:\n{said}"),
    )
}
