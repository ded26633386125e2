//! Flipped bits in a snapshot: what recovery begins with is not what was written.
// tidy: small because a fault is a file of its own

use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::bit_flip;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::trigger::{Trigger, When};

/// A few flipped bits in one snapshot at rest.
pub(crate) const CORRUPT_SNAPSHOT: Fault = Fault {
    name: "corrupt-snapshot",
    about: "after a SIGKILL, 1 to 6 bits of a file with snapshots are flipped",
    class: FailureClass::Corruption,
    needs: &[Need::Snapshots],
    default_trigger,
    inject,
};

/// Late enough for a snapshot to be there.
fn default_trigger(rng: &mut ChaCha8Rng) -> Trigger {
    Trigger::at(When::Ack(rng.random_range(100..200)))
}

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    machine.kill()?;
    machine.remount()?;
    let mut files = machine.snapshots()?;
    files.retain(|(path, _)| trigger.damages(path));
    bit_flip::in_one_of(
        machine,
        &files,
        "there is no snapshot that holds anything yet",
    )
}
