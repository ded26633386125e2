//! The kernel kills the target because its memory limit is reached.

use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use super::moments::{self, FirstCrash};
use crate::fault::{Fault, InjectError, Injected, Machine, Need};
use crate::trigger::Trigger;

/// A kill by the kernel's OOM killer.
pub(super) struct Oom;

/// The one instance.
pub(super) const OOM: Oom = Oom;

impl Fault for Oom {
    fn name(&self) -> &'static str {
        "oom"
    }

    fn about(&self) -> &'static str {
        "the memory limit of the target's cgroup is reached and the kernel kills it"
    }

    fn class(&self) -> FailureClass {
        FailureClass::OutOfMemory
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::MemoryCgroup]
    }

    fn usual_trigger(&self, rng: &mut ChaCha8Rng) -> Trigger {
        moments::after_acks(rng)
    }

    fn inject(
        &self,
        machine: &mut dyn Machine,
        trigger: &Trigger,
    ) -> Result<Injected, InjectError> {
        moments::reach(machine, trigger, FirstCrash::Kill)?;
        machine.go_on();
        let evidence = machine.oom_kill()?;
        machine.kill()?;
        Ok(Injected::bit(format!(
            "killed for its memory at {trigger}: {evidence}"
        )))
    }
}
