//! What a driver is made with: implement [`Driver`] and [`Store`] for a system, and call [`main`]
//! from a program of a few lines.
//!
//! plugpull starts that program in three ways, always with the settings as arguments
//! `NAME=VALUE`:
//!
//! 1. outside of any sandbox, to [describe](Driver::describe) itself;
//! 2. in a sandbox as the target, where the store is in the driver's own process: it
//!    [opens](Driver::open) the data directory and serves clients until it is killed;
//! 3. in a sandbox beside a daemon, where [`Description::daemon`] says so: it says how the daemon
//!    is [launched](Driver::launch), plugpull starts that as the target, and then the driver
//!    [opens](Driver::open) it, which means that it waits until the daemon answers.
//!
//! Standard output is the protocol's. What is for people goes to standard error.

mod action;
mod embedded;
mod fork;
mod serve;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use plugpull_workloads::{FailureClass, Guarantee, Promise};

use crate::protocol::{EventKind, LaunchAnswer, OpaqueCheck};
use crate::{Client, ClientError, Description, Mutant, Setting, UsageError};

pub use crate::description::{FORK_EXIT, FORK_PROCESS};
pub use crate::program::sibling;
pub use action::{OfferedAction, act, described};
pub use embedded::{Embedded, Session, Shared, StoreError};
pub use serve::{Events, main, note, serve};

/// Makes a driver from settings, each of which is checked.
pub type Open = fn(&BTreeMap<String, String>) -> Result<Box<dyn Driver>, UsageError>;

/// A system that a driver program speaks for.
pub struct System {
    /// Its name on plugpull's command line.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Its settings.
    pub settings: &'static [Setting],
    /// The mutants that its setting `defect` switches on.
    pub mutants: &'static [Mutant],
    /// Makes its driver from settings, each of which is checked. Starts nothing, touches nothing.
    pub open: Open,
    /// Looks at files of the system's: `inspect` with these arguments; returns the exit code.
    pub inspect: Option<fn(&[String]) -> ExitCode>,
}

/// A system's driver, with its settings applied.
pub trait Driver: Send + Sync {
    /// What it is, without a data directory: see [`Description`]. The fields `protocol`, `name`,
    /// `build`, `about`, `settings`, `values` and `mutants` are filled in by [`main`].
    fn describe(&self) -> Description;

    /// How the daemon is started that is the target, asked before every start of it, in the
    /// sandbox. Whatever files it needs are written by now; what a first start sets up belongs
    /// here. Only called where the description says [`Description::daemon`].
    ///
    /// # Errors
    /// Why the daemon cannot be started.
    fn launch(&self, place: &Place, deadline: Instant) -> Result<LaunchAnswer, String> {
        let _ = (place, deadline);
        Err("the driver itself is the target".into())
    }

    /// Opens the store in the data directory, or waits until the daemon answers. The time until
    /// it returns is recovery time.
    ///
    /// # Errors
    /// Why the store cannot be opened: a refusal to start.
    fn open(&self, place: &Place, deadline: Instant) -> Result<Box<dyn Store>, String>;

    /// Called in each child of a driver that is forked ([`FORK_PROCESS`]), before it opens anything: gives a
    /// fresh seed to every random stream that was drawn from before the fork, and returns what it draws from
    /// each then. Two children that draw the same have equal streams.
    fn reseed(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does an action that is done while the target is down, in the data directory; see
    /// [`OfferedAction`].
    ///
    /// # Errors
    /// Why it was not done.
    fn act_down(
        &self,
        place: &Place,
        action: &str,
        amount: Option<u32>,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let _ = (place, amount, deadline);
        Err(ClientError::Fail(format!("there is no action {action}")))
    }
}

/// Where a driver works.
#[derive(Clone, Debug)]
pub struct Place {
    /// The data directory; it is the working directory too.
    pub data: PathBuf,
}

/// A store that is open, or a daemon that answers; shared by all clients.
pub trait Store: Send + Sync {
    /// A new client, by the number that plugpull gave it: a connection of its own, or a handle.
    /// Each is used by one thread at a time, and different ones at the same time.
    ///
    /// # Errors
    /// Why there is none now; the client's next request tries again.
    fn connect(&self, client: u32, deadline: Instant) -> Result<Box<dyn Client>, ClientError>;

    /// Its own workload and check, where it brings them: the shape `opaque`.
    fn opaque(&self) -> Option<&dyn Opaque> {
        None
    }
}

/// A workload of IDs that the driver writes by itself, and the check of them.
pub trait Opaque: Send + Sync {
    /// Writes until it has no more to do, and says what is durable through `events`. `life`
    /// counts the workload's starts in one trial, from 1.
    ///
    /// # Errors
    /// Why it cannot go on.
    fn work(&self, life: u64, events: &Events) -> Result<(), ClientError>;

    /// What is missing of the IDs that were acknowledged, in the order of their acks.
    ///
    /// # Errors
    /// The check could not be done: nothing is known.
    fn check(&self, acked: &[String], deadline: Instant) -> Result<OpaqueCheck, ClientError>;
}

impl Events {
    /// The ID is going to be written: until its ack it may be there or not.
    pub fn trying(&self, id: &str) {
        self.send(EventKind::Try, Some(id));
    }

    /// The ID is durable.
    pub fn ack(&self, id: &str) {
        self.send(EventKind::Ack, Some(id));
    }

    /// The ID was certainly not written.
    pub fn fail(&self, id: &str) {
        self.send(EventKind::Fail, Some(id));
    }

    /// Nobody knows whether the ID was written.
    pub fn info(&self, id: &str) {
        self.send(EventKind::Info, Some(id));
    }

    /// Every ID that was acknowledged so far is durable.
    pub fn barrier(&self) {
        self.send(EventKind::Barrier, None);
    }
}

/// One promise of a target itself, with the words and the document that it comes from.
pub fn promise(
    classes: &[FailureClass],
    guarantee: Guarantee,
    words: &str,
    source: &str,
) -> Promise {
    Promise {
        classes: classes.to_vec(),
        guarantee,
        words: words.to_owned(),
        source: source.to_owned(),
        demanded: false,
    }
}
