//! Which of the pending steps are on the disk: a choice, made legal.

use std::collections::{HashMap, HashSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::plan::{Plan, write_of};
use super::state::Loss;
use super::step::{Fate, Model, Step, StepKind};
use crate::crashfs::{Ino, PAGE, Record, WriteData};

/// What is kept of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    All,
    None,
    /// By sector of the write, from the sector of its first byte on.
    Sectors(Vec<bool>),
}

/// The sectors that a write touches.
fn sectors(data: &WriteData, sector: u64) -> std::ops::Range<u64> {
    data.offset() / sector..data.end().div_ceil(sector)
}

/// A legal choice: for each step of the plan what is kept of it.
pub(super) fn choose(
    plan: &Plan<'_>,
    records: &[Record],
    model: &dyn Model,
    loss: Loss,
    sector: u64,
    seed: u64,
) -> Vec<Keep> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut keeps = vec![Keep::All; plan.steps.len()];
    match loss {
        Loss::Nothing => {}
        Loss::Everything => {
            for (step, keep) in plan.steps.iter().zip(&mut keeps) {
                if step.fate != Fate::Durable {
                    *keep = Keep::None;
                }
            }
        }
        Loss::Subset => subset(plan, records, model, sector, &mut rng, &mut keeps),
        Loss::TornLast => torn_last(plan, records, sector, &mut rng, &mut keeps),
    }
    close(plan, records, model, sector, &mut keeps);
    keeps
}

/// Makes a choice legal.
pub(super) fn close(
    plan: &Plan<'_>,
    records: &[Record],
    model: &dyn Model,
    sector: u64,
    keeps: &mut [Keep],
) {
    close_names(&plan.steps, keeps);
    close_forwards(&plan.steps, model, keeps);
    close_sectors(plan, records, sector, keeps);
}

fn subset(
    plan: &Plan<'_>,
    records: &[Record],
    model: &dyn Model,
    sector: u64,
    rng: &mut ChaCha8Rng,
    keeps: &mut [Keep],
) {
    let steps = &plan.steps;
    let pending = |step: &Step<'_>| step.fate != Fate::Durable;
    // Sparse, even and dense choices find different bugs.
    let chance = [0.15, 0.5, 0.85][rng.random_range(0..3)];
    let metadata = steps
        .iter()
        .filter(|step| pending(step) && step.kind.is_metadata());
    let mut groups: Vec<usize> = metadata.map(|step| step.group).collect();
    groups.dedup();
    let prefix = rng.random_range(0..=groups.len());
    let in_prefix: HashSet<usize> = groups[..prefix].iter().copied().collect();
    let mut by_group: HashMap<usize, bool> = HashMap::new();
    for (step, keep) in steps.iter().zip(keeps) {
        if !pending(step) {
            continue;
        }
        let kept = if step.kind.is_metadata() && model.orders_metadata() {
            in_prefix.contains(&step.group)
        } else {
            *by_group
                .entry(step.group)
                .or_insert_with(|| rng.random_bool(chance))
        };
        *keep = if kept { Keep::All } else { Keep::None };
        if let Some((_, data)) = write_of(records, step)
            && rng.random_bool(0.2)
            && let Some(torn) = torn(data, sector, |_| true, rng)
        {
            *keep = torn;
        }
    }
}

fn torn_last(
    plan: &Plan<'_>,
    records: &[Record],
    sector: u64,
    rng: &mut ChaCha8Rng,
    keeps: &mut [Keep],
) {
    let steps = &plan.steps;
    // Pages that a durable write brings to the disk whatever became of earlier writes there.
    let mut brought: HashSet<(Ino, u64)> = HashSet::new();
    let any_abandoned = steps.iter().any(|step| step.fate == Fate::Abandoned);
    for (index, step) in steps.iter().enumerate().rev() {
        let Some((ino, data)) = write_of(records, step) else {
            continue;
        };
        if step.fate == Fate::Durable {
            if any_abandoned {
                let pages = sectors(data, PAGE as u64);
                brought.extend(pages.map(|page| (ino, page)));
            }
            continue;
        }
        let page_of = |at: u64| at * sector / PAGE as u64;
        let can_lose = |at| step.fate == Fate::Pending || !brought.contains(&(ino, page_of(at)));
        let Some(keep) = torn(data, sector, can_lose, rng) else {
            continue;
        };
        keeps[index] = keep;
        for (later, keep) in steps.iter().zip(keeps).skip(index + 1) {
            // What the torn write's own record brought with it (its size) stays.
            if later.fate != Fate::Durable && later.record != step.record {
                *keep = Keep::None;
            }
        }
        return;
    }
}

/// A choice of sectors with at least one kept and one lost; none for a write of one sector, or
/// of which no sector `can_lose`.
fn torn(
    data: &WriteData,
    sector: u64,
    can_lose: impl Fn(u64) -> bool,
    rng: &mut ChaCha8Rng,
) -> Option<Keep> {
    let range = sectors(data, sector);
    let count = (range.end - range.start) as usize;
    let losable: Vec<usize> = range
        .zip(0..count)
        .filter(|(at, _)| can_lose(*at))
        .map(|(_, n)| n)
        .collect();
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
    Some(Keep::Sectors(kept))
}

/// Backwards: a change of names that is there brings along what it cannot be without. (So and
/// not the other way round, or of the many changes of one name the first would win nearly
/// always.) Where metadata is ordered nothing changes.
fn close_names(steps: &[Step<'_>], keeps: &mut [Keep]) {
    for (index, step) in steps.iter().enumerate().rev() {
        if !matches!(step.kind, StepKind::Name { .. }) || keeps[index] != Keep::All {
            continue;
        }
        for need in &step.needs {
            keeps[*need] = Keep::All;
        }
        // The other name of an exchange.
        if steps
            .get(index + 1)
            .is_some_and(|other| other.group == step.group)
        {
            keeps[index + 1] = Keep::All;
        }
    }
}

/// Forwards: a step whose need is missing is missing too, and where metadata is ordered the first
/// missing change takes all later ones with it.
fn close_forwards(steps: &[Step<'_>], model: &dyn Model, keeps: &mut [Keep]) {
    let mut broken = false;
    let mut lost_groups: HashSet<usize> = HashSet::new();
    for (index, step) in steps.iter().enumerate() {
        if step.fate == Fate::Durable {
            continue;
        }
        let metadata = step.kind.is_metadata();
        let needs_lost = step.needs.iter().any(|need| keeps[*need] == Keep::None);
        let chained = metadata && model.orders_metadata() && broken;
        let group_lost = metadata && lost_groups.contains(&step.group);
        if needs_lost || chained || group_lost {
            keeps[index] = Keep::None;
        }
        if keeps[index] == Keep::None && metadata {
            broken = true;
            lost_groups.insert(step.group);
        }
    }
}

/// Backwards: a sector reaches the disk as it was in the cache, with all that had been written to
/// it; so where a later write's sector is there, the earlier pending writes are there in that
/// sector. A write that was given up is there in whole pages, because the kernel writes pages.
fn close_sectors(plan: &Plan<'_>, records: &[Record], sector: u64, keeps: &mut [Keep]) {
    let steps = &plan.steps;
    let mut there: HashSet<(Ino, u64)> = HashSet::new();
    let mut pages_there: HashSet<(Ino, u64)> = HashSet::new();
    let any_abandoned = steps.iter().any(|step| step.fate == Fate::Abandoned);
    let page_of = |at: u64| at * sector / PAGE as u64;
    for (index, step) in steps.iter().enumerate().rev() {
        let durable = step.fate == Fate::Durable;
        if durable && !any_abandoned {
            continue;
        }
        let Some((ino, data)) = write_of(records, step) else {
            continue;
        };
        let range = sectors(data, sector);
        if !durable && keeps[index] != Keep::All {
            let mut kept = match &keeps[index] {
                Keep::Sectors(kept) => kept.clone(),
                _ => vec![false; (range.end - range.start) as usize],
            };
            for (kept, at) in kept.iter_mut().zip(range.clone()) {
                *kept |= there.contains(&(ino, at))
                    || (step.fate == Fate::Abandoned && pages_there.contains(&(ino, page_of(at))));
            }
            keeps[index] = if kept.iter().all(|kept| *kept) {
                Keep::All
            } else if kept.iter().any(|kept| *kept) {
                Keep::Sectors(kept)
            } else {
                Keep::None
            };
        }
        for (n, at) in range.enumerate() {
            let kept = match &keeps[index] {
                Keep::All => true,
                Keep::None => false,
                Keep::Sectors(kept) => kept[n],
            };
            if kept && !durable {
                there.insert((ino, at));
            }
            if kept && any_abandoned && step.fate != Fate::Abandoned {
                pages_there.insert((ino, page_of(at)));
            }
        }
    }
}
