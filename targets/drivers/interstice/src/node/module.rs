//! The test module: its names, and the values of its calls. They are those of
//! `docs/examples/interstice/module.c`.

use std::collections::HashSet;

use plugpull_workloads::{Op, Write};

use super::packets::{Cell, Event, Row, Value};

/// The module's name.
pub(super) const MODULE: &str = "plugpull";
/// The tables of the workload's keys.
pub(super) const TABLES: [&str; 2] = ["rows", "heads"];
/// The table of calls that were applied. It is ephemeral: no file belongs to it.
pub(super) const ACKS: &str = "acks";
/// The reducer of all writes.
pub(super) const APPLY: &str = "apply";
/// The query of one row.
pub(super) const GET: &str = "get";

/// The table of a key. The head keys have one of their own, so that every transaction writes to two
/// files.
pub(super) fn table(key: &str) -> &'static str {
    match key.ends_with(".head") {
        true => TABLES[1],
        false => TABLES[0],
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The arguments of [`APPLY`]. Of several writes to a key only the last is sent: the node looks keys
/// up in its tables as they were before the call, so it would insert a new key twice.
pub(super) fn apply(caller: &str, number: u64, abort: bool, ops: &[Op]) -> Value {
    let mut met = HashSet::new();
    let mut last: Vec<&Op> = ops.iter().rev().filter(|op| met.insert(&op.key)).collect();
    last.reverse();
    let writes = last.into_iter().map(|op| {
        let value = match &op.write {
            Write::Put(value) => Some(Box::new(text(&value.text()))),
            Write::Delete => None,
        };
        let table = text(table(&op.key));
        Value::Tuple(vec![table, text(&op.key), Value::Option(value)])
    });
    Value::Vec(vec![
        text(caller),
        Value::U64(number),
        Value::Bool(abort),
        Value::Vec(writes.collect()),
    ])
}

/// The arguments of [`GET`].
pub(super) fn get(key: &str) -> Value {
    Value::Vec(vec![text(table(key)), text(key)])
}

/// What an event of [`ACKS`] tells: a caller's last call that was applied, and the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    /// The number of the call.
    pub(super) number: u64,
    /// The number of the last one before it; none where it is the first.
    pub(super) before: Option<u64>,
}

/// What an event tells of the calls of `caller`; none where it tells of something else.
pub(super) fn applied(event: &Event, caller: &str) -> Option<Applied> {
    let number = |row: &Row| match (&row.key, row.fields.as_slice()) {
        (Cell::String(of), [Cell::U64(number)]) if of == caller => Some(*number),
        _ => None,
    };
    match event {
        Event::Insert { module, table, row } if module == MODULE && table == ACKS => {
            Some(Applied {
                number: number(row)?,
                before: None,
            })
        }
        Event::Update {
            module,
            table,
            old,
            new,
        } if module == MODULE && table == ACKS => Some(Applied {
            number: number(new)?,
            before: Some(number(old)?),
        }),
        _ => None,
    }
}

/// A row of the workload: its key and its value.
pub(super) fn pair(row: Row) -> Result<(String, String), String> {
    let mut fields = row.fields.into_iter();
    match (row.key, fields.next(), fields.next()) {
        (Cell::String(key), Some(Cell::String(value)), None) => Ok((key, value)),
        (key, value, _) => Err(format!(
            "a row is not a key and a value, both text, but begins {key:?}, {value:?}"
        )),
    }
}
