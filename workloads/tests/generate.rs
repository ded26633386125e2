//! The generator: what it makes, and that it makes the same again.

use std::collections::{BTreeMap, HashSet};

use plugpull_workloads::{
    Call, Distribution, Generator, MAX_VALUE_LEN, Txn, Value, WorkloadConfig, Write,
};

fn transactions(config: &WorkloadConfig, seed: u64, client: u32, n: usize) -> Vec<Txn> {
    let mut generator = Generator::new(config, seed, client).expect("a sound configuration");
    (0..n).map(|_| generator.transaction()).collect()
}

#[test]
fn the_same_seed_gives_the_same_calls_and_another_gives_others() {
    let config = WorkloadConfig {
        barrier_chance: 0.1,
        ..WorkloadConfig::default()
    };
    let calls = |seed, client| -> Vec<Call> {
        Generator::new(&config, seed, client)
            .unwrap()
            .take(50)
            .collect()
    };
    assert_eq!(calls(7, 2), calls(7, 2));
    assert_ne!(calls(7, 2), calls(8, 2));
    let keys = |client| -> Vec<String> {
        let config = WorkloadConfig {
            shared_keys: true,
            ..WorkloadConfig::default()
        };
        let txns = transactions(&config, 7, client, 50);
        let ops = txns.iter().flat_map(|txn| &txn.ops);
        ops.filter(|op| !op.key.ends_with(".head"))
            .map(|op| op.key.clone())
            .collect()
    };
    assert_ne!(keys(0), keys(1), "clients are independent");
}

#[test]
fn the_first_call_is_pinned() {
    // A change here makes an old seed repeat another workload.
    let config = WorkloadConfig {
        value_len: 1..=8,
        ..WorkloadConfig::default()
    };
    let txn = &transactions(&config, 1, 0, 1)[0];
    let ops: Vec<String> = txn
        .ops
        .iter()
        .map(|op| format!("{} {:?}", op.key, op.write))
        .collect();
    let expected = [
        r#"c0.k40 Put("t1.0.ACyCK2D")"#,
        r#"c0.k98 Put("t1.1.ACyCZ3i")"#,
        r#"c0.head Put("t1.2.ACyCo8dRyGt")"#,
        r#"c0.k8 Put("t1.3.ACyC35V")"#,
        r#"c0.k21 Put("t1.4.ACyDG6d")"#,
    ];
    assert_eq!(ops, expected);
}

#[test]
fn ids_and_values_are_never_repeated_and_values_name_their_write() {
    let config = WorkloadConfig {
        shared_keys: true,
        ..WorkloadConfig::default()
    };
    let (mut ids, mut values) = (HashSet::new(), HashSet::new());
    for client in 0..config.clients {
        for txn in transactions(&config, 3, client, 300) {
            assert!(ids.insert(txn.id), "t{} twice", txn.id);
            assert_eq!(txn.client, client);
            for (index, op) in txn.ops.iter().enumerate() {
                let Write::Put(value) = &op.write else {
                    continue;
                };
                assert_eq!(Value::parse(&value.text()), Some((txn.id, index)));
                assert!(values.insert(value.clone()));
            }
        }
    }
}

#[test]
fn every_transaction_has_distinct_keys_and_puts_its_head() {
    for shared_keys in [false, true] {
        let config = WorkloadConfig {
            keys_per_client: 4,
            shared_keys,
            ..WorkloadConfig::default()
        };
        let txns = transactions(&config, 3, 1, 500);
        for (n, txn) in txns.iter().enumerate() {
            let keys: HashSet<&str> = txn.ops.iter().map(|op| op.key.as_str()).collect();
            assert_eq!(keys.len(), txn.ops.len());
            let head = txn.ops.iter().find(|op| op.key == "c1.head").unwrap();
            assert!(matches!(head.write, Write::Put(_)));
            let own = txn.ops.len() - 1;
            assert!(
                own <= 4 && own >= if n % 2 == 1 { 2 } else { 1 },
                "{own} ops in number {n}"
            );
            let prefix = if shared_keys { "k" } else { "c1.k" };
            assert!(
                keys.iter()
                    .all(|key| *key == "c1.head" || key.starts_with(prefix))
            );
        }
        assert!(txns.iter().any(|txn| txn.abort));
        assert!(txns.iter().any(|txn| !txn.abort));
        let deletes = txns
            .iter()
            .flat_map(|t| &t.ops)
            .filter(|op| op.write == Write::Delete);
        assert!(deletes.count() > 50);
    }
}

#[test]
fn one_key_is_enough() {
    let config = WorkloadConfig {
        keys_per_client: 1,
        ..WorkloadConfig::default()
    };
    for distribution in [Distribution::Uniform, Distribution::Zipf { exponent: 1.0 }] {
        let config = WorkloadConfig {
            distribution,
            ..config.clone()
        };
        assert!(
            transactions(&config, 1, 0, 20)
                .iter()
                .all(|txn| txn.ops.len() == 2)
        );
    }
}

#[test]
fn zipf_prefers_few_keys_and_uniform_none() {
    let counts = |distribution| -> Vec<usize> {
        let ops_per_txn = 1..=1;
        let config = WorkloadConfig {
            distribution,
            ops_per_txn,
            ..WorkloadConfig::default()
        };
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for op in transactions(&config, 5, 0, 4000)
            .into_iter()
            .flat_map(|txn| txn.ops)
        {
            if op.key != "c0.head" {
                *counts.entry(op.key).or_default() += 1;
            }
        }
        (0..100)
            .map(|k| counts.get(&format!("c0.k{k}")).copied().unwrap_or_default())
            .collect()
    };
    let uniform = counts(Distribution::Uniform);
    assert!(uniform.iter().all(|n| (10..100).contains(n)), "{uniform:?}");
    let zipf = counts(Distribution::Zipf { exponent: 1.0 });
    // 1 / H(100) = 0.193 of 4000.
    assert!((650..900).contains(&zipf[0]), "{zipf:?}");
    assert!(zipf[0] > zipf[9] * 5 && zipf[9] > zipf[90], "{zipf:?}");
    let steep = counts(Distribution::Zipf { exponent: 10.0 });
    assert!(steep[0] > 3900, "{steep:?}");
}

#[test]
fn sizes_fill_their_range_evenly_by_doubling() {
    let sizes = |value_len| -> Vec<usize> {
        let config = WorkloadConfig {
            value_len,
            ..WorkloadConfig::default()
        };
        let ops = transactions(&config, 5, 0, 500)
            .into_iter()
            .flat_map(|txn| txn.ops);
        ops.filter_map(|op| match op.write {
            Write::Put(value) => Some(value.text().rsplit_once('.').unwrap().1.len() - 6),
            Write::Delete => None,
        })
        .collect()
    };
    let all = sizes(1..=4095);
    for octave in 0..12 {
        let here = all.iter().filter(|n| n.ilog2() == octave).count();
        assert!(
            here * 12 > all.len() / 2 && here * 12 < all.len() * 2,
            "{octave}: {here}"
        );
    }
    assert!(sizes(5..=7).iter().all(|n| (5..=7).contains(n)));
    assert!(sizes(9..=9).iter().all(|n| *n == 9));
    // The last doubling is cut short and weighs little.
    let cut = sizes(1..=1024);
    assert!(cut.iter().filter(|n| **n == 1024).count() < cut.len() / 100);
    let config = WorkloadConfig {
        value_len: MAX_VALUE_LEN..=MAX_VALUE_LEN,
        ops_per_txn: 1..=1,
        delete_chance: 0.0,
        ..WorkloadConfig::default()
    };
    let txn = &transactions(&config, 1, 0, 1)[0];
    for (index, op) in txn.ops.iter().enumerate() {
        let Write::Put(value) = &op.write else {
            panic!("no delete was asked for")
        };
        assert!(value.size() > 1 << 20);
        assert_eq!(Value::parse(&value.text()), Some((txn.id, index)));
    }
}

#[test]
fn barriers_come_as_often_as_asked() {
    let barriers = |barrier_chance| {
        let config = WorkloadConfig {
            barrier_chance,
            ..WorkloadConfig::default()
        };
        let calls = Generator::new(&config, 1, 0).unwrap().take(400);
        calls.filter(|call| *call == Call::Barrier).count()
    };
    assert_eq!(barriers(0.0), 0);
    assert!((60..140).contains(&barriers(0.25)));
    assert_eq!(barriers(1.0), 400);
}

#[test]
fn a_config_is_data_and_impossible_ones_are_refused() {
    let config = WorkloadConfig {
        distribution: Distribution::Zipf { exponent: 0.9 },
        ..WorkloadConfig::default()
    };
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(
        serde_json::from_str::<WorkloadConfig>(&json).unwrap(),
        config
    );
    let few: WorkloadConfig = serde_json::from_str(r#"{"clients": 2}"#).unwrap();
    assert_eq!(
        few,
        WorkloadConfig {
            clients: 2,
            ..WorkloadConfig::default()
        }
    );

    let zipf = |exponent| Distribution::Zipf { exponent };
    type Spoil<'a> = &'a dyn Fn(&mut WorkloadConfig);
    let impossible: &[(&str, Spoil)] = &[
        ("clients", &|c| c.clients = 0),
        ("keys_per_client", &|c| c.keys_per_client = 0),
        ("ops_per_txn", &|c| c.ops_per_txn = 0..=3),
        #[expect(
            clippy::reversed_empty_ranges,
            reason = "that is what is wrong with it"
        )]
        ("ops_per_txn", &|c| c.ops_per_txn = 4..=3),
        ("delete_chance", &|c| c.delete_chance = 1.1),
        ("abort_chance", &|c| c.abort_chance = f64::NAN),
        ("barrier_chance", &|c| c.barrier_chance = -0.1),
        ("exponent", &|c| c.distribution = zipf(-1.0)),
        ("exponent", &|c| c.distribution = zipf(f64::INFINITY)),
        ("value_len", &|c| c.value_len = 0..=3),
        ("value_len", &|c| c.value_len = 1..=MAX_VALUE_LEN + 1),
    ];
    for (name, spoil) in impossible {
        let mut wrong = WorkloadConfig::default();
        spoil(&mut wrong);
        let error = wrong.validate().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        assert!(Generator::new(&wrong, 1, 0).is_err());
    }
    let base = WorkloadConfig::default();
    assert!(Generator::new(&base, 1, base.clients).is_err());
}
