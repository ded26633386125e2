//! The calls whose caller is recorded, and the seccomp filter that stops a thread at them.
//!
//! A traced thread stops once for each, at its entry: the filter's answer carries the number of the call
//! in [`CALLS`], so that nothing has to be decoded. A call that the listener of [`calls`](super::super::calls)
//! takes as well (`sync`, `syncfs`) goes to that one alone (seccomp(2): of several filters the strictest
//! decides), and there the registers are out of reach: such a call has no stack.

use plugpull_crashsim::fs::Op;

/// What a record is, as far as it shows which calls can have made it.
const WRITE: u8 = 1;
const SYNC: u8 = 1 << 1;
const CREATE: u8 = 1 << 2;
const LINK: u8 = 1 << 3;
const UNLINK: u8 = 1 << 4;
const RENAME: u8 = 1 << 5;
const TRUNCATE: u8 = 1 << 6;
const ALLOCATE: u8 = 1 << 7;

/// When a call is of interest.
#[derive(Clone, Copy)]
enum If {
    Always,
    /// The argument of this number has one of these bits.
    Has(u32, i32),
}

/// A call that stops its thread.
pub(super) struct TracedCall {
    number: libc::c_long,
    /// As strace shows it.
    pub(super) name: &'static str,
    makes: u8,
    when: If,
}

const fn call(number: libc::c_long, name: &'static str, makes: u8) -> TracedCall {
    TracedCall {
        number,
        name,
        makes,
        when: If::Always,
    }
}

const fn call_if(
    number: libc::c_long,
    name: &'static str,
    makes: u8,
    (argument, bits): (u32, i32),
) -> TracedCall {
    TracedCall {
        number,
        name,
        makes,
        when: If::Has(argument, bits),
    }
}

/// That a file is opened, and changed by it.
const OPENED: i32 = libc::O_CREAT | libc::O_TRUNC;
/// A file that was opened with `O_SYNC` is synced by the call that writes.
const WRITTEN: u8 = WRITE | SYNC;

/// What stops a thread.
#[cfg(target_arch = "x86_64")]
pub(super) const CALLS: [TracedCall; 36] = [
    call(libc::SYS_write, "write", WRITTEN),
    call(libc::SYS_pwrite64, "pwrite64", WRITTEN),
    call(libc::SYS_writev, "writev", WRITTEN),
    call(libc::SYS_pwritev, "pwritev", WRITTEN),
    call(libc::SYS_pwritev2, "pwritev2", WRITTEN),
    call(libc::SYS_sendfile, "sendfile", WRITTEN),
    call(libc::SYS_splice, "splice", WRITTEN),
    call(libc::SYS_copy_file_range, "copy_file_range", WRITTEN),
    call(libc::SYS_io_submit, "io_submit", WRITTEN),
    call(libc::SYS_fsync, "fsync", SYNC),
    call(libc::SYS_fdatasync, "fdatasync", SYNC),
    call(libc::SYS_msync, "msync", SYNC),
    call_if(libc::SYS_open, "open", CREATE | TRUNCATE, (1, OPENED)),
    call_if(libc::SYS_openat, "openat", CREATE | TRUNCATE, (2, OPENED)),
    call(libc::SYS_openat2, "openat2", CREATE | TRUNCATE),
    call(libc::SYS_creat, "creat", CREATE | TRUNCATE),
    call(libc::SYS_mknod, "mknod", CREATE),
    call(libc::SYS_mknodat, "mknodat", CREATE),
    call(libc::SYS_mkdir, "mkdir", CREATE),
    call(libc::SYS_mkdirat, "mkdirat", CREATE),
    call(libc::SYS_symlink, "symlink", CREATE),
    call(libc::SYS_symlinkat, "symlinkat", CREATE),
    call(libc::SYS_link, "link", LINK),
    call(libc::SYS_linkat, "linkat", LINK),
    call(libc::SYS_unlink, "unlink", UNLINK),
    call(libc::SYS_unlinkat, "unlinkat", UNLINK),
    call(libc::SYS_rmdir, "rmdir", UNLINK),
    call(libc::SYS_rename, "rename", RENAME),
    call(libc::SYS_renameat, "renameat", RENAME),
    call(libc::SYS_renameat2, "renameat2", RENAME),
    call(libc::SYS_truncate, "truncate", TRUNCATE),
    call(libc::SYS_ftruncate, "ftruncate", TRUNCATE),
    call(libc::SYS_fallocate, "fallocate", ALLOCATE),
    // All that a ring was given: what it does is nobody's call.
    call(libc::SYS_io_uring_enter, "io_uring_enter", RING),
    // Code comes and goes with these: what is known of the address space is old.
    call_if(libc::SYS_mmap, "mmap", 0, (2, libc::PROT_EXEC)),
    call_if(libc::SYS_mprotect, "mprotect", 0, (2, libc::PROT_EXEC)),
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const CALLS: [TracedCall; 0] = [];

/// Any change of a file, by a ring.
const RING: u8 = u8::MAX;

impl TracedCall {
    /// The call that a filter's answer names; none for one of a machine that is not known here.
    pub(super) fn of(answer: i64) -> Option<&'static Self> {
        let at = usize::try_from(answer).ok()?.checked_sub(1)?;
        CALLS.get(at)
    }

    /// Whether it can have made such a record.
    pub(super) fn can_make(&self, op: &Op) -> bool {
        let kind = match op {
            Op::Write { .. } => WRITE,
            Op::Sync { .. } | Op::SyncFailed { .. } => SYNC,
            Op::Create { .. } => CREATE,
            Op::Link { .. } => LINK,
            Op::Unlink { .. } => UNLINK,
            Op::Rename { .. } => RENAME,
            Op::Truncate { .. } => TRUNCATE,
            Op::Allocate { .. } | Op::Zero { .. } => ALLOCATE,
            Op::SetAttrs { .. }
            | Op::SetXattr { .. }
            | Op::Touch { .. }
            | Op::CallGoesOn { .. }
            | Op::SyncAll { .. }
            | Op::SyncAllFailed
            | Op::CacheSettled
            | Op::CacheUnsettled => 0,
        };
        self.makes & kind != 0
    }

    /// Whether it hands work over to the kernel, which then does it on its own.
    pub(super) fn is_ring(&self) -> bool {
        self.makes == RING
    }

    /// Whether it waits until what was stored in a mapping is written back.
    pub(super) fn writes_back(&self) -> bool {
        self.makes == SYNC
    }

    /// Whether it changes which code a process has.
    pub(super) fn maps_code(&self) -> bool {
        matches!(self.number, libc::SYS_mmap | libc::SYS_mprotect)
    }

    /// Whether it has a stack that somebody will ask for.
    pub(super) fn is_recorded(&self) -> bool {
        self.makes != 0
    }
}

/// The kernel's name of the machine (`linux/audit.h`, `AUDIT_ARCH_X86_64`).
const ARCH: u32 = 0xC000_003E;
/// What the number of a call of the x32 kind has.
const X32: u32 = 0x4000_0000;
/// Places in `struct seccomp_data`.
const NR_AT: u32 = 0;
const ARCH_AT: u32 = 4;
const ARGS_AT: u32 = 16;

/// The filter, in the kernel's classic BPF. Calls of another machine (32-bit programs) stop too, so that
/// none of them is taken for the thread's last known one.
pub(super) fn filter() -> Vec<libc::sock_filter> {
    let load = |at: u32| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, (0, 0));
    let jump = |how: u32, value: u32, to: (u8, u8)| {
        instruction(libc::BPF_JMP | how | libc::BPF_K, value, to)
    };
    let end = |action: u32| instruction(libc::BPF_RET | libc::BPF_K, action, (0, 0));
    let mut all = vec![
        load(ARCH_AT),
        jump(libc::BPF_JEQ, ARCH, (1, 0)),
        end(libc::SECCOMP_RET_TRACE),
        load(NR_AT),
        jump(libc::BPF_JSET, X32, (0, 1)),
        end(libc::SECCOMP_RET_TRACE),
    ];
    for (traced, answer) in CALLS.iter().zip(1..) {
        let stop = end(libc::SECCOMP_RET_TRACE | answer);
        let number = traced.number as u32;
        match traced.when {
            If::Always => all.extend([jump(libc::BPF_JEQ, number, (0, 1)), stop]),
            If::Has(argument, bits) => all.extend([
                jump(libc::BPF_JEQ, number, (0, 4)),
                load(ARGS_AT + 8 * argument),
                jump(libc::BPF_JSET, bits as u32, (0, 1)),
                stop,
                end(libc::SECCOMP_RET_ALLOW),
            ]),
        }
    }
    all.push(end(libc::SECCOMP_RET_ALLOW));
    all
}

fn instruction(code: u32, k: u32, (jt, jf): (u8, u8)) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// What the filter answers, as the kernel runs it.
    fn answer(arch: u32, number: libc::c_long, arguments: [u64; 6]) -> u32 {
        let filter = filter();
        let (mut at, mut loaded) = (0, 0);
        loop {
            let one = filter[at];
            at += 1;
            match u32::from(one.code) {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    loaded = match one.k {
                        NR_AT => number as u32,
                        ARCH_AT => arch,
                        at => arguments[(at - ARGS_AT) as usize / 8] as u32,
                    };
                }
                code if code == libc::BPF_RET | libc::BPF_K => return one.k,
                code => {
                    let holds = match code & libc::BPF_JSET {
                        libc::BPF_JSET => loaded & one.k != 0,
                        _ => loaded == one.k,
                    };
                    at += usize::from(if holds { one.jt } else { one.jf });
                }
            }
        }
    }

    fn stops_at(number: libc::c_long, arguments: [u64; 6]) -> Option<&'static str> {
        let answer = answer(ARCH, number, arguments);
        match answer & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_ALLOW => None,
            _ => TracedCall::of(i64::from(answer & libc::SECCOMP_RET_DATA)).map(|call| call.name),
        }
    }

    #[test]
    fn only_calls_that_change_files_stop() {
        let none = [0; 6];
        assert_eq!(stops_at(libc::SYS_read, none), None);
        assert_eq!(stops_at(libc::SYS_close, none), None);
        assert_eq!(stops_at(libc::SYS_sync, none), None);
        for call in &CALLS {
            let all = [u64::MAX; 6];
            assert_eq!(stops_at(call.number, all), Some(call.name));
        }
        let opened = |flags: i32| [0, 0, flags as u64, 0, 0, 0];
        assert_eq!(stops_at(libc::SYS_openat, opened(libc::O_RDWR)), None);
        let created = opened(libc::O_RDWR | libc::O_CREAT);
        assert_eq!(stops_at(libc::SYS_openat, created), Some("openat"));
        assert_eq!(stops_at(libc::SYS_mmap, opened(libc::PROT_READ)), None);
    }

    #[test]
    fn calls_of_another_machine_are_no_calls_of_this_one() {
        // i386's number 1 is exit, 4 is write.
        let other = answer(0x4000_0003, 1, [0; 6]);
        assert_eq!(other, libc::SECCOMP_RET_TRACE);
        assert!(TracedCall::of(0).is_none());
        assert_eq!(answer(ARCH, 0x4000_0001, [0; 6]), libc::SECCOMP_RET_TRACE);
    }

    #[test]
    fn a_record_has_a_call_that_can_make_it() {
        let by_name = |name| CALLS.iter().find(|call| call.name == name).expect("known");
        let sync = Op::SyncFailed { ino: 2 };
        let cut = Op::Truncate {
            ino: 2,
            old_size: 1,
            size: 0,
        };
        assert!(by_name("pwrite64").can_make(&sync) && !by_name("pwrite64").can_make(&cut));
        assert!(by_name("openat").can_make(&cut) && !by_name("rename").can_make(&cut));
        assert!(!by_name("fsync").can_make(&Op::CacheSettled));
        assert!(by_name("io_uring_enter").is_ring() && !by_name("write").is_ring());
    }
}
