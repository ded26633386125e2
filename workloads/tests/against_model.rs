//! The checker's decision on the data held to a model that tries everything: every set of units
//! that may be there, in every order that the real time allows.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use common::promise;
use plugpull_workloads::{
    Call, Damage, Durability, Entry, FailureClass, Guarantee, History, Observed, Op, Outcome,
    Promise, Stamp, Txn, Value, Verdict, Write, judge,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

const KEYS: [&str; 3] = ["a", "b", "c"];

type State = BTreeMap<String, String>;

/// What is promised in a case.
#[derive(Clone, Copy, Debug)]
struct Given {
    durable: Option<Durability>,
    atomic: bool,
    prefix: bool,
    consistent: bool,
}

impl Given {
    fn promises(&self) -> Vec<Promise> {
        let mut promises: Vec<Promise> = self
            .durable
            .map(|d| promise(Guarantee::Durable(d)))
            .into_iter()
            .collect();
        for (given, guarantee) in [
            (self.atomic, Guarantee::Atomic),
            (self.prefix, Guarantee::Prefix),
            (self.consistent, Guarantee::Consistent),
            // Something must be promised, and this says nothing about the data.
            (true, Guarantee::RecoversWithinMs(1)),
        ] {
            if given {
                promises.push(promise(guarantee));
            }
        }
        promises
    }
}

/// A transaction of the model.
struct Model<'a> {
    txn: &'a Txn,
    invoked: Stamp,
    ack: Option<Stamp>,
    may_show: bool,
}

fn models(history: &History) -> Vec<Model<'_>> {
    history
        .entries
        .iter()
        .filter_map(|e| {
            let Call::Txn(txn) = &e.call else { return None };
            let ack = match &e.done {
                Some((at, Outcome::Ok)) if !txn.abort => Some(*at),
                _ => None,
            };
            let failed = matches!(e.done, Some((_, Outcome::Fail(_))));
            Some(Model {
                txn,
                invoked: e.invoked,
                ack,
                may_show: !txn.abort && !failed,
            })
        })
        .collect()
}

/// Whether the state is legal, by trying everything. What the target itself called damaged, the keys
/// that are `named`, may be as it likes, but for values that were never written.
fn legal(history: &History, state: &State, given: Given, named: &BTreeSet<&str>) -> bool {
    let txns = models(history);
    let acked: Vec<usize> = (0..txns.len()).filter(|t| txns[*t].ack.is_some()).collect();
    let followers = |t: usize| {
        let after = |u: &&usize| Some(txns[**u].invoked) > txns[t].ack;
        acked.iter().filter(after).count()
    };
    let safe = |t: &usize| match given.durable {
        None => false,
        Some(Durability::AllButLast(n)) => followers(*t) >= n as usize,
        Some(_) => true,
    };
    let obliged: BTreeSet<usize> = acked.iter().copied().filter(safe).collect();
    let strange: Vec<&String> = state
        .iter()
        .filter(|(key, value)| {
            !txns
                .iter()
                .filter(|t| t.may_show)
                .flat_map(|t| &t.txn.ops)
                .any(|op| {
                    op.key == **key && matches!(&op.write, Write::Put(written) if written.is(value))
                })
        })
        .map(|(key, _)| key)
        .collect();
    if !strange.is_empty() && given.consistent {
        return false;
    }
    // What replaced an obliged write is its loss.
    if obliged
        .iter()
        .flat_map(|t| &txns[*t].txn.ops)
        .any(|op| strange.contains(&&op.key) && !named.contains(op.key.as_str()))
    {
        return false;
    }
    let aside: Vec<String> = strange.iter().map(|key| (*key).clone()).collect();
    let named = named.iter().map(|key| (*key).to_owned());
    let aside: Vec<String> = aside.into_iter().chain(named).collect();
    let wanted: State = state
        .iter()
        .filter(|(key, _)| !aside.contains(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    // Units: a transaction, and those of its ops that take effect at once.
    let mut units: Vec<(usize, Vec<&Op>)> = Vec::new();
    for (t, model) in txns.iter().enumerate().filter(|(_, m)| m.may_show) {
        if given.atomic {
            units.push((t, model.txn.ops.iter().collect()));
        } else {
            units.extend(model.txn.ops.iter().map(|op| (t, vec![op])));
        }
    }
    let before = |a: usize, b: usize| txns[a].ack.is_some_and(|ack| ack < txns[b].invoked);
    (0_u32..1 << units.len()).any(|set| {
        let has = |unit: usize| set & (1 << unit) != 0;
        let sound = (0..units.len()).all(|u| {
            has(u) || {
                let t = units[u].0;
                let asked = given.prefix
                    && (0..units.len()).any(|other| has(other) && before(t, units[other].0));
                !obliged.contains(&t) && !asked
            }
        });
        sound && reachable(&units, set, &before, &wanted, &aside)
    })
}

/// Whether some order of the units in `set` gives the state.
fn reachable(
    units: &[(usize, Vec<&Op>)],
    set: u32,
    before: &impl Fn(usize, usize) -> bool,
    wanted: &State,
    aside: &[String],
) -> bool {
    let mut seen: HashSet<(u32, State)> = HashSet::new();
    let mut open = vec![(0_u32, State::new())];
    while let Some((done, state)) = open.pop() {
        if done == set {
            if state == *wanted {
                return true;
            }
            continue;
        }
        for (u, (txn, ops)) in units.iter().enumerate() {
            let left = set & !done;
            let waits = |v: usize| left & (1 << v) != 0 && before(units[v].0, *txn);
            if left & (1 << u) == 0 || (0..units.len()).any(waits) {
                continue;
            }
            let mut next = state.clone();
            for op in ops.iter().filter(|op| !aside.contains(&op.key)) {
                match &op.write {
                    Write::Put(value) => next.insert(op.key.clone(), value.text().into_owned()),
                    Write::Delete => next.remove(&op.key),
                };
            }
            let step = (done | 1 << u, next);
            if seen.insert(step.clone()) {
                open.push(step);
            }
        }
    }
    false
}

/// A transaction to be made: client, ops (key, delete?), outcome, abort, and two numbers that
/// place its invocation and its end.
#[derive(Clone, Debug)]
struct Plan {
    client: u32,
    ops: Vec<(usize, bool)>,
    outcome: u8,
    abort: bool,
    gap: u64,
    length: u64,
}

fn plan(most_ops: usize) -> impl Strategy<Value = Plan> {
    (
        0_u32..3,
        prop::collection::btree_map(0..KEYS.len(), prop::bool::weighted(0.35), 1..=most_ops),
        0_u8..10,
        prop::bool::weighted(0.1),
        0_u64..4,
        1_u64..12,
    )
        .prop_map(|(client, ops, outcome, abort, gap, length)| {
            let ops = ops.into_iter().collect();
            Plan {
                client,
                ops,
                outcome,
                abort,
                gap,
                length,
            }
        })
}

/// The history of some plans: each client's calls one after the other, all stamps different.
fn history(plans: &[Plan]) -> History {
    let mut free = [0_u64; 3];
    let mut now = 0;
    let mut entries = Vec::new();
    for (i, plan) in plans.iter().enumerate() {
        let id = i as u64 + 1;
        let client = plan.client as usize;
        now = (now + plan.gap).max(free[client]) + 1;
        let end = now + plan.length;
        free[client] = end;
        // Stamps of different calls never fall together.
        let stamp = |n: u64| Stamp {
            seq: n * 100 + id,
            nanos: n * 1_000_000 + id,
        };
        let ops = plan.ops.iter().enumerate().map(|(op, (key, delete))| Op {
            key: KEYS[*key].into(),
            write: if *delete {
                Write::Delete
            } else {
                Write::Put(
                    Value {
                        txn: id,
                        op,
                        // Some are kept whole and some are not.
                        payload: if id.is_multiple_of(3) { 1100 } else { 1 },
                    }
                    .into(),
                )
            },
        });
        let txn = Txn {
            id,
            client: plan.client,
            ops: ops.collect(),
            abort: plan.abort,
        };
        let outcome = match plan.outcome {
            0..=5 => Some(Outcome::Ok),
            6 => Some(Outcome::Fail("no".into())),
            7 | 8 => Some(Outcome::Info("who knows".into())),
            _ => None,
        };
        entries.push(Entry {
            client: plan.client,
            call: Call::Txn(Arc::new(txn)),
            invoked: stamp(now),
            done: outcome.map(|outcome| (stamp(end), outcome)),
        });
    }
    entries.sort_by_key(|e| e.invoked);
    History { entries }
}

/// A state: for each key none, one of the values ever put to it, or another one.
fn random_state(history: &History, picks: &[Index]) -> State {
    let mut state = State::new();
    for (key, pick) in KEYS.iter().zip(picks) {
        let mut choices = vec![None, None];
        let values = models(history);
        let values = values
            .iter()
            .flat_map(|m| &m.txn.ops)
            .filter(|op| op.key == *key);
        choices.extend(values.filter_map(|op| match &op.write {
            Write::Put(value) => Some(Some(value.text().into_owned())),
            Write::Delete => None,
        }));
        if pick.index(23) == 0 {
            choices = vec![Some("junk".into())];
        }
        if let Some(value) = &choices[pick.index(choices.len())] {
            state.insert((*key).into(), value.clone());
        }
    }
    state
}

/// The state of a correct store: transactions that happen take effect at one moment between
/// invocation and ack, or any time after it when there is none.
fn sound_state(history: &History, picks: &[Index]) -> State {
    let mut effects: Vec<(u64, &Txn)> = Vec::new();
    let models = models(history);
    for (model, pick) in models.iter().zip(picks.iter().cycle()) {
        let from = model.invoked.seq + 1;
        match model.ack {
            Some(ack) => effects.push((
                from + pick.index((ack.seq - from) as usize) as u64,
                model.txn,
            )),
            None if model.may_show && pick.index(2) == 0 => {
                effects.push((from + pick.index(4000) as u64, model.txn));
            }
            None => {}
        }
    }
    effects.sort_by_key(|(when, txn)| (*when, txn.id));
    let mut state = State::new();
    for op in effects.iter().flat_map(|(_, txn)| &txn.ops) {
        match &op.write {
            Write::Put(value) => state.insert(op.key.clone(), value.text().into_owned()),
            Write::Delete => state.remove(&op.key),
        };
    }
    state
}

fn given() -> impl Strategy<Value = Given> {
    let durable = prop_oneof![
        2 => Just(Some(Durability::AtAck)),
        1 => Just(Some(Durability::AllButLast(1))),
        1 => Just(None),
    ];
    (
        durable,
        prop::bool::weighted(0.7),
        any::<bool>(),
        prop::bool::weighted(0.8),
    )
        .prop_map(|(durable, atomic, prefix, consistent)| Given {
            durable,
            atomic,
            prefix,
            consistent,
        })
}

/// Asks both. Without anything acknowledged the checker does not judge.
fn agree(history: &History, state: &State, given: Given) -> Result<(), TestCaseError> {
    if !models(history).iter().any(|m| m.ack.is_some()) {
        return Ok(());
    }
    let observed = Observed::holding(state.clone());
    let judgement = judge(
        history,
        &observed,
        &given.promises(),
        FailureClass::PowerLoss,
        None,
        None,
    );
    let legal = legal(history, state, given, &BTreeSet::new());
    let expected = if legal {
        Verdict::Pass
    } else {
        Verdict::Broken
    };
    prop_assert_eq!(judgement.verdict, expected, "{:#?}", judgement);
    prop_assert_eq!(judgement.findings.is_empty(), legal);
    Ok(())
}

/// Asks both about real damage, of which the target's own check names these keys.
fn agree_after_damage(
    history: &History,
    state: &State,
    given: Given,
    named: &BTreeSet<&str>,
) -> Result<(), TestCaseError> {
    if !models(history).iter().any(|m| m.ack.is_some()) {
        return Ok(());
    }
    let description = "a bit of page 7".into();
    let said: Vec<&str> = named.iter().copied().collect();
    let observed = Observed {
        damage: Damage::SingleCopy { description },
        integrity: Some(Err(format!("page 7: {}", said.join(", ")))),
        ..Observed::holding(state.clone())
    };
    let promises: Vec<Promise> = (given.promises().into_iter())
        .map(|promise| Promise {
            classes: vec![FailureClass::Corruption],
            ..promise
        })
        .collect();
    let class = FailureClass::Corruption;
    let judgement = judge(history, &observed, &promises, class, None, None);
    let expected = match legal(history, state, given, named) {
        true => Verdict::Detected,
        false => Verdict::Broken,
    };
    prop_assert_eq!(judgement.verdict, expected, "{:#?}", judgement);
    Ok(())
}

/// The same cases in every run. PROPTEST_CASES asks for more, PROPTEST_RNG_SEED for others.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    let chosen = |name| std::env::var_os(name).is_some();
    ProptestConfig {
        cases: if chosen("PROPTEST_CASES") {
            default.cases
        } else {
            3000
        },
        rng_seed: if chosen("PROPTEST_RNG_SEED") {
            default.rng_seed
        } else {
            RngSeed::Fixed(1)
        },
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_state_is_judged_like_the_model(
        plans in prop::collection::vec(plan(3), 1..=5),
        picks in prop::collection::vec(any::<Index>(), KEYS.len()),
        mut given in given(),
    ) {
        given.atomic = true;
        let history = history(&plans);
        agree(&history, &random_state(&history, &picks), given)?;
    }

    #[test]
    fn any_state_is_judged_like_the_model_op_by_op(
        plans in prop::collection::vec(plan(2), 1..=4),
        picks in prop::collection::vec(any::<Index>(), KEYS.len()),
        mut given in given(),
    ) {
        given.atomic = false;
        let history = history(&plans);
        agree(&history, &random_state(&history, &picks), given)?;
    }

    #[test]
    fn nearly_sound_states_are_judged_like_the_model(
        plans in prop::collection::vec(plan(3), 2..=5),
        picks in prop::collection::vec(any::<Index>(), 5),
        other in prop::collection::vec(any::<Index>(), KEYS.len()),
        changed: Index,
        given in given(),
    ) {
        let mut given = given;
        // Op by op, so many units would be too many to try.
        given.atomic |= plans.iter().map(|p| p.ops.len()).sum::<usize>() > 8;
        let history = history(&plans);
        let mut state = sound_state(&history, &picks);
        let key = KEYS[changed.index(KEYS.len())];
        match random_state(&history, &other).remove(key) {
            Some(value) => state.insert(key.into(), value),
            None => state.remove(key),
        };
        agree(&history, &state, given)?;
    }

    #[test]
    fn a_detection_excuses_as_much_as_in_the_model(
        plans in prop::collection::vec(plan(3), 1..=4),
        picks in prop::collection::vec(any::<Index>(), KEYS.len()),
        named in prop::collection::btree_set(0..KEYS.len(), 0..=2),
        given in given(),
    ) {
        let mut given = given;
        given.atomic |= plans.iter().map(|p| p.ops.len()).sum::<usize>() > 8;
        let history = history(&plans);
        let named = named.into_iter().map(|key| KEYS[key]).collect();
        agree_after_damage(&history, &random_state(&history, &picks), given, &named)?;
    }

    #[test]
    fn a_sound_store_is_never_blamed(
        plans in prop::collection::vec(plan(3), 1..40),
        picks in prop::collection::vec(any::<Index>(), 40),
    ) {
        let history = history(&plans);
        let state = sound_state(&history, &picks);
        let given =
            Given { durable: Some(Durability::AtAck), atomic: true, prefix: true, consistent: true };
        let observed = Observed::holding(state);
        let judgement =
            judge(&history, &observed, &given.promises(), FailureClass::PowerLoss, None, None);
        prop_assert!(judgement.findings.is_empty(), "{:#?}", judgement);
        prop_assert_eq!(judgement.why.as_str(), if history_acks(&history) { "" } else {
            "nothing was acknowledged"
        });
    }
}

fn history_acks(history: &History) -> bool {
    models(history).iter().any(|m| m.ack.is_some())
}
