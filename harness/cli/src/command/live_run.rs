//! A run under way: its records go to the run file, to the live reporters and into its report.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use plugpull_engine::experiment::{Made, NextTrial, TrialSink};
use plugpull_engine::trial::micros;
use plugpull_reports::{
    Emit, End, EndReason, Header, NotMeasured, RUN_SCHEMA, Record, RecordedRun, ReportedFinding,
    RunCommand, RunFile, RunLog, Trial, TrialRecord, TrialStarted, exit_code,
};

use super::baseline::Baseline;
use super::interrupt::{Overdue, Signal, Stop};
use super::reporters::Reporters;
use super::{run_files, wrong};
use crate::options::{OutputOptions, ReportOptions};

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
    warned: bool,
    begun: bool,
    report: Arc<Ending>,
}

impl<'a> LiveRun<'a> {
    /// Nothing is written before the first record. The report is held against the baseline.
    pub(super) fn new(
        command: RunCommand,
        outputs: &'a OutputOptions,
        baseline: Option<Baseline>,
        stop: &'a Stop,
        began: Instant,
    ) -> Self {
        Self {
            command,
            outputs,
            stop,
            began,
            resumed: None,
            warned: false,
            begun: false,
            report: Arc::new(Ending {
                outputs: outputs.report.clone(),
                baseline,
                log: Mutex::new(None),
                code: Mutex::new(None),
                written: Condvar::new(),
            }),
        }
    }

    /// Goes on with a run where there is one.
    pub(super) fn resume(mut self, resumed: Option<Resumed>) -> Self {
        self.resumed = resumed;
        self
    }

    /// Which findings of a trial are the first of their entry in the report.
    pub(super) fn firsts(&self, trial: &Trial) -> Vec<usize> {
        let log = self.report.log.lock();
        log.as_ref().map_or(Vec::new(), |log| log.firsts(trial))
    }

    /// Gives the findings of an exploration the names that follow from their numbers in the report: `rename`
    /// says whether it changed one. Meanwhile nobody writes the report.
    pub(super) fn name_findings(
        &mut self,
        mut rename: impl FnMut(usize, &mut ReportedFinding) -> bool,
    ) {
        if let Some(log) = &mut *self.report.log.lock() {
            for (mut found, number) in log.fold().numbered().into_iter().zip(1..) {
                if rename(number, &mut found.finding) {
                    log.emit(Record::Finding(Box::new(found)));
                }
            }
        }
    }

    /// The run file, where it has a name.
    pub(super) fn run_file(&self) -> Option<PathBuf> {
        let log = self.report.log.lock();
        let path = log.as_ref()?.path()?;
        Some(path.to_path_buf())
    }

    /// plugpull failed before it could try anything: the run ends here.
    pub(super) fn failed(&mut self, error: &anyhow::Error) {
        self.stop.when_overdue(Overdue::Wait);
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
        let log = self.report.log.lock();
        log.as_ref()
            .map_or_else(began, |log| Duration::from_micros(log.elapsed_us()))
    }

    /// The run has ended: for this reason and by what, or by a signal. Its report goes to all reporters. The
    /// exit code.
    pub(super) fn finish(self, reason: EndReason, why: &str, took: Duration) -> anyhow::Result<u8> {
        self.stop.when_overdue(Overdue::Wait);
        anyhow::ensure!(self.begun, "the run ended before it began");
        let end = End {
            took_us: micros(took),
            reason,
            why: why.into(),
        };
        match self.report.write(end, self.stop.signal()) {
            Some(code) => code,
            // It was overdue, and is written in another thread.
            None => self.report.await_code(),
        }
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
        let log = match self.resumed.take() {
            Some(resumed) => RunLog::resume(resumed.file, &resumed.run, live, self.began),
            None => {
                let header = self.complete(header);
                let file = run_files::open(self.outputs, &header);
                RunLog::begin(file, header, live, self.began)
            }
        };
        *self.report.log.lock() = Some(log);
        self.begun = true;
        let report = self.report.clone();
        let puts_back = self.command == RunCommand::Attach;
        self.stop
            .when_overdue(Overdue::Report(Box::new(move |signal| {
                report.write_overdue(signal, puts_back);
            })));
    }
}

/// The end of a run: its report is written once, by the run or, where that is overdue, for it.
struct Ending {
    outputs: ReportOptions,
    baseline: Option<Baseline>,
    /// What happened so far; none before the run began, and once its report is being written.
    log: Mutex<Option<RunLog>>,
    code: Mutex<Option<anyhow::Result<u8>>>,
    written: Condvar,
}

impl Ending {
    /// Writes the report, unless that was begun before. The exit code.
    fn write(&self, end: End, signal: Option<Signal>) -> Option<anyhow::Result<u8>> {
        let log = self.log.lock().take()?;
        let end = match signal {
            Some(signal) => End {
                reason: EndReason::Interrupted,
                why: signal.name().into(),
                ..end
            },
            None => end,
        };
        let (report, live, failures) = log.finish(end);
        let reporters = Reporters::ending(&self.outputs, live, failures);
        let code = match &self.baseline {
            Some(baseline) => baseline.held_against(&report).and_then(|(compared, code)| {
                reporters.finish_against(&report, &compared)?;
                Ok(code)
            }),
            None => reporters.finish(&report).map(|()| exit_code(&report)),
        };
        // What was found stays found; what was not looked at is no pass.
        Some(code.map(|code| match signal {
            Some(signal) if code != crate::BROKEN => signal.exit_code(),
            _ => code,
        }))
    }

    /// Writes the report of a run that did not come to its end in time after a signal, with the
    /// trials that were done. plugpull ends then, unless it must put something back first.
    fn write_overdue(&self, signal: Signal, puts_back: bool) {
        let took_us = self.log.lock().as_ref().map_or(0, RunLog::elapsed_us);
        let end = End {
            took_us,
            reason: EndReason::Interrupted,
            why: String::new(),
        };
        // Who waits for the code must get one.
        let written = catch_unwind(AssertUnwindSafe(|| self.write(end, Some(signal))));
        let failed = |_| Some(Err(anyhow::anyhow!("the report could not be written")));
        let Some(code) = written.unwrap_or_else(failed) else {
            return;
        };
        if puts_back {
            *self.code.lock() = Some(code);
            self.written.notify_all();
            return;
        }
        // The sandboxes end with plugpull.
        std::process::exit(i32::from(code.unwrap_or_else(|error| {
            eprintln!("plugpull: {error:#}");
            crate::FAILED
        })));
    }

    /// Waits until the report is written in another thread. The exit code.
    fn await_code(&self) -> anyhow::Result<u8> {
        let mut code = self.code.lock();
        loop {
            if let Some(code) = code.take() {
                return code;
            }
            self.written.wait(&mut code);
        }
    }
}

impl Emit for LiveRun<'_> {
    fn emit(&mut self, record: Record) {
        match record {
            Record::Header(header) if !self.begun => self.begin(*header),
            // A record before the header has no run that it could belong to, and one behind the
            // report comes too late.
            record => {
                if let Some(log) = &mut *self.report.log.lock() {
                    log.emit(record);
                }
            }
        }
        if !self.warned
            && let Some(log) = &mut *self.report.log.lock()
            && let Some(warning) = log.warning()
        {
            eprintln!("plugpull: {warning}");
            self.warned = true;
        }
    }
}

/// Names this build, wherever its file lies: the name that drivers have in their handshake, and the
/// digest of the program.
pub(crate) fn build() -> String {
    let program = plugpull_crashsim::trace::fingerprint(Path::new("/proc/self/exe"));
    let digest = program.map_or_else(|_| String::new(), |digest| format!("-{digest:032x}"));
    format!("{}{digest}", plugpull_driver::BUILD)
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
        if let Some((what, why)) = made.not_measured {
            self.emit(Record::NotMeasured(NotMeasured { what, why }));
        }
        self.emit(Record::Trial(Box::new(TrialRecord {
            trial: made.trial,
            slot: Some(next.slot as u64),
            explored: None,
        })));
    }
}
