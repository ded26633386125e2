//! What is read of a stopped process: its stack, and pages of its memory.
//!
//! A target decides what its memory holds, so nothing here trusts a length or an address in it: how much is
//! copied for one stop has a limit.

use std::collections::HashMap;
use std::io::IoSliceMut;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// How much of a stack is copied at once, and at most.
const PIECE: usize = 16 << 10;
const STACK_MAX: usize = 256 << 10;
const MEMORY_PAGE: usize = 4096;
/// The most pages that are copied for one stop.
const PAGES_MAX: usize = 1024;
/// The most bytes of what was seen that are kept.
const SEEN_MAX: usize = 256 << 10;

/// The most pieces of memory that the kernel copies at once (`UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;

/// Copies memory of a thread's process: how many bytes could be read.
pub(super) fn read_memory(tid: i32, from: u64, into: &mut [u8]) -> usize {
    let mut pieces = Vec::with_capacity(into.len() / MEMORY_PAGE + 2);
    let mut at = from as usize;
    let end = at.saturating_add(into.len());
    // What cannot be read ends the copy at a piece, so each is within one page.
    while at < end {
        let next = (at | (MEMORY_PAGE - 1)).saturating_add(1).min(end);
        pieces.push(RemoteIoVec {
            base: at,
            len: next - at,
        });
        at = next;
    }
    process_vm_readv(Pid::from_raw(tid), &mut [IoSliceMut::new(into)], &pieces).unwrap_or(0)
}

/// The stack of a stopped thread, copied as far as it is looked at.
pub(super) struct StackCopy {
    tid: i32,
    from: u64,
    bytes: Vec<u8>,
    /// There is no more of it.
    whole: bool,
}

impl StackCopy {
    pub(super) fn of(tid: i32, sp: u64) -> Self {
        let mut copy = Self {
            tid,
            from: sp & !7,
            bytes: Vec::new(),
            whole: false,
        };
        copy.more();
        copy
    }

    fn more(&mut self) {
        let had = self.bytes.len();
        // The next pieces end with a page.
        let from = self.from.saturating_add(had as u64);
        let len = PIECE - (from as usize & (MEMORY_PAGE - 1));
        self.bytes.resize(had + len, 0);
        let read = read_memory(self.tid, from, &mut self.bytes[had..]);
        self.bytes.truncate(had + read);
        self.whole = read < len || self.bytes.len() >= STACK_MAX;
    }

    pub(super) fn word(&mut self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.from)?).ok()?;
        let end = at.checked_add(8)?;
        while end > self.bytes.len() && !self.whole {
            self.more();
        }
        let bytes = self.bytes.get(at..end)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }
}

type Page = [u8; MEMORY_PAGE];

/// What was read of a process's memory: where the same is there again, it means the same.
#[derive(Default)]
pub(super) struct Seen {
    /// Parts of pages: from where, and how much.
    spans: Vec<(u64, usize)>,
    /// Where in these what was looked at is, and how much, in the order of `bytes`.
    pieces: Vec<(usize, usize)>,
    bytes: Vec<u8>,
    size: usize,
}

impl Seen {
    /// How many bytes it keeps.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + 16 * (self.pieces.len() + self.spans.len())
    }

    /// Whether the memory of a stopped thread's process has the same there.
    pub(super) fn is_there(&self, tid: i32, scratch: &mut Vec<u8>) -> bool {
        let piece = |(from, len): &(u64, usize)| RemoteIoVec {
            base: *from as usize,
            len: *len,
        };
        let pieces: Vec<RemoteIoVec> = self.spans.iter().map(piece).collect();
        scratch.resize(self.size, 0);
        let mut into = [IoSliceMut::new(scratch)];
        if process_vm_readv(Pid::from_raw(tid), &mut into, &pieces) != Ok(self.size) {
            return false;
        }
        let mut known = self.bytes.as_slice();
        self.pieces.iter().all(|(at, len)| {
            let (wanted, rest) = known.split_at(*len);
            known = rest;
            scratch[*at..*at + *len] == *wanted
        })
    }
}

/// Pages of a process's memory, each copied once while its thread is stopped.
pub(super) struct Pages<R> {
    read: R,
    pages: Vec<Option<Box<Page>>>,
    /// The number of each, by its address.
    numbers: HashMap<u64, usize>,
    /// The page that was looked at last: most of what is next is there.
    last: Option<(u64, usize)>,
    /// What was copied: from where, and how much.
    copied: Vec<(u64, usize)>,
}

impl<R: FnMut(u64, &mut [u8]) -> usize> Pages<R> {
    /// Of a process that is read by `read`: from this address into these bytes, how many there were.
    pub(super) fn new(read: R) -> Self {
        Self {
            read,
            pages: Vec::new(),
            numbers: HashMap::new(),
            last: None,
            copied: Vec::new(),
        }
    }

    /// Copies what is at an address; none where not all of it can be read, or too much was read already.
    pub(super) fn copy(&mut self, from: u64, into: &mut [u8]) -> Option<()> {
        let mut done = 0;
        while done < into.len() {
            let at = from.checked_add(done as u64)?;
            let within = at as usize & (MEMORY_PAGE - 1);
            let len = (MEMORY_PAGE - within).min(into.len() - done);
            self.copied.push((at, len));
            let page = self.page(at - within as u64)?;
            into[done..done + len].copy_from_slice(&page[within..within + len]);
            done += len;
        }
        Some(())
    }

    pub(super) fn word(&mut self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.copy(at, &mut bytes)?;
        Some(u64::from_ne_bytes(bytes))
    }

    pub(super) fn byte(&mut self, at: u64) -> Option<u8> {
        let mut byte = [0];
        self.copy(at, &mut byte)?;
        Some(byte[0])
    }

    /// All that was copied of it; none where that is too much to be kept.
    pub(super) fn seen(&mut self) -> Option<Seen> {
        let mut copied = std::mem::take(&mut self.copied);
        copied.sort_unstable();
        copied.dedup();
        let mut seen = Seen::default();
        // How much is in all spans but the last.
        let mut before = 0;
        for (from, len) in copied {
            let end = from.checked_add(len as u64)?;
            match seen.spans.last_mut() {
                // The kernel copies a span whole or not at all where it is within one page.
                Some((at, size)) if *at >> 12 == from >> 12 => {
                    *size = (*size).max((end - *at) as usize);
                }
                _ => {
                    before = seen.size;
                    seen.spans.push((from, len));
                }
            }
            let (at, size) = *seen.spans.last()?;
            seen.pieces.push((before + (from - at) as usize, len));
            let known = seen.bytes.len();
            seen.bytes.resize(known + len, 0);
            self.copy(from, &mut seen.bytes[known..])?;
            seen.size = before + size;
            if seen.len() > SEEN_MAX || seen.spans.len() > PIECES_MAX {
                return None;
            }
        }
        Some(seen)
    }

    fn page(&mut self, from: u64) -> Option<&Page> {
        let last = self.last.filter(|(at, _)| *at == from);
        let known = last.map(|(_, number)| number);
        let known = known.or_else(|| self.numbers.get(&from).copied());
        let number = match known {
            Some(number) => number,
            None if self.pages.len() >= PAGES_MAX => return None,
            None => {
                let mut page = Box::new([0; MEMORY_PAGE]);
                let whole = (self.read)(from, page.as_mut_slice()) == MEMORY_PAGE;
                self.pages.push(whole.then_some(page));
                self.numbers.insert(from, self.pages.len() - 1);
                self.pages.len() - 1
            }
        };
        self.last = Some((from, number));
        self.pages.get(number)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_far_as_it_goes() {
        let own = std::process::id() as i32;
        let word = 0x1234_5678_9abc_def0_u64;
        let at = (&raw const word) as u64;
        let mut copy = StackCopy::of(own, at);
        assert_eq!(copy.word(at), Some(word));
        assert_eq!(copy.word(8), None);
        assert_eq!(read_memory(own, 16, &mut [0; 8]), 0);
        let mut pages = Pages::new(|from, into: &mut [u8]| read_memory(own, from, into));
        assert_eq!(pages.word(at), Some(word));
        assert_eq!(pages.word(16), None);
    }

    #[test]
    fn what_was_seen_is_there_until_it_changes() {
        let own = std::process::id() as i32;
        let mut memory = vec![7_u8; 3 * MEMORY_PAGE];
        let at = memory.as_ptr() as u64;
        let mut pages = Pages::new(|from, into: &mut [u8]| read_memory(own, from, into));
        pages.copy(at + 4090, &mut [0; 12]).expect("memory");
        pages.word(at + 5000).expect("memory");
        pages.word(at + 16).expect("memory");
        pages.byte(at + 5004).expect("memory");
        let seen = pages.seen().expect("little");
        let mut scratch = Vec::new();
        assert!(seen.is_there(own, &mut scratch));
        for (place, there) in [
            (15, true),
            (16, false),
            (4095, false),
            (4999, true),
            (5007, false),
        ] {
            memory[place] = 8;
            assert_eq!(seen.is_there(own, &mut scratch), there, "{place}");
            memory[place] = 7;
        }
        assert!(seen.is_there(own, &mut scratch));
        drop(memory);
        let gone = Seen {
            spans: vec![(16, 8)],
            size: 8,
            ..Seen::default()
        };
        assert!(!gone.is_there(own, &mut scratch));
    }

    #[test]
    fn a_page_is_read_once_and_not_without_end() {
        let mut reads = 0;
        let mut pages = Pages::new(|_, into: &mut [u8]| {
            reads += 1;
            into.len()
        });
        assert_eq!(pages.word(4092), Some(0));
        assert_eq!((pages.word(0), pages.byte(8191)), (Some(0), Some(0)));
        let all = (0..1 << 20).filter_map(|page| pages.byte(page << 12));
        assert_eq!(all.count(), PAGES_MAX);
        assert_eq!(pages.word(u64::MAX), None);
        drop(pages);
        assert_eq!(reads, PAGES_MAX);
    }
}
