//! The log up to one crash point: which choices are worth trying there, and their states.
//!
//! Steps on different files and names commute, so what is durable is applied once for a point and
//! only what is pending (and what is durable behind something pending of the same file or name)
//! is applied again for each state. A state then costs what is un-synced, not what is written.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::choice::{Keep, close};
use super::plan::{Plan, write_of};
use super::state::{CrashState, apply, lost};
use super::step::{Fate, Model, Step, StepKind};
use crate::crashfs::{Ino, Log, Op, PAGE, Record, Tree};

/// The most pending steps that are left out one by one, and the most prefixes, at one point.
const SINGLES: usize = 48;

/// What of the pending steps did not reach the disk. Steps are named by their index in the plan of
/// the point, which is the same on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Choice {
    /// Steps that are missing whole.
    pub lost: BTreeSet<usize>,
    /// Writes that are there in part: for each sector from the first one touched, whether it is.
    pub torn: BTreeMap<usize, Vec<bool>>,
}

/// The log up to one crash point under one model.
pub struct Window<'a> {
    records: &'a [Record],
    plan: Plan<'a>,
    model: &'a dyn Model,
    sector: u64,
    /// The log's base with every step applied that no pending one stands before.
    durable: Tree,
    /// The steps to apply for each state, in order.
    open: Vec<usize>,
}

impl<'a> Window<'a> {
    /// The window in front of the record at index `point` of the log.
    pub fn new(log: &'a Log, point: usize, model: &'a dyn Model, sector: u64) -> Self {
        let records = &log.records()[..point.min(log.records().len())];
        let plan = Plan::new(model, records);
        let mut durable = log.base().clone();
        let mut open = Vec::new();
        let mut blocked_files: HashSet<Ino> = HashSet::new();
        let mut blocked_names: HashSet<(Ino, &OsStr)> = HashSet::new();
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
                durable.raw_node(*ino, node, *mode, *owner, record.path.clone());
            }
            while let Some(step) = plan.steps.get(next).filter(|step| step.record == index) {
                let blocked = match step.kind {
                    StepKind::Name { dir, name, .. } => blocked_names.contains(&(dir, name)),
                    _ => blocked_files.contains(&step.kind.home()),
                };
                if step.fate == Fate::Durable && !blocked {
                    apply(&mut durable, record, step, &Keep::All, sector);
                } else {
                    open.push(next);
                    match step.kind {
                        StepKind::Name { dir, name, .. } => {
                            blocked_names.insert((dir, name));
                        }
                        _ => {
                            blocked_files.insert(step.kind.home());
                        }
                    }
                }
                next += 1;
            }
        }
        Self {
            records,
            plan,
            model,
            sector,
            durable,
            open,
        }
    }

    /// The pending steps, by index in the plan.
    pub fn pending(&self) -> Vec<usize> {
        let steps = &self.plan.steps;
        self.open
            .iter()
            .copied()
            .filter(|s| steps[*s].fate != Fate::Durable)
            .collect()
    }

    /// The choices worth trying here, the most telling first: all there, nothing there, the last
    /// write torn, names without data, data without names, each single step missing, each prefix,
    /// and `subsets` seeded ones. Different choices can still give equal states.
    pub fn choices(&self, subsets: usize, seed: u64) -> Vec<Choice> {
        let steps = &self.plan.steps;
        // Times and permissions change no verdict: they are lost along with nothing else.
        let pending: Vec<usize> = self
            .pending()
            .into_iter()
            .filter(|s| !matches!(steps[*s].kind, StepKind::Attrs { .. }))
            .collect();
        let without = |lost: &mut dyn Iterator<Item = usize>| Choice {
            lost: lost.collect(),
            torn: BTreeMap::new(),
        };
        let mut choices = vec![Choice::default(), without(&mut pending.iter().copied())];
        choices.extend(self.torn_last(&pending));
        let data = |s: &&usize| !steps[**s].kind.is_metadata();
        choices.push(without(&mut pending.iter().filter(data).copied()));
        choices.push(without(&mut pending.iter().filter(|s| !data(s)).copied()));
        for single in pending.iter().rev().take(SINGLES) {
            choices.push(without(&mut std::iter::once(*single)));
        }
        let from = pending.len().saturating_sub(SINGLES);
        for prefix in (from..pending.len()).rev() {
            choices.push(without(&mut pending[prefix..].iter().copied()));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..if pending.len() > 2 { subsets } else { 0 } {
            let chance = [0.15, 0.5, 0.85][rng.random_range(0..3)];
            choices.push(without(
                &mut pending.iter().copied().filter(|_| rng.random_bool(chance)),
            ));
        }
        let mut seen = HashSet::new();
        choices.retain(|choice| seen.insert(choice.clone()));
        choices
    }

    /// The last pending write of more than one sector, torn in the ways that disks tear: a prefix,
    /// a suffix, every other sector; at sectors and at pages.
    fn torn_last(&self, pending: &[usize]) -> Vec<Choice> {
        let last = pending.iter().rev().find_map(|s| {
            let (_, data) = write_of(self.records, &self.plan.steps[*s])?;
            let range = data.offset() / self.sector..data.end().div_ceil(self.sector);
            (range.end - range.start > 1).then_some((*s, range))
        });
        let Some((step, range)) = last else {
            return Vec::new();
        };
        let record = self.plan.steps[step].record;
        // What came after the torn write is not there, but for what its own record brought.
        let lost: BTreeSet<usize> = pending
            .iter()
            .copied()
            .filter(|s| *s > step && self.plan.steps[*s].record != record)
            .collect();
        let count = (range.end - range.start) as usize;
        let per_page = (PAGE as u64 / self.sector).max(1);
        let mut masks: Vec<Vec<bool>> = vec![
            (0..count).map(|n| n < count.div_ceil(2)).collect(),
            (0..count).map(|n| n >= count / 2).collect(),
            (0..count).map(|n| n > 0).collect(),
            (0..count).map(|n| n + 1 < count).collect(),
            (0..count).map(|n| n % 2 == 0).collect(),
        ];
        let first_page = range.start / per_page;
        masks.push(
            range
                .clone()
                .map(|at| at / per_page == first_page)
                .collect(),
        );
        masks.push(range.map(|at| at / per_page != first_page).collect());
        masks.retain(|mask| mask.iter().any(|kept| *kept) && mask.iter().any(|kept| !*kept));
        masks
            .into_iter()
            .map(|mask| Choice {
                lost: lost.clone(),
                torn: BTreeMap::from([(step, mask)]),
            })
            .collect()
    }

    /// The content of the disk under a choice, which is made legal first: what needs something
    /// lost is lost too, and what a kept sector brings along is kept.
    pub fn state(&self, choice: &Choice) -> CrashState {
        let (keeps, missing) = self.legal(choice);
        let mut tree = self.durable.clone();
        for &index in &self.open {
            let step = &self.plan.steps[index];
            apply(
                &mut tree,
                &self.records[step.record],
                step,
                &keeps[index],
                self.sector,
            );
        }
        tree.settle();
        CrashState {
            tree,
            lost: missing,
            pending: self.pending().len(),
        }
    }

    /// What is really missing under a choice, as a choice: after everything was made legal.
    pub fn settled(&self, choice: &Choice) -> Choice {
        let (keeps, _) = self.legal(choice);
        let mut settled = Choice::default();
        for (index, keep) in keeps.into_iter().enumerate() {
            match keep {
                Keep::All => {}
                Keep::None => {
                    settled.lost.insert(index);
                }
                Keep::Sectors(kept) => {
                    settled.torn.insert(index, kept);
                }
            }
        }
        settled
    }

    fn legal(&self, choice: &Choice) -> (Vec<Keep>, Vec<super::Lost>) {
        let steps: &[Step<'_>] = &self.plan.steps;
        let mut keeps = vec![Keep::All; steps.len()];
        for index in &choice.lost {
            if steps
                .get(*index)
                .is_some_and(|step| step.fate != Fate::Durable)
            {
                keeps[*index] = Keep::None;
            }
        }
        for (index, kept) in &choice.torn {
            let whole = steps.get(*index).is_some_and(|step| {
                step.fate != Fate::Durable
                    && write_of(self.records, step).is_some_and(|(_, data)| {
                        let range = data.offset() / self.sector..data.end().div_ceil(self.sector);
                        range.end - range.start == kept.len() as u64
                    })
            });
            if whole {
                keeps[*index] = Keep::Sectors(kept.clone());
            }
        }
        close(
            &self.plan,
            self.records,
            self.model,
            self.sector,
            &mut keeps,
        );
        let missing = self
            .open
            .iter()
            .filter_map(|index| lost(self.records, &steps[*index], &keeps[*index]))
            .collect();
        (keeps, missing)
    }
}
