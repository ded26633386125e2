//! A job's journal: one JSON object a line.

use serde_json::Value;

use super::states::State;

/// Something that does not hold in a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) kind: &'static str,
    /// From 1.
    pub(super) line: u64,
    pub(super) offset: u64,
    pub(super) what: String,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: State,
    pub(super) to: State,
    pub(super) line: u64,
}

/// A journal that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) changes: Vec<Change>,
    pub(super) lines: u64,
    pub(super) broken: Vec<Broken>,
    /// Lines could not be read, so that changes may be missing.
    pub(super) gaps: bool,
}

/// Reads a journal and checks each line and each change against what came before.
pub(super) fn journal(bytes: &[u8], job: &str) -> Journal {
    let mut journal = Journal::default();
    let mut offset = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        journal.lines += 1;
        let (number, at) = (journal.lines, offset);
        offset += line.len() as u64;
        let mut say = |kind, what: String| {
            journal.broken.push(Broken {
                kind,
                line: number,
                offset: at,
                what,
            });
        };
        let whole = line.ends_with(b"\n");
        if !whole {
            say(
                "journal-tail",
                "the last line has no end: it is cut short, or the next one will be glued to it"
                    .into(),
            );
        }
        let entry = match serde_json::from_slice::<Value>(line) {
            Ok(entry) if entry.is_object() => entry,
            _ if !whole => continue,
            Ok(_) => {
                say("journal-line", "the line is no JSON object".into());
                journal.gaps = true;
                continue;
            }
            Err(error) => {
                say("journal-line", format!("the line is no JSON: {error}"));
                journal.gaps = true;
                continue;
            }
        };
        if let Some(other) = entry["job_id"].as_str().filter(|id| *id != job) {
            say(
                "journal-job",
                format!("the line is about the job {other:?}"),
            );
        }
        match entry["type"].as_str() {
            Some("state_change") => {
                let last = journal.changes.last().copied();
                match change(&entry, number) {
                    Ok(change) => {
                        if !journal.gaps {
                            for (kind, what) in wrong(last, change) {
                                say(kind, what);
                            }
                        }
                        journal.changes.push(change);
                    }
                    Err(what) => {
                        say("journal-line", what);
                        journal.gaps = true;
                    }
                }
            }
            Some("recovery") => {
                let last = journal.changes.last().map(|change| change.to);
                let to = entry["to_state"].as_str().and_then(State::parse);
                if let Some((last, to)) = last.zip(to).filter(|(last, to)| last != to) {
                    say(
                        "journal-chain",
                        format!(
                            "recovery ends in {}, and the job was {}",
                            to.word(),
                            last.word()
                        ),
                    );
                }
            }
            Some(_) => {}
            None => say("journal-line", "the line has no type".into()),
        }
    }
    journal
}

fn change(entry: &Value, line: u64) -> Result<Change, String> {
    let state = |field: &str| {
        let word = entry[field].as_str().ok_or(format!("{field} is missing"))?;
        State::parse(word).ok_or_else(|| format!("{field} {word:?} is no state"))
    };
    Ok(Change {
        from: state("from_state")?,
        to: state("to_state")?,
        line,
    })
}

/// What is wrong with a change after another.
fn wrong(last: Option<Change>, change: Change) -> Vec<(&'static str, String)> {
    let (from, to) = (change.from.word(), change.to.word());
    let mut all = Vec::new();
    match last {
        None if change.from != State::New => {
            all.push((
                "journal-first",
                format!("the first change leaves {from} and not NEW"),
            ));
        }
        Some(last) if last.to.is_end() => {
            let end = last.to.word();
            all.push((
                "journal-after-end",
                format!("{from} to {to} follows {end}, which is an end"),
            ));
        }
        Some(last) if last.to != change.from => {
            let last = last.to.word();
            all.push((
                "journal-chain",
                format!("the change leaves {from}, and the job was {last}"),
            ));
        }
        _ => {}
    }
    if !change.from.next().contains(&change.to) {
        all.push((
            "journal-transition",
            format!("no job goes from {from} to {to}"),
        ));
    }
    all
}
