//! What the processes of a sandbox have used so far: whether one that does not answer is at work.

use std::fmt;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the kernel counts CPU time, in units a second (proc_pid_stat(5)): USER_HZ, which is 100 on every
/// machine that Rust's standard library runs on.
const TICKS: u64 = 100;

/// What processes used since each of them was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How many there are.
    pub processes: u64,
    /// CPU time, with that of children that have ended.
    pub cpu: Duration,
    /// Bytes that they asked for in calls of read(2) and its like, from whatever.
    pub read: u64,
    /// Bytes that they handed over in calls of write(2) and its like.
    pub written: u64,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processes,
            cpu,
            read,
            written,
        } = self;
        let cpu = cpu.as_secs_f64();
        match processes {
            0 => f.write_str("none of its processes is there"),
            1 => write!(
                f,
                "its one process has used {cpu:.2} s of CPU, read {read} and written {written} bytes"
            ),
            n => write!(
                f,
                "its {n} processes have used {cpu:.2} s of CPU, read {read} and written {written} bytes"
            ),
        }
    }
}

/// What these processes have used. One that is gone meanwhile counts for nothing; of one whose bytes
/// may not be known they are 0.
pub fn used_by(pids: impl IntoIterator<Item = i32>) -> Usage {
    let mut all = Usage::default();
    for pid in pids {
        let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
        let Some(cpu) = file("stat").ok().and_then(|text| cpu(&text)) else {
            continue;
        };
        all.processes += 1;
        all.cpu += cpu;
        let io = file("io").unwrap_or_default();
        all.read += bytes(&io, "rchar: ");
        all.written += bytes(&io, "wchar: ");
    }
    all
}

/// Fields 14 to 17 of `/proc/PID/stat` (proc(5)); the name in field 2 may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, tail) = stat.rsplit_once(')')?;
    let fields = tail.split_ascii_whitespace().skip(11).take(4);
    let ticks: u64 = fields.map(|field| field.parse().unwrap_or(0)).sum();
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}

fn bytes(io: &str, name: &str) -> u64 {
    let mut lines = io.lines();
    let value = lines.find_map(|line| line.strip_prefix(name));
    value.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_prints_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 20 30 20 0 1 0 100 1 1";
        assert_eq!(cpu(stat), Some(Duration::from_millis(2500)));
        assert_eq!(cpu("7 (a"), None);
        let io = "rchar: 12\nwchar: 7\nsyscr: 1\n";
        assert_eq!((bytes(io, "rchar: "), bytes(io, "wchar: ")), (12, 7));
        assert_eq!(bytes("", "rchar: "), 0);
    }

    #[test]
    fn a_process_that_is_gone_counts_for_nothing() {
        let myself = i32::try_from(std::process::id()).expect("a number");
        let used = used_by([myself, i32::MAX]);
        assert_eq!(used.processes, 1);
        assert!(used.read > 0, "{used}");
        assert_eq!(used_by([i32::MAX]), Usage::default());
    }
}
