//! Power loss: every process dies, and the disk holds any part of what was not synced.

use plugpull_crashsim::persist::Loss;
use plugpull_sandbox::fuse::OpKind;
use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine, Stake};
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
    let stake = match first.lost {
        0 => machine::await_stake(machine, loss)?,
        // The first power loss of a recovery has hit already.
        _ => Stake {
            passed: 0,
            found: true,
        },
    };
    if !stake.found && !stake.is_never() {
        return Err(InjectError::NeverReached(format!(
            "in front of the {} operations that came from {trigger} on there was nothing un-synced that \
             could be lost",
            stake.passed
        )));
    }
    let off = machine.power_off(loss)?;
    // A power loss that lost nothing is no more than a kill; tearing needs something to tear.
    let hit = match loss {
        Loss::TornLast => off.torn > 0,
        _ => off.lost > 0 || first.lost > 0,
    };
    if !hit && stake.is_never() {
        let nothing = match loss {
            Loss::TornLast => "no unsynced write of more than one sector, so nothing to tear",
            _ => "nothing unsynced, so nothing to lose",
        };
        let why = format!(
            "the power went at {trigger}, and in front of the {} operations from there on there was \
             {nothing}",
            stake.passed
        );
        return Ok(Injected {
            lost_power: true,
            ..Injected::not_applicable(why)
        });
    }
    let later = match stake.passed {
        0 => String::new(),
        1 => ", one operation later, when something was un-synced".into(),
        n => format!(", {n} operations later, when something was un-synced"),
    };
    let what = format!(
        "power lost at {trigger}{later}: of {} un-synced changes {} were lost and {} torn",
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
    use crate::machine::{Acted, Afterwards, PowerOff, Read, SpaceTaken, Started, Tally};
    use crate::trigger::When;

    /// A machine on which each power loss does what the list says, the last entry first.
    struct Scripted {
        rng: ChaCha8Rng,
        losses: Vec<PowerOff>,
        /// What is at stake in front of each operation from the moment on, and then for ever.
        stakes: Vec<PowerOff>,
        /// How many operations the workload goes on for.
        operations: usize,
        /// How many of them went by.
        passed: usize,
    }

    fn off(&(lost, torn): &(usize, usize)) -> PowerOff {
        PowerOff {
            pending: 10,
            lost,
            torn,
        }
    }

    impl Machine for Scripted {
        fn rng(&mut self) -> &mut ChaCha8Rng {
            &mut self.rng
        }
        fn fs(&self) -> Option<Control> {
            None
        }
        fn until(&mut self, when: &When) -> Result<(), InjectError> {
            if matches!(when, When::Op { .. }) {
                if self.passed == self.operations {
                    return Err(InjectError::NeverReached("it had ended".into()));
                }
                self.passed += 1;
            }
            Ok(())
        }
        fn at_stake(&mut self, _: Loss) -> Result<PowerOff, InjectError> {
            let last = self.stakes.len() - 1;
            Ok(self.stakes[self.passed.min(last)].clone())
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
        fn rehearse(&mut self) -> Result<Vec<Read>, InjectError> {
            unreachable!()
        }
        fn growth(&mut self) -> Option<SpaceTaken> {
            unreachable!()
        }
        fn flip(&mut self, _: &str, _: u64, _: u8) -> Result<(), InjectError> {
            unreachable!()
        }
        fn snapshots(&mut self) -> Result<Vec<(String, u64)>, InjectError> {
            unreachable!()
        }
        fn acts_while_up(&self) -> bool {
            unreachable!()
        }
        fn act(&mut self, _: Option<u32>, _: Option<&When>) -> Result<Acted, InjectError> {
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
        fn works(&mut self) -> bool {
            unreachable!()
        }
        fn afterwards(&mut self, _: Duration) -> Result<Afterwards, InjectError> {
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
        let losses: Vec<PowerOff> = losses.iter().rev().map(off).collect();
        let mut machine = Scripted {
            rng: ChaCha8Rng::seed_from_u64(1),
            // It may be otherwise when the power goes.
            stakes: vec![off(&(3, 1))],
            losses,
            operations: 0,
            passed: 0,
        };
        let injected = (fault.inject)(&mut machine, trigger).unwrap();
        assert!(machine.losses.is_empty() && injected.lost_power);
        injected.effect
    }

    /// What a power loss at an ack does where this is at stake in front of so many operations.
    fn searched(fault: &Fault, stakes: &[(usize, usize)], operations: usize) -> (Injected, usize) {
        let stakes: Vec<PowerOff> = stakes.iter().map(off).collect();
        let mut machine = Scripted {
            rng: ChaCha8Rng::seed_from_u64(1),
            losses: vec![stakes[operations.min(stakes.len() - 1)].clone()],
            stakes,
            operations,
            passed: 0,
        };
        let injected = (fault.inject)(&mut machine, &Trigger::at(When::Ack(3))).unwrap();
        (injected, machine.passed)
    }

    #[test]
    fn a_power_loss_waits_until_there_is_something_to_lose() {
        let (injected, passed) = searched(&POWER_LOSS, &[(0, 0), (0, 0), (2, 0)], 300);
        assert_eq!((injected.effect, passed), (Effect::Hit, 2));
        assert!(injected.what.contains("2 operations later"));
        // One that tears waits for something to tear.
        let stakes = [(1, 0), (2, 0), (2, 0), (2, 1)];
        let (injected, passed) = searched(&POWER_LOSS_TORN, &stakes, 300);
        assert_eq!((injected.effect, passed), (Effect::Hit, 3));
        let (_, passed) = searched(&POWER_LOSS, &stakes, 300);
        assert_eq!(passed, 0);
    }

    #[test]
    fn what_never_has_anything_to_lose_is_not_applicable_and_a_short_look_is_no_proof() {
        let (injected, passed) = searched(&POWER_LOSS, &[(0, 0)], 1000);
        assert_eq!((injected.effect, passed), (Effect::NotApplicable, 200));
        let (injected, _) = searched(&POWER_LOSS_TORN, &[(1, 0)], 20);
        assert_eq!(injected.effect, Effect::NotApplicable);
        assert!(injected.what.contains("nothing to tear"));
        for operations in [0, 3, 19] {
            let mut machine = Scripted {
                rng: ChaCha8Rng::seed_from_u64(1),
                losses: Vec::new(),
                stakes: vec![off(&(0, 0))],
                operations,
                passed: 0,
            };
            let failed = (POWER_LOSS.inject)(&mut machine, &Trigger::at(When::Ack(3)));
            assert!(matches!(failed, Err(InjectError::NeverReached(_))));
        }
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
