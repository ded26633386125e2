//! Power loss: every process dies, and of what was not synced the disk holds what it pleases.

use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use super::moments::{self, FirstCrash};
use crate::fault::{Bite, Fault, InjectError, Injected, Machine, Need};
use crate::inject::OpKind;
use crate::persist::Loss;
use crate::trigger::Trigger;

/// A power loss with one way of losing what was not synced.
pub(super) struct PowerLoss {
    name: &'static str,
    about: &'static str,
    loss: Loss,
    usual: fn(&mut ChaCha8Rng) -> Trigger,
}

/// Nothing un-synced survives.
pub(super) const POWER_LOSS: PowerLoss = PowerLoss {
    name: "power-loss",
    about: "power loss; nothing that was not synced survives",
    loss: Loss::Everything,
    usual: moments::anywhere,
};

/// A seeded subset of it survives.
pub(super) const POWER_LOSS_SUBSET: PowerLoss = PowerLoss {
    name: "power-loss-subset",
    about: "power loss; a seeded subset of what was not synced survives, some of it torn",
    loss: Loss::Subset,
    usual: moments::anywhere,
};

/// All of it survives but for a part of the last write.
pub(super) const POWER_LOSS_TORN: PowerLoss = PowerLoss {
    name: "power-loss-torn",
    about: "power loss in the middle of the last write: some of its sectors are old",
    loss: Loss::TornLast,
    usual: before_write_or_sync,
};

/// While the target recovers from an earlier power loss.
pub(super) const POWER_LOSS_RECOVERY: PowerLoss = PowerLoss {
    name: "power-loss-recovery",
    about: "power loss while the target recovers from a crash",
    loss: Loss::Subset,
    usual: moments::in_recovery,
};

fn before_write_or_sync(rng: &mut ChaCha8Rng) -> Trigger {
    moments::before(&[OpKind::Sync, OpKind::Write], rng)
}

impl Fault for PowerLoss {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn class(&self) -> FailureClass {
        FailureClass::PowerLoss
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::CrashFs]
    }

    fn usual_trigger(&self, rng: &mut ChaCha8Rng) -> Trigger {
        (self.usual)(rng)
    }

    fn inject(
        &self,
        machine: &mut dyn Machine,
        trigger: &Trigger,
    ) -> Result<Injected, InjectError> {
        moments::reach(machine, trigger, FirstCrash::PowerLoss)?;
        let off = machine.power_off(self.loss)?;
        // Cutting the power kills the target in any case; tearing needs something to tear.
        let bit = self.loss != Loss::TornLast || off.torn > 0;
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
}
