//! Traces and artifacts: what somebody else's machine recorded, and what is made of it here.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plugpull_crashsim::fs::{Node, Op, Tree};
use plugpull_crashsim::persist::{BTRFS, EXT4, Model, STRICT, crash_states};
use plugpull_engine::explore::{Artifact, Trace, TraceFile};
use plugpull_engine::keep::Keep;
use plugpull_filesystems::tree_of;

use crate::subject::{Reading, Shape, Subject, any};

/// `explore --trace FILE`.
pub(crate) const TRACE: Subject = Subject {
    name: "trace",
    shape: Shape::Frames,
    seeds: traces,
    property: read_trace,
    mutant: trust_a_length,
};

/// `replay FILE`.
pub(crate) const ARTIFACT: Subject = Subject {
    name: "artifact",
    shape: Shape::Json,
    seeds: artifacts,
    property: read_artifact,
    mutant: export_names_as_they_are,
};

/// The most of a trace that is made into crash states, in operations.
const OPERATIONS: usize = 32;
/// The same in bytes written: a frame of a few bytes may stand for a gigabyte of zeros, of which each
/// state has its own.
const WRITTEN: u64 = 1 << 20;

/// What was recorded once: a new recording has other times, and a failing input could not be made again.
fn traces() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../seeds/trace").to_vec()]
}

fn read_trace(input: &[u8], scratch: &Path) -> Result<Reading, String> {
    let path = scratch.join("trace");
    fs::write(&path, input).map_err(|error| error.to_string())?;
    let file = TraceFile { path, memory: 0 };
    let Ok(Trace { log, .. }) = file.read() else {
        return Ok(Reading::Refused);
    };
    let written = |op: &Op| match op {
        Op::Write { data, .. } => data.len(),
        _ => 0,
    };
    let all: u64 = log.records().iter().map(|one| written(&one.op)).sum();
    if log.records().len() > OPERATIONS || all > WRITTEN {
        return Ok(Reading::Read);
    }
    let models: [&dyn Model; 3] = [&EXT4, &STRICT, &BTRFS];
    // Another one for each input.
    let model = models[input.iter().map(|byte| usize::from(*byte)).sum::<usize>() % models.len()];
    for (point, state) in crash_states(&log, model, 1) {
        if let Some(flaw) = state.tree.flaw() {
            return Err(format!("{} at {point}: {flaw}", model.name()));
        }
        stays_inside(&state.tree)?;
    }
    Ok(Reading::Read)
}

/// A name that is a path leads out of the directory that a tree is written to.
fn stays_inside(tree: &Tree) -> Result<(), String> {
    for (ino, inode) in tree.inodes() {
        let Node::Dir(dir) = &inode.node else {
            continue;
        };
        for (name, _) in dir.iter() {
            let bytes = name.as_encoded_bytes();
            if bytes.is_empty() || bytes == b".." || bytes == b"." || bytes.contains(&b'/') {
                return Err(format!("the directory {ino} has the name {name:?}"));
            }
        }
    }
    Ok(())
}

/// A reader that takes each frame to be as long as it says.
fn trust_a_length(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    let mut at = input.iter().position(|byte| *byte == b'\n').unwrap_or(0) + 1;
    while at + 17 < input.len() {
        let four = [input[at + 1], input[at + 2], input[at + 3], input[at + 4]];
        let len = u32::from_le_bytes(four) as usize;
        let payload = &input[at + 17..at + 17 + len];
        at += 17 + payload.len();
    }
    Ok(Reading::Read)
}

fn artifacts() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../seeds/artifact").to_vec(),
        include_bytes!("../../seeds/artifact-operations").to_vec(),
    ]
}

/// Where the export of an artifact may write, below a directory of which all else must stay as it is.
fn below(scratch: &Path) -> Result<std::path::PathBuf, String> {
    let outer = scratch.join("outer");
    match fs::remove_dir_all(&outer) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.to_string()),
        _ => {}
    }
    let inner = outer.join("a/b/c");
    fs::create_dir_all(&inner).map_err(|error| error.to_string())?;
    Ok(inner)
}

/// Whether nothing was written but below the directory named.
fn nothing_outside(scratch: &Path) -> Result<(), String> {
    let mut at = scratch.join("outer");
    for name in ["a", "b", "c"] {
        let names: Vec<_> = fs::read_dir(&at)
            .map_err(|error| error.to_string())?
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .collect();
        if names != [name] {
            return Err(format!("written outside: {names:?} in {}", at.display()));
        }
        at.push(name);
    }
    let escape = Path::new("/tmp/plugpull-fuzz-escape");
    match fs::remove_file(escape) {
        Ok(()) => Err(format!("written outside: {}", escape.display())),
        Err(_) => Ok(()),
    }
}

fn read_artifact(input: &[u8], scratch: &Path) -> Result<Reading, String> {
    let path = scratch.join("artifact");
    fs::write(&path, input).map_err(|error| error.to_string())?;
    let Ok(artifact) = Artifact::read(&path) else {
        return Ok(Reading::Refused);
    };
    if let Ok(Some((records, before))) = artifact.operations() {
        if before > records.len() {
            return Err(format!("{before} of {} operations", records.len()));
        }
        let made = tree_of(&records);
        if let Some(flaw) = made.flaw() {
            return Err(flaw);
        }
        stays_inside(&made)?;
    }
    let Ok(tree) = artifact.tree_as_listed() else {
        return Ok(Reading::Refused);
    };
    if let Some(flaw) = tree.flaw() {
        return Err(flaw);
    }
    stays_inside(&tree)?;
    if tree.count_pages() > 1000 || tree.inodes().count() > 100 {
        return Ok(Reading::Read);
    }
    let keep = Keep::open(&below(scratch)?.join("kept")).map_err(|error| error.to_string())?;
    // What cannot be made on this disk is refused; it must not be made elsewhere.
    drop(keep.claim().and_then(|()| Ok(keep.disk("data", &tree)?)));
    nothing_outside(scratch).map(|()| Reading::Read)
}

/// An export that takes each name as it is, as a path.
fn export_names_as_they_are(input: &[u8], scratch: &Path) -> Result<Reading, String> {
    let value: serde_json::Value = serde_json::from_slice(input).unwrap_or_default();
    let inner = below(scratch)?;
    for saved in value["disk"].as_array().into_iter().flatten() {
        let path = STANDARD
            .decode(saved["path"].as_str().unwrap_or_default())
            .unwrap_or_default();
        let path = String::from_utf8_lossy(&path).into_owned();
        // A name that is no base64 is taken as it is.
        let plain = saved["path"].as_str().unwrap_or_default().to_owned();
        for path in [path, plain] {
            any(fs::write(inner.join(path), "x"));
        }
    }
    nothing_outside(scratch).map(|()| Reading::Read)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use plugpull_crashsim::file::{File, SimDisk, Storage};
    use plugpull_engine::explore::{About, Recorded};
    use plugpull_workloads::{
        Durability, FailureClass, Finding, FindingKind, Guarantee, History, Promise, Stamp,
    };

    use super::*;

    /// A store that does a little of everything, on the simulated disk.
    fn worked() -> std::io::Result<SimDisk> {
        let disk = SimDisk::new();
        let log = disk.create("log")?;
        log.write_at(0, b"one.")?;
        log.sync_all()?;
        disk.sync_dir("")?;
        disk.ack(1);
        disk.create_dir("d")?;
        disk.create_dir("d/e")?;
        let table = disk.create("d/e/table")?;
        table.write_at(100, &[7; 9000])?;
        table.set_len(5000)?;
        table.sync_data()?;
        disk.rename("d/e/table", "d/table")?;
        disk.sync_dir("d")?;
        disk.ack(2);
        log.write_at(4, b"two.")?;
        disk.remove_file("d/table")?;
        disk.create("d/table")?.write_at(4096, &[8; 4096])?;
        disk.ack(3);
        Ok(disk)
    }

    fn about() -> Recorded {
        Recorded {
            plugpull: "0.1.0".into(),
            target: "reference".into(),
            version: "1".into(),
            settings: BTreeMap::from([("a".into(), "b".into())]),
            seed: 1,
            clients: 1,
            value_size: 8,
            owner: (0, 0),
            history: History::default(),
            output: "started".into(),
            end: None,
            last_ack: None,
            read_late: false,
            stacks: serde_json::from_value(serde_json::json!({
                "modules": [{"path": "/bin/a", "build_id": "ab"}],
                "frames": [{"module": 0, "offset": 16, "calls": [{"function": "f", "line": 7}]}],
                "stacks": [{"call": "write", "frames": [0]}],
                "operations": [
                    {"seq": 1, "how": "called", "stack": 0},
                    {"seq": 2, "how": "own-write-back"},
                ],
            }))
            .ok(),
        }
    }

    fn new_traces() -> Vec<Vec<u8>> {
        let write = || -> anyhow::Result<Vec<u8>> {
            let place = tempfile::tempdir()?;
            let file = TraceFile {
                path: place.path().join("trace"),
                memory: 1 << 20,
            };
            let log = worked()?.take_log();
            let writer = file.create()?;
            let mut sink = writer.sink();
            for record in log.records() {
                sink.record(record.clone());
            }
            for mark in log.marks() {
                sink.mark(*mark);
            }
            drop(sink);
            file.finish(writer, &about())?;
            Ok(fs::read(file.path)?)
        };
        write().into_iter().collect()
    }

    fn new_artifacts() -> Vec<Vec<u8>> {
        let write = || -> anyhow::Result<Vec<u8>> {
            let place = tempfile::tempdir()?;
            let path = place.path().join("artifact");
            let log = worked()?.take_log();
            let (_, state) = crash_states(&log, &EXT4, 1)
                .last()
                .ok_or_else(|| anyhow::anyhow!("no state"))?;
            let promise = Promise {
                classes: vec![FailureClass::PowerLoss],
                guarantee: Guarantee::Durable(Durability::AtAck),
                words: "stays".into(),
                source: "its manual".into(),
                demanded: false,
            };
            let about = About {
                target: "reference".into(),
                version: "1".into(),
                settings: BTreeMap::new(),
                model: "ext4".into(),
                seed: 1,
                point: 5,
                crash: Stamp { seq: 5, nanos: 50 },
                class: FailureClass::PowerLoss,
                promises: vec![promise.clone()],
                finding: Finding {
                    kind: FindingKind::LostAck,
                    sentence: "it is gone".into(),
                    promise,
                    fault: "power-loss".into(),
                    txn: Some(1),
                    key: Some("k".into()),
                    ack: Some(Stamp { seq: 4, nanos: 40 }),
                    follow_up: None,
                    parts: Vec::new(),
                },
                timeline: Vec::new(),
                history: History::default(),
                recovery_bound_us: None,
                damaged: String::new(),
                injected: String::new(),
                not_on_disk: false,
                recorded: None,
                second_life: Vec::new(),
                served: None,
            };
            let artifact = Artifact::new(about, &state.tree)?;
            artifact
                .with_operations(log.records(), 0, 0)?
                .write(&path)?;
            Ok(fs::read(path)?)
        };
        write().into_iter().collect()
    }

    #[test]
    fn what_is_recorded_today_is_read_too() {
        let scratch = tempfile::tempdir().expect("a directory");
        for (made, property, name) in [
            (
                new_traces(),
                read_trace as crate::subject::Property,
                "trace",
            ),
            (new_artifacts(), read_artifact, "artifact-operations"),
        ] {
            assert_eq!(made.len(), 1, "{name}");
            if let Some(to) = std::env::var_os("PLUGPULL_FUZZ_SEEDS") {
                fs::write(Path::new(&to).join(name), &made[0]).expect("a seed");
            }
            let read = property(&made[0], scratch.path());
            assert!(matches!(read, Ok(Reading::Read)), "{name}: {read:?}");
        }
    }
}
