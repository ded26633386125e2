//! The target: the real node over HTTP, or its persistence by the stand-in.

use std::collections::BTreeMap;
use std::io::{self, Error, ErrorKind};
use std::time::Instant;

use plugpull_workloads::Promise;

#[cfg(feature = "ailee")]
use super::node::Node;
use super::reference::{Planted, REORG};
use super::{NAME, SNAPSHOTS, Settings, promises};
use crate::reference_daemon::REFERENCE;
use crate::{Host, Launch, Program, Reorgs, Running, StartError, Target, UsageError, stand_in};

/// Said where the real node is asked for and not there.
#[cfg(feature = "ailee")]
const ABSENT: &str = "build the target ailee_node of \
     https://github.com/dfeen87/AILEE-Protocol-Core-For-Bitcoin with CMake (docs/targets/ailee.md says \
     what that needs), name it with --set bin=PATH, or test its persistence by the stand-in with \
     --reference";

/// Said where the target was left out of the build.
#[cfg(not(feature = "ailee"))]
const NOT_BUILT_IN: &str = "the ailee target is not built in, neither the client of the real \
     ailee_node nor the stand-in for its persistence: build plugpull with `cargo build --release \
     --features ailee`";

/// The target, with its settings.
pub struct Ailee {
    settings: Settings,
    given: BTreeMap<String, String>,
    /// The real node, where it is tested.
    #[cfg(feature = "ailee")]
    node: Option<Node>,
}

impl Ailee {
    /// Checks the settings. Starts nothing.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let settings = Settings::parse(values)?;
        Ok(Self {
            #[cfg(feature = "ailee")]
            node: (!settings.reference).then(|| Node::new(&settings)),
            settings,
            given: values.clone(),
        })
    }
}

impl Target for Ailee {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        #[cfg(feature = "ailee")]
        if let Some(node) = &self.node {
            return node.version();
        }
        stand_in::version(
            "AILEE's persistence",
            self.settings.defect.map(Planted::name),
        )
    }

    #[cfg(not(feature = "ailee"))]
    fn absent(&self) -> Option<String> {
        Some(NOT_BUILT_IN.to_owned())
    }

    #[cfg(feature = "ailee")]
    fn absent(&self) -> Option<String> {
        let missing = self.node.as_ref()?.missing()?;
        Some(format!("{missing}: {ABSENT}"))
    }

    fn promises(&self) -> Vec<Promise> {
        #[cfg(feature = "ailee")]
        if let Some(node) = &self.node {
            return node.promises();
        }
        promises::all()
    }

    fn keeps_snapshots(&self) -> bool {
        // The node's program writes none.
        self.settings.reference
    }

    fn is_snapshot(&self, path: &str) -> bool {
        self.settings.reference && path == SNAPSHOTS
    }

    fn reorgs(&self) -> Reorgs {
        match self.settings.reference {
            true => Reorgs::WhileDown,
            false => Reorgs::Never,
        }
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
        #[cfg(feature = "ailee")]
        if let Some(node) = &self.node {
            return node.start(host, deadline);
        }
        Ok(Box::new(stand_in::start(
            host,
            NAME,
            &self.given,
            deadline,
        )?))
    }

    #[cfg(feature = "ailee")]
    fn scripted(&self) -> Option<&dyn crate::Scripted> {
        self.node.as_ref().map(|node| node as &dyn crate::Scripted)
    }
}
