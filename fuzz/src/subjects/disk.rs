//! The simulated disk against a plain model: a map from names to bytes.

use std::collections::BTreeMap;
use std::path::Path;

use plugpull_crashsim::file::{File, SimDisk, Storage};
use plugpull_crashsim::persist::crash_states;
use plugpull_crashsim::persist::{BTRFS, EXT4, EXT4_WRITEBACK, JOURNALED, Model, STRICT, XFS};

use crate::subject::{Reading, Shape, Subject};

/// Operations, three bytes each.
pub(crate) const OPERATIONS: Subject = Subject {
    name: "crashsim",
    shape: Shape::Bytes,
    seeds: operations,
    property: sound,
    mutant: gaps_are_not_zeros,
};

/// The names of files; the last two lie in a directory.
const NAMES: [&str; 4] = ["a", "b", "d/a", "d/b"];
/// The most operations that are played.
const MOST: usize = 30;

fn operations() -> Vec<Vec<u8>> {
    // Of each kind, on each file; a sync of all at the end.
    let one = |kind: u8| [kind, kind.wrapping_mul(37), kind.wrapping_mul(91)];
    let all: Vec<u8> = (0..30).flat_map(one).collect();
    let appends = [0, 0, 9, 1, 0, 40, 1, 16, 40, 5, 0, 0, 6, 0, 0].to_vec();
    vec![all, appends]
}

/// A file of the plain model.
#[derive(Clone, Default)]
struct Plain {
    bytes: Vec<u8>,
    /// What is certain to be there after a crash, while nothing changed since.
    synced: bool,
}

fn sound(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    play(input, 0)
}

/// A model in which what lies between the end of a file and a write behind it is not zero.
fn gaps_are_not_zeros(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    play(input, 0xFF)
}

/// Plays the operations on both, and compares them: what is read, and what is left after a crash.
fn play(input: &[u8], gap: u8) -> Result<Reading, String> {
    let disk = SimDisk::new();
    disk.create_dir("d").map_err(|error| error.to_string())?;
    disk.sync_dir("").map_err(|error| error.to_string())?;
    let mut model: BTreeMap<&str, Plain> = BTreeMap::new();
    for op in input.chunks_exact(3).take(MOST) {
        let name = NAMES[usize::from(op[1] % 4)];
        let here = apply_one(&disk, &mut model, op, name, gap);
        let failed = here.as_ref().err().map(std::io::Error::kind);
        if let Some(kind) = failed
            && !matches!(
                kind,
                std::io::ErrorKind::NotFound | std::io::ErrorKind::AlreadyExists
            )
        {
            return Err(format!("{op:?} on {name} failed: {kind}"));
        }
        compare(&disk, &model)?;
    }
    let log = disk.take_log();
    let end = log.records().len();
    let models: [&dyn Model; 6] = [&EXT4, &EXT4_WRITEBACK, &XFS, &BTRFS, &JOURNALED, &STRICT];
    // Another one for each input.
    let persistence = models[input.iter().map(|byte| usize::from(*byte)).sum::<usize>() % 6];
    for (point, state) in crash_states(&log, persistence, 3) {
        if let Some(flaw) = state.tree.flaw() {
            return Err(format!("{} at {point}: {flaw}", persistence.name()));
        }
        if point < end {
            continue;
        }
        let after = SimDisk::of(state.tree);
        for (name, plain) in model.iter().filter(|(_, plain)| plain.synced) {
            if after.read(name).ok().as_ref() != Some(&plain.bytes) {
                return Err(format!(
                    "{name} was synced, and a crash under {} changes it",
                    persistence.name()
                ));
            }
        }
    }
    Ok(Reading::Read)
}

/// One operation on both.
fn apply_one(
    disk: &SimDisk,
    model: &mut BTreeMap<&'static str, Plain>,
    op: &[u8],
    name: &'static str,
    gap: u8,
) -> std::io::Result<()> {
    let at = usize::from(op[1] / 4) * 100;
    match op[0] % 8 {
        0 => {
            disk.create(name)?;
            model.insert(name, Plain::default());
        }
        1 | 2 => {
            let data = vec![op[2]; usize::from(op[2]) * 40];
            disk.open(name)?.write_at(at as u64, &data)?;
            if let Some(plain) = model.get_mut(name).filter(|_| !data.is_empty()) {
                if plain.bytes.len() < at {
                    plain.bytes.resize(at, gap);
                }
                let end = plain.bytes.len().max(at + data.len());
                plain.bytes.resize(end, 0);
                plain.bytes[at..at + data.len()].copy_from_slice(&data);
                plain.synced = false;
            }
        }
        3 => {
            disk.open(name)?.set_len(at as u64)?;
            if let Some(plain) = model.get_mut(name) {
                plain.bytes.resize(at, 0);
                plain.synced = false;
            }
        }
        4 => {
            let to = NAMES[usize::from(op[2] % 4)];
            disk.rename(name, to)?;
            if let Some(moved) = model.remove(name) {
                let synced = moved.synced && to == name;
                model.insert(to, Plain { synced, ..moved });
            }
        }
        5 => {
            disk.remove_file(name)?;
            model.remove(name);
        }
        _ => {
            let file = disk.open(name)?;
            file.sync_all()?;
            let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
            disk.sync_dir(directory)?;
            if let Some(plain) = model.get_mut(name) {
                plain.synced = true;
            }
        }
    }
    Ok(())
}

fn compare(disk: &SimDisk, model: &BTreeMap<&str, Plain>) -> Result<(), String> {
    for name in NAMES {
        let real = disk.read(name).ok();
        let plain = model.get(name).map(|plain| &plain.bytes);
        if real.as_ref() != plain {
            return Err(format!("{name} differs from the model"));
        }
    }
    Ok(())
}
