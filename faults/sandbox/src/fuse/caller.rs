//! How long a call of write(2) is whose thread waits for the answer to a piece of it.
//!
//! The kernel sends a long write in pieces, and two writes that adjoin look just the same. What the
//! thread asked for stands in `/proc/TID/syscall` (proc(5)) while it waits.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use plugpull_crashsim::fs::{Ino, PAGE};

/// The shortest piece of a longer call: 32 pages of which the first is written in part, which is
/// the limit of kernels without `FUSE_MAX_PAGES`.
const SHORTEST_PIECE: usize = 31 * PAGE + 1;
/// How often a thread is looked at that has not come to rest yet.
const TRIES: usize = 50;
/// The most buffers of one call (`UIO_MAXIOV`).
const BUFFERS_MAX: usize = 1024;

/// The calls of writes that were sent in part, by thread.
#[derive(Default)]
pub(super) struct Calls {
    open: HashMap<u32, Call>,
}

struct Call {
    ino: Ino,
    /// The offset of the next piece.
    next: u64,
    /// How many bytes were sent.
    done: u64,
    /// How many there are.
    of: u64,
}

/// A piece that was sent: how far its call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) of: u64,
}

/// Whether a write may be a piece of a longer call that goes on. Such a piece ends with a page; and it
/// is as long as the kernel's limit, or it begins in the middle of a page that the kernel has not in
/// its cache, and ends with that (`fuse_fill_write_pages` in fs/fuse/file.c).
pub(super) fn may_go_on(offset: u64, len: usize) -> bool {
    let whole = |at: u64| at.is_multiple_of(PAGE as u64);
    whole(offset + len as u64) && (len >= SHORTEST_PIECE || !whole(offset))
}

impl Calls {
    /// Counts a piece; `of` is the length of its thread's call, where that is known. None when the
    /// call ends with it.
    pub(super) fn piece(
        &mut self,
        thread: u32,
        (ino, offset, len): (Ino, u64, u64),
        of: Option<u64>,
    ) -> Option<Progress> {
        let before = self.open.remove(&thread);
        let of = of?;
        let continues = before.filter(|call| (call.ino, call.next, call.of) == (ino, offset, of));
        let done = continues.map_or(0, |call| call.done) + len;
        if done >= of {
            return None;
        }
        let next = offset + len;
        self.open.insert(
            thread,
            Call {
                ino,
                next,
                done,
                of,
            },
        );
        Some(Progress { done, of })
    }
}

/// The length in bytes of the write that a thread waits in; none when it cannot be known. `proc` is
/// the directory `/proc` of the sandbox, which numbers threads as its requests do.
pub(super) fn call_length(proc: &OwnedFd, thread: u32) -> Option<u64> {
    let place = format!("/proc/self/fd/{}/{thread}", proc.as_raw_fd());
    let mut text = String::new();
    for _ in 0..TRIES {
        text.clear();
        let file = File::open(format!("{place}/syscall")).ok()?;
        file.take(512).read_to_string(&mut text).ok()?;
        if !text.starts_with("running") {
            break;
        }
        std::thread::yield_now();
    }
    let (number, arguments) = parse(&text)?;
    match number {
        libc::SYS_write | libc::SYS_pwrite64 => Some(arguments[2]),
        libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 => {
            let count = usize::try_from(arguments[2]).ok()?.min(BUFFERS_MAX);
            let memory = File::open(format!("{place}/mem")).ok()?;
            // An iovec is an address and a length, eight bytes each.
            let mut buffers = vec![0; count * 16];
            memory.read_exact_at(&mut buffers, arguments[1]).ok()?;
            let (buffers, _) = buffers.as_chunks::<16>();
            let lengths = buffers.iter().filter_map(|one| one.last_chunk::<8>());
            lengths
                .map(|bytes| u64::from_ne_bytes(*bytes))
                .try_fold(0, u64::checked_add)
        }
        _ => None,
    }
}

/// The number of a call and its arguments.
fn parse(text: &str) -> Option<(libc::c_long, [u64; 6])> {
    let mut fields = text.split_whitespace();
    let number = fields.next()?.parse().ok()?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        let hex = fields.next()?.strip_prefix("0x")?;
        *argument = u64::from_str_radix(hex, 16).ok()?;
    }
    Some((number, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_asked_for_is_read() {
        let text = "1 0x5 0x7f3a 0x800000 0x0 0x22 0x1 0x7ffe 0x7f12\n";
        assert_eq!(parse(text), Some((1, [5, 0x7f3a, 0x80_0000, 0, 0x22, 1])));
        assert_eq!(parse("running\n"), None);
        assert_eq!(parse("-1 0x7ffe 0x7f12\n"), None);
    }

    #[test]
    fn most_writes_end_their_call_and_nobody_is_asked() {
        for (offset, len, may) in [
            (0, 4096, false),
            (8192, 65536, false),
            (8190, 8190, false),
            (8190, 2, true),
            (0, 1 << 20, true),
            (7, (1 << 20) - 7, true),
            (7, 1 << 20, false),
        ] {
            assert_eq!(may_go_on(offset, len), may, "{len} bytes at {offset}");
        }
    }

    #[test]
    fn pieces_are_one_call_until_its_length_is_reached() {
        const MIB: u64 = 1 << 20;
        let mut calls = Calls::default();
        let mut piece = |thread, offset, len, of| {
            let progress = calls.piece(thread, (2, offset, len), of);
            progress.map(|progress| progress.done)
        };
        assert_eq!(piece(7, 0, MIB, Some(2 * MIB + 5)), Some(MIB));
        // Another thread in between, and the rest.
        assert_eq!(piece(8, 0, MIB, Some(MIB)), None);
        assert_eq!(piece(7, MIB, MIB, Some(2 * MIB + 5)), Some(2 * MIB));
        assert_eq!(piece(7, 2 * MIB, 5, None), None);
        // A loop of writes that adjoin, each a call of its own.
        assert_eq!(piece(7, 0, MIB, Some(MIB)), None);
        assert_eq!(piece(7, MIB, MIB, Some(MIB)), None);
        // A new call elsewhere begins with nothing.
        assert_eq!(piece(7, 0, MIB, Some(3 * MIB)), Some(MIB));
        assert_eq!(piece(7, 8 * MIB, MIB, Some(3 * MIB)), Some(MIB));
    }
}
