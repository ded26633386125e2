//! One job as its files tell it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use plugpull_workloads::{Op, Txn};
use serde_json::{Value, json};

use super::files;
use plugpull_driver_vfab::Mutant;
use plugpull_driver_vfab::State;
use plugpull_driver_vfab::paper::wanted;

/// Before and behind the writes in a drawing.
const METADATA: (&str, &str) = ("<metadata>", "</metadata>");

/// A job that was read.
pub(super) struct Job {
    pub(super) directory: PathBuf,
    pub(super) id: String,
    /// By the journal.
    pub(super) state: State,
    /// By `job.json`.
    pub(super) documented: State,
    /// The states that the journal enters, in order.
    pub(super) entered: Vec<State>,
    pub(super) cancelled: bool,
    pub(super) ops: Vec<Op>,
    pub(super) strokes: u64,
}

/// The drawing of a transaction: a stroke for each write, which are in its metadata.
pub(super) fn drawing(txn: &Txn) -> io::Result<String> {
    // In JSON these two only occur within strings.
    let ops = serde_json::to_string(&txn.ops)?
        .replace('<', "\\u003c")
        .replace('&', "\\u0026");
    let strokes: String = (0..txn.ops.len().clamp(1, 4))
        .map(|n| format!("  <path d=\"M 0 {n} L 10 {n}\"/>\n"))
        .collect();
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\">\n  {}{ops}{}\n{strokes}</svg>\n",
        METADATA.0, METADATA.1
    ))
}

/// The state document.
pub(super) fn document(id: &str, state: State, cancelled: bool) -> io::Result<Vec<u8>> {
    let value = json!({ "id": id, "state": state.word(), "cancelled": cancelled });
    let mut bytes = serde_json::to_vec_pretty(&value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> io::Error {
    let text = format!("{} is damaged: {why}", path.display());
    io::Error::new(ErrorKind::InvalidData, text)
}

fn unread(path: &Path, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

impl Job {
    /// Where its journal is.
    pub(super) fn journal(&self) -> PathBuf {
        self.directory.join("journal.jsonl")
    }

    /// Reads the job in a directory, and cuts an unfinished end off its journal. An error says what is
    /// damaged.
    pub(super) fn load(directory: &Path, mutant: Option<Mutant>) -> io::Result<Self> {
        let id = directory.file_name().unwrap_or_default().to_string_lossy();
        let path = directory.join("src.svg");
        let svg = fs::read_to_string(&path).map_err(|e| unread(&path, e))?;
        let ops = svg
            .split_once(METADATA.0)
            .and_then(|(_, rest)| rest.split_once(METADATA.1))
            .and_then(|(json, _)| serde_json::from_str::<Vec<Op>>(json).ok())
            .ok_or_else(|| damaged(&path, "it has no drawing with metadata"))?;
        let path = directory.join("job.json");
        let bytes = fs::read(&path).map_err(|e| unread(&path, e))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| damaged(&path, e))?;
        let documented = value["state"].as_str().and_then(State::parse);
        let documented = documented.ok_or_else(|| damaged(&path, "it has no state"))?;
        let entered = entered(&directory.join("journal.jsonl"), mutant)?;
        let state = entered.last().copied().unwrap_or(State::New);
        let behind = [State::New]
            .iter()
            .chain(&entered)
            .rev()
            .take(2)
            .any(|known| *known == documented);
        if !behind && mutant != Some(Mutant::DocumentLeftBehind) {
            let why = format!(
                "it says {}, and the journal says {}",
                documented.word(),
                state.word()
            );
            return Err(damaged(&path, why));
        }
        Ok(Self {
            directory: directory.to_owned(),
            id: id.into_owned(),
            state,
            documented,
            entered,
            cancelled: value["cancelled"] == Value::Bool(true),
            ops,
            strokes: wanted(&svg),
        })
    }
}

/// The states that a journal enters. An unfinished end is cut off.
fn entered(path: &Path, mutant: Option<Mutant>) -> io::Result<Vec<State>> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    // MUTANT torn-tail-kept.
    let keep = mutant == Some(Mutant::TornTailKept);
    let mut entered = Vec::new();
    let (mut at, mut good) = (0, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let entry = line
            .ends_with(b"\n")
            .then(|| serde_json::from_slice::<Value>(line).ok())
            .flatten();
        if let Some(entry) = entry {
            let state = entry["to_state"].as_str().and_then(State::parse);
            if entry["type"] == "state_change"
                && let Some(state) = state
            {
                // Each append is synced before the next, and has one change of state at most.
                if good < at && !keep {
                    return Err(damaged(path, format!("no line at byte {good}")));
                }
                entered.push(state);
            }
            if good == at {
                good += line.len();
            }
        }
        at += line.len();
    }
    if good < bytes.len() && !keep {
        files::cut(path, good as u64)?;
    }
    Ok(entered)
}
