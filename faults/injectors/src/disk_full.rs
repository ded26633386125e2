//! Disk full: writes fit in part, then fail with ENOSPC; later there is space again.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;
use plugpull_crashsim::fs::Node;
use plugpull_sandbox::fuse::OpKind;
use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::control::Control;
use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, Afterwards, FirstCrash, InjectError, Machine, SpaceTaken, Tally};
use crate::rule::{Matcher, Response, Rule};
use crate::stall;
use crate::trigger::Trigger;

/// How long to look for a refused transaction.
const FULL_FOR: Duration = Duration::from_millis(1500);
/// The most pages that are left.
const MOST_LEFT: u64 = 16;
/// What the target takes for so many transactions is left at most.
const LAST_TXNS: u64 = 4;
/// So many transactions in which no file grew show that the target needs no space.
const ENOUGH: u64 = 20;

/// A disk that runs full and is given space again.
pub(crate) const DISK_FULL: Fault = Fault {
    name: "disk-full",
    about: "the disk has no pages left, or what the target takes for a few transactions, up to 16, so that a write fits in part or not at all; then space is freed",
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
    let most = machine.growth().map_or(MOST_LEFT, most_left);
    let mut left = machine.rng().random_range(0..=most);
    let found_none = |machine: &dyn Machine| machine.fs().map(|fs| fs.damage_hits().1);
    let before = found_none(machine);
    machine.limit_space(Some(left))?;
    machine.go_on();
    let sizes = machine.fs().map(|fs| sizes(&fs));
    let mut full = Tally::default();
    for last in [false, true] {
        let enough = |tally: &Tally| refuses(tally) || tally.ok >= ENOUGH;
        full = full.and(machine.work_until(FULL_FOR, &enough)?);
        // On a plain tmpfs only the target's own answers show it.
        if before.is_none() || found_none(machine) > before || !machine.works() {
            break;
        }
        if !last && left > 0 {
            left = 0;
            machine.limit_space(Some(left))?;
        }
    }
    let mut hit = match before {
        Some(_) => found_none(machine) > before,
        None => full.fail + full.info > 0,
    };
    let mut how = String::new();
    if let (false, 0, Some(sizes), Some(fs)) = (hit, left, sizes, machine.fs()) {
        match grown(&sizes, &fs) {
            Some(path) => {
                // It appends to a page that it has; the next one it would not get.
                let rule = fs.add_rule(no_space_for(&path));
                full = full.and(machine.work_until(FULL_FOR, &refuses)?);
                hit = fs.remove_rule(rule) > 0;
                how = format!(", the last page of {path} taken as full");
            }
            None if full.ok >= ENOUGH => {
                machine.limit_space(None)?;
                return Ok(Injected::not_applicable(format!(
                    "with no page left from {trigger} on the target acknowledged {} transactions and \
                     no file grew",
                    full.ok
                )));
            }
            None => {}
        }
    }
    machine.limit_space(None)?;
    let after = match hit {
        true => stall::works_again(machine)?,
        // Nothing happened to it.
        false => Afterwards::Works,
    };
    let what = format!(
        "disk full with {left} pages left at {trigger}{how}: {} transactions refused, {} unknown, \
         {} acknowledged meanwhile{}",
        full.fail,
        full.info,
        full.ok,
        after.describe()
    );
    Ok(Injected {
        stays_down: after.stays_down(),
        ..Injected::hit_if(hit, what)
    })
}

/// True when enough was refused, or not answered.
fn refuses(tally: &Tally) -> bool {
    tally.fail + tally.info >= 3
}

/// The size of each file, by its path.
fn sizes(fs: &Control) -> BTreeMap<String, u64> {
    fs.inspect(|tree, _| {
        let files = tree.inodes().filter_map(|(_, inode)| match &inode.node {
            Node::File(content) if inode.nlink > 0 => {
                Some((inode.path.to_string(), content.size()))
            }
            _ => None,
        });
        files.collect()
    })
}

/// A file that is larger than it was.
fn grown(before: &BTreeMap<String, u64>, fs: &Control) -> Option<String> {
    let now = sizes(fs);
    let grew = |(path, size): &(String, u64)| before.get(path).is_some_and(|old| old < size);
    now.into_iter().find(grew).map(|(path, _)| path)
}

/// Refuses every write to this file for want of space.
fn no_space_for(path: &str) -> Rule {
    let matcher = Matcher {
        kinds: vec![OpKind::Write],
        path: Some(path.to_owned()),
    };
    Rule::always(matcher, Response::Fail(Errno::ENOSPC))
}

/// The most pages that are left to a target which took so much.
fn most_left(taken: SpaceTaken) -> u64 {
    (taken.pages.saturating_mul(LAST_TXNS) / taken.acks.max(1)).min(MOST_LEFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_left_than_a_few_transactions_take() {
        let most = |pages, acks| most_left(SpaceTaken { pages, acks });
        // A preallocated file, small records, large ones.
        assert_eq!(most(0, 100), 0);
        assert_eq!(most(1, 100), 0);
        assert_eq!(most(30, 20), 6);
        assert_eq!(most(1000, 5), MOST_LEFT);
        assert_eq!(most(3, 0), 12);
    }
}
