//! What each record means for the disk.

use std::ffi::OsStr;

use super::model::{Growth, Overwrite};
use super::step::{After, Fate, Journal, Step, StepKind};
use super::walk::Walk;
use crate::fs::{Attrs, Ino, Op, PAGE, Record, WriteData};

/// Steps are numbered by their record and their part in it, so that a step has one number under
/// every model.
pub(super) const PARTS: usize = 4;
/// What a record does first: a name, bytes, a cut.
const FIRST: usize = 0;
/// A length as far as the last block has room.
pub(super) const ROOM: usize = 1;
/// What follows: a length, a second name.
pub(super) const LAST: usize = 2;

impl<'a> Walk<'a> {
    /// Adds the steps of a record that changes something.
    pub(super) fn expand(&mut self, index: usize, record: &'a Record) {
        match &record.op {
            Op::Create {
                parent,
                name,
                ino,
                node,
                mode,
                owner,
            } => {
                self.durable
                    .raw_node(*ino, node, *mode, *owner, record.path.clone());
                let needs = self.before(*parent, name);
                let step = self.name((index, FIRST), (*parent, name), Some(*ino), *ino, needs);
                let folder = matches!(node, crate::fs::NewNode::Dir);
                let known = self.inodes.entry(*ino).or_default();
                known.created = Some(step);
                known.resized = step + PARTS;
                known.named = folder.then_some((step, *parent));
            }
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
            } => {
                let mut needs = self.appended(*ino, *size);
                if size < old_size {
                    let kind = StepKind::Size {
                        ino: *ino,
                        size: *size,
                        shrinks: true,
                    };
                    needs.extend(self.cut_of(*ino));
                    self.cut(index, kind, needs);
                } else if size > old_size {
                    self.grow(index, LAST, *ino, *size, needs);
                }
            }
            Op::Allocate {
                ino,
                old_size,
                size,
                ..
            } => {
                let kind = StepKind::Space {
                    ino: *ino,
                    zeroes: false,
                };
                self.add(index, FIRST, kind, Vec::new());
                if size > old_size {
                    self.grow(index, LAST, *ino, *size, self.appended(*ino, *size));
                }
            }
            Op::Zero {
                ino,
                old_size,
                size,
                ..
            } => {
                let kind = StepKind::Space {
                    ino: *ino,
                    zeroes: true,
                };
                let needs = self.cut_of(*ino);
                self.cut(index, kind, needs);
                if size > old_size {
                    self.grow(index, LAST, *ino, *size, self.appended(*ino, *size));
                }
            }
            Op::SetAttrs { ino, attrs } => {
                let reshaped = self.inodes.get(ino).map_or(0, |known| known.reshaped);
                self.add(index, FIRST, StepKind::Attrs { ino: *ino }, Vec::new());
                let Attrs { mode, uid, gid, .. } = attrs;
                if mode.is_none() && uid.is_none() && gid.is_none() {
                    self.inodes.entry(*ino).or_default().reshaped = reshaped;
                }
            }
            Op::Sync { .. } | Op::SyncFailed { .. } => {}
        }
    }

    /// Adds a step, whose group is its record's.
    fn add(&mut self, record: usize, part: usize, kind: StepKind<'a>, needs: Vec<usize>) -> usize {
        let id = record * PARTS + part;
        let same = self
            .open
            .last()
            .filter(|last| last.record == record && last.kind.is_metadata());
        let group = same.map_or(id, |last| last.group);
        let ordered = self.model.order().is_ordered() && kind.is_metadata();
        self.open.push(Step {
            id,
            record,
            kind,
            fate: Fate::Pending,
            needs,
            group,
            journal: if ordered {
                Journal::AtOnce
            } else {
                Journal::Never
            },
            after: After::Nothing,
            fresh: Vec::new(),
        });
        let reshapes = kind.is_metadata();
        let resizes = matches!(kind, StepKind::Size { .. } | StepKind::Space { .. });
        self.touch(kind.home(), id, reshapes, resizes);
        if let StepKind::Name { of, .. } = kind {
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

    fn step(&mut self, id: usize) -> Option<&mut Step<'a>> {
        let at = super::walk::place(&self.open, id)?;
        self.open.get_mut(at)
    }

    /// Makes a step part of the journal when the data is written back, and of no group.
    fn at_write_back(&mut self, id: usize, after: After) {
        if let Some(step) = self.step(id) {
            step.journal = Journal::AtWriteBack;
            step.group = id;
            step.after = after;
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
        let kind = StepKind::Name { dir, name, ino, of };
        let step = self.add(record, part, kind, needs);
        self.entries.insert((dir, name), step);
        if let Some(folder) = ino.and_then(|ino| self.inodes.get_mut(&ino))
            && folder.named.is_some()
        {
            folder.named = Some((step, dir));
        }
        step
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
        gone_needs.extend(self.above(to.0));
        let there = self.name((index, FIRST), to, Some(ino), ino, needs);
        // No filesystem loses the file itself: the old name goes only when the new one is there,
        // and can be reached.
        gone_needs.push(there);
        let gone = self.name((index, LAST), from, None, ino, gone_needs);
        if !self.model.order().is_ordered()
            && let Some(step) = self.step(gone)
        {
            step.group = gone;
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
        let step = self.add(index, FIRST, StepKind::Data { ino }, needs);
        let in_new_blocks = self.model.overwrite() == Overwrite::InNewBlocks;
        if let Some(step) = self.step(step) {
            if in_new_blocks || !fresh.is_empty() {
                step.journal = Journal::AtWriteBack;
            }
            step.fresh = fresh;
        }
        let lengths = if data.end() > old_size {
            self.grow_by_write(index, ino, step, data, old_size)
        } else {
            None
        };
        let fresh = self
            .step(step)
            .map(|step| step.fresh.clone())
            .unwrap_or_default();
        if !fresh.is_empty() {
            let known = self.inodes.entry(ino).or_default();
            known.fresh.extend(
                fresh
                    .into_iter()
                    .flatten()
                    .map(|page| (page, (step, lengths))),
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
                        .step(write)
                        .is_some_and(|step| step.is_fresh(old_size / PAGE64));
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
                    let step = self.grow(index, ROOM, ino, size.min(old_end), needs);
                    if block.is_some() {
                        self.at_write_back(step, After::Nothing);
                    }
                    last = Some(step);
                }
                if size > old_end || !room {
                    let after = if ordered {
                        After::Write(write)
                    } else {
                        After::Nothing
                    };
                    let step = self.grow(index, LAST, ino, size, safe);
                    self.at_write_back(step, after);
                    last = Some(step);
                }
                last
            }
            Growth::AfterData => {
                let step = self.grow(index, LAST, ino, size, safe);
                self.at_write_back(step, After::Write(write));
                Some(step)
            }
            Growth::AfterAnyData => {
                let step = self.grow(index, LAST, ino, size, safe);
                self.at_write_back(step, After::AnyData);
                Some(step)
            }
        }
    }

    fn grow(&mut self, index: usize, part: usize, ino: Ino, size: u64, needs: Vec<usize>) -> usize {
        let kind = StepKind::Size {
            ino,
            size,
            shrinks: false,
        };
        self.add(index, part, kind, needs)
    }

    /// Adds a step that takes bytes away. Those of one file keep their order: each changes the
    /// block map that the one before has left.
    fn cut(&mut self, index: usize, kind: StepKind<'a>, needs: Vec<usize>) {
        let step = self.add(index, FIRST, kind, needs);
        self.inodes.entry(kind.home()).or_default().last_cut = Some(step);
    }
}
