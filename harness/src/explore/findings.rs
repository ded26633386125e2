//! Findings of an exploration, grouped by cause: a bug is one finding with a count.

use std::collections::BTreeSet;

use plugpull_faults::crashfs::Op;
use plugpull_faults::persist::Lost;
use plugpull_workloads::FindingKind;

use super::shrink::{Court, Small};
use super::{Case, TimelineEntry};

/// All failing states of one cause.
pub(crate) struct Group {
    kind: FindingKind,
    cause: BTreeSet<String>,
    /// The smallest state that shows it.
    pub(crate) small: Small,
    /// How many states showed it.
    pub(crate) count: u64,
}

/// What a failing case is to the groups.
pub(crate) enum Seen {
    /// One more of a known cause.
    Known,
    /// Something new, to be made small and added.
    New,
}

/// The groups, in the order in which they were found.
#[derive(Default)]
pub(crate) struct Groups {
    pub(crate) all: Vec<Group>,
}

impl Groups {
    /// Counts a failing case to the first group whose cause it contains.
    pub(crate) fn seen(&mut self, case: &Case, kind: FindingKind, court: &Court<'_>) -> Seen {
        let signs = signs(&case.lost, case.point, court);
        let known = self.all.iter_mut().find(|group| {
            group.kind == kind
                && if case.lost.is_empty() || group.small.lost.is_empty() {
                    group.cause == signs
                } else {
                    group.cause.is_subset(&signs)
                }
        });
        match known {
            Some(group) => {
                group.count += 1;
                Seen::Known
            }
            None => Seen::New,
        }
    }

    /// Adds what was made small: a group of its own, or one more of a group of the same cause.
    pub(crate) fn add(&mut self, small: Small, court: &Court<'_>) {
        let kind = small.finding.kind;
        let cause = signs(&small.lost, small.point, court);
        match self
            .all
            .iter_mut()
            .find(|group| group.kind == kind && group.cause == cause)
        {
            Some(group) => {
                group.count += 1;
                let size = |small: &Small| (small.lost.len(), small.point);
                if size(&small) < size(&group.small) {
                    group.small = small;
                }
            }
            None => self.all.push(Group {
                kind,
                cause,
                small,
                count: 1,
            }),
        }
    }
}

/// What is missing, without numbers: "write log-#". Where nothing is missing, the operation before
/// which the process died.
fn signs(lost: &[Lost], point: u64, court: &Court<'_>) -> BTreeSet<String> {
    if lost.is_empty() {
        let records = court.trace.log.records();
        let at = records.get(point as usize).or_else(|| records.last());
        return at
            .map(|record| format!("at {} {}", record.op.name(), pattern(&record.path)))
            .into_iter()
            .collect();
    }
    lost.iter()
        .map(|one| {
            let what: String = one
                .what
                .chars()
                .take_while(|c| !c.is_ascii_digit() && *c != '(')
                .collect();
            format!("{} {}", pattern(what.trim_end()), pattern(&one.path))
        })
        .collect()
}

/// A text with every run of digits as `#`.
fn pattern(text: &str) -> String {
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

/// The finding's sentence, and why the state is legal.
pub(crate) fn sentence(small: &Small, court: &Court<'_>) -> String {
    let said = small.finding.sentence.trim_end_matches('.');
    if small.lost.is_empty() {
        let records = court.trace.log.records();
        let place = match records.get(small.point as usize) {
            Some(next) => format!(
                "before operation {} ({} {})",
                next.seq,
                next.op.name(),
                next.path
            ),
            None => "after the last operation".into(),
        };
        return format!("{said}; nothing was lost: the process merely died {place}");
    }
    let mut words: Vec<String> = small
        .lost
        .iter()
        .take(3)
        .map(|lost| {
            let torn = if lost.torn { "part of the " } else { "the " };
            let what = lost.what.strip_prefix("the ").unwrap_or(&lost.what);
            format!("{torn}{what} of {} (operation {})", lost.path, lost.seq)
        })
        .collect();
    if small.lost.len() > 3 {
        words.push(format!("{} more", small.lost.len() - 3));
    }
    let models = court.models_of(small);
    format!(
        "{said}; at the crash before operation {} the disk was missing {}, which no completed sync \
         covered; models that allow it: {}",
        small.point,
        words.join(", "),
        models.join(", ")
    )
}

/// The operations around the crash, with what became of each.
pub(crate) fn timeline(small: &Small, court: &Court<'_>) -> Vec<TimelineEntry> {
    /// How many operations before the crash are shown.
    const SHOWN: usize = 60;
    let records = court.trace.log.records();
    let end = (small.point as usize).min(records.len());
    let first_lost = small
        .lost
        .iter()
        .map(|lost| lost.seq as usize)
        .min()
        .unwrap_or(end);
    let from = end.saturating_sub(SHOWN).min(first_lost.saturating_sub(4));
    records[from..end]
        .iter()
        .map(|record| {
            let missing = small.lost.iter().find(|lost| lost.seq == record.seq);
            let sync = matches!(record.op, Op::Sync { .. } | Op::SyncFailed { .. });
            let what = match &record.op {
                Op::Write { data, .. } => format!("write {} at {}", data.len(), data.offset()),
                Op::Truncate { size, .. } => format!("truncate to {size}"),
                other => other.name().to_string(),
            };
            let fate = match missing {
                Some(lost) if lost.torn => "torn",
                Some(_) => "lost",
                None if sync => "",
                None => "on disk",
            };
            TimelineEntry {
                seq: record.seq,
                micros: record.nanos / 1000,
                what,
                path: record.path.to_string(),
                fate: fate.to_string(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn numbers_do_not_make_a_cause() {
        assert_eq!(pattern("snap-12/log-7.tmp"), "snap-#/log-#.tmp");
    }
}
