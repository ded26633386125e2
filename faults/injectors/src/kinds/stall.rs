//! A slow device, and one that hangs for a time.

use std::time::Duration;

use plugpull_workloads::FailureClass;
use rand::RngExt;

use super::moments::{self, FirstCrash};
use crate::fault::{Fault, InjectError, Injected, Machine, Need};
use crate::inject::{Effect, Matcher, Rule};
use crate::trigger::Trigger;

/// How long the target may take to acknowledge again when the trouble is over.
const BACK_TO_WORK: Duration = Duration::from_secs(10);

/// Some operations take long.
pub(super) const DELAY: Fault = Fault {
    name: "delay",
    about: "up to 20 storage operations take 2 to 40 ms longer each",
    class: FailureClass::Stall,
    needs: &[Need::CrashFs],
    usual_trigger: moments::after_acks,
    inject: |machine, trigger| strike(machine, trigger, false),
};

/// Storage answers nothing for a time.
pub(super) const HANG: Fault = Fault {
    name: "hang",
    about: "the storage answers nothing for 50 to 400 ms",
    class: FailureClass::Stall,
    needs: &[Need::CrashFs],
    usual_trigger: moments::after_acks,
    inject: |machine, trigger| strike(machine, trigger, true),
};

fn strike(
    machine: &mut dyn Machine,
    trigger: &Trigger,
    hangs: bool,
) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, FirstCrash::Kill)?;
    let Some(fs) = machine.fs() else {
        return Ok(Injected::if_bit(false, "there is no crash filesystem"));
    };
    let rng = machine.rng();
    let hang = Duration::from_millis(rng.random_range(50..400));
    let delay = Duration::from_millis(rng.random_range(2..40));
    let effect = if hangs {
        Effect::Hang
    } else {
        Effect::Delay(delay)
    };
    let times = (!hangs).then_some(20);
    let rule = fs.add_rule(Rule {
        times,
        ..Rule::always(Matcher::default(), effect)
    });
    machine.go_on();
    machine.work_until(hang, &|_| false)?;
    let hits = fs.remove_rule(rule);
    let stays_down = works_again(machine)?;
    let what = if hangs {
        format!("the storage hung for {hang:?} at {trigger}")
    } else {
        format!("{hits} operations took {delay:?} longer from {trigger} on")
    };
    Ok(Injected {
        stays_down,
        ..Injected::if_bit(hits > 0, what)
    })
}

/// Waits for three acknowledged transactions; says what is wrong when they do not come.
pub(super) fn works_again(machine: &mut dyn Machine) -> Result<Option<String>, InjectError> {
    let tally = machine.work_until(BACK_TO_WORK, &|tally| tally.ok >= 3)?;
    Ok((tally.ok == 0).then(|| {
        format!(
            "no transaction was acknowledged within {BACK_TO_WORK:?} after the trouble was over \
             ({} refused, {} unanswered)",
            tally.fail, tally.info
        )
    }))
}
