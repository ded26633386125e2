//! The files that a crash left, with the ranges that are missing in them.

use std::collections::{BTreeMap, HashMap};

use plugpull_crashsim::fs::{Content, Ino, Log, Node, Op, ROOT, Tree};
use plugpull_crashsim::persist::LostUpdate;
use plugpull_reports::{CrashedFile, Damage, Fate};

/// How many files without damage are named.
const WHOLE: usize = 50;
/// Of how many damaged ranges of a finding the bytes are kept, and how many bytes of each.
const RANGES: usize = 8;
const BYTES: u64 = 256;

/// The files of a crashed data directory, with what of the operations in `log` was lost, and how many
/// more there are.
///
/// `end` is the crash on the log's clock.
pub fn files(tree: &Tree, log: &Log, end: u64, lost: &[LostUpdate]) -> (Vec<CrashedFile>, u64) {
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
    let mut ranges = RANGES;
    for (ino, file) in &mut damaged {
        file.damage = joined(std::mem::take(&mut file.damage));
        with_bytes(*ino, &mut file.damage, (tree, log, end), &mut ranges);
    }
    let mut files: Vec<CrashedFile> = damaged.into_values().chain(whole).collect();
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
            Op::Write { data, .. } => {
                let fate = if lost.torn { Fate::Torn } else { Fate::Lost };
                Some(Damage::new(data.offset(), data.len(), fate))
            }
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

/// Adds the bytes of the first few ranges: those that were written, and those that the crash left.
fn with_bytes(
    ino: Ino,
    damage: &mut [Damage],
    (tree, log, end): (&Tree, &Log, u64),
    ranges: &mut usize,
) {
    let few = damage.len().min(*ranges);
    if few == 0 {
        return;
    }
    *ranges -= few;
    let written = written(log, ino, end);
    let left = content_of(tree, ino).unwrap_or_default();
    for range in &mut damage[..few] {
        let len = range.len.min(BYTES) as usize;
        let hex = |content: &Content| {
            let mut bytes = Vec::new();
            content.read(range.offset, len, &mut bytes);
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        (range.expected, range.found) = (hex(&written), hex(&left));
    }
}

/// What a file held at the crash, as the kernel had been given it.
fn written(log: &Log, ino: Ino, end: u64) -> Content {
    let mut content = content_of(log.base(), ino).unwrap_or_default();
    let records = log.records().iter().take_while(|record| record.seq < end);
    for record in records.filter(|record| record.op.ino() == ino) {
        match &record.op {
            Op::Write { data, .. } => {
                content.set_size_only(content.size().max(data.end()));
                content.apply(data);
            }
            Op::Truncate { size, .. } => content.truncate(*size),
            Op::Zero {
                offset,
                len,
                punch,
                size,
                ..
            } => {
                content.zero(*offset, *len, *punch);
                content.set_size_only(*size);
            }
            Op::Allocate { size, .. } => content.set_size_only(*size),
            _ => {}
        }
    }
    content
}

fn content_of(tree: &Tree, ino: Ino) -> Option<Content> {
    match &tree.get(ino).ok()?.node {
        Node::File(content) => Some(content.clone()),
        _ => None,
    }
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
    use plugpull_crashsim::fs::{Caller, NewNode, Record};

    use super::*;

    /// What was written and what is there, of no more ranges and bytes than a report may have.
    #[test]
    fn the_bytes_of_lost_ranges_are_kept_within_bounds() {
        let owner = Caller {
            uid: 0,
            gid: 0,
            now: 0,
        };
        let ino = 20;
        let mut tree = Tree::new(0, 0, 0);
        tree.raw_node(ino, &NewNode::File, 0o644, owner, "log".into());
        tree.raw_entry(ROOT, "log".as_ref(), Some(ino));
        let base = tree.clone();
        // The crash left the first write alone.
        tree.raw_content(ino, |content| {
            content.set_size_only(1000);
            content.patch(0, b"abcd");
        });
        let mut content = Content::default();
        let mut records = Vec::new();
        let mut write = |at: u64, bytes: &[u8]| {
            let data = content.write(at, bytes);
            records.push(Record {
                seq: records.len() as u64,
                nanos: 0,
                pid: 1,
                path: "log".into(),
                op: Op::Write {
                    ino,
                    data,
                    old_size: 0,
                },
            });
        };
        write(0, b"abcd");
        for at in 1..=9 {
            write(at * 1000, &[at as u8; 300]);
        }
        write(2, b"XY");
        // After the crash.
        write(1000, b"later");
        let log = Log::of(base, records, Vec::new());
        let lost: Vec<LostUpdate> = (1..=10)
            .map(|seq| LostUpdate {
                seq,
                path: "log".into(),
                what: String::new(),
                torn: false,
            })
            .collect();
        let (files, _) = files(&tree, &log, 11, &lost);
        let damage = &files[0].damage;
        assert_eq!((files.len(), damage.len()), (1, 10));
        let first = &damage[0];
        assert_eq!((first.offset, first.len), (2, 2));
        assert_eq!((&*first.expected, &*first.found), ("5859", "6364"));
        // It lies behind the end of the file.
        assert_eq!(damage[1].expected, "01".repeat(256));
        assert_eq!(damage[1].found, "");
        let kept = damage.iter().filter(|one| !one.expected.is_empty());
        assert_eq!(kept.count(), RANGES);
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let range = Damage::new;
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
