//! Disk full: writes fit in part, then fail with ENOSPC; later there is space again.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;
use plugpull_crashsim::fs::PAGE;
use plugpull_sandbox::fuse::OpKind;
use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::control::Control;
use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, Afterwards, FirstCrash, InjectError, Machine, SpaceTaken, Tally};
use crate::rule::{Matcher, Response, Rule, RuleId};
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
    let taken = machine.growth();
    let most = taken.as_ref().map_or(MOST_LEFT, most_left);
    let mut left = machine.rng().random_range(0..=most);
    let sizes = machine.fs().map(|fs| machine::sizes(&fs));
    let mut last_page = LastPage::default();
    if let (Some(taken), Some(sizes), Some(fs)) = (&taken, &sizes, machine.fs())
        && let Some(path) = appended(taken, sizes)
    {
        left = 0;
        last_page.take(path, &fs);
    }
    let found_none = |machine: &dyn Machine| machine.fs().map(|fs| fs.damage_hits().1);
    let before = found_none(machine);
    machine.limit_space(Some(left))?;
    machine.go_on();
    let mut full = Tally::default();
    for last in [false, true] {
        let enough = |tally: &Tally| refuses(tally) || tally.ok >= ENOUGH;
        full = full.and(machine.work_until(FULL_FOR, &enough)?);
        // On a plain tmpfs only the target's own answers show it.
        let was_full = found_none(machine) > before || last_page.hits(machine) > 0;
        if before.is_none() || was_full || !machine.works() {
            break;
        }
        if !last && left > 0 {
            left = 0;
            machine.limit_space(Some(left))?;
        }
    }
    let mut hit = match before {
        Some(_) => found_none(machine) > before || last_page.hits(machine) > 0,
        None => full.fail + full.info > 0,
    };
    if let (false, 0, Some(sizes), Some(fs)) = (hit, left, sizes, machine.fs()) {
        match grown(&sizes, &fs) {
            Some(path) => {
                last_page.take(path, &fs);
                full = full.and(machine.work_until(FULL_FOR, &refuses)?);
                hit = last_page.hits(machine) > 0;
            }
            None if full.ok >= ENOUGH => {
                last_page.give_back(machine);
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
    let how = last_page.give_back(machine);
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

/// A file that is refused what would still fit into its last page: the next page it would not get, but
/// may never ask for.
#[derive(Default)]
struct LastPage(Vec<(String, RuleId)>);

impl LastPage {
    fn take(&mut self, path: String, fs: &Control) {
        let rule = fs.add_rule(no_space_for(&path));
        self.0.push((path, rule));
    }

    /// How often something was refused.
    fn hits(&self, machine: &dyn Machine) -> u64 {
        let rules = self.0.iter().map(|(_, rule)| *rule);
        machine
            .fs()
            .map_or(0, |fs| rules.map(|rule| fs.hits(rule)).sum())
    }

    /// Refuses nothing more; says of which files it did.
    fn give_back(self, machine: &dyn Machine) -> String {
        let Some(fs) = machine.fs() else {
            return String::new();
        };
        let taken = self.0.into_iter();
        let refused = taken.filter_map(|(path, rule)| (fs.remove_rule(rule) > 0).then_some(path));
        refused
            .map(|path| format!(", the last page of {path} taken as full"))
            .collect()
    }
}

/// True when enough was refused, or not answered.
fn refuses(tally: &Tally) -> bool {
    tally.fail + tally.info >= 3
}

/// A file that is larger than it was.
fn grown(before: &BTreeMap<String, u64>, fs: &Control) -> Option<String> {
    let now = machine::sizes(fs);
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

/// The file that transactions are appended to, where the next few fit into the last page that it has:
/// no other page would be asked for in time. None where they make files, which take a page each.
fn appended(taken: &SpaceTaken, sizes: &BTreeMap<String, u64>) -> Option<String> {
    let acks = taken.acks.max(1);
    let before = |path: &String| taken.sizes_before.get(path).copied();
    let made = sizes.keys().filter(|path| before(path).is_none()).count() as u64;
    if made >= acks {
        return None;
    }
    let fits = |(path, size): &(&String, &u64)| {
        let grew = size.saturating_sub(before(path).unwrap_or(0));
        let (page, next) = (PAGE as u64, grew.saturating_mul(LAST_TXNS) / acks);
        grew > 0 && *size % page > 0 && *size % page + next < page
    };
    let path = sizes.iter().find(fits)?.0;
    Some(path.clone())
}

/// The most pages that are left to a target which took so much.
fn most_left(taken: &SpaceTaken) -> u64 {
    (taken.pages.saturating_mul(LAST_TXNS) / taken.acks.max(1)).min(MOST_LEFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_left_than_a_few_transactions_take() {
        let most = |pages, acks| {
            most_left(&SpaceTaken {
                pages,
                acks,
                ..SpaceTaken::default()
            })
        };
        // A preallocated file, small records, large ones.
        assert_eq!(most(0, 100), 0);
        assert_eq!(most(1, 100), 0);
        assert_eq!(most(30, 20), 6);
        assert_eq!(most(1000, 5), MOST_LEFT);
        assert_eq!(most(3, 0), 12);
    }

    #[test]
    fn what_fits_into_the_last_page_of_a_log_asks_for_no_other() {
        let of = |files: &[(&str, u64)]| -> BTreeMap<String, u64> {
            let files = files.iter().map(|(path, size)| ((*path).into(), *size));
            files.collect()
        };
        let appended = |before: &[(&str, u64)], acks, now: &[(&str, u64)]| {
            let taken = SpaceTaken {
                pages: 1,
                acks,
                sizes_before: of(before),
            };
            appended(&taken, &of(now))
        };
        // Three lines of a log that was made with them, and of one that was there.
        assert_eq!(appended(&[], 3, &[("log", 12)]).as_deref(), Some("log"));
        let log = appended(&[("a", 9), ("log", 4100)], 3, &[("a", 9), ("log", 4112)]);
        assert_eq!(log.as_deref(), Some("log"));
        // The next few need another page; nothing grew; each transaction is a file.
        assert_eq!(appended(&[], 3, &[("log", 3600)]), None);
        assert_eq!(appended(&[("log", 40)], 3, &[("log", 40)]), None);
        assert_eq!(appended(&[], 2, &[("1", 9), ("2", 9)]), None);
    }
}
