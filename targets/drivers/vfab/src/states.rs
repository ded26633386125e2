//! The states of a job, and which may follow which.

use State::{
    Aborted, Analyzed, Armed, Completed, Failed, New, Optimized, Paused, Plotting, Queued, Ready,
};

/// A state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Added.
    New,
    /// Its drawing was analysed.
    Analyzed,
    /// Its paths were optimised.
    Optimized,
    /// It can be queued.
    Ready,
    /// It waits for the plotter.
    Queued,
    /// The plotter is set up for it.
    Armed,
    /// It is being drawn.
    Plotting,
    /// Its drawing was interrupted on purpose.
    Paused,
    /// It was drawn.
    Completed,
    /// Its user gave it up.
    Aborted,
    /// It could not be done.
    Failed,
}

/// Every state with its word and the word of the statistics event that tells of it.
const WORDS: [(State, &str, &str); 11] = [
    (New, "NEW", "created"),
    (Analyzed, "ANALYZED", "analyzed"),
    (Optimized, "OPTIMIZED", "optimized"),
    (Ready, "READY", "ready"),
    (Queued, "QUEUED", "queued"),
    (Armed, "ARMED", "armed"),
    (Plotting, "PLOTTING", "started"),
    (Paused, "PAUSED", "paused"),
    (Completed, "COMPLETED", "finished"),
    (Aborted, "ABORTED", "aborted"),
    (Failed, "FAILED", "failed"),
];

impl State {
    /// The state of this word.
    pub fn parse(word: &str) -> Option<Self> {
        WORDS
            .iter()
            .find(|(_, known, _)| *known == word)
            .map(|(state, _, _)| *state)
    }

    /// The state that this statistics event tells of.
    pub(super) fn of_event(event: &str) -> Option<Self> {
        WORDS
            .iter()
            .find(|(_, _, known)| *known == event)
            .map(|(state, _, _)| *state)
    }

    /// The word of the statistics event that tells of it.
    pub fn event(self) -> &'static str {
        WORDS
            .iter()
            .find(|(state, _, _)| *state == self)
            .map_or("", |(_, _, event)| event)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        WORDS
            .iter()
            .find(|(state, _, _)| *state == self)
            .map_or("", |(_, word, _)| word)
    }

    /// The states that may follow; none after the end.
    pub fn next(self) -> &'static [Self] {
        match self {
            New => &[Analyzed, Ready, Queued, Failed, Aborted],
            Analyzed => &[Optimized, Failed],
            Optimized => &[Ready, Failed],
            Ready => &[Queued, Aborted],
            Queued => &[Armed, Aborted],
            Armed => &[Plotting, Aborted],
            Plotting => &[Paused, Completed, Aborted, Failed],
            Paused => &[Plotting, Aborted],
            Completed | Aborted | Failed => &[],
        }
    }

    /// Whether nothing may follow.
    pub fn is_end(self) -> bool {
        self.next().is_empty()
    }
}
