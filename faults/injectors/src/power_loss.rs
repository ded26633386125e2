//! Power loss: every process dies, and the disk holds any part of what was not synced.

use plugpull_crashsim::persist::Loss;
use plugpull_sandbox::fuse::OpKind;
use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::trigger::Trigger;

/// Nothing un-synced survives.
pub(crate) const POWER_LOSS: Fault = Fault {
    name: "power-loss",
    about: "power loss; nothing that was not synced survives",
    class: FailureClass::PowerLoss,
    needs: &[Need::CrashFs],
    default_trigger: default_triggers::anywhere,
    inject: |machine, trigger| inject(machine, trigger, Loss::Everything),
};

/// A seeded subset of it survives.
pub(crate) const POWER_LOSS_SUBSET: Fault = Fault {
    name: "power-loss-subset",
    about: "power loss; a seeded subset of what was not synced survives, some of it torn",
    class: FailureClass::PowerLoss,
    needs: &[Need::CrashFs],
    default_trigger: default_triggers::anywhere,
    inject: |machine, trigger| inject(machine, trigger, Loss::Subset),
};

/// All of it survives but for a part of the last write.
pub(crate) const POWER_LOSS_TORN: Fault = Fault {
    name: "power-loss-torn",
    about: "power loss in the middle of the last write: some of its sectors are old",
    class: FailureClass::PowerLoss,
    needs: &[Need::CrashFs],
    default_trigger: before_write_or_sync,
    inject: |machine, trigger| inject(machine, trigger, Loss::TornLast),
};

/// While the target recovers from an earlier power loss.
pub(crate) const POWER_LOSS_RECOVERY: Fault = Fault {
    name: "power-loss-recovery",
    about: "power loss while the target recovers from a crash",
    class: FailureClass::PowerLoss,
    needs: &[Need::CrashFs],
    default_trigger: default_triggers::in_recovery,
    inject: |machine, trigger| inject(machine, trigger, Loss::Subset),
};

fn before_write_or_sync(rng: &mut ChaCha8Rng) -> Trigger {
    default_triggers::before(&[OpKind::Sync, OpKind::Write], rng)
}

fn inject(
    machine: &mut dyn Machine,
    trigger: &Trigger,
    loss: Loss,
) -> Result<Injected, InjectError> {
    let first = machine::reach(machine, trigger, FirstCrash::PowerLoss)?;
    let off = machine.power_off(loss)?;
    // A power loss that lost nothing is no more than a kill; tearing needs something to tear.
    let hit = match loss {
        Loss::TornLast => off.torn > 0,
        _ => off.lost > 0 || first.lost > 0,
    };
    let what = format!(
        "power lost at {trigger}: of {} un-synced changes {} were lost and {} torn",
        off.pending,
        off.lost - off.torn,
        off.torn
    );
    Ok(Injected {
        lost_power: true,
        ..Injected::hit_if(hit, what)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;

    use super::*;
    use crate::control::Control;
    use crate::fault::Effect;
    use crate::machine::{PowerOff, ReorgOutcome, Started, Tally};
    use crate::trigger::When;

    /// A machine on which each power loss does what the list says, the last entry first.
    struct Scripted {
        rng: ChaCha8Rng,
        losses: Vec<PowerOff>,
    }

    impl Machine for Scripted {
        fn rng(&mut self) -> &mut ChaCha8Rng {
            &mut self.rng
        }
        fn fs(&self) -> Option<Control> {
            None
        }
        fn until(&mut self, _: &When) -> Result<(), InjectError> {
            Ok(())
        }
        fn start_until(&mut self, _: &When) -> Result<(), InjectError> {
            Ok(())
        }
        fn go_on(&mut self) {}
        fn kill(&mut self) -> Result<bool, InjectError> {
            unreachable!("a power loss kills nothing by itself")
        }
        fn power_off(&mut self, _: Loss) -> Result<PowerOff, InjectError> {
            Ok(self.losses.pop().unwrap())
        }
        fn remount(&mut self) -> Result<(), InjectError> {
            unreachable!()
        }
        fn files(&mut self) -> Result<Vec<(String, u64)>, InjectError> {
            unreachable!()
        }
        fn flip(&mut self, _: &str, _: u64, _: u8) -> Result<(), InjectError> {
            unreachable!()
        }
        fn snapshots(&mut self) -> Result<Vec<(String, u64)>, InjectError> {
            unreachable!()
        }
        fn reorg(&mut self, _: u32) -> Result<ReorgOutcome, InjectError> {
            unreachable!()
        }
        fn signal(&mut self, _: i32) -> Result<(), InjectError> {
            unreachable!()
        }
        fn wait_exit(&mut self, _: Duration) -> Result<Option<i32>, InjectError> {
            unreachable!()
        }
        fn start(&mut self) -> Result<Started, InjectError> {
            unreachable!()
        }
        fn oom_kill(&mut self) -> Result<String, InjectError> {
            unreachable!()
        }
        fn limit_space(&mut self, _: Option<u64>) -> Result<(), InjectError> {
            unreachable!()
        }
        fn work_until(
            &mut self,
            _: Duration,
            _: &dyn Fn(&Tally) -> bool,
        ) -> Result<Tally, InjectError> {
            unreachable!()
        }
    }

    /// The effect of a fault, where the power losses do this: of ten pending updates so many are
    /// lost, and so many torn.
    fn effect(fault: &Fault, trigger: &Trigger, losses: &[(usize, usize)]) -> Effect {
        let off = |&(lost, torn): &(usize, usize)| PowerOff {
            pending: 10,
            lost,
            torn,
        };
        let mut machine = Scripted {
            rng: ChaCha8Rng::seed_from_u64(1),
            losses: losses.iter().rev().map(off).collect(),
        };
        let injected = (fault.inject)(&mut machine, trigger).unwrap();
        assert!(machine.losses.is_empty() && injected.lost_power);
        injected.effect
    }

    #[test]
    fn a_power_loss_that_lost_nothing_is_no_hit() {
        let ack = Trigger::at(When::Ack(3));
        for fault in [&POWER_LOSS, &POWER_LOSS_SUBSET] {
            assert_eq!(effect(fault, &ack, &[(0, 0)]), Effect::Nothing);
            assert_eq!(effect(fault, &ack, &[(2, 0)]), Effect::Hit);
        }
        assert_eq!(effect(&POWER_LOSS_TORN, &ack, &[(2, 0)]), Effect::Nothing);
        assert_eq!(effect(&POWER_LOSS_TORN, &ack, &[(1, 1)]), Effect::Hit);
    }

    #[test]
    fn one_of_the_two_power_losses_of_a_recovery_must_lose_something() {
        let recovery = Trigger {
            recovery: true,
            ..Trigger::at(When::Time(Duration::ZERO))
        };
        for (losses, expected) in [
            ([(0, 0), (0, 0)], Effect::Nothing),
            ([(1, 0), (0, 0)], Effect::Hit),
            ([(0, 0), (3, 1)], Effect::Hit),
        ] {
            assert_eq!(effect(&POWER_LOSS_RECOVERY, &recovery, &losses), expected);
        }
    }
}
