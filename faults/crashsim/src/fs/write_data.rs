//! The bytes of one write, as the log keeps them.

use std::fmt;
use std::ops::Deref;

use super::page::{PAGE, Page};

/// The bytes that a write carried, as the log keeps them.
///
/// A head lies before the first page boundary, whole pages that are shared with the file follow,
/// and a tail lies behind the last boundary. A write inside one page is all head.
#[derive(Clone, Default)]
pub struct WriteData {
    offset: u64,
    /// The head, and right behind it the tail.
    ends: Ends,
    /// How many bytes of them are the head.
    head: usize,
    pages: Vec<Page>,
}

/// The bytes that fill no page: in a page of memory all the same where they fill most of one,
/// because that is faster to come by (a write of 4 KiB that is not aligned always does).
#[derive(Clone)]
enum Ends {
    Few(Box<[u8]>),
    Many { page: Page, len: usize },
}

/// How many bytes of a write lie before its first whole page.
fn head_len(offset: u64, len: usize) -> usize {
    let within = (offset % PAGE as u64) as usize;
    let starts_a_page = within == 0 && len >= PAGE;
    if starts_a_page {
        0
    } else {
        len.min(PAGE - within)
    }
}

impl WriteData {
    /// Copies what was written.
    pub(super) fn new(offset: u64, data: &[u8]) -> Self {
        let head = head_len(offset, data.len());
        let (first, rest) = data.split_at(head);
        let (whole, last) = rest.as_chunks::<PAGE>();
        Self {
            offset,
            ends: Ends::new(first, last),
            head,
            pages: whole.iter().map(Page::new).collect(),
        }
    }

    /// A write of `len` bytes put together again: the bytes that fill no page, and the whole
    /// pages. None when they are not as many as such a write has.
    pub(crate) fn of_parts(
        offset: u64,
        len: u64,
        ends: EndsPart,
        pages: Vec<Page>,
    ) -> Option<Self> {
        let ends = match ends {
            EndsPart::Bytes(bytes) => Ends::new(&bytes, &[]),
            EndsPart::Page(page) => Ends::Many { page, len: PAGE },
        };
        let head = head_len(offset, usize::try_from(len).ok()?);
        let whole = Self {
            offset,
            ends,
            head,
            pages,
        };
        let tail = whole.ends.len().checked_sub(head)?;
        (whole.len() == len && tail < PAGE).then_some(whole)
    }

    /// The bytes that fill no page: those before the first whole page, and those behind the last.
    pub(crate) fn ends(&self) -> &[u8] {
        &self.ends
    }

    /// The whole pages.
    pub(crate) fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// File offset of the first byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes.
    pub fn len(&self) -> u64 {
        (self.ends.len() + self.pages.len() * PAGE) as u64
    }

    /// True for a write of nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// File offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.len()
    }

    /// Calls `piece` for each contiguous run of bytes, in order, with its file offset.
    pub fn for_each(&self, mut piece: impl FnMut(u64, &[u8])) {
        let mut at = self.offset;
        let runs = std::iter::once(self.head())
            .chain(self.pages.iter().map(|page| &page[..]))
            .chain(std::iter::once(self.tail()));
        for run in runs {
            if !run.is_empty() {
                piece(at, run);
                at += run.len() as u64;
            }
        }
    }

    /// All bytes in one buffer.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len() as usize);
        self.for_each(|_, run| all.extend_from_slice(run));
        all
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.ends[..self.head]
    }

    pub(super) fn tail(&self) -> &[u8] {
        &self.ends[self.head..]
    }

    /// The whole pages of this write, with the page number of the first.
    pub(super) fn whole_pages(&self) -> (u64, &[Page]) {
        ((self.offset + self.head as u64) / PAGE as u64, &self.pages)
    }
}

/// The bytes of a write that fill no page, in one piece.
pub(crate) enum EndsPart {
    /// Few of them, or many.
    Bytes(Vec<u8>),
    /// Just as many as a page has.
    Page(Page),
}

impl fmt::Debug for WriteData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.len(), self.offset)
    }
}

impl Ends {
    fn new(head: &[u8], tail: &[u8]) -> Self {
        let len = head.len() + tail.len();
        if !(PAGE / 2..=PAGE).contains(&len) {
            return Self::Few([head, tail].concat().into());
        }
        let mut page = Page::zeros();
        let bytes = page.make_mut();
        bytes[..head.len()].copy_from_slice(head);
        bytes[head.len()..len].copy_from_slice(tail);
        Self::Many { page, len }
    }
}

impl Default for Ends {
    fn default() -> Self {
        Self::Few(Box::default())
    }
}

impl Deref for Ends {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Few(bytes) => bytes,
            Self::Many { page, len } => &page[..*len],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_byte_in_its_place() {
        const P: usize = PAGE;
        let all: Vec<u8> = (0..4 * P).map(|n| (n % 251) as u8).collect();
        for offset in [0, 1, P / 2, P - 1, P, P + 7] {
            for len in [0, 1, P / 2, P - 1, P, P + 1, 2 * P - 2, 2 * P, 3 * P + 5] {
                let kept = WriteData::new(offset as u64, &all[..len]);
                assert_eq!(kept.to_vec(), all[..len], "{len} bytes at {offset}");
                assert_eq!((kept.offset(), kept.len()), (offset as u64, len as u64));
                let (first, pages) = kept.whole_pages();
                let head_and_pages = kept.head().len() + pages.len() * P;
                assert_eq!(head_and_pages + kept.tail().len(), len);
                if !pages.is_empty() {
                    assert_eq!(first * P as u64, (offset + kept.head().len()) as u64);
                }
                let mut at = offset;
                kept.for_each(|place, run| {
                    assert_eq!(place, at as u64);
                    assert!(!run.is_empty() && at / P == (at + run.len() - 1) / P);
                    at += run.len();
                });
            }
        }
    }
}
