//! Exploring: one recorded run, and the crash states that it could have left.

mod artifact;
mod cases;
mod chain;
mod evidence;
mod explorer;
mod extent;
mod findings;
mod pace;
mod record;
mod scene;
mod shrink;
mod station;
mod trace_file;

pub use artifact::{About, Artifact};
pub use cases::Order;
pub use evidence::{evidence, timeline};
pub use explorer::Explorer;
pub use extent::{Ended, Limits, Minimised, Sink};
pub use findings::{Group, Groups, sentence};
pub use record::{Trace, Wanted, record};
pub use shrink::Court;
pub use station::{Station, Stations, Turn};
pub use trace_file::TraceFile;

use plugpull_crashsim::fs::Log;
use plugpull_crashsim::persist::{Device, Index, MODELS, Model};
use plugpull_workloads::FailureClass;

/// One persistence model of an exploration; the first of them is `kill`.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Its name on the command line.
    pub name: &'static str,
    /// The model that decides what is pending. For `kill` it does not matter: nothing is lost.
    pub model: &'static dyn Model,
    /// True when the machine loses power, false when only the process dies.
    pub power: bool,
}

impl Rules {
    /// `kill`: the process dies, and the disk has every operation up to that moment.
    pub const KILL: Rules = Rules {
        name: "kill",
        model: MODELS[0],
        power: false,
    };

    /// Every model: `kill`, then the persistence models.
    pub fn all() -> Vec<Rules> {
        let power = MODELS.into_iter().map(|model| Rules {
            name: model.name(),
            model,
            power: true,
        });
        std::iter::once(Self::KILL).chain(power).collect()
    }

    /// The log, read once under each of these.
    pub fn indexes<'a>(rules: &[Rules], log: &'a Log, device: Device) -> Vec<Index<'a>> {
        let read = |one: &Rules| Index::new(log, one.model, device);
        rules.iter().map(read).collect()
    }

    /// The class of failure whose promises are owed.
    pub fn class(self) -> FailureClass {
        if self.power {
            FailureClass::PowerLoss
        } else {
            FailureClass::ProcessCrash
        }
    }
}
