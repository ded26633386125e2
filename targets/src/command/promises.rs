//! What a command target promises: what its file says, or else what is assumed.

use plugpull_workloads::{Durability, FailureClass, Guarantee, Promise, parse_demand};

use super::file::PromiseTable;

/// The classes that are meant when a promise names none.
const USUAL: [FailureClass; 2] = [FailureClass::ProcessCrash, FailureClass::PowerLoss];

/// The promises of these tables. `file` is the file's name; `timed` says whether starting the
/// target runs a command, whose time a bound on recovery could be about.
pub(super) fn promises(
    tables: &[PromiseTable],
    file: &str,
    timed: bool,
) -> Result<Vec<Promise>, String> {
    if tables.is_empty() {
        return Ok(assumed(file));
    }
    tables.iter().map(|table| promise(table, timed)).collect()
}

fn promise(table: &PromiseTable, timed: bool) -> Result<Promise, String> {
    let demand = parse_demand(&table.keeps).map_err(|error| format!("keeps: {error}"))?;
    match demand.guarantee {
        Guarantee::RecoversWithinMs(_) if !timed => {
            return Err(format!(
                "keeps = \"{}\" wants a [recover] or a [start] whose time can be taken",
                table.keeps
            ));
        }
        _ => {}
    }
    let classes = match (&table.after, demand.guarantee) {
        (Some(classes), _) if classes.is_empty() => {
            return Err(format!("keeps = \"{}\": after is empty", table.keeps));
        }
        (Some(classes), _) => classes.clone(),
        (None, Guarantee::Detects) => vec![FailureClass::Corruption],
        (None, _) => USUAL.to_vec(),
    };
    Ok(Promise {
        classes,
        guarantee: demand.guarantee,
        words: table.words.clone(),
        source: table.source.clone(),
        demanded: false,
    })
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
        classes: USUAL.to_vec(),
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
            words: "so it says".into(),
            source: "a page".into(),
        }
    }

    #[test]
    fn without_promises_some_are_assumed_and_say_so() {
        let all = promises(&[], "x.toml", false).expect("promises");
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|p| p.classes == USUAL
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
        let all = promises(&tables, "x.toml", false).expect("promises");
        assert_eq!(
            all[0].guarantee,
            Guarantee::Durable(Durability::WithinMs(50))
        );
        assert_eq!(all[0].classes, USUAL);
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
        ] {
            let error = promises(&[bad], "x.toml", false).expect_err(why);
            assert!(error.contains(why), "{error}");
        }
        let bound = promises(&[table("recovers=5", None)], "x.toml", true).expect("a bound");
        assert_eq!(bound[0].guarantee, Guarantee::RecoversWithinMs(5));
        let barrier = promises(&[table("barrier", None)], "x.toml", false).expect("barriers");
        let at_barrier = Guarantee::Durable(Durability::AtBarrier);
        assert_eq!(barrier[0].guarantee, at_barrier);
    }
}
