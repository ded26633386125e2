//! Which choices are worth trying at a crash point.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::build::{beside, sectors};
use super::step::{Step, StepKind};
use super::walk::write_of;
use super::window::{Choice, Window};
use crate::fs::PAGE;

/// The most pending steps that are left out one by one, and the most prefixes, at one point.
const SINGLES: usize = 48;

fn without(lost: impl IntoIterator<Item = usize>) -> Choice {
    Choice {
        lost: lost.into_iter().collect(),
        ..Choice::default()
    }
}

/// Choices that differ, up to a number of them. Where thousands of steps are pending a choice is
/// as many numbers, so none is made that is not wanted.
struct Distinct {
    all: Vec<Choice>,
    seen: HashSet<Choice>,
    limit: usize,
}

impl Distinct {
    fn add(&mut self, make: impl FnOnce() -> Choice) {
        self.extend(|| [make()]);
    }

    fn extend<I: IntoIterator<Item = Choice>>(&mut self, make: impl FnOnce() -> I) {
        if self.all.len() < self.limit {
            let new = make().into_iter();
            self.all
                .extend(new.filter(|choice| self.seen.insert(choice.clone())));
            self.all.truncate(self.limit);
        }
    }
}

impl<'a> Window<'a> {
    /// The first `limit` of the choices worth trying here, the most telling first: all there,
    /// nothing there, names without data, lengths without data (zeros), the last write torn (at
    /// sectors and at pages), data without names, data without any metadata, each single step
    /// missing, each prefix, and `subsets` seeded ones. Different choices can still give equal
    /// states.
    pub fn choices(&self, subsets: usize, seed: u64, limit: usize) -> Vec<Choice> {
        let steps = self.telling();
        let pending: Vec<usize> = steps.iter().map(|step| step.id).collect();
        let of = |lost: fn(&StepKind<'_>) -> bool| {
            without(
                steps
                    .iter()
                    .filter(|step| lost(&step.kind))
                    .map(|step| step.id),
            )
        };
        let mut choices = Distinct {
            all: Vec::new(),
            seen: HashSet::new(),
            limit,
        };
        choices.add(Choice::default);
        choices.add(|| without(pending.iter().copied()));
        choices.add(|| of(|kind| kind.is_content()));
        choices.add(|| of(|kind| !kind.is_metadata()));
        choices.extend(|| self.torn_last(&steps));
        choices.extend(|| self.spoiled_last(&steps));
        choices.add(|| of(|kind| matches!(kind, StepKind::Name { .. })));
        choices.add(|| of(|kind| kind.is_metadata()));
        for step in pending.iter().rev().take(SINGLES) {
            choices.add(|| without([*step]));
        }
        let from = pending.len().saturating_sub(SINGLES);
        for prefix in (from..pending.len()).rev() {
            choices.add(|| without(pending[prefix..].iter().copied()));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..if pending.len() > 2 { subsets } else { 0 } {
            choices.add(|| {
                let chance = [0.15, 0.5, 0.85][rng.random_range(0..3)];
                let lost = pending.iter().copied().filter(|_| rng.random_bool(chance));
                without(lost.collect::<Vec<_>>())
            });
        }
        choices.all
    }

    /// Every pair of pending steps missing together, the latest first. There are as many as the
    /// square of the pending steps, so this is an iterator that may be left at any time.
    pub fn pairs(&self) -> impl Iterator<Item = Choice> + use<> {
        let pending: Vec<usize> = self.telling().iter().rev().map(|step| step.id).collect();
        (1..pending.len()).flat_map(move |earlier| {
            let pending = pending.clone();
            (0..earlier)
                .rev()
                .map(move |later| without([pending[later], pending[earlier]]))
        })
    }

    /// The pending steps that a choice is about. Times and permissions change no verdict: they are
    /// lost along with nothing else.
    fn telling(&self) -> Vec<&Step<'a>> {
        let telling = |step: &&Step<'a>| !matches!(step.kind, StepKind::Attrs { .. });
        self.pending_steps().filter(telling).collect()
    }

    /// What came after a write, but for what its own record brought.
    fn behind(&self, steps: &[&Step<'a>], write: &Step<'a>) -> BTreeSet<usize> {
        let behind = steps
            .iter()
            .filter(|s| s.id > write.id && s.record != write.record);
        behind.map(|step| step.id).collect()
    }

    /// The last pending write of more than one unit, torn in the ways that disks tear: a prefix, a
    /// suffix, every other unit; at sectors and at pages.
    fn torn_last(&self, steps: &[&Step<'a>]) -> Vec<Choice> {
        let rules = self.rules();
        let last = steps.iter().rev().find_map(|step| {
            let (_, data) = write_of(self.records, step)?;
            let units = rules.units(step, data);
            (units.len() > 1).then_some((*step, data, units))
        });
        let Some((step, data, units)) = last else {
            return Vec::new();
        };
        let lost = self.behind(steps, step);
        let count = units.len();
        let sector = self.device.sector;
        let first_page = data.offset() / PAGE as u64;
        let by_unit = |keeps: &dyn Fn(usize) -> bool| -> Vec<bool> {
            let units = units.iter().enumerate();
            units
                .flat_map(|(n, unit)| unit.clone().map(move |_| n).map(keeps))
                .collect()
        };
        let by_page = |keeps: bool| -> Vec<bool> {
            let range = sectors(data, sector);
            range
                .map(|at| (at * sector / PAGE as u64 == first_page) == keeps)
                .collect()
        };
        let mut masks: Vec<Vec<bool>> = vec![
            by_unit(&|n| n < count.div_ceil(2)),
            by_unit(&|n| n >= count / 2),
            by_unit(&|n| n > 0),
            by_unit(&|n| n + 1 < count),
            by_unit(&|n| n % 2 == 0),
            by_page(true),
            by_page(false),
        ];
        masks.retain(|mask| mask.iter().any(|kept| *kept) && mask.iter().any(|kept| !*kept));
        masks
            .into_iter()
            .map(|mask| Choice {
                lost: lost.clone(),
                torn: BTreeMap::from([(step.id, mask)]),
                ..Choice::default()
            })
            .collect()
    }

    /// The last pending write that fills a sector in part, with junk left beside it.
    fn spoiled_last(&self, steps: &[&Step<'a>]) -> Option<Choice> {
        if self.device.powersafe_overwrite {
            return None;
        }
        let last = steps.iter().rev().find(|step| {
            write_of(self.records, step)
                .is_some_and(|(_, data)| beside(data, self.device.sector).next().is_some())
        })?;
        Some(Choice {
            lost: self.behind(steps, last),
            spoiled: BTreeSet::from([last.id]),
            ..Choice::default()
        })
    }
}
