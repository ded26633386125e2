//! The document, the schema and the code say the same: the document's examples and the lines that
//! plugpull writes fit the schema, and what is wrong does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use std::{fs, io};

use boon::{Compiler, SchemaIndex, Schemas};
use plugpull_driver::host::SETTINGS;
use plugpull_driver::protocol::{Call, LaunchAnswer, OLDEST, PROTOCOL, Request};
use plugpull_driver::sdk::{Driver, Place, Store, System, serve};
use plugpull_driver::{
    Action, ActionTime, Amount, Capability, CommandDescription, Description, Mutant, Shape,
};
use plugpull_workloads::{Durability, FailureClass, Guarantee, Op, Promise, Txn, Write};
use serde_json::{Value, json};

fn docs(name: &str) -> String {
    fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs")
            .join(name),
    )
    .unwrap()
}

struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn new() -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        let schema = serde_json::from_str(&docs("driver-protocol.schema.json")).unwrap();
        let name = "mem://driver-protocol.schema.json";
        compiler.add_resource(name, schema).unwrap();
        let index = compiler.compile(name, &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn fits(&self, line: &Value) -> bool {
        self.schemas.validate(line, self.index).is_ok()
    }
}

/// Every line of the document's examples.
fn examples() -> Vec<Value> {
    let text = docs("driver-protocol.md");
    let blocks = text
        .split("```jsonl\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap());
    blocks
        .flat_map(str::lines)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_example_of_the_document_fits_and_every_call_and_answer_has_one() {
    let (schema, examples) = (Schema::new(), examples());
    for line in &examples {
        assert!(schema.fits(line), "{line}");
    }
    let words = |field: &str| -> BTreeSet<&str> {
        examples
            .iter()
            .filter_map(|line| line[field].as_str())
            .collect()
    };
    assert_eq!(
        Vec::from_iter(words("call")),
        [
            "act",
            "apply",
            "barrier",
            "check",
            "describe",
            "event_log",
            "fork",
            "get",
            "hello",
            "launch",
            "read_all",
            "ready",
            "reorg",
            "work"
        ]
    );
    assert_eq!(
        Vec::from_iter(words("answer")),
        ["fail", "gone", "info", "ok"]
    );
}

#[test]
fn every_line_that_plugpull_writes_fits() {
    let schema = Schema::new();
    let txn = Txn {
        id: 3,
        client: 1,
        ops: vec![
            Op {
                key: "a".into(),
                write: Write::Put("\"\n".into()),
            },
            Op {
                key: "b".into(),
                write: Write::Delete,
            },
        ],
        abort: true,
    };
    let hello = Call::Hello { protocol: OLDEST };
    let calls = [
        Call::apply(&txn),
        Call::Barrier,
        Call::Get { key: "a".into() },
        Call::ReadAll,
        Call::Check { acked: None },
        Call::Check {
            acked: Some(vec!["a".to_owned()].into()),
        },
        Call::EventLog,
        Call::Reorg { depth: 1 },
        Call::Act {
            action: "compact".into(),
            amount: None,
            depth: None,
        },
    ];
    let calls = calls.map(|call| (Some(1), call));
    let others = [
        hello,
        Call::Hello { protocol: PROTOCOL },
        Call::Describe { protocol: PROTOCOL },
        Call::Launch,
        Call::Work { life: 1 },
        Call::Act {
            action: "reorg".into(),
            amount: Some(3),
            depth: Some(3),
        },
    ];
    for (client, call) in calls.into_iter().chain(others.map(|call| (None, call))) {
        let request = Request {
            id: u64::MAX,
            client,
            timeout_ms: 1,
            call,
        };
        let line = serde_json::to_value(&request).unwrap();
        assert!(schema.fits(&line), "{line}");
    }
}

#[test]
fn the_schema_knows_every_class_and_every_guarantee() {
    use Durability::{AllButLast, AtAck, AtBarrier, WithinMs};
    use FailureClass::{
        CleanStop, Corruption, DiskFull, IoError, OutOfMemory, PowerLoss, ProcessCrash, Stall,
        SyncFailure,
    };
    let schema = Schema::new();
    let durable = [AtAck, AtBarrier, AllButLast(1), WithinMs(5)].map(Guarantee::Durable);
    let others = [
        Guarantee::Atomic,
        Guarantee::Prefix,
        Guarantee::Consistent,
        Guarantee::Detects,
        Guarantee::RecoversWithinMs(9),
    ];
    for guarantee in durable.into_iter().chain(others) {
        let promise = Promise {
            classes: vec![
                ProcessCrash,
                PowerLoss,
                CleanStop,
                DiskFull,
                IoError,
                SyncFailure,
                Corruption,
                Stall,
                OutOfMemory,
            ],
            guarantee,
            words: "w".into(),
            source: "s".into(),
            demanded: false,
        };
        let hello = json!({
            "id": 1, "answer": "ok", "protocol": 1, "name": "n", "version": "v",
            "capabilities": [], "promises": [promise],
        });
        assert!(schema.fits(&hello), "{hello}");
    }
}

#[test]
fn what_is_wrong_does_not_fit() {
    let schema = Schema::new();
    let examples = examples();
    for line in &examples {
        let mut wrongs = Vec::new();
        for field in line.as_object().unwrap().keys() {
            let mut other_type = line.clone();
            other_type[field] = json!([[]]);
            wrongs.push(other_type);
            let may_lack = [
                "value", "values", "complaint", "log", "args", "env", "acked", "depth", "amount", "actions",
            ]
            .contains(&field.as_str())
                // Of a client, or of nobody.
                || (field == "client" && line["call"] == "act");
            if !may_lack {
                let mut without = line.clone();
                without.as_object_mut().unwrap().remove(field);
                wrongs.push(without);
            }
        }
        let mut both = line.clone();
        both["call"] = json!("barrier");
        both["answer"] = json!("ok");
        wrongs.push(both);
        for wrong in wrongs {
            assert!(!schema.fits(&wrong), "{wrong}");
        }
    }
    let write = |write: Value| json!({"id":2,"client":0,"timeout_ms":1,"call":"apply","txn":1,"abort":false,"writes":[write]});
    assert!(schema.fits(&write(json!({"key":"a","put":""}))));
    for wrong in [
        write(json!({"key":"a"})),
        write(json!({"key":"a","put":"x","delete":true})),
        write(json!({"key":"a","delete":false})),
        json!({"id":1,"timeout_ms":1,"call":"explode"}),
        json!({"id":0,"answer":"ok"}),
        json!({"id":null,"answer":"ok"}),
        json!({"id":1,"answer":"maybe"}),
        json!([]),
    ] {
        assert!(!schema.fits(&wrong), "{wrong}");
    }
}

struct Full;

impl Driver for Full {
    fn describe(&self) -> Description {
        Description {
            version: "1".into(),
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: Capability::ALL.map(|one| one.word().to_owned()).into(),
            actions: vec![Action {
                name: "compact".into(),
                when: ActionTime::Up,
                about: "drops what is superfluous".into(),
                amount: Some(Amount {
                    name: "level".into(),
                    least: 1,
                    most: 3,
                }),
                depth: false,
            }],
            unavailable: Some("it is not installed".into()),
            driver: Some(CommandDescription {
                program: "other".into(),
                args: Vec::new(),
            }),
            daemon: true,
            ops_per_txn: Some((1, 3)),
            time_factor: Some(4),
            snapshots: vec!["snapshot-#".into()],
            first_barrier_ms: Some(1000),
            visible: vec!["/usr/bin/kvd".into()],
            details: vec![("start".into(), "kvd".into())],
            ..Description::default()
        }
    }

    fn launch(&self, _place: &Place, _deadline: Instant) -> Result<LaunchAnswer, String> {
        Ok(LaunchAnswer {
            program: "kvd".into(),
            ..LaunchAnswer::default()
        })
    }

    fn open(&self, _place: &Place, _deadline: Instant) -> Result<Box<dyn Store>, String> {
        Err("it does not open".into())
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_line_that_a_driver_of_this_crate_writes_fits() {
    let system = System {
        name: "full",
        about: "everything that there is",
        settings: SETTINGS,
        mutants: &[Mutant {
            name: "no-sync",
            about: "it does not sync",
        }],
        open: |_| Ok(Box::new(Full)),
        inspect: None,
    };
    let calls = [
        Call::Describe { protocol: PROTOCOL },
        Call::Launch,
        Call::Hello { protocol: PROTOCOL },
    ];
    let mut lines = String::new();
    for (id, call) in (1..).zip(calls) {
        let request = Request {
            id,
            client: None,
            timeout_ms: 1000,
            call,
        };
        lines.push_str(&serde_json::to_string(&request).unwrap());
        lines.push('\n');
    }
    let written = Written::default();
    let place = Place { data: ".".into() };
    serve(
        &system,
        &BTreeMap::new(),
        &place,
        lines.as_bytes(),
        written.clone(),
    );
    let (schema, bytes) = (Schema::new(), written.0.lock().unwrap().clone());
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        assert!(schema.fits(&serde_json::from_str(line).unwrap()), "{line}");
    }
}
