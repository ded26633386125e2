//! Flipped bits: what was written is not what is read.

use plugpull_workloads::FailureClass;
use rand::RngExt;

use super::moments::{self, FirstCrash};
use super::place;
use crate::fault::{Bite, Fault, InjectError, Injected, Machine};
use crate::trigger::Trigger;

/// A few flipped bits in one file at rest.
pub(super) const BIT_FLIP: Fault = Fault {
    name: "bit-flip",
    about: "after a SIGKILL, 1 to 6 bits of a file are flipped",
    class: FailureClass::Corruption,
    needs: &[],
    usual_trigger: moments::after_acks,
    inject: strike,
};

fn strike(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, FirstCrash::Kill)?;
    machine.kill()?;
    machine.remount()?;
    let mut files = machine.files()?;
    files.retain(|(path, _)| trigger.damages(path));
    in_one_of(machine, &files, place::NOTHING)
}

/// Flips bits of one of these files (path and size in bytes); where none of them holds data, the
/// fault did nothing, for this reason.
pub(super) fn in_one_of(
    machine: &mut dyn Machine,
    files: &[(String, u64)],
    nothing: &str,
) -> Result<Injected, InjectError> {
    let sizes: Vec<u64> = files.iter().map(|(_, size)| *size).collect();
    let Some((index, sector)) = place::pick(&sizes, machine.rng()) else {
        return Ok(Injected::if_bit(false, nothing));
    };
    let (path, size) = &files[index];
    let end = (sector + crate::inject::SECTOR).min(*size);
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
    let (bite, what) = match machine.fs() {
        Some(_) => (Bite::WhenRead, damage.clone()),
        None => {
            let what = format!("{damage}; whether they were read is not known");
            (Bite::Known(true), what)
        }
    };
    Ok(Injected {
        bite,
        damage: Some(damage),
        ..Injected::bit(what)
    })
}
