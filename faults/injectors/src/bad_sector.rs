//! Bad sectors: a range of a file cannot be read, until it is rewritten or permanently.

use plugpull_crashsim::fs::{Ino, Node, SECTOR, Tree};
use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::default_triggers;
use crate::fault::{Effect, Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine, Read};
use crate::random_sector;
use crate::trigger::Trigger;

/// Good again once it is rewritten, as when a disk remaps it.
pub(crate) const BAD_SECTOR: Fault = Fault {
    name: "bad-sector",
    about: "after a SIGKILL, 1 to 8 sectors that are read cannot be read until they are rewritten",
    class: FailureClass::Corruption,
    needs: &[Need::CrashFs],
    default_trigger: default_triggers::after_acks,
    inject: |machine, trigger| inject(machine, trigger, false),
};

/// Never good again.
pub(crate) const BAD_SECTOR_PERMANENT: Fault = Fault {
    name: "bad-sector-permanent",
    about: "after a SIGKILL, 1 to 8 sectors that are read can never be read again",
    class: FailureClass::Corruption,
    needs: &[Need::CrashFs],
    default_trigger: default_triggers::after_acks,
    inject: |machine, trigger| inject(machine, trigger, true),
};

/// A file with data that the trigger means, and the offset of one of its sectors: inode, path,
/// offset.
fn pick(tree: &Tree, trigger: &Trigger, rng: &mut ChaCha8Rng) -> Option<(Ino, String, u64)> {
    let mut files: Vec<(Ino, String, u64)> = tree
        .inodes()
        .filter_map(|(ino, inode)| match &inode.node {
            Node::File(content) if inode.nlink > 0 && trigger.damages(&inode.path) => {
                Some((ino, inode.path.to_string(), content.size()))
            }
            _ => None,
        })
        .collect();
    files.sort();
    let sizes: Vec<u64> = files.iter().map(|(_, _, size)| *size).collect();
    let (index, offset) = random_sector::pick(&sizes, rng)?;
    let (ino, path, _) = files.swap_remove(index);
    Some((ino, path, offset))
}

fn inject(
    machine: &mut dyn Machine,
    trigger: &Trigger,
    permanent: bool,
) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    machine.kill()?;
    machine.remount()?;
    let reads = machine.rehearse()?;
    let reads: Vec<&Read> = (reads.iter())
        .filter(|read| trigger.damages(&read.path))
        .collect();
    let Some(fs) = machine.fs() else {
        return Ok(Injected::without_crash_fs());
    };
    let count = machine.rng().random_range(1..=8);
    let picked = match random_sector::pick_read(&reads, machine.rng()) {
        Some(read) => Some((read.ino, read.path.clone(), read.offset)),
        None => fs.inspect(|tree, _| pick(tree, trigger, machine.rng())),
    };
    let Some((ino, path, start)) = picked else {
        return Ok(Injected::nothing(random_sector::NO_DATA));
    };
    let end = start + count * SECTOR;
    fs.damage(|_, bad| bad.add(ino, start, end, permanent));
    let how_long = if permanent {
        "ever again"
    } else {
        "until rewritten"
    };
    let what = format!("bytes {start} to {end} of {path} cannot be read {how_long}");
    Ok(Injected {
        effect: Effect::HitIfRead,
        damage: Some(what.clone()),
        ..Injected::hit(what)
    })
}
