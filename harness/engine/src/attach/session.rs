//! One service under test: what its rounds share, and putting everything back at the end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plugpull_reports::{Evidence, ReportedFinding, Trial};
use plugpull_workloads::{
    Clock, ConfigError, FailureClass, FindingKind, FindingPart, Generator, History, PartKind,
    Promise, Recorder, Stamp, Start, Verdict, WorkloadConfig, beginning, judge,
};

use super::endpoint::{Connection, Endpoint};
use super::incarnation::Incarnation;
use super::journal::Journal;
use super::options::{AttachOptions, Mode};
use super::prefix::{Prefixed, remove_all};
use super::readiness::{NotReady, ReadinessProbe, ServiceReady, ask};
use super::supervision::Supervision;
use super::writers::Writers;
use crate::experiment::{Experiment, Made, NextTrial};
use crate::outcome::{HarnessFailed, Observed, guard};
use crate::seed;
use crate::trial::restart::read;
use plugpull_driver::Client;

/// How long reading everything back may take.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(60);
/// How long a service that should be up may take to answer.
pub(super) const UP_LIMIT: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const AGAIN: Duration = Duration::from_millis(50);

/// Why its findings have no time line.
const UNRECORDED: &str = "The service ran on its own disk, where plugpull sees no storage \
                          operations: there is no time line and no list of files.";

/// Why a round says nothing about the service.
#[derive(Debug)]
pub(super) struct Unmeasured(String);

impl fmt::Display for Unmeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unmeasured {}

/// Nothing was measured, and why.
pub(super) fn unmeasured<T>(why: impl Into<String>) -> anyhow::Result<T> {
    Err(Unmeasured(why.into()).into())
}

/// Everything that the rounds share.
pub(super) struct Session<'a> {
    pub(super) args: &'a AttachOptions,
    pub(super) endpoint: &'a Endpoint,
    pub(super) supervision: &'a Supervision,
    pub(super) stop: &'a AtomicBool,
    /// What it is held to.
    pub(super) promises: Vec<Promise>,
    /// The data directory's own path, where it is on this machine.
    pub(super) data: Option<PathBuf>,
    /// Where there is a data directory.
    pub(super) journal: Option<Journal>,
    pub(super) seed: u64,
    /// The command as it was typed, with the seed.
    pub(super) again: String,
    /// One for each client; they go on from round to round, so that no value is written twice.
    pub(super) generators: Vec<Generator>,
    /// What is done in each round.
    pub(super) modes: Vec<(Mode, String)>,
    /// The number of the last trial.
    pub(super) last: u64,
    /// How long the service took to come back in the quickest round so far.
    pub(super) quickest: Cell<Option<Duration>>,
    /// What its process had used when it was given up, in words.
    pub(super) used: RefCell<String>,
}

/// The clock of a service that is not recorded: calls are numbered.
struct Wall {
    began: Instant,
    seq: AtomicU64,
}

impl Clock for Wall {
    fn now(&self) -> Stamp {
        Stamp {
            seq: self.seq.fetch_add(1, Ordering::SeqCst),
            nanos: u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// A workload that runs.
pub(super) struct Work<'a> {
    pub(super) recorder: Arc<Recorder>,
    clock: Arc<Wall>,
    pub(super) connection: Connection<'a>,
    pub(super) writers: Writers,
    /// What the service held before.
    begin: BTreeMap<String, String>,
}

/// The generators of a workload.
pub(super) fn generators(
    config: &WorkloadConfig,
    seed: u64,
) -> Result<Vec<Generator>, ConfigError> {
    (0..config.clients)
        .map(|client| Generator::new(config, seed, client))
        .collect()
}

impl<'a> Session<'a> {
    /// Makes one round of a mode.
    fn round(&mut self, next: &NextTrial, mode: Mode) -> Trial {
        let began = Instant::now();
        let mut trial = next.begun();
        let made = guard(|| Ok(self.try_mode(mode, &mut trial)));
        let made = made.unwrap_or_else(|failed| Err(failed.into()));
        let settled = self.settle();
        if let Err(error) = made.and(settled) {
            trial.why = format!("{error:#}");
            trial.verdict = match error.downcast_ref::<Unmeasured>() {
                Some(_) => Verdict::NotMeasured,
                None => Verdict::HarnessError,
            };
        }
        trial.took_us = micros(began.elapsed());
        trial
    }

    /// Whether the user wants an end.
    pub(super) fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Fails when the user wants an end.
    pub(super) fn go_on(&self) -> anyhow::Result<()> {
        match self.interrupted() {
            true => unmeasured("the run was interrupted"),
            false => Ok(()),
        }
    }

    /// An answer of a service that should be up.
    pub(super) fn up(&self, limit: Duration) -> Result<(Connection<'a>, Prefixed), String> {
        let deadline = Instant::now() + limit;
        loop {
            match ask(self.endpoint, deadline) {
                Ok(up) => return Ok(up),
                Err(why) if Instant::now() >= deadline => return Err(why),
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
    }

    /// The service as it runs now, which is to end.
    pub(super) fn life(&self) -> anyhow::Result<Incarnation<'a>> {
        let deadline = Instant::now() + UP_LIMIT;
        let data = self.data.as_deref();
        Incarnation::find(self.supervision, self.endpoint, data, deadline).or_else(|why| {
            unmeasured(format!(
                "it cannot be seen whether this service ends, so nothing was killed: {why}"
            ))
        })
    }

    /// Sets the clients to work.
    pub(super) fn work(&mut self) -> anyhow::Result<Work<'a>> {
        if self.generators.is_empty() {
            let lost = "its clients were lost when plugpull failed in an earlier round";
            return Err(HarnessFailed::new(lost).into());
        }
        let (connection, mut client) = match self.up(UP_LIMIT) {
            Ok(up) => up,
            Err(why) => {
                return unmeasured(format!(
                    "the service did not answer before anything was done to it: {why}"
                ));
            }
        };
        let deadline = Instant::now() + READ_LIMIT;
        let begin = match client.read_all(deadline) {
            Ok(all) => all,
            Err(error) => return unmeasured(format!("it could not be read before: {error}")),
        };
        let clock = Arc::new(Wall {
            began: Instant::now(),
            seq: AtomicU64::new(1),
        });
        let recorder = Arc::new(Recorder::new(clock.clone()));
        let mut clients = Vec::new();
        for _ in &self.generators {
            match connection.connect(Instant::now() + UP_LIMIT) {
                Ok(client) => clients.push(client),
                Err(error) => return unmeasured(format!("a client could not connect: {error}")),
            }
        }
        let generators = std::mem::take(&mut self.generators);
        let clients = clients.into_iter().zip(generators).collect();
        let pause = Duration::from_secs(1) * self.args.clients / self.args.rate;
        Ok(Work {
            writers: Writers::start(clients, &recorder, pause),
            recorder,
            clock,
            connection,
            begin,
        })
    }

    /// Notes what the service shows after it came back, or that it did not.
    pub(super) fn look(
        &self,
        back: Result<ServiceReady<'_>, NotReady>,
        trial: &mut Trial,
    ) -> anyhow::Result<Observed> {
        let mut observed = Observed {
            checker: self.endpoint.checker(),
            ..Observed::default()
        };
        match back {
            Ok(mut back) => {
                let quickest = self.quickest.get().into_iter().chain([back.recovery]).min();
                self.quickest.set(quickest);
                trial.recovery_us.push(micros(back.recovery));
                trial.what = format!("{}; {}", trial.what, back.notes.join(", "));
                observed.recovery = Some(back.recovery);
                if let Err(failed) = read(&mut back.client, &mut observed) {
                    failed.note(&mut observed);
                }
            }
            Err(NotReady::Refused(message)) => observed.start = Start::Refused { message },
            Err(NotReady::Hung(waited, used)) => {
                observed.start = Start::Hung { waited };
                self.used.replace(used);
            }
            Err(NotReady::Slow(why)) => return unmeasured(why),
            Err(NotReady::NotStarted(why)) => return unmeasured(why),
            Err(NotReady::Interrupted) => return unmeasured("the run was interrupted"),
            Err(NotReady::Failed(why)) => anyhow::bail!(why),
        }
        Ok(observed)
    }

    /// Holds what was seen to the promises.
    pub(super) fn judge(
        &self,
        history: &History,
        observed: &Observed,
        class: FailureClass,
        crash: Option<Stamp>,
        trial: &mut Trial,
    ) {
        let bound = self.args.recovery_bound;
        let judged = judge(history, observed, &self.promises, class, crash, bound);
        trial.verdict = judged.verdict;
        trial.why = judged.why;
        trial.observed = judged.observed;
        let used = self.used.take();
        trial.findings = judged
            .findings
            .into_iter()
            .map(|mut finding| {
                if finding.kind == FindingKind::Hung && !used.is_empty() {
                    finding.sentence = format!("{}; {used}", finding.sentence);
                    finding
                        .parts
                        .push(FindingPart::new(PartKind::Note, used.as_str()));
                }
                finding
            })
            .map(|finding| ReportedFinding {
                finding,
                trial: trial.number,
                count: 1,
                repeat: self.again.clone(),
                output: Vec::new(),
                evidence: Some(Box::new(Evidence {
                    unrecorded: UNRECORDED.into(),
                    ..Evidence::default()
                })),
            })
            .collect();
    }

    /// How to wait for the service.
    pub(super) fn waiting(&self) -> ReadinessProbe<'_, 'a> {
        ReadinessProbe {
            endpoint: self.endpoint,
            supervision: self.supervision,
            data: self.data.as_deref(),
            stop: self.stop,
            limit: self.args.start_limit,
            quickest: self.quickest.get(),
        }
    }

    /// Puts back what a round left to be put back.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        let limit = self.args.start_limit;
        match &mut self.journal {
            Some(journal) if journal.has_pending() => {
                journal.settle(self.supervision, limit).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Puts everything back: files, the service, and its keys. Returns what could not be.
    pub(super) fn finish(mut self) -> Vec<String> {
        let mut troubles = Vec::new();
        if let Err(error) = self.settle() {
            troubles.push(format!("{error:#}"));
        }
        match self.revive() {
            Err(why) => troubles.push(format!(
                "the service does not answer at the end: {why}; keys under {:?} may be left in it",
                self.args.prefix
            )),
            Ok(()) if self.args.leave_keys => {}
            Ok(()) => {
                if let Err(why) = remove_keys(self.endpoint, &self.args.prefix) {
                    troubles.push(format!(
                        "the keys under {:?} could not be removed: {why}",
                        self.args.prefix
                    ));
                }
            }
        }
        if let Some(journal) = self.journal.take()
            && let Err(error) = journal.finish()
        {
            troubles.push(format!("{error:#}"));
        }
        troubles
    }

    /// Waits for the service; starts it where nobody does.
    fn revive(&self) -> Result<(), String> {
        let rest = match self.supervision.look() {
            Ok(seen) => seen.at_rest,
            Err(error) => return Err(format!("{error:#}")),
        };
        let patience = match rest {
            true => Duration::ZERO,
            false => self
                .supervision
                .wait
                .max(UP_LIMIT)
                .min(self.args.start_limit),
        };
        match self.up(patience) {
            Ok(_) => Ok(()),
            Err(why) if !self.supervision.can_start() => Err(why),
            Err(_) => {
                self.supervision
                    .start()
                    .map_err(|error| format!("{error:#}"))?;
                self.up(self.args.start_limit).map(drop)
            }
        }
    }
}

/// Removes all keys under a prefix. Returns how many there were.
pub(super) fn remove_keys(endpoint: &Endpoint, prefix: &str) -> Result<usize, String> {
    let endpoint = endpoint.with_prefix(prefix);
    let deadline = Instant::now() + READ_LIMIT;
    let connection = endpoint.open(deadline)?;
    let mut client = connection
        .connect(deadline)
        .map_err(|error| error.to_string())?;
    remove_all(&mut client, deadline).map_err(|error| error.to_string())
}

impl Experiment for Session<'_> {
    fn next(&mut self, _elapsed: Duration) -> Option<NextTrial> {
        let slot = usize::try_from(self.last)
            .ok()?
            .checked_rem(self.modes.len())?;
        if self.last >= self.args.rounds * self.modes.len() as u64 {
            return None;
        }
        self.last += 1;
        let (mode, name) = &self.modes[slot];
        Some(NextTrial {
            number: self.last,
            slot,
            fault: name.clone(),
            spec: name.clone(),
            seed: seed::of_trial(self.seed, self.last),
            class: mode.class(),
        })
    }

    fn make(&mut self, next: &NextTrial) -> Option<Made> {
        let mode = self.modes[next.slot].0;
        Some(self.round(next, mode).into())
    }
}

impl Work<'_> {
    /// The moment now, on the history's clock.
    pub(super) fn now(&self) -> Stamp {
        self.clock.now()
    }

    /// Ends the work: clients first where the service lives, else its connections first, since
    /// nobody will answer. Returns the history and the generators.
    ///
    /// # Errors
    /// A client failed, and not the service.
    pub(super) fn end(
        self,
        alive: bool,
    ) -> Result<(History, super::writers::WriteTally, Vec<Generator>), HarnessFailed> {
        let Self {
            recorder,
            connection,
            writers,
            begin,
            ..
        } = self;
        let mut connection = Some(connection);
        if !alive {
            connection = None;
        }
        let stopped = writers.stop();
        drop(connection);
        let (tally, generators) = stopped?;
        Ok((begun(&begin, recorder.history()), tally, generators))
    }
}

fn begun(begin: &BTreeMap<String, String>, mut history: History) -> History {
    if !begin.is_empty() {
        history
            .entries
            .insert(0, beginning(begin.clone(), Stamp::default()));
    }
    history
}

/// Microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
