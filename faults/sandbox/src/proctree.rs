//! Process trees by way of `/proc`, for machines that allow no PID namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process. The time it started distinguishes it from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    pid: i32,
    parent: i32,
    /// Clock ticks since boot.
    started: u64,
}

/// Fields 1, 4 and 22 of `/proc/PID/stat` (proc(5)); the name in field 2 may hold anything.
fn parse_stat(text: &str) -> Option<Process> {
    let (head, tail) = text.rsplit_once(')')?;
    let pid = head.split(' ').next()?.parse().ok()?;
    let mut fields = tail.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        started,
    })
}

fn read(pid: i32) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All living descendants of `root`, parents before children.
fn descendants(root: i32) -> Vec<Process> {
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    if let Ok(entries) = fs::read_dir("/proc") {
        for entry in entries.flatten() {
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let Some(process) = pid.and_then(read) {
                children.entry(process.parent).or_default().push(process);
            }
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for process in children.remove(&parent).unwrap_or_default() {
            next.push(process.pid);
            found.push(process);
        }
    }
    found
}

/// Whether anybody but process 1 lives in the namespace of processes that `/proc` shows.
pub(super) fn anybody_lives() -> bool {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.any(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        pid != 1 && state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
    })
}

/// The numbers of all living descendants of `root`.
pub(super) fn pids(root: i32) -> Vec<i32> {
    descendants(root).iter().map(|one| one.pid).collect()
}

/// Sends a signal to every descendant of `root`. Children that are born meanwhile may be missed.
pub(super) fn signal_descendants(root: i32, signal: Signal) {
    for process in descendants(root) {
        send(process, signal);
    }
}

/// Kills every descendant of `root`: first stops them all, so that none can start another or
/// notice that its neighbour is gone, then kills them. A descendant whose parent dies must come
/// back to `root`, which therefore has to be a subreaper (prctl(2)) and to reap them.
pub(super) fn kill_descendants(root: i32) {
    let mut stopped = BTreeSet::new();
    loop {
        let found = descendants(root);
        let before = stopped.len();
        for &process in &found {
            if stopped.insert((process.pid, process.started)) {
                send(process, Signal::SIGSTOP);
            }
        }
        if stopped.len() == before {
            for process in found {
                send(process, Signal::SIGKILL);
            }
            return;
        }
    }
}

/// Sends a signal to a process if it is still the one that was seen.
fn send(process: Process, signal: Signal) {
    if read(process.pid).is_some_and(|now| now.started == process.started) {
        #[expect(
            clippy::let_underscore_must_use,
            reason = "a process that has ended meanwhile needs no signal"
        )]
        let _ = kill(Pid::from_raw(process.pid), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 0 0";
        let process = parse_stat(line).expect("a process");
        assert_eq!(
            (process.pid, process.parent, process.started),
            (42, 7, 12345)
        );
        assert!(parse_stat("42 (cut").is_none());
    }

    #[test]
    fn this_process_is_found_below_its_parent() {
        let me = std::process::id() as i32;
        let parent = read(me).expect("this process").parent;
        assert!(descendants(parent).iter().any(|process| process.pid == me));
    }
}
