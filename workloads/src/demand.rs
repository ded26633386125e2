//! Demands: promises that the user holds a target to, whatever it documents (`--promise WORD`).

use std::num::ParseIntError;

use thiserror::Error;

use crate::{Durability, FailureClass, Guarantee, Promise};

/// What a demand may be, for help texts and errors.
pub const DEMAND_WORDS: &str = "durable, durable-within=MS, barrier, atomic, prefix, consistent, \
                                detects or recovers=MS";

/// All failures in which the data that was made durable stays whole.
const ALL_BUT_CORRUPTION: [FailureClass; 8] = [
    FailureClass::ProcessCrash,
    FailureClass::PowerLoss,
    FailureClass::CleanStop,
    FailureClass::DiskFull,
    FailureClass::IoError,
    FailureClass::SyncFailure,
    FailureClass::Stall,
    FailureClass::OutOfMemory,
];

/// A word that is no demand.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DemandError {
    /// The word is not known, or takes no value, or lacks one.
    #[error("'{0}' is no promise; it is one of {DEMAND_WORDS}")]
    Unknown(String),
    /// The value is no number of milliseconds.
    #[error("'{value}' in '{word}' is no number of milliseconds: {error}")]
    Milliseconds {
        /// The whole word.
        word: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        error: ParseIntError,
    },
}

/// The promise that `--promise WORD` demands. It covers every class of failure but
/// [`FailureClass::Corruption`]; `detects` covers that class alone.
pub fn parse_demand(word: &str) -> Result<Promise, DemandError> {
    let milliseconds = |value: &str| {
        value
            .parse::<u64>()
            .map_err(|error| DemandError::Milliseconds {
                word: word.to_owned(),
                value: value.to_owned(),
                error,
            })
    };
    let guarantee = match word.split_once('=') {
        None => match word {
            "durable" => Guarantee::Durable(Durability::AtAck),
            "barrier" => Guarantee::Durable(Durability::AtBarrier),
            "atomic" => Guarantee::Atomic,
            "prefix" => Guarantee::Prefix,
            "consistent" => Guarantee::Consistent,
            "detects" => Guarantee::Detects,
            _ => return Err(DemandError::Unknown(word.to_owned())),
        },
        Some(("durable-within", value)) => {
            Guarantee::Durable(Durability::WithinMs(milliseconds(value)?))
        }
        Some(("recovers", value)) => Guarantee::RecoversWithinMs(milliseconds(value)?),
        Some(_) => return Err(DemandError::Unknown(word.to_owned())),
    };
    let classes = match guarantee {
        Guarantee::Detects => vec![FailureClass::Corruption],
        _ => ALL_BUT_CORRUPTION.to_vec(),
    };
    Ok(Promise {
        classes,
        guarantee,
        words: "demanded on the command line".into(),
        source: format!("--promise {word}"),
        demanded: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_understood() {
        for (word, guarantee) in [
            ("durable", Guarantee::Durable(Durability::AtAck)),
            (
                "durable-within=250",
                Guarantee::Durable(Durability::WithinMs(250)),
            ),
            ("barrier", Guarantee::Durable(Durability::AtBarrier)),
            ("atomic", Guarantee::Atomic),
            ("prefix", Guarantee::Prefix),
            ("consistent", Guarantee::Consistent),
            ("detects", Guarantee::Detects),
            ("recovers=2000", Guarantee::RecoversWithinMs(2000)),
        ] {
            let promise = parse_demand(word).unwrap();
            assert_eq!(promise.guarantee, guarantee);
            assert!(promise.demanded);
            assert_eq!(promise.source, format!("--promise {word}"));
            let corruption = promise.classes.contains(&FailureClass::Corruption);
            assert_eq!(corruption, word == "detects", "{word}");
            assert_eq!(promise.classes.len(), if word == "detects" { 1 } else { 8 });
        }
    }

    #[test]
    fn other_words_are_refused_with_what_is_wrong() {
        for word in [
            "",
            "Durable",
            "durable=1",
            "atomic=",
            "recovers",
            "durable-within",
        ] {
            let error = parse_demand(word).unwrap_err();
            assert_eq!(error, DemandError::Unknown(word.into()));
            assert!(error.to_string().contains("durable-within=MS"), "{error}");
        }
        for word in ["recovers=soon", "recovers=", "durable-within=-1"] {
            let error = parse_demand(word).unwrap_err();
            assert!(matches!(error, DemandError::Milliseconds { .. }));
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
