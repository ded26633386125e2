//! SIGKILL of the whole process tree: the process dies, the machine does not.

use plugpull_workloads::FailureClass;

use super::moments::{self, FirstCrash};
use crate::fault::{Fault, InjectError, Injected, Machine, Need};
use crate::trigger::Trigger;

/// While it works.
pub(super) const KILL: Fault = Fault {
    name: "kill",
    about: "SIGKILL of the whole process tree while it works",
    class: FailureClass::ProcessCrash,
    needs: &[],
    usual_trigger: moments::after_acks,
    inject: strike,
};

/// While it recovers from an earlier kill.
pub(super) const KILL_RECOVERY: Fault = Fault {
    name: "kill-recovery",
    about: "SIGKILL while the target recovers from a SIGKILL",
    class: FailureClass::ProcessCrash,
    needs: &[Need::CrashFs],
    usual_trigger: moments::in_recovery,
    inject: strike,
};

/// At a chosen storage operation.
pub(super) const KILL_OP: Fault = Fault {
    name: "kill-op",
    about: "SIGKILL at a chosen storage operation",
    class: FailureClass::ProcessCrash,
    needs: &[Need::CrashFs],
    usual_trigger: moments::anywhere,
    inject: strike,
};

fn strike(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, FirstCrash::Kill)?;
    let alive = machine.kill()?;
    Ok(Injected::if_bit(alive, format!("killed at {trigger}")))
}
