//! Where a crash happened: in the recorded run, or in the recovery from an earlier crash.

use std::collections::BTreeSet;
use std::rc::Rc;

use plugpull_crashsim::fs::{Log, Op, Record};
use plugpull_crashsim::persist::{LossSet, LostUpdate};

/// A crash: where it struck, and what of the un-synced changes the disk did not get.
#[derive(Clone)]
pub struct Crash {
    /// Index of the rules.
    pub rules: usize,
    /// How many operations of the log had happened.
    pub point: u64,
    /// What of the pending steps is missing.
    pub choice: LossSet,
    /// The same in words.
    pub lost: Vec<LostUpdate>,
    /// The recovery that it struck; none for the recorded run itself.
    pub within: Option<Rc<Scene>>,
}

/// A recovery: the crash before it, and what it did to the disk.
pub struct Scene {
    /// The crash that made it necessary.
    pub after: Crash,
    /// The place of that crash's state in the order of the exploration.
    pub position: u64,
    /// The digest of the disk that it left.
    pub digest: u128,
    /// Every operation of the recovery, on the disk that the crash left.
    pub log: Log,
}

impl Crash {
    /// How many recoveries it is deep: 0 in the recorded run.
    pub fn depth(&self) -> u32 {
        self.within
            .as_ref()
            .map_or(0, |scene| 1 + scene.after.depth())
    }

    /// The crash of the recorded run that everything began with.
    pub fn first(&self) -> &Crash {
        self.within
            .as_ref()
            .map_or(self, |scene| scene.after.first())
    }

    /// The crashes one after the other, that of the recorded run first and this one last.
    pub fn chain(&self) -> Vec<&Crash> {
        let mut chain = match &self.within {
            Some(scene) => scene.after.chain(),
            None => Vec::new(),
        };
        chain.push(self);
        chain
    }

    /// How much it takes to tell it: missing changes, over all crashes.
    pub fn size(&self) -> usize {
        let before = self.within.as_ref().map_or(0, |scene| scene.after.size());
        before + self.choice.len()
    }
}

impl Scene {
    /// True when this recovery began as `other` did: the same operations on the same files, up to
    /// the one at index `point`. What struck the other can strike it.
    pub fn begins_as(&self, other: &Scene, point: u64) -> bool {
        let point = point as usize;
        let (own, others) = (self.log.records(), other.log.records());
        let alike = |(own, other): (&Record, &Record)| {
            own.op.name() == other.op.name() && pattern(&own.path) == pattern(&other.path)
        };
        own.len() >= point && own.iter().zip(others).take(point).all(alike)
    }

    /// What kind of recovery it is: which operations on which files, without numbers, counts and
    /// order. Recoveries of one kind crash alike.
    pub fn kind(&self) -> BTreeSet<(&'static str, String)> {
        let records = self.log.records().iter();
        records
            .map(|record| (record.op.name(), pattern(&record.path)))
            .collect()
    }
}

/// True when a recovery changed its disk in a way that a crash could leave half done.
pub(super) fn changes(log: &Log) -> bool {
    log.records()
        .iter()
        .any(|record| !matches!(record.op, Op::Sync { .. } | Op::SetAttrs { .. }))
}

/// A text with every run of digits as `#`.
pub(super) fn pattern(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn numbers_do_not_make_a_cause() {
        assert_eq!(pattern("snap-12/log-7.tmp"), "snap-#/log-#.tmp");
    }
}
