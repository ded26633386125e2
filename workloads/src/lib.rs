//! What is written, what was acknowledged, and so what must survive.
//!
//! A [`Txn`] is what a client asks for; the [`History`] holds every call and what came back;
//! a [`Promise`] is what a target documents; a [`Finding`] is a promise that was broken.
//! A [`Generator`] makes up the calls, with values that name their write ([`Value`]);
//! [`Observed`] is what was seen after the failure, and [`judge`] holds it to the promises.
//! Nothing here knows how storage fails or how a target is driven.

mod check;
mod demand;
mod event_log;
mod finding;
mod follow_up;
mod generate;
mod history;
mod last_words;
mod observe;
mod promise;
mod read_file;
mod recent;
mod text;
mod txn;
mod value;

pub use check::{Difference, Judgement, Observation, judge};
pub use demand::{DEMAND_WORDS, DemandError, parse_demand};
pub use event_log::{Event, EventLog, EventOp, LoggedKey};
pub use finding::{Finding, FindingKind, FindingPart, PartKind, Verdict};
pub use follow_up::FollowUp;
pub use generate::{ConfigError, Distribution, Generator, MAX_VALUE_LEN, WorkloadConfig};
pub use history::{Call, Clock, Entry, History, Outcome, Recorder, Stamp};
pub use last_words::last_words;
pub use observe::{Checker, Damage, ID_REST, Observed, ReadBack, Start};
pub use promise::{Durability, FailureClass, Guarantee, Promise};
pub use read_file::{read_file, read_text};
pub use recent::{beginning, recent, settles};
pub use text::Text;
pub use txn::{Op, Txn, Write};
pub use value::{CHECK_LEN, TxnId, Value};
