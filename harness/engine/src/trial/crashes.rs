//! The crashes of a live trial: noted as they happen, which costs next to nothing, and described in full
//! only where a finding wants it.

use std::sync::Arc;
use std::time::Duration;

use plugpull_crashsim::fs::{Log, Tree};
use plugpull_crashsim::persist::{self, Device, Loss, LostUpdate, MODELS, Model, Unsynced, Window};
use plugpull_faults::control::Control;
use plugpull_reports::{Evidence, TimelineStep};
use plugpull_workloads::{FailureClass, History, Judgement, Observed, Promise, Stamp, judge};

use crate::evidence::{Span, clients, files, steps};

/// One crash of a trial.
#[derive(Clone)]
pub(super) struct LiveCrash {
    /// The filesystem that it struck.
    fs: Control,
    /// When all was over.
    at: Stamp,
    /// How the power went; none where only the processes died.
    cut: Option<Cut>,
}

/// How the power went: enough to work out again what the disk lost.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub(super) model: &'static dyn Model,
    pub(super) device: Device,
    pub(super) loss: Loss,
    pub(super) seed: u64,
}

impl Cut {
    /// The log up to the cut, which is the end of it.
    fn window(self, log: &Log) -> Window<'_> {
        Window::new(log, log.records().len(), self.model, self.device)
    }

    /// What the disk did not get.
    fn lost(self, log: &Log) -> Vec<LostUpdate> {
        self.window(log).crash(self.loss, self.seed).lost
    }

    /// The models that allow what the disk held.
    fn models(self, log: &Log) -> Vec<String> {
        let window = self.window(log);
        let digest = window.crash(self.loss, self.seed).tree.digest();
        let choice = window.random_loss_set(self.loss, self.seed);
        let allows = |model: &&dyn Model| {
            let window = Window::new(log, log.records().len(), *model, self.device);
            window.shows(&choice, digest)
        };
        let allowing = MODELS.into_iter().filter(allows);
        allowing.map(|model| model.name().to_owned()).collect()
    }
}

/// The crashes of a trial so far, oldest first.
#[derive(Clone, Default)]
pub struct Crashes(Vec<LiveCrash>);

impl Crashes {
    /// Notes that the processes were killed; `alive` when there was one to kill.
    pub(super) fn killed(&mut self, fs: &Control, alive: bool) {
        let (seq, nanos) = fs.now();
        let happened = |last: &LiveCrash| alive || last.at.seq < seq;
        if self.0.last().is_none_or(happened) {
            self.0.push(LiveCrash {
                fs: fs.clone(),
                at: Stamp { seq, nanos },
                cut: None,
            });
        }
    }

    /// Notes that the power went.
    pub(super) fn cut(&mut self, fs: &Control, cut: Cut) {
        let (seq, nanos) = fs.now();
        self.0.push(LiveCrash {
            fs: fs.clone(),
            at: Stamp { seq, nanos },
            cut: Some(cut),
        });
    }

    /// What was unsynced when the power went first after so many operations, of those operations;
    /// none where it did not go.
    pub(super) fn unsynced(&self, before: u64) -> Option<Vec<Unsynced>> {
        let later = self.0.iter().filter(|crash| crash.at.seq >= before);
        let (crash, cut) = later.filter_map(|crash| Some((crash, crash.cut?))).next()?;
        let unsynced = |_: &Tree, log: &Log| persist::unsynced(log, cut.model, before);
        Some(crash.fs.inspect(unsynced))
    }
}

/// What a finding was seen on: the crashes that led to it, and the disk as the last of them left it.
pub struct Crashed {
    /// The crashes, the earliest first.
    pub crashes: Crashes,
    /// What the last one left.
    pub disk: Tree,
    /// What the fault damaged besides, in words.
    pub damaged: String,
    /// Some of it cannot be read, which the disk alone does not show.
    pub unreadable: bool,
    /// What was judged of it.
    pub judged: JudgedBy,
}

/// What the state behind a finding was held to.
#[derive(Clone, Default)]
pub struct JudgedBy {
    /// Every call of the clients.
    pub history: History,
    /// The moment of the crash.
    pub at: Option<Stamp>,
    /// What the machine suffered; none before anything was judged.
    pub class: Option<FailureClass>,
    /// What was required.
    pub promises: Vec<Promise>,
    /// The bound on recovery.
    pub bound: Option<Duration>,
}

impl JudgedBy {
    /// What this observation of the same disk breaks.
    pub fn again(&self, observed: &Observed) -> Option<Judgement> {
        let bound = self.bound;
        let class = self.class?;
        Some(judge(
            &self.history,
            observed,
            &self.promises,
            class,
            self.at,
            bound,
        ))
    }
}

impl Crashed {
    /// Whether the power went.
    pub fn lost_power(&self) -> bool {
        self.crashes.0.iter().any(|crash| crash.cut.is_some())
    }

    /// All that is known of the crash behind a finding that names this ack.
    pub fn evidence(&self, ack: Option<Stamp>) -> Evidence {
        let mut evidence = Evidence {
            damaged: self.damaged.clone(),
            ..Evidence::default()
        };
        let crashes = &self.crashes.0;
        let mut from = Stamp::default();
        let mut before: Option<TimelineStep> = None;
        for (number, crash) in crashes.iter().enumerate() {
            evidence.timeline.extend(before.take());
            let life = match number {
                0 => String::new(),
                restart => format!("restart {restart}: "),
            };
            let last = number + 1 == crashes.len();
            // A kill takes nothing from the disk; what it left unsynced a later cut may take.
            let on_same_disk = crashes[number..].iter();
            let cut = on_same_disk
                .take_while(|later| Arc::ptr_eq(&later.fs, &crash.fs))
                .find_map(|later| later.cut);
            crash.fs.inspect(|_, log| {
                let lost = cut.map(|cut| cut.lost(log)).unwrap_or_default();
                let span = Span {
                    log,
                    from,
                    to: crash.at,
                    lost: &lost,
                    ack,
                    life: &life,
                    clock: (0, 0),
                    stacks: None,
                    history: Some(&self.judged.history),
                };
                evidence.timeline.extend(steps(&span));
                before = Some(span.crash_step(match crash.cut {
                    Some(_) => "power lost",
                    None => "killed",
                }));
                if let Some(cut) = crash.cut.filter(|_| last) {
                    evidence.models = cut.models(log);
                }
                if last {
                    (evidence.files, evidence.files_left_out) =
                        files(&self.disk, log, crash.at.seq, &lost);
                }
            });
            from = crash.at;
        }
        evidence.point = from.seq;
        if let [only] = &crashes[..] {
            evidence.clients = clients(&self.judged.history, only.at, ack);
        }
        evidence
    }
}
