//! A rehearsal of the recovery: what it reads of the disk, before anything there is damaged.

use std::collections::{BTreeMap, BTreeSet};

use plugpull_crashsim::fs::{Ino, SECTOR, Tree};
use plugpull_faults::machine::{InjectError, Machine, Read};

use super::Testbed;
use crate::outcome::Observed;
use crate::trial::{PROBE, flip};

impl Testbed<'_> {
    /// Starts the target on what lies on the disk now, reads everything back, and puts all back as it
    /// was. The sectors that were read and hold anything; none without a crash filesystem.
    pub(super) fn rehearsed(&mut self) -> Result<Vec<Read>, InjectError> {
        let Some(disk) = self.snapshot() else {
            return Ok(Vec::new());
        };
        let before = (self.crashes.clone(), self.crashed_at, self.outputs.len());
        self.restore(disk.clone())?;
        let fs = self.crash_fs()?;
        fs.log_reads();
        let (mut at_start, mut later) = (Vec::new(), Vec::new());
        match self.bring_up(PROBE)? {
            Ok(mut up) => {
                at_start = fs.take_reads();
                up.note(&mut Observed::default())?;
                later = fs.take_reads();
            }
            // That it does not start is for the trial itself to see.
            Err(_) => at_start.extend(fs.take_reads()),
        }
        self.kill()?;
        self.restore(disk.clone())?;
        let lives;
        (self.crashes, self.crashed_at, lives) = before;
        self.outputs.truncate(lives);
        let paths = flip::in_tree(&self.crash_fs()?);
        let paths: BTreeMap<Ino, String> = paths
            .into_iter()
            .map(|(path, (ino, _))| (ino, path))
            .collect();
        Ok(read_of(
            &disk,
            &paths,
            &[(&at_start, true), (&later, false)],
        ))
    }
}

/// Ranges of files, in bytes, and whether they were read at the start.
type Ranges<'r> = (&'r [(Ino, u64, u64)], bool);

/// The sectors of these files that are in one of these ranges and hold anything, each once.
fn read_of(disk: &Tree, paths: &BTreeMap<Ino, String>, ranges: &[Ranges<'_>]) -> Vec<Read> {
    let mut seen = BTreeSet::new();
    let mut reads = Vec::new();
    for (ranges, at_start) in ranges {
        for (ino, start, end) in *ranges {
            let (Some(path), Ok(content)) = (paths.get(ino), disk.content(*ino)) else {
                continue;
            };
            for sector in start / SECTOR..end.div_ceil(SECTOR) {
                let offset = sector * SECTOR;
                if offset >= content.size() || !seen.insert((*ino, offset)) {
                    continue;
                }
                let mut bytes = Vec::new();
                let len = SECTOR.min(content.size() - offset);
                content.read(offset, len as usize, &mut bytes);
                if bytes.iter().any(|byte| *byte != 0) {
                    reads.push(Read {
                        path: path.clone(),
                        ino: *ino,
                        offset,
                        at_start: *at_start,
                    });
                }
            }
        }
    }
    reads.sort();
    reads
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::fs::{Caller, NewNode, ROOT};

    use super::*;

    #[test]
    fn only_what_was_read_and_holds_anything_is_named() {
        let mut disk = Tree::new(0, 0, 0);
        let caller = Caller {
            uid: 0,
            gid: 0,
            now: 0,
        };
        disk.raw_node(7, &NewNode::File, 0o644, caller, "log".into());
        disk.raw_entry(ROOT, "log".as_ref(), Some(7));
        // A record in the first sector, one in the fourth, and a preallocated rest.
        disk.raw_content(7, |content| {
            content.patch(0, b"one");
            content.patch(3 * SECTOR, b"two");
            content.set_size_only(100 * SECTOR);
        });
        let paths = BTreeMap::from([(7, "log".to_string())]);
        let offsets = |ranges: &[Ranges<'_>]| {
            let reads = read_of(&disk, &paths, ranges);
            let of = |read: Read| (read.offset / SECTOR, read.at_start);
            reads.into_iter().map(of).collect::<Vec<_>>()
        };
        let whole: &[(Ino, u64, u64)] = &[(7, 0, 100 * SECTOR)];
        let first: &[(Ino, u64, u64)] = &[(7, 0, 10)];
        assert_eq!(offsets(&[(whole, true)]), [(0, true), (3, true)]);
        assert_eq!(offsets(&[(first, true)]), [(0, true)]);
        assert_eq!(
            offsets(&[(first, true), (whole, false)]),
            [(0, true), (3, false)]
        );
        assert!(offsets(&[(&[(8, 0, 10)], true)]).is_empty());
    }
}
