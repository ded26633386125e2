//! What a driver says of itself when it opens its store, checked.

use plugpull_workloads::{Durability, Guarantee, Promise};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::protocol::{OLDEST, PROTOCOL};
use crate::{Action, ActionTime, BUILD, Capability, Description, Shape};

/// The capabilities of version 1. One that is not among them is an error there; later versions
/// ignore what they do not know.
pub(crate) const CAPABILITIES: [&str; 5] = ["abort", "barrier", "check", "delete", "reorg"];

/// The fields that an answer to hello of version 1 must have.
#[derive(Deserialize)]
struct First {
    protocol: u64,
    name: String,
    version: String,
    capabilities: Vec<String>,
    promises: Vec<Promise>,
}

impl Description {
    /// Reads the fields of an `ok` to hello; an error says what is wrong with them.
    ///
    /// `wanted` is the version that was asked for. A description that is known, of version 2, is
    /// not repeated in hello, and is returned; its build must be the same.
    pub(crate) fn of_hello(
        fields: &Map<String, Value>,
        wanted: u64,
        known: Option<&Self>,
    ) -> Result<Self, String> {
        let unfit = |error| format!("the answer to hello does not fit: {error}");
        let fields = Value::Object(fields.clone());
        if wanted == OLDEST {
            return serde_json::from_value::<First>(fields)
                .map_err(unfit)
                .and_then(First::checked);
        }
        let said: Self = serde_json::from_value(fields).map_err(unfit)?;
        said.checked_identity(wanted)?;
        match known {
            Some(known) if known.build != said.build => Err(format!(
                "it is of the build {}, and was described as {}",
                build(&said),
                build(known)
            )),
            Some(known) => Ok(known.clone()),
            None => Ok(said),
        }
    }

    /// Checks a description that a driver gave.
    pub(crate) fn checked(self) -> Result<Self, String> {
        self.checked_identity(PROTOCOL)?;
        for promise in &self.promises {
            promise_fits(promise, self.can(Capability::Barrier))?;
        }
        for (index, action) in self.actions.iter().enumerate() {
            action_fits(action, &self.actions[..index])?;
        }
        Ok(self)
    }

    /// The error unless the driver belongs to this build of plugpull.
    pub(crate) fn of_this_build(&self) -> Result<(), String> {
        match self.build.as_deref() {
            Some(BUILD) => Ok(()),
            _ => Err(format!(
                "it is of another build ({}) than plugpull ({BUILD})",
                build(self)
            )),
        }
    }

    fn checked_identity(&self, wanted: u64) -> Result<(), String> {
        if self.protocol != wanted {
            return Err(format!(
                "it speaks version {} of the protocol, and this is version {wanted}",
                self.protocol
            ));
        }
        if self.name.is_empty() || self.version.is_empty() {
            return Err("name and version must not be empty".into());
        }
        Ok(())
    }
}

fn build(description: &Description) -> &str {
    description.build.as_deref().unwrap_or("none")
}

impl First {
    fn checked(self) -> Result<Description, String> {
        let unknown = |name: &&String| !CAPABILITIES.contains(&name.as_str());
        if let Some(name) = self.capabilities.iter().find(unknown) {
            let known = CAPABILITIES.join(", ");
            return Err(format!(
                "there is no capability {name:?}; there are {known}"
            ));
        }
        let reorg = self.capabilities.iter().any(|one| one == "reorg");
        let description = Description {
            protocol: self.protocol,
            name: self.name,
            version: self.version,
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: self.capabilities,
            actions: reorg
                .then(|| Action {
                    name: "reorg".into(),
                    when: ActionTime::Up,
                    about: String::new(),
                    amount: None,
                    depth: true,
                })
                .into_iter()
                .collect(),
            promises: self.promises,
            ..Description::default()
        };
        description.checked_identity(OLDEST)?;
        for promise in &description.promises {
            promise_fits(promise, description.can(Capability::Barrier))?;
        }
        Ok(description)
    }
}

/// An action can be named on plugpull's command line, and is there once.
fn action_fits(action: &Action, before: &[Action]) -> Result<(), String> {
    let fits = |name: &str| {
        let mut chars = name.chars();
        chars.all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) && !name.is_empty()
    };
    let name = &action.name;
    if !fits(name) {
        return Err(format!(
            "the action {name:?} is not of letters, digits, - and _"
        ));
    }
    if before.iter().any(|other| other.name == *name) {
        return Err(format!("the action {name:?} is there twice"));
    }
    match &action.amount {
        Some(amount) if !fits(&amount.name) || amount.least == 0 || amount.least > amount.most => {
            Err(format!(
                "the amount of the action {name:?} has no name, or is not from 1 up"
            ))
        }
        _ => Ok(()),
    }
}

fn promise_fits(promise: &Promise, barrier: bool) -> Result<(), String> {
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
    if promise.guarantee == Guarantee::Durable(Durability::AtBarrier) && !barrier {
        return Err(format!(
            "{what} is kept at a barrier, and there is no capability barrier"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a driver whose description has these actions; nothing where they fit.
    fn refused(actions: &str) -> String {
        let text = format!(
            r#"{{"protocol":2,"name":"x","version":"1","shapes":["kv"],"capabilities":[],"actions":[{actions}]}}"#
        );
        let description: Description = serde_json::from_str(&text).expect("a description");
        description.checked().err().unwrap_or_default()
    }

    #[test]
    fn an_action_that_cannot_be_named_is_refused() {
        let fits =
            r#"{"name":"full-vacuum_2","when":"up","amount":{"name":"pages","least":1,"most":1}}"#;
        assert_eq!(refused(fits), "");
        for (actions, why) in [
            (r#"{"name":"","when":"up"}"#, "is not of letters"),
            (r#"{"name":"a@b","when":"up"}"#, "is not of letters"),
            (
                r#"{"name":"a","when":"up"},{"name":"a","when":"down"}"#,
                "is there twice",
            ),
            (
                r#"{"name":"a","when":"up","amount":{"name":"n,m","least":1,"most":2}}"#,
                "has no name",
            ),
            (
                r#"{"name":"a","when":"up","amount":{"name":"n","least":0,"most":2}}"#,
                "not from 1 up",
            ),
            (
                r#"{"name":"a","when":"up","amount":{"name":"n","least":3,"most":2}}"#,
                "not from 1 up",
            ),
        ] {
            let said = refused(actions);
            assert!(said.contains(why), "{actions}: {said}");
        }
    }
}
