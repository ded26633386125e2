//! The real `ailee_node`, over HTTP.
//!
//! It is no key-value store, so it brings its own workload and check ([`Opaque`]): signed
//! transactions are handed in until the node tells of an anchor, and what it says of its chain after
//! a crash is held against what it said before.

mod api;
mod check;
mod http;
mod id;
mod sign;
mod work;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use plugpull_driver::protocol::{LaunchAnswer, OpaqueCheck};
use plugpull_driver::sdk::{Events, Opaque, Store};
use plugpull_driver::{Client, ClientError, program};
use xxhash_rust::xxh3::xxh3_64;

use super::Settings;
use api::Api;
use work::{LOOK_EVERY, Workload};

/// How long the first anchor may take, in milliseconds: it comes with the hundredth block, and each
/// takes a second (the node's `src/main.cpp`, which takes neither number from outside).
const FIRST_ANCHOR_LIMIT_MS: u64 = 180_000;
/// How often the node is asked whether it is ready. Nothing tells when it takes connections.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// How long one answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// What it prints when everything is set up, its databases first.
const SET_UP: &str = "AILEE Engine started successfully";
/// What it prints when it goes on without one of its databases (`initStorage` and
/// `initReorgDetector` in its `src/main.cpp`). It serves then, and says so in its log alone: it has not
/// recovered.
const WITHOUT: &[&str] = &[
    "Failed to initialize PersistentStorage",
    "ReorgDetector initialization failed",
    "Failed to initialize ReorgDetector",
];

/// The node, as its settings name it.
pub(super) struct Node {
    bin: String,
    port: u16,
    anchored: bool,
}

impl Node {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            bin: settings.bin.clone(),
            port: settings.port,
            anchored: settings.anchored,
        }
    }

    /// Its program, and which build of it: a hash of the file (XXH3, 64 bits).
    pub(super) fn version(&self) -> String {
        let bytes = program::find(&self.bin).and_then(|path| std::fs::read(path).ok());
        let build = bytes.map_or(String::new(), |b| format!(" {:016x}", xxh3_64(&b)));
        let when = match self.anchored {
            true => "",
            false => ", not waiting for an anchor",
        };
        format!("ailee_node, {}{build}{when}", self.bin)
    }

    /// Why it cannot be started; none when it can.
    pub(super) fn missing(&self) -> Option<String> {
        let found = program::find(&self.bin);
        found.is_none().then(|| program::missing(&self.bin))
    }

    /// Its program, by absolute path.
    pub(super) fn absolute(&self) -> Option<String> {
        program::find(&self.bin).map(|path| path.display().to_string())
    }

    pub(super) fn first_barrier_ms(&self) -> Option<u64> {
        self.anchored.then_some(FIRST_ANCHOR_LIMIT_MS)
    }

    pub(super) fn visible(&self) -> Vec<PathBuf> {
        program::find(&self.bin).into_iter().collect()
    }

    /// What it is made of, for people.
    pub(super) fn details(&self) -> Vec<(String, String)> {
        let when = match self.anchored {
            true => "the first anchor, after some 100 s",
            false => "the first transactions",
        };
        let details = [
            ("start", format!("{} on port {}", self.bin, self.port)),
            ("ready when", "GET /api/health answers".to_owned()),
            (
                "workload",
                "signed transactions; an ack is status 202, a barrier an anchor".to_owned(),
            ),
            ("faults come after", when.to_owned()),
            (
                "check",
                "/api/health, /api/l2/state, /api/anchors/latest and /api/status against what they \
                 said before"
                    .to_owned(),
            ),
        ];
        details.map(|(name, text)| (name.to_owned(), text)).into()
    }

    pub(super) fn launch(&self) -> LaunchAnswer {
        LaunchAnswer {
            program: self.bin.clone(),
            env: BTreeMap::from([
                ("AILEE_WEB_SERVER_HOST".into(), "127.0.0.1".into()),
                ("AILEE_WEB_SERVER_PORT".into(), self.port.to_string()),
            ]),
            settled_line: Some(SET_UP.into()),
            refusal_lines: WITHOUT.iter().map(|line| (*line).to_owned()).collect(),
            ..LaunchAnswer::default()
        }
    }

    /// Waits until it answers `GET /api/health`, whatever it answers there.
    pub(super) fn wait(&self, deadline: Instant) -> Result<Answering, String> {
        let answering = Answering { port: self.port };
        let api = answering.api();
        while Instant::now() < deadline {
            let limit = deadline.min(Instant::now() + ANSWER_LIMIT);
            if api.health(limit).is_ok() {
                return Ok(answering);
            }
            sleep(ASK_EVERY);
        }
        Err("it does not answer GET /api/health".into())
    }
}

/// A node that answers.
pub(super) struct Answering {
    port: u16,
}

impl Answering {
    fn api(&self) -> Api<impl Fn() -> io::Result<TcpStream> + use<>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Api {
            connect: move || TcpStream::connect_timeout(&address, ANSWER_LIMIT),
        }
    }
}

impl Store for Answering {
    fn connect(&self, _client: u32, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        Err(ClientError::Fail(
            "the node is written to by its own workload".into(),
        ))
    }

    fn opaque(&self) -> Option<&dyn Opaque> {
        Some(self)
    }
}

impl Opaque for Answering {
    fn work(&self, life: u64, events: &Events) -> Result<(), ClientError> {
        let api = self.api();
        let mut workload = Workload::new(&api, life, events).map_err(ClientError::Fail)?;
        loop {
            workload.look().map_err(ClientError::Fail)?;
            sleep(LOOK_EVERY);
        }
    }

    fn check(&self, acked: &[String], _deadline: Instant) -> Result<OpaqueCheck, ClientError> {
        Ok(check::check(&self.api(), acked))
    }
}
