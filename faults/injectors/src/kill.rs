//! SIGKILL of the whole process tree: the process dies, the machine does not.
// tidy: small because a fault is a file of its own

use plugpull_workloads::FailureClass;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::trigger::Trigger;

/// While it works.
pub(crate) const KILL: Fault = Fault {
    name: "kill",
    about: "SIGKILL of the whole process tree while it works",
    class: FailureClass::ProcessCrash,
    needs: &[],
    default_trigger: default_triggers::after_acks,
    inject,
};

/// While it recovers from an earlier kill.
pub(crate) const KILL_RECOVERY: Fault = Fault {
    name: "kill-recovery",
    about: "SIGKILL while the target recovers from a SIGKILL",
    class: FailureClass::ProcessCrash,
    needs: &[Need::CrashFs],
    default_trigger: default_triggers::in_recovery,
    inject,
};

/// At a chosen storage operation.
pub(crate) const KILL_OP: Fault = Fault {
    name: "kill-op",
    about: "SIGKILL at a chosen storage operation",
    class: FailureClass::ProcessCrash,
    needs: &[Need::CrashFs],
    default_trigger: default_triggers::anywhere,
    inject,
};

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    let alive = machine.kill()?;
    Ok(Injected::hit_if(alive, format!("killed at {trigger}")))
}
