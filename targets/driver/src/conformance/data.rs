//! The rules of reading and writing.

use serde_json::Value;

use super::talk::Talk;
use super::{Fault, Kept, Rule};
use crate::protocol::Call;
use crate::{Action, ActionTime, Capability};

/// The rules, on an empty data directory first.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "empty",
        about: "holds nothing in an empty data directory",
        judge: empty,
    },
    Rule {
        name: "get",
        about: "gives a value back that was put",
        judge: get,
    },
    Rule {
        name: "read-all",
        about: "gives everything back that was put, and nothing else",
        judge: read_all,
    },
    Rule {
        name: "overwrite",
        about: "replaces the value of a key that is there",
        judge: overwrite,
    },
    Rule {
        name: "exact-values",
        about: "gives back every character of a value, of up to 1 MiB",
        judge: exact_values,
    },
    Rule {
        name: "transaction",
        about: "does all writes of a transaction",
        judge: transaction,
    },
    Rule {
        name: "delete",
        about: "removes a key, and answers ok where it is not there",
        judge: delete,
    },
    Rule {
        name: "abort",
        about: "leaves nothing of a transaction that is rolled back, and answers ok",
        judge: abort,
    },
    Rule {
        name: "clients",
        about: "shows each client what was acknowledged to another",
        judge: clients,
    },
    Rule {
        name: "barrier",
        about: "answers ok to barrier",
        judge: barrier,
    },
    Rule {
        name: "check",
        about: "has no complaint where nothing is wrong",
        judge: check,
    },
    Rule {
        name: "actions",
        about: "answers each action that is done while it is up, and keeps what was written",
        judge: actions,
    },
];

fn able(talk: &Talk<'_>, capability: Capability) -> Kept {
    match &talk.description {
        Some(known) if known.can(capability) => Ok(()),
        _ => Err(Fault::Skip(format!("no capability {}", capability.word()))),
    }
}

fn empty(talk: &mut Talk<'_>) -> Kept {
    talk.has(0, "c0.head", None)?;
    match talk.all(0)?.is_empty() {
        true => Ok(()),
        false => Err(Fault::Wrong("values should be empty".into())),
    }
}

fn get(talk: &mut Talk<'_>) -> Kept {
    talk.put(0, "one", "t1.0.abc")?;
    talk.has(0, "one", Some("t1.0.abc"))?;
    talk.has(0, "two", None)
}

fn read_all(talk: &mut Talk<'_>) -> Kept {
    talk.put(0, "one", "t1.0.abc")?;
    talk.put(0, "two", "t2.0.def")?;
    let all = talk.all(0)?;
    let wanted = [("one", "t1.0.abc"), ("two", "t2.0.def")];
    if let Some((key, value)) = wanted
        .iter()
        .find(|(key, value)| all.get(*key) != Some(&Value::from(*value)))
    {
        return Err(Fault::Wrong(format!(
            "the value of {key:?} should be {value:?}"
        )));
    }
    match all
        .keys()
        .find(|key| !["one", "two"].contains(&key.as_str()))
    {
        Some(other) => Err(Fault::Wrong(format!("the key {other:?} was never written"))),
        None => Ok(()),
    }
}

fn overwrite(talk: &mut Talk<'_>) -> Kept {
    talk.put(0, "again", "first")?;
    talk.put(0, "again", "second")?;
    talk.has(0, "again", Some("second"))
}

fn exact_values(talk: &mut Talk<'_>) -> Kept {
    let large = "0123456789abcdef".repeat(1 << 16);
    for value in [" a b ", "\"\\/\n\t\u{1}", "grüße 漢字 🔌", &large] {
        talk.put(0, "exact", value)?;
        talk.has(0, "exact", Some(value))?;
    }
    // Back to something short, so that later lines can be read.
    talk.put(0, "exact", "short")
}

fn transaction(talk: &mut Talk<'_>) -> Kept {
    talk.write(
        0,
        &[("ta", Some("1")), ("tb", Some("2")), ("tc", Some("3"))],
        false,
    )?;
    talk.has(0, "ta", Some("1"))?;
    talk.has(0, "tb", Some("2"))?;
    talk.has(0, "tc", Some("3"))
}

fn delete(talk: &mut Talk<'_>) -> Kept {
    able(talk, Capability::Delete)?;
    talk.put(0, "gone", "soon")?;
    talk.write(0, &[("gone", None)], false)?;
    talk.has(0, "gone", None)?;
    talk.write(0, &[("gone", None)], false)?;
    match talk.all(0)?.contains_key("gone") {
        true => Err(Fault::Wrong(
            "values should not have the key \"gone\"".into(),
        )),
        false => Ok(()),
    }
}

fn abort(talk: &mut Talk<'_>) -> Kept {
    able(talk, Capability::Abort)?;
    talk.put(0, "stays", "old")?;
    talk.write(0, &[("stays", Some("new")), ("never", Some("x"))], true)?;
    talk.has(0, "stays", Some("old"))?;
    talk.has(0, "never", None)
}

fn clients(talk: &mut Talk<'_>) -> Kept {
    talk.put(1, "shared", "from 1")?;
    talk.has(2, "shared", Some("from 1"))?;
    talk.put(2, "shared", "from 2")?;
    talk.has(1, "shared", Some("from 2"))
}

fn barrier(talk: &mut Talk<'_>) -> Kept {
    able(talk, Capability::Barrier)?;
    talk.ok(0, Call::Barrier).map(drop)
}

fn check(talk: &mut Talk<'_>) -> Kept {
    able(talk, Capability::Check)?;
    match talk.complaint()? {
        Value::Null => Ok(()),
        _ => Err(Fault::Wrong("complaint should be null".into())),
    }
}

fn actions(talk: &mut Talk<'_>) -> Kept {
    let known = talk.description.iter().flat_map(|known| &known.actions);
    let up = known.filter(|action| action.when == ActionTime::Up);
    let all: Vec<Action> = up.cloned().collect();
    if all.is_empty() {
        return Err(Fault::Skip("no action that is done while it is up".into()));
    }
    let protocol = talk.protocol();
    for (client, action) in (3..).zip(&all) {
        talk.put(0, "kept", "t1.0.abc")?;
        // Whatever the answer: it may refuse, or close the client's connection.
        let id = talk.send(Some(client), Call::act(action, None, protocol));
        talk.answer_to(id)?;
        talk.has(0, "kept", Some("t1.0.abc"))?;
    }
    Ok(())
}
