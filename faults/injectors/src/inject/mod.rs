//! What is done to single storage operations: which one is meant, and what becomes of it.

mod injector;
mod rule;

pub use injector::{Control, Held, Injector};
pub use plugpull_crashsim::fs::{BadSectors, SECTOR};
pub use plugpull_sandbox::fuse::OpKind;
pub use rule::{Effect, Matcher, PageOutcome, Rule, RuleId};
