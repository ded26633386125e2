//! Which property a finding shows to be missing: ordering, atomicity or durability.

use std::collections::{BTreeMap, BTreeSet};

use plugpull_crashsim::fs::{Op, Record};
use plugpull_crashsim::persist::{LossSet, LostUpdate};
use plugpull_reports::Property;

use super::super::crash::Crash;
use super::super::retry::{Minimised, Retry, Symptom};

/// So many updates that are kept are looked at one by one.
const ONE_BY_ONE: usize = 24;

/// So many later kills are looked at.
const LATER_KILLS: usize = 12;

/// What is missing, and in words.
pub(super) struct Missing {
    pub(super) property: Property,
    pub(super) cause: String,
    /// What the lost updates must be durable before, where that is known.
    pub(super) before: Option<String>,
    /// What helps where no sync does, where that is known.
    pub(super) instead: Option<String>,
}

/// What a plain kill shows: which operations must reach the disk together, or which one must come before the
/// ack. Nothing was lost, so no sync helps. None where no later kill is harmless, as where the data never left
/// the program.
pub(super) fn of_kill(
    minimised: &Minimised,
    symptom: &Symptom,
    retry: &mut Retry<'_, '_>,
) -> Option<Missing> {
    let crash = &minimised.crash;
    let records = retry.oracle.log(crash).records();
    let begun = last(crash, records, |op| !op.is_note() && !op.is_sync());
    // Since the last operation nothing was done to the disk but that this was acknowledged.
    let ack = minimised
        .finding
        .ack
        .filter(|ack| crash.within.is_none() && begun.is_none_or(|begun| begun.seq < ack.seq));
    let mut looks = LATER_KILLS;
    for point in crash.point + 1..=records.len() as u64 {
        let record = &records[point as usize - 1];
        let later = Crash {
            point,
            ..crash.clone()
        };
        if record.op.is_note() || record.op.is_sync() || !retry.oracle.kills_at(&later) {
            continue;
        }
        looks -= 1;
        if looks == 0 || !retry.goes_on() {
            return None;
        }
        if retry.shows(later, symptom).is_none() {
            let end = operation(record, crash);
            if ack.is_some() {
                return Some(Missing {
                    property: Property::Durability,
                    cause: format!(
                        "it is acknowledged before {end}, without which it is not on the disk, and a kill \
                         comes between them"
                    ),
                    before: None,
                    instead: Some(format!("the ack must wait for {end}")),
                });
            }
            let begun = operation(begun?, crash);
            return Some(Missing {
                property: Property::Atomicity,
                cause: format!(
                    "{begun} and {end} must reach the disk together, and a kill comes between them"
                ),
                before: None,
                instead: None,
            });
        }
    }
    None
}

/// Finds it by trying other losses at the place of the smallest crash that shows the finding.
pub(super) fn property(
    minimised: &Minimised,
    symptom: &Symptom,
    retry: &mut Retry<'_, '_>,
) -> Missing {
    let crash = &minimised.crash;
    let records = retry.oracle.log(crash).records();
    let lost = describe(&crash.lost, crash, records);
    if !crash.loss.torn.is_empty() || !crash.loss.spoiled.is_empty() {
        let mut whole = crash.loss.clone();
        let torn: Vec<usize> = whole.torn.keys().chain(&whole.spoiled).copied().collect();
        whole.lost.extend(torn);
        whole.torn.clear();
        whole.spoiled.clear();
        if shows(crash, &whole, symptom, retry).is_none() {
            return Missing {
                property: Property::Atomicity,
                cause: format!(
                    "{lost} must reach the disk in one piece or not at all, and nothing sees to that"
                ),
                before: None,
                instead: None,
            };
        }
    }
    let first = ids(&crash.loss).next().unwrap_or_default();
    let later: Vec<usize> = pending(crash, retry)
        .into_iter()
        .filter(|id| *id > first && !ids(&crash.loss).any(|lost| lost == *id))
        .collect();
    let mut all_later = crash.loss.clone();
    all_later.lost.extend(&later);
    // With all that came later lost as well nothing is out of order.
    if later.is_empty() || shows(crash, &all_later, symptom, retry).is_some() {
        let since = crash.lost.first().map_or(crash.point, |one| one.seq);
        if retry.oracle.is_acked_since(crash, since) {
            return Missing {
                property: Property::Durability,
                cause: format!(
                    "{lost} must be durable before the ack, and no sync before the ack covers it"
                ),
                before: Some("the ack".to_owned()),
                instead: None,
            };
        }
        return before(&lost, last_operation(crash, retry), None);
    }
    let kept = needed(crash, &later, symptom, retry);
    let with = LossSet {
        lost: kept.iter().copied().collect(),
        ..LossSet::default()
    };
    let state = retry.legalized(crash, crash.point, &with);
    let mut others = retry.state(&state).lost;
    let own: BTreeSet<u64> = crash.lost.iter().map(|one| one.seq).collect();
    let with_it = others.iter().any(|one| own.contains(&one.seq));
    others.retain(|one| !own.contains(&one.seq));
    if others.is_empty() && with_it {
        return in_one_piece(&lost);
    }
    if others.is_empty() {
        return before(&lost, last_operation(crash, retry), None);
    }
    let first = others.iter().map(|one| one.seq).min();
    let of_first = others.iter().filter(|one| Some(one.seq) == first).cloned();
    let first = describe(&of_first.collect::<Vec<_>>(), crash, records);
    let kept = describe(&others, crash, records);
    // Lost alone, the other one shows it too: no order of the two is good.
    if shows(crash, &with, symptom, retry).is_some() {
        return Missing {
            property: Property::Atomicity,
            cause: format!(
                "{lost} and {kept} must reach the disk together, and each may reach it alone"
            ),
            before: None,
            instead: None,
        };
    }
    before(&lost, Some(kept), Some(first))
}

fn in_one_piece(lost: &str) -> Missing {
    Missing {
        property: Property::Atomicity,
        cause: format!(
            "{lost} must reach the disk in one piece or not at all, and nothing sees to that"
        ),
        before: None,
        instead: None,
    }
}

/// That something must be durable before another operation, of which `first` is the first in words.
fn before(lost: &str, other: Option<String>, first: Option<String>) -> Missing {
    let first = first.or_else(|| other.clone());
    let other = other.unwrap_or_else(|| "what follows".to_owned());
    Missing {
        property: Property::Ordering,
        cause: format!("{lost} must be durable before {other}, and no sync between them covers it"),
        before: first,
        instead: None,
    }
}

/// The updates that are kept and without which the finding does not show: each is put aside where it shows
/// without it, the latest first.
fn needed(
    crash: &Crash,
    later: &[usize],
    symptom: &Symptom,
    retry: &mut Retry<'_, '_>,
) -> Vec<usize> {
    let mut kept: Vec<usize> = later.to_vec();
    let mut size = kept.len().div_ceil(2).max(1);
    let mut looks = ONE_BY_ONE;
    while looks > 0 {
        let mut end = kept.len();
        while end > 0 && looks > 0 && kept.len() > 1 {
            let from = end.saturating_sub(size);
            let rest: Vec<usize> = kept[..from].iter().chain(&kept[end..]).copied().collect();
            let mut loss = crash.loss.clone();
            // Both are in order.
            let is_gone = |id: &&usize| rest.binary_search(id).is_err();
            loss.lost.extend(later.iter().filter(is_gone));
            looks -= 1;
            if !rest.is_empty() && shows(crash, &loss, symptom, retry).is_some() {
                kept = rest;
            }
            end = from;
        }
        if size == 1 {
            break;
        }
        size = size.div_ceil(2);
    }
    kept
}

fn shows(
    crash: &Crash,
    loss: &LossSet,
    symptom: &Symptom,
    retry: &mut Retry<'_, '_>,
) -> Option<Minimised> {
    if !retry.goes_on() {
        return None;
    }
    let other = retry.legalized(crash, crash.point, loss);
    // What must be lost as well may be the very thing that was to be kept.
    retry.shows(other, symptom)
}

fn ids(loss: &LossSet) -> impl Iterator<Item = usize> {
    let mut all: Vec<usize> = (loss.lost.iter().copied())
        .chain(loss.torn.keys().copied())
        .chain(loss.spoiled.iter().copied())
        .collect();
    all.sort_unstable();
    all.into_iter()
}

fn pending(crash: &Crash, retry: &Retry<'_, '_>) -> Vec<usize> {
    retry.oracle.window(crash, crash.model).pending()
}

/// The last operation before a crash, in words.
fn last_operation(crash: &Crash, retry: &Retry<'_, '_>) -> Option<String> {
    let records = retry.oracle.log(crash).records();
    let last = last(crash, records, |op| !op.is_note())?;
    Some(operation(last, crash))
}

/// The last operation of some kind before a crash.
fn last<'r>(crash: &Crash, records: &'r [Record], is: fn(&Op) -> bool) -> Option<&'r Record> {
    let mut before = records.iter().take(crash.point as usize).rev();
    before.find(|record| is(&record.op))
}

/// An operation, for people.
fn operation(record: &Record, crash: &Crash) -> String {
    format!(
        "the {} of {} ({}operation {})",
        record.op.name(),
        record.place(),
        crash.whose(),
        record.seq
    )
}

/// What was lost in a crash, in words: the first few operations.
fn describe(lost: &[LostUpdate], crash: &Crash, records: &[Record]) -> String {
    const NAMED: usize = 2;
    let whose = crash.whose();
    let mut by_operation: BTreeMap<u64, Vec<&LostUpdate>> = BTreeMap::new();
    for one in lost {
        by_operation.entry(one.seq).or_default().push(one);
    }
    let all = by_operation.iter().map(|(seq, updates)| {
        let Some(record) = records.get(*seq as usize) else {
            return format!("{whose}operation {seq}");
        };
        let (op, path) = (record.op.name(), record.place());
        let size = |one: &&LostUpdate| one.what.trim_start_matches("the ").starts_with("size");
        let what = match (&record.op, updates.as_slice()) {
            (Op::Write { .. }, [one]) if size(one) => {
                format!("the length that a write gave {path}")
            }
            (Op::Write { data, .. }, [one]) => {
                let part = if one.torn { "part of the" } else { "the" };
                format!(
                    "{part} write of {} bytes at {} of {path}",
                    data.len(),
                    data.offset()
                )
            }
            _ => format!("the {op} of {path}"),
        };
        format!("{what} ({whose}operation {seq})")
    });
    let mut all: Vec<String> = all.collect();
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let mut text = all.join(" and ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
