//! The store against hand-made damage, its defects shown one by one, and against a plain map.

mod damage;
mod defects;
mod model;
mod trouble;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use plugpull_workloads::{Op, Txn, Write};

use super::record::BLOCK;
use super::{RecoveryError, ReferenceStore, Settings};
use plugpull_driver::sdk::Session;

/// Settings as `--set` would give them.
fn settings(given: &[(&str, &str)]) -> Settings {
    let values = given
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Settings::parse(&values).unwrap()
}

fn open_with(dir: &Path, given: &[(&str, &str)]) -> Result<ReferenceStore, RecoveryError> {
    ReferenceStore::open(dir, settings(given))
}

/// The sound store.
fn open(dir: &Path) -> ReferenceStore {
    open_with(dir, &[]).unwrap()
}

fn put(key: &str, value: &str) -> Op {
    Op {
        key: key.into(),
        write: Write::Put(value.into()),
    }
}

fn delete(key: &str) -> Op {
    Op {
        key: key.into(),
        write: Write::Delete,
    }
}

fn txn(ops: &[Op]) -> Txn {
    Txn {
        id: 0,
        client: 0,
        ops: ops.to_vec(),
        abort: false,
    }
}

fn contents(store: &mut ReferenceStore) -> BTreeMap<String, String> {
    store.read_all().unwrap()
}

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

/// A store with `k1 = v1` to `kN = vN`, one transaction each, closed. Returns its only log.
fn filled(dir: &Path, count: usize) -> PathBuf {
    let mut store = open(dir);
    for i in 1..=count {
        store
            .apply(&txn(&[put(&format!("k{i}"), &format!("v{i}"))]))
            .unwrap();
    }
    dir.join("log-1")
}

/// What [`filled`] leaves of `count` transactions.
fn first(count: usize) -> BTreeMap<String, String> {
    (1..=count)
        .map(|i| (format!("k{i}"), format!("v{i}")))
        .collect()
}

/// Changes bytes of a file in place.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Where the record with this sequence number begins, when all before it take one block each.
fn record_at(seq: usize) -> usize {
    seq * BLOCK
}
