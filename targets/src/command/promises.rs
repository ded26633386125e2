//! What a command target promises: what its file says, or else what is assumed.

use std::collections::BTreeMap;

use plugpull_catalog::PromiseTable;
use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise};

/// The classes of the assumed promises: what anybody takes for granted of a program that says that
/// something is stored. A full disk is one that has room again before it is looked.
const ASSUMED: [FailureClass; 4] = [
    FailureClass::ProcessCrash,
    FailureClass::PowerLoss,
    FailureClass::CleanStop,
    FailureClass::DiskFull,
];

/// The promises of these tables with these settings, the variables of the file's `[env]`. `file` is
/// the file's name; `timed` says whether starting the target runs a command, whose time a bound on
/// recovery could be about.
pub(super) fn promises(
    tables: &[PromiseTable],
    settings: &BTreeMap<String, String>,
    file: &str,
    timed: bool,
) -> Result<Vec<Promise>, String> {
    if tables.is_empty() {
        return Ok(assumed(file));
    }
    for table in tables {
        let lacks = match plugpull_catalog::guarantee(&table.keeps) {
            Ok(Guarantee::RecoversWithinMs(_)) if !timed => {
                "wants a [recover] or a [start] whose time can be taken"
            }
            Ok(Guarantee::EventLog | Guarantee::Versions) => {
                "is for targets that are read back by plugpull, and this one has its own check"
            }
            _ => continue,
        };
        return Err(format!("keeps = \"{}\" {lacks}", table.keeps));
    }
    plugpull_catalog::promises(tables, settings)
}

/// What an acknowledgement means to most people.
fn assumed(file: &str) -> Vec<Promise> {
    [
        (
            Guarantee::Durable(Durability::AtAck),
            "what the workload acknowledges stays",
        ),
        (
            Guarantee::Consistent,
            "it opens again and finds nothing corrupt",
        ),
    ]
    .map(|(guarantee, words)| Promise {
        classes: ASSUMED.to_vec(),
        guarantee,
        words: words.into(),
        source: format!("assumed, because {file} states no promise"),
        demanded: false,
    })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(keeps: &str, after: Option<&[FailureClass]>) -> PromiseTable {
        PromiseTable {
            keeps: keeps.into(),
            after: after.map(<[_]>::to_vec),
            when: BTreeMap::new(),
            words: "so it says".into(),
            source: "a page".into(),
        }
    }

    /// No settings.
    fn none() -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    #[test]
    fn without_promises_some_are_assumed_and_say_so() {
        let all = promises(&[], &none(), "x.toml", false).expect("promises");
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|p| p.classes == ASSUMED
            && !p.demanded
            && p.source == "assumed, because x.toml states no promise"));
    }

    #[test]
    fn promises_are_taken_as_they_are() {
        let tables = [
            table("durable-within=50", None),
            table("consistent", Some(&[FailureClass::DiskFull])),
            table("detects", None),
        ];
        let all = promises(&tables, &none(), "x.toml", false).expect("promises");
        assert_eq!(
            all[0].guarantee,
            Guarantee::Durable(Durability::WithinMs(50))
        );
        let usual = [FailureClass::ProcessCrash, FailureClass::PowerLoss];
        assert_eq!(all[0].classes, usual);
        assert_eq!(all[1].classes, [FailureClass::DiskFull]);
        assert_eq!(all[2].classes, [FailureClass::Corruption]);
        assert!(all.iter().all(|p| p.source == "a page" && !p.demanded));
    }

    #[test]
    fn what_cannot_be_promised_is_refused() {
        for (bad, why) in [
            (table("forever", None), "forever"),
            (table("recovers=5", None), "[recover] or a [start]"),
            (table("durable", Some(&[])), "after is empty"),
            (table("versions", None), "has its own check"),
        ] {
            let error = promises(&[bad], &none(), "x.toml", false).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
        let bound =
            promises(&[table("recovers=5", None)], &none(), "x.toml", true).expect("a bound");
        assert_eq!(bound[0].guarantee, Guarantee::RecoversWithinMs(5));
        let barrier =
            promises(&[table("barrier", None)], &none(), "x.toml", false).expect("barriers");
        let at_barrier = Guarantee::Durable(Durability::AtBarrier);
        assert_eq!(barrier[0].guarantee, at_barrier);
    }
}
