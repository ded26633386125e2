//! One process's code, and stacks unwound in it.
//!
//! What looks like a frame and is none is worse than no frame: a return address counts only where code is
//! mapped and the instruction before it is a call. Behind the first that is none the stack ends.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::sync::Arc;

use framehop::{CacheNative, MayAllocateDuringUnwind, Unwinder, UnwinderNative};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::interner::Interner;
use super::module::{CodeMapping, Module};
use super::table::FRAMES_MAX;

/// How much of a stack is copied at once, and at most.
const PIECE: usize = 16 << 10;
const STACK_MAX: usize = 256 << 10;
const MEMORY_PAGE: usize = 4096;
/// How many stacks of one process are known by their return addresses.
const REMEMBERED: usize = 1 << 16;

/// Where a thread is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) ip: u64,
    pub(super) sp: u64,
    pub(super) bp: u64,
}

/// A part of a module that is mapped.
struct Code {
    from: u64,
    to: u64,
    /// The number of the module, and what its own addresses are moved by.
    module: u32,
    bias: u64,
}

/// The code of one process.
pub(super) struct AddressSpace {
    /// As they were when they were read last.
    mappings: Vec<CodeMapping>,
    code: Vec<Code>,
    unwinder: UnwinderNative<Arc<[u8]>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    /// Frames by their return addresses; none for what is no place behind a call.
    frames: HashMap<u64, Option<u32>>,
    /// Stacks by their return addresses, those of each call apart.
    stacks: HashMap<(&'static str, Vec<u64>), u32>,
    /// Code was mapped since it was read.
    stale: bool,
}

impl AddressSpace {
    pub(super) fn new() -> Self {
        Self {
            mappings: Vec::new(),
            code: Vec::new(),
            unwinder: UnwinderNative::new(),
            cache: CacheNative::new(),
            frames: HashMap::new(),
            stacks: HashMap::new(),
            stale: true,
        }
    }

    /// Code is being mapped.
    pub(super) fn changes(&mut self) {
        self.stale = true;
    }

    /// The number of the stack of a thread that has stopped at a call; one without frames where they cannot
    /// be read.
    pub(super) fn stack(
        &mut self,
        (tid, at): (i32, Place),
        call: &'static str,
        interner: &Interner,
    ) -> u32 {
        if self.stale && self.read_mappings(tid, interner).is_none() {
            return interner.stack(call, Vec::new());
        }
        let mut memory = StackCopy::of(tid, at.sp);
        let mut read = |address| memory.word(address).ok_or(());
        let regs = framehop::UnwindRegsNative::new(at.ip, at.sp, at.bp);
        let mut iter = self
            .unwinder
            .iter_frames(at.ip, regs, &mut self.cache, &mut read);
        let mut addresses = Vec::with_capacity(32);
        while addresses.len() < FRAMES_MAX
            && let Ok(Some(frame)) = iter.next()
        {
            addresses.push(frame.address());
        }
        let key = (call, addresses);
        if let Some(known) = self.stacks.get(&key) {
            return *known;
        }
        let addresses = &key.1;
        let mut frames = Vec::with_capacity(addresses.len());
        for (number, address) in addresses.iter().enumerate() {
            let Some(frame) = self.frame(tid, *address, number == 0, interner) else {
                break;
            };
            frames.push(frame);
        }
        let number = interner.stack(call, frames);
        if self.stacks.len() >= REMEMBERED {
            self.stacks.clear();
        }
        self.stacks.insert(key, number);
        number
    }

    /// The frame of an address: of the innermost, where the thread is, or of one that a call returns to.
    fn frame(
        &mut self,
        tid: i32,
        address: u64,
        innermost: bool,
        interner: &Interner,
    ) -> Option<u32> {
        if let Some(known) = self.frames.get(&address) {
            return *known;
        }
        let code = self.code.partition_point(|code| code.from <= address);
        let code = self.code[..code].last();
        let code = code.filter(|code| address <= code.to);
        // It may have been mapped while another thread was looked at.
        self.stale |= code.is_none();
        let code = code.filter(|_| innermost || is_behind_call(tid, address));
        let frame = code.map(|code| interner.frame(code.module, address.wrapping_sub(code.bias)));
        self.frames.insert(address, frame);
        frame
    }

    /// Reads which code is mapped now.
    fn read_mappings(&mut self, tid: i32, interner: &Interner) -> Option<()> {
        let mappings = CodeMapping::all(tid).ok()?;
        self.stale = false;
        if mappings == self.mappings {
            return Some(());
        }
        *self = Self::new();
        self.stale = false;
        for mapping in &mappings {
            let module = match mapping.is_file() {
                true => interner.module(tid, mapping),
                false => interner.anonymous(mapping),
            };
            let (number, module) = module;
            let bias = module.as_ref().and_then(|module| module.bias(mapping));
            if let Some((module, bias)) = module.as_ref().zip(bias) {
                self.add(module, mapping, bias);
            }
            // Where its own addresses are not known, those of the process stand for them.
            self.code.push(Code {
                from: mapping.from,
                to: mapping.to,
                module: number,
                bias: bias.unwrap_or(0),
            });
        }
        self.mappings = mappings;
        Some(())
    }

    fn add(&mut self, module: &Module, mapping: &CodeMapping, bias: u64) {
        let range = mapping.from..mapping.to;
        self.unwinder.add_module(module.for_unwinder(range, bias));
    }
}

/// Whether the instruction before an address is a call. x86-64 has few forms of it: `E8` with four bytes
/// of distance, and `FF /2` with two to seven bytes in all.
fn is_behind_call(tid: i32, address: u64) -> bool {
    let mut before = [0; 7];
    let Some(from) = address.checked_sub(before.len() as u64) else {
        return false;
    };
    read_memory(tid, from, &mut before) == before.len() && ends_with_call(&before)
}

fn ends_with_call(before: &[u8; 7]) -> bool {
    let indirect = |len: usize| {
        let at = before.len() - len;
        before[at] == 0xff && (before[at + 1] >> 3) & 7 == 2
    };
    before[2] == 0xe8 || (2..=7).any(indirect)
}

/// Copies memory of a thread's process: how many bytes could be read.
fn read_memory(tid: i32, from: u64, into: &mut [u8]) -> usize {
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
struct StackCopy {
    tid: i32,
    from: u64,
    bytes: Vec<u8>,
    /// There is no more of it.
    whole: bool,
}

impl StackCopy {
    fn of(tid: i32, sp: u64) -> Self {
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

    fn word(&mut self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.from)?).ok()?;
        let end = at.checked_add(8)?;
        while end > self.bytes.len() && !self.whole {
            self.more();
        }
        let bytes = self.bytes.get(at..end)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_its_bytes() {
        // call rel32
        assert!(ends_with_call(&[0, 0, 0xe8, 1, 2, 3, 4]));
        // call *%rax; call *8(%rax); call *%r12
        assert!(ends_with_call(&[0, 0, 0, 0, 0, 0xff, 0xd0]));
        assert!(ends_with_call(&[0, 0, 0, 0, 0xff, 0x50, 8]));
        assert!(ends_with_call(&[0, 0, 0, 0, 0x41, 0xff, 0xd4]));
        // jmp *%rax; nops
        assert!(!ends_with_call(&[0, 0, 0, 0, 0, 0xff, 0xe0]));
        assert!(!ends_with_call(&[0x90; 7]));
    }

    #[test]
    fn memory_is_read_as_far_as_it_goes() {
        let own = std::process::id() as i32;
        let word = 0x1234_5678_9abc_def0_u64;
        let mut copy = StackCopy::of(own, (&raw const word) as u64);
        assert_eq!(copy.word((&raw const word) as u64), Some(word));
        assert_eq!(copy.word(8), None);
        assert_eq!(read_memory(own, 16, &mut [0; 8]), 0);
    }
}
