//! Memory for pages.
//!
//! A recorder keeps every page that was ever written, so nearly every write wants fresh memory.
//! From malloc that is a page fault for each 4 KiB, which costs as much as the rest of the write.
//! So blocks are cut from large chunks that the kernel is asked to back with pages of 2 MiB
//! (`Documentation/admin-guide/mm/transhuge.rst`), and a thread of its own has the kernel do so
//! ahead of the writes. Blocks given back serve the next filesystem; a chunk is never given back
//! to the kernel.

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Once;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::content::PAGE;

type Bytes = [u8; PAGE];

/// Bytes in a chunk: address space, of which memory is taken 2 MiB at a time as it is used.
const CHUNK: usize = 64 << 20;
/// A huge page's size on x86-64, and on AArch64 with 4 KiB pages.
const HUGE: usize = 2 << 20;
/// How many fresh blocks are backed ahead of the writes: 8 MiB.
const AHEAD: usize = (8 << 20) / PAGE;

/// A page's worth of bytes. Owned alone; share it by `Arc`.
pub(super) struct Block(NonNull<Bytes>);

/// Every block that nobody owns.
struct Pool {
    /// Blocks that were given back, the latest last: it may still be in the CPU's cache.
    returned: Vec<NonNull<Bytes>>,
    /// The first of the blocks that were never given out.
    fresh: *mut Bytes,
    /// How many of them there are, one behind the other.
    left: usize,
    /// How many of them, from the first on, the kernel has backed, or is asked to at the moment.
    backed: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    returned: Vec::new(),
    fresh: std::ptr::null_mut(),
    left: 0,
    backed: 0,
});

/// Told when a huge page more should be backed.
static LOW: Condvar = Condvar::new();

/// Starts the thread that backs blocks ahead of the writes, the first time. It runs where the
/// caller may run, so call it from a thread that is not pinned to the server's CPU.
pub(super) fn back_ahead() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Without the thread writes are slower, and nothing else.
        let _ = std::thread::Builder::new()
            .name("pages".into())
            .spawn(|| {
                let mut pool = POOL.lock();
                while back_more(&mut pool) {}
            });
    });
}

/// Backs the next piece, or waits until that is wanted. False when the kernel cannot (before
/// Linux 5.14) or has no memory to spare.
fn back_more(pool: &mut MutexGuard<'_, Pool>) -> bool {
    if pool.left == 0 {
        pool.renew();
    }
    if !pool.is_low() || pool.backed == pool.left {
        LOW.wait(pool);
        return true;
    }
    // SAFETY: `left` blocks lie in the chunk from `fresh` on, and `backed` is less.
    let piece = unsafe { pool.fresh.add(pool.backed) };
    let to_boundary = (HUGE - piece.addr() % HUGE) / PAGE;
    let blocks = to_boundary.min(pool.left - pool.backed);
    pool.backed += blocks;
    let failed = MutexGuard::unlocked(pool, || {
        // SAFETY: the range lies in a chunk, which is valid for ever, and the advice changes no
        // byte of it, so it does not matter that its blocks may be given out meanwhile.
        unsafe { libc::madvise(piece.cast(), blocks * PAGE, libc::MADV_POPULATE_WRITE) }
    });
    failed == 0
}

// SAFETY: a block's memory is reached through the block alone, so the rules of a `Box` hold.
unsafe impl Send for Block {}
// SAFETY: as above; a shared block is only read.
unsafe impl Sync for Block {}
// SAFETY: what the pool points to is nobody's, and no thread's.
unsafe impl Send for Pool {}

impl Pool {
    /// A block whose bytes must be written before they are read.
    fn take(&mut self) -> NonNull<Bytes> {
        if let Some(block) = self.returned.pop() {
            return block;
        }
        if self.left == 0 {
            self.renew();
        }
        let block = self.fresh;
        // SAFETY: `left` blocks lie in the chunk from `fresh` on, and it is not 0. The result is
        // at most one behind the chunk's end.
        self.fresh = unsafe { self.fresh.add(1) };
        self.left -= 1;
        self.backed = self.backed.saturating_sub(1);
        if self.is_low() {
            LOW.notify_one();
        }
        // SAFETY: it lies in a chunk.
        unsafe { NonNull::new_unchecked(block) }
    }

    /// Goes on to a new chunk, when the old one is used up.
    fn renew(&mut self) {
        self.fresh = chunk().as_ptr();
        self.left = CHUNK / PAGE;
        self.backed = 0;
    }

    /// True when a whole huge page may be backed without going too far ahead.
    fn is_low(&self) -> bool {
        self.backed + HUGE / PAGE <= AHEAD
    }
}

/// Takes a new chunk from the system. It is never given back, so its blocks are valid for ever.
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

impl Block {
    /// A block with these bytes.
    pub(super) fn new(bytes: &Bytes) -> Self {
        let block = POOL.lock().take();
        // SAFETY: the block is ours alone, and aligned for bytes; `bytes` lies elsewhere, or it
        // would be part of a block that is still owned.
        unsafe { block.as_ptr().copy_from_nonoverlapping(bytes, 1) };
        Self(block)
    }

    /// A block of zeros.
    pub(super) fn zeros() -> Self {
        let block = POOL.lock().take();
        // SAFETY: the block is ours alone; zeros are valid bytes.
        unsafe { block.as_ptr().write_bytes(0, 1) };
        Self(block)
    }
}

impl Deref for Block {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        // SAFETY: the block is valid for ever, ours, and its bytes were set when it was made.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut Bytes {
        // SAFETY: as for `deref`, and nobody else borrows what `self` owns alone.
        unsafe { self.0.as_mut() }
    }
}

impl Clone for Block {
    fn clone(&self) -> Self {
        Self::new(self)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        POOL.lock().returned.push(self.0);
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn blocks_are_apart_from_each_other_across_chunks() {
        // More than a chunk holds, and every one with bytes of its own.
        let mut blocks: Vec<Block> = (0..CHUNK / PAGE + 3)
            .map(|n| {
                let mut block = Block::zeros();
                block[..8].copy_from_slice(&(n as u64).to_le_bytes());
                block[PAGE - 8..].copy_from_slice(&(n as u64).to_le_bytes());
                block
            })
            .collect();
        let places: HashSet<_> = blocks.iter().map(|block| block.0).collect();
        assert_eq!(places.len(), blocks.len());
        let copy = blocks[1].clone();
        blocks[1].fill(7);
        for (n, block) in blocks.iter().enumerate().filter(|(n, _)| *n != 1) {
            assert_eq!(block[..8], (n as u64).to_le_bytes());
            assert_eq!(block[PAGE - 8..], (n as u64).to_le_bytes());
        }
        assert_eq!(copy[..8], 1u64.to_le_bytes());
    }

    #[test]
    fn a_block_given_back_is_zeros_again() {
        for _ in 0..3 {
            let mut block = Block::zeros();
            assert!(block.iter().all(|byte| *byte == 0));
            block.fill(0xff);
        }
    }

    #[test]
    fn blocks_may_be_given_back_by_other_threads() {
        let threads: Vec<_> = (0..4u8)
            .map(|n| {
                std::thread::spawn(move || {
                    let mine: Vec<Block> = (0..200).map(|_| Block::new(&[n; PAGE])).collect();
                    assert!(mine.iter().all(|block| block.iter().all(|byte| *byte == n)));
                    mine
                })
            })
            .collect();
        for (n, thread) in threads.into_iter().enumerate() {
            let blocks = thread.join().expect("a thread");
            assert!(
                blocks
                    .iter()
                    .all(|block| block.iter().all(|byte| *byte == n as u8))
            );
        }
    }
}
