//! The worker process of an embedded target: plugpull's own binary, executed again.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::wire::{self, Store};
use crate::{reference, sqlite};

/// The first argument that makes plugpull's binary a worker. What follows it goes to
/// [`worker_main`].
pub const WORKER: &str = "__worker";

/// Runs a worker on standard output. `args`: the target's name, `--data`, the data folder, where a
/// fixed port is wanted `--port` and its number, then `name=value` settings. Serves until it is killed; returns the exit code when it cannot:
/// 1 when the store cannot be opened or served (said on standard error), 2 for wrong use.
pub fn worker_main(args: &[String]) -> i32 {
    run(args, &mut io::stdout())
}

/// As [`worker_main`], with the place where `ready PORT` is said.
pub fn run(args: &[String], out: &mut dyn Write) -> i32 {
    let Parsed {
        name,
        data,
        port,
        settings,
    } = match parse(args) {
        Ok(parsed) => parsed,
        Err(why) => return end(2, &why),
    };
    let store: Result<Arc<dyn Store>, String> = match name {
        sqlite::NAME => match sqlite::Settings::parse(&settings) {
            Ok(settings) => sqlite::SqliteStore::open(&data, settings)
                .map(|store| Arc::new(store) as Arc<dyn Store>)
                .map_err(|e| format!("cannot open the database: {e}")),
            Err(e) => return end(2, &e.to_string()),
        },
        reference::NAME => match reference::Settings::parse(&settings) {
            Ok(settings) => reference::ReferenceStore::open(&data, settings)
                .map(|store| {
                    store.notice().into_iter().for_each(note);
                    Arc::new(store) as Arc<dyn Store>
                })
                .map_err(|e| e.to_string()),
            Err(e) => return end(2, &e.to_string()),
        },
        other => return end(2, &format!("there is no embedded target {other:?}")),
    };
    match store {
        Ok(store) => end(
            1,
            &format!("cannot serve: {}", wire::serve(store, port, out)),
        ),
        Err(why) => end(1, &why),
    }
}

fn end(code: i32, why: &str) -> i32 {
    note(why);
    code
}

/// Says something on standard error. That nobody may be listening must not end a worker, so this
/// is not `eprintln!`, which panics then.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

struct Parsed<'a> {
    name: &'a str,
    data: PathBuf,
    /// 0 for one of the kernel's choice.
    port: u16,
    settings: BTreeMap<String, String>,
}

fn parse(args: &[String]) -> Result<Parsed<'_>, String> {
    let (name, data, rest) = match args {
        [name, flag, data, rest @ ..] if flag == "--data" => (name, data, rest),
        _ => {
            return Err("a worker takes: NAME --data FOLDER [--port PORT] [name=value]...".into());
        }
    };
    let (port, settings) = match rest {
        [flag, port, settings @ ..] if flag == "--port" => (
            port.parse()
                .map_err(|_| format!("{port:?} is no port: 0 to 65535"))?,
            settings,
        ),
        settings => (0, settings),
    };
    let mut values = BTreeMap::new();
    for setting in settings {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("{setting:?} is not name=value"))?;
        values.insert(key.to_owned(), value.to_owned());
    }
    Ok(Parsed {
        name,
        data: Path::new(data).to_owned(),
        port,
        settings: values,
    })
}
