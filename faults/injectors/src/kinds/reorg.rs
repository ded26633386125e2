//! A reorganisation of the chain that the target follows, while it is down.

use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::moments;
use crate::fault::{Fault, InjectError, Injected, Machine, Need, Told};
use crate::trigger::{Trigger, When};

/// The deepest that the seed chooses: Bitcoin's anchors count as confirmed after six blocks.
const DEEPEST: u32 = 8;

/// The chain's last blocks are others when the target comes back.
pub(super) const REORG: Fault = Fault {
    name: "reorg",
    about: "SIGKILL; while the target is down the last 1 to 8 blocks, or depth=BLOCKS, of its chain are replaced",
    class: FailureClass::ProcessCrash,
    needs: &[Need::Chain],
    usual_trigger,
    inject: strike,
};

/// After some acks; half of the time the target is killed again while it takes the new blocks in.
fn usual_trigger(rng: &mut ChaCha8Rng) -> Trigger {
    if rng.random_bool(0.5) {
        moments::after_acks(rng)
    } else {
        moments::in_recovery(rng)
    }
}

fn strike(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    let seeded = machine.rng().random_range(1..=DEEPEST);
    let depth = trigger.depth.unwrap_or(seeded);
    if trigger.recovery {
        let acks = machine.rng().random_range(20..60);
        machine.until(&When::Ack(acks))?;
    } else {
        machine.until(&trigger.when)?;
    }
    machine.kill()?;
    let told = machine.reorg(depth)?;
    let mut what = format!("the last {depth} blocks were replaced while it was down");
    match told {
        Told::Refused(why) => {
            return Ok(Injected::if_bit(
                false,
                format!("the chain was not reorganised: {why}"),
            ));
        }
        Told::WhenUp => what.push_str(", and it was told at its start"),
        Told::WhileDown if trigger.recovery => {
            machine.start_until(&trigger.when)?;
            what.push_str(&format!("; it was killed again at {trigger}"));
        }
        Told::WhileDown => {}
    }
    machine.kill()?;
    Ok(Injected::bit(what))
}
