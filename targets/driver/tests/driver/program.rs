//! A small driver that is right, or wrong in one way.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Every flaw, and the rule that it breaks.
pub(crate) const FLAWS: [(&str, &str); 27] = [
    ("nameless", "describe"),
    ("no-version", "hello"),
    ("strange-capability", "hello"),
    ("barrier-promised", "hello"),
    ("other-protocol", "hello"),
    ("banner", "hello"),
    ("silent", "hello"),
    ("wrong-id", "hello"),
    ("leftover", "empty"),
    ("forgets", "get"),
    ("unasked", "once"),
    ("hides", "read-all"),
    ("numbers", "read-all"),
    ("first-wins", "overwrite"),
    ("trims", "exact-values"),
    ("cuts", "exact-values"),
    ("first-only", "transaction"),
    ("keeps", "delete"),
    ("commits", "abort"),
    ("separate", "clients"),
    ("no-barrier", "barrier"),
    ("complains", "check"),
    ("act-forgets", "actions"),
    ("drops", "out-of-order"),
    ("strict", "unknown-field"),
    ("dies-of-calls", "unknown-call"),
    ("dies-of-lines", "bad-line"),
];

/// Flaws of a later life.
pub(crate) const LATER_FLAWS: [(&str, &str); 2] = [("volatile", "restart"), ("endless", "end")];

struct Driver {
    flaw: String,
    /// What each client sees; all see the same, unless that is the flaw.
    values: BTreeMap<u64, BTreeMap<String, String>>,
    outstanding: u32,
}

/// Runs the driver to the end of its standard input.
pub(crate) fn run(flaw: &str) -> ExitCode {
    if flaw == "daemon" {
        fs::write("daemon", "up").unwrap();
        thread::sleep(Duration::from_secs(600));
    }
    if flaw == "exits" {
        eprintln!("the store is damaged");
        return ExitCode::from(7);
    }
    let mut driver = Driver {
        flaw: flaw.to_owned(),
        values: BTreeMap::new(),
        outstanding: 0,
    };
    if let Ok(bytes) = fs::read("data") {
        driver.values = serde_json::from_slice(&bytes).unwrap();
    }
    if flaw == "banner" {
        say("welcome");
    }
    // A driver for a daemon waits for it.
    while flaw == "beside" && !fs::exists("daemon").unwrap() {
        thread::sleep(Duration::from_millis(1));
    }
    for line in io::stdin().lock().lines() {
        let Ok(request) = serde_json::from_str::<Value>(&line.unwrap()) else {
            if flaw == "dies-of-lines" {
                return ExitCode::FAILURE;
            }
            say(&json!({"id": null, "answer": "fail", "text": "no request"}).to_string());
            continue;
        };
        if flaw == "dies-of-calls" && request["call"] == "plugpull_unknown" {
            return ExitCode::FAILURE;
        }
        if let Some(mut answer) = driver.answer(&request) {
            answer["id"] = request["id"].clone();
            if flaw == "wrong-id" {
                answer["id"] = json!(77);
            }
            say(&answer.to_string());
            if flaw == "unasked" && request["call"] == "get" {
                say(&answer.to_string());
            }
        }
        if flaw == "garbles" && request["call"] == "apply" {
            say("done!");
        }
        if flaw == "dies" && request["call"] == "apply" {
            return ExitCode::FAILURE;
        }
    }
    if flaw == "endless" {
        thread::sleep(Duration::from_secs(600));
    }
    ExitCode::SUCCESS
}

fn say(line: &str) {
    let mut stdout = io::stdout();
    #[expect(
        clippy::let_underscore_must_use,
        reason = "a host that listens no more misses nothing"
    )]
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

impl Driver {
    fn is(&self, flaw: &str) -> bool {
        self.flaw == flaw
    }

    /// It speaks version 2.
    fn is_second(&self) -> bool {
        ["second", "daemon-driver", "act-forgets"].contains(&self.flaw.as_str())
    }

    fn answer(&mut self, request: &Value) -> Option<Value> {
        if self.is("strict") && request.get("later").is_some() {
            return Some(json!({"answer": "fail", "text": "later?"}));
        }
        let client = request["client"].as_u64().unwrap_or(0);
        let place = if self.is("separate") { client } else { 0 };
        match request["call"].as_str().unwrap_or("") {
            _ if self.is("silent") => None,
            "describe" if self.is("nameless") => Some(json!({"answer": "ok", "protocol": 2})),
            "describe" if self.is_second() => Some(self.describe()),
            "launch" => Some(json!({
                "answer": "ok",
                "program": std::env::current_exe().unwrap(),
                "args": ["--driver=daemon"],
            })),
            "act" if self.is("act-forgets") => {
                self.values.clear();
                Some(json!({"answer": "ok"}))
            }
            "act" => {
                fs::write("acted", request.to_string()).unwrap();
                Some(json!({"answer": "ok"}))
            }
            "hello" if self.is_second() => Some(json!({
                "answer": "ok",
                "protocol": request["protocol"],
                "name": "test",
                "version": "4",
                "shapes": ["kv", "unheard-of"],
                "capabilities": ["abort", "barrier", "check", "delete", "teleport"],
            })),
            "hello" if self.is("refuses") => Some(json!({"answer": "fail", "text": "not today"})),
            "hello" => Some(self.hello()),
            "apply" => self.apply(request, place),
            "get" if self.is("slow") && request["key"] == "slow" => {
                thread::sleep(Duration::from_millis(300));
                Some(json!({"answer": "ok", "value": "late"}))
            }
            "get" => {
                let value = self
                    .values
                    .entry(place)
                    .or_default()
                    .get(request["key"].as_str()?);
                Some(json!({"answer": "ok", "value": value}))
            }
            "read_all" => {
                let mut values = json!(self.values.entry(place).or_default());
                if self.is("leftover") {
                    values["old"] = json!("data");
                }
                if self.is("hides") {
                    values.as_object_mut()?.remove("two");
                }
                if self.is("numbers") && values.get("two").is_some() {
                    values["two"] = json!(2);
                }
                Some(json!({"answer": "ok", "values": values}))
            }
            "barrier" if self.is("no-barrier") => {
                Some(json!({"answer": "info", "text": "who knows"}))
            }
            "barrier" => Some(json!({"answer": "ok"})),
            "check" => {
                let complaint = self.is("complains").then_some("it squeaks");
                Some(json!({"answer": "ok", "complaint": complaint}))
            }
            _ => Some(json!({"answer": "fail", "text": "no such call"})),
        }
    }

    fn describe(&self) -> Value {
        json!({
            "answer": "ok",
            "protocol": 2,
            "name": "test",
            "version": "4",
            "daemon": self.is("daemon-driver"),
            "shapes": ["kv", "unheard-of"],
            "capabilities": ["abort", "barrier", "check", "delete", "teleport"],
            "actions": [
                {"name": "reorg", "when": "down", "depth": true},
                {"name": "compact", "when": "up"},
            ],
            "ops_per_txn": [2, 9],
            "time_factor": 3,
            "snapshots": ["s-#"],
            "promises": [{
                "classes": ["process-crash"],
                "guarantee": {"durable": "at-ack"},
                "words": "kept",
                "source": "here",
            }],
        })
    }

    fn hello(&self) -> Value {
        let mut capabilities = vec!["abort", "barrier", "check", "delete"];
        if self.is("modest") || self.is("barrier-promised") {
            capabilities.clear();
        }
        if self.is("strange-capability") {
            capabilities.push("fly");
        }
        let at = if self.is("barrier-promised") {
            "at-barrier"
        } else {
            "at-ack"
        };
        let mut hello = json!({
            "answer": "ok",
            "protocol": if self.is("other-protocol") { 2 } else { 1 },
            "name": "test",
            "version": "3",
            "capabilities": capabilities,
            "promises": [{
                "classes": ["process-crash"],
                "guarantee": {"durable": at},
                "words": "kept",
                "source": "here",
            }],
        });
        if self.is("no-version") {
            hello.as_object_mut().unwrap().remove("version");
        }
        hello
    }

    fn apply(&mut self, request: &Value, place: u64) -> Option<Value> {
        if request["txn"].as_u64()? >= 1_000_000 && self.is("drops") {
            self.outstanding += 1;
            if self.outstanding == 5 {
                return None;
            }
        }
        if self.is("moody") {
            return Some(match request["txn"].as_u64()? % 3 {
                1 => json!({"answer": "fail", "text": "one"}),
                2 => json!({"answer": "info", "text": "two"}),
                _ => json!({"answer": "ok"}),
            });
        }
        if request["abort"] == true && !self.is("commits") {
            return Some(json!({"answer": "ok"}));
        }
        for (number, write) in request["writes"].as_array()?.iter().enumerate() {
            let key = write["key"].as_str()?.to_owned();
            let (forgets, first_wins) = (self.is("forgets"), self.is("first-wins"));
            let (trims, cuts, keeps) = (self.is("trims"), self.is("cuts"), self.is("keeps"));
            if number > 0 && self.is("first-only") {
                break;
            }
            let values = self.values.entry(place).or_default();
            match write["put"].as_str() {
                Some(_) if forgets => {}
                Some(_) if first_wins && values.contains_key(&key) => {}
                Some(text) => {
                    let text = if trims { text.trim() } else { text };
                    let length = if cuts {
                        text.len().min(65_536)
                    } else {
                        text.len()
                    };
                    let text = text.get(..length).unwrap_or(text);
                    values.insert(key, text.to_owned());
                }
                None if keeps => {}
                None => drop(values.remove(&key)),
            }
        }
        if !self.is("volatile") {
            fs::write("data", serde_json::to_vec(&self.values).unwrap()).unwrap();
        }
        Some(json!({"answer": "ok"}))
    }
}
