//! The published node's tables.

use std::fs;
use std::path::Path;

use super::super::INSPECTOR;
use super::super::node_report::table;
use plugpull_inspect::{InspectError, Request};

/// A number as postcard writes it.
fn varint(mut number: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while number > 0x7f {
        all.push(number as u8 | 0x80);
        number >>= 7;
    }
    all.push(number as u8);
    all
}

/// A row with the key U64 and the entries of every kind.
pub(super) fn row(key: u64) -> Vec<u8> {
    let entries: [&[u8]; 14] = [
        &[0],
        &[1, 255],
        &[2, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[4, 3],
        &[5, 1],
        &[6, 0, 0, 128, 63],
        &[7, 0, 0, 0, 0, 0, 0, 0, 0],
        &[8, 1],
        &[9, 3, b'a', b'b', b'c'],
        &[10, 2, 0, 8, 0],
        &[11, 1, 11, 0],
        &[12, 1, 1, 5],
        &[13, 1, b's', 1, 1, b'f', 0],
        &[14, 1, b'e', 1, b'v', 0],
    ];
    [vec![3], varint(key), vec![14], entries.concat()].concat()
}

fn key(key: u64) -> Vec<u8> {
    [vec![2], varint(key)].concat()
}

/// A frame with an entry of this number, whose operation is these bytes.
fn frame(seq: u64, op: &[u8]) -> Vec<u8> {
    let payload = [varint(seq), varint(1_700_000_000_000), op.to_vec()].concat();
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..], &payload].concat()
}

fn insert(seq: u64, of: u64) -> Vec<u8> {
    frame(seq, &[&[0][..], &key(of), &[1], &row(of)].concat())
}

fn update(seq: u64, of: u64) -> Vec<u8> {
    frame(seq, &[&[1][..], &key(of), &[0]].concat())
}

fn delete(seq: u64, of: u64) -> Vec<u8> {
    frame(seq, &[&[2][..], &key(of)].concat())
}

fn snapshot(last_seq: u64, keys: &[u64]) -> Vec<u8> {
    let rows: Vec<u8> = keys.iter().flat_map(|key| row(*key)).collect();
    [vec![1], varint(last_seq), varint(keys.len() as u64), rows].concat()
}

/// The log that goes with `snapshot(1, &[10, 11])`: number 1 is in both.
pub(super) fn log() -> Vec<u8> {
    let entries = [
        insert(1, 11),
        insert(2, 12),
        update(3, 10),
        delete(4, 11),
        insert(5, 11),
    ];
    let clear = frame(6, &[3]);
    [entries.concat(), clear, insert(7, 10)].concat()
}

fn kinds(log: &[u8], snapshot: Option<&[u8]>) -> Vec<(&'static str, usize)> {
    let looked = table(Some(log), snapshot);
    looked
        .broken
        .iter()
        .map(|one| (one.kind, one.offset))
        .collect()
}

#[test]
fn a_healthy_pair_is_sound() {
    assert_eq!(kinds(&log(), Some(&snapshot(1, &[10, 11]))), []);
    assert_eq!(kinds(&insert(0, 1), None), []);
    assert_eq!(kinds(&[], Some(&snapshot(300, &[1]))), []);
    assert_eq!(kinds(&insert(2, 12), Some(&snapshot(1, &[10, 11]))), []);
}

#[test]
fn each_damage_is_found_by_its_name_and_place() {
    let first = insert(0, 1);
    let at = first.len();
    let then = |frame: Vec<u8>| [first.clone(), frame].concat();
    let bad_key = [&[0][..], &key(2), &[1], &row(3)].concat();
    for (kind, offset, log) in [
        ("torn", at, then(vec![9, 0, 0, 0, 1])),
        ("torn", at, then(vec![9, 0])),
        ("entry", at + 11, then(frame(1, &[4]))),
        (
            "entry",
            at + 4,
            then(frame(1, &[])[..4].iter().map(|_| 0).collect()),
        ),
        ("entry", at + 12, then(frame(1, &[3, 0]))),
        ("entry", at + 12, then(frame(1, &[2, 9]))),
        ("numbering", at, then(insert(2, 2))),
        ("numbering", at, then(insert(0, 2))),
        ("insert-of-existing", at, then(insert(1, 1))),
        ("update-of-missing", at, then(update(1, 2))),
        ("delete-of-missing", at, then(delete(1, 2))),
        ("row-key", at, then(frame(1, &bad_key))),
        ("gap", 0, insert(2, 1)),
    ] {
        assert_eq!(kinds(&log, None), [(kind, offset)], "{kind}");
    }
    let two = snapshot(1, &[10, 11]);
    for (kind, offset, log, snapshot) in [
        ("gap", 0, insert(3, 12), two.clone()),
        ("log-behind", 0, insert(0, 10), two.clone()),
        (
            "duplicate-row",
            3 + row(10).len(),
            vec![],
            snapshot(1, &[10, 10]),
        ),
        ("snapshot", 0, log(), [&[2][..], &two[1..]].concat()),
        ("snapshot", two.len(), log(), [&two[..], &[0]].concat()),
        ("snapshot", 3, vec![], vec![1, 1, 1]),
        ("row-key", 3, vec![], vec![1, 1, 1, 0, 0]),
        ("delete-of-missing", 0, delete(2, 12), two.clone()),
    ] {
        assert_eq!(kinds(&log, Some(&snapshot)), [(kind, offset)], "{kind}");
    }
}

fn inspected(path: &Path, after_crash: bool) -> Result<Vec<&'static str>, InspectError> {
    let request = Request {
        path: path.to_owned(),
        after_crash,
        ..Request::default()
    };
    let inspection = (INSPECTOR.inspect)(&request)?;
    assert_eq!(inspection.format, "the published node's tables");
    assert_eq!(inspection.sound, inspection.damage.is_empty());
    Ok(inspection.damage.iter().map(|spot| spot.kind).collect())
}

#[test]
fn a_directory_is_walked_and_logs_meet_their_snapshots() {
    let directory = tempfile::tempdir().unwrap();
    let module = directory.path().join("nodes/n/modules/m");
    for sub in ["logs", "snapshots", "stateful/t"] {
        fs::create_dir_all(module.join(sub)).unwrap();
    }
    fs::write(directory.path().join("nodes/n/node.log"), "text\n").unwrap();
    fs::write(module.join("logs/t.log"), log()).unwrap();
    let snap = module.join("snapshots/t.snap");
    fs::write(&snap, snapshot(1, &[10, 11])).unwrap();
    fs::write(module.join("stateful/t/00.row"), row(1)).unwrap();
    fs::write(module.join("logs/t.log.tmp"), "half").unwrap();
    assert_eq!(inspected(directory.path(), false).unwrap(), [""; 0]);
    assert_eq!(inspected(&snap, false).unwrap(), [""; 0]);

    // Without its snapshot the log changes rows that are not there.
    fs::remove_file(&snap).unwrap();
    assert!(
        inspected(&module.join("logs/t.log"), false)
            .unwrap()
            .contains(&"update-of-missing")
    );
    fs::write(&snap, snapshot(1, &[10, 11])).unwrap();

    fs::write(module.join("stateful/t/01.row"), b"\xff").unwrap();
    assert_eq!(inspected(directory.path(), false).unwrap(), ["row"]);
    fs::remove_file(module.join("stateful/t/01.row")).unwrap();

    fs::write(module.join("logs/t.log"), [&log()[..], b"\x09"].concat()).unwrap();
    assert_eq!(inspected(directory.path(), false).unwrap(), ["torn"]);
    assert_eq!(inspected(directory.path(), true).unwrap(), [""; 0]);
    // A length without its entry keeps the node from starting.
    fs::write(
        module.join("logs/t.log"),
        [&log()[..], b"\x09\0\0\0"].concat(),
    )
    .unwrap();
    assert_eq!(inspected(directory.path(), true).unwrap(), ["torn"]);
}

#[test]
fn a_table_may_begin_with_number_one_and_number_zero_is_found() {
    let restored = [insert(1, 1), insert(2, 2)].concat();
    assert_eq!(kinds(&restored, None), []);
    assert_eq!(table(Some(&restored), None).never_replayed, None);
    let published = [insert(0, 1), insert(1, 2)].concat();
    assert_eq!(kinds(&published, None), []);
    assert_eq!(table(Some(&published), None).never_replayed, Some(0));
    let held = snapshot(1, &[1, 2]);
    assert_eq!(
        table(Some(&published), Some(&held)).never_replayed,
        None,
        "a snapshot holds it"
    );
}

#[test]
fn a_directory_without_tables_is_not_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(
        inspected(directory.path(), false),
        Err(InspectError::NotThis { .. })
    ));
    let request = Request {
        path: directory.path().to_owned(),
        ..Request::default()
    };
    let to = directory.path().join("copy");
    let refused = (INSPECTOR.repair.unwrap())(&request, &to);
    assert!(matches!(refused, Err(InspectError::NotThis { .. })) && !to.exists());
}
