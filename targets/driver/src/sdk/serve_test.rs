//! The main loop, over bytes.

use serde_json::json;

use super::*;

/// A store in memory. One client waits in `apply` for a key that another client writes.
#[derive(Clone, Default)]
struct Memory(Arc<(Mutex<BTreeMap<String, String>>, parking_lot::Condvar)>);

impl Store for Memory {
    fn connect(&self, _client: u32, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        Ok(Box::new(self.clone()))
    }

    fn opaque(&self) -> Option<&dyn super::super::Opaque> {
        Some(self)
    }
}

impl super::super::Opaque for Memory {
    fn work(&self, life: u64, events: &Events) -> Result<(), ClientError> {
        events.trying("a");
        events.ack("a");
        events.barrier();
        Err(ClientError::Fail(format!("life {life} has no more")))
    }

    fn check(&self, acked: &[String], _deadline: Instant) -> Result<OpaqueCheck, ClientError> {
        Ok(OpaqueCheck {
            lost: acked.iter().map(|id| (id.clone(), "gone".into())).collect(),
            ..OpaqueCheck::default()
        })
    }
}

impl Client for Memory {
    fn apply(
        &mut self,
        txn: &plugpull_workloads::Txn,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let mut values = self.0.0.lock();
        for op in &txn.ops {
            match &op.write {
                plugpull_workloads::Write::Put(value) if op.key == "wait-for" => {
                    while !values.contains_key(&*value.text()) {
                        if self.0.1.wait_until(&mut values, deadline).timed_out() {
                            return Err(ClientError::Gone("nobody wrote it".into()));
                        }
                    }
                }
                plugpull_workloads::Write::Put(value) => {
                    values.insert(op.key.clone(), value.text().into_owned());
                    self.0.1.notify_all();
                }
                plugpull_workloads::Write::Delete => drop(values.remove(&op.key)),
            }
        }
        Ok(())
    }

    fn barrier(&mut self, _deadline: Instant) -> Result<(), ClientError> {
        Err(ClientError::Info("half done".into()))
    }

    fn get(&mut self, key: &str, _deadline: Instant) -> Result<Option<String>, ClientError> {
        Ok(self.0.0.lock().get(key).cloned())
    }

    fn read_all(&mut self, _deadline: Instant) -> Result<BTreeMap<String, String>, ClientError> {
        Ok(self.0.0.lock().clone())
    }

    fn check(&mut self, _deadline: Instant) -> Result<Option<String>, ClientError> {
        Ok(None)
    }
}

struct MemoryDriver(bool);

impl Driver for MemoryDriver {
    fn describe(&self) -> Description {
        Description {
            version: "1".into(),
            shapes: vec!["kv".into()],
            ..Description::default()
        }
    }

    fn open(&self, _place: &Place, _deadline: Instant) -> Result<Box<dyn Store>, String> {
        match self.0 {
            true => Err("page 1 is damaged".into()),
            false => Ok(Box::new(Memory::default())),
        }
    }
}

const SYSTEM: System = System {
    name: "memory",
    about: "nothing that lasts",
    settings: &[crate::Setting {
        name: "damaged",
        values: "yes, no",
        default: "no",
        about: "whether it opens",
    }],
    mutants: &[],
    open: |values| {
        let given = crate::Given::new("memory", SYSTEM.settings, values)?;
        let damaged = given.one_of("damaged", &[("yes", true), ("no", false)])?;
        Ok(Box::new(MemoryDriver(damaged)))
    },
    inspect: None,
};

/// What is written, and can be read while it is.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The answers to these lines, by id, and whether the driver ended well. Standard input ends when
/// all are there.
fn talk(setting: &str, lines: &[Value], answers: usize) -> (Vec<Value>, ExitCode) {
    let (input, mut requests) = io::pipe().expect("a pipe");
    let written = Written::default();
    let output = written.clone();
    let values = values(&[setting.to_owned()]).expect("a setting");
    let place = Place { data: ".".into() };
    let driver = thread::spawn(move || serve(&SYSTEM, &values, &place, input, output));
    for line in lines {
        writeln!(requests, "{line}").expect("a reader");
    }
    let read = || -> Vec<Value> {
        let bytes = written.0.lock().clone();
        let lines = bytes.split(|byte| *byte == b'\n');
        let whole = lines.filter(|line| !line.is_empty());
        whole
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect()
    };
    while read().len() < answers && !driver.is_finished() {
        thread::yield_now();
    }
    drop(requests);
    let code = driver.join().expect("a driver");
    let mut all = read();
    all.sort_by_key(|line| line["id"].as_u64());
    (all, code)
}

fn request(id: u64, client: Option<u32>, call: Value) -> Value {
    let mut line = json!({"id": id, "timeout_ms": 20_000});
    if let Some(client) = client {
        line["client"] = json!(client);
    }
    for (name, value) in call.as_object().expect("an object") {
        line[name] = value.clone();
    }
    line
}

#[test]
fn a_client_that_waits_keeps_no_other_waiting() {
    let hello = json!({"call": "hello", "protocol": 2});
    let apply = |key: &str, value: &str| json!({"call": "apply", "txn": 1, "abort": false, "writes": [{"key": key, "put": value}]});
    let lines = [
        request(1, None, hello),
        request(2, Some(0), json!({"call": "get", "key": "a"})),
        request(3, Some(1), json!({"call": "get", "key": "a"})),
        request(4, Some(0), apply("wait-for", "a")),
        request(5, Some(1), apply("a", "1")),
        request(6, Some(2), json!({"call": "barrier"})),
        request(7, Some(2), json!({"call": "fly"})),
    ];
    let (all, code) = talk("damaged=no", &lines, 7);
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(all[0]["build"], BUILD);
    assert_eq!(all[1], json!({"id": 2, "answer": "ok", "value": null}));
    assert_eq!(all[3], json!({"id": 4, "answer": "ok"}));
    assert_eq!(all[4], json!({"id": 5, "answer": "ok"}));
    assert_eq!(
        all[5],
        json!({"id": 6, "answer": "info", "text": "half done"})
    );
    assert_eq!(all[6]["answer"], "fail");
    assert_eq!(all[6]["id"], 7);
}

#[test]
fn a_store_that_does_not_open_ends_the_driver() {
    let hello = request(1, None, json!({"call": "hello", "protocol": 2}));
    let (all, code) = talk("damaged=yes", &[hello], 1);
    assert_eq!(all, [] as [Value; 0]);
    assert_eq!(code, ExitCode::FAILURE);
}

#[test]
fn what_is_described_has_the_values_of_every_setting() {
    let describe = request(1, None, json!({"call": "describe", "protocol": 2}));
    let (all, _) = talk("damaged=yes", std::slice::from_ref(&describe), 1);
    assert_eq!(all[0]["values"], json!({"damaged": "yes"}));
    assert_eq!(all[0]["settings"][0]["default"], "no");
    // And what is wrong with one is the answer.
    let (all, _) = talk("demaged=yes", &[describe], 1);
    assert_eq!(all[0]["answer"], "fail");
    let text = all[0]["text"].as_str().expect("a text");
    assert!(text.contains("did you mean \"damaged\""), "{text}");
}

#[test]
fn an_opaque_workload_says_what_happens_before_it_ends() {
    let hello = request(1, None, json!({"call": "hello", "protocol": 2}));
    let work = request(2, None, json!({"call": "work", "life": 3}));
    let check = request(3, Some(0), json!({"call": "check", "acked": ["a"]}));
    let (all, _) = talk("damaged=no", &[hello, work, check], 6);
    let of_work: Vec<&Value> = all.iter().filter(|line| line["id"] == 2).collect();
    assert_eq!(*of_work[0], json!({"id": 2, "event": "try", "item": "a"}));
    assert_eq!(*of_work[1], json!({"id": 2, "event": "ack", "item": "a"}));
    assert_eq!(*of_work[2], json!({"id": 2, "event": "barrier"}));
    assert_eq!(of_work[3]["text"], "life 3 has no more");
    assert_eq!(all.last().expect("a check")["lost"]["a"], "gone");
}
