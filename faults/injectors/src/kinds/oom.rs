//! The kernel kills the target because its memory limit is reached.

use plugpull_workloads::FailureClass;

use super::moments::{self, FirstCrash};
use crate::fault::{Fault, InjectError, Injected, Machine, Need};
use crate::trigger::Trigger;

/// A kill by the kernel's OOM killer.
pub(super) const OOM: Fault = Fault {
    name: "oom",
    about: "the memory limit of the target's cgroup is reached and the kernel kills it",
    class: FailureClass::OutOfMemory,
    needs: &[Need::MemoryCgroup],
    usual_trigger: moments::after_acks,
    inject: strike,
};

fn strike(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, FirstCrash::Kill)?;
    machine.go_on();
    let evidence = machine.oom_kill()?;
    machine.kill()?;
    Ok(Injected::bit(format!(
        "killed for its memory at {trigger}: {evidence}"
    )))
}
