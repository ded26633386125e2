//! One connection to a target that is up, seen from either end.

// tidy: small because it is one trait, for both ends.

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_workloads::{EventLog, Txn};
use thiserror::Error;

/// Why a call gave no good answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClientError {
    /// The target refused: the call certainly had no effect. The connection stays usable.
    #[error("refused: {0}")]
    Fail(String),
    /// The target answered with an error that leaves open whether the call had an effect.
    /// The connection stays usable.
    #[error("unknown: {0}")]
    Info(String),
    /// The connection is gone or the answer did not come in time; whether the call had an effect
    /// is unknown. The client must be thrown away.
    #[error("no answer: {0}")]
    Gone(String),
}

/// One connection to a target that is up. Every call ends by its deadline.
///
/// A driver implements this for its store; plugpull's end of the protocol implements it for the
/// driver. What a driver does not list among its capabilities is never called.
pub trait Client: Send {
    /// Applies a transaction (and rolls it back at its end when `txn.abort`: then `Ok` means
    /// that it was rolled back). `Ok` is the acknowledgement.
    fn apply(&mut self, txn: &Txn, deadline: Instant) -> Result<(), ClientError>;
    /// Makes durable all that was acknowledged before, where the target has such a call.
    fn barrier(&mut self, deadline: Instant) -> Result<(), ClientError>;
    /// The value of one key.
    fn get(&mut self, key: &str, deadline: Instant) -> Result<Option<String>, ClientError>;
    /// Everything the target holds. Bytes that are no UTF-8 come as U+FFFD.
    fn read_all(&mut self, deadline: Instant) -> Result<BTreeMap<String, String>, ClientError>;
    /// The target's own integrity check: `Ok(None)` sound, `Ok(Some(its complaint))` not.
    fn check(&mut self, deadline: Instant) -> Result<Option<String>, ClientError>;
    /// Does one of the driver's actions that are done while the target is up, with the number that
    /// it takes. What was acknowledged before is required all the same.
    fn act(
        &mut self,
        action: &str,
        amount: Option<u32>,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let _ = (amount, deadline);
        Err(ClientError::Fail(format!("there is no action {action}")))
    }
    /// What the target knows of its own past; none where it keeps no log of events.
    fn event_log(&mut self, deadline: Instant) -> Result<Option<EventLog>, ClientError> {
        let _ = deadline;
        Ok(None)
    }
}
