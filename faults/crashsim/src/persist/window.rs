//! The log up to one crash point, and the states that are possible there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::apply::{Keep, LostUpdate, apply, lost, sectors};
use super::device::Device;
use super::legalize::Rules;
use super::lower::{LAST, PARTS, ROOM};
use super::model::Model;
use super::replay::{Replay, place, write_of};
use super::state::{CrashState, Loss};
use super::update::{Durability, Update};
use crate::fs::{Log, Record, Tree};

/// What of the pending updates did not reach the disk. Updates are named by their number in the log,
/// which is the same on every machine and at every later point.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LossSet {
    /// Updates that are missing whole.
    pub lost: BTreeSet<usize>,
    /// Writes that are there in part: for each sector from the first one touched, whether it is.
    pub torn: BTreeMap<usize, Vec<bool>>,
    /// Writes that are missing and left junk beside them, in the sectors that they would have
    /// filled in part; only on a device without powersafe overwrite.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub spoiled: BTreeSet<usize>,
}

impl LossSet {
    /// How many updates are not there whole.
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
    /// The log's base with every update applied that no open one stands before.
    durable: Tree,
    /// The updates to apply for each state, in order.
    pub(super) open: Vec<Update<'a>>,
}

impl<'a> Window<'a> {
    /// The window in front of the record at index `point` of the log. Reads the log from its
    /// beginning: for many windows of one log there is [`Index`](super::Index).
    pub fn new(log: &'a Log, point: usize, model: &'a dyn Model, device: Device) -> Self {
        let mut replay = Replay::new(log.base(), log.records(), model, device);
        replay.advance(point);
        Self::of(replay)
    }

    pub(super) fn of(replay: Replay<'a>) -> Self {
        Self {
            records: replay.records,
            model: replay.model,
            device: replay.device,
            durable: replay.durable,
            open: replay.open,
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

    /// The pending updates, by their numbers.
    pub fn pending(&self) -> Vec<usize> {
        self.pending_updates().map(|update| update.id).collect()
    }

    pub(super) fn pending_updates(&self) -> impl DoubleEndedIterator<Item = &Update<'a>> {
        self.open
            .iter()
            .filter(|update| update.durability != Durability::Durable)
    }

    /// The content of the disk under a loss set, which is made legal first: what needs something
    /// lost is lost too, and what a kept sector brings along is kept.
    pub fn state(&self, losses: &LossSet) -> CrashState {
        self.build(&self.legal(losses))
    }

    /// True when this content is that of a loss set made legal here. The loss set may come from another
    /// model; a length that a write brings in two updates here and in one there goes with its last.
    pub fn shows(&self, losses: &LossSet, digest: u128) -> bool {
        if self.state(losses).tree.digest() == digest {
            return true;
        }
        let first = |id: &usize| (id % PARTS == LAST).then(|| id - LAST + ROOM);
        let mut both = losses.clone();
        both.lost.extend(losses.lost.iter().filter_map(first));
        both != *losses && self.state(&both).tree.digest() == digest
    }

    /// The content of the disk under a seeded loss set. The same seed gives the same one anywhere.
    pub fn crash(&self, loss: Loss, seed: u64) -> CrashState {
        self.build(&self.rules().random(loss, seed))
    }

    /// What is missing in [`crash`](Self::crash) of the same seed.
    pub fn random_loss_set(&self, loss: Loss, seed: u64) -> LossSet {
        self.as_choice(&self.rules().random(loss, seed))
    }

    /// A loss set of another log that began as this one does: a write that is longer or shorter here
    /// is torn at the same share of it.
    pub fn fit(&self, losses: &LossSet) -> LossSet {
        let mut fitted = losses.clone();
        for (id, kept) in &mut fitted.torn {
            let update = place(&self.open, *id).map(|at| &self.open[at]);
            let Some((_, data)) = update.and_then(|update| write_of(self.records, update)) else {
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

    /// What is really missing under a loss set, as a loss set: after everything was made legal.
    pub fn legalize(&self, losses: &LossSet) -> LossSet {
        self.as_choice(&self.legal(losses))
    }

    pub(super) fn as_choice(&self, keeps: &[Keep]) -> LossSet {
        let mut settled = LossSet::default();
        for (update, keep) in self.open.iter().zip(keeps) {
            match keep {
                // How far a length goes follows from the data.
                Keep::All | Keep::UpTo(_) => {}
                Keep::None => {
                    settled.lost.insert(update.id);
                }
                Keep::Sectors(kept) => {
                    settled.torn.insert(update.id, kept.clone());
                }
                Keep::Spoiled => {
                    settled.spoiled.insert(update.id);
                }
            }
        }
        settled
    }

    pub(super) fn build(&self, keeps: &[Keep]) -> CrashState {
        let mut tree = self.durable.clone();
        for (update, keep) in self.open.iter().zip(keeps) {
            apply(
                &mut tree,
                &self.records[update.record],
                update,
                keep,
                &self.device,
            );
        }
        tree.settle();
        CrashState {
            tree,
            lost: self.missing(keeps),
            pending: self.pending_updates().count(),
        }
    }

    fn missing(&self, keeps: &[Keep]) -> Vec<LostUpdate> {
        let updates = self.open.iter().zip(keeps);
        updates
            .filter_map(|(update, keep)| lost(self.records, update, keep))
            .collect()
    }

    fn legal(&self, losses: &LossSet) -> Vec<Keep> {
        let mut keeps = vec![Keep::All; self.open.len()];
        let place = |id: &usize| {
            place(&self.open, *id).filter(|at| self.open[*at].durability != Durability::Durable)
        };
        for at in losses.lost.iter().filter_map(place) {
            keeps[at] = Keep::None;
        }
        let write = |at: usize| write_of(self.records, &self.open[at]);
        for at in losses.spoiled.iter().filter_map(place) {
            if write(at).is_some() {
                keeps[at] = Keep::Spoiled;
            }
        }
        for (id, kept) in &losses.torn {
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
        self.rules().legalize(&mut keeps);
        keeps
    }
}
