//! The target: the persistence of AILEE's node, by the stand-in.

use std::collections::BTreeMap;
use std::io::{self, Error, ErrorKind};
use std::time::Instant;

use plugpull_workloads::Promise;

use super::reference::{Planted, REORG};
use super::{NAME, SNAPSHOTS, Settings, promises};
use crate::reference_daemon::REFERENCE;
use crate::{Host, Launch, Program, Reorgs, Running, StartError, Target, UsageError, stand_in};

/// Said where the real system is asked for.
const ABSENT: &str = "plugpull does not drive the real ailee_node (build it from \
     https://github.com/dfeen87/AILEE-Protocol-Core-For-Bitcoin with CMake): test its persistence \
     with --reference, or by a driver of your own (docs/driver-protocol.md), and look at a node's \
     snapshots with `plugpull inspect ailee FILE` (docs/targets/ailee.md)";

/// Said where the stand-in was left out of the build.
const NOT_BUILT_IN: &str = "the stand-in for ailee is not built in: build plugpull with \
     `cargo build --release --features ailee`";

/// The target, with its settings.
pub struct Ailee {
    settings: Settings,
    given: BTreeMap<String, String>,
}

impl Ailee {
    /// Checks the settings. Starts nothing.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            given: values.clone(),
        })
    }
}

impl Target for Ailee {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        stand_in::version(
            "AILEE's persistence",
            self.settings.defect.map(Planted::name),
        )
    }

    fn absent(&self) -> Option<String> {
        match (self.settings.reference, cfg!(feature = "ailee")) {
            (false, _) => Some(ABSENT.to_owned()),
            (true, false) => Some(NOT_BUILT_IN.to_owned()),
            (true, true) => None,
        }
    }

    fn promises(&self) -> Vec<Promise> {
        promises::all()
    }

    fn snapshots(&self) -> Option<fn(&str) -> bool> {
        Some(|path| path == SNAPSHOTS)
    }

    fn reorgs(&self) -> Reorgs {
        Reorgs::WhileDown
    }

    fn reorg(&self, host: &dyn Host, depth: u32, deadline: Instant) -> io::Result<()> {
        let launch = Launch {
            program: Program::Myself,
            args: vec![
                REFERENCE.to_owned(),
                NAME.to_owned(),
                format!("{REORG}={depth}"),
            ],
            env: Vec::new(),
            cwd: None,
        };
        let mut network = host.spawn_beside(&launch, None)?;
        match network.wait(deadline)? {
            Some(0) => Ok(()),
            Some(code) => Err(Error::other(format!(
                "the simulated network ended with code {code}: {}",
                network.output().trim()
            ))),
            None => Err(ErrorKind::TimedOut.into()),
        }
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        if let Some(why) = self.absent() {
            return Err(Error::new(ErrorKind::NotFound, why).into());
        }
        Ok(Box::new(stand_in::start(
            host,
            NAME,
            &self.given,
            deadline,
        )?))
    }
}
