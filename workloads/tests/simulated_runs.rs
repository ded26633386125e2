//! Whole runs: generated workloads of several clients on a simulated store, sound and broken.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{all, at, durable, promise};
use plugpull_workloads::{
    Call, Distribution, Durability, Entry, FailureClass, FindingKind, Generator, Guarantee,
    History, Judgement, Observed, Outcome, Promise, Stamp, Txn, Verdict, WorkloadConfig, Write,
    judge,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A run: what the clients saw, and the transactions that took effect, in that order.
struct Run {
    history: History,
    effects: Vec<Arc<Txn>>,
    crash: Stamp,
}

/// `n` transactions of clients that call at random moments and are answered at random moments,
/// each taking effect at one moment in between; then a crash.
fn run(config: &WorkloadConfig, seed: u64, n: usize) -> Run {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut generators: Vec<Generator> = (0..config.clients)
        .map(|c| Generator::new(config, seed, c).expect("a sound configuration"))
        .collect();
    // For each client the entry under way, and whether it has taken effect.
    let mut busy: Vec<Option<(usize, bool)>> = vec![None; generators.len()];
    let mut run = Run {
        history: History::default(),
        effects: Vec::new(),
        crash: at(0),
    };
    let mut now = 0;
    while run.history.entries.len() < n || rng.random_bool(0.9) {
        now += 1;
        let client = rng.random_range(0..generators.len());
        match busy[client] {
            None => {
                let txn = Arc::new(generators[client].transaction());
                let call = Call::Txn(txn);
                let client32 = client as u32;
                let entry = Entry {
                    client: client32,
                    call,
                    invoked: at(now),
                    done: None,
                };
                busy[client] = Some((run.history.entries.len(), false));
                run.history.entries.push(entry);
            }
            Some((entry, false)) => {
                busy[client] = Some((entry, true));
                if let Call::Txn(txn) = &run.history.entries[entry].call
                    && !txn.abort
                {
                    run.effects.push(txn.clone());
                }
            }
            Some((entry, true)) => {
                busy[client] = None;
                // Some answers get lost on their way.
                let outcome = if rng.random_bool(0.02) {
                    Outcome::Info("timeout".into())
                } else {
                    Outcome::Ok
                };
                run.history.entries[entry].done = Some((at(now), outcome));
            }
        }
    }
    run.crash = at(now + 1);
    run
}

fn apply<'a>(ops: impl Iterator<Item = &'a plugpull_workloads::Op>) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for op in ops {
        match &op.write {
            Write::Put(value) => state.insert(op.key.clone(), value.text().into_owned()),
            Write::Delete => state.remove(&op.key),
        };
    }
    state
}

impl Run {
    /// The state after the first `n` effects.
    fn state(&self, n: usize) -> BTreeMap<String, String> {
        apply(self.effects[..n].iter().flat_map(|txn| &txn.ops))
    }

    fn acked(&self, wanted: &Txn) -> bool {
        self.history.entries.iter().any(|e| {
            matches!(&e.call, Call::Txn(txn) if txn.id == wanted.id)
                && matches!(e.done, Some((_, Outcome::Ok)))
        })
    }

    fn judge(&self, state: BTreeMap<String, String>, promises: &[Promise]) -> Judgement {
        let observed = Observed::holding(state);
        let class = FailureClass::PowerLoss;
        judge(
            &self.history,
            &observed,
            promises,
            class,
            Some(self.crash),
            None,
        )
    }
}

fn configs() -> Vec<WorkloadConfig> {
    let base = WorkloadConfig {
        value_len: 1..=16,
        ..WorkloadConfig::default()
    };
    let zipf = Distribution::Zipf { exponent: 1.0 };
    vec![
        base.clone(),
        WorkloadConfig {
            shared_keys: true,
            keys_per_client: 20,
            ..base.clone()
        },
        WorkloadConfig {
            shared_keys: true,
            distribution: zipf,
            delete_chance: 0.5,
            clients: 8,
            ..base
        },
    ]
}

/// What a store promises that may lose its last acks and nothing else.
fn prefix_only() -> Vec<Promise> {
    [Guarantee::Atomic, Guarantee::Prefix, Guarantee::Consistent]
        .map(promise)
        .into()
}

#[test]
fn a_sound_store_is_silent() {
    for (seed, config) in configs().iter().enumerate() {
        for seed in [seed as u64, seed as u64 + 100] {
            let run = run(config, seed, 600);
            let judgement = run.judge(run.state(run.effects.len()), &all());
            assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:#?}");
            assert_eq!(judgement.why, "");
        }
    }
}

#[test]
fn any_prefix_is_a_prefix_and_a_lost_end_is_lost() {
    for (seed, config) in configs().iter().enumerate() {
        let run = run(config, seed as u64, 300);
        let n = run.effects.len();
        for kept in [0, 1, n / 3, n - 20, n - 1, n] {
            let judgement = run.judge(run.state(kept), &prefix_only());
            assert_eq!(
                judgement.verdict,
                Verdict::Pass,
                "{kept} of {n}: {judgement:#?}"
            );
        }
        let lost = run.judge(run.state(n - 40), &all());
        assert_eq!(lost.findings.len(), 1, "{lost:#?}");
        assert_eq!(lost.findings[0].kind, FindingKind::LostAck);
        let excuse = Durability::AllButLast(40);
        let excused = run.judge(run.state(n - 20), &[promise(Guarantee::Durable(excuse))]);
        assert_eq!(excused.verdict, Verdict::Pass, "{excused:#?}");
    }
}

#[test]
fn one_transaction_left_out_is_found() {
    let mut found = 0;
    for (seed, config) in configs().iter().enumerate() {
        let run = run(config, seed as u64, 300);
        for client in 0..config.clients {
            // The client's last two: its head key shows the last, and the one before without it.
            let own = run
                .effects
                .iter()
                .enumerate()
                .filter(|(_, txn)| txn.client == client);
            let own: Vec<(usize, &Arc<Txn>)> = own.collect();
            let [.., (_, before), (missing, last)] = own[..] else {
                panic!("too short a run")
            };
            let left_out = run
                .effects
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != missing);
            let judgement = run.judge(apply(left_out.flat_map(|(_, txn)| &txn.ops)), &all());
            if !run.acked(last) {
                assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:#?}");
                continue;
            }
            if !run.acked(before) {
                // Without an answer it may have happened after the last one, and hidden it.
                continue;
            }
            found += 1;
            assert_eq!(judgement.findings.len(), 1, "{judgement:#?}");
            let finding = &judgement.findings[0];
            assert_eq!(finding.kind, FindingKind::LostAck);
            assert_eq!(finding.txn, Some(last.id), "{finding:#?}");
            let name = format!("t{} of client {client}", last.id);
            assert!(finding.sentence.contains(&name), "{finding:#?}");
            assert!(finding.sentence.contains(finding.key.as_deref().unwrap()));
        }
    }
    assert!(found > 4, "only {found} could be left out");
}

#[test]
fn a_half_done_transaction_is_torn() {
    let mut torn = 0;
    for (seed, config) in configs().iter().enumerate() {
        let run = run(config, seed as u64, 300);
        let n = run.effects.len();
        let (last, before) = (&run.effects[n - 1], &run.effects[..n - 1]);
        let before = before.iter().flat_map(|txn| &txn.ops);
        for half in 1..last.ops.len() {
            // Its first ops were done, of which a put shows; its head, of which the client has an
            // older value, was not.
            let done = &last.ops[..half];
            let head = WorkloadConfig::head_key(last.client);
            if done.iter().any(|op| op.key == head)
                || done.iter().all(|op| op.write == Write::Delete)
            {
                continue;
            }
            torn += 1;
            let judgement = run.judge(apply(before.clone().chain(done)), &prefix_only());
            let kinds: Vec<FindingKind> = judgement.findings.iter().map(|f| f.kind).collect();
            assert_eq!(kinds, [FindingKind::TornTransaction], "{judgement:#?}");
            assert_eq!(judgement.findings[0].txn, Some(last.id));
        }
    }
    assert!(torn > 0, "no seed gave a transaction to tear");
}

#[test]
fn forgotten_deletes_are_resurrected() {
    for (seed, config) in configs().iter().enumerate() {
        let run = run(config, seed as u64, 300);
        let ops = run.effects.iter().flat_map(|txn| &txn.ops);
        let state = apply(ops.filter(|op| op.write != Write::Delete));
        let judgement = run.judge(state, &[durable(), promise(Guarantee::Consistent)]);
        let kinds: Vec<FindingKind> = judgement.findings.iter().map(|f| f.kind).collect();
        assert_eq!(kinds, [FindingKind::Resurrected], "{judgement:#?}");
    }
}

#[test]
fn an_abort_that_is_kept_is_a_phantom() {
    let config = &configs()[0];
    let run = run(config, 1, 300);
    let aborted = run
        .history
        .entries
        .iter()
        .rev()
        .find_map(|e| match &e.call {
            Call::Txn(txn) if txn.abort && e.done.is_some() => Some(txn.clone()),
            _ => None,
        });
    let aborted = aborted.unwrap();
    let effects = run
        .effects
        .iter()
        .chain([&aborted])
        .flat_map(|txn| &txn.ops);
    let judgement = run.judge(apply(effects), &all());
    let kinds: Vec<FindingKind> = judgement.findings.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [FindingKind::Phantom], "{judgement:#?}");
    assert_eq!(judgement.findings[0].txn, Some(aborted.id));
}

#[test]
#[ignore = "a measurement: run it with --release --nocapture"]
fn twenty_thousand_transactions() {
    for config in configs() {
        let config = WorkloadConfig {
            ops_per_txn: 6..=6,
            ..config
        };
        let run = run(&config, 1, 20_000);
        let n = run.effects.len();
        for (name, kept) in [("sound", n), ("half lost", n / 2), ("empty", 0)] {
            let state = run.state(kept);
            let started = std::time::Instant::now();
            let judgement = run.judge(state, &all());
            println!("{name}: {:?} {:?}", judgement.verdict, started.elapsed());
            let state = run.state(kept);
            let started = std::time::Instant::now();
            let judgement = run.judge(state, &prefix_only());
            println!(
                "{name}, prefix only: {:?} {:?}",
                judgement.verdict,
                started.elapsed()
            );
        }
    }
}
