//! What each record means for the disk: its updates, and the pending updates without which each
//! cannot be on the disk.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Range;

use foldhash::{HashMap, HashMapExt};

use super::device::Device;
use super::model::{Growth, MetadataOrder, Model, Overwrite, Replace};
use super::update::{
    DataFirst, Durability, Journal, PARTS, Update, UpdateKind, pages, place, write_of,
};
use crate::fs::{Attrs, Ino, NewNode, Op, PAGE, Record, Tree, WriteData};

/// What a record does first: a name, bytes, a cut.
pub(super) const FIRST: usize = 0;
/// A length as far as the last block has room.
pub(super) const ROOM: usize = 1;
/// What follows: a length, a second name.
pub(super) const LAST: usize = 2;

/// Lowers the records of a log to updates, and holds those that are open: that no sync covers, or
/// that are durable behind one of the same file or name.
#[derive(Clone)]
pub(super) struct Lowering<'a> {
    pub(super) model: &'a dyn Model,
    pub(super) device: Device,
    pub(super) records: &'a [Record],
    /// The open updates, in order.
    pub(super) open: Vec<Update<'a>>,
    /// The tree that a process sees, where the model asks which pages are new.
    pub(super) live: Option<Tree>,
    pub(super) inodes: HashMap<Ino, InodeHistory>,
    /// The last update about a name of a directory.
    pub(super) entries: HashMap<(Ino, &'a OsStr), usize>,
}

/// What is remembered of an inode. Numbers of updates point behind them, and are 0 for none.
#[derive(Clone, Debug, Default)]
pub(super) struct InodeHistory {
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

impl<'a> Lowering<'a> {
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
            open: Vec::new(),
            live: model.growth().is_delayed().then(|| base.clone()),
            inodes: HashMap::new(),
            entries: HashMap::new(),
        }
    }

    pub(super) fn is_pending(&self, id: usize) -> bool {
        place(&self.open, id).is_some_and(|at| self.open[at].durability == Durability::Pending)
    }

    /// Adds the updates of a record that changes something.
    pub(super) fn lower(&mut self, index: usize, record: &'a Record) {
        match &record.op {
            Op::Create {
                parent,
                name,
                ino,
                node,
                ..
            } => self.create(index, (*parent, name), *ino, node),
            Op::Link { parent, name, ino } => {
                let needs = self.before(*parent, name);
                self.name((index, FIRST), (*parent, name), Some(*ino), *ino, needs);
            }
            Op::Unlink {
                parent, name, ino, ..
            } => {
                let mut needs = self.before(*parent, name);
                needs.extend(self.left(*ino));
                self.name((index, FIRST), (*parent, name), None, *ino, needs);
            }
            Op::Rename {
                from,
                to,
                ino,
                replaced,
                exchange,
            } => self.rename(
                index,
                (from.0, &from.1),
                (to.0, &to.1),
                *ino,
                *replaced,
                *exchange,
            ),
            Op::Write {
                ino,
                data,
                old_size,
            } => self.write(index, *ino, data, *old_size),
            Op::Truncate {
                ino,
                old_size,
                size,
            } => self.truncate(index, *ino, *old_size, *size),
            Op::Allocate {
                ino,
                old_size,
                size,
                ..
            } => self.space(index, *ino, false, (*old_size, *size)),
            Op::Zero {
                ino,
                old_size,
                size,
                ..
            } => self.space(index, *ino, true, (*old_size, *size)),
            Op::SetAttrs { ino, attrs } => {
                let Attrs { mode, uid, gid, .. } = attrs;
                let reshapes = mode.is_some() || uid.is_some() || gid.is_some();
                self.attrs(index, *ino, reshapes);
            }
            Op::Touch { ino, .. } => self.attrs(index, *ino, false),
            Op::SetXattr { ino, .. } => self.attrs(index, *ino, true),
            Op::Sync { .. }
            | Op::SyncFailed { .. }
            | Op::SyncAll { .. }
            | Op::SyncAllFailed
            | Op::CallGoesOn { .. }
            | Op::CacheSettled
            | Op::CacheUnsettled => {}
        }
    }

    fn create(&mut self, index: usize, place: (Ino, &'a OsStr), ino: Ino, node: &NewNode) {
        let needs = self.before(place.0, place.1);
        let update = self.name((index, FIRST), place, Some(ino), ino, needs);
        let directory = matches!(node, NewNode::Dir);
        let known = self.inodes.entry(ino).or_default();
        known.created = Some(update);
        known.resized = update + PARTS;
        known.named = directory.then_some((update, place.0));
    }

    fn truncate(&mut self, index: usize, ino: Ino, old_size: u64, size: u64) {
        let mut needs = self.appended(ino, size);
        if size < old_size {
            let shrinks = true;
            let kind = UpdateKind::Size { ino, size, shrinks };
            needs.extend(self.cut_of(ino));
            self.cut(index, kind, needs);
        } else if size > old_size {
            self.grow(index, LAST, ino, size, needs);
        }
    }

    /// Space that is allocated, or zeroed, which takes bytes away; and the length that may come with it.
    fn space(&mut self, index: usize, ino: Ino, zeroes: bool, (old_size, size): (u64, u64)) {
        let kind = UpdateKind::Space { ino, zeroes };
        if zeroes {
            self.cut(index, kind, self.cut_of(ino));
        } else {
            self.add(index, FIRST, kind, Vec::new());
        }
        if size > old_size {
            self.grow(index, LAST, ino, size, self.appended(ino, size));
        }
    }

    fn attrs(&mut self, index: usize, ino: Ino, reshapes: bool) {
        let reshaped = self.inodes.get(&ino).map_or(0, |known| known.reshaped);
        self.add(index, FIRST, UpdateKind::Attrs { ino }, Vec::new());
        if !reshapes {
            self.inodes.entry(ino).or_default().reshaped = reshaped;
        }
    }

    /// Adds an update, whose group is its record's.
    fn add(
        &mut self,
        record: usize,
        part: usize,
        kind: UpdateKind<'a>,
        needs: Vec<usize>,
    ) -> usize {
        let id = record * PARTS + part;
        let same = self
            .open
            .last()
            .filter(|last| last.record == record && last.kind.is_metadata());
        let group = same.map_or(id, |last| last.group);
        let ordered = self.model.metadata_order().is_ordered() && kind.is_metadata();
        self.open.push(Update {
            id,
            record,
            kind,
            durability: Durability::Pending,
            needs,
            group,
            journal: if ordered {
                Journal::AtOnce
            } else {
                Journal::Never
            },
            after: DataFirst::Nothing,
            fresh: Vec::new(),
        });
        let reshapes = kind.is_metadata();
        let resizes = matches!(kind, UpdateKind::Size { .. } | UpdateKind::Space { .. });
        self.touch(kind.home(), id, reshapes, resizes);
        if let UpdateKind::Name { of, .. } = kind {
            self.touch(of, id, true, false);
        }
        id
    }

    /// Notes that an inode was changed: its journal's transaction has the whole record.
    fn touch(&mut self, ino: Ino, id: usize, reshapes: bool, resizes: bool) {
        let behind = (id / PARTS + 1) * PARTS;
        let known = self.inodes.entry(ino).or_default();
        known.changed = behind;
        if reshapes {
            known.reshaped = behind;
        }
        if resizes {
            known.resized = behind;
        }
    }

    fn update(&mut self, id: usize) -> Option<&mut Update<'a>> {
        let at = place(&self.open, id)?;
        self.open.get_mut(at)
    }

    /// Makes an update part of the journal when the data is written back, and of no group.
    fn at_write_back(&mut self, id: usize, after: DataFirst) {
        if let Some(update) = self.update(id) {
            update.journal = Journal::AtWriteBack;
            update.group = id;
            update.after = after;
        }
    }

    fn name(
        &mut self,
        (record, part): (usize, usize),
        (dir, name): (Ino, &'a OsStr),
        ino: Option<Ino>,
        of: Ino,
        needs: Vec<usize>,
    ) -> usize {
        let kind = UpdateKind::Name { dir, name, ino, of };
        let update = self.add(record, part, kind, needs);
        self.entries.insert((dir, name), update);
        if let Some(directory) = ino.and_then(|ino| self.inodes.get_mut(&ino))
            && directory.named.is_some()
        {
            directory.named = Some((update, dir));
        }
        update
    }

    fn rename(
        &mut self,
        index: usize,
        from: (Ino, &'a OsStr),
        to: (Ino, &'a OsStr),
        ino: Ino,
        replaced: Option<Ino>,
        exchange: bool,
    ) {
        let mut needs = self.before(to.0, to.1);
        if exchange {
            // Both names change at once; what both need stands with the first.
            needs.extend(self.before(from.0, from.1));
            needs.extend(self.above(to.0));
            needs.extend(self.above(from.0));
            let there = self.name((index, FIRST), to, Some(ino), ino, needs);
            self.name(
                (index, LAST),
                from,
                replaced,
                replaced.unwrap_or(ino),
                vec![there],
            );
            return;
        }
        if let Some(replaced) = replaced {
            needs.extend(self.left(replaced));
            needs.extend(self.flushed_by_rename(ino));
        }
        let mut gone_needs = self.before(from.0, from.1);
        // What is above both names is lost with both, which is not the rename's doing.
        let unordered = self.model.metadata_order() == MetadataOrder::None;
        let common = if unordered {
            self.above(from.0)
        } else {
            Vec::new()
        };
        let above = self.above(to.0).into_iter();
        gone_needs.extend(above.filter(|update| !common.contains(update)));
        let there = self.name((index, FIRST), to, Some(ino), ino, needs);
        // No filesystem loses the file itself: the old name goes only when the new one is there,
        // and can be reached.
        gone_needs.push(there);
        let gone = self.name((index, LAST), from, None, ino, gone_needs);
        if !self.model.metadata_order().is_ordered()
            && let Some(update) = self.update(gone)
        {
            update.group = gone;
        }
        if let Some(replaced) = replaced {
            self.touch(replaced, gone, true, false);
        }
    }

    fn write(&mut self, index: usize, ino: Ino, data: &WriteData, old_size: u64) {
        if data.is_empty() {
            return;
        }
        let fresh = self.fresh_pages(ino, data);
        // What is written after a cut goes to new blocks, which the old state of the file does
        // not show.
        let needs = self.cut_of(ino);
        let update = self.add(index, FIRST, UpdateKind::Data { ino }, needs);
        let in_new_blocks = self.model.overwrite() == Overwrite::InNewBlocks;
        if let Some(update) = self.update(update) {
            if in_new_blocks || !fresh.is_empty() {
                update.journal = Journal::AtWriteBack;
            }
            update.fresh = fresh;
        }
        let lengths = if data.end() > old_size {
            self.grow_by_write(index, ino, update, data, old_size)
        } else {
            None
        };
        let fresh = self
            .update(update)
            .map(|update| update.fresh.clone())
            .unwrap_or_default();
        if !fresh.is_empty() {
            let known = self.inodes.entry(ino).or_default();
            known.fresh.extend(
                fresh
                    .into_iter()
                    .flatten()
                    .map(|page| (page, (update, lengths))),
            );
        }
    }

    /// Adds the length that a write brings; returns the last one.
    fn grow_by_write(
        &mut self,
        index: usize,
        ino: Ino,
        write: usize,
        data: &WriteData,
        old_size: u64,
    ) -> Option<usize> {
        const PAGE64: u64 = PAGE as u64;
        let safe = if self.device.safe_append {
            vec![write]
        } else {
            Vec::new()
        };
        let size = data.end();
        match self.model.growth() {
            Growth::AtOnce => Some(self.grow(index, LAST, ino, size, safe)),
            Growth::AtAllocation { ordered } => {
                // As far as the last block has room, the length changes at once.
                let old_end = old_size.next_multiple_of(PAGE64);
                let room = !old_size.is_multiple_of(PAGE64)
                    && data.offset() < old_end
                    && !self
                        .update(write)
                        .is_some_and(|update| update.is_fresh(old_size / PAGE64));
                let mut last = None;
                if room {
                    let mut needs = safe.clone();
                    let block = self
                        .inodes
                        .get(&ino)
                        .and_then(|known| known.fresh.get(&(old_size / PAGE64)).copied());
                    let block = block.filter(|(data, _)| self.is_pending(*data));
                    if let Some((data, length)) = block {
                        needs.extend(ordered.then_some(data));
                        needs.extend(length);
                    }
                    let update = self.grow(index, ROOM, ino, size.min(old_end), needs);
                    if block.is_some() {
                        self.at_write_back(update, DataFirst::Nothing);
                    }
                    last = Some(update);
                }
                if size > old_end || !room {
                    let after = if ordered {
                        DataFirst::Write(write)
                    } else {
                        DataFirst::Nothing
                    };
                    let update = self.grow(index, LAST, ino, size, safe);
                    self.at_write_back(update, after);
                    last = Some(update);
                }
                last
            }
            Growth::AfterData => {
                let update = self.grow(index, LAST, ino, size, safe);
                self.at_write_back(update, DataFirst::Write(write));
                Some(update)
            }
            Growth::AfterAnyData => {
                let update = self.grow(index, LAST, ino, size, safe);
                self.at_write_back(update, DataFirst::AnyData);
                Some(update)
            }
        }
    }

    fn grow(&mut self, index: usize, part: usize, ino: Ino, size: u64, needs: Vec<usize>) -> usize {
        let kind = UpdateKind::Size {
            ino,
            size,
            shrinks: false,
        };
        self.add(index, part, kind, needs)
    }

    /// Adds an update that takes bytes away. Those of one file keep their order: each changes the
    /// block map that the one before has left.
    fn cut(&mut self, index: usize, kind: UpdateKind<'a>, needs: Vec<usize>) {
        let update = self.add(index, FIRST, kind, needs);
        self.inodes.entry(kind.home()).or_default().last_cut = Some(update);
    }

    /// The pages of a write that have no block yet, where the model asks for them.
    pub(super) fn fresh_pages(&self, ino: Ino, data: &WriteData) -> Vec<Range<u64>> {
        let Some(live) = &self.live else {
            return Vec::new();
        };
        let content = live.content(ino).ok();
        let mut fresh: Vec<Range<u64>> = Vec::new();
        for page in pages(data) {
            if content.is_some_and(|content| content.has_data(page)) {
                continue;
            }
            match fresh.last_mut() {
                Some(last) if last.end == page => last.end += 1,
                _ => fresh.push(page..page + 1),
            }
        }
        fresh
    }

    /// The pending updates of a file that a rename over another brings to the disk.
    pub(super) fn flushed_by_rename(&self, ino: Ino) -> Vec<usize> {
        let replace = self.model.replace();
        let flushed = self.open.iter().filter(|update| {
            let delayed = match update.kind {
                UpdateKind::Size { .. } => update.journal == Journal::AtWriteBack,
                UpdateKind::Data { .. } => replace == Replace::Data && !update.fresh.is_empty(),
                _ => false,
            };
            delayed && update.kind.home() == ino && update.durability == Durability::Pending
        });
        let flushed = flushed.filter(|_| replace != Replace::Nothing);
        flushed.map(|update| update.id).collect()
    }

    /// The last update that took bytes away from a file, if it is pending.
    pub(super) fn cut_of(&self, ino: Ino) -> Vec<usize> {
        let cut = self.inodes.get(&ino).and_then(|known| known.last_cut);
        cut.filter(|&update| self.is_pending(update))
            .into_iter()
            .collect()
    }

    /// The pending data that a truncate to `size` waits for: what made the file longer, below.
    pub(super) fn appended(&self, ino: Ino, size: u64) -> Vec<usize> {
        if !self.model.truncate_waits() {
            return Vec::new();
        }
        let grown = self.open.iter().filter(|update| update.kind.home() == ino);
        grown
            .filter_map(|update| match update.after {
                DataFirst::Write(data) if update.durability == Durability::Pending => Some(data),
                _ => None,
            })
            .filter(|data| {
                let update = place(&self.open, *data).map(|at| &self.open[at]);
                let write = update.and_then(|update| write_of(self.records, update));
                write.is_some_and(|(_, data)| data.offset() < size)
            })
            .collect()
    }

    /// The last update about this name, if it is pending. Where metadata is on disk in its order,
    /// this and the two below are not needed.
    pub(super) fn before(&self, dir: Ino, name: &'a OsStr) -> Vec<usize> {
        let before = self.entries.get(&(dir, name)).copied();
        before
            .filter(|&update| self.model.metadata_order().has_gaps() && self.is_pending(update))
            .into_iter()
            .collect()
    }

    /// The pending updates that gave a directory, and those above it, their names: without them
    /// nobody finds what is in it.
    pub(super) fn above(&self, mut directory: Ino) -> Vec<usize> {
        let mut above = Vec::new();
        if !self.model.metadata_order().has_gaps() {
            return above;
        }
        while let Some((update, parent)) = self.inodes.get(&directory).and_then(|known| known.named)
        {
            if self.is_pending(update) {
                above.push(update);
            }
            directory = parent;
        }
        above
    }

    /// The pending updates by which names left a directory. A directory that is removed is empty on the
    /// disk too: what was moved out of it is elsewhere. None for a file.
    pub(super) fn left(&self, directory: Ino) -> Vec<usize> {
        let gaps = self.model.metadata_order().has_gaps();
        let left = self.open.iter().filter(|update| {
            let gone = matches!(update.kind, UpdateKind::Name { ino: None, .. });
            gaps && gone
                && update.kind.home() == directory
                && update.durability == Durability::Pending
        });
        left.map(|update| update.id).collect()
    }
}
