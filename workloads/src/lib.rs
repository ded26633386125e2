//! What is written, what was acknowledged, and so what must survive.
//!
//! A [`Txn`] is what a client asks for; the [`History`] holds every call and what came back;
//! a [`Promise`] is what a target documents; a [`Finding`] is a promise that was broken.
//! Nothing here knows how storage fails or how a target is driven.

mod finding;
mod history;
mod promise;
mod txn;

pub use finding::{Finding, FindingKind, Verdict};
pub use history::{Call, Clock, Entry, History, Outcome, Recorder, Stamp};
pub use promise::{Durability, FailureClass, Guarantee, Promise};
pub use txn::{Op, Txn, TxnId, Write};
