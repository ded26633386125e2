//! Writes that reached the disk in part, and updates by their role.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use foldhash::{HashMap, HashMapExt};

use super::apply::sectors;
use super::legalize::Rules;
use super::update::{LossSet, Update, UpdateKind, pages, write_of};
use crate::fs::{Ino, PAGE, WriteData};

/// Pending writes that are torn at one point.
const WRITES: usize = 6;
/// Files of which the write-back stops at one point.
const FILES: usize = 3;

/// What an update does, and to which kind of file: numbers in names aside.
type Role = (u8, u64);

fn role(rules: &Rules<'_, '_>, update: &Update<'_>) -> Role {
    let kind = match update.kind {
        UpdateKind::Name { ino: Some(_), .. } => 0,
        UpdateKind::Name { ino: None, .. } => 1,
        UpdateKind::Data { .. } => 2,
        UpdateKind::Size { shrinks: false, .. } => 3,
        UpdateKind::Size { shrinks: true, .. } => 4,
        UpdateKind::Space { .. } => 5,
        UpdateKind::Attrs { .. } => 6,
    };
    // FNV-1a.
    let path = rules.records[update.record].path.bytes();
    let letters = path.filter(|byte| !byte.is_ascii_digit());
    let hash = letters.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (kind, hash)
}

/// The updates, the latest first, but one of each role before a second: the first and the last that do the
/// same to the same kind of file have roles of their own, since that is where a commit begins and ends. Bytes
/// come before lengths and names, of which all are left out together before.
pub(super) fn by_role<'u, 'a>(
    rules: &Rules<'_, 'a>,
    updates: &[&'u Update<'a>],
) -> Vec<&'u Update<'a>> {
    let ranked = ranked(rules, updates);
    ranked.into_iter().map(|(_, update)| update).collect()
}

/// Of each role the last update, one before it, and the first.
pub(super) fn first_of_each_role<'u, 'a>(
    rules: &Rules<'_, 'a>,
    updates: &[&'u Update<'a>],
) -> Vec<&'u Update<'a>> {
    let ranked = ranked(rules, updates);
    let first = ranked.into_iter().take_while(|((rank, _), _)| *rank == 0);
    first.map(|(_, update)| update).collect()
}

/// The updates by their role, each with its place among those of it, and whether it is metadata.
fn ranked<'u, 'a>(
    rules: &Rules<'_, 'a>,
    updates: &[&'u Update<'a>],
) -> Vec<((usize, bool), &'u Update<'a>)> {
    let roles: Vec<Role> = updates.iter().map(|update| role(rules, update)).collect();
    let mut all: HashMap<Role, usize> = HashMap::new();
    for role in &roles {
        *all.entry(*role).or_default() += 1;
    }
    let mut later: HashMap<Role, usize> = HashMap::new();
    let mut ranked = Vec::new();
    for (update, role) in updates.iter().zip(&roles).rev() {
        let later = later.entry(*role).or_default();
        let first = *later + 1 == all[role];
        let rank = if first { 0 } else { later.saturating_sub(1) };
        ranked.push(((rank, update.kind.is_metadata()), *update));
        *later += 1;
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked
}

/// A pending write of more than one unit.
struct Torn<'u, 'a> {
    update: &'u Update<'a>,
    data: &'u WriteData,
    units: Vec<Range<u64>>,
}

/// Pending writes of more than one unit torn in the ways that disks tear (a prefix, a suffix, every other
/// unit; at sectors and at pages), what came later being there or not; and files of which the page cache was
/// written back as far as some page. One tear of each role comes before a second of one, and `seed` says
/// which is the first.
pub(super) fn tears<'u, 'a>(
    rules: &'u Rules<'_, 'a>,
    updates: &'u [&'u Update<'a>],
    by_role: &[&'u Update<'a>],
    seed: u64,
) -> impl Iterator<Item = LossSet> + use<'u, 'a> {
    let of_more = by_role.iter().filter_map(|update| {
        let (_, data) = write_of(rules.records, update)?;
        let units = rules.units(update, data);
        (units.len() > 1).then_some(Torn {
            update,
            data,
            units,
        })
    });
    let mut writes: Vec<Torn<'u, 'a>> = of_more.take(WRITES).collect();
    let last = writes.iter().map(|write| write.update.id).max();
    let first = seed as usize % writes.len().max(1);
    writes.rotate_left(first);
    let all = 0..writes.len();
    let one_each = |way, later| all.clone().map(move |write| (write, way, later));
    let mut order: Vec<(usize, usize, bool)> = one_each(0, true).collect();
    order.extend(one_each(0, false).chain(one_each(1, true)));
    let of_last = writes
        .iter()
        .position(|write| Some(write.update.id) == last);
    for later in [false, true] {
        order.extend((0..WAYS).filter_map(|way| Some((of_last?, way, later))));
    }
    let sector = rules.device.sector;
    let torn = order.into_iter().filter_map(move |(write, way, later)| {
        let write = &writes[write];
        let mask = mask(write, way, sector);
        let in_part = mask.iter().any(|kept| *kept) && mask.iter().any(|kept| !*kept);
        in_part.then(|| LossSet {
            lost: match later {
                true => BTreeSet::new(),
                false => behind(updates, write.update),
            },
            torn: BTreeMap::from([(write.update.id, mask)]),
            ..LossSet::default()
        })
    });
    let written_back = std::iter::once_with(move || written_back(rules, updates));
    torn.chain(written_back.flatten())
}

/// How many ways there are to tear a write.
const WAYS: usize = 7;

/// By sector, what is kept of a write that is torn in this way.
fn mask(write: &Torn<'_, '_>, way: usize, sector: u64) -> Vec<bool> {
    let count = write.units.len();
    let by_unit = |keeps: &dyn Fn(usize) -> bool| -> Vec<bool> {
        let units = write.units.iter().enumerate();
        units
            .flat_map(|(n, unit)| unit.clone().map(move |_| n).map(keeps))
            .collect()
    };
    let first_page = write.data.offset() / PAGE as u64;
    let by_page = |keeps: bool| -> Vec<bool> {
        sectors(write.data, sector)
            .map(|at| (at * sector / PAGE as u64 == first_page) == keeps)
            .collect()
    };
    match way {
        0 => by_unit(&|n| n < count.div_ceil(2)),
        1 => by_unit(&|n| n >= count / 2),
        2 => by_unit(&|n| n > 0),
        3 => by_unit(&|n| n + 1 < count),
        4 => by_unit(&|n| n % 2 == 0),
        5 => by_page(true),
        _ => by_page(false),
    }
}

/// The page cache of a file is written back from its first page on: what is pending of the latest files, as
/// far as the page in their middle and as far as their last.
fn written_back(rules: &Rules<'_, '_>, updates: &[&Update<'_>]) -> Vec<LossSet> {
    let mut files: Vec<(Ino, Vec<(usize, &WriteData)>)> = Vec::new();
    for update in updates.iter().rev() {
        let Some((ino, data)) = write_of(rules.records, update) else {
            continue;
        };
        let full = files.len() == FILES;
        match files.iter_mut().find(|(of, _)| *of == ino) {
            Some((_, writes)) => writes.push((update.id, data)),
            None if full => {}
            None => files.push((ino, vec![(update.id, data)])),
        }
    }
    let sector = rules.device.sector;
    let as_far_as = |writes: &[(usize, &WriteData)], page: u64| {
        let mut losses = LossSet::default();
        for (id, data) in writes {
            let kept: Vec<bool> = sectors(data, sector)
                .map(|at| at * sector / (PAGE as u64) < page)
                .collect();
            if kept.iter().all(|kept| !kept) {
                losses.lost.insert(*id);
            } else if kept.iter().any(|kept| !kept) {
                losses.torn.insert(*id, kept);
            }
        }
        losses
    };
    let mut sets = Vec::new();
    for (_, writes) in files {
        let touched: BTreeSet<u64> = writes.iter().flat_map(|(_, data)| pages(data)).collect();
        let touched = Vec::from_iter(touched);
        if touched.len() > 1 {
            for page in [touched[touched.len() / 2], touched[touched.len() - 1]] {
                sets.push(as_far_as(&writes, page));
            }
        }
    }
    sets
}

/// What came after a write, but for what its own record brought.
pub(super) fn behind(updates: &[&Update<'_>], write: &Update<'_>) -> BTreeSet<usize> {
    let behind = updates
        .iter()
        .filter(|s| s.id > write.id && s.record != write.record);
    behind.map(|update| update.id).collect()
}
