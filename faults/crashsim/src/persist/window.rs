//! The log up to one crash point, and the states that are possible there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::build::{Keep, Lost, apply, lost, sectors};
use super::close::Rules;
use super::device::Device;
use super::expand::{LAST, PARTS, ROOM};
use super::model::Model;
use super::state::{CrashState, Loss};
use super::step::{Fate, Step};
use super::walk::{Walk, place, write_of};
use crate::fs::{Log, Record, Tree};

/// What of the pending steps did not reach the disk. Steps are named by their number in the log,
/// which is the same on every machine and at every later point.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Choice {
    /// Steps that are missing whole.
    pub lost: BTreeSet<usize>,
    /// Writes that are there in part: for each sector from the first one touched, whether it is.
    pub torn: BTreeMap<usize, Vec<bool>>,
    /// Writes that are missing and left junk beside them, in the sectors that they would have
    /// filled in part; only on a device without powersafe overwrite.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub spoiled: BTreeSet<usize>,
}

impl Choice {
    /// How many steps are not there whole.
    pub fn len(&self) -> usize {
        self.lost.len() + self.torn.len() + self.spoiled.len()
    }

    /// True when nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The log up to one crash point under one model. Costs what is un-synced there, not what was
/// written before.
pub struct Window<'a> {
    pub(super) records: &'a [Record],
    pub(super) model: &'a dyn Model,
    pub(super) device: Device,
    /// The log's base with every step applied that no open one stands before.
    durable: Tree,
    /// The steps to apply for each state, in order.
    pub(super) open: Vec<Step<'a>>,
}

impl<'a> Window<'a> {
    /// The window in front of the record at index `point` of the log. Reads the log from its
    /// beginning: for many windows of one log there is [`Index`](super::Index).
    pub fn new(log: &'a Log, point: usize, model: &'a dyn Model, device: Device) -> Self {
        let mut walk = Walk::new(log.base(), log.records(), model, device);
        walk.advance(point);
        Self::of(walk)
    }

    pub(super) fn of(walk: Walk<'a>) -> Self {
        Self {
            records: walk.records,
            model: walk.model,
            device: walk.device,
            durable: walk.durable,
            open: walk.open,
        }
    }

    pub(super) fn rules(&self) -> Rules<'_, 'a> {
        Rules {
            records: self.records,
            model: self.model,
            device: self.device,
            open: &self.open,
        }
    }

    /// The pending steps, by their numbers.
    pub fn pending(&self) -> Vec<usize> {
        self.pending_steps().map(|step| step.id).collect()
    }

    pub(super) fn pending_steps(&self) -> impl DoubleEndedIterator<Item = &Step<'a>> {
        self.open.iter().filter(|step| step.fate != Fate::Durable)
    }

    /// The content of the disk under a choice, which is made legal first: what needs something
    /// lost is lost too, and what a kept sector brings along is kept.
    pub fn state(&self, choice: &Choice) -> CrashState {
        self.build(&self.legal(choice))
    }

    /// True when this content is that of a choice made legal here. The choice may come from another
    /// model; a length that a write brings in two steps here and in one there goes with its last.
    pub fn shows(&self, choice: &Choice, digest: u128) -> bool {
        if self.state(choice).tree.digest() == digest {
            return true;
        }
        let first = |id: &usize| (id % PARTS == LAST).then(|| id - LAST + ROOM);
        let mut both = choice.clone();
        both.lost.extend(choice.lost.iter().filter_map(first));
        both != *choice && self.state(&both).tree.digest() == digest
    }

    /// The content of the disk under a seeded choice. The same seed gives the same one anywhere.
    pub fn crash(&self, loss: Loss, seed: u64) -> CrashState {
        self.build(&self.rules().chance(loss, seed))
    }

    /// What is missing in [`crash`](Self::crash) of the same seed.
    pub fn choice(&self, loss: Loss, seed: u64) -> Choice {
        self.as_choice(&self.rules().chance(loss, seed))
    }

    /// A choice of another log that began as this one does: a write that is longer or shorter here
    /// is torn at the same share of it.
    pub fn fitted(&self, choice: &Choice) -> Choice {
        let mut fitted = choice.clone();
        for (id, kept) in &mut fitted.torn {
            let step = place(&self.open, *id).map(|at| &self.open[at]);
            let Some((_, data)) = step.and_then(|step| write_of(self.records, step)) else {
                continue;
            };
            let range = sectors(data, self.device.sector);
            let count = (range.end - range.start) as usize;
            if count != kept.len() && !kept.is_empty() {
                let share = |sector| kept[sector * kept.len() / count];
                *kept = (0..count).map(share).collect();
            }
        }
        fitted
    }

    /// What is really missing under a choice, as a choice: after everything was made legal.
    pub fn settled(&self, choice: &Choice) -> Choice {
        self.as_choice(&self.legal(choice))
    }

    pub(super) fn as_choice(&self, keeps: &[Keep]) -> Choice {
        let mut settled = Choice::default();
        for (step, keep) in self.open.iter().zip(keeps) {
            match keep {
                // How far a length goes follows from the data.
                Keep::All | Keep::UpTo(_) => {}
                Keep::None => {
                    settled.lost.insert(step.id);
                }
                Keep::Sectors(kept) => {
                    settled.torn.insert(step.id, kept.clone());
                }
                Keep::Spoiled => {
                    settled.spoiled.insert(step.id);
                }
            }
        }
        settled
    }

    pub(super) fn build(&self, keeps: &[Keep]) -> CrashState {
        let mut tree = self.durable.clone();
        for (step, keep) in self.open.iter().zip(keeps) {
            apply(
                &mut tree,
                &self.records[step.record],
                step,
                keep,
                &self.device,
            );
        }
        tree.settle();
        CrashState {
            tree,
            lost: self.missing(keeps),
            pending: self.pending_steps().count(),
        }
    }

    fn missing(&self, keeps: &[Keep]) -> Vec<Lost> {
        let steps = self.open.iter().zip(keeps);
        steps
            .filter_map(|(step, keep)| lost(self.records, step, keep))
            .collect()
    }

    fn legal(&self, choice: &Choice) -> Vec<Keep> {
        let mut keeps = vec![Keep::All; self.open.len()];
        let place =
            |id: &usize| place(&self.open, *id).filter(|at| self.open[*at].fate != Fate::Durable);
        for at in choice.lost.iter().filter_map(place) {
            keeps[at] = Keep::None;
        }
        let write = |at: usize| write_of(self.records, &self.open[at]);
        for at in choice.spoiled.iter().filter_map(place) {
            if write(at).is_some() {
                keeps[at] = Keep::Spoiled;
            }
        }
        for (id, kept) in &choice.torn {
            let at = place(id).filter(|at| {
                write(*at).is_some_and(|(_, data)| {
                    let range = sectors(data, self.device.sector);
                    range.end - range.start == kept.len() as u64
                })
            });
            if let Some(at) = at {
                keeps[at] = Keep::Sectors(kept.clone());
            }
        }
        self.rules().close(&mut keeps);
        keeps
    }
}
