//! The driver: the published node, or the fake of the guide's log.

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_catalog::promises_of;
use plugpull_driver::protocol::LaunchAnswer;
use plugpull_driver::sdk::{Driver, Place, Store};
use plugpull_driver::{Capability, Description, Shape, UsageError, fake, resolved};

use super::mutant::Mutant;
use super::{NAME, NodeSettings, SETTINGS, Settings, node};

/// Interstice with its settings.
pub(super) struct IntersticeDriver {
    settings: Settings,
    node: NodeSettings,
    given: BTreeMap<String, String>,
}

impl IntersticeDriver {
    /// Checks the settings. Starts nothing.
    pub(super) fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            node: NodeSettings::parse(values)?,
            given: values.clone(),
        })
    }
}

/// What can be asked of the node, and of the fake.
pub fn capabilities() -> Vec<String> {
    let able = [
        Capability::Abort,
        Capability::Check,
        Capability::DriverCheck,
        Capability::Delete,
    ];
    able.map(|one| one.word().to_owned()).into()
}

impl Driver for IntersticeDriver {
    fn describe(&self) -> Description {
        let common = Description {
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: capabilities(),
            promises: promises_of(NAME, &resolved(SETTINGS, &self.given)),
            ..Description::default()
        };
        if self.settings.reference {
            let mutant = self.settings.mutant.map(Mutant::name);
            return Description {
                version: fake::version("Interstice's transaction log", mutant),
                driver: Some(fake::driver(NAME, &self.given)),
                ..common
            };
        }
        let node = Description {
            daemon: true,
            ..common
        };
        match node::find(&self.node) {
            Ok(found) => {
                let mut given = self.given.clone();
                given.insert("bin".into(), found.program.display().to_string());
                given.insert("module".into(), found.module.display().to_string());
                Description {
                    version: format!("Interstice's node, {}", found.program.display()),
                    driver: Some(fake::command("plugpull-driver-interstice", &[], &given)),
                    visible: vec![found.program, found.module],
                    ..node
                }
            }
            Err(why) => Description {
                version: "Interstice's node".into(),
                unavailable: Some(why),
                ..node
            },
        }
    }

    fn launch(&self, place: &Place, _deadline: Instant) -> Result<LaunchAnswer, String> {
        node::launch(&place.data, &node::find(&self.node)?, &self.node)
    }

    fn open(&self, place: &Place, deadline: Instant) -> Result<Box<dyn Store>, String> {
        let node = node::Answering::wait(&place.data, self.node.port, deadline)?;
        Ok(Box::new(node))
    }
}
