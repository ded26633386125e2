//! SQLite, through rusqlite with SQLite's own source bundled, in a worker process of its own.

mod promises;
mod session;
mod settings;
mod store;

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_workloads::Promise;

use crate::wire::start_worker;
use crate::{Host, Running, StartError, Target, UsageError};

pub use settings::{Journal, SETTINGS, Settings, Synchronous};
pub use store::SqliteStore;

/// Its name on the command line.
pub const NAME: &str = "sqlite";
/// What it is, in one line.
pub const ABOUT: &str = "SQLite, bundled, in a process of its own";

/// SQLite with its settings.
pub struct Sqlite {
    settings: Settings,
    given: Vec<String>,
}

impl Sqlite {
    /// SQLite with these settings, each of which is checked.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            given: values
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        })
    }
}

impl Target for Sqlite {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        let Settings {
            journal,
            synchronous,
            ..
        } = self.settings;
        let mut text = format!(
            "SQLite {}, journal_mode={}, synchronous={}",
            rusqlite::version(),
            journal.word(),
            synchronous.word(),
        );
        for other in self
            .given
            .iter()
            .filter(|g| !g.starts_with("journal_mode=") && !g.starts_with("synchronous="))
        {
            text.push_str(", ");
            text.push_str(other);
        }
        text
    }

    fn promises(&self) -> Vec<Promise> {
        promises::of(&self.settings)
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        Ok(Box::new(start_worker(host, NAME, &self.given, deadline)?))
    }
}
