//! Memory for the pages of a simulated disk: a global allocator that a binary may choose.
//!
//! A recorder keeps every page that was ever written, so nearly every write wants fresh memory.
//! From malloc that is a page fault for each 4 KiB, which costs as much as the rest of the write.
//! So blocks of the size of one page with its count are cut from large chunks that the kernel is
//! asked to back with pages of 2 MiB (`Documentation/admin-guide/mm/transhuge.rst`). Blocks that
//! are given back serve the next filesystem; a chunk is never given back to the kernel. Every other
//! request goes to the system's allocator.

mod ahead;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, PoisonError};

use plugpull_crashsim::fs::PAGE_BLOCK;

/// Bytes in a chunk: address space, of which memory is taken 2 MiB at a time as it is used.
const CHUNK: usize = 64 << 20;
/// A huge page's size on x86-64, and on AArch64 with 4 KiB pages.
const HUGE: usize = 2 << 20;
/// How many times `HUGE` is cleared before it is wanted.
const AHEAD: usize = 4;

const BLOCK: usize = PAGE_BLOCK.size();
/// Blocks in one `HUGE`; what is left at its end is not used.
const BLOCKS: usize = HUGE / BLOCK;

const _: () = assert!(BLOCK >= size_of::<usize>() && BLOCK.is_multiple_of(PAGE_BLOCK.align()));

/// Serves the pages of simulated disks from large chunks, and all else from the system.
///
/// ```
/// #[global_allocator]
/// static MEMORY: plugpull_sandbox::page_memory::PageMemory =
///     plugpull_sandbox::page_memory::PageMemory::new();
/// ```
pub struct PageMemory {
    pool: Mutex<Pool>,
}

/// Every block that nobody owns.
struct Pool {
    /// The block that was given back last: it may still be in the CPU's cache. Each holds the
    /// address of the next in its first bytes.
    returned: *mut u8,
    /// What was never given out of the last chunk begins here.
    fresh: *mut u8,
    /// How many blocks are left of this 2 MiB.
    left: usize,
    /// How many times 2 MiB are left of the chunk behind this one.
    regions: usize,
}

// SAFETY: what the pool points to is nobody's, and no thread's.
unsafe impl Send for Pool {}

impl PageMemory {
    /// With no memory yet.
    pub const fn new() -> Self {
        Self {
            pool: Mutex::new(Pool {
                returned: null_mut(),
                fresh: null_mut(),
                left: 0,
                regions: 0,
            }),
        }
    }

    /// A block, or null when the system has no memory.
    fn take(&self) -> *mut u8 {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = NonNull::new(pool.returned) {
            // SAFETY: a block that was given back is the pool's alone, aligned for an address, and
            // begins with that of the next one (`give`).
            pool.returned = unsafe { block.cast::<*mut u8>().read() };
            return block.as_ptr();
        }
        let ahead = if pool.left == 0 { pool.refill() } else { None };
        if pool.left == 0 {
            return null_mut();
        }
        let block = pool.fresh;
        // SAFETY: `left` blocks lie from `fresh` on in one allocation, and it is not 0.
        pool.fresh = unsafe { block.add(BLOCK) };
        pool.left -= 1;
        drop(pool);
        // Not under the lock: the first call starts a thread, which allocates.
        for region in ahead.into_iter().flatten() {
            ahead::soon(region, HUGE);
        }
        block
    }

    /// # Safety
    /// The block came from [`PageMemory::take`], and nobody uses it any more.
    unsafe fn give(&self, block: *mut u8) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the block is ours now, large enough and aligned for an address.
        unsafe { block.cast::<*mut u8>().write(pool.returned) };
        pool.returned = block;
    }
}

impl Default for PageMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// Begins the next 2 MiB, of a new chunk where the last is used up. Leaves `left` at 0 when the
    /// system has no memory. Returns the addresses of the 2 MiB that will be wanted soon.
    fn refill(&mut self) -> Option<impl Iterator<Item = usize> + use<>> {
        let new = self.regions == 0;
        if new {
            let layout = Layout::from_size_align(CHUNK, HUGE).ok()?;
            // SAFETY: the layout's size is not 0.
            let chunk = NonNull::new(unsafe { System.alloc(layout) })?;
            // SAFETY: the range is ours, and the advice changes no byte of it. Where it is not
            // taken, memory comes by small pages, which is slower and nothing else.
            unsafe { libc::madvise(chunk.as_ptr().cast(), CHUNK, libc::MADV_HUGEPAGE) };
            self.fresh = chunk.as_ptr();
            self.regions = CHUNK / HUGE;
        } else {
            let used = BLOCKS * BLOCK;
            // SAFETY: `BLOCKS` blocks were taken of this 2 MiB, and another one lies behind it in
            // the chunk, because `regions` is not 0.
            self.fresh = unsafe { self.fresh.add(HUGE - used) };
        }
        self.regions -= 1;
        self.left = BLOCKS;
        let (here, behind) = (self.fresh.addr(), self.regions);
        let from = if new { 1 } else { AHEAD };
        Some(
            (from..=AHEAD)
                .filter(move |n| *n <= behind)
                .map(move |n| here + n * HUGE),
        )
    }
}

// SAFETY: blocks are handed out to one owner at a time, of the size and alignment of `PAGE_BLOCK`;
// every other layout is the system's, and a layout says which of the two a block came from.
unsafe impl GlobalAlloc for PageMemory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout == PAGE_BLOCK {
            self.take()
        } else {
            // SAFETY: as the caller promises.
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout != PAGE_BLOCK {
            // SAFETY: as the caller promises.
            return unsafe { System.alloc_zeroed(layout) };
        }
        let block = self.take();
        if !block.is_null() {
            // SAFETY: the block is the caller's alone and has so many bytes.
            unsafe { block.write_bytes(0, BLOCK) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout == PAGE_BLOCK {
            // SAFETY: a request of this layout was answered by `take`.
            unsafe { self.give(block) };
        } else {
            // SAFETY: as the caller promises.
            unsafe { System.dealloc(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a valid size for the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if layout != PAGE_BLOCK && wanted != PAGE_BLOCK {
            // SAFETY: as the caller promises.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the size is not 0, as the caller promises.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: both are valid for so many bytes, and apart; the old one is not used again.
            unsafe {
                new.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn blocks_are_apart_from_each_other_across_chunks() {
        let memory = PageMemory::new();
        let count = CHUNK / HUGE * BLOCKS + 3;
        let blocks: Vec<*mut u8> = (0..count).map(|_| memory.take()).collect();
        let mut places: Vec<usize> = blocks.iter().map(|block| block.addr()).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|two| two[1] - two[0] >= BLOCK));
        for (n, block) in blocks.iter().enumerate() {
            assert!(block.addr().is_multiple_of(PAGE_BLOCK.align()));
            // SAFETY: the block is this test's, and has `BLOCK` bytes.
            unsafe { block.write_bytes(n as u8, BLOCK) };
        }
        for (n, block) in blocks.iter().enumerate() {
            // SAFETY: as above; every byte was written.
            let bytes = unsafe { std::slice::from_raw_parts(*block, BLOCK) };
            assert!(bytes.iter().all(|byte| *byte == n as u8), "block {n}");
        }
    }

    #[test]
    fn what_is_given_back_is_given_out_again_and_zeroed_on_request() {
        let memory = PageMemory::new();
        // SAFETY: layouts and blocks are those of `PAGE_BLOCK` throughout.
        unsafe {
            let one = memory.alloc(PAGE_BLOCK);
            let two = memory.alloc(PAGE_BLOCK);
            one.write_bytes(0xff, BLOCK);
            memory.dealloc(one, PAGE_BLOCK);
            memory.dealloc(two, PAGE_BLOCK);
            let again: HashSet<usize> = [memory.alloc(PAGE_BLOCK), memory.alloc_zeroed(PAGE_BLOCK)]
                .map(|block| block.addr())
                .into();
            assert_eq!(again, HashSet::from([one.addr(), two.addr()]));
            assert!(
                std::slice::from_raw_parts(one, BLOCK)
                    .iter()
                    .all(|byte| *byte == 0)
            );
        }
    }

    #[test]
    fn what_grows_past_a_block_or_shrinks_to_one_keeps_its_bytes() {
        let memory = PageMemory::new();
        let align = PAGE_BLOCK.align();
        let large = Layout::from_size_align(3 * BLOCK, align).expect("a layout");
        // SAFETY: each block is used with the layout it has at that time.
        unsafe {
            let block = memory.alloc(large);
            block.write_bytes(7, large.size());
            let block = memory.realloc(block, large, BLOCK);
            let block = memory.realloc(block, PAGE_BLOCK, large.size());
            assert!(
                std::slice::from_raw_parts(block, BLOCK)
                    .iter()
                    .all(|byte| *byte == 7)
            );
            memory.dealloc(block, large);
        }
    }
}
