//! Power loss: every process dies, and of what was not synced the disk holds what it pleases.

use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use super::moments::{self, FirstCrash};
use crate::fault::{Bite, Fault, InjectError, Injected, Machine, Need};
use crate::inject::OpKind;
use crate::trigger::Trigger;
use plugpull_crashsim::persist::Loss;

/// Nothing un-synced survives.
pub(super) const POWER_LOSS: Fault = Fault {
    name: "power-loss",
    about: "power loss; nothing that was not synced survives",
    class: FailureClass::PowerLoss,
    needs: &[Need::CrashFs],
    usual_trigger: moments::anywhere,
    inject: |machine, trigger| strike(machine, trigger, Loss::Everything),
};

/// A seeded subset of it survives.
pub(super) const POWER_LOSS_SUBSET: Fault = Fault {
    name: "power-loss-subset",
    about: "power loss; a seeded subset of what was not synced survives, some of it torn",
    class: FailureClass::PowerLoss,
    needs: &[Need::CrashFs],
    usual_trigger: moments::anywhere,
    inject: |machine, trigger| strike(machine, trigger, Loss::Subset),
};

/// All of it survives but for a part of the last write.
pub(super) const POWER_LOSS_TORN: Fault = Fault {
    name: "power-loss-torn",
    about: "power loss in the middle of the last write: some of its sectors are old",
    class: FailureClass::PowerLoss,
    needs: &[Need::CrashFs],
    usual_trigger: before_write_or_sync,
    inject: |machine, trigger| strike(machine, trigger, Loss::TornLast),
};

/// While the target recovers from an earlier power loss.
pub(super) const POWER_LOSS_RECOVERY: Fault = Fault {
    name: "power-loss-recovery",
    about: "power loss while the target recovers from a crash",
    class: FailureClass::PowerLoss,
    needs: &[Need::CrashFs],
    usual_trigger: moments::in_recovery,
    inject: |machine, trigger| strike(machine, trigger, Loss::Subset),
};

fn before_write_or_sync(rng: &mut ChaCha8Rng) -> Trigger {
    moments::before(&[OpKind::Sync, OpKind::Write], rng)
}

fn strike(
    machine: &mut dyn Machine,
    trigger: &Trigger,
    loss: Loss,
) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, FirstCrash::PowerLoss)?;
    let off = machine.power_off(loss)?;
    // Cutting the power kills the target in any case; tearing needs something to tear.
    let bit = loss != Loss::TornLast || off.torn > 0;
    Ok(Injected {
        bite: Bite::Known(bit),
        what: format!(
            "power lost at {trigger}: of {} un-synced changes {} were lost and {} torn",
            off.pending,
            off.lost - off.torn,
            off.torn
        ),
        lost_power: true,
        ..Injected::bit("")
    })
}
