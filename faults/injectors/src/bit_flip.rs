//! Flipped bits: what was written is not what is read.

use plugpull_crashsim::fs::SECTOR;
use plugpull_workloads::FailureClass;
use rand::RngExt;

use crate::default_triggers;
use crate::fault::{Effect, Fault, Injected};
use crate::machine::{self, FirstCrash, InjectError, Machine, Read};
use crate::random_sector;
use crate::trigger::Trigger;

/// A few flipped bits in one file at rest.
pub(crate) const BIT_FLIP: Fault = Fault {
    name: "bit-flip",
    about: "after a SIGKILL, 1 to 6 bits of a file are flipped, in what is read of it",
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

/// Flips bits of one of these files (path and size in bytes), of those that are read where any is;
/// where none of them holds data, the fault did nothing, for this reason.
pub(crate) fn in_one_of(
    machine: &mut dyn Machine,
    files: &[(String, u64)],
    nothing: &str,
) -> Result<Injected, InjectError> {
    let reads = machine.rehearse()?;
    let meant = |read: &&Read| files.iter().any(|(path, _)| *path == read.path);
    let reads: Vec<&Read> = reads.iter().filter(meant).collect();
    let sizes: Vec<u64> = files.iter().map(|(_, size)| *size).collect();
    let (path, size, sector) = match random_sector::pick_read(&reads, machine.rng()) {
        Some(read) => {
            let size = files.iter().find(|(path, _)| *path == read.path);
            (&read.path, size.map_or(0, |(_, size)| *size), read.offset)
        }
        None => match random_sector::pick(&sizes, machine.rng()) {
            Some((index, sector)) => (&files[index].0, files[index].1, sector),
            None => return Ok(Injected::nothing(nothing)),
        },
    };
    let of_file: Vec<u64> = reads
        .iter()
        .filter(|read| read.path == *path)
        .map(|read| read.offset)
        .collect();
    let count = machine.rng().random_range(1..=6);
    let mut flipped = Vec::new();
    for n in 0..count {
        // The first where it was picked, the others anywhere in the file that is read: what is free or
        // obsolete in it is read by nobody.
        let from = match of_file.len() {
            _ if n == 0 => sector,
            0 => machine.rng().random_range(0..size.div_ceil(SECTOR)) * SECTOR,
            read => of_file[machine.rng().random_range(0..read)],
        };
        let at = machine.rng().random_range(from..(from + SECTOR).min(size));
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
