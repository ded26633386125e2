//! A driver for `statehoused`, a state store for agents, over gRPC.
//!
//! The daemon is not plugpull's: its licence lets it be used and not redistributed, so it is
//! installed from the registry (`docs/targets/statehouse.md`) and found on PATH. Where it is not
//! installed, a fake takes its place with `--reference`: the same interface, and every promise kept.
//!
//! Each client of the workload is an agent of its own. After a restart everything is read by
//! `ScanPrefix`, compared with `ListKeys`, and the `Replay` of each agent goes to the checker as its
//! event log.

mod client;
mod daemon;
pub mod grpc;
pub mod messages;
mod mutant;
mod place;
mod replay;
mod settings;

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_catalog::promises_of;
use plugpull_driver::protocol::LaunchAnswer;
use plugpull_driver::sdk::{Driver, Place, Store, System, sibling};
use plugpull_driver::{Capability, Description, Shape, UsageError, fake, program, resolved};

use daemon::Daemon;
pub use mutant::{MUTANTS, Mutant};
pub use settings::{SETTINGS, Settings};

/// The target's name.
pub const NAME: &str = "statehouse";

/// The environment variable of the daemon's address.
pub const ADDRESS: &str = "STATEHOUSE_ADDR";

/// Statehouse, as a system that a driver speaks for.
pub const SYSTEM: System = System {
    name: NAME,
    about: "statehoused, a state store for agents with an event log, over gRPC (the real daemon, or \
            plugpull's fake with --reference)",
    settings: SETTINGS,
    mutants: MUTANTS,
    open: |values| Ok(Box::new(StatehouseDriver::new(values)?)),
    inspect: None,
};

/// Statehouse with its settings.
struct StatehouseDriver {
    settings: Settings,
    given: BTreeMap<String, String>,
}

impl StatehouseDriver {
    fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            given: values.clone(),
        })
    }

    fn version(&self) -> String {
        let Settings {
            bin,
            reference,
            versions,
            mutant,
            ..
        } = &self.settings;
        let mut text = if *reference {
            "statehouse, plugpull's fake".to_owned()
        } else {
            format!("statehouse, {bin}")
        };
        if let Some(mutant) = mutant {
            text.push_str(&format!(", with the mutant {}", mutant.name()));
        }
        if *versions {
            text.push_str(", held to its version history");
        }
        text
    }

    /// Why it cannot be run here; none when it can.
    fn unavailable(&self) -> Option<String> {
        let bin = &self.settings.bin;
        if self.settings.reference || program::find(bin).is_some() {
            return None;
        }
        let missing = program::missing(bin);
        Some(format!(
            "{missing}: install it with `cargo install statehouse-daemon --version 0.1.0 --locked` \
             (docs/targets/statehouse.md says what that needs), name it with --set bin=PATH, or test \
             the fake with --reference"
        ))
    }
}

impl Driver for StatehouseDriver {
    fn describe(&self) -> Description {
        let able = [
            Capability::Abort,
            Capability::Barrier,
            Capability::Check,
            Capability::DriverCheck,
            Capability::Delete,
            Capability::EventLog,
        ];
        let program = match self.settings.reference {
            true => sibling(fake::PROGRAM),
            false => program::find(&self.settings.bin),
        };
        let mut given = self.given.clone();
        if let (false, Some(program)) = (self.settings.reference, &program) {
            given.insert("bin".into(), program.display().to_string());
        }
        Description {
            driver: Some(fake::command("plugpull-driver-statehouse", &[], &given)),
            version: self.version(),
            promises: promises_of(NAME, &resolved(SETTINGS, &self.given)),
            unavailable: self.unavailable(),
            daemon: true,
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: able.map(|one| one.word().to_owned()).into(),
            // With the head key four at least: an event of few writes hides what is not atomic.
            ops_per_txn: Some((3, 6)),
            visible: program.into_iter().collect(),
            ..Description::default()
        }
    }

    fn launch(&self, _place: &Place, _deadline: Instant) -> Result<LaunchAnswer, String> {
        let address = format!("127.0.0.1:{}", self.settings.port);
        let (program, args) = match self.settings.reference {
            true => {
                let mutant = self.settings.mutant;
                let mut args = vec![NAME.to_owned()];
                args.extend(mutant.map(|mutant| format!("defect={}", mutant.name())));
                (fake::PROGRAM.to_owned(), args)
            }
            false => (self.settings.bin.clone(), Vec::new()),
        };
        Ok(LaunchAnswer {
            program,
            args,
            env: BTreeMap::from([(ADDRESS.to_owned(), address)]),
            ..LaunchAnswer::default()
        })
    }

    fn open(&self, _place: &Place, deadline: Instant) -> Result<Box<dyn Store>, String> {
        Ok(Box::new(Daemon::wait(&self.settings, deadline)?))
    }
}
