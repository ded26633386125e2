//! A reorganisation of the chain that the target follows, while it is down.

use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{InjectError, Machine, ReorgOutcome};
use crate::trigger::{Trigger, When};

/// The deepest that the seed chooses: Bitcoin's anchors count as confirmed after six blocks.
const DEEPEST: u32 = 8;

/// The chain's last blocks are others when the target comes back.
pub(crate) const REORG: Fault = Fault {
    name: "reorg",
    about: "SIGKILL; while the target is down the last 1 to 8 blocks, or depth=BLOCKS, of its chain are replaced",
    class: FailureClass::ProcessCrash,
    needs: &[Need::Chain],
    default_trigger,
    inject,
};

/// After some acks; half of the time the target is killed again while it takes the new blocks in.
fn default_trigger(rng: &mut ChaCha8Rng) -> Trigger {
    if rng.random_bool(0.5) {
        default_triggers::after_acks(rng)
    } else {
        default_triggers::in_recovery(rng)
    }
}

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    let seeded = machine.rng().random_range(1..=DEEPEST);
    let depth = trigger.depth.unwrap_or(seeded);
    if trigger.recovery {
        let acks = machine.rng().random_range(20..60);
        machine.until(&When::Ack(acks))?;
    } else {
        machine.until(&trigger.when)?;
    }
    machine.kill()?;
    let outcome = machine.reorg(depth)?;
    let mut what = format!("the last {depth} blocks were replaced while it was down");
    match outcome {
        ReorgOutcome::Refused(why) => {
            return Ok(Injected::nothing(format!(
                "the chain was not reorganised: {why}"
            )));
        }
        ReorgOutcome::WhenUp => what.push_str(", and it was sent them at its start"),
        ReorgOutcome::WhileDown if trigger.recovery => {
            machine.start_until(&trigger.when)?;
            what.push_str(&format!("; it was killed again at {trigger}"));
        }
        ReorgOutcome::WhileDown => {}
    }
    machine.kill()?;
    Ok(Injected::hit(what))
}
