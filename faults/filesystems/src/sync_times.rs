//! How long syncs take on a real filesystem: recorded operations are done again there, each sync timed.
//!
//! A trace may come from somebody else, and this is no sandbox. So names that lead elsewhere are refused, and
//! neither links that lead elsewhere nor devices are made: what was done to them is left out.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::time::{Duration, Instant};

use plugpull_crashsim::fs::{NewNode, Op, Record, check_name};

use crate::player::Player;

/// What was timed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncTimes {
    /// All operations together.
    pub took: Duration,
    /// Each sync, by the index of its record.
    pub syncs: Vec<(usize, Duration)>,
}

/// Does these operations in a new directory in `on`, which is removed at the end, and times the syncs.
///
/// # Errors
/// An operation is refused there: no room, no permission; or a name of the trace is no name.
pub fn time_syncs(records: &[Record], on: &Path) -> io::Result<SyncTimes> {
    let directory = Directory::make(on)?;
    let mut player = Player::new(directory.path.clone());
    let mut times = SyncTimes::default();
    let began = Instant::now();
    for (index, record) in records.iter().enumerate() {
        if leads_elsewhere(&record.op)? {
            continue;
        }
        let is_sync = matches!(record.op, Op::Sync { .. } | Op::SyncAll { .. });
        let start = Instant::now();
        player.record(record).map_err(|error| {
            let what = format!("{} of {:?}: {error}", record.op.name(), record.path);
            io::Error::new(error.kind(), what)
        })?;
        if is_sync {
            times.syncs.push((index, start.elapsed()));
        }
    }
    times.took = began.elapsed();
    player.close_all();
    directory.remove()?;
    Ok(times)
}

/// Removes its first argument once nobody writes to it any more.
const WHEN_ALONE: &str = "trap '' INT TERM HUP; read -r _; rm -rf -- \"$1\"";

/// A directory that goes when plugpull ends, whatever it dies of: a shell waits for that.
struct Directory {
    path: PathBuf,
    guard: Child,
}

impl Directory {
    fn make(on: &Path) -> io::Result<Self> {
        let on = on.canonicalize()?;
        let path = on.join(format!(".plugpull-cost-{}", process::id()));
        let guard = Command::new("/bin/sh")
            .args(["-c", WHEN_ALONE, "sh"])
            .arg(&path)
            .current_dir("/")
            // Ctrl-C is for plugpull.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let directory = Self { path, guard };
        fs::create_dir(&directory.path)?;
        Ok(directory)
    }

    fn remove(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        drop(self.guard.stdin.take());
        match self.guard.wait()?.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "{} could not be removed",
                self.path.display()
            ))),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.guard.stdin.is_some() {
            // Of two failures the first one is reported.
            drop(self.end());
        }
    }
}

/// True for what is not done outside of a sandbox. An error for a name that is none.
fn leads_elsewhere(op: &Op) -> io::Result<bool> {
    let names = match op {
        Op::Create { name, .. } | Op::Link { name, .. } | Op::Unlink { name, .. } => vec![name],
        Op::Rename { from, to, .. } => vec![&from.1, &to.1],
        _ => Vec::new(),
    };
    for name in names {
        check_name(name).map_err(io::Error::other)?;
    }
    Ok(match op {
        Op::Create { node, .. } => matches!(node, NewNode::Symlink(_) | NewNode::Special { .. }),
        // Owners may not exist here, and cost nothing.
        Op::SetXattr { .. } | Op::SetAttrs { .. } => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use plugpull_crashsim::file::{File as _, SimDisk, Storage as _};
    use plugpull_crashsim::fs::{Caller, ROOT};

    use super::*;

    fn records() -> Vec<Record> {
        let disk = SimDisk::new();
        let file = disk.create("a").expect("a file");
        file.write_at(0, b"bytes").expect("a write");
        file.sync_all().expect("a sync");
        disk.rename("a", "b").expect("a rename");
        disk.take_log().records().to_vec()
    }

    #[test]
    fn each_sync_is_timed_and_nothing_is_left() {
        let on = tempfile::tempdir().expect("a directory");
        let mut all = records();
        // As the one who runs this, who owns what is made.
        let me = nix::unistd::geteuid().as_raw();
        for record in &mut all {
            if let Op::Create { owner, .. } = &mut record.op {
                *owner = Caller {
                    uid: me,
                    gid: nix::unistd::getegid().as_raw(),
                    now: 0,
                };
            }
        }
        let times = time_syncs(&all, on.path()).expect("times");
        let at: Vec<usize> = times.syncs.iter().map(|(index, _)| *index).collect();
        assert_eq!(at, [2]);
        assert!(times.took >= times.syncs[0].1);
        assert_eq!(std::fs::read_dir(on.path()).expect("a list").count(), 0);
    }

    #[test]
    fn a_trace_does_not_lead_out_of_the_directory() {
        let on = tempfile::tempdir().expect("a directory");
        let mut all = records();
        for name in ["../out", "/tmp/out", "..", "a/b"] {
            if let Op::Rename { to, .. } = &mut all[3].op {
                *to = (ROOT, OsString::from(name));
            }
            assert!(time_syncs(&all, on.path()).is_err(), "{name}");
            assert_eq!(std::fs::read_dir(on.path()).expect("a list").count(), 0);
        }
        let link = NewNode::Symlink("/etc".into());
        if let Op::Create { node, .. } = &mut all[0].op {
            *node = link;
        }
        // What is done to the link is left out with it; the rename has nothing to move.
        assert!(time_syncs(&all[..3], on.path()).is_ok_and(|times| times.syncs.len() == 1));
    }
}
