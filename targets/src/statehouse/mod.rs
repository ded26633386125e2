//! The `statehouse` target: `statehoused`, a state store for agents, over gRPC.
//!
//! The daemon is not plugpull's: its licence lets it be used and not redistributed, so it is
//! installed from the registry (`docs/targets/statehouse.md`) and found on PATH. Where it is not
//! installed, [the stand-in](mod@reference) takes its place with `--reference`: the same interface,
//! and every promise kept.
//!
//! Each client of the workload is an agent of its own. After a restart everything is read by
//! `ScanPrefix`, compared with `ListKeys`, and the `Replay` of each agent goes to the checker as its
//! event log.
//!
//! gRPC is only built in with the feature `statehouse`: it brings some thirty crates, and most who
//! build plugpull test something else.

#[cfg(feature = "statehouse")]
mod client;
mod daemon;
#[cfg(feature = "statehouse")]
mod messages;
#[cfg(feature = "statehouse")]
mod place;
mod promises;
pub mod reference;
#[cfg(feature = "statehouse")]
mod replay;
mod settings;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;

use plugpull_workloads::Promise;

pub use reference::DEFECTS;
pub use settings::{SETTINGS, Settings};

use crate::{Host, Running, StartError, Target, UsageError};

/// The target's name.
pub const NAME: &str = "statehouse";

/// What it is, in one line.
pub const ABOUT: &str = "statehoused, a state store for agents with an event log, over gRPC \
                         (the real daemon, or plugpull's stand-in with --reference)";

/// The target, with its settings.
pub struct Statehouse {
    settings: Settings,
    #[cfg(feature = "statehouse")]
    seen: client::Seen,
}

impl Statehouse {
    /// Checks the settings. Starts nothing.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            #[cfg(feature = "statehouse")]
            seen: client::Seen::default(),
        })
    }
}

impl Target for Statehouse {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        let Settings {
            bin,
            reference,
            versions,
            defect,
            ..
        } = &self.settings;
        let mut words = if *reference {
            "statehouse, plugpull's stand-in".to_owned()
        } else {
            format!("statehouse, {bin}")
        };
        if let Some(defect) = defect {
            words.push_str(&format!(", with the defect {}", defect.name()));
        }
        if *versions {
            words.push_str(", held to its version history");
        }
        words
    }

    fn absent(&self) -> Option<String> {
        daemon::absent(&self.settings)
    }

    fn ops_per_txn(&self) -> RangeInclusive<u32> {
        // With the head key four at least: an event of few writes hides what is not atomic.
        3..=6
    }

    fn promises(&self) -> Vec<Promise> {
        promises::of(&self.settings)
    }

    #[cfg(feature = "statehouse")]
    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        let running = daemon::start(host, &self.settings, &self.seen, deadline)?;
        Ok(Box::new(running))
    }

    #[cfg(not(feature = "statehouse"))]
    fn start<'host>(
        &self,
        _host: &'host dyn Host,
        _deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, daemon::NOT_BUILT_IN).into())
    }
}
