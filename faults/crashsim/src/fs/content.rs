//! The bytes of one file: a sparse table of copy-on-write pages.
//!
//! A clone of a [`Content`] is cheap and shares every page; a write copies only the pages it
//! touches, and only where they are shared. A whole page that a write covers is shared between
//! the file and the log, so recording costs no second copy.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use xxhash_rust::xxh3::Xxh3;

pub use super::page::PAGE;
use super::page::{Page, ZEROS};
use super::write_data::WriteData;

const PAGE64: u64 = PAGE as u64;
/// Pages in a chunk, the unit in which page tables are shared.
const CHUNK: u64 = 64;

#[derive(Clone, Default)]
enum Slot {
    #[default]
    Hole,
    /// Allocated by fallocate, reads as zeros, counts as space used.
    Unwritten,
    Data(Page),
}

#[derive(Clone)]
struct Chunk {
    slots: [Slot; CHUNK as usize],
    /// Its digest, once somebody asked for it and until it changes. Contents share chunks, so most
    /// of a crash state's digest is known from other states.
    digest: OnceLock<Option<u128>>,
}

impl Chunk {
    fn empty() -> Self {
        Self {
            slots: std::array::from_fn(|_| Slot::Hole),
            digest: OnceLock::new(),
        }
    }

    /// The chunk, to change it.
    fn change(chunk: &mut Arc<Self>) -> &mut Self {
        let chunk = Arc::make_mut(chunk);
        chunk.digest.take();
        chunk
    }

    /// 128 bits over the bytes; none when all of them are zero.
    fn digest(&self) -> Option<u128> {
        *self.digest.get_or_init(|| {
            let mut hash = None;
            for (number, slot) in self.slots.iter().enumerate() {
                if let Slot::Data(page) = slot
                    && page[..] != [0; PAGE]
                {
                    let hash = hash.get_or_insert_with(Xxh3::new);
                    hash.update(&number.to_le_bytes());
                    hash.update(&page[..]);
                }
            }
            hash.map(|hash| hash.digest128())
        })
    }
}

/// The bytes of one file.
#[derive(Clone, Default)]
pub struct Content {
    size: u64,
    chunks: BTreeMap<u64, Arc<Chunk>>,
    /// Pages that take up space (data or unwritten).
    pages: u64,
}

impl Content {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Pages of space that it takes.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// How many more pages a write of `len` bytes at `offset` would take.
    pub fn pages_needed(&self, offset: u64, len: u64) -> u64 {
        // By chunk: a range may be far longer than the file.
        let range = page_range(offset, len);
        let first = range.start / CHUNK;
        let there: u64 = self
            .chunks
            .range(first..range.end.div_ceil(CHUNK).max(first))
            .map(|(index, chunk)| {
                let base = index * CHUNK;
                let from = range.start.saturating_sub(base).min(CHUNK) as usize;
                let to = range.end.saturating_sub(base).min(CHUNK) as usize;
                used(&chunk.slots[from..to])
            })
            .sum();
        range.end - range.start - there
    }

    /// Writes `data` at `offset`, growing the file where it must, and returns what the log keeps.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> WriteData {
        let kept = WriteData::new(offset, data);
        self.apply(&kept);
        self.size = self.size.max(kept.end());
        kept
    }

    /// Writes the bytes of a logged write again, sharing its whole pages. Does not change the
    /// size.
    pub fn apply(&mut self, data: &WriteData) {
        let (first, pages) = data.whole_pages();
        self.set_pages(first, pages);
        self.patch(data.offset(), data.head());
        self.patch(data.end() - data.tail().len() as u64, data.tail());
    }

    /// Overwrites bytes that lie within pages, without changing the size.
    pub fn patch(&mut self, offset: u64, data: &[u8]) {
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let within = (at % PAGE64) as usize;
            let n = rest.len().min(PAGE - within);
            let (now, later) = rest.split_at(n);
            self.page_mut(at / PAGE64)[within..within + n].copy_from_slice(now);
            at += n as u64;
            rest = later;
        }
    }

    /// Appends up to `len` bytes from `offset` to `into`, fewer at the end of the file.
    pub fn read(&self, offset: u64, len: usize, into: &mut Vec<u8>) {
        let end = self.size.min(offset.saturating_add(len as u64));
        let mut at = offset;
        while at < end {
            let within = (at % PAGE64) as usize;
            let n = ((end - at) as usize).min(PAGE - within);
            match self.slot(at / PAGE64) {
                Slot::Data(page) => into.extend_from_slice(&page[within..within + n]),
                _ => into.resize(into.len() + n, 0),
            }
            at += n as u64;
        }
    }

    /// Sets the length. Bytes behind it are dropped, and read as zeros if it grows again; unless
    /// it grows, space that was allocated behind it is given back.
    pub fn truncate(&mut self, size: u64) {
        if size <= self.size {
            let first_gone = size.div_ceil(PAGE64);
            let gone = self.chunks.split_off(&(first_gone / CHUNK));
            for (index, chunk) in gone {
                let keep_below = first_gone.saturating_sub(index * CHUNK).min(CHUNK);
                self.pages -= used(&chunk.slots[keep_below as usize..]);
                if used(&chunk.slots[..keep_below as usize]) > 0 {
                    let mut chunk = chunk;
                    Chunk::change(&mut chunk).slots[keep_below as usize..].fill(Slot::Hole);
                    self.chunks.insert(index, chunk);
                }
            }
            let within = (size % PAGE64) as usize;
            if within > 0 && matches!(self.slot(size / PAGE64), Slot::Data(_)) {
                self.page_mut(size / PAGE64)[within..].fill(0);
            }
        }
        self.size = size;
    }

    /// Takes space for a range, as fallocate(2) does, without changing bytes or size.
    pub fn allocate(&mut self, offset: u64, len: u64) {
        for n in page_range(offset, len) {
            if matches!(self.slot(n), Slot::Hole) {
                *self.slot_mut(n) = Slot::Unwritten;
                self.pages += 1;
            }
        }
    }

    /// Makes a range read as zeros. Whole pages are given back (`punch`) or kept as unwritten
    /// space (not `punch`). The size does not change.
    pub fn zero(&mut self, offset: u64, len: u64, punch: bool) {
        let stop = offset.saturating_add(len);
        let mut at = offset;
        while at < stop {
            let within = (at % PAGE64) as usize;
            let n = ((stop - at) as usize).min(PAGE - within);
            let page = at / PAGE64;
            // A page is whole also when the range goes on behind the end of the file
            // (ext4_punch_hole, fs/ext4/inode.c).
            let whole = within == 0 && (n == PAGE || at + n as u64 > self.size);
            match (self.slot(page), whole) {
                (Slot::Hole, _) if punch => match self.next_used(page + 1) {
                    Some(next) => {
                        at = next * PAGE64;
                        continue;
                    }
                    None => return,
                },
                (Slot::Hole, _) => {
                    *self.slot_mut(page) = Slot::Unwritten;
                    self.pages += 1;
                }
                (_, true) if punch => {
                    *self.slot_mut(page) = Slot::Hole;
                    self.pages -= 1;
                }
                (_, true) => *self.slot_mut(page) = Slot::Unwritten,
                (Slot::Unwritten, false) => {}
                (Slot::Data(_), false) => self.page_mut(page)[within..within + n].fill(0),
            }
            at += n as u64;
        }
    }

    /// True when the page of this number holds bytes that were written.
    pub fn has_data(&self, page: u64) -> bool {
        matches!(self.slot(page), Slot::Data(_))
    }

    /// The next offset at or behind `offset` that holds data (`data`) or a hole (not `data`), as
    /// lseek(2) with SEEK_DATA and SEEK_HOLE: the end of the file counts as a hole; none when
    /// `offset` is not inside the file or no data follows.
    pub fn seek(&self, offset: u64, data: bool) -> Option<u64> {
        if offset >= self.size {
            return None;
        }
        let mut page = offset / PAGE64;
        while page * PAGE64 < self.size {
            if matches!(self.slot(page), Slot::Data(_)) == data {
                return Some((page * PAGE64).max(offset));
            }
            page = if data {
                self.next_used(page + 1)?
            } else {
                page + 1
            };
        }
        (!data).then_some(self.size)
    }

    /// The first page at or behind `from` whose chunk exists.
    fn next_used(&self, from: u64) -> Option<u64> {
        let (index, _) = self.chunks.range(from / CHUNK..).next()?;
        Some(from.max(index * CHUNK))
    }

    /// Sets the length without touching bytes: what lies behind it stays in place, hidden.
    /// Crash states are built with it, where data may be on disk that the size does not cover.
    pub fn set_size_only(&mut self, size: u64) {
        self.size = size;
    }

    /// Drops the bytes that lie behind the size: a filesystem does not show them when the file
    /// grows. Space that was allocated there stays.
    pub fn settle(&mut self) {
        let behind = self.size.div_ceil(PAGE64);
        for (index, chunk) in self.chunks.range_mut(behind / CHUNK..) {
            let from = behind.saturating_sub(index * CHUNK) as usize;
            if chunk.slots[from..]
                .iter()
                .any(|slot| matches!(slot, Slot::Data(_)))
            {
                for slot in &mut Chunk::change(chunk).slots[from..] {
                    if matches!(slot, Slot::Data(_)) {
                        *slot = Slot::Hole;
                        self.pages -= 1;
                    }
                }
            }
        }
        if self.tail().iter().any(|byte| *byte != 0) {
            let within = (self.size % PAGE64) as usize;
            self.page_mut(self.size / PAGE64)[within..].fill(0);
        }
    }

    /// True when no bytes lie behind the size.
    pub fn is_settled(&self) -> bool {
        let behind = self.size.div_ceil(PAGE64);
        let hidden = self.chunks.range(behind / CHUNK..).any(|(index, chunk)| {
            let from = behind.saturating_sub(index * CHUNK) as usize;
            chunk.slots[from..]
                .iter()
                .any(|slot| matches!(slot, Slot::Data(_)))
        });
        // Compared by the word.
        let tail = self.tail();
        !hidden && *tail == ZEROS[..tail.len()]
    }

    /// The bytes of the last page that lie behind the size.
    fn tail(&self) -> &[u8] {
        match (self.slot(self.size / PAGE64), (self.size % PAGE64) as usize) {
            (Slot::Data(page), within) if within > 0 => &page[within..],
            _ => &[],
        }
    }

    /// Calls `look` for each part of the file that is not all zeros, in order, with its number and
    /// its digest. Equal files have equal parts, whichever way they came about.
    pub(super) fn for_each_digest(&self, mut look: impl FnMut(u64, u128)) {
        for (index, chunk) in &self.chunks {
            if let Some(digest) = chunk.digest() {
                look(*index, digest);
            }
        }
    }

    fn slot(&self, page: u64) -> &Slot {
        match self.chunks.get(&(page / CHUNK)) {
            Some(chunk) => &chunk.slots[(page % CHUNK) as usize],
            None => &Slot::Hole,
        }
    }

    fn chunk_mut(&mut self, index: u64) -> &mut Chunk {
        let chunk = self
            .chunks
            .entry(index)
            .or_insert_with(|| Arc::new(Chunk::empty()));
        Chunk::change(chunk)
    }

    fn slot_mut(&mut self, page: u64) -> &mut Slot {
        &mut self.chunk_mut(page / CHUNK).slots[(page % CHUNK) as usize]
    }

    /// Puts pages in place from number `first` on.
    fn set_pages(&mut self, mut first: u64, mut pages: &[Page]) {
        while !pages.is_empty() {
            let within = (first % CHUNK) as usize;
            let (now, later) = pages.split_at(pages.len().min(CHUNK as usize - within));
            let slots = &mut self.chunk_mut(first / CHUNK).slots[within..within + now.len()];
            let new = now.len() as u64 - used(slots);
            for (slot, page) in slots.iter_mut().zip(now) {
                *slot = Slot::Data(page.clone());
            }
            self.pages += new;
            first += now.len() as u64;
            pages = later;
        }
    }

    fn page_mut(&mut self, number: u64) -> &mut [u8; PAGE] {
        // Not by `slot_mut`: the count changes while the slot is borrowed.
        let chunk = self
            .chunks
            .entry(number / CHUNK)
            .or_insert_with(|| Arc::new(Chunk::empty()));
        let slot = &mut Chunk::change(chunk).slots[(number % CHUNK) as usize];
        if !matches!(slot, Slot::Data(_)) {
            self.pages += u64::from(matches!(slot, Slot::Hole));
            *slot = Slot::Data(Page::zeros());
        }
        match slot {
            Slot::Data(page) => page.make_mut(),
            Slot::Hole | Slot::Unwritten => unreachable!("the slot was made a page above"),
        }
    }
}

/// How many of the slots take space.
fn used(slots: &[Slot]) -> u64 {
    slots
        .iter()
        .filter(|slot| !matches!(slot, Slot::Hole))
        .count() as u64
}

fn page_range(offset: u64, len: u64) -> std::ops::Range<u64> {
    if len == 0 {
        return 0..0;
    }
    offset / PAGE64..(offset + len).div_ceil(PAGE64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Write(u64, Vec<u8>),
        Truncate(u64),
        Allocate(u64, u64),
        Zero(u64, u64, bool),
        Snapshot,
    }

    fn change() -> impl Strategy<Value = Change> {
        let at = 0..40_000u64;
        let len = prop_oneof![1..600usize, Just(PAGE), Just(3 * PAGE), 1..10_000usize];
        prop_oneof![
            4 => (prop_oneof![at.clone(), (0..10u64).prop_map(|p| p * PAGE64)], len, any::<u8>())
                .prop_map(|(at, len, byte)| Change::Write(at, vec![byte | 1; len])),
            1 => at.clone().prop_map(Change::Truncate),
            1 => (at.clone(), 1..9000u64).prop_map(|(at, len)| Change::Allocate(at, len)),
            1 => (at, 1..9000u64, any::<bool>()).prop_map(|(at, n, p)| Change::Zero(at, n, p)),
            1 => Just(Change::Snapshot),
        ]
    }

    proptest! {
        /// Against a plain byte vector: the same bytes at every step, snapshots unmoved by later
        /// writes, and a log that rebuilds the file.
        #[test]
        fn is_a_plain_byte_vector(steps in proptest::collection::vec(change(), 1..40)) {
            let mut plain: Vec<u8> = Vec::new();
            let mut content = Content::default();
            let mut snapshots = Vec::new();
            let mut rebuilt = Content::default();
            for step in steps {
                match step {
                    Change::Write(at, data) => {
                        let end = at as usize + data.len();
                        plain.resize(plain.len().max(end), 0);
                        plain[at as usize..end].copy_from_slice(&data);
                        let kept = content.write(at, &data);
                        prop_assert_eq!(kept.to_vec(), data);
                        rebuilt.apply(&kept);
                        rebuilt.set_size_only(plain.len() as u64);
                    }
                    Change::Truncate(size) => {
                        plain.resize(size as usize, 0);
                        content.truncate(size);
                        rebuilt.truncate(size);
                    }
                    Change::Allocate(at, len) => {
                        content.allocate(at, len);
                        prop_assert_eq!(content.pages_needed(at, len), 0);
                    }
                    Change::Zero(at, len, punch) => {
                        let end = plain.len().min((at + len) as usize);
                        if (at as usize) < end {
                            plain[at as usize..end].fill(0);
                        }
                        content.zero(at, len, punch);
                        rebuilt.zero(at, len, punch);
                    }
                    Change::Snapshot => snapshots.push((content.clone(), plain.clone())),
                }
                for one in [&content, &rebuilt] {
                    let mut read = Vec::new();
                    one.read(0, 200_000, &mut read);
                    prop_assert_eq!(&read, &plain);
                }
                let counted = (0..64u64)
                    .filter(|page| !matches!(content.slot(*page), Slot::Hole))
                    .count() as u64;
                prop_assert_eq!(content.pages(), counted);
                for at in [0, 1, 4095, 4096, 9000, plain.len() as u64] {
                    if let Some(found) = content.seek(at, true) {
                        prop_assert!(found >= at && found < content.size());
                        prop_assert!(plain[at as usize..found as usize].iter().all(|b| *b == 0));
                    } else if (at as usize) < plain.len() {
                        prop_assert!(plain[at as usize..].iter().all(|b| *b == 0));
                    }
                }
            }
            for (snapshot, plain) in snapshots {
                let mut read = Vec::new();
                snapshot.read(0, 200_000, &mut read);
                prop_assert_eq!(read, plain);
            }
        }
    }
}
