//! `[[promise]]`: one promise as it is written in a file.

use std::collections::BTreeMap;

use plugpull_workloads::{DemandError, Durability, FailureClass, Guarantee, Promise, parse_demand};
use serde::Deserialize;

/// The classes that are meant when a promise names none.
const USUAL: [FailureClass; 2] = [FailureClass::ProcessCrash, FailureClass::PowerLoss];

/// `[[promise]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromiseTable {
    /// The guarantee: a word that [`guarantee`] reads.
    pub keeps: String,
    /// The classes of failure; where there are none, corruption for `detects`, and process crash and
    /// power loss for anything else.
    pub after: Option<Vec<FailureClass>>,
    /// It is given only where each of these settings has one of these values.
    #[serde(default)]
    pub when: BTreeMap<String, Vec<String>>,
    /// The document's words.
    #[serde(default)]
    pub words: String,
    /// The document.
    pub source: String,
}

/// The guarantee of a word: one of `--promise`, `durable-but-last=N`, `event-log` or `versions`.
///
/// # Errors
/// It is none of them, with the list.
pub fn guarantee(word: &str) -> Result<Guarantee, String> {
    match word {
        "event-log" => return Ok(Guarantee::EventLog),
        "versions" => return Ok(Guarantee::Versions),
        _ => {}
    }
    if let Some(last) = word.strip_prefix("durable-but-last=") {
        return last
            .parse()
            .map(|last| Guarantee::Durable(Durability::AllButLast(last)))
            .map_err(|error| {
                format!("'{last}' in '{word}' is no number of transactions: {error}")
            });
    }
    parse_demand(word)
        .map(|demand| demand.guarantee)
        .map_err(|error| match error {
            DemandError::Unknown(_) => {
                format!("{error}, or durable-but-last=N, event-log or versions")
            }
            DemandError::Milliseconds { .. } => error.to_string(),
        })
}

/// The promises of these tables that are given with these settings.
///
/// # Errors
/// What is wrong with a table, in one line: a word that is no guarantee, `after` without a class, a
/// condition on a setting that does not exist or without a value.
pub fn promises(
    tables: &[PromiseTable],
    settings: &BTreeMap<String, String>,
) -> Result<Vec<Promise>, String> {
    let mut promises = Vec::new();
    for table in tables {
        let wrong = |why: String| format!("keeps = \"{}\": {why}", table.keeps);
        let guarantee = guarantee(&table.keeps).map_err(|error| format!("keeps: {error}"))?;
        let classes = match (&table.after, guarantee) {
            (Some(classes), _) if classes.is_empty() => return Err(wrong("after is empty".into())),
            (Some(classes), _) => classes.clone(),
            (None, Guarantee::Detects) => vec![FailureClass::Corruption],
            (None, _) => USUAL.to_vec(),
        };
        if given(table, settings).map_err(wrong)? {
            promises.push(Promise {
                classes,
                guarantee,
                words: table.words.clone(),
                source: table.source.clone(),
                demanded: false,
            });
        }
    }
    Ok(promises)
}

/// Whether every condition holds.
fn given(table: &PromiseTable, settings: &BTreeMap<String, String>) -> Result<bool, String> {
    let mut all = true;
    for (name, values) in &table.when {
        let value = settings.get(name).ok_or_else(|| {
            let known: Vec<&str> = settings.keys().map(String::as_str).collect();
            format!(
                "when: there is no setting {name:?}; the settings are: {}",
                known.join(", ")
            )
        })?;
        if values.is_empty() {
            return Err(format!("when: {name} has no values"));
        }
        all &= values.contains(value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(text: &str) -> Vec<PromiseTable> {
        #[derive(Deserialize)]
        struct File {
            promise: Vec<PromiseTable>,
        }
        toml::from_str::<File>(text).expect("a file").promise
    }

    fn settings(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.into(), value.into())])
    }

    #[test]
    fn a_condition_decides_whether_a_promise_is_given() {
        let tables = tables(
            "[[promise]]\nkeeps = 'durable'\nsource = 'x'\nwhen = { sync = ['full', 'extra'] }",
        );
        for (value, given) in [("full", true), ("extra", true), ("off", false), ("", false)] {
            let all = promises(&tables, &settings("sync", value)).expect("promises");
            assert_eq!(!all.is_empty(), given, "{value}");
        }
        let error = promises(&tables, &settings("mode", "full")).expect_err("no such setting");
        assert!(
            error.contains("\"sync\"") && error.contains("mode"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_promise_is_refused_with_the_words_that_are() {
        for (bad, why) in [
            ("keeps = 'forever'", "durable-but-last=N, event-log"),
            ("keeps = 'durable-but-last=x'", "no number of transactions"),
            ("keeps = 'recovers=x'", "no number of milliseconds"),
            ("keeps = 'durable'\nafter = []", "after is empty"),
            ("keeps = 'durable'\nwhen = { a = [] }", "a has no values"),
        ] {
            let tables = tables(&format!("[[promise]]\n{bad}\nsource = 'x'"));
            let error = promises(&tables, &settings("a", "1")).expect_err(bad);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn classes_that_are_not_named_are_the_usual_ones() {
        let tables = tables(
            "[[promise]]\nkeeps = 'detects'\nsource = 'x'\n[[promise]]\nkeeps = \
             'durable-but-last=2'\nsource = 'x'",
        );
        let all = promises(&tables, &BTreeMap::new()).expect("promises");
        assert_eq!(all[0].classes, [FailureClass::Corruption]);
        assert_eq!(all[1].classes, USUAL);
        let last = Guarantee::Durable(Durability::AllButLast(2));
        assert_eq!(all[1].guarantee, last);
    }
}
