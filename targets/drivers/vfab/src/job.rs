//! One job: its files, and what must hold between them.

use std::fs;
use std::io;
use std::path::Path;

use super::document::{BrokenField, document};
use super::journal::{Journal, journal};
use super::states::State;
use plugpull_inspect::Spot;

/// A job that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) document: Option<State>,
    pub(super) journal: Journal,
    /// What does not hold; true where a crash may leave it so and recovery is to mend it.
    pub(super) spots: Vec<(Spot, bool)>,
}

/// The files that a drawing may have come in.
const SOURCES: [&str; 2] = ["src.svg", "multipen.plob"];

/// Looks at the job in this directory.
pub(super) fn look(directory: &Path) -> Job {
    let id = directory
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut spots = Vec::new();
    let file = |name: &str| directory.join(name).display().to_string();
    let mut say = |kind, file: String, line, offset, what: String, mendable| {
        let spot = Spot {
            kind,
            file,
            line,
            offset,
            what,
        };
        spots.push((spot, mendable));
    };

    let (state, broken) = documented(directory, &id);
    for (kind, line, what) in broken {
        say(kind, file("job.json"), line, None, what, false);
    }
    if let Some(what) = no_source(directory) {
        say(
            "source",
            directory.display().to_string(),
            None,
            None,
            what,
            false,
        );
    }

    let name = || file("journal.jsonl");
    let mut readable = true;
    let bytes = fs::read(directory.join("journal.jsonl")).unwrap_or_else(|error| {
        // A job that has not left NEW has none yet.
        if error.kind() != io::ErrorKind::NotFound {
            let what = format!("it cannot be read: {error}");
            say("journal-line", name(), None, None, what, false);
            readable = false;
        }
        Vec::new()
    });
    let journal = journal(&bytes, &id);
    for broken in &journal.broken {
        let mendable = broken.kind == "journal-tail";
        say(
            broken.kind,
            name(),
            Some(broken.line),
            Some(broken.offset),
            broken.what.clone(),
            mendable,
        );
    }
    if let Some(documented) = state.filter(|_| readable && !journal.gaps)
        && let Some((kind, line, what)) = disagreement(documented, &journal)
    {
        say(
            kind,
            file("job.json"),
            line,
            None,
            what,
            kind == "document-behind",
        );
    }
    Job {
        id,
        document: state,
        journal,
        spots,
    }
}

/// What the job's document says, and what is wrong with it.
fn documented(directory: &Path, id: &str) -> (Option<State>, Vec<BrokenField>) {
    match fs::read(directory.join("job.json")) {
        Ok(bytes) => document(&bytes, id),
        Err(error) => {
            let what = format!("it cannot be read: {error}");
            (None, vec![("document", None, what)])
        }
    }
}

fn no_source(directory: &Path) -> Option<String> {
    let there = SOURCES.iter().find_map(|name| {
        let about = fs::metadata(directory.join(name)).ok()?;
        Some((name, about.len()))
    });
    match there {
        None => Some(format!(
            "the drawing is gone: there is no {}",
            SOURCES.join(" or ")
        )),
        Some((name, 0)) => Some(format!("the drawing {name} is empty")),
        Some(_) => None,
    }
}

/// How the document's state and the journal's differ. The journal is written first, so the
/// document may be one change behind after a crash.
fn disagreement(
    documented: State,
    journal: &Journal,
) -> Option<(&'static str, Option<u64>, String)> {
    let last = journal.changes.last();
    let state = last.map_or(State::New, |change| change.to);
    if documented == state {
        return None;
    }
    let line = last.map_or("which has no change".into(), |change| {
        format!("line {}", change.line)
    });
    let what = format!(
        "its state is {}, and the journal's is {} ({line})",
        documented.word(),
        state.word()
    );
    let behind = last.is_some_and(|change| change.from == documented);
    Some((
        if behind {
            "document-behind"
        } else {
            "document-disagrees"
        },
        None,
        what,
    ))
}
