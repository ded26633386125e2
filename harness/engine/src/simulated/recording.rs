//! Recording a run of the simulated store: clients that commit together, checkpoints, and now and
//! then a kill in the middle of a commit with a start behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use plugpull_crashsim::fs::{Log, Mark, Record, Tree};
use plugpull_workloads::{
    Call, Entry, Generator, History, Outcome, Stamp, Txn, TxnId, WorkloadConfig,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Plan;
use super::files::Files;
use super::store::{CutOff, Store};
use crate::explore::{Recorded, Trace};

/// Nanoseconds between two operations of the simulated disk.
const OPERATION: u64 = 1_000_000;

/// The history, on a clock that only operations and calls move on.
#[derive(Default)]
struct Calls {
    history: History,
    open: BTreeMap<TxnId, usize>,
    marks: Vec<Mark>,
    moments: u64,
}

impl Calls {
    fn now(&mut self, files: &Files) -> Stamp {
        self.moments += 1;
        let seq = files.next_seq();
        Stamp {
            seq,
            nanos: seq * OPERATION + self.moments,
        }
    }

    fn call(&mut self, txn: &Arc<Txn>, files: &Files) {
        let invoked = self.now(files);
        self.open.insert(txn.id, self.history.entries.len());
        self.history.entries.push(Entry {
            client: txn.client,
            call: Call::Txn(txn.clone()),
            invoked,
            done: None,
        });
    }

    fn answer(&mut self, txn: &Txn, outcome: Outcome, files: &Files) {
        let now = self.now(files);
        if outcome == Outcome::Ok {
            self.marks.push(Mark {
                seq: now.seq,
                nanos: now.nanos,
                id: txn.id,
            });
        }
        let index = self.open.remove(&txn.id).expect("a call under way");
        self.history.entries[index].done = Some((now, outcome));
    }
}

/// Records a run. The same plan records the same run, to the last nanosecond.
pub(super) fn record(plan: &Plan) -> Trace {
    let workload = WorkloadConfig {
        clients: plan.clients,
        keys_per_client: 3,
        ops_per_txn: 1..=2,
        delete_chance: 0.3,
        abort_chance: 0.15,
        value_len: 1..=1200,
        ..WorkloadConfig::default()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed ^ 0x5EED);
    let generator = |client| Generator::new(&workload, plan.seed, client).expect("a workload");
    let mut generators: Vec<Generator> = (0..plan.clients).map(generator).collect();
    let base = Tree::new(0, 0, 0);
    let disk = Files::new(base.clone());
    let Ok(mut store) = Store::open(disk, plan.mutants()) else {
        panic!("{:?} does not start on an empty disk", plan.mutants());
    };
    let mut calls = Calls::default();
    if plan.lines > 0 {
        store.files().create("debug.txt");
    }
    for _ in 0..plan.lines {
        store.files().append("debug.txt", b"a line\n");
    }
    for commit in 1..=plan.commits {
        let txns: Vec<Arc<Txn>> = generators
            .iter_mut()
            .filter(|_| rng.random_bool(0.8))
            .map(|generator| Arc::new(generator.transaction()))
            .collect();
        for txn in &txns {
            calls.call(txn, store.files());
        }
        let killed = rng.random_bool(plan.kill_chance);
        let cut_off = match killed {
            true => CutOff::InRecord,
            false => CutOff::Never,
        };
        let refs: Vec<&Txn> = txns.iter().map(|txn| &**txn).collect();
        store.commit(&refs, cut_off, |files| {
            for txn in &refs {
                calls.answer(txn, Outcome::Ok, files);
            }
        });
        for txn in &refs {
            if calls.open.contains_key(&txn.id) {
                calls.answer(txn, Outcome::Info("killed".into()), store.files());
            }
        }
        if killed {
            store = match Store::open(store.into_files(), plan.mutants()) {
                Ok(again) => again,
                // A mutant that does not start again has nothing more to record.
                Err(failed) => {
                    let (_, mut files) = *failed;
                    return trace(plan, base, &files.take_log(), calls);
                }
            };
        } else if commit % plan.checkpoint_every == 0 {
            store.checkpoint();
        }
    }
    if plan.ends {
        store.checkpoint();
    }
    let log = store.into_files().take_log();
    trace(plan, base, &log, calls)
}

/// A log with the times of the simulated clock.
pub(super) fn on_simulated_clock(base: Tree, log: &Log, marks: Vec<Mark>) -> Log {
    let timed = |record: &Record| Record {
        nanos: (record.seq + 1) * OPERATION - 1,
        ..record.clone()
    };
    Log::of(base, log.records().iter().map(timed).collect(), marks)
}

fn trace(plan: &Plan, base: Tree, log: &Log, calls: Calls) -> Trace {
    let last_ack = calls.marks.last().filter(|_| plan.ends);
    let about = Recorded {
        plugpull: "simulated".into(),
        target: "simulated".into(),
        version: "1".into(),
        settings: BTreeMap::new(),
        seed: plan.seed,
        clients: plan.clients,
        value_size: 1200,
        owner: (0, 0),
        history: calls.history,
        output: String::new(),
        end: None,
        last_ack: last_ack.map(|mark| Stamp {
            seq: mark.seq,
            nanos: mark.nanos,
        }),
        read_late: false,
        stacks: None,
    };
    Trace::new(on_simulated_clock(base, log, calls.marks), about).expect("a sound recording")
}
