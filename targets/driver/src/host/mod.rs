//! plugpull's end of the protocol: a driver as a target.

mod command_line;
mod driver_client;
mod find;
pub(crate) mod introduction;
mod lines;
pub(crate) mod link;
mod opaque;
mod remote;
mod start;
mod user;

pub use command_line::CommandLine;
pub use find::{describe_bundled, program_name};
pub use remote::{client_over, client_over_pipes};
pub use start::Commands;
pub use user::{ABOUT, NAME, SETTINGS};

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use plugpull_workloads::{Checker, Promise, WorkloadConfig};

use crate::protocol::{Call, PROTOCOL, Verdict};
use crate::{
    Abilities, Action, Capability, Description, Host, Running, Scripted, Shape, StartError, Target,
    UsageError,
};
use opaque::OpaqueDriver;
use start::with_output;

/// A driver with its settings, as a target.
pub struct DriverTarget {
    /// The target's name on the command line.
    name: String,
    commands: Commands,
    /// How it described itself; not known of a user's driver until it was started once.
    description: OnceLock<Description>,
    /// What is promised, where the driver is not the one to say it.
    promises: Option<Vec<Promise>>,
    /// What is added to the version.
    driven_by: String,
    opaque: OnceLock<OpaqueDriver>,
}

/// What the catalogue promises for a target that described itself so.
pub type PromisesOf<'a> = &'a dyn Fn(&Description) -> Vec<Promise>;

impl DriverTarget {
    /// The driver of a system that comes with plugpull, with these settings. Starts it once, to
    /// have it describe itself. `promises` says what is promised with these settings, where that
    /// is not the driver's to say.
    ///
    /// # Errors
    /// The driver is missing or of another build, or refuses a setting.
    pub fn bundled(
        name: &str,
        settings: &BTreeMap<String, String>,
        promises: Option<PromisesOf<'_>>,
    ) -> Result<Self, UsageError> {
        let (mut driver, description) = find::describe(name, settings)?;
        if let Some(other) = &description.driver {
            driver = find::other(other)?;
        }
        Ok(Self {
            name: name.to_owned(),
            commands: Commands {
                driver,
                daemon: None,
            },
            promises: promises.map(|of| of(&description)),
            driven_by: String::new(),
            opaque: OnceLock::new(),
            description: description.into(),
        })
    }

    fn known(&self) -> Option<&Description> {
        self.description.get()
    }

    /// Starts it on `host`, and learns first what it is where that is not known.
    fn started(
        &self,
        host: &dyn Host,
        deadline: Instant,
    ) -> Result<start::DriverRunning, StartError> {
        let described = match self.known() {
            Some(_) => None,
            None => start::describe(&self.commands.driver, host, deadline)?,
        };
        let known = self.known().or(described.as_ref());
        let running = start::start(&self.commands, known, host, deadline)?;
        self.description
            .get_or_init(|| (**running.description()).clone());
        Ok(running)
    }
}

impl Target for DriverTarget {
    fn name(&self) -> &str {
        &self.name
    }

    fn users_own(&self) -> bool {
        self.name == NAME
    }

    fn must_be_asked(&self) -> bool {
        self.known().is_none()
    }

    fn introduce(&self, host: &dyn Host, deadline: Instant) -> Result<(), StartError> {
        match self.known() {
            Some(_) => Ok(()),
            None => self.started(host, deadline).map(drop),
        }
    }

    fn version(&self) -> String {
        match (self.known(), self.driven_by.as_str()) {
            (Some(known), "") => known.version.clone(),
            (Some(known), by) => format!("{} {}, {by}", known.name, known.version),
            (None, by) => by.to_owned(),
        }
    }

    fn absent(&self) -> Option<String> {
        self.known()?.unavailable.clone()
    }

    fn promises(&self) -> Vec<Promise> {
        match (&self.promises, self.known()) {
            (Some(promises), _) => promises.clone(),
            (None, Some(known)) => known.promises.clone(),
            (None, None) => Vec::new(),
        }
    }

    fn abilities(&self) -> Abilities {
        let can = |known: &Description| Abilities {
            abort: known.can(Capability::Abort),
            delete: known.can(Capability::Delete),
            barrier: known.can(Capability::Barrier),
        };
        self.known().map(can).unwrap_or_default()
    }

    fn ops_per_txn(&self) -> RangeInclusive<u32> {
        let known = self.known().and_then(|known| known.ops_per_txn);
        known.map_or_else(
            || WorkloadConfig::default().ops_per_txn,
            |(least, most)| least..=most,
        )
    }

    fn patience(&self) -> u32 {
        let known = self.known().and_then(|known| known.time_factor);
        known.unwrap_or(1).max(1)
    }

    fn keeps_snapshots(&self) -> bool {
        self.known()
            .is_some_and(|known| !known.snapshots.is_empty())
    }

    fn is_snapshot(&self, path: &str) -> bool {
        self.known().is_some_and(|known| known.is_snapshot(path))
    }

    fn actions(&self) -> &[Action] {
        self.known().map_or(&[], |known| &known.actions)
    }

    fn act_down(
        &self,
        host: &dyn Host,
        action: &Action,
        amount: Option<u32>,
        deadline: Instant,
    ) -> io::Result<Result<(), String>> {
        let (mut process, link) = start::beside(&self.commands.driver, host)?;
        let why = match link.call(None, Call::act(action, amount, PROTOCOL), deadline) {
            Ok(reply) if reply.verdict == Verdict::Ok => None,
            Ok(reply) => Some(reply.text),
            Err(none) => Some(none.describe()),
        };
        // It must be gone before the target is started.
        drop(link);
        if process.wait(deadline)?.is_none() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(why.map_or(Ok(()), |why| Err(with_output(&why, &*process))))
    }

    fn visible(&self) -> Vec<PathBuf> {
        let commands = [Some(&self.commands.driver), self.commands.daemon.as_ref()];
        let programs = commands.into_iter().flatten();
        let mut visible: Vec<PathBuf> = programs.map(|command| command.program.clone()).collect();
        visible.extend(self.known().into_iter().flat_map(|k| k.visible.clone()));
        visible
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        Ok(Box::new(self.started(host, deadline)?))
    }

    fn checker(&self) -> Checker {
        let opaque = self.scripted().is_some();
        let driver = |known: &Description| opaque || known.can(Capability::DriverCheck);
        match self.known().is_some_and(driver) {
            true => Checker::Driver,
            false => Checker::Target,
        }
    }

    fn scripted(&self) -> Option<&dyn Scripted> {
        let known = self.known()?;
        if !known.speaks(Shape::Opaque) || known.speaks(Shape::KeyValue) {
            return None;
        }
        let opaque = self.opaque.get_or_init(|| {
            OpaqueDriver::new(self.commands.driver.clone(), known.clone(), self.visible())
        });
        Some(opaque)
    }
}
