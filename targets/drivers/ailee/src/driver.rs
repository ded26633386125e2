//! The driver: the real node over HTTP, or the fake of its persistence.

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_catalog::promises_of;
use plugpull_driver::protocol::LaunchAnswer;
use plugpull_driver::sdk::{Driver, OfferedAction, Place, Store, described};
use plugpull_driver::{Capability, Description, Shape, UsageError, fake, resolved};

use super::mutant::Mutant;
use super::node::Node;
use super::{NAME, SETTINGS, SNAPSHOTS, Settings, reorg};

/// How to get the real node.
const BUILD: &str = "build the target ailee_node of \
     https://github.com/dfeen87/AILEE-Protocol-Core-For-Bitcoin with CMake (docs/targets/ailee.md says \
     what that needs), name it with --set bin=PATH, or test its persistence by the fake with \
     --reference";

/// AILEE with its settings.
pub(super) struct AileeDriver {
    settings: Settings,
    given: BTreeMap<String, String>,
    /// The real node, where it is tested.
    node: Option<Node>,
}

impl AileeDriver {
    /// Checks the settings. Starts nothing.
    pub(super) fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        let settings = Settings::parse(values)?;
        Ok(Self {
            node: (!settings.reference).then(|| Node::new(&settings)),
            settings,
            given: values.clone(),
        })
    }

    fn node(&self) -> Result<&Node, String> {
        let node = self.node.as_ref();
        node.ok_or_else(|| "the fake is a driver of its own".into())
    }
}

/// What can be asked of the fake.
pub fn capabilities() -> Vec<String> {
    let able = [
        Capability::Abort,
        Capability::Barrier,
        Capability::Check,
        Capability::DriverCheck,
        Capability::Delete,
    ];
    able.map(|one| one.word().to_owned()).into()
}

/// What the fake offers besides transactions.
pub const ACTIONS: &[OfferedAction<Place>] = &[reorg::REORG];

impl Driver for AileeDriver {
    fn describe(&self) -> Description {
        let promises = promises_of(NAME, &resolved(SETTINGS, &self.given));
        let Some(node) = &self.node else {
            let mutant = self.settings.mutant.map(Mutant::name);
            return Description {
                version: fake::version("AILEE's persistence", mutant),
                driver: Some(fake::driver(NAME, &self.given)),
                shapes: vec![Shape::KeyValue.word().into()],
                capabilities: capabilities(),
                actions: described(ACTIONS),
                // The node's program writes none.
                snapshots: vec![SNAPSHOTS.into()],
                promises,
                ..Description::default()
            };
        };
        let missing = node.missing();
        let mut given = self.given.clone();
        given.extend(node.absolute().map(|bin| ("bin".to_owned(), bin)));
        Description {
            version: node.version(),
            unavailable: missing.map(|missing| format!("{missing}: {BUILD}")),
            driver: Some(fake::command("plugpull-driver-ailee", &[], &given)),
            daemon: true,
            shapes: vec![Shape::Opaque.word().into()],
            // An anchor is a barrier of the workload.
            capabilities: vec![Capability::Barrier.word().into()],
            first_barrier_ms: node.first_barrier_ms(),
            visible: node.visible(),
            details: node.details(),
            promises,
            ..Description::default()
        }
    }

    fn launch(&self, _place: &Place, _deadline: Instant) -> Result<LaunchAnswer, String> {
        Ok(self.node()?.launch())
    }

    fn open(&self, _place: &Place, deadline: Instant) -> Result<Box<dyn Store>, String> {
        Ok(Box::new(self.node()?.wait(deadline)?))
    }
}
