//! What is done to single storage operations: which one is meant, and what becomes of it.

mod rule;

pub use rule::{BadSectors, Effect, Matcher, OpKind, PageOutcome, Rule, RuleId, SECTOR};
