//! Rules: a kind of operation on a path pattern, and the error, delay or hang that it meets.

use std::time::Duration;

use nix::errno::Errno;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::crashfs::Ino;

/// Bytes in a sector, the unit that a disk writes atomically.
pub const SECTOR: u64 = 512;

/// A kind of storage operation, as a trigger names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// read(2) that reaches the filesystem (not the page cache).
    Read,
    /// write(2), or write-back of a shared mapping.
    Write,
    /// fsync(2) or fdatasync(2) of a file.
    Sync,
    /// fsync(2) of a folder.
    SyncDir,
    /// A new file, folder, symlink or node.
    Create,
    /// link(2).
    Link,
    /// unlink(2) or rmdir(2).
    Unlink,
    /// rename(2).
    Rename,
    /// ftruncate(2) or O_TRUNC.
    Truncate,
    /// fallocate(2).
    Allocate,
    /// chmod, chown, utimens.
    SetAttr,
}

impl OpKind {
    /// Every kind with its name on the command line.
    pub const ALL: [(&'static str, OpKind); 11] = [
        ("read", OpKind::Read),
        ("write", OpKind::Write),
        ("sync", OpKind::Sync),
        ("syncdir", OpKind::SyncDir),
        ("create", OpKind::Create),
        ("link", OpKind::Link),
        ("unlink", OpKind::Unlink),
        ("rename", OpKind::Rename),
        ("truncate", OpKind::Truncate),
        ("allocate", OpKind::Allocate),
        ("setattr", OpKind::SetAttr),
    ];

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("?", |(name, _)| name)
    }

    /// True when it changes the disk or makes a change durable: where a crash can matter.
    pub fn changes(self) -> bool {
        self != OpKind::Read
    }
}

/// Which operations are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// These kinds; every kind but reads when empty.
    pub kinds: Vec<OpKind>,
    /// Files whose path (relative to the data folder) fits this pattern, where `*` stands for any
    /// characters and `?` for one; every file when none.
    pub path: Option<String>,
}

impl Matcher {
    /// True when an operation of this kind on this path is meant.
    pub fn fits(&self, kind: OpKind, path: &str) -> bool {
        let kind_fits = if self.kinds.is_empty() {
            kind.changes()
        } else {
            self.kinds.contains(&kind)
        };
        kind_fits && self.fits_path(path)
    }

    /// True when a file of this path is meant.
    pub fn fits_path(&self, path: &str) -> bool {
        self.path.as_ref().is_none_or(|pattern| glob(pattern, path))
    }
}

/// Matches `*` and `?` over whole strings, slashes included.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// What the kernel does with dirty pages whose write-back failed.
///
/// Source: Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020:
/// ext4, XFS and btrfs mark the pages clean, so that the next fsync succeeds without the data;
/// only some systems keep them dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOutcome {
    /// Marked clean: readable until evicted, and no later sync writes them.
    MarkedClean,
    /// Kept dirty: the next sync writes them.
    KeptDirty,
}

/// What becomes of an operation that a rule meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It fails with this error and changes nothing.
    Fail(Errno),
    /// A sync fails with EIO, with this outcome for its pages. Other operations are not met.
    SyncFails(PageOutcome),
    /// It, and all behind it, wait this long first: a slow device.
    Delay(Duration),
    /// It, and all behind it, wait until the rule is removed: a device that hangs.
    Hang,
}

/// Names a rule while it stands.
pub type RuleId = u64;

/// What shall happen to which operations.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which operations.
    pub matcher: Matcher,
    /// What becomes of them.
    pub effect: Effect,
    /// How many fitting operations pass before the first is met.
    pub skip: u64,
    /// How many are met at most; none for all.
    pub times: Option<u64>,
    /// The chance that a fitting operation is met, for rules that choose.
    pub chance: Option<f64>,
}

impl Rule {
    /// A rule that meets every fitting operation.
    pub fn always(matcher: Matcher, effect: Effect) -> Self {
        Self {
            matcher,
            effect,
            skip: 0,
            times: None,
            chance: None,
        }
    }

    /// True when this operation is met; counts it.
    pub(crate) fn meets(&mut self, kind: OpKind, path: &str, rng: &mut ChaCha8Rng) -> bool {
        let about_syncs = matches!(self.effect, Effect::SyncFails(_));
        if about_syncs && !matches!(kind, OpKind::Sync | OpKind::SyncDir) {
            return false;
        }
        if !self.matcher.fits(kind, path) || self.times == Some(0) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if self
            .chance
            .is_some_and(|chance| !rng.random_bool(chance.clamp(0.0, 1.0)))
        {
            return false;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }
}

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
    fn patterns_match_whole_paths() {
        for (pattern, text, fits) in [
            ("*-wal", "db-wal", true),
            ("*-wal", "db-wal2", false),
            ("*", "", true),
            ("a?c*", "abcd/e", true),
            ("snap/*.log", "snap/7.log", true),
            ("snap/*.log", "snap/7.tmp", false),
            ("**x", "yxzx", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} on {text}");
        }
    }

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
