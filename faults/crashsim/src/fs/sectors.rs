//! Sectors that cannot be read, or whose reads are watched.

use super::node::Ino;

/// Bytes in a sector, the unit that a disk writes atomically.
pub const SECTOR: u64 = 512;

/// Ranges of files that cannot be read.
#[derive(Clone, Debug, Default)]
pub struct BadSectors {
    ranges: Vec<BadRange>,
}

#[derive(Clone, Debug)]
struct BadRange {
    ino: Ino,
    start: u64,
    end: u64,
    /// True when the sector stays bad although it was written again.
    for_ever: bool,
}

impl BadSectors {
    /// Makes a range of a file unreadable, in whole sectors.
    pub fn add(&mut self, ino: Ino, start: u64, end: u64, for_ever: bool) {
        let (start, end) = (start / SECTOR * SECTOR, end.div_ceil(SECTOR) * SECTOR);
        self.ranges.push(BadRange {
            ino,
            start,
            end,
            for_ever,
        });
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// True when a read of this range meets one.
    pub fn hit(&self, ino: Ino, start: u64, end: u64) -> bool {
        self.ranges
            .iter()
            .any(|bad| bad.ino == ino && bad.start < end && start < bad.end)
    }

    /// Notes a write: sectors that it covers whole are good again, unless bad for ever.
    pub fn rewritten(&mut self, ino: Ino, start: u64, end: u64) {
        let (start, end) = (start.div_ceil(SECTOR) * SECTOR, end / SECTOR * SECTOR);
        let mut rest = Vec::new();
        for bad in self.ranges.drain(..) {
            if bad.ino != ino || bad.for_ever || end <= bad.start || bad.end <= start {
                rest.push(bad);
                continue;
            }
            if bad.start < start {
                rest.push(BadRange {
                    end: start,
                    ..bad.clone()
                });
            }
            if end < bad.end {
                rest.push(BadRange { start: end, ..bad });
            }
        }
        self.ranges = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_sector_is_good_again_when_covered_whole() {
        let mut bad = BadSectors::default();
        bad.add(7, 1000, 2000, false);
        assert!(bad.hit(7, 512, 513) && !bad.hit(7, 0, 512) && !bad.hit(8, 1000, 1001));
        bad.rewritten(7, 513, 1535);
        assert!(bad.hit(7, 1023, 1024), "covered in part only");
        bad.rewritten(7, 1024, 1536);
        assert!(!bad.hit(7, 1024, 1536) && bad.hit(7, 512, 1024) && bad.hit(7, 1536, 2048));
        bad.add(9, 0, 512, true);
        bad.rewritten(9, 0, 4096);
        assert!(bad.hit(9, 0, 1), "bad for ever");
    }
}
