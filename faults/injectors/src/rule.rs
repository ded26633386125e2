//! Rules: a kind of operation on a path pattern, and the error, delay or hang that it meets.

use std::time::Duration;

use nix::errno::Errno;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use plugpull_sandbox::fuse::OpKind;

/// Which operations are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// These kinds; every kind but reads when empty.
    pub kinds: Vec<OpKind>,
    /// Files whose path (relative to the data directory) fits this pattern, where `*` stands for any
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

/// How the storage responds to an operation that a rule meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
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

/// How the storage responds to which operations.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which operations.
    pub matcher: Matcher,
    /// How the storage responds to them.
    pub response: Response,
    /// How many fitting operations pass before the first is met.
    pub skip: u64,
    /// How many are met at most; none for all.
    pub times: Option<u64>,
    /// The chance that a fitting operation is met, for rules that choose.
    pub chance: Option<f64>,
}

impl Rule {
    /// A rule that meets every fitting operation.
    pub fn always(matcher: Matcher, response: Response) -> Self {
        Self {
            matcher,
            response,
            skip: 0,
            times: None,
            chance: None,
        }
    }

    /// True when this operation is met; counts it.
    pub(crate) fn meets(&mut self, kind: OpKind, path: &str, rng: &mut ChaCha8Rng) -> bool {
        let about_syncs = matches!(self.response, Response::SyncFails(_));
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
}
