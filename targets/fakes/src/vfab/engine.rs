//! The manager: adding jobs, driving them to their end, and recovery, which is the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use plugpull_workloads::{Txn, Write};
use rusqlite::Connection;
use serde_json::json;

use super::files;
use super::job::{Job, document, drawing};
use super::plotter::Plotter;
use plugpull_driver::sdk::StoreError;
use plugpull_driver_vfab::Mutant;
use plugpull_driver_vfab::State;

/// Statistics are vfab's: the columns that a normal workload fills.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS job_statistics(
    id INTEGER PRIMARY KEY, job_id TEXT NOT NULL, event_type TEXT NOT NULL)";

/// The manager of the jobs in a directory.
pub(super) struct VfabEngine {
    pub(super) directory: PathBuf,
    workspace: PathBuf,
    mutant: Option<Mutant>,
    plotter: Plotter,
    statistics: Connection,
    /// The number of the next job.
    next: u64,
    /// Jobs that were stopped on their way by an error.
    stopped: Vec<PathBuf>,
    /// True while what an earlier process left is driven on.
    recovering: bool,
    /// What the completed jobs come to.
    pub(super) state: BTreeMap<String, String>,
}

fn sql(error: rusqlite::Error) -> io::Error {
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    let kind = match full {
        true => ErrorKind::StorageFull,
        false => ErrorKind::Other,
    };
    io::Error::new(kind, format!("the statistics: {error}"))
}

impl VfabEngine {
    /// Opens the workspace in `directory`, or makes it, and resumes every interrupted job.
    pub(super) fn open(directory: &Path, mutant: Option<Mutant>) -> io::Result<Self> {
        let workspace = directory.join("workspace");
        let incoming = workspace.join("incoming");
        fs::create_dir_all(workspace.join("jobs"))?;
        // What was not added whole never was a job.
        match fs::remove_dir_all(&incoming) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => fs::create_dir(&incoming)?,
        }
        let plotter = Plotter::open(directory)?;
        let statistics = Connection::open(workspace.join("vfab.db")).map_err(sql)?;
        statistics
            .pragma_update(None, "journal_mode", "wal")
            .and_then(|()| statistics.pragma_update(None, "synchronous", "normal"))
            .and_then(|()| statistics.execute(SCHEMA, []))
            .map_err(sql)?;
        files::sync_directory(&workspace)?;
        let mut engine = Self {
            directory: directory.to_owned(),
            workspace,
            mutant,
            plotter,
            statistics,
            next: 1,
            stopped: Vec::new(),
            recovering: true,
            state: BTreeMap::new(),
        };
        engine.recover()?;
        engine.recovering = false;
        Ok(engine)
    }

    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn recover(&mut self) -> io::Result<()> {
        let mut directories = Vec::new();
        for entry in fs::read_dir(self.workspace.join("jobs"))? {
            directories.push(entry?.path());
        }
        directories.sort();
        let number = |path: &PathBuf| {
            path.file_name()?
                .to_str()?
                .strip_prefix("job-")?
                .parse()
                .ok()
        };
        self.next = directories.last().and_then(number).unwrap_or(0) + 1;
        // MUTANT completed-reopened.
        if self.has(Mutant::CompletedReopened)
            && let Some(last) = directories.last()
        {
            let mut job = Job::load(last, self.mutant)?;
            if job.state == State::Completed {
                self.enter(&mut job, State::Queued, "recovery")?;
            }
        }
        self.stopped = directories;
        match self.settle() {
            // Reading needs no space; what stands still is driven on before the next job.
            Err(e) if e.kind() == ErrorKind::StorageFull => Ok(()),
            other => other,
        }
    }

    /// Drives on the jobs that were stopped, in order.
    fn settle(&mut self) -> io::Result<()> {
        while let Some(directory) = self.stopped.first().cloned() {
            self.drive(&directory)?;
            self.stopped.remove(0);
        }
        Ok(())
    }

    /// Does a transaction as a job: it is completed (or cancelled) when this returns.
    pub(super) fn commit(&mut self, txn: &Txn) -> Result<(), StoreError> {
        let full = |e: &io::Error| e.kind() == ErrorKind::StorageFull;
        let refuse = |e: io::Error| StoreError::Fail(format!("the job was not added: {e}"));
        let done = self.settle().and_then(|()| self.add(txn));
        let directory = match done {
            Ok(directory) => directory,
            // MUTANT full-disk-acked.
            Err(e) if full(&e) && self.has(Mutant::FullDiskAcked) => return Ok(()),
            Err(e) => return Err(refuse(e)),
        };
        self.stopped.push(directory);
        self.settle().or_else(|e| {
            if full(&e) && self.has(Mutant::FullDiskAcked) {
                return Ok(());
            }
            Err(StoreError::Info(format!(
                "the job was added, and stopped on its way: {e}"
            )))
        })
    }

    /// Adds a job, whole or not at all. An error of the last step leaves it to the next settling.
    fn add(&mut self, txn: &Txn) -> io::Result<PathBuf> {
        let id = format!("job-{:06}", self.next);
        let place = self.workspace.join("jobs").join(&id);
        // MUTANT added-in-place.
        let incoming = match self.has(Mutant::AddedInPlace) {
            true => place.clone(),
            false => self.workspace.join("incoming").join(&id),
        };
        let made = || -> io::Result<()> {
            fs::create_dir(&incoming)?;
            // MUTANT source-not-synced.
            let synced = !self.has(Mutant::SourceNotSynced);
            files::make(&incoming.join("src.svg"), drawing(txn)?.as_bytes(), synced)?;
            let document = document(&id, State::New, txn.abort)?;
            files::make(&incoming.join("job.json"), &document, true)?;
            files::make(&incoming.join("journal.jsonl"), b"", true)?;
            files::sync_directory(&incoming)
        };
        if let Err(e) = made() {
            // If this fails too, the next start does it; the number is not used again before.
            self.next += u64::from(fs::remove_dir_all(&incoming).is_err());
            return Err(e);
        }
        fs::rename(&incoming, &place)?;
        self.next += 1;
        if let Err(e) = files::sync_directory(&self.workspace.join("jobs")) {
            // It is there: driving it on syncs the directory again.
            self.stopped.push(place.clone());
            return Err(e);
        }
        Ok(place)
    }

    /// Brings a job to its end, from wherever it is.
    fn drive(&mut self, directory: &Path) -> io::Result<()> {
        let mut job = Job::load(directory, self.mutant)?;
        if self.recovering {
            files::sync_directory(&self.workspace.join("jobs"))?;
        }
        // MUTANT document-left-behind.
        if job.documented != job.state && !self.has(Mutant::DocumentLeftBehind) {
            self.tell(&mut job)?;
        }
        // MUTANT statistics-not-mended.
        if !(self.recovering && self.has(Mutant::StatisticsNotMended)) {
            self.count(&job)?;
        }
        if self.recovering && !job.state.is_end() {
            // MUTANT recovery-aborts.
            if self.has(Mutant::RecoveryAborts) {
                let failed = job.state == State::New;
                let end = if failed {
                    State::Failed
                } else {
                    State::Aborted
                };
                return self.enter(&mut job, end, "interrupted");
            }
            if job.state == State::Plotting {
                self.enter(&mut job, State::Paused, "interrupted")?;
            }
        }
        let resumed = self.recovering;
        loop {
            let next = match job.state {
                State::New => State::Queued,
                State::Queued if job.cancelled => State::Aborted,
                // MUTANT states-skipped.
                State::Queued if self.has(Mutant::StatesSkipped) => State::Plotting,
                State::Queued => State::Armed,
                State::Armed | State::Paused => State::Plotting,
                State::Plotting => {
                    self.draw(&job, resumed)?;
                    State::Completed
                }
                _ => break,
            };
            self.enter(&mut job, next, "")?;
        }
        if job.state == State::Completed {
            for op in job.ops {
                match op.write {
                    Write::Put(value) => drop(self.state.insert(op.key, value.into_text())),
                    Write::Delete => drop(self.state.remove(&op.key)),
                }
            }
        }
        Ok(())
    }

    /// Draws what the paper lacks of a job.
    fn draw(&self, job: &Job, resumed: bool) -> io::Result<()> {
        let mut drawn = self.plotter.drawn(&job.id)?;
        // MUTANT drawn-again.
        if resumed && self.has(Mutant::DrawnAgain) {
            drawn.clear();
        }
        // MUTANT rest-not-drawn.
        if resumed && self.has(Mutant::RestNotDrawn) {
            return Ok(());
        }
        let lacking = (1..=job.strokes).filter(|stroke| !drawn.contains(stroke));
        lacking
            .into_iter()
            .try_for_each(|stroke| self.plotter.draw(&job.id, stroke))
    }

    /// One transition: journal, document, journal, statistics.
    fn enter(&mut self, job: &mut Job, to: State, reason: &str) -> io::Result<()> {
        let from = job.state;
        let change = json!({
            "job_id": job.id, "timestamp": "", "type": "state_change", "from_state": from.word(),
            "to_state": to.word(), "reason": reason, "metadata": {},
        });
        job.state = to;
        // MUTANT document-first.
        if self.has(Mutant::DocumentFirst) {
            self.tell(job)?;
        }
        self.journal(job, &[change])?;
        job.entered.push(to);
        self.tell(job)?;
        self.journal(
            job,
            &[
                json!({"job_id": job.id, "timestamp": "", "type": "hooks_executed",
                       "state": to.word(), "reason": reason, "results": []}),
                json!({"job_id": job.id, "timestamp": "", "type": "guards_evaluated",
                       "state": to.word(), "checks": []}),
            ],
        )?;
        self.count(job)
    }

    /// Appends lines to a job's journal; on the disk when this returns.
    fn journal(&self, job: &Job, lines: &[serde_json::Value]) -> io::Result<()> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // MUTANT journal-not-synced.
        let synced = !self.has(Mutant::JournalNotSynced);
        files::append(&job.journal(), text.as_bytes(), synced)
    }

    /// Writes a job's document.
    fn tell(&self, job: &mut Job) -> io::Result<()> {
        let path = job.directory.join("job.json");
        let bytes = document(&job.id, job.state, job.cancelled)?;
        // MUTANT document-in-place.
        if self.has(Mutant::DocumentInPlace) {
            files::make(&path, &bytes, false)?;
        } else {
            files::replace(&path, &bytes)?;
        }
        job.documented = job.state;
        Ok(())
    }

    /// Writes the rows that the statistics lack of a job.
    fn count(&self, job: &Job) -> io::Result<()> {
        let rows: i64 = self
            .statistics
            .query_row(
                "SELECT count(*) FROM job_statistics WHERE job_id = ?1",
                [&job.id],
                |row| row.get(0),
            )
            .map_err(sql)?;
        let known = usize::try_from(rows).unwrap_or(0);
        // MUTANT statistics-not-mended: a row for this step, whatever is there.
        let lacking = match self.has(Mutant::StatisticsNotMended) {
            true => job.entered.len().saturating_sub(1),
            false => known,
        };
        for state in job.entered.iter().skip(lacking) {
            self.statistics
                .execute(
                    "INSERT INTO job_statistics(job_id, event_type) VALUES (?1, ?2)",
                    [job.id.as_str(), state.event()],
                )
                .map_err(sql)?;
        }
        Ok(())
    }
}
