//! A run as it happens: each record is written, folded into the report and handed to the live
//! reporters.

use std::path::Path;
use std::time::Instant;

use crate::fold::{Fold, micros, settled};
use crate::report::Report;
use crate::reporter::Reporter;
use crate::trial::Trial;

use super::record::{Emit, End, Header, Line, Record};
use super::recorded::{RecordedRun, report};
use super::writer::RunFile;

/// Takes the records of a run.
pub struct RunLog {
    file: RunFile,
    fold: Fold,
    live: Vec<Box<dyn Reporter>>,
    /// What live reporters and the run file could not do, each once.
    failures: Vec<String>,
    began: Instant,
    /// How long the run took before it was resumed, in microseconds.
    before_us: u64,
    /// The last trial that the run made before it was resumed. An exploration comes to it again.
    before_trial: u64,
}

impl RunLog {
    /// Begins a run at this time: its header is the first record.
    pub fn begin(
        file: RunFile,
        header: Header,
        live: Vec<Box<dyn Reporter>>,
        began: Instant,
    ) -> Self {
        let mut log = Self {
            file,
            fold: Fold::default(),
            live,
            failures: Vec::new(),
            began,
            before_us: 0,
            before_trial: 0,
        };
        log.emit(Record::Header(Box::new(header)));
        log
    }

    /// Goes on with a run whose records were read.
    pub fn resume(
        file: RunFile,
        read: &RecordedRun,
        live: Vec<Box<dyn Reporter>>,
        began: Instant,
    ) -> Self {
        let mut log = Self {
            file,
            fold: read.fold.clone(),
            live,
            failures: Vec::new(),
            began,
            before_us: read.fold.last_us(),
            before_trial: read.fold.last_trial(),
        };
        if let Some(header) = read.fold.header() {
            let header = Record::Header(Box::new(header.clone()));
            log.show(&Line {
                at_us: log.before_us,
                record: header,
            });
        }
        log.emit(Record::Resumed);
        log
    }

    /// What is known so far.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Which findings of a trial, by index, are the first of their entry in the report.
    pub fn firsts(&self, trial: &Trial) -> Vec<usize> {
        self.fold.firsts(trial)
    }

    /// Where the run file is; none where it has no name.
    pub fn path(&self) -> Option<&Path> {
        self.file.path()
    }

    /// How long the run has taken, in microseconds.
    pub fn elapsed_us(&self) -> u64 {
        self.before_us.saturating_add(micros(self.began.elapsed()))
    }

    /// Why the run file ends early, once.
    pub fn warning(&mut self) -> Option<String> {
        self.file.warning()
    }

    /// Ends the run: its report, which reads its trials from the run file, and what live reporters
    /// could not do.
    pub fn finish(mut self, end: End) -> (Report, Vec<Box<dyn Reporter>>, Vec<String>) {
        self.emit(Record::End(end));
        self.file.sync();
        let report = report(&self.fold, &self.file.source());
        (report, self.live, self.failures)
    }

    fn show(&mut self, line: &Line) {
        for reporter in &mut self.live {
            if let Err(error) = reporter.record(line) {
                let text = error.to_string();
                if !self.failures.contains(&text) {
                    self.failures.push(text);
                }
            }
        }
    }
}

impl Emit for RunLog {
    fn emit(&mut self, record: Record) {
        let record = match record {
            Record::Trial(one) if one.trial.number <= self.before_trial => return,
            Record::Trial(mut one) => {
                one.trial = settled(one.trial);
                Record::Trial(one)
            }
            other => other,
        };
        let line = Line {
            at_us: self.elapsed_us(),
            record,
        };
        self.file.write(&line);
        self.fold.record(line.at_us, &line.record);
        self.show(&line);
    }
}
