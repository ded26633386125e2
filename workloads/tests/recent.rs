//! The shortened history: what it lets pass, the whole one lets pass too.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{all, at, promise, value};
use plugpull_workloads::{
    Call, Entry, FailureClass, Guarantee, History, Judgement, Observed, Op, Outcome, Promise, Txn,
    Verdict, Write, judge, recent, settles,
};
use proptest::prelude::*;

/// How many calls of each client are kept.
const KEEP: usize = 3;

/// A transaction of a client: its keys, by number, and whether each is put or deleted.
#[derive(Clone, Debug)]
struct Request {
    client: u32,
    keys: Vec<(u8, bool)>,
    abort: bool,
    answer: u8,
    /// How long it takes, in ticks.
    takes: u64,
}

fn requests() -> impl Strategy<Value = Request> {
    let keys = proptest::collection::vec((0..4u8, prop::bool::weighted(0.8)), 1..4);
    (0..2u32, keys, prop::bool::weighted(0.1), 0..20u8, 1..4u64).prop_map(
        |(client, keys, abort, answer, takes)| Request {
            client,
            keys,
            abort,
            answer,
            takes,
        },
    )
}

/// The history, and the state of a perfect store behind it.
fn performed(requests: &[Request], shared: bool) -> (History, BTreeMap<String, String>) {
    let mut history = History::default();
    let mut state = BTreeMap::new();
    let mut free = [0; 2];
    for (number, one) in requests.iter().enumerate() {
        let id = number as u64 + 1;
        let mut names: Vec<(u8, bool)> = one.keys.clone();
        names.sort_unstable();
        names.dedup_by_key(|(key, _)| *key);
        let owner = if shared { 0 } else { one.client };
        let ops: Vec<Op> = names
            .iter()
            .enumerate()
            .map(|(op, (key, put))| Op {
                key: format!("c{owner}.k{key}"),
                write: match put {
                    true => Write::Put(value(id, op).into()),
                    false => Write::Delete,
                },
            })
            .collect();
        let invoked = free[one.client as usize].max(number as u64 * 2) + 1;
        let done = invoked + one.takes;
        free[one.client as usize] = done;
        let outcome = match one.answer {
            0 => Outcome::Fail("no".into()),
            1 => Outcome::Info("who knows".into()),
            _ => Outcome::Ok,
        };
        if !one.abort && one.answer != 0 {
            for op in &ops {
                match &op.write {
                    Write::Put(value) => state.insert(op.key.clone(), value.text().into_owned()),
                    Write::Delete => state.remove(&op.key),
                };
            }
        }
        let txn = Txn {
            id,
            client: one.client,
            ops,
            abort: one.abort,
        };
        history.entries.push(Entry {
            client: one.client,
            call: Call::Txn(Arc::new(txn)),
            invoked: at(invoked),
            done: Some((at(done), outcome)),
        });
    }
    history.entries.sort_by_key(|entry| entry.invoked);
    (history, state)
}

fn judged(history: &History, state: &BTreeMap<String, String>, promises: &[Promise]) -> Judgement {
    let observed = Observed::holding(state.clone());
    let class = FailureClass::PowerLoss;
    judge(history, &observed, promises, class, Some(at(10_000)), None)
}

fn silent(judgement: &Judgement) -> bool {
    judgement.verdict == Verdict::Pass && judgement.why.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_it_lets_pass_is_let_pass(
        requests in proptest::collection::vec(requests(), 4..24),
        damage in proptest::collection::vec((0..2u8, 0..4u8, 0..24u64, 0..3usize), 0..3),
    ) {
        let (history, mut state) = performed(&requests, false);
        // A value of some transaction, or none, where the state holds another.
        for (client, key, txn, op) in damage {
            let key = format!("c{client}.k{key}");
            match txn {
                0 => drop(state.remove(&key)),
                txn => drop(state.insert(key, value(txn, op))),
            }
        }
        if let Some(short) = recent(&history, KEEP) {
            let durable = Guarantee::Durable(plugpull_workloads::Durability::AtAck);
            let some = [durable, Guarantee::Consistent].map(promise);
            for promises in [&all()[..], &some] {
                prop_assert!(settles(promises, FailureClass::PowerLoss));
                if silent(&judged(&short, &state, promises)) {
                    let whole = judged(&history, &state, promises);
                    prop_assert!(silent(&whole), "{whole:#?}");
                }
            }
        }
    }

    #[test]
    fn a_perfect_store_passes_by_it(requests in proptest::collection::vec(requests(), 12..24)) {
        let (history, state) = performed(&requests, false);
        if let Some(short) = recent(&history, KEEP) {
            let whole = judged(&history, &state, &all());
            prop_assert!(short.entries.len() <= history.entries.len());
            prop_assert_eq!(silent(&judged(&short, &state, &all())), silent(&whole));
        }
        prop_assert!(recent(&performed(&requests, true).0, KEEP).is_none() || one_client(&requests));
    }
}

/// Shared keys are no one else's when there is nobody else.
fn one_client(requests: &[Request]) -> bool {
    let mut owners: BTreeMap<u8, u32> = BTreeMap::new();
    requests.iter().all(|one| {
        let own = |(key, _): &(u8, bool)| *owners.entry(*key).or_insert(one.client) == one.client;
        one.keys.iter().all(own)
    })
}

#[test]
fn old_damage_is_seen_by_it() {
    let put = |client, answer| Request {
        client,
        keys: vec![(0, true), (1, true)],
        abort: false,
        answer,
        takes: 1,
    };
    let requests: Vec<Request> = (0..12).map(|n| put(n % 2, 9)).collect();
    let (history, state) = performed(&requests, false);
    let short = recent(&history, KEEP).expect("shorter");
    assert_eq!(short.entries.len(), 2 * (1 + KEEP));
    assert!(silent(&judged(&short, &state, &all())));
    let mut older = state.clone();
    older.insert("c0.k0".into(), value(1, 0));
    assert!(!silent(&judged(&short, &older, &all())));
}

#[test]
fn what_may_be_served_though_nobody_wrote_it_is_not_settled() {
    let durable = Guarantee::Durable(plugpull_workloads::Durability::AtAck);
    let power_loss = FailureClass::PowerLoss;
    assert!(!settles(&[promise(durable)], power_loss));
    assert!(!settles(&[promise(Guarantee::Consistent)], power_loss));
    let both = [durable, Guarantee::Consistent].map(promise);
    assert!(settles(&both, power_loss));
    let mut elsewhere = both.clone();
    elsewhere[1].classes = vec![FailureClass::CleanStop];
    assert!(!settles(&elsewhere, power_loss));
}
