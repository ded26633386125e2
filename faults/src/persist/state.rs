//! Crash states: a choice among the pending steps, and the tree that it leaves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::plan::{Fate, Model, Plan, Step, StepKind};
use crate::crashfs::{Ino, Log, Op, PAGE, Record, Tree, WriteData};

/// What becomes of the pending steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them reached the disk.
    Nothing,
    /// None of them did.
    Everything,
    /// A seeded choice: some whole, some torn, some not.
    Subset,
    /// All reached the disk, but for the last write, of which some sectors did not.
    TornLast,
}

/// A pending step that did not reach the disk whole.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Its record's number on the trace's clock.
    pub seq: u64,
    /// The file, for people.
    pub path: Arc<str>,
    /// What is missing, for people: "write of 4096 bytes at 8192".
    pub what: String,
    /// True when some of its sectors are there.
    pub torn: bool,
}

/// One content of the disk after losing power.
pub struct CrashState {
    /// The content.
    pub tree: Tree,
    /// What is missing in it, in the order in which it had happened.
    pub lost: Vec<Lost>,
    /// How many steps were pending.
    pub pending: usize,
}

/// What is kept of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Keep {
    All,
    None,
    /// By sector of the write, from the sector of its first byte on.
    Sectors(Vec<bool>),
}

/// The content of the disk when power is lost at the end of `log`.
///
/// `sector` is the unit that the disk writes atomically, in bytes (512, or 4096). The same log,
/// model, loss, sector and seed give the same state anywhere.
pub fn crash_state(log: &Log, model: &dyn Model, loss: Loss, sector: u64, seed: u64) -> CrashState {
    let records = log.records();
    let plan = Plan::new(model, records);
    let mut keeps = choose(&plan, records, model, loss, sector, seed);
    close(&plan, records, model, sector, &mut keeps);
    build(log, &plan, sector, &keeps)
}

fn write_of<'a>(records: &'a [Record], step: &Step<'_>) -> Option<(Ino, &'a WriteData)> {
    match (&step.kind, &records[step.record].op) {
        (StepKind::Data { ino }, Op::Write { data, .. }) => Some((*ino, data)),
        _ => None,
    }
}

/// The sectors that a write touches.
fn sectors(data: &WriteData, sector: u64) -> std::ops::Range<u64> {
    data.offset() / sector..data.end().div_ceil(sector)
}

fn choose(
    plan: &Plan<'_>,
    records: &[Record],
    model: &dyn Model,
    loss: Loss,
    sector: u64,
    seed: u64,
) -> Vec<Keep> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let steps = &plan.steps;
    let pending = |step: &Step<'_>| step.fate != Fate::Durable;
    let mut keeps = vec![Keep::All; steps.len()];
    match loss {
        Loss::Nothing => {}
        Loss::Everything => {
            for (step, keep) in steps.iter().zip(&mut keeps) {
                if pending(step) {
                    *keep = Keep::None;
                }
            }
        }
        Loss::Subset => {
            // Sparse, even and dense choices find different bugs.
            let chance = [0.15, 0.5, 0.85][rng.random_range(0..3)];
            let groups: Vec<usize> = {
                let metadata = steps
                    .iter()
                    .filter(|step| pending(step) && step.kind.is_metadata());
                let mut groups: Vec<usize> = metadata.map(|step| step.group).collect();
                groups.dedup();
                groups
            };
            let prefix = rng.random_range(0..=groups.len());
            let in_prefix: HashSet<usize> = groups[..prefix].iter().copied().collect();
            let mut by_group: HashMap<usize, bool> = HashMap::new();
            for (step, keep) in steps.iter().zip(&mut keeps) {
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
                if let Some((_, data)) = write_of(records, step) {
                    if rng.random_bool(0.2) {
                        *keep = torn(data, sector, &mut rng).unwrap_or(keep.clone());
                    }
                }
            }
        }
        Loss::TornLast => {
            let last = steps.iter().enumerate().rev().find_map(|(index, step)| {
                let (_, data) = write_of(records, step).filter(|_| pending(step))?;
                let range = sectors(data, sector);
                (range.end - range.start > 1).then_some((index, data))
            });
            if let Some((index, data)) = last {
                if let Some(keep) = torn(data, sector, &mut rng) {
                    keeps[index] = keep;
                }
                for (step, keep) in steps.iter().zip(&mut keeps).skip(index + 1) {
                    // What the torn write's own record brought with it (its size) stays.
                    if pending(step) && step.record != steps[index].record {
                        *keep = Keep::None;
                    }
                }
            }
        }
    }
    keeps
}

/// A choice of sectors with at least one kept and one lost; none for a write of one sector.
fn torn(data: &WriteData, sector: u64, rng: &mut ChaCha8Rng) -> Option<Keep> {
    let range = sectors(data, sector);
    let count = (range.end - range.start) as usize;
    if count < 2 {
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
    Some(Keep::Sectors(kept))
}

/// Makes a choice legal.
///
/// Forwards: a step whose need is missing is missing too, and where metadata is ordered the first
/// missing change takes all later ones with it. Backwards: a sector reaches the disk as it was in
/// the cache, with all that had been written to it; so where a later write's sector is there, the
/// earlier pending writes are there in that sector.
fn close(plan: &Plan<'_>, records: &[Record], model: &dyn Model, sector: u64, keeps: &mut [Keep]) {
    let steps = &plan.steps;
    let mut broken = false;
    let mut lost_groups: HashSet<usize> = HashSet::new();
    for (index, step) in steps.iter().enumerate() {
        if step.fate == Fate::Durable {
            continue;
        }
        let needs_lost = step.needs.is_some_and(|need| keeps[need] == Keep::None);
        let chained = step.kind.is_metadata() && model.orders_metadata() && broken;
        let group_lost = step.kind.is_metadata() && lost_groups.contains(&step.group);
        if needs_lost || chained || group_lost {
            keeps[index] = Keep::None;
        }
        if keeps[index] == Keep::None && step.kind.is_metadata() {
            broken = true;
            lost_groups.insert(step.group);
        }
    }
    let mut there: HashSet<(Ino, u64)> = HashSet::new();
    let mut pages_there: HashSet<(Ino, u64)> = HashSet::new();
    for (index, step) in steps.iter().enumerate().rev() {
        let Some((ino, data)) = write_of(records, step) else {
            continue;
        };
        let range = sectors(data, sector);
        let per_page = (PAGE as u64 / sector).max(1);
        if step.fate != Fate::Durable && keeps[index] != Keep::All {
            let mut kept = match &keeps[index] {
                Keep::Sectors(kept) => kept.clone(),
                _ => vec![false; (range.end - range.start) as usize],
            };
            for (kept, at) in kept.iter_mut().zip(range.clone()) {
                *kept |= there.contains(&(ino, at))
                    || (step.fate == Fate::Abandoned
                        && pages_there.contains(&(ino, at / per_page)));
            }
            keeps[index] = if kept.iter().all(|k| *k) {
                Keep::All
            } else if kept.iter().any(|k| *k) {
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
            if kept {
                if step.fate != Fate::Durable {
                    there.insert((ino, at));
                }
                if step.fate != Fate::Abandoned {
                    pages_there.insert((ino, at / per_page));
                }
            }
        }
    }
}

fn build(log: &Log, plan: &Plan<'_>, sector: u64, keeps: &[Keep]) -> CrashState {
    let records = log.records();
    let mut tree = log.base().clone();
    let mut lost = Vec::new();
    let mut pending = 0;
    let mut next = 0;
    for (index, record) in records.iter().enumerate() {
        if let Op::Create {
            ino,
            node,
            mode,
            owner,
            ..
        } = &record.op
        {
            tree.raw_node(*ino, node, *mode, *owner, record.path.clone());
        }
        while let Some(step) = plan.steps.get(next).filter(|step| step.record == index) {
            let keep = &keeps[next];
            next += 1;
            pending += usize::from(step.fate != Fate::Durable);
            apply(&mut tree, record, step, keep, sector);
            if *keep != Keep::All {
                lost.push(Lost {
                    seq: record.seq,
                    path: record.path.clone(),
                    what: describe(record, step),
                    torn: matches!(keep, Keep::Sectors(_)),
                });
            }
        }
    }
    tree.settle();
    CrashState {
        tree,
        lost,
        pending,
    }
}

fn apply(tree: &mut Tree, record: &Record, step: &Step<'_>, keep: &Keep, sector: u64) {
    if *keep == Keep::None {
        return;
    }
    match (&step.kind, &record.op) {
        (StepKind::Name { dir, name, ino }, _) => tree.raw_entry(*dir, name, *ino),
        (StepKind::Data { ino }, Op::Write { data, .. }) => match keep {
            Keep::Sectors(kept) => tree.raw_content(*ino, |content| {
                let first = data.offset() / sector;
                data.for_each(|at, bytes| {
                    let mut from = 0;
                    while from < bytes.len() {
                        let offset = at + from as u64;
                        let to = ((offset / sector + 1) * sector - at).min(bytes.len() as u64);
                        if kept[(offset / sector - first) as usize] {
                            content.patch(offset, &bytes[from..to as usize]);
                        }
                        from = to as usize;
                    }
                });
            }),
            _ => tree.raw_content(*ino, |content| content.apply(data)),
        },
        (StepKind::Size { ino, size, shrinks }, _) => tree.raw_content(*ino, |content| {
            if *shrinks && *size < content.size() {
                content.truncate(*size);
            } else {
                content.set_size_only(*size);
            }
        }),
        (StepKind::Space { ino, .. }, Op::Allocate { offset, len, .. }) => {
            tree.raw_content(*ino, |content| content.allocate(*offset, *len));
        }
        (
            StepKind::Space { ino, .. },
            Op::Zero {
                offset, len, punch, ..
            },
        ) => {
            tree.raw_content(*ino, |content| content.zero(*offset, *len, *punch));
        }
        (StepKind::Attrs { ino }, Op::SetAttrs { attrs, .. }) => {
            tree.raw_attrs(*ino, *attrs, attrs.ctime.unwrap_or_default());
        }
        _ => {}
    }
}

fn describe(record: &Record, step: &Step<'_>) -> String {
    match (&step.kind, &record.op) {
        (StepKind::Data { .. }, Op::Write { data, .. }) => {
            format!("write of {} bytes at {}", data.len(), data.offset())
        }
        (StepKind::Size { size, .. }, _) => format!("size {size} ({})", record.op.name()),
        (
            StepKind::Name {
                name, ino: None, ..
            },
            _,
        ) => {
            format!(
                "removal of the name {} ({})",
                name.to_string_lossy(),
                record.op.name()
            )
        }
        (StepKind::Name { name, .. }, _) => {
            format!("the name {} ({})", name.to_string_lossy(), record.op.name())
        }
        _ => record.op.name().to_string(),
    }
}
