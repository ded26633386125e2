//! What the node is asked over HTTP, and what it answers (its `src/AILEEWebServer.cpp`).

use std::io;
use std::net::TcpStream;
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::http::{self, Answer, HttpError, Question, beginning};

/// Why a question has no good answer.
#[derive(Debug, Error)]
pub(super) enum AskError {
    /// There was no connection: the question was certainly not asked.
    #[error("{path}: {error}")]
    Unconnected { path: String, error: HttpError },
    /// There was no answer.
    #[error("{path}: {error}")]
    Gone { path: String, error: HttpError },
    /// There was one that makes no sense.
    #[error("{path} answered {what}")]
    Nonsense { path: String, what: String },
}

/// What `GET /api/l2/state` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct L2State {
    /// The last block.
    pub(super) block_height: u64,
    /// How many transactions are in blocks.
    pub(super) total_transactions: u64,
    /// The last block that is anchored; 0 for none.
    pub(super) last_anchor_height: u64,
}

/// What `GET /api/health` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Status 200 and "healthy".
    Healthy,
    /// Anything else, in words.
    Ill(String),
}

/// What `POST /api/transactions/submit` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// Status 202.
    Accepted,
    /// A status from 400 to 499, or 503: it is certainly not in the mempool by this call.
    Refused(String),
    /// Any other.
    Unclear(String),
}

/// A signed transaction, as the node takes it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Submission {
    pub(super) from_address: String,
    pub(super) to_address: String,
    pub(super) amount: u64,
    pub(super) tx_hash: String,
    pub(super) signature: String,
    pub(super) public_key: String,
}

#[derive(Deserialize)]
struct HealthBody {
    status: String,
}

#[derive(Deserialize)]
struct AnchorBody {
    last_anchor_hash: String,
}

#[derive(Deserialize)]
struct StatusBody {
    running: bool,
}

/// The node, to be asked; each question opens a connection by `connect`.
pub(super) struct Api<C> {
    pub(super) connect: C,
}

impl<C: Fn() -> io::Result<TcpStream>> Api<C> {
    /// Whether it calls itself healthy.
    pub(super) fn health(&self, deadline: Instant) -> Result<Health, AskError> {
        let path = "/api/health";
        let answer = self.get(path, deadline)?;
        let status = match serde_json::from_slice::<HealthBody>(&answer.body) {
            Ok(body) => body.status,
            Err(_) if answer.status != 200 => beginning(&answer.body),
            Err(error) => return Err(nonsense(path, &answer, &error.to_string())),
        };
        Ok(match (answer.status, status.as_str()) {
            (200, "healthy") => Health::Healthy,
            (code, said) => Health::Ill(format!("{path} answers {code}, {said:?}")),
        })
    }

    /// How far its chain has come.
    pub(super) fn state(&self, deadline: Instant) -> Result<L2State, AskError> {
        self.read("/api/l2/state", deadline)
    }

    /// Its last anchor's hash; none where it names none ("N/A").
    pub(super) fn anchor_hash(&self, deadline: Instant) -> Result<Option<String>, AskError> {
        let body: AnchorBody = self.read("/api/anchors/latest", deadline)?;
        let hash = body.last_anchor_hash;
        let named = !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok(named.then_some(hash))
    }

    /// Whether its status says that it runs.
    pub(super) fn running(&self, deadline: Instant) -> Result<bool, AskError> {
        let body: StatusBody = self.read("/api/status", deadline)?;
        Ok(body.running)
    }

    /// Hands in a transaction.
    pub(super) fn submit(
        &self,
        submission: &Submission,
        deadline: Instant,
    ) -> Result<Submitted, AskError> {
        let path = "/api/transactions/submit";
        let body = serde_json::to_string(submission).map_err(|error| AskError::Nonsense {
            path: path.to_owned(),
            what: format!("nothing, for it was not asked: {error}"),
        })?;
        let answer = self.ask("POST", path, &body, deadline)?;
        let said = || format!("{}, {}", answer.status, beginning(&answer.body));
        Ok(match answer.status {
            202 => Submitted::Accepted,
            400..=499 | 503 => Submitted::Refused(said()),
            _ => Submitted::Unclear(said()),
        })
    }

    fn read<T: DeserializeOwned>(&self, path: &str, deadline: Instant) -> Result<T, AskError> {
        let answer = self.get(path, deadline)?;
        if answer.status != 200 {
            return Err(nonsense(path, &answer, "the status is not 200"));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| nonsense(path, &answer, &error.to_string()))
    }

    fn get(&self, path: &str, deadline: Instant) -> Result<Answer, AskError> {
        self.ask("GET", path, "", deadline)
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
        deadline: Instant,
    ) -> Result<Answer, AskError> {
        let question = Question { method, path, body };
        (self.connect)()
            .map_err(HttpError::Unconnected)
            .and_then(|stream| http::ask(stream, question, deadline))
            .map_err(|error| {
                let path = path.to_owned();
                match error {
                    HttpError::Unconnected(_) => AskError::Unconnected { path, error },
                    HttpError::Gone(_) => AskError::Gone { path, error },
                    HttpError::Garbage(what) => AskError::Nonsense {
                        path,
                        what: format!("what is no HTTP: {what}"),
                    },
                }
            })
    }
}

fn nonsense(path: &str, answer: &Answer, why: &str) -> AskError {
    AskError::Nonsense {
        path: path.to_owned(),
        what: format!("{}, {}: {why}", answer.status, beginning(&answer.body)),
    }
}
