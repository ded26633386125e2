//! SIGKILL of the whole process tree: the process dies, the machine does not.

use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use super::moments::{self, FirstCrash};
use crate::fault::{Fault, InjectError, Injected, Machine, Need};
use crate::trigger::Trigger;

/// A process crash at one kind of moment.
pub(super) struct Kill {
    name: &'static str,
    about: &'static str,
    usual: fn(&mut ChaCha8Rng) -> Trigger,
    needs: &'static [Need],
}

/// While it works.
pub(super) const KILL: Kill = Kill {
    name: "kill",
    about: "SIGKILL of the whole process tree while it works",
    usual: moments::after_acks,
    needs: &[],
};

/// While it recovers from an earlier kill.
pub(super) const KILL_RECOVERY: Kill = Kill {
    name: "kill-recovery",
    about: "SIGKILL while the target recovers from a SIGKILL",
    usual: moments::in_recovery,
    needs: &[Need::CrashFs],
};

/// At a chosen storage operation.
pub(super) const KILL_OP: Kill = Kill {
    name: "kill-op",
    about: "SIGKILL at a chosen storage operation",
    usual: moments::anywhere,
    needs: &[Need::CrashFs],
};

impl Fault for Kill {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn class(&self) -> FailureClass {
        FailureClass::ProcessCrash
    }

    fn needs(&self) -> &'static [Need] {
        self.needs
    }

    fn usual_trigger(&self, rng: &mut ChaCha8Rng) -> Trigger {
        (self.usual)(rng)
    }

    fn inject(
        &self,
        machine: &mut dyn Machine,
        trigger: &Trigger,
    ) -> Result<Injected, InjectError> {
        moments::reach(machine, trigger, FirstCrash::Kill)?;
        let alive = machine.kill()?;
        Ok(Injected::if_bit(alive, format!("killed at {trigger}")))
    }
}
