//! What a driver says of itself.

use plugpull_workloads::{Durability, Guarantee, Promise};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::protocol::PROTOCOL;
use crate::Abilities;

/// A driver's answer to hello, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The name of what it drives.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What may be asked of it.
    pub abilities: Abilities,
    /// It can check the target's integrity.
    pub check: bool,
    /// It can replace the last blocks of the chain that the target follows.
    pub reorg: bool,
    /// What the target promises.
    pub promises: Vec<Promise>,
}

#[derive(Deserialize)]
struct Hello {
    protocol: u64,
    name: String,
    version: String,
    capabilities: Vec<String>,
    promises: Vec<Promise>,
}

/// The capabilities that there are.
pub(super) const CAPABILITIES: [&str; 5] = ["abort", "barrier", "check", "delete", "reorg"];

impl Introduction {
    /// Reads the fields of an `ok` to hello; an error says what is wrong with them.
    pub(super) fn read(fields: &Map<String, Value>) -> Result<Self, String> {
        let hello: Hello = serde_json::from_value(Value::Object(fields.clone()))
            .map_err(|error| format!("the answer to hello does not fit: {error}"))?;
        if hello.protocol != PROTOCOL {
            return Err(format!(
                "it speaks version {} of the protocol, and this is version {PROTOCOL}",
                hello.protocol
            ));
        }
        if hello.name.is_empty() || hello.version.is_empty() {
            return Err("name and version must not be empty".into());
        }
        let unknown = |name: &&String| !CAPABILITIES.contains(&name.as_str());
        if let Some(name) = hello.capabilities.iter().find(unknown) {
            let known = CAPABILITIES.join(", ");
            return Err(format!(
                "there is no capability {name:?}; there are {known}"
            ));
        }
        let has = |name: &str| hello.capabilities.iter().any(|one| one == name);
        let abilities = Abilities {
            abort: has("abort"),
            delete: has("delete"),
            barrier: has("barrier"),
        };
        for promise in &hello.promises {
            promise_fits(promise, abilities)?;
        }
        Ok(Self {
            check: has("check"),
            reorg: has("reorg"),
            name: hello.name,
            version: hello.version,
            abilities,
            promises: hello.promises,
        })
    }
}

fn promise_fits(promise: &Promise, abilities: Abilities) -> Result<(), String> {
    let what = format!("the promise {:?}", promise.words);
    if promise.classes.is_empty() {
        return Err(format!("{what} names no class of failure"));
    }
    if promise.words.is_empty() || promise.source.is_empty() {
        return Err(format!("{what} lacks its words or its source"));
    }
    if promise.demanded {
        return Err(format!("{what} is the target's, and cannot be `demanded`"));
    }
    let at_barrier = promise.guarantee == Guarantee::Durable(Durability::AtBarrier);
    if at_barrier && !abilities.barrier {
        return Err(format!(
            "{what} is kept at a barrier, and there is no capability barrier"
        ));
    }
    Ok(())
}
