//! Who made the updates that a finding lacks, as lines for people.

use crate::evidence::{Evidence, Fate, StepKind, TimelineStep};
use crate::made_by::MadeBy;

/// So many lost updates of a finding have a line, each with another stack.
const LOST: usize = 3;

impl Evidence {
    /// Who made the updates that were lost, and who synced their files last: a label, and a line.
    pub fn makers(&self) -> Vec<(&'static str, String)> {
        let mut lines = lines("written by", self.lost_steps());
        lines.extend(self::lines("last sync", self.last_syncs()));
        lines
    }

    /// What was lost, wholly or in part, in order.
    pub(crate) fn lost_steps(&self) -> impl Iterator<Item = &TimelineStep> {
        let lost = |step: &&TimelineStep| matches!(step.fate, Fate::Lost | Fate::Torn);
        self.timeline.iter().filter(lost)
    }

    /// The syncs before the crash, the last one first.
    pub(crate) fn last_syncs(&self) -> impl Iterator<Item = &TimelineStep> {
        let sync = |step: &&TimelineStep| step.kind == StepKind::Sync;
        self.timeline.iter().rev().filter(sync)
    }
}

impl TimelineStep {
    /// "write 4096 at 8192 of log-1 (operation 12)".
    pub(crate) fn describe(&self) -> String {
        let of = match self.path.is_empty() {
            true => String::new(),
            false => format!(" of {}", self.path),
        };
        format!("{}{of} (operation {})", self.what, self.seq)
    }
}

/// The first few steps with different stacks.
fn lines<'a>(
    label: &'static str,
    steps: impl Iterator<Item = &'a TimelineStep>,
) -> Vec<(&'static str, String)> {
    let mut seen: Vec<&MadeBy> = Vec::new();
    let mut lines = Vec::new();
    for (step, by) in steps.filter_map(|step| Some((step, step.made_by.as_deref()?))) {
        if seen.contains(&by) || seen.len() == LOST {
            continue;
        }
        seen.push(by);
        let what = step.describe();
        lines.push((label, format!("{what}: {}", by.describe())));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_by::CodePlace;

    fn place(function: &str) -> CodePlace {
        CodePlace {
            function: function.into(),
            file: Some("a.c".into()),
            line: Some(7),
            ..CodePlace::default()
        }
    }

    #[test]
    fn lost_updates_of_one_place_have_one_line() {
        let by = |function: &str| {
            let frames = vec![place(function)];
            Some(Box::new(MadeBy {
                call: "write".into(),
                how: String::new(),
                frames,
                note: String::new(),
            }))
        };
        let step = |seq, kind, fate, made_by| TimelineStep {
            seq,
            micros: seq,
            kind,
            what: "step".into(),
            path: "f".into(),
            fate,
            made_by,
        };
        let (write, sync) = (StepKind::Write, StepKind::Sync);
        let evidence = Evidence {
            timeline: vec![
                step(1, sync, Fate::None, by("flush")),
                step(2, write, Fate::OnDisk, by("early")),
                step(3, write, Fate::Lost, by("late")),
                step(4, write, Fate::Lost, by("late")),
                step(5, write, Fate::Lost, None),
            ],
            ..Evidence::default()
        };
        let lines = evidence.makers();
        let made = (
            "written by",
            "step of f (operation 3): late a.c:7".to_string(),
        );
        let synced = (
            "last sync",
            "step of f (operation 1): flush a.c:7".to_string(),
        );
        assert_eq!(lines, [made, synced]);
    }
}
