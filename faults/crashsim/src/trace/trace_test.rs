//! A trace that was written and read is the same trace; a damaged one is refused.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;

use super::{TraceError, TraceWriter, read};
use crate::fs::{Caller, Content, Log, LogLimit, NewNode, Op, PAGE, ROOT, RenameMode, Tree};

fn disk() -> Tree {
    Tree::new(0, 0, 0)
}

/// A write of bytes that this number names; equal numbers give equal bytes.
fn write(ino: u64, offset: u64, len: usize, number: u8) -> Op {
    let bytes: Vec<u8> = (0..len).map(|n| (n / 7) as u8 ^ number).collect();
    Op::Write {
        ino,
        data: Content::default().write(offset, &bytes),
        old_size: 0,
    }
}

fn op() -> impl Strategy<Value = Op> {
    let names = [&b"a"[..], b"b", b"\xff\n", b"a b", b"..."];
    let names =
        names.map(|name| <OsString as std::os::unix::ffi::OsStringExt>::from_vec(name.into()));
    let name = proptest::sample::select(names.to_vec());
    let offset = prop_oneof![0..3 * PAGE as u64, Just(0), Just(PAGE as u64)];
    let len = prop_oneof![0..3 * PAGE, Just(PAGE), Just(2 * PAGE)];
    prop_oneof![
        4 => (1..9u64, offset, len, 0..3u8).prop_map(|(i, o, l, n)| write(i, o, l, n)),
        1 => (2..9u64, name.clone(), any::<u32>()).prop_map(|(ino, name, mode)| Op::Create {
            parent: ROOT,
            name,
            ino,
            node: NewNode::Symlink("to".into()),
            mode,
            owner: Caller { uid: 1, gid: 2, now: -3 },
        }),
        1 => (2..9u64, name.clone(), name).prop_map(|(ino, from, to)| Op::Rename {
            from: (ROOT, from),
            to: (ROOT, to),
            ino,
            replaced: Some(7),
            exchange: false,
        }),
        1 => (1..9u64, any::<bool>()).prop_map(|(ino, data_only)| Op::Sync {
            ino,
            data_only,
            dir: false,
        }),
        1 => (1..9u64, 0..=crate::fs::FILE_MAX).prop_map(|(ino, size)| Op::Truncate { ino, old_size: 1, size }),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Op(Op, u8),
    Mark(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        5 => (op(), 0..4u8).prop_map(|(op, path)| Event::Op(op, path)),
        1 => any::<u64>().prop_map(Event::Mark),
    ];
    proptest::collection::vec(event, 0..60).prop_map(|mut events| {
        let mut tree = disk();
        events.retain_mut(|event| match event {
            Event::Op(op, _) => happens(&mut tree, op),
            Event::Mark(_) => true,
        });
        events
    })
}

/// Does what a filesystem can do of an operation, with the inodes that it finds; false where it cannot.
fn happens(tree: &mut Tree, op: &mut Op) -> bool {
    match op {
        Op::Create {
            name,
            ino,
            node,
            mode,
            owner,
            ..
        } => {
            let made = tree.create(ROOT, name, node, *mode, *owner);
            made.map(|made| *ino = made).is_ok()
        }
        Op::Rename {
            from,
            to,
            ino,
            replaced,
            ..
        } => match tree.rename((ROOT, &from.1), (ROOT, &to.1), RenameMode::Replace, 0) {
            Ok((moved, other)) if other != Some(moved) => {
                (*ino, *replaced) = (moved, other);
                true
            }
            _ => false,
        },
        _ => true,
    }
}

/// Logs the events twice at the same time: in memory, and to a file, which it reads back.
fn both(events: &[Event], path: &Path) -> (String, String) {
    let mut kept = Log::new(disk(), Instant::now(), 0, LogLimit::Stop(u64::MAX));
    let writer = TraceWriter::create(path, 64 << 10).expect("a trace");
    let mut streamed = Log::new(disk(), Instant::now(), 0, LogLimit::Stop(u64::MAX));
    streamed.stream_to(writer.sink());
    for event in events {
        match event {
            Event::Op(op, path) => {
                let path: Arc<str> = format!("file-{path}").into();
                kept.push(7, path.clone(), op.clone());
                streamed.push(7, path, op.clone());
            }
            Event::Mark(id) => {
                kept.mark(*id);
                streamed.mark(*id);
            }
        }
    }
    assert!(streamed.records().is_empty(), "nothing is kept");
    assert_eq!(streamed.next_seq(), kept.next_seq());
    writer.finish(b"about it".to_vec()).expect("written");
    let traced = read(path, |_| disk()).expect("read");
    assert_eq!(traced.about, b"about it");
    (described(&kept), described(&traced.log))
}

/// All that a log holds but the times.
fn described(log: &Log) -> String {
    let mut text = String::new();
    for record in log.records() {
        let bytes = match &record.op {
            Op::Write { data, .. } => data.to_vec(),
            _ => Vec::new(),
        };
        text += &format!(
            "{} {} {} {:?} {bytes:?}\n",
            record.seq, record.pid, record.path, record.op
        );
    }
    for mark in log.marks() {
        text += &format!("{} {}\n", mark.seq, mark.id);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_read_is_what_happened(events in events()) {
        let directory = tempfile::tempdir().expect("a directory");
        let (kept, read) = both(&events, &directory.path().join("trace"));
        prop_assert_eq!(kept, read);
    }
}

/// A short trace as bytes.
fn short() -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trace");
    let events = [
        Event::Op(write(2, 0, 2 * PAGE + 9, 1), 0),
        Event::Mark(1),
        Event::Op(write(2, 24, PAGE, 1), 1),
        Event::Op(
            Op::Sync {
                ino: 2,
                data_only: true,
                dir: false,
            },
            0,
        ),
    ];
    both(&events, &path);
    std::fs::read(&path).expect("the trace")
}

#[test]
fn a_changed_byte_and_a_missing_end_are_refused() {
    let sound = short();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trace");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        read(&path, |_| disk()).err()
    };
    assert!(refused(&sound).is_none());
    for at in 0..sound.len() {
        let mut changed = sound.clone();
        changed[at] ^= 0x10;
        assert!(refused(&changed).is_some(), "a change at byte {at}");
    }
    for len in 0..sound.len() {
        assert!(refused(&sound[..len]).is_some(), "cut to {len} bytes");
    }
    let line = "plugpull.trace/1\n".len();
    let mut other = sound.clone();
    other[line - 2] = b'3';
    assert!(matches!(refused(&other), Some(TraceError::Version { .. })));
    other[line - 2] = b'1';
    assert!(refused(&other).is_none(), "one of version 1 is read");
    assert!(matches!(
        refused(&sound[..line]),
        Some(TraceError::CutShort { records: 0, .. })
    ));
    assert!(matches!(refused(b"{}"), Some(TraceError::NoTrace(_))));
}

#[test]
fn equal_pages_are_stored_once() {
    let directory = tempfile::tempdir().expect("a directory");
    // Bytes that do not compress, in a log's frame and later in the file itself.
    let mut state = 1u64;
    let page: Vec<u8> = (0..PAGE)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    let size = |offsets: &[u64]| {
        let path = directory.path().join(offsets.len().to_string());
        let events: Vec<Event> = offsets
            .iter()
            .map(|offset| {
                let data = Content::default().write(*offset, &page);
                let op = Op::Write {
                    ino: 2,
                    data,
                    old_size: 0,
                };
                Event::Op(op, 0)
            })
            .collect();
        both(&events, &path);
        std::fs::metadata(&path).expect("the trace").len()
    };
    let once = size(&[0]);
    let often = size(&[0, 24, 4096, 8192 + 56, 40960]);
    assert!(often < once + 200, "{often} bytes, and {once} for one");
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trace");
    std::fs::write(&path, "mine").expect("written");
    let error = TraceWriter::create(&path, 1).err().expect("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).expect("read"), b"mine");
    let other = directory.path().join("other");
    drop(TraceWriter::create(&other, 1).expect("begun"));
    assert_eq!(
        std::fs::read_dir(directory.path()).expect("read").count(),
        1
    );
}

/// However fast it comes, no more waits to be written than the limit and what is larger alone.
#[test]
fn whoever_writes_faster_than_the_file_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    let limit = 8 << 10;
    let writer = TraceWriter::create(&directory.path().join("trace"), limit).expect("begun");
    let gate = writer.gate.clone();
    let mut log = Log::new(disk(), Instant::now(), 0, LogLimit::Stop(u64::MAX));
    log.stream_to(writer.sink());
    let mut most = 0;
    for n in 0..500 {
        log.push(1, "f".into(), write(2, n * 64, 3000, n as u8));
        most = most.max(gate.waiting());
    }
    writer.finish(Vec::new()).expect("written");
    assert!(most <= limit, "{most} bytes waited");
}
