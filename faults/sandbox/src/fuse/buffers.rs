//! Large buffers come from the kernel, which gives zeros for nothing, and go back to it.
//!
//! Every session of the `fuser` crate asks for two zeroed buffers of 16 MiB and touches little of
//! them. glibc maps such a buffer the first time; once it was freed, it takes the next from its
//! heap and clears it by hand (mallopt(3), "dynamic mmap threshold"), which cost half of all time
//! where a filesystem is mounted for each of many trials.

#[cfg(target_env = "gnu")]
use std::sync::Once;

/// Has buffers of 8 MiB and more mapped always. Once a process; does nothing but on glibc.
pub(super) fn map_large_ones() {
    #[cfg(target_env = "gnu")]
    {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: it sets a number of the allocator's, under the allocator's own lock.
            unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 8 << 20) };
        });
    }
}
