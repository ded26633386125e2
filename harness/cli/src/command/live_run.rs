//! A run under way: its records go to the run file, to the live reporters and into its report.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use plugpull_engine::experiment::{Made, NextTrial, TrialSink};
use plugpull_engine::trial::micros;
use plugpull_reports::{
    Emit, End, EndReason, Header, RUN_SCHEMA, Record, RecordedRun, RunCommand, RunFile, RunLog,
    Trial, TrialRecord, TrialStarted, exit_code,
};

use super::interrupt::Stop;
use super::reporters::Reporters;
use super::reports::Baseline;
use super::{run_files, wrong};
use crate::cli::OutputOptions;

/// A run that was read from its file, and the file, to go on with.
pub(crate) struct Resumed {
    /// What happened before.
    pub(crate) run: RecordedRun,
    /// Where it goes on.
    pub(crate) file: RunFile,
}

impl Resumed {
    /// Wrong use unless the run would now be about the same.
    pub(crate) fn same_work(&self, now: &Header) -> anyhow::Result<()> {
        let Some(then) = self.run.header() else {
            anyhow::bail!("the run file lost its header");
        };
        let what = if then.target.version != now.target.version {
            Some((
                "the target's version",
                &then.target.version,
                &now.target.version,
            ))
        } else {
            None
        };
        if let Some((what, then, now)) = what {
            return Err(wrong(format!(
                "the run cannot be resumed: {what} was {then}, and is {now}"
            )));
        }
        let differs = [
            ("the target", then.target != now.target),
            ("the seed", then.seed != now.seed),
            ("what is tried", then.faults != now.faults),
            (
                "what this machine can do",
                then.unavailable != now.unavailable,
            ),
            (
                "what can be tried here",
                then.not_applicable != now.not_applicable,
            ),
            (
                "the recovery bound",
                then.recovery_bound_us != now.recovery_bound_us,
            ),
            ("what is measured", then.growth != now.growth),
            ("the shard", then.shard != now.shard),
        ];
        match differs.iter().find(|one| one.1) {
            Some((what, _)) => Err(wrong(format!(
                "the run cannot be resumed: {what} is not what it was"
            ))),
            None => Ok(()),
        }
    }
}

/// A run that is being made. Its first record is the header.
pub(super) struct LiveRun<'a> {
    command: RunCommand,
    outputs: &'a OutputOptions,
    stop: &'a Stop,
    began: Instant,
    resumed: Option<Resumed>,
    log: Option<RunLog>,
    warned: bool,
}

impl<'a> LiveRun<'a> {
    /// Nothing is written before the first record.
    pub(super) fn new(
        command: RunCommand,
        outputs: &'a OutputOptions,
        stop: &'a Stop,
        began: Instant,
    ) -> Self {
        Self {
            command,
            outputs,
            stop,
            began,
            resumed: None,
            log: None,
            warned: false,
        }
    }

    /// Goes on with a run where there is one.
    pub(super) fn resume(mut self, resumed: Option<Resumed>) -> Self {
        self.resumed = resumed;
        self
    }

    /// Which findings of a trial are the first of their entry in the report.
    pub(super) fn firsts(&self, trial: &Trial) -> Vec<usize> {
        self.log
            .as_ref()
            .map_or(Vec::new(), |log| log.firsts(trial))
    }

    /// The run file, where it has a name.
    pub(super) fn run_file(&self) -> Option<PathBuf> {
        let path = self.log.as_ref()?.path()?;
        Some(path.to_path_buf())
    }

    /// plugpull failed before it could try anything: the run ends here.
    pub(super) fn failed(&mut self, error: &anyhow::Error) {
        let took_us = micros(self.elapsed());
        self.emit(Record::End(End {
            took_us,
            reason: EndReason::Failed,
            why: format!("{error:#}"),
        }));
    }

    /// How long the run has taken, with the time before it was resumed.
    pub(super) fn elapsed(&self) -> Duration {
        let began = || self.began.elapsed();
        let log = self.log.as_ref();
        log.map_or_else(began, |log| Duration::from_micros(log.elapsed_us()))
    }

    /// The run has ended: for this reason, or by a signal. Its report goes to all reporters. The
    /// exit code.
    pub(super) fn finish(
        self,
        reason: EndReason,
        took: Duration,
        baseline: Option<&Baseline>,
    ) -> anyhow::Result<u8> {
        let signal = self.stop.signal();
        let end = End {
            took_us: micros(took),
            reason: match signal {
                Some(_) => EndReason::Interrupted,
                None => reason,
            },
            why: signal.map_or("", |signal| signal.name()).into(),
        };
        let Some(log) = self.log else {
            anyhow::bail!("the run ended before it began");
        };
        let (report, live, failures) = log.finish(end);
        let reporters = Reporters::ending(&self.outputs.report, live, failures);
        let code = match baseline {
            Some(baseline) => {
                let (comparison, code) = baseline.held_against(&report)?;
                reporters.finish_against(&report, &comparison)?;
                code
            }
            None => {
                reporters.finish(&report)?;
                exit_code(&report)
            }
        };
        // What was found stays found; what was not looked at is no pass.
        Ok(match signal {
            Some(signal) if code != crate::BROKEN => signal.exit_code(),
            _ => code,
        })
    }

    /// Completes a header with what the command line says.
    fn complete(&self, header: Header) -> Header {
        let directory = std::env::current_dir().unwrap_or_default();
        Header {
            schema: RUN_SCHEMA.into(),
            plugpull: env!("CARGO_PKG_VERSION").into(),
            build: build(),
            command: self.command,
            arguments: self.outputs.arguments.clone(),
            directory: directory.display().to_string(),
            began_unix: run_files::now_unix(),
            ..header
        }
    }

    fn begin(&mut self, header: Header) {
        let live = Reporters::live(self.outputs.quiet);
        self.log = Some(match self.resumed.take() {
            Some(resumed) => RunLog::resume(resumed.file, &resumed.run, live, self.began),
            None => {
                let header = self.complete(header);
                let file = run_files::open(self.outputs, &header);
                RunLog::begin(file, header, live, self.began)
            }
        });
    }
}

impl Emit for LiveRun<'_> {
    fn emit(&mut self, record: Record) {
        match (record, &mut self.log) {
            (Record::Header(header), None) => self.begin(*header),
            (record, Some(log)) => log.emit(record),
            // A record before the header has no run that it could belong to.
            (_, None) => {}
        }
        if !self.warned
            && let Some(warning) = self.log.as_mut().and_then(RunLog::warning)
        {
            eprintln!("plugpull: {warning}");
            self.warned = true;
        }
    }
}

/// Names this build: its version, and the size and time of the program's file.
pub(crate) fn build() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let program = std::fs::metadata("/proc/self/exe");
    let file = program.map_or_else(
        |_| String::new(),
        |meta| {
            format!(
                "-{:x}-{:x}{:08x}",
                meta.len(),
                meta.mtime(),
                meta.mtime_nsec()
            )
        },
    );
    format!("{}{file}", env!("CARGO_PKG_VERSION"))
}

impl TrialSink for LiveRun<'_> {
    fn elapsed(&self) -> Duration {
        LiveRun::elapsed(self)
    }

    fn started(&mut self, next: &NextTrial) {
        self.emit(Record::TrialStarted(TrialStarted {
            number: next.number,
            fault: next.spec.clone(),
            slot: Some(next.slot as u64),
        }));
    }

    fn firsts(&self, trial: &Trial) -> Vec<usize> {
        LiveRun::firsts(self, trial)
    }

    fn finished(&mut self, next: &NextTrial, made: Made) {
        // The sample first: a trial that is in the file is measured.
        if let Some(sample) = made.sample {
            self.emit(Record::GrowthSample(sample));
        }
        self.emit(Record::Trial(Box::new(TrialRecord {
            trial: made.trial,
            slot: Some(next.slot as u64),
            explored: None,
        })));
    }
}
