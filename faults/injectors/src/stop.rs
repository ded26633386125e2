//! SIGSTOP for a time: the process stands still and then goes on as if nothing had been.
// tidy: small because a fault is a file of its own

use std::time::Duration;

use plugpull_workloads::FailureClass;
use rand::RngExt;

use crate::default_triggers;
use crate::fault::{Fault, Injected};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::stall;
use crate::trigger::Trigger;

/// A pause of the whole process tree.
pub(crate) const STOP: Fault = Fault {
    name: "stop",
    about: "SIGSTOP of the whole process tree for 50 to 400 ms, then SIGCONT",
    class: FailureClass::Stall,
    needs: &[],
    default_trigger: default_triggers::after_acks,
    inject,
};

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    let pause = Duration::from_millis(machine.rng().random_range(50..400));
    machine.signal(libc::SIGSTOP)?;
    machine.go_on();
    let meanwhile = machine.work_until(pause, &|_| false)?;
    machine.signal(libc::SIGCONT)?;
    let after = stall::works_again(machine)?;
    // One answer may have been under way to each client when the signal came.
    let what = format!(
        "stopped for {pause:?} at {trigger}; {} transactions were acknowledged meanwhile{}",
        meanwhile.ok,
        after.describe()
    );
    Ok(Injected {
        stays_down: after.stays_down(),
        ..Injected::hit(what)
    })
}
