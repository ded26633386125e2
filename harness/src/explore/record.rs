//! Recording one run of the workload on the crash filesystem.

use std::sync::Arc;
use std::time::Duration;

use plugpull_faults::crashfs::Log;
use plugpull_faults::fault::Machine;
use plugpull_workloads::{Entry, History, Outcome, Stamp, WorkloadConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::trial::{Bench, PROBE, SandboxHost, StorageRules, restart};

/// How long the workload may take.
const WORKLOAD_LIMIT: Duration = Duration::from_secs(120);

/// A recorded run: the filesystem's log from an empty disk on, and the clients' history.
pub(crate) struct Trace {
    /// Every operation from an empty disk on.
    pub(crate) log: Log,
    /// Every call and its outcome, on the log's clock.
    pub(crate) history: History,
    /// How many transactions were acknowledged.
    pub(crate) acked: usize,
}

impl Trace {
    /// The history as it was when the first `point` operations had happened: what was answered
    /// later is open, what was asked later never was.
    pub(crate) fn history_at(&self, point: u64) -> History {
        let entries = self
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
    pub(crate) fn stamp(&self, point: u64) -> Stamp {
        let before = self.log.records().get((point as usize).wrapping_sub(1));
        let nanos = before.map_or(0, |record| record.nanos);
        Stamp { seq: point, nanos }
    }
}

/// Runs the workload until so many transactions are acknowledged, and kills the target then.
pub(crate) fn record(
    host: &Arc<SandboxHost>,
    target: &Arc<dyn plugpull_targets::Target>,
    rules: StorageRules,
    workload: &WorkloadConfig,
    seed: u64,
    acks: u64,
    start_limit: Duration,
) -> anyhow::Result<Trace> {
    let rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bench = Bench::new(host, target, rules, workload, seed, rng, start_limit)?;
    let result = (|| {
        if let Err(why) = bench.bring_up(PROBE) {
            anyhow::bail!(
                "the target did not start on an empty data folder: {}",
                restart::words(&why)
            );
        }
        bench.work()?;
        let tally = bench.work_until(WORKLOAD_LIMIT, &|tally| tally.ok >= acks)?;
        anyhow::ensure!(tally.ok > 0, "the target acknowledged nothing");
        bench.kill()?;
        let fs = bench
            .fs()
            .ok_or_else(|| anyhow::anyhow!("exploring needs the crash filesystem"))?;
        let history = bench.recorder.history();
        let acked = history
            .entries
            .iter()
            .filter(|e| matches!(e.done, Some((_, Outcome::Ok))))
            .count();
        Ok(Trace {
            log: fs.take_log(),
            history,
            acked,
        })
    })();
    bench.tear_down()?;
    result
}
