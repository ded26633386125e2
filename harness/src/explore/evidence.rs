//! What a finding's crash looked like: the operations before it with what became of each, and the
//! files that it left with what is missing in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plugpull_faults::crashfs::{Ino, Mark, Node, Op, ROOT, Record, Tree};
use plugpull_reports::{CrashedFile, Damage, Evidence, Fate, StepKind, TimelineStep};

use super::findings::Group;
use super::scene::Crash;
use super::shrink::{Court, Small};

/// How many operations before the crash are shown.
const SHOWN: usize = 60;
/// How many operations around each one that was lost are shown, where that was longer ago.
const AROUND: usize = 4;
/// How many that were lost are shown with what was around them.
const FAR: usize = 20;
/// How many files without damage are named.
const WHOLE: usize = 50;

/// All that is known of a group's crash. `artifact` is where it was kept.
pub(crate) fn evidence(group: &Group, court: &Court<'_>, artifact: Option<String>) -> Evidence {
    let small = &group.small;
    let (files, files_left_out) = files(small, court);
    let models = court.models_of(&small.crash, small.tree.digest());
    Evidence {
        cause: group.cause().map(str::to_string).collect(),
        models: models.into_iter().map(str::to_string).collect(),
        point: small.crash.first().point,
        artifact,
        timeline: timeline(&small.crash, court),
        files,
        files_left_out,
    }
}

/// The operations before the crash and those around what was lost, with the acks between them:
/// those of the recorded run, and behind them those of the recoveries that were crashed in turn.
pub(crate) fn timeline(crash: &Crash, court: &Court<'_>) -> Vec<TimelineStep> {
    let mut steps = match &crash.within {
        Some(scene) => timeline(&scene.after, court),
        None => Vec::new(),
    };
    // Recoveries go on counting where the crash before them was.
    let (seqs, micros) = steps
        .last()
        .map_or((0, 0), |last| (last.seq + 1, last.micros));
    let log = court.log(crash);
    let records = log.records();
    let end = (crash.point as usize).min(records.len());
    let mut acks: BTreeMap<u64, Vec<&Mark>> = BTreeMap::new();
    for mark in log.marks() {
        acks.entry(mark.seq).or_default().push(mark);
    }
    let mut ack = |seq: u64, into: &mut Vec<TimelineStep>| {
        for mark in acks.remove(&seq).into_iter().flatten() {
            into.push(TimelineStep {
                seq: seqs + mark.seq,
                micros: micros + mark.nanos / 1000,
                kind: StepKind::Ack,
                what: format!("ack of transaction {}", mark.id),
                path: String::new(),
                fate: Fate::None,
            });
        }
    };
    for at in shown(crash, end) {
        let record = &records[at];
        ack(record.seq, &mut steps);
        let what = match crash.within {
            Some(_) => format!("recovery: {}", words(record)),
            None => words(record),
        };
        steps.push(TimelineStep {
            seq: seqs + record.seq,
            micros: micros + record.nanos / 1000,
            kind: kind(&record.op),
            what,
            path: record.path.to_string(),
            fate: fate(crash, record),
        });
    }
    ack(end as u64, &mut steps);
    steps
}

/// The indices of the operations to show, in order.
fn shown(crash: &Crash, end: usize) -> BTreeSet<usize> {
    let mut shown: BTreeSet<usize> = (end.saturating_sub(SHOWN)..end).collect();
    for lost in crash.lost.iter().rev().take(FAR) {
        let at = lost.seq as usize;
        shown.extend(at.saturating_sub(AROUND)..end.min(at + AROUND + 1));
    }
    shown
}

fn words(record: &Record) -> String {
    match &record.op {
        Op::Write { data, .. } => format!("write {} at {}", data.len(), data.offset()),
        Op::Truncate { size, .. } => format!("truncate to {size}"),
        other => other.name().to_string(),
    }
}

fn kind(op: &Op) -> StepKind {
    match op {
        Op::Write { .. } => StepKind::Write,
        Op::Sync { .. } | Op::SyncFailed { .. } => StepKind::Sync,
        Op::Create { .. } | Op::Link { .. } | Op::Unlink { .. } | Op::Rename { .. } => {
            StepKind::Name
        }
        Op::Truncate { .. } | Op::Allocate { .. } | Op::Zero { .. } | Op::SetAttrs { .. } => {
            StepKind::Other
        }
    }
}

fn fate(crash: &Crash, record: &Record) -> Fate {
    let missing = crash.lost.iter().find(|lost| lost.seq == record.seq);
    match missing {
        Some(lost) if lost.torn => Fate::Torn,
        Some(_) => Fate::Lost,
        None if kind(&record.op) == StepKind::Sync => Fate::None,
        None => Fate::OnDisk,
    }
}

/// The files that the crash left, and how many more there are.
fn files(small: &Small, court: &Court<'_>) -> (Vec<CrashedFile>, u64) {
    let mut damaged = damaged(small, court);
    let mut whole = Vec::new();
    let mut left_out = 0;
    let mut named = HashMap::new();
    walk(&small.tree, ROOT, "", &mut named);
    let mut names: Vec<(Ino, (String, u64))> = named.into_iter().collect();
    names.sort_by(|a, b| a.1.cmp(&b.1));
    for (ino, (path, size)) in names {
        match damaged.get_mut(&ino) {
            Some(file) => {
                file.missing = false;
                file.path = path;
                file.size = size;
            }
            None if whole.len() < WHOLE => whole.push(CrashedFile {
                path,
                size,
                missing: false,
                damage: Vec::new(),
            }),
            None => left_out += 1,
        }
    }
    let mut files: Vec<CrashedFile> = damaged.into_values().chain(whole).collect();
    for file in &mut files {
        file.damage = joined(std::mem::take(&mut file.damage));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    (files, left_out)
}

/// Files whose writes or names were lost, taken for missing until they are met in the tree.
fn damaged(small: &Small, court: &Court<'_>) -> BTreeMap<Ino, CrashedFile> {
    let records = court.log(&small.crash).records();
    let first = records.first().map_or(0, |record| record.seq);
    let mut damaged: BTreeMap<Ino, CrashedFile> = BTreeMap::new();
    for lost in &small.crash.lost {
        let Some(record) = records.get(lost.seq.saturating_sub(first) as usize) else {
            continue;
        };
        let damage = match &record.op {
            Op::Write { data, .. } => Some(Damage {
                offset: data.offset(),
                len: data.len(),
                fate: if lost.torn { Fate::Torn } else { Fate::Lost },
            }),
            Op::Create { .. } => None,
            _ => continue,
        };
        let file = damaged
            .entry(record.op.ino())
            .or_insert_with(|| CrashedFile {
                path: record.path.to_string(),
                size: 0,
                missing: true,
                damage: Vec::new(),
            });
        file.damage.extend(damage);
    }
    damaged
}

/// Every regular file below a folder: its path (one of them, where it has several) and size.
fn walk(tree: &Tree, folder: Ino, below: &str, into: &mut HashMap<Ino, (String, u64)>) {
    let Ok(entries) = tree.dir(folder) else {
        return;
    };
    for (name, entry) in entries.iter() {
        let path = match below {
            "" => name.to_string_lossy().into_owned(),
            below => format!("{below}/{}", name.to_string_lossy()),
        };
        match tree.get(entry.ino).map(|inode| (&inode.node, inode.size())) {
            Ok((Node::Dir(_), _)) => walk(tree, entry.ino, &path, into),
            Ok((Node::File(_), size)) => {
                into.entry(entry.ino).or_insert((path, size));
            }
            _ => {}
        }
    }
}

/// The ranges in order, with those of one fate that touch as one.
fn joined(mut ranges: Vec<Damage>) -> Vec<Damage> {
    ranges.sort_by_key(|range| (range.offset, range.len));
    let mut joined: Vec<Damage> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.fate == range.fate && range.offset <= last.offset + last.len => {
                let end = (range.offset + range.len).max(last.offset + last.len);
                last.len = end - last.offset;
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let range = |offset, len, fate| Damage { offset, len, fate };
        let all = vec![
            range(8, 8, Fate::Lost),
            range(0, 8, Fate::Lost),
            range(16, 4, Fate::Torn),
            range(40, 4, Fate::Torn),
            range(18, 1, Fate::Torn),
        ];
        assert_eq!(
            joined(all),
            [
                range(0, 16, Fate::Lost),
                range(16, 4, Fate::Torn),
                range(40, 4, Fate::Torn)
            ]
        );
    }
}
