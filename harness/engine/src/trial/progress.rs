//! How a workload that runs fares: what came back so far, and how one of the target's own ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use plugpull_faults::machine::Tally;
use plugpull_workloads::{Outcome, last_words};

/// Counts outcomes of calls that leave something behind, and wakes who waits for them.
#[derive(Default)]
pub(super) struct Progress {
    tally: Mutex<Tally>,
    changed: Condvar,
}

impl Progress {
    pub(super) fn note(&self, outcome: &Outcome) {
        let mut tally = self.tally.lock();
        match outcome {
            Outcome::Ok => tally.ok += 1,
            Outcome::Fail(_) => tally.fail += 1,
            Outcome::Info(_) => tally.info += 1,
        }
        self.changed.notify_all();
    }

    /// Notes a barrier that was reached, also one that a workload of the target's own said so of.
    pub(super) fn note_barrier(&self) {
        self.tally.lock().barriers += 1;
        self.changed.notify_all();
    }

    /// Wakes who waits for a change, because something else has changed.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }

    /// Outcomes since the workload began.
    pub(super) fn tally(&self) -> Tally {
        *self.tally.lock()
    }

    /// Waits for a change, at most until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) {
        let mut tally = self.tally.lock();
        self.changed.wait_until(&mut tally, deadline);
    }
}

/// How a workload came to its end.
#[derive(Clone, Debug)]
pub struct End {
    /// Its exit code, or 128 + signal; none where that is not known.
    pub(super) code: Option<i32>,
    /// What it printed that makes no sense.
    pub(super) nonsense: Option<String>,
    /// What it printed had waited in a buffer of its own.
    pub(super) buffered: bool,
    /// plugpull read it so late that an ack may count from later than it was written.
    pub(super) read_late: bool,
    /// All that it wrote.
    pub(super) output: String,
}

impl End {
    /// Why this is no way to end; none when it simply had no more to do.
    pub fn trouble(&self) -> Option<String> {
        let said = match last_words(&self.output).as_str() {
            "" => String::new(),
            words => format!(": {words}"),
        };
        match (&self.nonsense, self.code) {
            (Some(nonsense), _) => Some(nonsense.clone()),
            (None, Some(0)) => None,
            (None, Some(code)) => Some(format!("the workload ended with exit code {code}{said}")),
            (None, None) => Some(format!("the workload was lost{said}")),
        }
    }
}

/// A workload that is read, seen from the trial.
#[derive(Default)]
pub(super) struct Reading {
    over: AtomicBool,
    end: Mutex<Option<End>>,
}

impl Reading {
    /// True when all that it printed has been read and it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Notes that all was read, and how it ended.
    pub(super) fn finish(&self, end: End) {
        *self.end.lock() = Some(end);
        self.over.store(true, Ordering::Release);
    }

    /// How it ended, if it has.
    pub(super) fn end(&self) -> Option<End> {
        self.end.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_that_fails_says_why() {
        let end = |code, output: &str| End {
            code,
            nonsense: None,
            buffered: false,
            read_late: false,
            output: output.into(),
        };
        assert!(end(Some(0), "ack 1").trouble().is_none());
        let why = end(Some(2), "ack 1\ncannot go on\n").trouble();
        assert!(why.is_some_and(|why| why.contains("code 2") && why.contains("cannot go on")));
        assert!(end(None, "").trouble().is_some());
    }
}
