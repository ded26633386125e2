//! A log read under a model, record by record: what is durable, and which updates are still open.
//!
//! Updates on different files and names commute. So what is durable is applied to a tree at once,
//! and only the open updates are kept: those that no sync covers, and those that are durable behind
//! one of the same file or name. No work here grows with the length of the log before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;

use super::apply::{Keep, apply};
use super::device::Device;
use super::lower::PARTS;
use super::model::{MetadataOrder, Model};
use super::update::{DataFirst, Durability, Journal, SyncPoint, Update, UpdateKind};
use crate::fs::{Ino, Op, PAGE, Record, Tree, WriteData, apply as apply_record};

/// How far a log was read.
#[derive(Clone)]
pub(super) struct Replay<'a> {
    pub(super) model: &'a dyn Model,
    pub(super) device: Device,
    pub(super) records: &'a [Record],
    /// Index of the next record.
    pub(super) at: usize,
    /// The tree before the log, with every update applied that is durable and behind no open one.
    pub(super) durable: Tree,
    /// The open updates, in order.
    pub(super) open: Vec<Update<'a>>,
    /// The tree that a process sees, where the model asks which pages are new.
    pub(super) live: Option<Tree>,
    pub(super) inodes: HashMap<Ino, Known>,
    /// The last update about a name of a directory.
    pub(super) entries: HashMap<(Ino, &'a OsStr), usize>,
    /// Writes that were given up, by file, with those of their pages that no later write, itself
    /// synced, has brought to the disk.
    abandoned: HashMap<Ino, Vec<(usize, HashSet<u64>)>>,
}

/// What is remembered of an inode. Numbers of updates point behind them, and are 0 for none.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The update that gave it its first name.
    pub(super) created: Option<usize>,
    /// For a directory: the last update that gave it a name, and the directory that holds it.
    pub(super) named: Option<(usize, Ino)>,
    /// The last update that took bytes away.
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

/// The bytes of an update that is a write.
pub(super) fn write_of<'r>(
    records: &'r [Record],
    update: &Update<'_>,
) -> Option<(Ino, &'r WriteData)> {
    match (&update.kind, &records[update.record].op) {
        (UpdateKind::Data { ino }, Op::Write { data, .. }) => Some((*ino, data)),
        _ => None,
    }
}

/// The place of an update among those that are open; none when it is not, and so durable.
pub(super) fn place(open: &[Update<'_>], id: usize) -> Option<usize> {
    open.binary_search_by_key(&id, |update| update.id).ok()
}

impl<'a> Replay<'a> {
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
                _ => self.lower(self.at, record),
            }
            if let Some(live) = &mut self.live {
                apply_record(live, record);
            }
            self.at += 1;
        }
    }

    pub(super) fn is_pending(&self, id: usize) -> bool {
        place(&self.open, id).is_some_and(|at| self.open[at].durability == Durability::Pending)
    }

    fn sync_point(&self, ino: Ino, data_only: bool, dir: bool) -> SyncPoint {
        let known = self.inodes.get(&ino).cloned().unwrap_or_default();
        let own = || {
            let pending = |update: &&Update<'_>| update.durability == Durability::Pending;
            self.open
                .iter()
                .filter(pending)
                .filter(|update| update.kind.home() == ino)
        };
        let resized = |update: &Update<'_>| {
            matches!(
                update.kind,
                UpdateKind::Size { .. } | UpdateKind::Space { .. }
            )
        };
        let created = known.created.is_some_and(|update| self.is_pending(update));
        SyncPoint {
            ino,
            data_only,
            dir,
            needs_metadata: created || own().any(resized),
            allocates: own()
                .any(|update| update.journal == Journal::AtWriteBack || !update.fresh.is_empty()),
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
            .filter(|update| {
                let own = update.kind.home() == ino;
                let asked = own || (ordered && update.kind.is_metadata());
                update.durability == Durability::Pending
                    && asked
                    && self.model.covers(&sync, update)
            })
            .map(|update| update.id)
            .collect();
        covered.extend(self.new_directories_above(&covered));
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

    /// Where a sync logs names: those of the new directories above, or the names could not be found.
    fn new_directories_above(&self, covered: &[usize]) -> Vec<usize> {
        if self.model.order() != MetadataOrder::JournalAndLogs {
            return Vec::new();
        }
        let names = covered
            .iter()
            .filter_map(|id| match self.open[place(&self.open, *id)?].kind {
                UpdateKind::Name {
                    dir, ino: Some(_), ..
                } => Some(dir),
                _ => None,
            });
        let mut directories: Vec<Ino> = names.collect();
        directories.dedup();
        let mut above = Vec::new();
        for mut directory in directories {
            while let Some(known) = self.inodes.get(&directory)
                && let Some((update, parent)) = known.named
            {
                if known
                    .created
                    .is_some_and(|created| self.is_pending(created))
                {
                    above.push(update);
                }
                directory = parent;
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
        let earlier = |update: &&Update<'_>| update.kind.is_content() && update.id < last;
        let earlier: Vec<usize> = self
            .open
            .iter()
            .filter(earlier)
            .map(|update| update.id)
            .collect();
        for id in earlier {
            self.make_durable(id);
        }
    }

    /// Makes an update durable with all that cannot be apart from it.
    fn make_durable(&mut self, id: usize) {
        let mut next = vec![id];
        while let Some(id) = next.pop() {
            let Some(at) =
                place(&self.open, id).filter(|at| self.open[*at].durability == Durability::Pending)
            else {
                continue;
            };
            self.open[at].durability = Durability::Durable;
            let update = &self.open[at];
            next.extend(&update.needs);
            if let DataFirst::Write(data) = update.after {
                next.push(data);
            }
            if let UpdateKind::Name { .. } = update.kind {
                // The two names of an exchange are neighbours. The old name of a rename is not
                // tied to the new one: a directory's log has only its own names.
                let near = [at.checked_sub(1), Some(at + 1)];
                let near = near
                    .into_iter()
                    .flatten()
                    .filter_map(|at| self.open.get(at));
                let tied = near.filter(|other| {
                    let named = matches!(other.kind, UpdateKind::Name { ino: Some(_), .. });
                    other.group == update.group && named
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
                self.open[at].durability = Durability::Durable;
            }
            !missing.is_empty()
        });
    }

    fn abandon(&mut self, ino: Ino) {
        let given_up = self.abandoned.entry(ino).or_default();
        for update in &mut self.open {
            if let Some((of, data)) = write_of(self.records, update)
                && of == ino
                && update.durability == Durability::Pending
            {
                update.durability = Durability::Abandoned;
                given_up.push((update.id, pages(data).collect()));
            }
        }
    }

    /// Applies what is durable and behind no open update of the same file or name.
    fn fold(&mut self) {
        let mut blocked_files: HashSet<Ino> = HashSet::new();
        let mut blocked_names: HashSet<(Ino, &OsStr)> = HashSet::new();
        let mut unnamed: Vec<Ino> = Vec::new();
        let mut open = Vec::new();
        for update in self.open.drain(..) {
            let blocked = match update.kind {
                UpdateKind::Name { dir, name, .. } => blocked_names.contains(&(dir, name)),
                _ => blocked_files.contains(&update.kind.home()),
            };
            if update.durability == Durability::Durable && !blocked {
                let record = &self.records[update.record];
                apply(&mut self.durable, record, &update, &Keep::All, &self.device);
                unnamed.extend(loses_a_name(record, &update));
                continue;
            }
            match update.kind {
                UpdateKind::Name { dir, name, .. } => {
                    blocked_names.insert((dir, name));
                }
                _ => {
                    blocked_files.insert(update.kind.home());
                }
            }
            open.push(update);
        }
        self.open = open;
        self.drop_nameless(unnamed);
    }

    /// Drops what was removed from the durable tree and no open update is about, or the tree would
    /// grow with every file that ever was.
    fn drop_nameless(&mut self, mut unnamed: Vec<Ino>) {
        if unnamed.is_empty() {
            return;
        }
        let still: HashSet<Ino> = self
            .open
            .iter()
            .flat_map(|update| match update.kind {
                UpdateKind::Name { dir, of, ino, .. } => [Some(dir), Some(of), ino],
                _ => [Some(update.kind.home()), None, None],
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

    /// Forgets what no later update or sync can ask for.
    pub(super) fn prune(&mut self) {
        let first = self
            .open
            .first()
            .map_or(self.at * PARTS, |update| update.id);
        self.inodes.retain(|_, known| {
            known.fresh.retain(|_, (data, _)| *data >= first);
            known.named.is_some() || known.changed > first
        });
        self.entries.retain(|_, id| *id >= first);
        self.abandoned.retain(|_, given_up| !given_up.is_empty());
    }
}

/// What loses a name by an update, when it may have been the last: not by a rename, after which it
/// has another.
fn loses_a_name(record: &Record, update: &Update<'_>) -> Option<Ino> {
    match (&record.op, &update.kind) {
        (Op::Unlink { ino, .. }, _) => Some(*ino),
        (
            Op::Rename {
                replaced,
                exchange: false,
                ..
            },
            UpdateKind::Name { ino: Some(_), .. },
        ) => *replaced,
        _ => None,
    }
}
