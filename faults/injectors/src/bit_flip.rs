//! Flipped bits: what was written is not what is read.

use plugpull_crashsim::fs::SECTOR;
use plugpull_workloads::FailureClass;
use rand::RngExt;

use crate::default_triggers;
use crate::fault::{Effect, Fault, Injected};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::random_sector;
use crate::trigger::Trigger;

/// A few flipped bits in one file at rest.
pub(crate) const BIT_FLIP: Fault = Fault {
    name: "bit-flip",
    about: "after a SIGKILL, 1 to 6 bits of a file are flipped",
    class: FailureClass::Corruption,
    needs: &[],
    default_trigger: default_triggers::after_acks,
    inject,
};

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    machine.kill()?;
    machine.remount()?;
    let mut files = machine.files()?;
    files.retain(|(path, _)| trigger.damages(path));
    in_one_of(machine, &files, random_sector::NO_DATA)
}

/// Flips bits of one of these files (path and size in bytes); where none of them holds data, the
/// fault did nothing, for this reason.
pub(crate) fn in_one_of(
    machine: &mut dyn Machine,
    files: &[(String, u64)],
    nothing: &str,
) -> Result<Injected, InjectError> {
    let sizes: Vec<u64> = files.iter().map(|(_, size)| *size).collect();
    let Some((index, sector)) = random_sector::pick(&sizes, machine.rng()) else {
        return Ok(Injected::nothing(nothing));
    };
    let (path, size) = &files[index];
    let end = (sector + SECTOR).min(*size);
    let count = machine.rng().random_range(1..=6);
    let mut flipped = Vec::new();
    for n in 0..count {
        // The first where it was picked, the others anywhere in the file: what is free or
        // obsolete in it is read by nobody.
        let (from, to) = if n == 0 { (sector, end) } else { (0, *size) };
        let at = machine.rng().random_range(from..to);
        let bit = machine.rng().random_range(0..8u8);
        if !flipped.contains(&(at, bit)) {
            flipped.push((at, bit));
            machine.flip(path, at, bit)?;
        }
    }
    flipped.sort_unstable();
    let places: Vec<String> = flipped
        .iter()
        .map(|(at, bit)| format!("byte {at} bit {bit}"))
        .collect();
    let damage = format!("flipped {} of {path}", places.join(", "));
    // Only the crash filesystem sees reads.
    let (effect, what) = match machine.fs() {
        Some(_) => (Effect::HitIfRead, damage.clone()),
        None => {
            let what = format!("{damage}; whether they were read is not known");
            (Effect::Hit, what)
        }
    };
    Ok(Injected {
        effect,
        damage: Some(damage),
        ..Injected::hit(what)
    })
}
