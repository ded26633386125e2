//! The guide's log.

use std::fs;

use super::super::guide_report::look;
use super::super::{INSPECTOR, scan};
use plugpull_inspect::{InspectError, Inspection, Request};

/// bincode's text: its length in eight bytes, and its bytes.
fn text(bytes: &str) -> Vec<u8> {
    let mut all = (bytes.len() as u64).to_le_bytes().to_vec();
    all.extend(bytes.as_bytes());
    all
}

/// A row with the key U64 and entries of many kinds.
pub(super) fn row(key: u64) -> Vec<u8> {
    let mut all = vec![2, 0, 0, 0];
    all.extend(key.to_le_bytes());
    all.extend(5_u64.to_le_bytes());
    all.extend([8, 0, 0, 0]);
    all.extend(text("hällo"));
    all.extend([7, 0, 0, 0, 1]);
    all.extend([10, 0, 0, 0]);
    all.extend(1_u64.to_le_bytes());
    all.extend([1, 0, 0, 0, 9, 9, 9, 9]);
    all.extend([11, 0, 0, 0, 1, 0, 0, 0, 0]);
    // A row in a row: the key Void, no entries.
    all.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    all.extend(0_u64.to_le_bytes());
    all
}

/// A record with any fields, and a checksum that fits them.
pub(super) fn record(
    version: u8,
    change: u8,
    names: [&[u8]; 2],
    rows: [&[u8]; 2],
    time: u64,
) -> Vec<u8> {
    let mut all = vec![version, change];
    for part in names.into_iter().chain(rows) {
        all.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        all.extend(part);
    }
    all.extend(time.to_le_bytes());
    let sum = crc32fast::hash(&all);
    all.extend(sum.to_le_bytes());
    all
}

fn good(time: u64) -> Vec<u8> {
    let old = [&[1], row(1).as_slice()].concat();
    match time % 3 {
        0 => record(1, 1, [b"shop", b"orders"], [&row(time), &[0]], time),
        1 => record(1, 2, [b"shop", b"orders"], [&row(time), &old], time),
        _ => record(1, 3, [b"", "ü".as_bytes()], [&row(time), &[0]], time),
    }
}

pub(super) fn log(records: u64) -> Vec<u8> {
    (0..records).flat_map(good).collect()
}

fn request() -> Request {
    Request {
        path: "transactions.log".into(),
        ..Request::default()
    }
}

pub(super) fn looked(bytes: &[u8]) -> Inspection {
    look(bytes, &request())
}

fn kinds(inspection: &Inspection) -> Vec<(&'static str, u64)> {
    let spots = inspection.damage.iter();
    spots
        .map(|spot| (spot.kind, spot.offset.unwrap()))
        .collect()
}

#[test]
fn what_is_written_whole_is_sound() {
    let inspection = looked(&log(7));
    assert_eq!(kinds(&inspection), []);
    assert_eq!(inspection.detail["valid"], 7);
    assert_eq!(inspection.detail["last_valid_offset"], log(7).len());
    assert!(looked(b"").sound);
}

#[test]
fn a_log_cut_anywhere_is_good_up_to_the_last_whole_record() {
    let whole = log(4);
    let ends: Vec<usize> = scan(&whole)
        .records
        .iter()
        .map(|record| record.end)
        .collect();
    for cut in 0..whole.len() {
        let inspection = looked(&whole[..cut]);
        let records = ends.iter().filter(|end| **end <= cut).count();
        let good_to = ends[..records].last().copied().unwrap_or(0);
        assert_eq!(inspection.detail["valid"], records);
        assert_eq!(inspection.detail["last_valid_offset"], good_to);
        assert_eq!(inspection.sound, good_to == cut);
        if cut > good_to {
            assert_eq!(inspection.damage[0].kind, "torn");
            let crashed = Request {
                after_crash: true,
                ..request()
            };
            let inspection = look(&whole[..cut], &crashed);
            assert!(inspection.sound && inspection.notes[0].kind == "torn");
        }
    }
}

#[test]
fn each_damage_is_found_by_its_name_and_the_records_behind_it_are_counted() {
    let start = good(0).len() as u64;
    let names: [&[u8]; 2] = [b"shop", b"orders"];
    let (whole, none) = (row(9), &[0][..]);
    let mut bad_sum = record(1, 1, names, [&whole, none], 9);
    let flipped = bad_sum.len() - 10;
    bad_sum[flipped] ^= 1;
    let long_row = [&whole[..], &[0]].concat();
    let rows_at = start + 2 + 8 + 10 + 4;
    let row_end = rows_at + whole.len() as u64;
    for (kind, at, damaged) in [
        ("checksum", start + bad_sum.len() as u64 - 4, bad_sum),
        ("version", start, record(2, 1, names, [&whole, none], 9)),
        ("change", start + 1, record(1, 4, names, [&whole, none], 9)),
        (
            "name",
            start + 7,
            record(1, 1, [b"s\xff", b""], [&whole, none], 9),
        ),
        (
            "row",
            rows_at,
            record(1, 1, names, [&[12, 0, 0, 0], none], 9),
        ),
        ("row", row_end, record(1, 1, names, [&long_row, none], 9)),
        (
            "old-row",
            row_end + 4,
            record(1, 1, names, [&whole, &[2]], 9),
        ),
    ] {
        let bytes = [good(0), damaged, good(1), good(2)].concat();
        let inspection = looked(&bytes);
        assert_eq!(kinds(&inspection), [(kind, at)]);
        assert_eq!(inspection.detail["valid"], 3, "{kind}");
        assert_eq!(inspection.detail["invalid"], 1);
        assert_eq!(inspection.detail["valid_behind_damage"], 2);
        assert_eq!(inspection.detail["last_valid_offset"], start);
        // In the middle it is damage after a crash too.
        let crashed = Request {
            after_crash: true,
            ..request()
        };
        assert!(!look(&bytes, &crashed).sound);
    }
}

#[test]
fn behind_a_damaged_length_nothing_is_found_and_that_is_said() {
    let mut bytes = log(3);
    let second = good(0).len();
    bytes[second + 2] ^= 0x10;
    let inspection = looked(&bytes);
    assert_eq!(inspection.detail["valid"], 1);
    assert_eq!(inspection.detail["unread"], bytes.len() - second);
    assert!(!inspection.sound);
}

#[test]
fn a_row_that_is_endless_or_bottomless_is_refused() {
    let endless = [&row(1)[..12], &u64::MAX.to_le_bytes()].concat();
    let bottomless = [11, 0, 0, 0, 1].repeat(10_000);
    for row in [endless, bottomless] {
        let bytes = record(1, 1, [b"m", b"t"], [&row, &[0]], 1);
        assert_eq!(looked(&bytes).damage[0].kind, "row");
    }
}

#[test]
fn time_that_goes_back_is_noted() {
    let inspection = looked(&[good(5), good(4)].concat());
    assert!(inspection.sound);
    assert_eq!(inspection.notes[0].kind, "time-went-back");
}

#[test]
fn a_repair_writes_a_sound_copy_and_leaves_the_original_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("transactions.log");
    let damaged = [&log(3)[..], b"\x01\x01torn"].concat();
    fs::write(&path, &damaged).unwrap();
    let request = Request {
        path: path.clone(),
        ..Request::default()
    };
    let repair = INSPECTOR.repair.unwrap();
    let copy = directory.path().join("copy");
    let repaired = repair(&request, &copy).unwrap();
    assert_eq!((repaired.kept, repaired.cut), (log(3).len() as u64, 6));
    assert_eq!(fs::read(&copy).unwrap(), log(3));
    for taken in [&path, &copy] {
        let refused = repair(&request, taken);
        assert!(matches!(refused, Err(InspectError::Unwritable { .. })));
    }
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(repair(&request, &link).is_err());
    assert_eq!(fs::read(&path).unwrap(), damaged);
}
