//! SIGSTOP for a time: the process stands still and then goes on as if nothing had been.

use std::time::Duration;

use plugpull_workloads::FailureClass;
use rand::RngExt;

use super::moments::{self, FirstCrash};
use super::stall;
use crate::fault::{Fault, InjectError, Injected, Machine};
use crate::trigger::Trigger;

/// A pause of the whole process tree.
pub(super) const STOP: Fault = Fault {
    name: "stop",
    about: "SIGSTOP of the whole process tree for 50 to 400 ms, then SIGCONT",
    class: FailureClass::Stall,
    needs: &[],
    usual_trigger: moments::after_acks,
    inject: strike,
};

fn strike(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, FirstCrash::Kill)?;
    let pause = Duration::from_millis(machine.rng().random_range(50..400));
    machine.signal(libc::SIGSTOP)?;
    machine.go_on();
    let meanwhile = machine.work_until(pause, &|_| false)?;
    machine.signal(libc::SIGCONT)?;
    let stays_down = stall::works_again(machine)?;
    // One answer may have been under way to each client when the signal came.
    let what = format!(
        "stopped for {pause:?} at {trigger}; {} transactions were acknowledged meanwhile",
        meanwhile.ok
    );
    Ok(Injected {
        stays_down,
        ..Injected::bit(what)
    })
}
