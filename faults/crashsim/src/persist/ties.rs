//! What ties a step to earlier ones: the pending steps without which it cannot be on the disk.

use std::ffi::OsStr;
use std::ops::Range;

use super::model::Replace;
use super::step::{After, Fate, Journal, StepKind};
use super::walk::{Walk, pages, place, write_of};
use crate::fs::{Ino, WriteData};

impl<'a> Walk<'a> {
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

    /// The pending steps of a file that a rename over another brings to the disk.
    pub(super) fn flushed_by_rename(&self, ino: Ino) -> Vec<usize> {
        let replace = self.model.replace();
        let flushed = self.open.iter().filter(|step| {
            let delayed = match step.kind {
                StepKind::Size { .. } => step.journal == Journal::AtWriteBack,
                StepKind::Data { .. } => replace == Replace::Data && !step.fresh.is_empty(),
                _ => false,
            };
            delayed && step.kind.home() == ino && step.fate == Fate::Pending
        });
        let flushed = flushed.filter(|_| replace != Replace::Nothing);
        flushed.map(|step| step.id).collect()
    }

    /// The last step that took bytes away from a file, if it is pending.
    pub(super) fn cut_of(&self, ino: Ino) -> Vec<usize> {
        let cut = self.inodes.get(&ino).and_then(|known| known.last_cut);
        cut.filter(|&step| self.is_pending(step))
            .into_iter()
            .collect()
    }

    /// The pending data that a truncate to `size` waits for: what made the file longer, below.
    pub(super) fn appended(&self, ino: Ino, size: u64) -> Vec<usize> {
        if !self.model.truncate_waits() {
            return Vec::new();
        }
        let grown = self.open.iter().filter(|step| step.kind.home() == ino);
        grown
            .filter_map(|step| match step.after {
                After::Write(data) if step.fate == Fate::Pending => Some(data),
                _ => None,
            })
            .filter(|data| {
                let step = place(&self.open, *data).map(|at| &self.open[at]);
                let write = step.and_then(|step| write_of(self.records, step));
                write.is_some_and(|(_, data)| data.offset() < size)
            })
            .collect()
    }

    /// The last step about this name, if it is pending. Where metadata is on disk in its order,
    /// this and the two below are not needed.
    pub(super) fn before(&self, dir: Ino, name: &'a OsStr) -> Vec<usize> {
        let before = self.entries.get(&(dir, name)).copied();
        before
            .filter(|&step| self.model.order().has_gaps() && self.is_pending(step))
            .into_iter()
            .collect()
    }

    /// The pending steps that gave a folder, and those above it, their names: without them
    /// nobody finds what is in it.
    pub(super) fn above(&self, mut folder: Ino) -> Vec<usize> {
        let mut above = Vec::new();
        if !self.model.order().has_gaps() {
            return above;
        }
        while let Some((step, parent)) = self.inodes.get(&folder).and_then(|known| known.named) {
            if self.is_pending(step) {
                above.push(step);
            }
            folder = parent;
        }
        above
    }

    /// The pending steps by which names left a folder. A folder that is removed is empty on the
    /// disk too: what was moved out of it is elsewhere. None for a file.
    pub(super) fn left(&self, folder: Ino) -> Vec<usize> {
        let gaps = self.model.order().has_gaps();
        let left = self.open.iter().filter(|step| {
            let gone = matches!(step.kind, StepKind::Name { ino: None, .. });
            gaps && gone && step.kind.home() == folder && step.fate == Fate::Pending
        });
        left.map(|step| step.id).collect()
    }
}
