//! The real `ailee_node`, over HTTP.
//!
//! It is no key-value store, so it brings its own workload and check ([`Scripted`]): signed
//! transactions are handed in until the node tells of an anchor, and what it says of its chain after
//! a crash is held against what it said before.

mod api;
mod check;
mod http;
mod promises;
mod running;
mod said;
mod sign;
mod work;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use plugpull_workloads::Promise;
use xxhash_rust::xxh3::xxh3_64;

pub(crate) use work::{WORKLOAD, main as workload};

use super::Settings;
use crate::reference_daemon::REFERENCE;
use crate::{Answer, Scripted};
use crate::{Host, Launch, Process, Program, Running, StartError};
use api::Api;
use plugpull_driver::program;

/// How long the first anchor may take: it comes with the hundredth block, and each takes a second
/// (the node's `src/main.cpp`, which takes neither number from outside).
const FIRST_ANCHOR_LIMIT: Duration = Duration::from_secs(180);

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

    /// Why it cannot be started, in words; none when it can.
    pub(super) fn missing(&self) -> Option<String> {
        let found = program::find(&self.bin);
        found.is_none().then(|| program::missing(&self.bin))
    }

    pub(super) fn promises(&self) -> Vec<Promise> {
        promises::all()
    }

    pub(super) fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        let program = program::find(&self.bin)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, program::missing(&self.bin)))?;
        Ok(Box::new(running::start(
            host, &program, self.port, deadline,
        )?))
    }
}

impl Scripted for Node {
    fn serves(&self) -> bool {
        true
    }

    fn recovers(&self) -> bool {
        true
    }

    fn first_barrier(&self) -> Option<Duration> {
        self.anchored.then_some(FIRST_ANCHOR_LIMIT)
    }

    fn work(&self, host: &dyn Host, life: u64) -> io::Result<Box<dyn Process>> {
        let args = [
            REFERENCE.to_owned(),
            WORKLOAD.to_owned(),
            self.port.to_string(),
            life.to_string(),
        ];
        let launch = Launch {
            program: Program::Myself,
            args: args.into(),
            env: Vec::new(),
            cwd: None,
        };
        host.spawn_beside(&launch, None)
    }

    fn check(&self, host: &dyn Host, acked: &[String]) -> io::Result<Answer> {
        let api = Api {
            connect: || host.connect(self.port),
        };
        Ok(check::check(&api, acked))
    }

    fn visible(&self) -> Vec<PathBuf> {
        program::find(&self.bin).into_iter().collect()
    }

    fn described(&self) -> Vec<(String, String)> {
        let when = match self.anchored {
            true => "the first anchor, after some 100 s",
            false => "the first transactions",
        };
        let words = [
            ("start", format!("{} on port {}", self.bin, self.port)),
            ("ready when", "GET /api/health answers".to_owned()),
            (
                "workload",
                "signed transactions; an ack is status 202, a barrier an anchor".to_owned(),
            ),
            ("faults strike after", when.to_owned()),
            (
                "check",
                "/api/health, /api/l2/state, /api/anchors/latest and /api/status against what they \
                 said before"
                    .to_owned(),
            ),
        ];
        words.map(|(name, text)| (name.to_owned(), text)).into()
    }
}
