//! What ties an update to earlier ones: the pending updates without which it cannot be on the disk.

use std::ffi::OsStr;
use std::ops::Range;

use super::model::Replace;
use super::replay::{Replay, pages, place, write_of};
use super::update::{DataFirst, Durability, Journal, UpdateKind};
use crate::fs::{Ino, WriteData};

impl<'a> Replay<'a> {
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
            .filter(|&update| self.model.order().has_gaps() && self.is_pending(update))
            .into_iter()
            .collect()
    }

    /// The pending updates that gave a directory, and those above it, their names: without them
    /// nobody finds what is in it.
    pub(super) fn above(&self, mut directory: Ino) -> Vec<usize> {
        let mut above = Vec::new();
        if !self.model.order().has_gaps() {
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
        let gaps = self.model.order().has_gaps();
        let left = self.open.iter().filter(|update| {
            let gone = matches!(update.kind, UpdateKind::Name { ino: None, .. });
            gaps && gone
                && update.kind.home() == directory
                && update.durability == Durability::Pending
        });
        left.map(|update| update.id).collect()
    }
}
