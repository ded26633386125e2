//! Seeded loss sets, for a power cut of a living process.

use std::ops::Range;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::apply::{Keep, sectors};
use super::legalize::Rules;
use super::update::{Durability, Journal, Loss, Update, write_of};
use crate::fs::{Ino, PAGE};

/// A legal loss set: for each open update what is kept of it.
pub(super) fn keeps(rules: &Rules<'_, '_>, loss: Loss, seed: u64) -> Vec<Keep> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut keeps = vec![Keep::All; rules.open.len()];
    match loss {
        Loss::Nothing => {}
        Loss::Everything => {
            for (update, keep) in rules.open.iter().zip(&mut keeps) {
                if update.durability != Durability::Durable {
                    *keep = Keep::None;
                }
            }
        }
        Loss::Subset => subset(rules, &mut rng, &mut keeps),
        Loss::TornLast => torn_last(rules, &mut rng, &mut keeps),
    }
    rules.legalize(&mut keeps);
    keeps
}

fn subset(rules: &Rules<'_, '_>, rng: &mut ChaCha8Rng, keeps: &mut [Keep]) {
    let pending = |update: &&Update<'_>| update.durability != Durability::Durable;
    let in_order = |update: &Update<'_>| update.journal == Journal::AtOnce;
    // Sparse, even and dense loss sets find different bugs.
    let chance = [0.15, 0.5, 0.85][rng.random_range(0..3)];
    let ordered = rules
        .open
        .iter()
        .filter(pending)
        .filter(|update| in_order(update));
    let mut groups: Vec<usize> = ordered.map(|update| update.group).collect();
    groups.dedup();
    let prefix = rng.random_range(0..=groups.len());
    let in_prefix: HashSet<usize> = groups[..prefix].iter().copied().collect();
    let mut by_group: HashMap<(bool, usize), bool> = HashMap::new();
    for (update, keep) in rules.open.iter().zip(keeps) {
        if update.durability == Durability::Durable {
            continue;
        }
        let kept = if in_order(update) {
            in_prefix.contains(&update.group)
        } else {
            // The bytes are no part of the record's change of metadata.
            let group = (update.kind.is_metadata(), update.group);
            *by_group
                .entry(group)
                .or_insert_with(|| rng.random_bool(chance))
        };
        *keep = if kept { Keep::All } else { Keep::None };
        if let Some((_, data)) = write_of(rules.records, update)
            && rng.random_bool(0.2)
            && let Some(torn) = torn(&rules.units(update, data), |_| true, rng)
        {
            *keep = torn;
        }
        let spoils = !rules.device.powersafe_overwrite && !update.kind.is_metadata();
        if spoils && *keep == Keep::None && rng.random_bool(0.5) {
            *keep = Keep::Spoiled;
        }
    }
}

fn torn_last(rules: &Rules<'_, '_>, rng: &mut ChaCha8Rng, keeps: &mut [Keep]) {
    // Pages that a durable write brings to the disk whatever became of earlier writes there.
    let mut brought: HashSet<(Ino, u64)> = HashSet::new();
    let any_abandoned = rules
        .open
        .iter()
        .any(|update| update.durability == Durability::Abandoned);
    let sector = rules.device.sector;
    for (at, update) in rules.open.iter().enumerate().rev() {
        let Some((ino, data)) = write_of(rules.records, update) else {
            continue;
        };
        if update.durability == Durability::Durable {
            if any_abandoned {
                let pages = sectors(data, PAGE as u64);
                brought.extend(pages.map(|page| (ino, page)));
            }
            continue;
        }
        let page_of = |at: u64| at * sector / PAGE as u64;
        let can_lose = |unit: &Range<u64>| {
            let stays = |at: u64| brought.contains(&(ino, page_of(at)));
            update.durability == Durability::Pending || !unit.clone().any(stays)
        };
        let Some(keep) = torn(&rules.units(update, data), can_lose, rng) else {
            continue;
        };
        keeps[at] = keep;
        for (later, keep) in rules.open.iter().zip(keeps).skip(at + 1) {
            // What the torn write's own record brought with it (its size) stays.
            if later.durability != Durability::Durable && later.record != update.record {
                *keep = Keep::None;
            }
        }
        return;
    }
}

/// A loss set of units with at least one kept and one lost, by sector; none for a write of one
/// unit, or of which none can be lost.
fn torn(
    units: &[Range<u64>],
    can_lose: impl Fn(&Range<u64>) -> bool,
    rng: &mut ChaCha8Rng,
) -> Option<Keep> {
    let count = units.len();
    let losable: Vec<usize> = (0..count).filter(|n| can_lose(&units[*n])).collect();
    if count < 2 || losable.is_empty() {
        return None;
    }
    let mut kept = vec![false; count];
    match rng.random_range(0..3) {
        // A prefix, a suffix, any.
        0 => kept[..rng.random_range(1..count)].fill(true),
        1 => kept[rng.random_range(1..count)..].fill(true),
        _ => {
            kept.fill_with(|| rng.random_bool(0.5));
            let (yes, no) = (rng.random_range(0..count), rng.random_range(1..count));
            kept[yes] = true;
            kept[(yes + no) % count] = false;
        }
    }
    if losable.len() < count {
        for (n, kept) in kept.iter_mut().enumerate() {
            *kept |= losable.binary_search(&n).is_err();
        }
        if kept.iter().all(|kept| *kept) {
            kept[losable[rng.random_range(0..losable.len())]] = false;
        }
    }
    let sectors = units
        .iter()
        .zip(kept)
        .flat_map(|(unit, kept)| unit.clone().map(move |_| kept));
    Some(Keep::Sectors(sectors.collect()))
}
