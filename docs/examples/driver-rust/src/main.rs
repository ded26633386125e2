//! A driver for plugpull, and the small store that it drives.
//!
//! ```sh
//! cargo build --release
//! plugpull driver-check target/release/plugpull-driver-example
//! plugpull explore driver --set cmd=target/release/plugpull-driver-example
//! ```
//!
//! The store is one JSON file that is replaced at each barrier: written beside it, synced, renamed,
//! and the directory synced. So a transaction is safe from the next barrier on, and what a crash
//! leaves is a whole file, the old one or the new one. `--no-fsync` leaves the syncs out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

const PROTOCOL: u64 = 1;

/// A request. Fields that are not named here are ignored, as the protocol asks.
#[derive(Deserialize)]
struct Request {
    #[expect(dead_code, reason = "shown for its place in the protocol")]
    id: u64,
    #[serde(flatten)]
    call: Call,
}

#[derive(Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
enum Call {
    Hello { protocol: u64 },
    Apply { abort: bool, writes: Vec<Change> },
    Barrier,
    Get { key: String },
    ReadAll,
    Check,
}

/// A write: a value, or none where the key is deleted.
#[derive(Deserialize)]
struct Change {
    key: String,
    put: Option<String>,
}

struct Store {
    directory: PathBuf,
    sync: bool,
    values: BTreeMap<String, String>,
}

impl Store {
    fn open(directory: PathBuf, sync: bool) -> io::Result<Self> {
        let values = match fs::read(directory.join("store.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            directory,
            sync,
            values,
        })
    }

    /// Replaces the file with what is in memory.
    fn save(&self) -> io::Result<()> {
        let new = self.directory.join("store.json.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&self.values)?)?;
        if self.sync {
            file.sync_all()?;
        }
        fs::rename(&new, self.directory.join("store.json"))?;
        if self.sync {
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(())
    }

    fn answer(&mut self, call: Call) -> Value {
        match call {
            Call::Hello { protocol } if protocol == PROTOCOL => hello(self.sync),
            Call::Hello { .. } => json!({"answer": "fail", "text": "this driver speaks version 1"}),
            Call::Apply { abort, writes } => {
                for Change { key, put } in writes {
                    match put {
                        _ if abort => {}
                        Some(value) => drop(self.values.insert(key, value)),
                        None => drop(self.values.remove(&key)),
                    }
                }
                json!({"answer": "ok"})
            }
            // Whether the new file is there is not known when a step failed.
            Call::Barrier => match self.save() {
                Ok(()) => json!({"answer": "ok"}),
                Err(error) => json!({"answer": "info", "text": error.to_string()}),
            },
            Call::Get { key } => json!({"answer": "ok", "value": self.values.get(&key)}),
            Call::ReadAll => json!({"answer": "ok", "values": self.values}),
            Call::Check => {
                let sound = Store::open(self.directory.clone(), self.sync).err();
                json!({"answer": "ok", "complaint": sound.map(|error| error.to_string())})
            }
        }
    }
}

fn hello(sync: bool) -> Value {
    let promise = |classes: &[&str], guarantee: Value, words: &str| {
        json!({
            "classes": classes,
            "guarantee": guarantee,
            "words": words,
            "source": "the documentation of this example",
        })
    };
    let crashes = ["process-crash", "power-loss"];
    json!({
        "answer": "ok",
        "protocol": PROTOCOL,
        "name": "json store",
        "version": if sync { "1" } else { "1 without fsync" },
        "capabilities": ["abort", "barrier", "check", "delete"],
        "promises": [
            promise(&crashes, json!({"durable": "at-barrier"}), "safe from the next barrier on"),
            promise(&crashes, json!("atomic"), "the file is replaced as a whole"),
            promise(&crashes, json!("consistent"), "what a crash leaves is a whole file"),
        ],
    })
}

fn main() -> ExitCode {
    let directory = std::env::var_os("PLUGPULL_DATA_DIR").unwrap_or_else(|| ".".into());
    let sync = std::env::args().all(|arg| arg != "--no-fsync");
    let mut store = match Store::open(directory.into(), sync) {
        Ok(store) => store,
        Err(error) => {
            eprintln!("store.json cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut stdout = io::stdout();
    for line in io::stdin().lock().lines() {
        let answer = match line.map(|line| serde_json::from_str::<Value>(&line)) {
            Ok(Ok(request)) => {
                let id = request["id"].clone();
                let mut answer = match serde_json::from_value::<Request>(request) {
                    Ok(request) => store.answer(request.call),
                    Err(error) => json!({"answer": "fail", "text": error.to_string()}),
                };
                answer["id"] = id;
                answer
            }
            Ok(Err(error)) => json!({"id": null, "answer": "fail", "text": error.to_string()}),
            Err(_) => break,
        };
        if writeln!(stdout, "{answer}")
            .and_then(|()| stdout.flush())
            .is_err()
        {
            break;
        }
    }
    ExitCode::SUCCESS
}
