//! The fake without plugpull around it.

use std::fs;
use std::path::Path;

use plugpull_workloads::{Op, Txn, Write};

use super::engine::VfabEngine;
use super::session::complaint;

fn txn(id: u64) -> Txn {
    Txn {
        id,
        client: 0,
        ops: ["head", "k<&>"]
            .map(|key| Op {
                key: key.into(),
                write: Write::Put(format!("value {id} <metadata>").into()),
            })
            .into(),
        abort: id % 5 == 4,
    }
}

/// A journal without its lines from the nth change of state on.
fn journal_up_to(path: &Path, changes: usize) -> String {
    let text = fs::read_to_string(path).unwrap();
    let nth = text.match_indices("\"state_change\"").nth(changes);
    let end = nth.map_or(text.len(), |(at, _)| {
        text[..at].rfind('\n').map_or(0, |n| n + 1)
    });
    text[..end].to_owned()
}

#[test]
fn what_was_done_is_there_again_and_sound() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = VfabEngine::open(directory.path(), None).unwrap();
    for id in 0..7 {
        engine.commit(&txn(id)).unwrap();
    }
    assert_eq!(engine.state["head"], "value 6 <metadata>");
    assert_eq!(complaint(directory.path()), None);
    let state = engine.state;
    for _ in 0..2 {
        assert_eq!(
            VfabEngine::open(directory.path(), None).unwrap().state,
            state
        );
        assert_eq!(complaint(directory.path()), None);
    }
}

#[test]
fn a_job_interrupted_anywhere_is_resumed_and_drawn_once() {
    for (changes, documented) in [
        (0, "NEW"),
        (1, "QUEUED"),
        (2, "ARMED"),
        (3, "PLOTTING"),
        (3, "ARMED"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut engine = VfabEngine::open(directory.path(), None).unwrap();
        engine.commit(&txn(1)).unwrap();
        drop(engine);
        let job = directory.path().join("workspace/jobs/job-000001");
        let journal = journal_up_to(&job.join("journal.jsonl"), changes);
        // A torn line, too.
        fs::write(job.join("journal.jsonl"), journal + "{\"type\": \"state_ch").unwrap();
        let document = format!("{{\"id\": \"job-000001\", \"state\": \"{documented}\"}}");
        fs::write(job.join("job.json"), document).unwrap();
        let drawn = if changes < 3 {
            ""
        } else {
            "job-000001 1\njob-0000"
        };
        fs::write(directory.path().join("plotter/strokes.log"), drawn).unwrap();
        fs::remove_file(directory.path().join("workspace/vfab.db")).unwrap();
        assert!(complaint(directory.path()).is_some());
        let engine = VfabEngine::open(directory.path(), None).unwrap();
        assert_eq!(engine.state["head"], "value 1 <metadata>");
        assert_eq!(
            complaint(directory.path()),
            None,
            "{changes} changes, {documented}"
        );
    }
}

#[test]
fn a_document_ahead_of_its_journal_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = VfabEngine::open(directory.path(), None).unwrap();
    engine.commit(&txn(1)).unwrap();
    drop(engine);
    let job = directory.path().join("workspace/jobs/job-000001");
    let journal = journal_up_to(&job.join("journal.jsonl"), 2);
    fs::write(job.join("journal.jsonl"), journal).unwrap();
    let refused = VfabEngine::open(directory.path(), None)
        .err()
        .unwrap()
        .to_string();
    assert!(
        refused.contains("job.json is damaged: it says COMPLETED"),
        "{refused}"
    );
}
