//! The real vfab: each operation a process, started by the driver in the sandbox.
//!
//! A transaction is a job of its own, whose drawing (a `.plob` file, which vfab copies as it is) has
//! the writes in a comment. Until QUEUED it is answered when `vfab add` ended with code 0 *and* said
//! that it was added; until COMPLETED, when vfab's own Python API then took it there, with a
//! simulated plotter. What is there is what `vfab list jobs` lists in that state. When it starts on
//! jobs that are there, the guide's [recovery] runs first.

mod carry;
mod claims;
mod jobs;
mod recovery;
mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use plugpull_workloads::{Txn, Write};

use super::report;
use super::{Until, sheets};
use jobs::Jobs;
use plugpull_driver::sdk::{Session, StoreError};
use plugpull_driver::sync_tree;
use plugpull_inspect::Request;
use recovery::{Recovered, recover};
use runner::Runner;

/// What `vfab add` says when it did it.
const ADDED: &str = "Added and queued job: ";

/// How the real one is driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// The real vfab.
    pub(super) program: PathBuf,
    /// How far each job is taken.
    pub(super) until: Until,
    /// The check tries `system export` and `import`.
    pub(super) export: bool,
}

/// Why a vfab cannot be taken further than its commands take it; none when it can.
pub(super) fn lacks_python(vfab: &Path) -> Option<String> {
    runner::python(vfab).err()
}

/// Jobs, added by commands.
pub(super) struct CommandStore {
    runner: Runner,
    jobs: Jobs,
    until: Until,
    export: bool,
    recovered: Recovered,
}

impl CommandStore {
    /// Recovers the jobs that are there, as vfab's guide says, or sets vfab up.
    pub(super) fn open(directory: &Path, options: &Options) -> Result<Self, String> {
        let runner = Runner::new(&options.program, directory);
        let jobs = Jobs::open(directory).map_err(|e| format!("the plotter's log: {e}"))?;
        let there = fs::read_dir(jobs.directory());
        let recovered = if there.is_ok_and(|mut jobs| jobs.next().is_some()) {
            recover(&runner, &jobs, options.until)?
        } else {
            // The first command prints a banner, which would break the next one's JSON.
            runner.run(&["list", "jobs"])?;
            // What a first command sets up is long on the disk where jobs are added.
            sync_tree(directory).map_err(|e| e.to_string())?;
            Recovered::default()
        };
        Ok(Self {
            runner,
            jobs,
            until: options.until,
            export: options.export,
            recovered,
        })
    }

    fn add(&self, txn: &Txn) -> Result<(), StoreError> {
        let name = format!("t{:08}", txn.id);
        let drawing = self.runner.directory().join(format!("{name}.plob"));
        let fail = |why: String| StoreError::Fail(why);
        let svg = jobs::drawing(txn).map_err(|e| fail(e.to_string()))?;
        let made = File::create(&drawing).and_then(|mut file| file.write_all(svg.as_bytes()));
        made.map_err(|e| fail(format!("{}: {e}", drawing.display())))?;
        let path = drawing.display().to_string();
        let ended = self
            .runner
            .run(&["add", "job", &name, &path, "--apply"])
            .map_err(fail);
        #[expect(
            clippy::let_underscore_must_use,
            reason = "the user's own copy is no part of the test"
        )]
        let _ = fs::remove_file(&drawing);
        let ended = ended?;
        if !(ended.good && ended.stdout.contains(&format!("{ADDED}{name}"))) {
            return Err(StoreError::Info(format!("vfab add: {}", ended.said)));
        }
        if self.until == Until::Queued {
            return Ok(());
        }
        let driven = self.jobs.drive(&self.runner, "fresh", &name);
        driven
            .and_then(|done| done)
            .map_err(|why| StoreError::Info(format!("job {name}: {why}")))
    }

    /// What the listed jobs come to, in the order of their names: those in the state that was
    /// answered, and never in another since.
    fn state(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let fail = StoreError::Fail;
        let mut state = BTreeMap::new();
        for (name, word) in claims::list(&self.runner).map_err(fail)? {
            let kept = match self.until {
                Until::Queued => !["ABORTED", "FAILED"].contains(&word.as_str()),
                Until::Completed => {
                    word == "COMPLETED" && !self.jobs.passes_of(&name).map_err(fail)?.reopened
                }
            };
            let ops = kept.then(|| self.jobs.ops(&name)).flatten();
            for op in ops.unwrap_or_default() {
                match op.write {
                    Write::Put(value) => drop(state.insert(op.key, value.into_text())),
                    Write::Delete => drop(state.remove(&op.key)),
                }
            }
        }
        Ok(state)
    }

    /// All that does not hold: what recovery left to say, the files, the paper, what vfab's commands
    /// say of the jobs, and what an export brings back.
    fn complaints(&self) -> Result<Vec<String>, String> {
        if !self.jobs.directory().is_dir() {
            return Ok(Vec::new());
        }
        let mut all = self.recovered.complaints.clone();
        let jobs = self.jobs.look();
        let mut restarted = BTreeSet::new();
        let mut paper = Vec::new();
        for job in &jobs {
            let passes = self.jobs.passes_of(&job.id)?;
            let wanted = self.jobs.strokes(&job.id);
            let state = Some(recovery::state(job));
            paper.extend(sheets::complaints(&job.id, &passes, state, wanted));
            if passes.restarted {
                restarted.insert(job.id.clone());
            }
        }
        if self.until == Until::Completed {
            all.extend(paper);
        }
        let request = Request {
            path: self.runner.directory().to_owned(),
            ..Request::default()
        };
        let found = report::inspect_but(&request, &restarted).map_err(|e| e.to_string())?;
        let spots = found.damage.iter();
        all.extend(spots.map(|spot| format!("{}: {}: {}", spot.kind, spot.file, spot.what)));
        let touched = |job: &str| self.recovered.touched.contains(job);
        all.extend(claims::complaints(&self.runner, &jobs, touched)?);
        if self.export {
            all.extend(carry::complaints(&self.runner)?);
        }
        Ok(all)
    }
}

/// Complaints, each `KIND: ...`, as one text that has every kind near its front; none where there is
/// none.
fn described(all: Vec<String>) -> Option<String> {
    let kind = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    let (first, rest) = all.split_first()?;
    let mut kinds = vec![kind(first)];
    for other in rest {
        let other = kind(other);
        if !kinds.contains(&other) {
            kinds.push(other);
        }
    }
    let also = match &kinds[1..] {
        [] => String::new(),
        others => format!(" (and {})", others.join(", ")),
    };
    let all: String = rest.iter().map(|text| format!("; {text}")).collect();
    Some(format!(
        "{}{also}{}{all}",
        kinds[0],
        &first[kinds[0].len()..]
    ))
}

impl Session for CommandStore {
    fn apply(&mut self, txn: &Txn) -> Result<(), StoreError> {
        if txn.abort {
            return Err(StoreError::Fail("there is nothing to roll back".into()));
        }
        self.add(txn)
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        Err(StoreError::Fail("vfab has no such command".into()))
    }

    fn get(&mut self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state()?.remove(key))
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        self.state()
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        self.complaints().map(described).map_err(StoreError::Fail)
    }
}

#[cfg(test)]
mod tests {
    use super::described;

    #[test]
    fn every_kind_is_named_in_front() {
        let some = |all: &[&str]| described(all.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(some(&[]), None);
        assert_eq!(some(&["a: x"]).as_deref(), Some("a: x"));
        assert_eq!(
            some(&["a: x", "b: y", "a: z"]).as_deref(),
            Some("a (and b): x; b: y; a: z")
        );
    }
}
