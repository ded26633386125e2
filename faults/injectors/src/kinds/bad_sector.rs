//! Bad sectors: a range of a file cannot be read, until it is rewritten or for ever.

use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::moments::{self, FirstCrash};
use super::place;
use crate::fault::{Bite, Fault, InjectError, Injected, Machine, Need};
use crate::inject::SECTOR;
use crate::trigger::Trigger;
use plugpull_crashsim::fs::{Ino, Node, Tree};

/// Good again once it is rewritten, as when a disk remaps it.
pub(super) const BAD_SECTOR: Fault = Fault {
    name: "bad-sector",
    about: "after a SIGKILL, 1 to 8 sectors of a file cannot be read until they are rewritten",
    class: FailureClass::Corruption,
    needs: &[Need::CrashFs],
    usual_trigger: moments::after_acks,
    inject: |machine, trigger| strike(machine, trigger, false),
};

/// Never good again.
pub(super) const BAD_SECTOR_FOR_EVER: Fault = Fault {
    name: "bad-sector-for-ever",
    about: "after a SIGKILL, 1 to 8 sectors of a file can never be read again",
    class: FailureClass::Corruption,
    needs: &[Need::CrashFs],
    usual_trigger: moments::after_acks,
    inject: |machine, trigger| strike(machine, trigger, true),
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
    let (index, offset) = place::pick(&sizes, rng)?;
    let (ino, path, _) = files.swap_remove(index);
    Some((ino, path, offset))
}

fn strike(
    machine: &mut dyn Machine,
    trigger: &Trigger,
    for_ever: bool,
) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, FirstCrash::Kill)?;
    machine.kill()?;
    machine.remount()?;
    let Some(fs) = machine.fs() else {
        return Ok(Injected::if_bit(false, "there is no crash filesystem"));
    };
    let count = machine.rng().random_range(1..=8);
    let picked = fs.inspect(|tree, _| pick(tree, trigger, machine.rng()));
    let Some((ino, path, start)) = picked else {
        return Ok(Injected::if_bit(false, place::NOTHING));
    };
    let end = start + count * SECTOR;
    fs.damage(|_, bad| bad.add(ino, start, end, for_ever));
    let how_long = if for_ever {
        "ever again"
    } else {
        "until rewritten"
    };
    let what = format!("bytes {start} to {end} of {path} cannot be read {how_long}");
    Ok(Injected {
        bite: Bite::WhenRead,
        damage: Some(what.clone()),
        ..Injected::bit(what)
    })
}
