//! A log read under a model, record by record: what is durable, and which steps are still open.
//!
//! Steps on different files and names commute. So what is durable is applied to a tree at once,
//! and only the open steps are kept: those that no sync covers, and those that are durable behind
//! one of the same file or name. No work here grows with the length of the log before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;

use super::build::{Keep, apply};
use super::device::Device;
use super::expand::PARTS;
use super::model::{Model, Order};
use super::step::{After, Fate, Journal, Step, StepKind, SyncPoint};
use crate::fs::{Ino, Op, PAGE, Record, Tree, WriteData, apply as apply_record};

/// How far a log was read.
#[derive(Clone)]
pub(super) struct Walk<'a> {
    pub(super) model: &'a dyn Model,
    pub(super) device: Device,
    pub(super) records: &'a [Record],
    /// Index of the next record.
    pub(super) at: usize,
    /// The tree before the log, with every step applied that is durable and behind no open one.
    pub(super) durable: Tree,
    /// The open steps, in order.
    pub(super) open: Vec<Step<'a>>,
    /// The tree that a process sees, where the model asks which pages are new.
    pub(super) live: Option<Tree>,
    pub(super) inodes: HashMap<Ino, Known>,
    /// The last step about a name of a folder.
    pub(super) entries: HashMap<(Ino, &'a OsStr), usize>,
    /// Writes that were given up, by file, with those of their pages that no later write, itself
    /// synced, has brought to the disk.
    abandoned: HashMap<Ino, Vec<(usize, HashSet<u64>)>>,
}

/// What is remembered of an inode. Numbers of steps point behind them, and are 0 for none.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The step that gave it its first name.
    pub(super) created: Option<usize>,
    /// For a folder: the last step that gave it a name, and the folder that holds it.
    pub(super) named: Option<(usize, Ino)>,
    /// The last step that took bytes away.
    pub(super) last_cut: Option<usize>,
    /// By page: the pending write that gave the page its block, and the length that came with it.
    pub(super) fresh: BTreeMap<u64, (usize, Option<usize>)>,
    pub(super) changed: usize,
    pub(super) reshaped: usize,
    pub(super) resized: usize,
}

/// The pages that a write touches.
pub(super) fn pages(data: &WriteData) -> std::ops::Range<u64> {
    data.offset() / PAGE as u64..data.end().div_ceil(PAGE as u64)
}

/// The bytes of a step that is a write.
pub(super) fn write_of<'r>(records: &'r [Record], step: &Step<'_>) -> Option<(Ino, &'r WriteData)> {
    match (&step.kind, &records[step.record].op) {
        (StepKind::Data { ino }, Op::Write { data, .. }) => Some((*ino, data)),
        _ => None,
    }
}

/// The place of a step among those that are open; none when it is not, and so durable.
pub(super) fn place(open: &[Step<'_>], id: usize) -> Option<usize> {
    open.binary_search_by_key(&id, |step| step.id).ok()
}

impl<'a> Walk<'a> {
    /// Before the first record.
    pub(super) fn new(
        base: &Tree,
        records: &'a [Record],
        model: &'a dyn Model,
        device: Device,
    ) -> Self {
        Self {
            model,
            device,
            records,
            at: 0,
            durable: base.clone(),
            open: Vec::new(),
            live: model.growth().is_delayed().then(|| base.clone()),
            inodes: HashMap::new(),
            entries: HashMap::new(),
            abandoned: HashMap::new(),
        }
    }

    /// Reads on until `point` records were read.
    pub(super) fn advance(&mut self, point: usize) {
        let records = self.records;
        while self.at < point.min(records.len()) {
            let record = &records[self.at];
            match &record.op {
                Op::Sync {
                    ino,
                    data_only,
                    dir,
                } => self.sync(*ino, *data_only, *dir),
                Op::SyncFailed { ino } => self.abandon(*ino),
                _ => self.expand(self.at, record),
            }
            if let Some(live) = &mut self.live {
                apply_record(live, record);
            }
            self.at += 1;
        }
    }

    pub(super) fn is_pending(&self, id: usize) -> bool {
        place(&self.open, id).is_some_and(|at| self.open[at].fate == Fate::Pending)
    }

    fn sync_point(&self, ino: Ino, data_only: bool, dir: bool) -> SyncPoint {
        let known = self.inodes.get(&ino).cloned().unwrap_or_default();
        let own = || {
            let pending = |step: &&Step<'_>| step.fate == Fate::Pending;
            self.open
                .iter()
                .filter(pending)
                .filter(|step| step.kind.home() == ino)
        };
        let resized =
            |step: &Step<'_>| matches!(step.kind, StepKind::Size { .. } | StepKind::Space { .. });
        let created = known.created.is_some_and(|step| self.is_pending(step));
        SyncPoint {
            ino,
            data_only,
            dir,
            needs_metadata: created || own().any(resized),
            allocates: own()
                .any(|step| step.journal == Journal::AtWriteBack || !step.fresh.is_empty()),
            now: self.at * PARTS,
            changed: known.changed,
            reshaped: known.reshaped,
            resized: known.resized,
        }
    }

    fn sync(&mut self, ino: Ino, data_only: bool, dir: bool) {
        let sync = self.sync_point(ino, data_only, dir);
        let ordered = self.model.order().is_ordered();
        let mut covered: Vec<usize> = self
            .open
            .iter()
            .filter(|step| {
                let own = step.kind.home() == ino;
                let asked = own || (ordered && step.kind.is_metadata());
                step.fate == Fate::Pending && asked && self.model.covers(&sync, step)
            })
            .map(|step| step.id)
            .collect();
        covered.extend(self.new_folders_above(&covered));
        if self.device.sequential {
            self.make_earlier_durable(&covered);
        }
        if covered.is_empty() {
            return;
        }
        for id in covered {
            self.make_durable(id);
        }
        if let Some(known) = self.inodes.get_mut(&ino) {
            known.fresh.clear();
        }
        self.fold();
    }

    /// Where a sync logs names: those of the new folders above, or the names could not be found.
    fn new_folders_above(&self, covered: &[usize]) -> Vec<usize> {
        if self.model.order() != Order::JournalAndLogs {
            return Vec::new();
        }
        let names = covered
            .iter()
            .filter_map(|id| match self.open[place(&self.open, *id)?].kind {
                StepKind::Name {
                    dir, ino: Some(_), ..
                } => Some(dir),
                _ => None,
            });
        let mut folders: Vec<Ino> = names.collect();
        folders.dedup();
        let mut above = Vec::new();
        for mut folder in folders {
            while let Some(known) = self.inodes.get(&folder)
                && let Some((step, parent)) = known.named
            {
                if known
                    .created
                    .is_some_and(|created| self.is_pending(created))
                {
                    above.push(step);
                }
                folder = parent;
            }
        }
        above
    }

    /// Where writes reach the disk in order, those before a durable one are durable.
    fn make_earlier_durable(&mut self, covered: &[usize]) {
        let is_content =
            |id: &&usize| place(&self.open, **id).is_some_and(|at| self.open[at].kind.is_content());
        let Some(&last) = covered.iter().rev().find(is_content) else {
            return;
        };
        let earlier = |step: &&Step<'_>| step.kind.is_content() && step.id < last;
        let earlier: Vec<usize> = self
            .open
            .iter()
            .filter(earlier)
            .map(|step| step.id)
            .collect();
        for id in earlier {
            self.make_durable(id);
        }
    }

    /// Makes a step durable with all that cannot be apart from it.
    fn make_durable(&mut self, id: usize) {
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            let Some(at) = place(&self.open, id).filter(|at| self.open[*at].fate == Fate::Pending)
            else {
                continue;
            };
            self.open[at].fate = Fate::Durable;
            let step = &self.open[at];
            next.extend(&step.needs);
            if let After::Write(data) = step.after {
                next.push(data);
            }
            if let StepKind::Name { .. } = step.kind {
                // The two names of an exchange are neighbours. The old name of a rename is not
                // tied to the new one: a folder's log has only its own names.
                let near = [at.checked_sub(1), Some(at + 1)];
                let near = near
                    .into_iter()
                    .flatten()
                    .filter_map(|at| self.open.get(at));
                let tied = near.filter(|other| {
                    let named = matches!(other.kind, StepKind::Name { ino: Some(_), .. });
                    other.group == step.group && named
                });
                next.extend(tied.map(|other| other.id));
            }
            if let Some((ino, data)) = write_of(self.records, &self.open[at]) {
                self.brings_along(ino, data);
            }
        }
    }

    /// A page that a durable write brought to the disk took with it what had been given up there.
    fn brings_along(&mut self, ino: Ino, data: &WriteData) {
        let Some(given_up) = self.abandoned.get_mut(&ino) else {
            return;
        };
        let written = pages(data);
        given_up.retain_mut(|(id, missing)| {
            missing.retain(|page| !written.contains(page));
            if missing.is_empty()
                && let Some(at) = place(&self.open, *id)
            {
                self.open[at].fate = Fate::Durable;
            }
            !missing.is_empty()
        });
    }

    fn abandon(&mut self, ino: Ino) {
        let given_up = self.abandoned.entry(ino).or_default();
        for step in &mut self.open {
            if let Some((of, data)) = write_of(self.records, step)
                && of == ino
                && step.fate == Fate::Pending
            {
                step.fate = Fate::Abandoned;
                given_up.push((step.id, pages(data).collect()));
            }
        }
    }

    /// Applies what is durable and behind no open step of the same file or name.
    fn fold(&mut self) {
        let mut blocked_files: HashSet<Ino> = HashSet::new();
        let mut blocked_names: HashSet<(Ino, &OsStr)> = HashSet::new();
        let mut unnamed: Vec<Ino> = Vec::new();
        let mut open = Vec::new();
        for step in self.open.drain(..) {
            let blocked = match step.kind {
                StepKind::Name { dir, name, .. } => blocked_names.contains(&(dir, name)),
                _ => blocked_files.contains(&step.kind.home()),
            };
            if step.fate == Fate::Durable && !blocked {
                let record = &self.records[step.record];
                apply(&mut self.durable, record, &step, &Keep::All, &self.device);
                unnamed.extend(loses_a_name(record, &step));
                continue;
            }
            match step.kind {
                StepKind::Name { dir, name, .. } => {
                    blocked_names.insert((dir, name));
                }
                _ => {
                    blocked_files.insert(step.kind.home());
                }
            }
            open.push(step);
        }
        self.open = open;
        self.drop_nameless(unnamed);
    }

    /// Drops what was removed from the durable tree and no open step is about, or the tree would
    /// grow with every file that ever was.
    fn drop_nameless(&mut self, mut unnamed: Vec<Ino>) {
        if unnamed.is_empty() {
            return;
        }
        let still: HashSet<Ino> = self
            .open
            .iter()
            .flat_map(|step| match step.kind {
                StepKind::Name { dir, of, ino, .. } => [Some(dir), Some(of), ino],
                _ => [Some(step.kind.home()), None, None],
            })
            .flatten()
            .collect();
        unnamed.retain(|ino| !still.contains(ino));
        for ino in unnamed {
            let gone = self
                .durable
                .get(ino)
                .is_ok_and(|inode| inode.is_dir() || inode.nlink == 0);
            if gone {
                self.durable.raw_drop(ino);
                self.inodes.remove(&ino);
            }
        }
    }

    /// Forgets what no later step or sync can ask for.
    pub(super) fn prune(&mut self) {
        let first = self.open.first().map_or(self.at * PARTS, |step| step.id);
        self.inodes.retain(|_, known| {
            known.fresh.retain(|_, (data, _)| *data >= first);
            known.named.is_some() || known.changed > first
        });
        self.entries.retain(|_, id| *id >= first);
        self.abandoned.retain(|_, given_up| !given_up.is_empty());
    }
}

/// What loses a name by a step, when it may have been the last: not by a rename, after which it
/// has another.
fn loses_a_name(record: &Record, step: &Step<'_>) -> Option<Ino> {
    match (&record.op, &step.kind) {
        (Op::Unlink { ino, .. }, _) => Some(*ino),
        (
            Op::Rename {
                replaced,
                exchange: false,
                ..
            },
            StepKind::Name { ino: Some(_), .. },
        ) => *replaced,
        _ => None,
    }
}
