//! Flipped bits in a snapshot: what recovery begins with is not what was written.

use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{bit_flip, moments};
use crate::fault::{Fault, InjectError, Injected, Machine, Need};
use crate::trigger::{Trigger, When};

/// A few flipped bits in one snapshot at rest.
pub(super) const CORRUPT_SNAPSHOT: Fault = Fault {
    name: "corrupt-snapshot",
    about: "after a SIGKILL, 1 to 6 bits of a file with snapshots are flipped",
    class: FailureClass::Corruption,
    needs: &[Need::Snapshots],
    usual_trigger,
    inject: strike,
};

/// Late enough for a snapshot to be there.
fn usual_trigger(rng: &mut ChaCha8Rng) -> Trigger {
    Trigger::at(When::Ack(rng.random_range(100..200)))
}

fn strike(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, moments::FirstCrash::Kill)?;
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
