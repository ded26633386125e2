//! Recording one run of the workload on the crash filesystem.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plugpull_crashsim::fs::{Log, ROOT};
use plugpull_faults::machine::Machine;
use plugpull_reports::TargetInfo;
use plugpull_targets::Target;
use plugpull_workloads::{Entry, History, Stamp, WorkloadConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::trace_file::TraceFile;
use crate::trial::{SandboxHost, StorageRules, Testbed};

/// How long the workload may take.
const WORKLOAD_LIMIT: Duration = Duration::from_secs(120);

/// A recorded run: the filesystem's log from an empty disk on, and the clients' history.
pub struct Trace {
    /// Every operation from an empty disk on.
    pub log: Log,
    /// What was recorded, and the clients' side of it.
    pub about: Recorded,
}

/// What a trace is a recording of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// plugpull's version.
    pub plugpull: String,
    /// The target's name.
    pub target: String,
    /// Its version and settings in words.
    pub version: String,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
    /// The seed of the workload.
    pub seed: u64,
    /// How many clients wrote.
    pub clients: u32,
    /// The largest value, in bytes.
    pub value_size: u32,
    /// User and group that the disk belonged to.
    pub owner: (u32, u32),
    /// Every call and its outcome, on the log's clock.
    pub history: History,
    /// What the target wrote to its standard output and standard error.
    pub output: String,
}

impl Trace {
    /// The history as it was when the first `point` operations had happened: what was answered
    /// later is open, what was asked later never was.
    pub fn history_at(&self, point: u64) -> History {
        let entries = self
            .about
            .history
            .entries
            .iter()
            .filter(|entry| entry.invoked.seq <= point)
            .map(|entry| Entry {
                done: entry.done.clone().filter(|(stamp, _)| stamp.seq <= point),
                ..entry.clone()
            })
            .collect();
        History { entries }
    }

    /// The moment at which the first `point` operations had happened.
    pub fn stamp(&self, point: u64) -> Stamp {
        let before = self.log.records().get((point as usize).wrapping_sub(1));
        let nanos = before.map_or(0, |record| record.nanos);
        Stamp { seq: point, nanos }
    }
}

/// What shall be recorded.
pub struct Wanted<'a> {
    /// The program under test.
    pub target: &'a Arc<dyn Target>,
    /// The same for reports.
    pub info: &'a TargetInfo,
    /// How its storage behaves.
    pub rules: StorageRules,
    /// What is written.
    pub workload: &'a WorkloadConfig,
    /// The seed of what is written.
    pub seed: u64,
    /// How many acknowledged transactions.
    pub acks: u64,
    /// How long a start may take before it counts as hung.
    pub start_limit: Duration,
}

/// Runs the workload until so many transactions are acknowledged, and kills the target then. With
/// a file, everything goes there as it happens, and the trace that is returned has no operations.
pub fn record(
    host: &Arc<SandboxHost>,
    wanted: &Wanted<'_>,
    to: Option<&TraceFile>,
) -> anyhow::Result<Trace> {
    let (seed, workload) = (wanted.seed, wanted.workload);
    let rng = ChaCha8Rng::seed_from_u64(seed);
    let mut testbed = Testbed::new(
        host,
        wanted.target,
        wanted.rules,
        workload,
        seed,
        rng,
        wanted.start_limit,
    )?;
    let result = (|| {
        let fs = testbed
            .fs()
            .ok_or_else(|| anyhow::anyhow!("exploring needs the crash filesystem"))?;
        let writer = to.map(TraceFile::create).transpose()?;
        if let Some(writer) = &writer {
            fs.stream_to(writer.sink());
        }
        testbed.start_empty()?;
        testbed.work()?;
        testbed.first_barrier()?;
        let warm = testbed.acked() as u64;
        let missing = wanted.acks.saturating_sub(warm);
        let tally = testbed.work_until(WORKLOAD_LIMIT, &|tally| tally.ok >= missing)?;
        if let Some(why) = testbed.workload_end().and_then(|end| end.trouble()) {
            anyhow::bail!(why);
        }
        anyhow::ensure!(warm + tally.ok > 0, "the target acknowledged nothing");
        testbed.kill()?;
        let owner = fs.inspect(|tree, _| tree.get(ROOT).map(|root| (root.uid, root.gid)))?;
        let about = Recorded {
            plugpull: env!("CARGO_PKG_VERSION").into(),
            target: wanted.info.name.clone(),
            version: wanted.info.version.clone(),
            settings: wanted.info.settings.clone(),
            seed,
            clients: workload.clients,
            value_size: *workload.value_len.end(),
            owner,
            history: testbed.recorder.history(),
            output: testbed.outputs.concat(),
        };
        let log = fs.take_log();
        if let (Some(file), Some(writer)) = (to, writer) {
            file.finish(writer, &about)?;
        }
        Ok(Trace { log, about })
    })();
    testbed.tear_down()?;
    result
}
