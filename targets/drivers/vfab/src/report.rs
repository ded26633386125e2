//! What is said about vfab's files.

use std::collections::BTreeSet;

use serde_json::json;

use super::job::{Job, look};
use super::places::find;
use super::states::State;
use super::statistics::{Statistics, statistics};
use plugpull_inspect::{InspectError, Inspection, Request, Spot, Table};

/// Looks at every job, and at the statistics where they are. Expectations are ids of jobs.
pub(super) fn inspect(request: &Request) -> Result<Inspection, InspectError> {
    inspect_but(request, &BTreeSet::new())
}

/// The same, for jobs of which some were `restarted`: that removes a job's journal, and the
/// statistics of what was before stay.
pub(super) fn inspect_but(
    request: &Request,
    restarted: &BTreeSet<String>,
) -> Result<Inspection, InspectError> {
    let places = find(&request.path)?;
    let jobs: Vec<Job> = places
        .jobs
        .iter()
        .map(|directory| look(directory))
        .collect();
    let mut damage = Vec::new();
    let mut notes = Vec::new();
    for (spot, mendable) in jobs.iter().flat_map(|job| job.spots.clone()) {
        match mendable && request.after_crash {
            true => notes.push(spot),
            false => damage.push(spot),
        }
    }
    let here = request.path.display().to_string();
    let spot = |kind, file: &str, what| Spot {
        kind,
        file: file.to_owned(),
        line: None,
        offset: None,
        what,
    };
    for wanted in &request.expect {
        if !jobs.iter().any(|job| job.id == *wanted) {
            let what = format!("the job {wanted} was added, and has no directory");
            damage.push(spot("missing-job", &here, what));
        }
    }
    let mut events = 0;
    if let Some(database) = &places.database {
        let file = database.display().to_string();
        match statistics(database) {
            Err(what) => damage.push(spot("statistics-unreadable", &file, what)),
            Ok(read) => {
                events = read.events.values().map(Vec::len).sum();
                if let Some(said) = &read.complaint {
                    damage.push(spot("statistics-integrity", &file, said.clone()));
                }
                for (kind, what) in differences(&jobs, &read, restarted) {
                    let found = spot(kind, &file, what);
                    match kind == "statistics-behind" && request.after_crash {
                        true => notes.push(found),
                        false => damage.push(found),
                    }
                }
            }
        }
    } else {
        notes.push(spot(
            "no-statistics",
            &here,
            "there is no vfab.db here".into(),
        ));
    }
    Ok(Inspection {
        system: "vfab",
        path: here,
        format: "jobs and statistics",
        sound: damage.is_empty(),
        facts: vec![
            ("jobs".to_owned(), jobs.len().to_string()),
            ("statistics events".to_owned(), events.to_string()),
        ],
        table: table(&jobs),
        notes,
        damage,
        detail: json!({
            "jobs": jobs.iter().map(|job| json!({
                "id": job.id,
                "document": job.document.map(State::word),
                "journal": job.journal.changes.last().map(|change| change.to.word()),
                "changes": job.journal.changes.len(),
                "lines": job.journal.lines,
            })).collect::<Vec<_>>(),
            "database": places.database.map(|path| path.display().to_string()),
            "events": events,
        }),
    })
}

/// How the statistics and the journals differ: each job's events are the states that its journal
/// enters, in that order; after a crash the last may be missing, being written last.
fn differences(
    jobs: &[Job],
    statistics: &Statistics,
    restarted: &BTreeSet<String>,
) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for job in jobs.iter().filter(|job| !job.journal.gaps) {
        let recorded: Vec<&str> = statistics
            .events
            .get(&job.id)
            .into_iter()
            .flatten()
            .map(|event| State::of_event(event).map_or(event.as_str(), |state| state.word()))
            // The journal begins with the change that leaves NEW.
            .filter(|word| *word != State::New.word())
            .collect();
        let entered: Vec<&str> = job.journal.changes.iter().map(|c| c.to.word()).collect();
        let earlier = restarted.contains(&job.id) && recorded.ends_with(&entered);
        if recorded == entered || earlier {
            continue;
        }
        let behind = entered
            .split_last()
            .is_some_and(|(_, before)| recorded == before);
        all.push((
            if behind {
                "statistics-behind"
            } else {
                "statistics-differ"
            },
            format!(
                "job {}: the statistics have {}, and the journal has {}",
                job.id,
                joined(&recorded),
                joined(&entered)
            ),
        ));
    }
    all
}

fn joined(states: &[&str]) -> String {
    match states {
        [] => "no state".into(),
        some => some.join(", "),
    }
}

fn table(jobs: &[Job]) -> Table {
    let head = ["job", "job.json", "journal", "changes", "is"];
    let rows = jobs.iter().map(|job| {
        let journal = job
            .journal
            .changes
            .last()
            .map_or("-", |change| change.to.word());
        let is = if job.spots.is_empty() {
            "sound"
        } else {
            "damaged"
        };
        vec![
            job.id.clone(),
            job.document.map_or("-", State::word).to_owned(),
            journal.to_owned(),
            job.journal.changes.len().to_string(),
            is.to_owned(),
        ]
    });
    Table {
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}
