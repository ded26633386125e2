//! What a simulated plotter has drawn: a line for each stroke, `JOB NUMBER`, from 1.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use super::states::State;

/// Where the plotter's log is, under the directory that vfab is run in.
pub const PAPER: &str = "plotter/strokes.log";

/// The strokes that were drawn, by job and in order. A last line without an end was not drawn: the
/// plotter draws when the line is on the disk.
pub fn strokes(bytes: &[u8]) -> BTreeMap<String, Vec<u64>> {
    let mut drawn: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let whole = bytes.split_inclusive(|byte| *byte == b'\n');
    for line in whole.filter_map(|line| line.strip_suffix(b"\n")) {
        let text = String::from_utf8_lossy(line);
        if let Some((job, number)) = text.split_once(' ')
            && let Ok(number) = number.parse()
        {
            drawn.entry(job.to_owned()).or_default().push(number);
        }
    }
    drawn
}

/// How many strokes a drawing has.
pub fn wanted(svg: &str) -> u64 {
    svg.matches("<path ").count() as u64
}

/// What does not hold between the jobs and the paper; none when all does. A completed job has one
/// full pass, and none that its user did not cancel was given up.
pub fn complaint(directory: &Path, jobs: &Path) -> Option<String> {
    let drawn = match fs::read(directory.join(PAPER)) {
        Ok(bytes) => strokes(&bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => BTreeMap::new(),
        Err(e) => return Some(format!("paper: {PAPER}: {e}")),
    };
    let entries = fs::read_dir(jobs).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.iter().find_map(|job| {
        let path = jobs.join(job);
        let document = fs::read(path.join("job.json")).ok()?;
        let document: Value = serde_json::from_slice(&document).ok()?;
        let state = document["state"].as_str().and_then(State::parse)?;
        let strokes_of_job = drawn.get(job).map_or(&[][..], Vec::as_slice);
        let mut once = strokes_of_job.to_vec();
        once.sort_unstable();
        once.dedup();
        if once.len() < strokes_of_job.len() {
            return Some(format!(
                "drawn-twice: job {job} has the strokes {strokes_of_job:?} on the paper"
            ));
        }
        let svg = fs::read_to_string(path.join("src.svg")).ok()?;
        let all = wanted(&svg);
        if state == State::Completed && (once.len() as u64) < all {
            return Some(format!(
                "not-drawn: job {job} is COMPLETED, and of its {all} strokes {} are on the paper",
                once.len()
            ));
        }
        if state == State::Aborted && document["cancelled"] != Value::Bool(true) {
            return Some(format!(
                "given-up: job {job} is ABORTED, and its user did not cancel it"
            ));
        }
        (!state.is_end()).then(|| {
            format!(
                "interrupted: job {job} is {} at rest, and was not resumed",
                state.word()
            )
        })
    })
}
