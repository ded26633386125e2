//! The kernel kills the target because its memory limit is reached.
// tidy: small because a fault is a file of its own

use plugpull_workloads::FailureClass;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::trigger::Trigger;

/// A kill by the kernel's OOM killer.
pub(crate) const OOM: Fault = Fault {
    name: "oom",
    about: "the memory limit of the target's cgroup is reached and the kernel kills it",
    class: FailureClass::OutOfMemory,
    needs: &[Need::MemoryCgroup],
    default_trigger: default_triggers::after_acks,
    inject,
};

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    machine.go_on();
    let evidence = machine.oom_kill()?;
    machine.kill()?;
    Ok(Injected::hit(format!(
        "killed for its memory at {trigger}: {evidence}"
    )))
}
