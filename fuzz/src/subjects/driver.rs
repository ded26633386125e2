//! What a driver writes to its standard output.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugpull_driver::host::client_over_pipes;
use plugpull_driver::protocol::Answer;
use plugpull_driver::{Client, WorkloadLine};
use plugpull_workloads::{Op, Txn, Write as Written};
use serde_json::Value;

use crate::subject::{Reading, Shape, Subject, any};

/// Answers to the calls that a client makes.
pub(crate) const ANSWERS: Subject = Subject {
    name: "driver",
    shape: Shape::Json,
    seeds: answers,
    property: talk,
    mutant: count_on_an_id,
};

/// How long a call may wait. What the driver has to say is there already.
const PATIENCE: Duration = Duration::from_secs(5);

/// A whole conversation, of a driver of each version.
const NEW: &str = concat!(
    r#"{"id":1,"answer":"ok","protocol":2,"name":"kv","version":"1","shapes":["kv"],"#,
    r#""capabilities":["abort","check","delete","barrier"]}"#,
    "\n",
    r#"{"id":2,"answer":"ok"}"#,
    "\n",
    r#"{"id":3,"answer":"ok","value":"x"}"#,
    "\n",
    r#"{"id":4,"answer":"ok","values":{"a":"b","c":"d"}}"#,
    "\n",
    r#"{"id":5,"event":"ack","item":"7"}"#,
    "\n",
    r#"{"id":5,"answer":"ok","complaint":"damaged"}"#,
    "\n",
);
const OLD: &str = concat!(
    r#"{"id":1,"answer":"fail","text":"version 1 only"}"#,
    "\n",
    r#"{"id":2,"answer":"ok","protocol":1,"name":"kv","version":"1","capabilities":[],"#,
    r#""promises":[{"classes":["process-crash"],"guarantee":{"durable":"at-ack"},"words":"w","source":"s"}]}"#,
    "\n",
    r#"{"id":3,"answer":"info","text":"nobody knows"}"#,
    "\n",
    r#"{"id":4,"answer":"ok","value":null}"#,
    "\n",
    r#"{"id":5,"answer":"ok","values":{}}"#,
    "\n",
);

fn answers() -> Vec<Vec<u8>> {
    vec![NEW.as_bytes().to_vec(), OLD.as_bytes().to_vec()]
}

fn talk(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    for line in input.split(|byte| *byte == b'\n') {
        any(Answer::parse(line));
        any(WorkloadLine::parse(&String::from_utf8_lossy(line)));
    }
    converse(input)
}

/// Says hello and makes each kind of call; whatever comes back, it ends.
fn converse(input: &[u8]) -> Result<Reading, String> {
    let failed = |error: std::io::Error| error.to_string();
    let (read, write) = std::io::pipe().map_err(failed)?;
    let (requests, request) = std::io::pipe().map_err(failed)?;
    let began = Instant::now();
    let deadline = began + PATIENCE;
    let reading = std::thread::scope(|scope| {
        scope.spawn(|| answer(input, requests, write));
        match client_over_pipes(OwnedFd::from(read), OwnedFd::from(request), deadline) {
            Ok(mut client) => {
                calls(&mut *client, deadline);
                Reading::Read
            }
            Err(_) => Reading::Refused,
        }
    });
    match began.elapsed() < PATIENCE {
        true => Ok(reading),
        false => Err("a driver that has ended was waited for".into()),
    }
}

/// A driver with these lines: it answers each request by the next of them, and by those before it that
/// are no answers.
fn answer(input: &[u8], requests: PipeReader, mut into: PipeWriter) {
    let mut lines = input.split_inclusive(|byte| *byte == b'\n');
    for request in BufReader::new(requests).lines() {
        let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        let Ok(request) = request.map(|line| value(line.as_bytes())) else {
            return;
        };
        let is_answer = |line: &[u8]| {
            // Without its end it is not whole, and nothing that one waits behind.
            let whole = line.ends_with(b"\n");
            let line = value(line);
            whole && line["answer"].is_string() && line["id"] == request["id"]
        };
        loop {
            // Nobody may be reading any more.
            match lines.next() {
                Some(line) if into.write_all(line).is_ok() => {
                    if is_answer(line) {
                        break;
                    }
                }
                _ => return,
            }
        }
    }
}

fn calls(client: &mut dyn Client, deadline: Instant) {
    let txn = Arc::new(Txn {
        id: 1,
        client: 0,
        ops: vec![Op {
            key: "k".into(),
            write: Written::Delete,
        }],
        abort: false,
    });
    any(client.apply(&txn, deadline));
    any(client.get("k", deadline));
    any(client.read_all(deadline));
    any(client.check(deadline));
    any(client.barrier(deadline));
}

/// A reader that takes each line to have a number.
fn count_on_an_id(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    for line in input.split(|byte| *byte == b'\n') {
        if let Ok(value) = serde_json::from_slice::<Value>(line)
            && value["id"].as_u64().is_none()
        {
            return Err("an answer without a number".into());
        }
    }
    Ok(Reading::Read)
}
