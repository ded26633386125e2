//! The target: the guide's log, kept by the stand-in.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::time::Instant;

use plugpull_workloads::Promise;

use super::reference::Planted;
use super::{NAME, Settings, promises};
use crate::{Abilities, Host, Running, StartError, Target, UsageError, stand_in};

/// Said where the real system is asked for.
const ABSENT: &str = "no published release keeps the log that Interstice's guide describes, and \
     the node that is published (`cargo install interstice-cli --version 0.5.0 --locked`, with \
     libasound2-dev) is not driven by plugpull: test the guide's log with --reference, and look at \
     a node's files with `plugpull inspect interstice FOLDER` (docs/targets/interstice.md)";

/// The target, with its settings.
pub struct Interstice {
    settings: Settings,
    given: BTreeMap<String, String>,
}

impl Interstice {
    /// Checks the settings. Starts nothing.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            given: values.clone(),
        })
    }
}

impl Target for Interstice {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        stand_in::version(
            "Interstice's transaction log",
            self.settings.defect.map(Planted::name),
        )
    }

    fn absent(&self) -> Option<String> {
        (!self.settings.reference).then(|| ABSENT.to_owned())
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            barrier: false,
            ..Abilities::default()
        }
    }

    fn promises(&self) -> Vec<Promise> {
        promises::all()
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        if !self.settings.reference {
            return Err(Error::new(ErrorKind::NotFound, ABSENT).into());
        }
        Ok(Box::new(stand_in::start(
            host,
            NAME,
            &self.given,
            deadline,
        )?))
    }
}
