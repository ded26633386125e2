//! A slow device, and one that hangs for a time.

use std::time::Duration;

use plugpull_workloads::FailureClass;
use rand::RngExt;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, Afterwards, FirstCrash, InjectError, Machine};
use crate::rule::{Matcher, Response, Rule};
use crate::trigger::Trigger;

/// How long the target may take to acknowledge again when the fault is over.
const BACK_TO_WORK: Duration = Duration::from_secs(10);

/// Some operations take long.
pub(crate) const DELAY: Fault = Fault {
    name: "delay",
    about: "up to 20 storage operations take 2 to 40 ms longer each",
    class: FailureClass::Stall,
    needs: &[Need::CrashFs],
    default_trigger: default_triggers::after_acks,
    inject: |machine, trigger| inject(machine, trigger, false),
};

/// Storage answers nothing for a time.
pub(crate) const HANG: Fault = Fault {
    name: "hang",
    about: "the storage answers nothing for 50 to 400 ms",
    class: FailureClass::Stall,
    needs: &[Need::CrashFs],
    default_trigger: default_triggers::after_acks,
    inject: |machine, trigger| inject(machine, trigger, true),
};

fn inject(
    machine: &mut dyn Machine,
    trigger: &Trigger,
    hangs: bool,
) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    let Some(fs) = machine.fs() else {
        return Ok(Injected::without_crash_fs());
    };
    let rng = machine.rng();
    let hang = Duration::from_millis(rng.random_range(50..400));
    let delay = Duration::from_millis(rng.random_range(2..40));
    let response = if hangs {
        Response::Hang
    } else {
        Response::Delay(delay)
    };
    let times = (!hangs).then_some(20);
    let rule = fs.add_rule(Rule {
        times,
        ..Rule::always(Matcher::default(), response)
    });
    machine.go_on();
    machine.work_until(hang, &|_| false)?;
    let hits = fs.remove_rule(rule);
    let after = works_again(machine)?;
    let what = if hangs {
        format!("the storage hung for {hang:?} at {trigger}")
    } else {
        format!("{hits} operations took {delay:.1?} longer from {trigger} on")
    };
    let what = what + &after.describe();
    Ok(Injected {
        stays_down: after.stays_down(),
        ..Injected::hit_if(hits > 0, what)
    })
}

/// How the target fares when the trouble is over.
pub(crate) fn works_again(machine: &mut dyn Machine) -> Result<Afterwards, InjectError> {
    machine.afterwards(BACK_TO_WORK)
}
