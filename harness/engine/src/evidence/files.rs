//! The files that a crash left, with the ranges that are missing in them.

use std::collections::{BTreeMap, HashMap};

use plugpull_crashsim::fs::{Ino, Log, Node, Op, ROOT, Tree};
use plugpull_crashsim::persist::LostUpdate;
use plugpull_reports::{CrashedFile, Damage, Fate};

/// How many files without damage are named.
const WHOLE: usize = 50;

/// The files of a crashed data directory, with what of the operations in `log` was lost, and how many
/// more there are.
pub fn files(tree: &Tree, log: &Log, lost: &[LostUpdate]) -> (Vec<CrashedFile>, u64) {
    let mut damaged = damaged(log, lost);
    let mut whole = Vec::new();
    let mut left_out = 0;
    let mut named = HashMap::new();
    walk(tree, ROOT, "", &mut named);
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
fn damaged(log: &Log, lost: &[LostUpdate]) -> BTreeMap<Ino, CrashedFile> {
    let records = log.records();
    let first = records.first().map_or(0, |record| record.seq);
    let mut damaged: BTreeMap<Ino, CrashedFile> = BTreeMap::new();
    for lost in lost {
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

/// Every regular file below a directory: its path (one of them, where it has several) and size.
fn walk(tree: &Tree, directory: Ino, below: &str, into: &mut HashMap<Ino, (String, u64)>) {
    let Ok(entries) = tree.dir(directory) else {
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
