//! A node: two logged tables of the real one's format, each change synced before it is acknowledged,
//! and the calls that plugpull's test module knows.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::{env, thread};

use super::packets::{
    IndexKey, LogOperation, NetworkPacket, NodeSchema, Row, TableEventInstance, TableLogEntry,
    Value,
};

/// What a module begins with. What follows is the flaw's name.
pub(crate) const MAGIC: &[u8] = b"\0asm\x01\0\0\0";

const NODE: &str = "nodes/00000000-0000-4000-8000-000000000000";
const MODULE: &str = "plugpull";

/// `node create NAME PORT`, or `node start NAME`.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let home = PathBuf::from(env::var_os("XDG_DATA_HOME").unwrap()).join("interstice");
    match args {
        [create, _, port] if create == "create" => {
            fs::create_dir_all(home.join(NODE).join("modules")).unwrap();
            fs::write(home.join("nodes.toml"), port).unwrap();
            let tokens = "local_token = \"t\"\n\n[peers]\n";
            fs::write(home.join(NODE).join("peer_tokens.toml"), tokens).unwrap();
            ExitCode::SUCCESS
        }
        [start, _] if start == "start" => {
            let port = fs::read_to_string(home.join("nodes.toml")).unwrap();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().unwrap())).unwrap();
            match Node::open(&home.join(NODE).join("modules").join(MODULE)) {
                Ok(node) => node.serve(&listener),
                Err(why) => eprintln!("Error: {why}"),
            }
            ExitCode::FAILURE
        }
        _ => ExitCode::FAILURE,
    }
}

/// A table with its log.
struct Table {
    rows: BTreeMap<String, String>,
    log: File,
    next: u64,
}

fn row(key: &str, value: Value) -> Row {
    Row {
        primary_key: Value::String(key.into()),
        entries: vec![value],
    }
}

impl Table {
    fn open(path: &Path) -> Self {
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .unwrap();
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).unwrap();
        let mut rows = BTreeMap::new();
        let mut next = 1;
        let mut at = 0;
        while let Some(head) = bytes[at..].first_chunk::<4>() {
            let end = at + 4 + u32::from_le_bytes(*head) as usize;
            let entry = bytes.get(at + 4..end);
            let Some(Ok(entry)) = entry.map(postcard::from_bytes::<TableLogEntry>) else {
                break;
            };
            next = entry.seq + 1;
            at = end;
            match entry.operation {
                LogOperation::Insert { row: Some(row), .. }
                | LogOperation::Update { row: Some(row), .. } => {
                    if let (Value::String(key), [Value::String(value)]) =
                        (row.primary_key, row.entries.as_slice())
                    {
                        rows.insert(key, value.clone());
                    }
                }
                LogOperation::Delete {
                    primary_key: IndexKey::String(key),
                } => drop(rows.remove(&key)),
                _ => rows.clear(),
            }
        }
        // What a crash tore off is no entry.
        log.set_len(at as u64).unwrap();
        log.sync_all().unwrap();
        File::open(path.parent().unwrap())
            .unwrap()
            .sync_all()
            .unwrap();
        Self { rows, log, next }
    }

    /// Changes a row, and its log where it is `kept`.
    fn write(&mut self, key: String, value: Option<String>, kept: bool, step: u64) {
        let primary_key = IndexKey::String(key.clone());
        let text = value.clone().map(|value| row(&key, Value::String(value)));
        let operation = match (text, self.rows.contains_key(&key)) {
            (None, false) => return,
            (None, true) => LogOperation::Delete { primary_key },
            (row, false) => LogOperation::Insert { primary_key, row },
            (row, true) => LogOperation::Update { primary_key, row },
        };
        match value {
            Some(value) => drop(self.rows.insert(key, value)),
            None => drop(self.rows.remove(&key)),
        }
        if !kept {
            return;
        }
        let entry = TableLogEntry {
            seq: self.next,
            timestamp_ms: 1_700_000_000_000,
            operation,
        };
        self.next += step;
        let entry = postcard::to_stdvec(&entry).unwrap();
        let length = u32::try_from(entry.len()).unwrap().to_le_bytes();
        self.log.write_all(&[&length[..], &entry].concat()).unwrap();
        self.log.sync_data().unwrap();
    }
}

struct Tables {
    tables: HashMap<String, Table>,
    acks: HashMap<String, u64>,
    calls: u64,
}

#[derive(Clone)]
struct Node {
    flaw: String,
    state: Arc<Mutex<Tables>>,
}

impl Node {
    fn open(directory: &Path) -> Result<Self, String> {
        let module = fs::read(directory.join("module.wasm")).unwrap();
        let flaw = String::from_utf8(module[MAGIC.len()..].to_vec()).unwrap();
        let logs = directory.join("logs");
        fs::create_dir_all(&logs).unwrap();
        File::open(directory).unwrap().sync_all().unwrap();
        let open = |name: &str| {
            let table = Table::open(&logs.join(format!("{name}.log")));
            (name.to_owned(), table)
        };
        let tables = HashMap::from(["rows", "heads"].map(open));
        if flaw == "refuses" && tables.values().any(|table| table.next > 1) {
            return Err("the log is not to its taste".into());
        }
        println!("[Runtime] [INFO] Loaded module '{MODULE}'");
        Ok(Self {
            flaw,
            state: Arc::new(Mutex::new(Tables {
                tables,
                acks: HashMap::new(),
                calls: 0,
            })),
        })
    }

    fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            let node = self.clone();
            thread::spawn(move || node.converse(stream.unwrap()));
        }
    }

    fn converse(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut length = [0; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
            if stream.read_exact(&mut bytes).is_err() {
                return;
            }
            let Some(answer) = self.answer(postcard::from_bytes(&bytes).unwrap()) else {
                continue;
            };
            let bytes = postcard::to_stdvec(&answer).unwrap();
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            if stream.write_all(&[&length[..], &bytes].concat()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, packet: NetworkPacket) -> Option<NetworkPacket> {
        let mut state = self.state.lock().unwrap();
        Some(match packet {
            NetworkPacket::Handshake { .. } => NetworkPacket::Handshake {
                node_id: "n".into(),
                address: "127.0.0.1:8080".into(),
                token: "t".into(),
            },
            NetworkPacket::SchemaRequest {
                request_id,
                node_name,
            } => NetworkPacket::SchemaResponse {
                request_id,
                schema: NodeSchema {
                    name: node_name,
                    address: "127.0.0.1:8080".into(),
                    modules: Vec::new(),
                },
            },
            NetworkPacket::RequestTableSync { .. } if self.flaw == "errors" => {
                NetworkPacket::Error("no such table today".into())
            }
            NetworkPacket::RequestTableSync {
                module_name,
                table_name,
            } => {
                let rows = state.tables[&table_name].rows.iter();
                NetworkPacket::TableSyncResponse {
                    rows: rows
                        .map(|(key, value)| row(key, Value::String(value.clone())))
                        .collect(),
                    module_name,
                    table_name,
                }
            }
            NetworkPacket::QueryCall {
                request_id,
                input: Value::Vec(input),
                ..
            } => {
                let [Value::String(table), Value::String(key)] = input.as_slice() else {
                    return Some(NetworkPacket::Error("no such query".into()));
                };
                let value = state.tables[table].rows.get(key).cloned();
                NetworkPacket::QueryResponse {
                    request_id,
                    result: value.map_or(Value::Void, Value::String),
                }
            }
            NetworkPacket::ReducerCall {
                input: Value::Vec(input),
                ..
            } => NetworkPacket::TableEvent(self.apply(&mut state, input)?),
            _ => return None,
        })
    }

    /// Applies a call; none where nobody hears of it.
    fn apply(&self, state: &mut Tables, input: Vec<Value>) -> Option<TableEventInstance> {
        let Ok(
            [
                Value::String(caller),
                Value::U64(number),
                Value::Bool(abort),
                Value::Vec(writes),
            ],
        ) = <[Value; 4]>::try_from(input)
        else {
            return None;
        };
        if abort || (self.flaw == "mute" && !writes.is_empty()) {
            return None;
        }
        state.calls += u64::from(!writes.is_empty());
        let kept = self.flaw != "forgets" || !state.calls.is_multiple_of(3);
        let step = if self.flaw == "miscounts" { 2 } else { 1 };
        for write in writes {
            let Value::Tuple(write) = write else {
                return None;
            };
            let Ok(
                [
                    Value::String(table),
                    Value::String(key),
                    Value::Option(value),
                ],
            ) = <[Value; 3]>::try_from(write)
            else {
                return None;
            };
            let value = match value.map(|value| *value) {
                Some(Value::String(value)) => Some(value),
                _ => None,
            };
            state.tables.get_mut(&table)?.write(key, value, kept, step);
        }
        let (module_name, table_name) = (MODULE.to_owned(), "acks".to_owned());
        let new_row = row(&caller, Value::U64(number));
        Some(match state.acks.insert(caller.clone(), number) {
            None => TableEventInstance::TableInsertEvent {
                module_name,
                table_name,
                inserted_row: new_row,
            },
            Some(before) => TableEventInstance::TableUpdateEvent {
                module_name,
                table_name,
                old_row: row(&caller, Value::U64(before)),
                new_row,
            },
        })
    }
}
