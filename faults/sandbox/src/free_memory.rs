//! How large a disk in memory may be: a share of the memory that is free.

use std::fs;
use std::sync::OnceLock;

use super::cgroup;

/// The largest disk: enough for what anybody tries, and what a disk of a test machine may have.
const LARGEST: u64 = 16 << 30;
/// The smallest one, also where less is free.
const SMALLEST: u64 = 64 << 20;

/// The size of a crash filesystem in bytes: half of the memory that was free when the first one was
/// made, by the machine (`MemAvailable`, proc(5)) and by the cgroups that plugpull is in; a power of
/// two, so that one machine mostly gives one size.
pub fn disk_size() -> u64 {
    static SIZE: OnceLock<u64> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        share_of(available(&table), cgroup::memory_left())
    })
}

/// In bytes, from `/proc/meminfo`.
fn available(table: &str) -> Option<u64> {
    let line = table
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What is not known does not limit it.
fn share_of(machine: Option<u64>, cgroups: Option<u64>) -> u64 {
    let free = machine.into_iter().chain(cgroups).min();
    let half = free.map_or(LARGEST, |free| free / 2);
    let power = half.checked_ilog2().map_or(0, |log| 1 << log);
    power.clamp(SMALLEST, LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read() {
        let table = "MemTotal:       24683520 kB\nMemAvailable:   21637120 kB\nBuffers: 1 kB\n";
        assert_eq!(available(table), Some(21_637_120 << 10));
        assert_eq!(available("MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn the_disk_is_half_of_what_is_free_by_the_narrowest_limit() {
        const GIB: u64 = 1 << 30;
        assert_eq!(share_of(Some(21 * GIB), None), 8 * GIB);
        assert_eq!(share_of(Some(21 * GIB), Some(2 * GIB)), GIB);
        assert_eq!(share_of(Some(3 * GIB), Some(20 * GIB)), GIB);
        assert_eq!(share_of(Some(900 * GIB), None), LARGEST);
        assert_eq!(share_of(Some(1 << 20), Some(0)), SMALLEST);
        assert_eq!(share_of(None, None), LARGEST);
    }
}
