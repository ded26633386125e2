//! Pages of data: shared by counting, copied when a shared one is changed.
//!
//! A recorder keeps every page that was ever written, so nearly every write wants fresh memory.
//! From malloc that is a page fault for each 4 KiB, which costs as much as the rest of the write.
//! So pages are cut from large chunks that the kernel is asked to back with pages of 2 MiB
//! (`Documentation/admin-guide/mm/transhuge.rst`). Pages given back serve the next filesystem; a
//! chunk is never given back to the kernel.
//!
//! The first page of each 2 MiB holds the counts of the others, close together, because a count
//! in front of its page would be one more line that is not in the CPU's cache.

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use parking_lot::Mutex;

use super::ahead;

/// Bytes in a page.
pub const PAGE: usize = 4096;

/// The bytes of a page.
pub(crate) type Bytes = [u8; PAGE];

/// Bytes in a chunk: address space, of which memory is taken 2 MiB at a time as it is used.
const CHUNK: usize = 64 << 20;
/// A huge page's size on x86-64, and on AArch64 with 4 KiB pages.
const HUGE: usize = 2 << 20;
/// How many times `HUGE` is cleared before it is wanted.
const AHEAD: usize = 4;
/// More owners than there is memory for.
const TOO_MANY: u32 = u32::MAX / 2;

const _: () = assert!(HUGE / PAGE * size_of::<AtomicU32>() <= PAGE);

/// One page of data. A clone shares the bytes.
pub(crate) struct Page(NonNull<Bytes>);

// SAFETY: the bytes are only read while they are shared, and the count is atomic, as in an `Arc`.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

/// Every page that nobody owns.
struct Pool {
    /// Pages that were given back, the latest last: it may still be in the CPU's cache.
    returned: Vec<NonNull<Bytes>>,
    /// What was never given out of the last chunk begins here.
    fresh: *mut Bytes,
    /// How many pages it has, one behind the other, those that hold counts among them.
    left: usize,
}

// SAFETY: what the pool points to is nobody's, and no thread's.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    returned: Vec::new(),
    fresh: std::ptr::null_mut(),
    left: 0,
});

impl Pool {
    /// A page that nobody owns, with a count of 0, and bytes that must be written before they are
    /// read.
    fn take(&mut self) -> NonNull<Bytes> {
        if let Some(page) = self.returned.pop() {
            return page;
        }
        let mut page = self.next();
        if page.addr().get().is_multiple_of(HUGE) {
            // SAFETY: the page is ours, and zeros are valid counts.
            unsafe { page.as_ptr().write_bytes(0, 1) };
            self.clear_ahead(page);
            page = self.next();
        }
        page
    }

    /// Has the memory cleared that will be wanted after the 2 MiB that `first` begins.
    fn clear_ahead(&self, first: NonNull<Bytes>) {
        let (here, end) = (first.addr().get(), self.fresh.addr() + self.left * PAGE);
        let fresh_chunk = end - here == CHUNK;
        let from = if fresh_chunk { 1 } else { AHEAD };
        for region in from..=AHEAD {
            let address = here + region * HUGE;
            if address < end {
                ahead::soon(address, HUGE);
            }
        }
    }

    fn next(&mut self) -> NonNull<Bytes> {
        if self.left == 0 {
            self.fresh = chunk().as_ptr();
            self.left = CHUNK / PAGE;
        }
        // SAFETY: it lies in a chunk.
        let page = unsafe { NonNull::new_unchecked(self.fresh) };
        // SAFETY: `left` pages lie in the chunk from `fresh` on, and it is not 0. The result is
        // at most the end of the chunk.
        self.fresh = unsafe { self.fresh.add(1) };
        self.left -= 1;
        page
    }
}

/// Takes a new chunk from the system. It is never given back, so its pages are valid for ever.
#[cold]
fn chunk() -> NonNull<Bytes> {
    let Ok(layout) = Layout::from_size_align(CHUNK, HUGE) else {
        unreachable!("the chunk's size is a multiple of its alignment, a power of two");
    };
    // SAFETY: the layout's size is not 0.
    let Some(chunk) = NonNull::new(unsafe { alloc(layout) }) else {
        handle_alloc_error(layout)
    };
    // SAFETY: the range is ours, and the advice changes no byte of it. Where it is not taken,
    // memory comes by small pages, which is slower and nothing else.
    unsafe { libc::madvise(chunk.as_ptr().cast(), CHUNK, libc::MADV_HUGEPAGE) };
    chunk.cast()
}

impl Page {
    /// A page with these bytes.
    pub(crate) fn new(bytes: &Bytes) -> Self {
        let page = POOL.lock().take();
        // SAFETY: the page is ours alone, and aligned for bytes; `bytes` lies elsewhere, or it
        // would be part of a page that is still owned.
        unsafe { page.as_ptr().copy_from_nonoverlapping(bytes, 1) };
        Self::own(page)
    }

    /// A page of zeros.
    pub(super) fn zeros() -> Self {
        let page = POOL.lock().take();
        // SAFETY: the page is ours alone; zeros are valid bytes.
        unsafe { page.as_ptr().write_bytes(0, 1) };
        Self::own(page)
    }

    /// Makes a page that the pool gave, and whose bytes are written, one with one owner.
    fn own(page: NonNull<Bytes>) -> Self {
        let page = Self(page);
        page.count().store(1, Ordering::Relaxed);
        page
    }

    /// The bytes, to change them: of a copy, when others share them.
    pub(super) fn make_mut(&mut self) -> &mut Bytes {
        // Acquire: what former owners read was read before we change it.
        if self.count().load(Ordering::Acquire) != 1 {
            *self = Self::new(self);
        }
        // SAFETY: nobody else owns it, and nobody can begin to but through `self`, which is
        // borrowed.
        unsafe { self.0.as_mut() }
    }

    /// How many owners there are.
    fn count(&self) -> &AtomicU32 {
        let index = self.0.addr().get() % HUGE / PAGE;
        let counts = self
            .0
            .as_ptr()
            .map_addr(|addr| addr - addr % HUGE)
            .cast::<AtomicU32>();
        // SAFETY: chunks begin and end at multiples of `HUGE`, so the counts lie in the page's
        // own chunk. They were made before the pool gave out the first page of the 2 MiB, there
        // is one for every page (see the assertion above), and nobody writes them otherwise.
        unsafe { &*counts.add(index) }
    }
}

impl Deref for Page {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        // SAFETY: the page is valid for ever, its bytes were written when it was made, and while
        // they are borrowed here only a page that others do not share could change them.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for Page {
    fn clone(&self) -> Self {
        // Relaxed, as in `Arc`: an owner who gives a clone away has reached this point.
        if self.count().fetch_add(1, Ordering::Relaxed) > TOO_MANY {
            std::process::abort();
        }
        Self(self.0)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // As in `Arc`: what every owner did with the bytes comes before they are used again.
        if self.count().fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            POOL.lock().returned.push(self.0);
        }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pages_are_apart_from_each_other_across_chunks() {
        // More than a chunk holds, and every one with bytes of its own.
        let pages: Vec<Page> = (0..CHUNK / PAGE + 3)
            .map(|n| {
                let mut page = Page::zeros();
                let bytes = page.make_mut();
                bytes[..8].copy_from_slice(&(n as u64).to_le_bytes());
                bytes[PAGE - 8..].copy_from_slice(&(n as u64).to_le_bytes());
                page
            })
            .collect();
        let places: HashSet<_> = pages.iter().map(|page| page.0).collect();
        assert_eq!(places.len(), pages.len());
        for (n, page) in pages.iter().enumerate() {
            assert_eq!(page[..8], (n as u64).to_le_bytes());
            assert_eq!(page[PAGE - 8..], (n as u64).to_le_bytes());
            assert_eq!(page.count().load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn a_shared_page_is_copied_before_it_changes() {
        let mut page = Page::new(&[1; PAGE]);
        let place = page.0;
        page.make_mut()[0] = 2;
        assert_eq!(page.0, place, "alone, it changes in place");
        let shared = page.clone();
        assert_eq!(shared.0, place);
        page.make_mut()[0] = 3;
        assert_eq!((shared[0], page[0], page[1]), (2, 3, 1));
        let place = page.0;
        drop(shared);
        page.make_mut()[0] = 4;
        assert_eq!(page.0, place, "alone again");
    }

    #[test]
    fn a_page_given_back_is_zeros_again() {
        for _ in 0..3 {
            let mut page = Page::zeros();
            assert!(page.iter().all(|byte| *byte == 0));
            page.make_mut().fill(0xff);
        }
    }

    #[test]
    fn threads_share_pages_and_give_them_back() {
        let common = Page::new(&[9; PAGE]);
        let threads: Vec<_> = (0..4u8)
            .map(|n| {
                let common = common.clone();
                std::thread::spawn(move || {
                    let mine: Vec<Page> = (0..200).map(|_| Page::new(&[n; PAGE])).collect();
                    for _ in 0..10_000 {
                        let mut copy = common.clone();
                        drop(copy.clone());
                        copy.make_mut()[0] = n;
                    }
                    mine
                })
            })
            .collect();
        for (n, thread) in threads.into_iter().enumerate() {
            let pages = thread.join().expect("a thread");
            assert!(
                pages
                    .iter()
                    .all(|page| page.iter().all(|byte| *byte == n as u8))
            );
        }
        assert!(common.iter().all(|byte| *byte == 9));
        assert_eq!(common.count().load(Ordering::Relaxed), 1);
    }
}
