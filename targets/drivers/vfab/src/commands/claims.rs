//! What the real vfab's commands say of a job's state, against its journal.

use serde_json::Value;

use super::super::job::Job;
use super::recovery::state;
use super::runner::Runner;

/// How many jobs are asked about one by one: each costs two commands of a second.
const ASKED: usize = 2;

/// Asks `list jobs` about every job, and `info job` and `resume` (which does nothing without
/// `--apply`) about the last ones and those in `first`. Returns what does not hold.
pub(super) fn complaints(
    runner: &Runner,
    jobs: &[Job],
    first: impl Fn(&str) -> bool,
) -> Result<Vec<String>, String> {
    // Without a line that can be read, a journal says nothing.
    let telling: Vec<&Job> = jobs
        .iter()
        .filter(|job| !job.journal.changes.is_empty() && !job.journal.gaps)
        .collect();
    let mut all = Vec::new();
    let listed = list(runner)?;
    for job in &telling {
        if let Some((_, word)) = listed.iter().find(|(id, _)| *id == job.id) {
            all.extend(differs("info", "vfab list jobs", job, word));
        }
    }
    let mut asked: Vec<&&Job> = telling.iter().rev().collect();
    asked.sort_by_key(|job| !first(&job.id));
    for job in asked.into_iter().take(ASKED) {
        let info = runner.run(&["info", "job", &job.id, "--json"])?;
        match json(&info.stdout) {
            Some(printed) => {
                let word = printed["job"]["state"].as_str().unwrap_or("no state");
                all.extend(differs("info", "vfab info job", job, word));
            }
            None => all.push(format!(
                "info-disagrees: job {}: vfab info job tells nothing: {}",
                job.id, info.said
            )),
        }
        let resume = runner.run(&["resume", &job.id])?;
        match word(&resume.stdout) {
            Some(word) => all.extend(differs("resume", "vfab resume", job, word)),
            None => all.push(format!(
                "resume-disagrees: job {}: vfab resume names no state: {}",
                job.id, resume.said
            )),
        }
    }
    Ok(all)
}

/// The jobs that `list jobs` has, with their states.
pub(super) fn list(runner: &Runner) -> Result<Vec<(String, String)>, String> {
    let ended = runner.run(&["list", "jobs", "--json"])?;
    let list: Value = serde_json::from_str(&ended.stdout)
        .map_err(|e| format!("vfab list jobs: {e}: {}", ended.said))?;
    let mut jobs: Vec<(String, String)> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|job| {
            let state = job["state"].as_str().unwrap_or_default();
            Some((job["id"].as_str()?.to_owned(), state.to_owned()))
        })
        .collect();
    jobs.sort();
    Ok(jobs)
}

fn differs(kind: &str, command: &str, job: &Job, word: &str) -> Option<String> {
    let journal = state(job).word();
    (word != journal).then(|| {
        format!(
            "{kind}-disagrees: job {}: its journal says {journal}, and {command} says {word}",
            job.id
        )
    })
}

/// The first JSON object in an output, which may begin with other lines.
fn json(output: &str) -> Option<Value> {
    let object = &output[output.find('{')?..];
    serde_json::Deserializer::from_str(object)
        .into_iter()
        .next()?
        .ok()
}

/// The state in "Will resume job 'ID' from state 'STATE'", or in "(state: STATE)".
fn word(output: &str) -> Option<&str> {
    let rest = match output.split_once("from state '") {
        Some((_, rest)) => rest,
        None => output.split_once("(state: ")?.1,
    };
    rest.split(['\'', ')']).next()
}

#[cfg(test)]
mod tests {
    use super::{json, word};

    #[test]
    fn what_vfab_prints_is_read() {
        let will = "🔄 Will resume job 't1' from state 'PLOTTING'\n💡 Use --apply";
        assert_eq!(word(will), Some("PLOTTING"));
        assert_eq!(
            word("❌ Job 't1' is not resumable (state: COMPLETED)"),
            Some("COMPLETED")
        );
        assert_eq!(word("❌ Error: Job not found"), None);
        let printed = json("a banner\n{\"job\": {\"state\": \"QUEUED\"}}\nand more");
        assert_eq!(printed.unwrap()["job"]["state"], "QUEUED");
        assert_eq!(json("nothing"), None);
    }
}
