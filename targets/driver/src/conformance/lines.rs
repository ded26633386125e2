//! The rules of the conversation itself.

use serde_json::Value;

use super::talk::Talk;
use super::{Fault, Kept, Rule};
use crate::protocol::{Call, PROTOCOL, Verdict, Write};
use crate::{Capability, Description};

/// The rules that come first. Without the last of them there are no others.
pub(super) const HELLO: &[Rule] = &[
    Rule {
        name: "describe",
        about: "describes itself without a data directory, where it speaks version 2",
        judge: describe,
    },
    Rule {
        name: "hello",
        about: "answers hello with protocol, name, version, capabilities and promises",
        judge: hello,
    },
];

/// The rules that come last: the driver is killed and ended by them.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "once",
        about: "answers each request once",
        judge: once,
    },
    Rule {
        name: "out-of-order",
        about: "answers all of several requests that were sent at once, in any order",
        judge: at_once,
    },
    Rule {
        name: "unknown-field",
        about: "ignores fields that it does not know",
        judge: unknown_field,
    },
    Rule {
        name: "unknown-call",
        about: "answers fail to a call that it does not know, and goes on",
        judge: unknown_call,
    },
    Rule {
        name: "bad-line",
        about: "survives a line that is no JSON; it may answer fail with id null",
        judge: bad_line,
    },
    Rule {
        name: "restart",
        about: "starts again after SIGKILL, with what was acknowledged where that is promised",
        judge: restart,
    },
    Rule {
        name: "end",
        about: "ends with exit code 0 when its standard input does",
        judge: end,
    },
];

/// A driver of version 1 knows nothing of this, so what it makes of it is not judged.
fn describe(talk: &mut Talk<'_>) -> Kept {
    let id = talk.send(None, Call::Describe { protocol: PROTOCOL });
    let answer = match talk.answer_to(id) {
        Ok(answer) if answer.answer == Verdict::Ok => answer,
        Ok(_) | Err(Fault::Wrong(_) | Fault::Skip(_)) => {
            talk.kill_and_start().map_err(Fault::Own)?;
            return Err(Fault::Skip("it does not describe itself".into()));
        }
        Err(own) => return Err(own),
    };
    let described: Description = serde_json::from_value(Value::Object(answer.fields))
        .map_err(|error| Fault::Wrong(format!("the description does not fit: {error}")))?;
    talk.described = Some(described.checked().map_err(Fault::Wrong)?);
    talk.kill_and_start().map_err(Fault::Own)
}

fn hello(talk: &mut Talk<'_>) -> Kept {
    let protocol = talk.protocol();
    let id = talk.send(None, Call::Hello { protocol });
    let answer = talk.answer_to(id)?;
    if answer.answer != Verdict::Ok {
        return Err(Fault::Wrong("the answer should be ok".into()));
    }
    let description = Description::of_hello(&answer.fields, protocol, talk.described.as_ref());
    talk.description = Some(description.map_err(Fault::Wrong)?);
    Ok(())
}

/// Judges all that came since the driver was last started.
fn once(talk: &mut Talk<'_>) -> Kept {
    // Behind these answers nothing of an earlier request is still on its way.
    talk.has(0, "none", None)?;
    talk.has(0, "none", None)?;
    talk.nothing_unasked()
}

fn at_once(talk: &mut Talk<'_>) -> Kept {
    let keys: Vec<String> = (0..16).map(|n| format!("once.{n}")).collect();
    let mut ids = Vec::new();
    for (client, key) in (0..).zip(&keys) {
        let put = Write {
            key: key.into(),
            put: Some(key.into()),
            delete: false,
        };
        let call = Call::Apply {
            txn: 1_000_000 + u64::from(client),
            abort: false,
            writes: vec![put],
        };
        ids.push(talk.send(Some(client), call));
    }
    for id in ids.into_iter().rev() {
        if talk.answer_to(id)?.answer != Verdict::Ok {
            return Err(Fault::Wrong(format!(
                "the answer to request {id} should be ok"
            )));
        }
    }
    for key in &keys {
        talk.has(0, key, Some(key))?;
    }
    Ok(())
}

fn unknown_field(talk: &mut Talk<'_>) -> Kept {
    let id = talk.fresh_id();
    talk.send_line(&format!(
        "{{\"later\":[1],\"call\":\"get\",\"id\":{id},\"key\":\"none\",\"client\":0,\"timeout_ms\":1000}}"
    ));
    match talk.answer_to(id)?.answer {
        Verdict::Ok => Ok(()),
        Verdict::Fail | Verdict::Info | Verdict::Gone => {
            Err(Fault::Wrong("the answer should be ok".into()))
        }
    }
}

fn unknown_call(talk: &mut Talk<'_>) -> Kept {
    let id = talk.fresh_id();
    talk.send_line(&format!(
        "{{\"id\":{id},\"client\":0,\"timeout_ms\":1000,\"call\":\"plugpull_unknown\"}}"
    ));
    if talk.answer_to(id)?.answer != Verdict::Fail {
        return Err(Fault::Wrong("the answer should be fail".into()));
    }
    talk.has(0, "none", None)
}

fn bad_line(talk: &mut Talk<'_>) -> Kept {
    talk.send_line("this is no JSON");
    let id = talk.send(Some(0), Call::Get { key: "none".into() });
    talk.answer_past_null(id)
}

fn restart(talk: &mut Talk<'_>) -> Kept {
    use plugpull_workloads::{Durability, FailureClass, Guarantee};
    let barrier = talk
        .description
        .as_ref()
        .is_some_and(|known| known.can(Capability::Barrier));
    talk.put(0, "restart", "kept")?;
    if barrier {
        talk.ok(0, Call::Barrier)?;
    }
    talk.kill_and_start().map_err(Fault::Own)?;
    hello(talk)?;
    let promised = talk.description.as_ref().is_some_and(|known| {
        known.promises.iter().any(|promise| {
            let durable = match promise.guarantee {
                Guarantee::Durable(Durability::AtAck) => true,
                Guarantee::Durable(Durability::AtBarrier) => barrier,
                _ => false,
            };
            durable && promise.classes.contains(&FailureClass::ProcessCrash)
        })
    });
    if promised {
        talk.has(0, "restart", Some("kept"))
    } else {
        talk.all(0).map(drop)
    }
}

fn end(talk: &mut Talk<'_>) -> Kept {
    talk.end_input()
}
