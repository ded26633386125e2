//! A driver for SQLite, through rusqlite with SQLite's own source bundled, in the driver's own
//! process.

mod reindex;
mod session;
mod settings;
mod store;
mod vacuum;
mod version;

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_catalog::promises_of;
use plugpull_driver::sdk::{
    Driver, FORK_EXIT, FORK_PROCESS, OfferedAction, Place, Store, System, described,
};
use plugpull_driver::{Capability, Description, Shape, UsageError, resolved};
use plugpull_workloads::Promise;
use rusqlite::Connection;

pub use settings::{Journal, SETTINGS, Settings, Synchronous};
pub use store::SqliteStore;

/// Its name on the command line.
pub const NAME: &str = "sqlite";

/// SQLite, as a system that a driver speaks for.
pub const SYSTEM: System = System {
    name: NAME,
    about: "SQLite, bundled, in a process of its own",
    settings: SETTINGS,
    mutants: &[],
    open: |values| Ok(Box::new(SqliteDriver::new(values)?)),
    inspect: None,
};

/// What people do to a database besides transactions, while it is in use.
const ACTIONS: &[OfferedAction<Connection>] = &[reindex::REINDEX, vacuum::VACUUM];

/// SQLite with its settings.
struct SqliteDriver {
    settings: Settings,
    given: Vec<String>,
    promises: Vec<Promise>,
}

impl SqliteDriver {
    fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let given = values.iter();
        Ok(Self {
            settings: Settings::parse(values)?,
            promises: promises_of(NAME, &resolved(SETTINGS, values)),
            given: given
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        })
    }

    /// "SQLite 3.50.2 (compile options 0123abcd), journal_mode=wal, synchronous=full", and every
    /// other setting that was given.
    fn version(&self) -> String {
        let Settings {
            journal,
            synchronous,
            ..
        } = self.settings;
        let mut text = format!(
            "SQLite {} (compile options {:08x}), journal_mode={}, synchronous={}",
            rusqlite::version(),
            version::digest(),
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
}

impl Driver for SqliteDriver {
    fn describe(&self) -> Description {
        let able = [
            Capability::Abort,
            Capability::Barrier,
            Capability::Check,
            Capability::Delete,
        ];
        Description {
            version: self.version(),
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: able.map(|one| one.word().to_owned()).into(),
            actions: described(ACTIONS),
            fork: [FORK_PROCESS, FORK_EXIT].map(String::from).into(),
            promises: self.promises.clone(),
            details: vec![("compile options".into(), version::options().join(" "))],
            ..Description::default()
        }
    }

    fn open(&self, place: &Place, _deadline: Instant) -> Result<Box<dyn Store>, String> {
        match SqliteStore::open(&place.data, self.settings) {
            Ok(store) => Ok(Box::new(store)),
            Err(error) => Err(format!("cannot open the database: {error}")),
        }
    }
}
