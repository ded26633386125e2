//! Which loss sets among the open updates are legal: any loss set, made so.

use std::ops::Range;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::apply::{Keep, beside, sectors};
use super::device::{Atomic, Device};
use super::model::{Model, Overwrite};
use super::update::{DataFirst, Durability, Journal, Update, UpdateKind, place, write_of};
use crate::fs::{Ino, Op, PAGE, Record, WriteData};

const PAGE64: u64 = PAGE as u64;

/// The open updates of a window and what ties them.
pub(super) struct Rules<'w, 'a> {
    pub(super) records: &'a [Record],
    pub(super) model: &'a dyn Model,
    pub(super) device: Device,
    pub(super) open: &'w [Update<'a>],
}

impl<'a> Rules<'_, 'a> {
    /// The updates that may be lost.
    pub(super) fn pending(&self) -> impl DoubleEndedIterator<Item = &Update<'a>> {
        let pending = |update: &&Update<'a>| update.durability != Durability::Durable;
        self.open.iter().filter(pending)
    }

    /// Makes a loss set legal. What is legal stays as it is.
    pub(super) fn legalize(&self, keeps: &mut [Keep]) {
        // Everything there is legal everywhere.
        if keeps.iter().all(|keep| *keep == Keep::All) {
            return;
        }
        self.legalize_names(keeps);
        self.legalize_forwards(keeps, |_| {});
        self.legalize_sectors(keeps);
        self.legalize_lengths(keeps);
    }

    /// Of a legal loss set, the updates that are missing because something before them is.
    pub(super) fn following(&self, keeps: &[Keep]) -> Vec<usize> {
        let mut following = Vec::new();
        self.legalize_forwards(&mut keeps.to_vec(), |at| following.push(at));
        following
    }

    fn place(&self, id: usize) -> Option<usize> {
        place(self.open, id)
    }

    fn in_new_blocks(&self) -> bool {
        self.model.overwrite() == Overwrite::InNewBlocks
    }

    /// The page that a sector lies in.
    pub(super) fn page_of(&self, sector: u64) -> u64 {
        sector * self.device.sector / PAGE64
    }

    /// True when the page is written whole or not at all.
    pub(super) fn whole_page(&self, update: &Update<'_>, page: u64) -> bool {
        self.in_new_blocks() || update.is_fresh(page)
    }

    /// Backwards: a change of names that is there brings along what it cannot be without. (So and
    /// not the other way round, or of the many changes of one name the first would win nearly
    /// always.)
    fn legalize_names(&self, keeps: &mut [Keep]) {
        for (at, update) in self.open.iter().enumerate().rev() {
            let name = matches!(update.kind, UpdateKind::Name { .. });
            if !name || keeps[at] != Keep::All || update.durability == Durability::Durable {
                continue;
            }
            for need in update.needs.iter().filter_map(|need| self.place(*need)) {
                keeps[need] = Keep::All;
            }
            // The other name of an exchange.
            if self
                .open
                .get(at + 1)
                .is_some_and(|other| other.group == update.group)
            {
                keeps[at + 1] = Keep::All;
            }
        }
    }

    /// Forwards: an update whose need is missing is missing too, and where metadata is ordered the
    /// first missing change takes all later ones with it.
    /// `follows` hears of each that is missing because something before it is.
    fn legalize_forwards(&self, keeps: &mut [Keep], mut follows: impl FnMut(usize)) {
        let ordered = self.model.metadata_order().is_ordered();
        let mut broken = false;
        let mut stopped = false;
        let mut lost_groups: HashSet<usize> = HashSet::new();
        let mut no_block: HashSet<(Ino, u64)> = HashSet::new();
        for (at, update) in self.open.iter().enumerate() {
            if update.durability == Durability::Durable {
                continue;
            }
            let metadata = update.kind.is_metadata();
            let mut needs = update.needs.iter().filter_map(|need| self.place(*need));
            let needs_lost = needs.any(|need| keeps[need] != Keep::All);
            let late = broken && update.journal != Journal::Never;
            let chained = late && (metadata || self.in_new_blocks());
            let group_lost = metadata && lost_groups.contains(&update.group);
            let out_of_turn = stopped && update.kind.is_content();
            if needs_lost || chained || group_lost || out_of_turn {
                keeps[at] = Keep::None;
                follows(at);
            } else if let Some((ino, data)) = write_of(self.records, update)
                && (late || !no_block.is_empty())
            {
                let mut whole = true;
                self.drop_pages(data, &mut keeps[at], |page| {
                    let none = no_block.contains(&(ino, page)) || (late && update.is_fresh(page));
                    if none {
                        no_block.insert((ino, page));
                    }
                    whole &= none;
                    none
                });
                if whole {
                    follows(at);
                }
            }
            if keeps[at] == Keep::None && metadata {
                broken |= ordered && update.journal == Journal::AtOnce;
                lost_groups.insert(update.group);
            }
            if self.device.sequential
                && update.kind.is_content()
                && update.durability == Durability::Pending
            {
                stopped |= keeps[at] != Keep::All;
            }
        }
    }

    /// Takes the pages out of what is kept of a write that `drops`.
    fn drop_pages(&self, data: &WriteData, keep: &mut Keep, mut drops: impl FnMut(u64) -> bool) {
        let range = sectors(data, self.device.sector);
        let mut kept = kept_of(keep, &range);
        for (kept, sector) in kept.iter_mut().zip(range) {
            if drops(self.page_of(sector)) {
                *kept = false;
            }
        }
        if *keep != Keep::Spoiled {
            *keep = of_kept(kept);
        }
    }

    /// Backwards: a sector reaches the disk as it was in the cache, with all that had been written
    /// to it; so where a later write's sector is there, the earlier pending writes are there in that
    /// sector. What is written as a whole page (in new blocks, or for a write that was given up,
    /// because the kernel writes pages) is there when anything later in that page is.
    fn legalize_sectors(&self, keeps: &mut [Keep]) {
        // What is there whole stays so: only what lies in the pages of the others can force anything.
        let asked = self.pages_asked(keeps);
        if asked.is_empty() {
            return;
        }
        let mut there: HashSet<(Ino, u64)> = HashSet::new();
        let mut pages_there: HashSet<(Ino, u64)> = HashSet::new();
        // Pages that some later write brings along, a durable one too.
        let mut brought: HashSet<(Ino, u64)> = HashSet::new();
        let any_abandoned = self
            .open
            .iter()
            .any(|update| update.durability == Durability::Abandoned);
        for (at, update) in self.open.iter().enumerate().rev() {
            let durable = update.durability == Durability::Durable;
            if durable && !any_abandoned {
                continue;
            }
            let Some((ino, data)) = write_of(self.records, update) else {
                continue;
            };
            let Some(asked) = asked.get(&ino) else {
                continue;
            };
            let range = sectors(data, self.device.sector);
            if !durable && keeps[at] != Keep::All {
                let forced = |sector: u64| {
                    let page = (ino, self.page_of(sector));
                    there.contains(&(ino, sector))
                        || (self.whole_page(update, page.1) && pages_there.contains(&page))
                        || (update.durability == Durability::Abandoned && brought.contains(&page))
                };
                keeps[at] = self.by_unit(update, data, &keeps[at], forced);
            }
            for (kept, sector) in kept_of(&keeps[at], &range).into_iter().zip(range) {
                if !asked.contains(&self.page_of(sector)) {
                    continue;
                }
                if kept && !durable {
                    there.insert((ino, sector));
                    pages_there.insert((ino, self.page_of(sector)));
                }
                if kept && any_abandoned && update.durability != Durability::Abandoned {
                    brought.insert((ino, self.page_of(sector)));
                }
            }
        }
    }

    /// By file, the pages from the first to the last of those that pending writes touch which are not kept whole.
    fn pages_asked(&self, keeps: &[Keep]) -> HashMap<Ino, Range<u64>> {
        let mut asked: HashMap<Ino, Range<u64>> = HashMap::new();
        for (update, keep) in self.open.iter().zip(keeps) {
            if *keep == Keep::All || update.durability == Durability::Durable {
                continue;
            }
            let Some((ino, data)) = write_of(self.records, update) else {
                continue;
            };
            let range = sectors(data, self.device.sector);
            let Some(last) = range.end.checked_sub(1) else {
                continue;
            };
            let pages = self.page_of(range.start)..self.page_of(last) + 1;
            let known = asked.entry(ino).or_insert_with(|| pages.clone());
            *known = known.start.min(pages.start)..known.end.max(pages.end);
        }
        asked
    }

    /// What is kept of a write when each unit that is written at once is there or not: there when
    /// one of its sectors is `forced`, or when all were chosen.
    fn by_unit(
        &self,
        update: &Update<'_>,
        data: &WriteData,
        keep: &Keep,
        forced: impl Fn(u64) -> bool,
    ) -> Keep {
        let range = sectors(data, self.device.sector);
        let first = range.start;
        let mut kept = kept_of(keep, &range);
        let mut any_forced = false;
        for unit in self.units(update, data) {
            let forced = unit.clone().any(&forced);
            any_forced |= forced;
            let places = (unit.start - first) as usize..(unit.end - first) as usize;
            let whole = forced || kept[places.clone()].iter().all(|kept| *kept);
            kept[places].fill(whole);
        }
        let spoils = !self.device.powersafe_overwrite
            && self.device.atomic == Atomic::Sector
            && !self.in_new_blocks()
            && update.fresh.is_empty()
            && beside(data, self.device.sector).next().is_some();
        if *keep == Keep::Spoiled && !any_forced && spoils {
            return Keep::Spoiled;
        }
        of_kept(kept)
    }

    /// The sectors of a write in the units that reach the disk whole or not at all.
    pub(super) fn units(&self, update: &Update<'_>, data: &WriteData) -> Vec<Range<u64>> {
        let sector = self.device.sector;
        let glued = |left: u64| {
            let page = self.page_of(left);
            let one_page = page == self.page_of(left + 1) && self.whole_page(update, page);
            let one_block = match self.device.atomic {
                Atomic::Sector => false,
                Atomic::Write => true,
                Atomic::Block(bytes) => {
                    let start = left * sector / bytes * bytes;
                    let inside = start >= data.offset() && start + bytes <= data.end();
                    (left + 1) * sector < start + bytes && inside
                }
            };
            one_page || one_block
        };
        let mut units: Vec<Range<u64>> = Vec::new();
        for at in sectors(data, sector) {
            match units.last_mut() {
                Some(last) if glued(at - 1) => last.end = at + 1,
                _ => units.push(at..at + 1),
            }
        }
        units
    }

    /// A length that must not come before its data goes as far as that is there.
    fn legalize_lengths(&self, keeps: &mut [Keep]) {
        let data_of = self.data_of(keeps);
        for (at, update) in self.open.iter().enumerate() {
            let UpdateKind::Size { ino, size, .. } = update.kind else {
                continue;
            };
            let pending = update.durability != Durability::Durable;
            keeps[at] = match update.after {
                DataFirst::AnyData if pending => {
                    length_with_any(update, data_of.get(&ino), &keeps[at])
                }
                DataFirst::Write(data) if pending && keeps[at] != Keep::None => {
                    match self.place(data) {
                        Some(data) => self.length_with(&self.open[data], &keeps[data], size),
                        None => Keep::All,
                    }
                }
                _ => continue,
            };
        }
    }

    /// Of each file that has pending data, the record of the last of it that is there, if any is.
    /// Lengths change none of it.
    fn data_of(&self, keeps: &[Keep]) -> HashMap<Ino, Option<usize>> {
        let mut last = HashMap::new();
        for (update, keep) in self.open.iter().zip(keeps) {
            let UpdateKind::Data { ino } = update.kind else {
                continue;
            };
            if update.durability == Durability::Durable {
                continue;
            }
            let known = last.entry(ino).or_insert(None);
            if matches!(keep, Keep::All | Keep::Sectors(_)) {
                *known = Some(update.record);
            }
        }
        last
    }

    fn length_with(&self, write: &Update<'_>, keep: &Keep, size: u64) -> Keep {
        let Op::Write { data, old_size, .. } = &self.records[write.record].op else {
            return Keep::All;
        };
        let range = sectors(data, self.device.sector);
        let kept = kept_of(keep, &range);
        let last = range
            .zip(kept)
            .filter(|(_, kept)| *kept)
            .map(|(at, _)| at + 1)
            .last();
        let end = last.map_or(0, |last| size.min(last * self.device.sector));
        if end == size {
            Keep::All
        } else if end > *old_size {
            Keep::UpTo(end)
        } else {
            Keep::None
        }
    }
}

/// The length on disk becomes that in memory when data completes: with data of this write or a later
/// one it is there; with earlier data it may be; and without any it is not. `data` is what
/// [`Rules::data_of`] knows of the file.
fn length_with_any(update: &Update<'_>, data: Option<&Option<usize>>, chosen: &Keep) -> Keep {
    match data {
        Some(Some(record)) if *record >= update.record => Keep::All,
        Some(None) => Keep::None,
        _ => chosen.clone(),
    }
}

/// By sector, what is kept of a write.
fn kept_of(keep: &Keep, range: &Range<u64>) -> Vec<bool> {
    let count = (range.end - range.start) as usize;
    match keep {
        Keep::Sectors(kept) => kept.clone(),
        Keep::All | Keep::UpTo(_) => vec![true; count],
        Keep::None | Keep::Spoiled => vec![false; count],
    }
}

fn of_kept(kept: Vec<bool>) -> Keep {
    if kept.iter().all(|kept| *kept) {
        Keep::All
    } else if kept.iter().any(|kept| *kept) {
        Keep::Sectors(kept)
    } else {
        Keep::None
    }
}
