//! The jobs of the real vfab on the disk, with the simulated plotter's log.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use plugpull_workloads::{Op, Txn};
use serde_json::Value;

use super::super::job::{self, Job};
use super::super::paper::{PAPER, wanted};
use super::super::sheets::{Passes, passes};
use super::runner::Runner;

/// Around the writes in a drawing.
const COMMENT: (&str, &str) = ("<!-- plugpull ", " -->");
/// Where the jobs are, under HOME.
pub(super) const JOBS: &str = ".local/share/vfab/workspace/jobs";

/// The jobs in a home of vfab.
pub(super) struct Jobs {
    home: PathBuf,
}

impl Jobs {
    /// The jobs under this home, and the plotter's log beside them: what was not written whole is cut
    /// off it, for it did not happen.
    pub(super) fn open(home: &Path) -> std::io::Result<Self> {
        let log = home.join(PAPER);
        if let Some(place) = log.parent() {
            fs::create_dir_all(place)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .read(true)
            .create(true)
            .open(&log)?;
        let bytes = fs::read(&log)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        file.set_len(whole.map_or(0, |end| end as u64 + 1))?;
        file.sync_all()?;
        log.parent().map_or(Ok(()), sync)?;
        sync(home)?;
        Ok(Self {
            home: home.to_owned(),
        })
    }

    /// The directory of jobs.
    pub(super) fn directory(&self) -> PathBuf {
        self.home.join(JOBS)
    }

    /// Every job, by our own parser, in the order of their names.
    pub(super) fn look(&self) -> Vec<Job> {
        let mut directories: Vec<PathBuf> = fs::read_dir(self.directory())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        directories.sort();
        directories
            .iter()
            .map(|directory| job::look(directory))
            .collect()
    }

    fn log(&self) -> PathBuf {
        self.home.join(PAPER)
    }

    /// What the plotter did for a job.
    pub(super) fn passes_of(&self, job: &str) -> Result<Passes, String> {
        let bytes = match fs::read(self.log()) {
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            other => other.map_err(|e| format!("the plotter's log: {e}"))?,
        };
        Ok(passes(&bytes).remove(job).unwrap_or_default())
    }

    /// Notes a word about a job in the plotter's log; on the disk when this returns.
    pub(super) fn note(&self, job: &str, word: &str) -> Result<(), String> {
        let noted = OpenOptions::new()
            .append(true)
            .open(self.log())
            .and_then(|mut log| {
                log.write_all(format!("{job} {word}\n").as_bytes())?;
                log.sync_all()
            });
        noted.map_err(|e| format!("the plotter's log: {e}"))
    }

    fn drawing(&self, job: &str) -> Option<String> {
        fs::read_to_string(self.directory().join(job).join("multipen.plob")).ok()
    }

    /// The writes of a job; none where its drawing is not whole, which the check tells.
    pub(super) fn ops(&self, job: &str) -> Option<Vec<Op>> {
        let svg = self.drawing(job)?;
        let (_, rest) = svg.split_once(COMMENT.0)?;
        serde_json::from_str(rest.split_once(COMMENT.1)?.0).ok()
    }

    /// Whether its drawing is whole.
    pub(super) fn is_drawable(&self, job: &str) -> bool {
        self.ops(job).is_some()
    }

    /// How many strokes a job's drawing has.
    pub(super) fn strokes(&self, job: &str) -> u64 {
        self.drawing(job).map_or(0, |svg| wanted(&svg))
    }

    /// Takes a job to COMPLETED by vfab's API; `how` is `fresh` or `recovered`. The inner error says
    /// why vfab did not.
    pub(super) fn drive(
        &self,
        runner: &Runner,
        how: &str,
        job: &str,
    ) -> Result<Result<(), String>, String> {
        let ended = runner.drive(how, job, self.strokes(job), &self.log())?;
        let printed = ended
            .stdout
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(match printed {
            Some(printed) if ended.good && printed["state"] == "COMPLETED" => Ok(()),
            Some(printed) => Err(format!(
                "it is {} by the way {}, and {} is refused",
                printed["state"], printed["way"], printed["refused"]
            )),
            None => Err(format!("its API fails: {}", ended.said)),
        })
    }
}

/// The drawing of a transaction, which has its writes in a comment: a stroke for each, and a frame.
pub(super) fn drawing(txn: &Txn) -> serde_json::Result<String> {
    // A comment must not hold two hyphens; JSON knows another word for one.
    let ops = serde_json::to_string(&txn.ops)?.replace("--", "\\u002d\\u002d");
    let strokes = "<path d=\"M 0 0 L 10 10\"/>\n".repeat(txn.ops.len() + 1);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"10\" height=\"10\">\n{}{ops}{}\n\
         {strokes}</svg>\n",
        COMMENT.0, COMMENT.1
    ))
}

fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}
