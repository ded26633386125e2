//! Pages of data: shared by counting, copied when a shared one is changed.

use std::alloc::Layout;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes in a page.
pub const PAGE: usize = 4096;

/// The bytes of a page.
pub(crate) type Bytes = [u8; PAGE];

/// How one page is asked of the global allocator: its bytes, and in front of them the two counts of
/// an [`Arc`]. A program that records much can choose an allocator that is quick with these.
pub const PAGE_BLOCK: Layout =
    match Layout::from_size_align(PAGE + 2 * size_of::<usize>(), align_of::<usize>()) {
        Ok(layout) => layout,
        Err(_) => panic!("the size is a multiple of the alignment, a power of two"),
    };

pub(super) static ZEROS: Bytes = [0; PAGE];

/// One page of data. A clone shares the bytes.
#[derive(Clone)]
pub(crate) struct Page(Arc<Bytes>);

impl Page {
    /// A page with these bytes.
    pub(crate) fn new(bytes: &Bytes) -> Self {
        // By way of a slice, whose bytes are copied to their place at once, and not to the stack.
        let bytes: Arc<[u8]> = Arc::from(&bytes[..]);
        match bytes.try_into() {
            Ok(page) => Self(page),
            Err(_) => unreachable!("the slice is one of a page"),
        }
    }

    /// A page of zeros.
    pub(super) fn zeros() -> Self {
        Self::new(&ZEROS)
    }

    /// The bytes, to change them: of a copy, when others share them.
    pub(super) fn make_mut(&mut self) -> &mut Bytes {
        Arc::make_mut(&mut self.0)
    }
}

impl Deref for Page {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_page_is_copied_before_it_changes() {
        let mut page = Page::new(&[1; PAGE]);
        let place = page.as_ptr();
        page.make_mut()[0] = 2;
        assert_eq!(page.as_ptr(), place, "alone, it changes in place");
        let shared = page.clone();
        assert_eq!(shared.as_ptr(), place);
        page.make_mut()[0] = 3;
        assert_eq!((shared[0], page[0], page[1]), (2, 3, 1));
        let place = page.as_ptr();
        drop(shared);
        page.make_mut()[0] = 4;
        assert_eq!(page.as_ptr(), place, "alone again");
    }

    #[test]
    fn a_new_page_of_zeros_is_zeros() {
        for _ in 0..3 {
            let mut page = Page::zeros();
            assert!(page.iter().all(|byte| *byte == 0));
            page.make_mut().fill(0xff);
        }
    }

    #[test]
    fn threads_share_pages_and_give_them_back() {
        // Miri is a thousand times slower.
        let (pages, copies) = if cfg!(miri) { (4, 10) } else { (200, 1000) };
        let common = Page::new(&[9; PAGE]);
        let threads: Vec<_> = (0..4u8)
            .map(|n| {
                let common = common.clone();
                std::thread::spawn(move || {
                    let mine: Vec<Page> = (0..pages).map(|_| Page::new(&[n; PAGE])).collect();
                    for _ in 0..copies {
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
            let kept = |page: &Page| page.iter().all(|byte| *byte == n as u8);
            assert!(pages.iter().all(kept));
        }
        assert!(common.iter().all(|byte| *byte == 9));
    }
}
