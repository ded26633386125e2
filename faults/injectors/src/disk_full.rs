//! Disk full: writes fit in part, then fail with ENOSPC; later there is space again.

use std::time::Duration;

use plugpull_sandbox::fuse::OpKind;
use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::stall;
use crate::trigger::Trigger;

/// How long to look for a refused transaction.
const FULL_FOR: Duration = Duration::from_millis(1500);

/// A disk that runs full and is given space again.
pub(crate) const DISK_FULL: Fault = Fault {
    name: "disk-full",
    about: "the disk has 0 to 16 pages left, so that a write fits in part or not at all; then space is freed",
    class: FailureClass::DiskFull,
    needs: &[Need::LimitedStorage],
    default_trigger,
    inject,
};

fn default_trigger(rng: &mut ChaCha8Rng) -> Trigger {
    if rng.random_bool(0.5) {
        default_triggers::before(&[OpKind::Write], rng)
    } else {
        default_triggers::after_acks(rng)
    }
}

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    let left = machine.rng().random_range(0..=16);
    let before = machine.fs().map_or(0, |fs| fs.damage_hits().1);
    machine.limit_space(Some(left))?;
    machine.go_on();
    let full = machine.work_until(FULL_FOR, &|tally| tally.fail + tally.info >= 3)?;
    machine.limit_space(None)?;
    let stays_down = stall::works_again(machine)?;
    // On a plain tmpfs only the target's own answers show it.
    let hit = match machine.fs() {
        Some(fs) => fs.damage_hits().1 > before,
        None => full.fail + full.info > 0,
    };
    let what = format!(
        "disk full with {left} pages left at {trigger}: {} transactions refused, {} unknown, \
         {} acknowledged meanwhile",
        full.fail, full.info, full.ok
    );
    Ok(Injected {
        stays_down,
        ..Injected::hit_if(hit, what)
    })
}
