//! The target: the published node, or the guide's log as the stand-in keeps it.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::time::Instant;

use plugpull_workloads::Promise;

use super::reference::Planted;
use super::{NAME, NodeSettings, Settings, node, promises};
use crate::{Abilities, Host, Running, StartError, Target, UsageError, stand_in};

/// The target, with its settings.
pub struct Interstice {
    settings: Settings,
    node: NodeSettings,
    given: BTreeMap<String, String>,
}

impl Interstice {
    /// Checks the settings. Starts nothing.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            node: NodeSettings::parse(values)?,
            given: values.clone(),
        })
    }
}

impl Target for Interstice {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        if self.settings.reference {
            return stand_in::version(
                "Interstice's transaction log",
                self.settings.defect.map(Planted::name),
            );
        }
        match node::find(&self.node) {
            Ok(found) => format!("Interstice's node, {}", found.program.display()),
            Err(_) => "Interstice's node".into(),
        }
    }

    fn absent(&self) -> Option<String> {
        match self.settings.reference {
            true => None,
            false => node::find(&self.node).err(),
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            barrier: false,
            ..Abilities::default()
        }
    }

    fn promises(&self) -> Vec<Promise> {
        match self.settings.reference {
            true => promises::all(),
            false => node::promises(),
        }
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        if self.settings.reference {
            let running = stand_in::start(host, NAME, &self.given, deadline)?;
            return Ok(Box::new(running));
        }
        let installed =
            node::find(&self.node).map_err(|why| Error::new(ErrorKind::NotFound, why))?;
        let running = node::start(host, &installed, &self.node, deadline)?;
        Ok(Box::new(running))
    }
}
