//! A log read under a model, record by record: what is durable, and which updates are still open.
//!
//! Updates on different files and names commute. So what is durable is applied to a tree at once,
//! and only the open updates are kept: those that no sync covers, and those that are durable behind
//! one of the same file or name. No work here grows with the length of the log before.

use std::ffi::OsStr;

use foldhash::{HashMap, HashMapExt, HashSet};

use super::apply::{Keep, apply};
use super::device::Device;
use super::lower::Lowering;
use super::model::{MetadataOrder, Model};
use super::update::{
    DataFirst, Durability, Journal, PARTS, SyncPoint, Update, UpdateKind, pages, place, write_of,
};
use crate::fs::{Ino, Op, Record, Tree, WriteData, apply as apply_record};

/// How far a log was read.
#[derive(Clone)]
pub(super) struct Replay<'a> {
    /// The open updates, in order, and what later ones ask of them.
    pub(super) lowering: Lowering<'a>,
    /// Index of the next record.
    pub(super) at: usize,
    /// The tree before the log, with every update applied that is durable and behind no open one.
    pub(super) durable: Tree,
    /// Writes that were given up, by file, with those of their pages that no later write, itself
    /// synced, has brought to the disk.
    abandoned: HashMap<Ino, Vec<(usize, HashSet<u64>)>>,
    /// Old names of renames whose directory was synced, but not what the file needs under its new name: they
    /// are durably gone when that is there.
    waiting: Vec<usize>,
}

impl<'a> Replay<'a> {
    /// Before the first record.
    pub(super) fn new(
        base: &Tree,
        records: &'a [Record],
        model: &'a dyn Model,
        device: Device,
    ) -> Self {
        let mut durable = base.clone();
        durable.track();
        Self {
            lowering: Lowering::new(base, records, model, device),
            at: 0,
            durable,
            abandoned: HashMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Reads on until `point` records were read.
    ///
    /// # Panics
    /// When the log has fewer records, or they are not numbered without gaps.
    pub(super) fn advance(&mut self, point: usize) {
        let records = self.lowering.records;
        while self.at < point.min(records.len()) {
            let record = &records[self.at];
            match &record.op {
                Op::Sync {
                    ino,
                    data_only,
                    dir,
                } => self.sync(*ino, *data_only, *dir),
                Op::SyncFailed { ino } => self.abandon(|of| of == *ino),
                Op::SyncAllFailed => self.abandon(|_| true),
                Op::SyncAll { .. } => self.sync_all(),
                op => {
                    if let Op::Create {
                        ino,
                        node,
                        mode,
                        owner,
                        ..
                    } = op
                    {
                        let path = record.path.clone();
                        self.durable.raw_node(*ino, node, *mode, *owner, path);
                    }
                    self.lowering.lower(self.at, record);
                }
            }
            if let Some(live) = &mut self.lowering.live {
                apply_record(live, record);
            }
            self.at += 1;
        }
    }

    fn sync_point(&self, ino: Ino, data_only: bool, dir: bool) -> SyncPoint {
        let known = self.lowering.inodes.get(&ino).cloned().unwrap_or_default();
        let own = || {
            let pending = |update: &&Update<'_>| update.durability == Durability::Pending;
            self.lowering
                .open
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
        let created = known
            .created
            .is_some_and(|update| self.lowering.is_pending(update));
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
        let ordered = self.lowering.model.metadata_order().is_ordered();
        let mut covered: Vec<usize> = self
            .lowering
            .open
            .iter()
            .filter(|update| {
                let own = update.kind.home() == ino;
                let asked = own || (ordered && update.kind.is_metadata());
                update.durability == Durability::Pending
                    && asked
                    && self.lowering.model.covers(&sync, update)
            })
            .map(|update| update.id)
            .collect();
        covered.extend(self.new_directories_above(&covered));
        if self.lowering.device.sequential {
            self.make_earlier_durable(&covered);
        }
        if covered.is_empty() {
            return;
        }
        let (wait, covered): (Vec<usize>, Vec<usize>) =
            covered.into_iter().partition(|id| self.is_old_name(*id));
        for id in covered {
            self.make_durable(id);
        }
        let new = wait.into_iter().filter(|id| !self.waiting.contains(id));
        self.waiting.extend(Vec::from_iter(new));
        self.end_waiting();
        if let Some(known) = self.lowering.inodes.get_mut(&ino) {
            known.fresh.clear();
        }
        self.fold();
    }

    /// True for the old name of a rename where names are durable one by one.
    fn is_old_name(&self, id: usize) -> bool {
        let update = place(&self.lowering.open, id).map(|at| &self.lowering.open[at]);
        self.lowering.model.metadata_order() == MetadataOrder::None
            && update.is_some_and(|update| {
                let gone = matches!(update.kind, UpdateKind::Name { ino: None, .. });
                gone && matches!(self.lowering.records[update.record].op, Op::Rename { .. })
            })
    }

    /// Makes the old names durably gone whose files are safe under the new ones.
    fn end_waiting(&mut self) {
        for id in std::mem::take(&mut self.waiting) {
            let Some(at) = place(&self.lowering.open, id)
                .filter(|at| self.lowering.open[*at].durability == Durability::Pending)
            else {
                continue;
            };
            let mut needs = self.lowering.open[at].needs.iter();
            if needs.any(|need| self.lowering.is_pending(*need)) {
                self.waiting.push(id);
            } else {
                self.make_durable(id);
            }
        }
    }

    /// Everything is written back, on every filesystem: sync(2), syncfs(2). But for what was given
    /// up before.
    fn sync_all(&mut self) {
        let pending = |update: &&Update<'_>| update.durability == Durability::Pending;
        let open = self.lowering.open.iter().filter(pending);
        let pending: Vec<usize> = open.map(|update| update.id).collect();
        for id in pending {
            self.make_durable(id);
        }
        for known in self.lowering.inodes.values_mut() {
            known.fresh.clear();
        }
        self.fold();
    }

    /// Where a sync logs names: those of the new directories above, or the names could not be found.
    fn new_directories_above(&self, covered: &[usize]) -> Vec<usize> {
        if self.lowering.model.metadata_order() != MetadataOrder::JournalAndLogs {
            return Vec::new();
        }
        let names = covered.iter().filter_map(|id| {
            match self.lowering.open[place(&self.lowering.open, *id)?].kind {
                UpdateKind::Name {
                    dir, ino: Some(_), ..
                } => Some(dir),
                _ => None,
            }
        });
        let mut directories: Vec<Ino> = names.collect();
        directories.dedup();
        let mut above = Vec::new();
        for mut directory in directories {
            while let Some(known) = self.lowering.inodes.get(&directory)
                && let Some((update, parent)) = known.named
            {
                if known
                    .created
                    .is_some_and(|created| self.lowering.is_pending(created))
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
        let is_content = |id: &&usize| {
            place(&self.lowering.open, **id)
                .is_some_and(|at| self.lowering.open[at].kind.is_content())
        };
        let Some(&last) = covered.iter().rev().find(is_content) else {
            return;
        };
        let earlier = |update: &&Update<'_>| update.kind.is_content() && update.id < last;
        let earlier: Vec<usize> = self
            .lowering
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
            let Some(at) = place(&self.lowering.open, id)
                .filter(|at| self.lowering.open[*at].durability == Durability::Pending)
            else {
                continue;
            };
            self.lowering.open[at].durability = Durability::Durable;
            let update = &self.lowering.open[at];
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
                    .filter_map(|at| self.lowering.open.get(at));
                let tied = near.filter(|other| {
                    let named = matches!(other.kind, UpdateKind::Name { ino: Some(_), .. });
                    other.group == update.group && named
                });
                next.extend(tied.map(|other| other.id));
            }
            if let Some((ino, data)) = write_of(self.lowering.records, &self.lowering.open[at]) {
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
                && let Some(at) = place(&self.lowering.open, *id)
            {
                self.lowering.open[at].durability = Durability::Durable;
            }
            !missing.is_empty()
        });
    }

    fn abandon(&mut self, whose: impl Fn(Ino) -> bool) {
        for update in &mut self.lowering.open {
            if let Some((of, data)) = write_of(self.lowering.records, update)
                && whose(of)
                && update.durability == Durability::Pending
            {
                update.durability = Durability::Abandoned;
                let given_up = self.abandoned.entry(of).or_default();
                given_up.push((update.id, pages(data).collect()));
            }
        }
    }

    /// Applies what is durable and behind no open update of the same file or name. Thousands of updates may be
    /// open when one is durable, so only those are looked at that are of the same files and names.
    fn fold(&mut self) {
        let open = &self.lowering.open;
        let durable = |update: &&Update<'_>| update.durability == Durability::Durable;
        let mut of_durable = Homes::default();
        for update in open.iter().filter(durable) {
            of_durable.insert(update);
        }
        let mut blocked = Homes::default();
        let mut applied: Vec<usize> = Vec::new();
        let mut unnamed: Vec<Ino> = Vec::new();
        if !of_durable.is_empty() {
            for (at, update) in open.iter().enumerate() {
                if !of_durable.has(update) {
                    continue;
                }
                if update.durability != Durability::Durable || blocked.has(update) {
                    blocked.insert(update);
                    continue;
                }
                let record = &self.lowering.records[update.record];
                let device = &self.lowering.device;
                apply(&mut self.durable, record, update, &Keep::All, device);
                unnamed.extend(loses_a_name(record, update));
                applied.push(at);
            }
        }
        let (mut at, mut next) = (0, applied.iter().peekable());
        self.lowering.open.retain(|_| {
            let is_applied = next.next_if(|applied| **applied == at).is_some();
            at += 1;
            !is_applied
        });
        self.drop_nameless(unnamed);
        self.durable.forget_settled();
    }

    /// Drops what was removed from the durable tree and no open update is about, or the tree would
    /// grow with every file that ever was.
    fn drop_nameless(&mut self, mut unnamed: Vec<Ino>) {
        if unnamed.is_empty() {
            return;
        }
        let still: HashSet<Ino> = self
            .lowering
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
            let was_there = self.durable.get(ino).is_ok();
            self.durable.raw_drop(ino);
            if was_there && self.durable.get(ino).is_err() {
                self.lowering.inodes.remove(&ino);
            }
        }
    }

    /// Forgets what no later update or sync can ask for.
    pub(super) fn prune(&mut self) {
        let first = self
            .lowering
            .open
            .first()
            .map_or(self.at * PARTS, |update| update.id);
        self.lowering.inodes.retain(|_, known| {
            known.fresh.retain(|_, (data, _)| *data >= first);
            known.named.is_some() || known.changed > first
        });
        self.lowering.entries.retain(|_, id| *id >= first);
        self.abandoned.retain(|_, given_up| !given_up.is_empty());
    }
}

/// Files and names that updates are about.
#[derive(Default)]
struct Homes<'a> {
    files: HashSet<Ino>,
    names: HashSet<(Ino, &'a OsStr)>,
}

impl<'a> Homes<'a> {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.names.is_empty()
    }

    fn insert(&mut self, update: &Update<'a>) {
        match update.kind {
            UpdateKind::Name { dir, name, .. } => drop(self.names.insert((dir, name))),
            _ => drop(self.files.insert(update.kind.home())),
        }
    }

    fn has(&self, update: &Update<'a>) -> bool {
        match update.kind {
            UpdateKind::Name { dir, name, .. } => self.names.contains(&(dir, name)),
            _ => self.files.contains(&update.kind.home()),
        }
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
