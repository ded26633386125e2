//! The guide's recovery of the real vfab: `resume`, else `restart`; and what of it does not hold.

use std::collections::BTreeSet;

use super::super::job::Job;
use super::super::states::State;
use super::jobs::Jobs;
use super::runner::Runner;
use crate::Until;

/// What was done to bring the jobs back.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// What does not hold, each with its kind in front.
    pub(super) complaints: Vec<String>,
    /// The jobs that an end was made of, or that were driven on.
    pub(super) touched: BTreeSet<String>,
}

/// Where a job is, by its journal and by nothing else.
pub(super) fn state(job: &Job) -> State {
    job.journal.changes.last().map_or(State::New, |c| c.to)
}

/// Runs the guide's recovery over what is there. With [`Until::Completed`] each job that is not at
/// that state is then driven to it: as `resume` left it, else after a `restart`. An error says why
/// vfab's own command failed.
pub(super) fn recover(runner: &Runner, jobs: &Jobs, until: Until) -> Result<Recovered, String> {
    let mut recovered = Recovered::default();
    let found = jobs.look();
    let resumed = runner.run(&["resume", "--apply"])?;
    if !resumed.good {
        return Err(format!("vfab resume: {}", resumed.said));
    }
    let after = jobs.look();
    recovered.complaints.extend(aborted(&found, &after));
    recovered
        .complaints
        .extend(misnamed(&found, &resumed.stdout));
    // Each command takes a second, and a second recovery of what is at rest changes nothing.
    let rest = |job: &Job| state(job) == State::Queued || state(job).is_end();
    if !after.iter().all(rest) {
        let again = runner.run(&["resume", "--apply"])?;
        if !again.good {
            let said = format!(
                "recovery-twice: the second vfab resume fails: {}",
                again.said
            );
            recovered.complaints.push(said);
        }
        recovered.complaints.extend(changed(&after, &jobs.look()));
    }
    for job in &after {
        if jobs.passes_of(&job.id)?.done && state(job) != State::Completed {
            jobs.note(&job.id, "reopened")?;
            recovered.touched.insert(job.id.clone());
        }
    }
    if until == Until::Completed {
        for job in jobs.look() {
            // What is no whole job is found by the parser, and nothing can be drawn of it.
            if state(&job) != State::Completed
                && job.document.is_some()
                && jobs.is_drawable(&job.id)
            {
                recovered.touched.insert(job.id.clone());
                recovered.complaints.extend(finish(runner, jobs, &job)?);
            }
        }
    }
    Ok(recovered)
}

/// The jobs that `resume` gave up.
fn aborted(before: &[Job], after: &[Job]) -> Vec<String> {
    let given_up = |job: &Job| matches!(state(job), State::Aborted | State::Failed);
    pairs(before, after)
        .filter(|(was, is)| !given_up(was) && given_up(is))
        .map(|(was, is)| {
            format!(
                "resume-aborts: job {} was {}, and vfab resume made it {}",
                is.id,
                state(was).word(),
                state(is).word()
            )
        })
        .collect()
}

/// The jobs of which `resume` names another state than their journal had.
fn misnamed(before: &[Job], said: &str) -> Vec<String> {
    // "  • ID (state: STATE)"
    let interrupted = said.lines().filter_map(|line| {
        let (id, rest) = line
            .trim()
            .trim_start_matches('•')
            .split_once(" (state: ")?;
        Some((id.trim(), rest.strip_suffix(')')?))
    });
    interrupted
        .filter_map(|(id, word)| {
            let job = before.iter().find(|job| job.id == id)?;
            let journal = state(job).word();
            (word != journal).then(|| {
                format!(
                    "resume-disagrees: job {id}: its journal says {journal}, and resume says {word}"
                )
            })
        })
        .collect()
}

/// The jobs that the second recovery changed.
fn changed(once: &[Job], twice: &[Job]) -> Vec<String> {
    pairs(once, twice)
        .filter(|(a, b)| a.journal.changes != b.journal.changes || a.document != b.document)
        .map(|(a, b)| {
            format!(
                "recovery-twice: job {} was {} after vfab resume, and is {} after it ran again",
                a.id,
                state(a).word(),
                state(b).word()
            )
        })
        .collect()
}

fn pairs<'a>(a: &'a [Job], b: &'a [Job]) -> impl Iterator<Item = (&'a Job, &'a Job)> {
    a.iter()
        .filter_map(|one| Some((one, b.iter().find(|other| other.id == one.id)?)))
}

/// Drives an interrupted job to its end, after a `restart` where nothing else helps. Returns what
/// does not hold: what `resume` left in files that `restart` removes, and why no end can be reached.
fn finish(runner: &Runner, jobs: &Jobs, job: &Job) -> Result<Vec<String>, String> {
    let id = job.id.as_str();
    let resumed = match state(job) {
        end if end.is_end() => Err(format!("it is {}", end.word())),
        _ => jobs.drive(runner, "recovered", id)?,
    };
    let Err(resumed) = resumed else {
        return Ok(Vec::new());
    };
    let left = jobs.look().into_iter().find(|left| left.id == id);
    let mut all: Vec<String> = left
        .iter()
        .flat_map(|left| &left.spots)
        .map(|(spot, _)| format!("{}: {}, before vfab restart: {}", spot.kind, id, spot.what))
        .collect();
    jobs.note(id, "restart")?;
    let ended = runner.run(&["restart", id, "--apply"])?;
    let restarted = match ended.good {
        true => jobs.drive(runner, "recovered", id)?,
        false => Err(format!("vfab restart: {}", ended.said)),
    };
    if let Err(restarted) = restarted {
        all.push(format!(
            "cannot-complete: job {id} reaches COMPLETED neither after vfab resume ({resumed}) nor \
             after vfab restart ({restarted})"
        ));
    }
    Ok(all)
}
