//! The store against a plain map, over restarts and torn tails.

use proptest::prelude::*;

use super::*;
use crate::recovery::replay;

#[derive(Clone, Debug)]
enum Action {
    Apply {
        ops: Vec<Op>,
        abort: bool,
    },
    Barrier,
    Restart,
    /// The last record of the log loses its end, as a power cut in the middle of it would do.
    Torn {
        ops: Vec<Op>,
        keep: usize,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let write = prop_oneof![
        3 => (0..9000_usize).prop_map(|n| Write::Put("v".repeat(n).into())),
        1 => Just(Write::Delete),
    ];
    proptest::collection::btree_map("[a-e]", write, 0..4).prop_map(|ops| {
        ops.into_iter()
            .map(|(key, write)| Op { key, write })
            .collect()
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (ops(), proptest::bool::weighted(0.2))
            .prop_map(|(ops, abort)| Action::Apply { ops, abort }),
        1 => Just(Action::Barrier),
        2 => Just(Action::Restart),
        1 => (ops(), any::<usize>()).prop_map(|(ops, keep)| Action::Torn { ops, keep }),
    ]
}

/// The log that is in use, and its length.
fn newest_log(dir: &Path) -> (PathBuf, u64) {
    let newest = fs::read_dir(dir)
        .unwrap()
        .filter_map(|e| {
            e.unwrap()
                .file_name()
                .to_str()?
                .strip_prefix("log-")?
                .parse::<u64>()
                .ok()
        })
        .max()
        .unwrap();
    let path = dir.join(format!("log-{newest}"));
    let length = fs::metadata(&path).unwrap().len();
    (path, length)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn it_holds_what_a_map_holds(
        actions in proptest::collection::vec(action(), 1..40),
        every in 1_u64..12,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let every = every.to_string();
        let given = [("snapshot_every", every.as_str())];
        let mut store = open_with(dir.path(), &given).unwrap();
        let mut model = BTreeMap::new();
        for action in actions {
            match action {
                Action::Apply { ops, abort } => {
                    store.apply(&Txn { id: 0, client: 0, ops: ops.clone(), abort }).unwrap();
                    if !abort {
                        replay(&mut model, &ops);
                    }
                }
                Action::Barrier => store.barrier().unwrap(),
                Action::Restart => {
                    drop(store);
                    store = open_with(dir.path(), &given).unwrap();
                }
                Action::Torn { ops, keep } => {
                    let (log, before) = newest_log(dir.path());
                    store.apply(&txn(&ops)).unwrap();
                    drop(store);
                    let (now, after) = newest_log(dir.path());
                    if now == log && after > before {
                        let keep = before + keep as u64 % (after - before);
                        fs::File::options().write(true).open(&log).unwrap().set_len(keep).unwrap();
                    } else {
                        replay(&mut model, &ops);
                    }
                    store = open_with(dir.path(), &given).unwrap();
                }
            }
            prop_assert_eq!(&contents(&mut store), &model);
            prop_assert_eq!(store.check().unwrap(), None);
        }
        drop(store);
        prop_assert_eq!(contents(&mut open_with(dir.path(), &given).unwrap()), model);
    }
}
