//! A table made by hand, sound and mutated.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

const TEXT: u64 = 0x40_1000;

/// Two functions of 16 bytes of Go 1.20: `main.put`, into which `main.sync` is inlined from its eighth byte
/// on, and `runtime.goexit`.
fn table() -> (Vec<u8>, Vec<u8>) {
    let names = b"main.put\0main.sync\0runtime.goexit\0\0\0";
    let units = [0_u32, 9].map(u32::to_le_bytes).concat();
    let files = b"store.go\0sync.go\0\0\0\0";
    // Nothing at 0; frame size 24; files 0 and 1; lines 10 and 20; nothing inlined and number 0.
    let values = [
        &[0][..],
        &[50, 16, 0],
        &[2, 8, 2, 8, 0],
        &[22, 8, 20, 8, 0],
        &[0, 8, 2, 8, 0],
        &[0; 3],
    ]
    .concat();
    let names_at = 72;
    let units_at = names_at + names.len();
    let files_at = units_at + units.len();
    let values_at = files_at + files.len();
    let functions_at = values_at + values.len();
    let mut data = 0xffff_fff1_u32.to_le_bytes().to_vec();
    data.extend([0, 0, 1, 8]);
    let places = [
        2,
        2,
        TEXT as usize,
        names_at,
        units_at,
        files_at,
        values_at,
        functions_at,
    ];
    data.extend(places.iter().flat_map(|one| (*one as u64).to_le_bytes()));
    data.extend([&names[..], &units, files, &values].concat());
    let function = |entry: u32, name: u32, flag: u8, tables: [u32; 3]| {
        let fields = [entry, name, 0, 0, 1, 4, 9, 3, 0, 7]
            .map(u32::to_le_bytes)
            .concat();
        let tables = tables.map(u32::to_le_bytes).concat();
        let trees = [u32::MAX, u32::MAX, u32::MAX, 16]
            .map(u32::to_le_bytes)
            .concat();
        [fields, vec![0, flag, 0, 4], tables, trees].concat()
    };
    let first = function(0, 0, 0, [0, 0, 14]);
    let second = function(16, 19, TOP_FRAME, [0, 0, 0]);
    let pairs = [0, 20, 16, 20 + first.len() as u32, 32]
        .map(u32::to_le_bytes)
        .concat();
    data.extend([pairs, first, second].concat());
    // Number 0 of the tree at 16: its name, and that the fifth byte of its function calls it.
    let mut trees = vec![0; 16];
    trees.extend([0, 9, 4, 7].map(u32::to_le_bytes).concat());
    (data, trees)
}

fn open((data, trees): (Vec<u8>, Vec<u8>)) -> Option<Table> {
    Table::new(TableFormat::of(20)?, (data.into(), trees.into()), TEXT)
}

#[test]
fn functions_are_named_with_what_is_inlined() {
    let table = open(table()).expect("a table");
    let calls = |at| {
        let calls = table.calls(TEXT + at).into_iter();
        let calls = calls.map(|one| (one.function, one.file.unwrap_or_default(), one.line));
        calls.collect::<Vec<_>>()
    };
    let put = || ("main.put".to_string(), "store.go".to_string(), Some(10));
    assert_eq!(calls(5), [put()]);
    let sync = ("main.sync".to_string(), "sync.go".to_string(), Some(20));
    assert_eq!(calls(9), [sync, put()]);
    assert_eq!(calls(32), []);
    assert_eq!(table.behind(TEXT + 9, false), Behind::ReturnsAt(24));
    assert_eq!(table.behind(TEXT + 17, false), Behind::Nothing);
    assert_eq!(table.behind(TEXT + 40, false), Behind::Unknown);
    assert!(table.has(TEXT + 31) && !table.has(TEXT + 32) && !table.has(TEXT - 1));
}

#[test]
fn a_function_that_moves_its_stack_ends_it() {
    let (mut data, trees) = table();
    let flag = data.len() - 28 - 72 - 2 - 1;
    data[flag] = WRITES_SP;
    let table = open((data, trees)).expect("a table");
    assert_eq!(table.behind(TEXT + 9, false), Behind::Unknown);
}

/// Mutated and cut tables: no panic, no frame without an end.
#[test]
fn any_table_is_read_within_limits() {
    let sound = table();
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut named = 0;
    for _ in 0..50_000 {
        let (mut data, mut trees) = sound.clone();
        for _ in 0..random.random_range(1..8) {
            let at = random.random_range(0..data.len());
            data[at] = random.random();
        }
        if random.random_range(0..8) == 0 {
            data.truncate(random.random_range(0..sound.0.len()));
            trees.truncate(random.random_range(0..sound.1.len()));
        }
        let Some(table) = open((data, trees)) else {
            continue;
        };
        for at in [0, 5, 9, 17, 31, 32, 1 << 40] {
            let calls = table.calls(TEXT + at);
            assert!(calls.len() <= INLINED_MAX);
            named += calls.len();
            if let Behind::ReturnsAt(size) = table.behind(TEXT + at, at == 0) {
                assert!(size <= FRAME_MAX as u64);
            }
        }
    }
    assert!(named > 10_000, "{named}");
}
