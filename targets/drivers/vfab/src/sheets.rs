//! What the simulated plotter of the real vfab logged, and what must hold of it.
//!
//! A line is `JOB WORD`: `sheet` where a pass begins, a number for each stroke, `done` when vfab said
//! COMPLETED; and, from plugpull's daemon, `restart` when it asked vfab to start a job again, and
//! `reopened` when it found one that was done in another state.

use std::collections::BTreeMap;

use super::states::State;

/// The passes of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Passes {
    sheets: Vec<Sheet>,
    /// vfab said that it is COMPLETED, and nobody asked for it again.
    pub(super) done: bool,
    /// It was done, and found in another state.
    pub(super) reopened: bool,
    /// vfab was asked to start it again, at any time.
    pub(super) restarted: bool,
    asked_again: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sheet {
    strokes: Vec<u64>,
    /// It follows a restart that was asked for.
    asked: bool,
}

/// Reads the log. A last line without an end did not happen: the plotter moves when the line is on
/// the disk.
pub(super) fn passes(bytes: &[u8]) -> BTreeMap<String, Passes> {
    let mut all: BTreeMap<String, Passes> = BTreeMap::new();
    let whole = bytes.split_inclusive(|byte| *byte == b'\n');
    for line in whole.filter_map(|line| line.strip_suffix(b"\n")) {
        let text = String::from_utf8_lossy(line);
        let Some((job, word)) = text.split_once(' ') else {
            continue;
        };
        let passes = all.entry(job.to_owned()).or_default();
        match word {
            "sheet" => {
                passes.sheets.push(Sheet {
                    strokes: Vec::new(),
                    asked: std::mem::take(&mut passes.asked_again),
                });
            }
            "done" => passes.done = true,
            "reopened" => passes.reopened = true,
            "restart" => {
                passes.restarted = true;
                passes.asked_again = true;
                passes.done = false;
            }
            number => {
                if let (Ok(number), Some(sheet)) = (number.parse(), passes.sheets.last_mut()) {
                    sheet.strokes.push(number);
                }
            }
        }
    }
    all
}

/// What does not hold for a job whose journal is at `state`, with `wanted` strokes in its drawing.
pub(super) fn complaints(
    job: &str,
    passes: &Passes,
    state: Option<State>,
    wanted: u64,
) -> Vec<String> {
    let mut all = Vec::new();
    let full = |sheet: &Sheet| {
        let mut once = sheet.strokes.clone();
        once.sort_unstable();
        once.dedup();
        once.len() as u64 >= wanted
    };
    let twice = |sheet: &&Sheet| {
        (1..sheet.strokes.len()).any(|i| {
            let (before, rest) = sheet.strokes.split_at(i);
            before.contains(&rest[0])
        })
    };
    if let Some(sheet) = passes.sheets.iter().find(twice) {
        all.push(format!(
            "drawn-twice: job {job} has the strokes {:?} on one sheet",
            sheet.strokes
        ));
    }
    let again = passes
        .sheets
        .windows(2)
        .any(|pair| full(&pair[0]) && !pair[1].asked && !pair[1].strokes.is_empty());
    if again {
        all.push(format!(
            "plotted-twice: job {job} had a full pass, and was plotted again on another sheet"
        ));
    }
    if state == Some(State::Completed) && !passes.sheets.last().is_some_and(full) {
        all.push(format!(
            "not-drawn: job {job} is COMPLETED, and no sheet has its {wanted} strokes"
        ));
    }
    if passes.reopened {
        all.push(format!(
            "completed-reopened: vfab had said that job {job} is COMPLETED, and after a restart it \
             was not"
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(log: &str, state: State) -> Vec<String> {
        let passes = passes(log.as_bytes()).remove("j").unwrap_or_default();
        let all = complaints("j", &passes, Some(state), 2);
        let kind = |text: String| text.split(':').next().map(str::to_owned);
        all.into_iter().filter_map(kind).collect()
    }

    #[test]
    fn one_full_pass_is_sound_however_it_was_interrupted() {
        for log in [
            "j sheet\nj 1\nj 2\nj done\n",
            "j sheet\nj 1\nk sheet\nj 2\n",
            "j sheet\nj 1\nj restart\nj sheet\nj 1\nj 2\nj done\n",
            "j sheet\nj 1\nj 2\nj restart\nj sheet\nj 1\nj 2\nj done\n",
            "j sheet\nj 1\nj sheet\nj 1\nj 2\nj do",
        ] {
            assert_eq!(kinds(log, State::Completed), [""; 0], "{log}");
        }
    }

    #[test]
    fn each_flaw_is_named() {
        for (log, state, kind) in [
            ("j sheet\nj 1\nj 1\nj 2\n", State::Completed, "drawn-twice"),
            (
                "j sheet\nj 1\nj 2\nj done\nj sheet\nj 1\n",
                State::Plotting,
                "plotted-twice",
            ),
            ("j sheet\nj 1\n", State::Completed, "not-drawn"),
            ("j done\n", State::Completed, "not-drawn"),
            ("j sheet\nj 1\nj 2", State::Completed, "not-drawn"),
            (
                "j sheet\nj 1\nj 2\nj done\nj reopened\n",
                State::Queued,
                "completed-reopened",
            ),
        ] {
            assert_eq!(kinds(log, state), [kind], "{log}");
        }
    }
}
