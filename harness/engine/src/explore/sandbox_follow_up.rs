//! A follow-up in a sandbox: the target that has recovered is stopped in order or written to, before it is
//! killed as always.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::time::Instant;

use plugpull_crashsim::fs::Log;
use plugpull_driver::{Client, Running as DriverRunning, Target};
use plugpull_faults::control::Injector;
use plugpull_sandbox::UNKNOWN_CODE;
use plugpull_workloads::{Entry, FollowUp, History, Observed, Outcome, Stamp};

use super::follow_up::{FollowUpPlan, FollowedUp, LifeCall, Shown};
use crate::outcome::HarnessFailed;
use crate::trial::restart::Running;
use crate::trial::{CALL_LIMIT, STOP_LIMIT, SandboxHost, make};

/// Why a command is not written to again.
const COMMAND: &str =
    "its workload is a command, of which nobody knows whether it goes on with what is there";
/// Why a program that runs for its check alone is not stopped.
const NOTHING_RUNS: &str = "nothing of it goes on running once its check has ended";

/// Why the end of a driver is no close.
const LEAVES: &str = "SIGTERM ends its driver at once, and without that it leaves processes behind";

/// How a target is stopped in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopBy {
    /// By SIGTERM.
    Signal,
    /// By the end of its standard input: a driver ends then, which is what closes a store in its process.
    EndOfInput,
}

/// Why a target can have no such follow-up, where that is known before it was tried.
pub(super) fn not_applicable(target: &dyn Target, follow_up: FollowUp) -> Option<&'static str> {
    let script = target.scripted()?;
    match follow_up {
        FollowUp::SecondLife => Some(COMMAND),
        FollowUp::CleanStop if !script.serves() => Some(NOTHING_RUNS),
        FollowUp::CleanStop | FollowUp::SecondRestart => None,
    }
}

/// The first life of a target on a crashed disk, up to where it is killed or followed up.
pub(super) struct FirstLife<'a> {
    plan: Option<&'a FollowUpPlan>,
    fs: &'a Injector,
    /// What recovery did, where more was done behind it.
    recovery: Option<Log>,
    ending: Option<LifeEnd>,
}

/// How the first life ended that was followed up.
pub(super) enum LifeEnd {
    /// It was killed, or closed.
    Over,
    /// The same, after these calls.
    Lived(History),
    /// It did not come to that.
    NotDone(String),
}

impl<'a> FirstLife<'a> {
    /// Nothing is done yet. `fs` is the target's disk.
    pub(super) fn new(plan: Option<&'a FollowUpPlan>, fs: &'a Injector) -> Self {
        Self {
            plan,
            fs,
            recovery: None,
            ending: None,
        }
    }

    /// Follows up a target that has come up and was read back, where it showed what it holds. What is
    /// returned is kept until it was killed.
    pub(super) fn follow_up<'t, 'host>(
        &mut self,
        host: &SandboxHost,
        observed: &Observed,
        up: Running<'t, 'host>,
        by: StopBy,
    ) -> Result<Option<Running<'t, 'host>>, HarnessFailed> {
        let Some(plan) = self.plan.filter(|_| matches!(observed.state, Some(Ok(_)))) else {
            return Ok(Some(up));
        };
        if plan.follow_up != FollowUp::SecondRestart {
            self.recovery = Some(self.fs.take_log());
        }
        let (ending, kept) = match plan.follow_up {
            FollowUp::SecondRestart => (LifeEnd::Over, Some(up)),
            FollowUp::CleanStop => (stop(host, up, by)?, None),
            FollowUp::SecondLife => (live(&*up.0, &plan.life), Some(up)),
        };
        self.ending = Some(ending);
        Ok(kept)
    }

    /// What recovery did, and how the life ended; none where it was not followed up.
    pub(super) fn end(self) -> (Log, Option<LifeEnd>) {
        let log = self.recovery.unwrap_or_else(|| self.fs.take_log());
        (log, self.ending)
    }
}

impl LifeEnd {
    /// True where the target is started again.
    pub(super) fn begins_again(&self) -> bool {
        !matches!(self, Self::NotDone(_))
    }

    /// What that showed, beside what the first recovery did.
    pub(super) fn came(self, follow_up: FollowUp, first: &Observed, then: Observed) -> FollowedUp {
        match self {
            Self::Over => FollowedUp::again(follow_up, first, then),
            Self::Lived(calls) => FollowedUp {
                follow_up,
                shown: Shown::Life {
                    calls,
                    observed: Box::new(then),
                },
            },
            Self::NotDone(why) => FollowedUp::not_done(follow_up, why),
        }
    }
}

/// Stops what runs, in order.
fn stop(
    host: &SandboxHost,
    (running, up): Running<'_, '_>,
    by: StopBy,
) -> Result<LifeEnd, HarnessFailed> {
    let deadline = Instant::now() + STOP_LIMIT;
    let mut running = Some(running);
    drop(up);
    match by {
        StopBy::Signal => host.sandbox.signal_all(libc::SIGTERM)?,
        StopBy::EndOfInput => running = None,
    }
    let code = match host.last() {
        Some(child) => child.wait(deadline)?,
        None => return Ok(LifeEnd::NotDone(NOTHING_RUNS.into())),
    };
    drop(running);
    let left = match (code, by) {
        (Some(0), StopBy::EndOfInput) => host.sandbox.usage()?.processes,
        _ => 0,
    };
    Ok(ended(code, by, left))
}

/// What the end of a target says that was stopped: its exit code, none where it goes on, and how many
/// processes it left behind.
fn ended(code: Option<i32>, by: StopBy, left: u64) -> LifeEnd {
    match (code, by) {
        (Some(0), _) if left > 0 => LifeEnd::NotDone(LEAVES.into()),
        (Some(0), _) => LifeEnd::Over,
        (Some(UNKNOWN_CODE), _) => LifeEnd::NotDone("how it ends is not known".into()),
        (Some(code), StopBy::Signal) if code == 128 + libc::SIGTERM => {
            LifeEnd::NotDone("SIGTERM ends it at once, as SIGKILL does".into())
        }
        (Some(code), _) => {
            LifeEnd::NotDone(format!("it ends with exit code {code} when it is stopped"))
        }
        (None, _) => LifeEnd::NotDone(format!("it goes on for {STOP_LIMIT:?} when it is stopped")),
    }
}

/// Makes these calls, one after the other.
fn live(running: &dyn DriverRunning, calls: &[LifeCall]) -> LifeEnd {
    let mut life = Life {
        began: Instant::now(),
        moments: 0,
    };
    let mut clients: BTreeMap<u32, Box<dyn Client>> = BTreeMap::new();
    let mut history = History::default();
    let mut why = "nothing was written".to_owned();
    for LifeCall { client, call } in calls {
        let deadline = Instant::now() + CALL_LIMIT;
        let connection = match clients.entry(*client) {
            MapEntry::Occupied(known) => known.into_mut(),
            MapEntry::Vacant(free) => match running.connect(deadline) {
                Ok(connection) => free.insert(connection),
                Err(error) => return nothing_or(history, error.to_string()),
            },
        };
        let invoked = life.now();
        let (outcome, gone) = make(call, &mut **connection, deadline);
        if let Outcome::Fail(text) | Outcome::Info(text) = &outcome {
            why.clone_from(text);
        }
        history.entries.push(Entry {
            client: *client,
            call: call.clone(),
            invoked,
            done: Some((life.now(), outcome)),
        });
        if gone {
            break;
        }
    }
    nothing_or(history, why)
}

/// The calls, where anything was acknowledged.
fn nothing_or(history: History, why: String) -> LifeEnd {
    match history.acked() {
        0 => LifeEnd::NotDone(format!(
            "the recovered target acknowledged nothing more: {why}"
        )),
        _ => LifeEnd::Lived(history),
    }
}

/// The clock of a second life.
struct Life {
    began: Instant,
    moments: u64,
}

impl Life {
    fn now(&mut self) -> Stamp {
        self.moments += 1;
        let nanos = self.began.elapsed().as_nanos();
        Stamp {
            seq: self.moments,
            nanos: u64::try_from(nanos).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_that_is_known_to_be_a_good_one_is_a_stop() {
        for by in [StopBy::Signal, StopBy::EndOfInput] {
            assert!(ended(Some(0), by, 0).begins_again());
            assert!(!ended(Some(0), by, 1).begins_again());
            for code in [Some(1), Some(128 + libc::SIGTERM), Some(UNKNOWN_CODE), None] {
                assert!(!ended(code, by, 0).begins_again(), "{code:?}");
            }
        }
    }
}
