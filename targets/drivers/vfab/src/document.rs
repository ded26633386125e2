//! A job's state document, `job.json`.

// tidy: small because it is the whole of one file format.

use serde_json::Value;

use super::states::State;

/// Something that does not hold in a document: its kind, the line if known, and what.
pub(super) type BrokenField = (&'static str, Option<u64>, String);

/// The state that a document tells, and what does not hold in it.
pub(super) fn document(bytes: &[u8], job: &str) -> (Option<State>, Vec<BrokenField>) {
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => {
            let line = (error.line() > 0).then_some(error.line() as u64);
            return (
                None,
                vec![("document", line, format!("it is no JSON: {error}"))],
            );
        }
    };
    let mut all = Vec::new();
    match value["id"].as_str() {
        Some(id) if id == job => {}
        Some(id) => {
            let what = format!("its id is {id:?}, and its directory is {job:?}");
            all.push(("document-id", line_of(bytes, "\"id\""), what));
        }
        None => all.push(("document-id", None, "it has no id".into())),
    }
    let word = value["state"].as_str();
    let state = word.and_then(State::parse);
    if state.is_none() {
        let what = match word {
            Some(word) => format!("{word:?} is no state"),
            None => "it has no state".into(),
        };
        all.push(("document-state", line_of(bytes, "\"state\""), what));
    }
    (state, all)
}

/// The line, from 1, that a text is first in.
fn line_of(bytes: &[u8], text: &str) -> Option<u64> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let found = lines.position(|line| line.windows(text.len()).any(|w| w == text.as_bytes()));
    found.map(|line| line as u64 + 1)
}
