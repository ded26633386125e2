//! What the target's driver can do to it besides transactions (compact, vacuum, change what it follows),
//! with a SIGKILL behind it, in the midst of it, or before it.
// tidy: small because a fault is a file of its own

use plugpull_sandbox::fuse::OpKind;
use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{Acted, InjectError, Machine};
use crate::trigger::{Trigger, When};

/// Whatever actions there are: each is a fault of a run by its own name.
pub(crate) const ACT: Fault = Fault {
    name: "act",
    about: "each action of the target's driver by its own name (`plugpull targets NAME`), and SIGKILL",
    class: FailureClass::ProcessCrash,
    needs: &[Need::Action],
    default_trigger,
    inject,
};

/// After some acks, in the recovery from it, or most often in its midst.
fn default_trigger(rng: &mut ChaCha8Rng) -> Trigger {
    match rng.random_range(0..4) {
        0 => default_triggers::after_acks(rng),
        1 => default_triggers::in_recovery(rng),
        _ => default_triggers::before(&[OpKind::Sync, OpKind::Write], rng),
    }
}

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    // An operation is one of the time in which the action is done, where the target is up then.
    let midst = machine.acts_while_up() && trigger.at_operation() && !trigger.recovery;
    if midst || trigger.recovery {
        let acks = machine.rng().random_range(20..60);
        machine.until(&When::Ack(acks))?;
    } else {
        machine.until(&trigger.when)?;
    }
    let amount = trigger.amount.as_ref().map(|amount| amount.value);
    let mut what = match machine.act(amount, midst.then_some(&trigger.when))? {
        Acted::Done(what) => what,
        Acted::Refused(why) => return Ok(Injected::nothing(why)),
    };
    machine.kill()?;
    if trigger.recovery {
        machine.start_until(&trigger.when)?;
        what.push_str(&format!("; it was killed again at {trigger}"));
        machine.kill()?;
    }
    Ok(Injected::hit(what))
}
