//! One process's code, and stacks unwound in it.
//!
//! What looks like a frame and is none is worse than no frame: a return address counts only where code is
//! mapped and the instruction before it is a call. Behind the first that is none the stack ends.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use framehop::{
    CacheNative, FrameAddress, MayAllocateDuringUnwind, UnwindRegsNative, Unwinder, UnwinderNative,
};

use super::go::{Behind, Table};
use super::interner::Interner;
use super::memory::{Pages, Seen, StackCopy, read_memory};
use super::module::{CodeMapping, Module};
use super::python::{Interpreter, Native, PythonFrames, Why, merge};
use super::table::FRAMES_MAX;

/// How many stacks of one process are known by their return addresses.
const REMEMBERED: usize = 1 << 16;
/// How many Python stacks of one thread and the same native frames are known by what was read, and how many
/// bytes of all of them.
const SEEN_EACH: usize = 4;
const SEEN_SIZE: usize = 32 << 20;

/// Where a thread is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) ip: u64,
    pub(super) sp: u64,
    pub(super) bp: u64,
}

/// A thread that has stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped {
    pub(super) tid: i32,
    /// Its number in its own PID namespace.
    pub(super) own: u32,
    pub(super) at: Place,
}

/// Where calls return to, innermost first, and whether these are all.
type Returns = (Vec<u64>, bool);

/// The native frames of a stack.
struct NativeStack {
    frames: Vec<Native>,
    /// They go on to where the thread began.
    whole: bool,
}

/// What a stack is known by: its call, its native frames, and what is known of its Python ones.
type StackKey = (&'static str, u32, Option<Result<PythonStack, Why>>);

/// Python frames by their numbers, in groups, and whether there are more.
type PythonStack = (Vec<Vec<u32>>, bool);

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
    /// Native frames by their return addresses, each with a number.
    native: HashMap<Returns, (u32, Rc<NativeStack>)>,
    stacks: HashMap<StackKey, u32>,
    /// What runs Python code in it.
    python: Option<Interpreter>,
    /// Python frames that were read before, and of what, by the thread and its native frames.
    python_seen: HashMap<(u32, u32), Vec<(Seen, PythonStack)>>,
    /// How many bytes these keep.
    python_size: usize,
    scratch: Vec<u8>,
    /// What is known of addresses of Go: whether they are such, and what is behind them.
    go_known: HashMap<(u64, bool), Option<Behind>>,
    /// Its Go functions: where they are mapped, what their own addresses are moved by.
    go: Vec<(Range<u64>, u64, Arc<Table>)>,
    /// Which of its frames are not as sure as others, and why.
    note: Option<String>,
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
            native: HashMap::new(),
            stacks: HashMap::new(),
            python: None,
            python_seen: HashMap::new(),
            python_size: 0,
            scratch: Vec::new(),
            go_known: HashMap::new(),
            go: Vec::new(),
            note: None,
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
        stopped: Stopped,
        call: &'static str,
        interner: &Interner,
    ) -> u32 {
        if self.stale && self.read_mappings(stopped.tid, interner).is_none() {
            return interner.stack(call, Vec::new(), None);
        }
        let returns = self.unwind(stopped);
        let (number, native) = self.native(stopped.tid, returns, interner);
        let python = self.python(stopped, (number, &native), interner);
        let key = (call, number, python);
        if let Some(known) = self.stacks.get(&key) {
            return *known;
        }
        let plain = || native.frames.iter().map(|one| one.number).collect();
        let (frames, note) = match (&key.2, &self.python) {
            (Some(Ok((groups, cut))), Some(interpreter)) => {
                match merge((&native.frames, native.whole), (groups, *cut)) {
                    Some(merged) => (merged, None),
                    None => (
                        plain(),
                        Some(interpreter.why("they do not fit the native ones")),
                    ),
                }
            }
            (Some(Err(why)), _) => (plain(), Some(why.clone())),
            _ => (plain(), self.note.clone()),
        };
        let frames = frames.into_iter().take(FRAMES_MAX).collect();
        let number = interner.stack(call, frames, note);
        if self.stacks.len() >= REMEMBERED {
            self.stacks.clear();
        }
        self.stacks.insert(key, number);
        number
    }

    /// Where the calls of a thread return to.
    fn unwind(&mut self, stopped: Stopped) -> Returns {
        let at = stopped.at;
        let mut memory = StackCopy::of(stopped.tid, at.sp);
        let mut read = |address| memory.word(address).ok_or(());
        let mut regs = UnwindRegsNative::new(at.ip, at.sp, at.bp);
        let mut addresses = Vec::with_capacity(32);
        let mut here = FrameAddress::from_instruction_pointer(at.ip);
        while addresses.len() < FRAMES_MAX {
            addresses.push(here.address());
            let innermost = addresses.len() == 1;
            let behind = match self.go(here.address(), innermost) {
                Some(behind) => go_return(behind, &mut regs, &mut read),
                None => {
                    let unwinder = &self.unwinder;
                    unwinder
                        .unwind_frame(here, &mut regs, &mut self.cache, &mut read)
                        .map_err(drop)
                }
            };
            // A goroutine was started by no call of the function that it is said to return to.
            let mut begins = |address: &u64| self.go(*address, false) == Some(Behind::Nothing);
            let next = behind.map(|address| address.filter(|one| !begins(one)));
            here = match next.map(|one| one.and_then(FrameAddress::from_return_address)) {
                Ok(Some(next)) => next,
                end => return (addresses, end.is_ok()),
            };
        }
        (addresses, false)
    }

    /// What is behind the frame of a Go function that is at this address, or returns to it; none where it is
    /// in no such function.
    fn go(&mut self, address: u64, innermost: bool) -> Option<Behind> {
        if self.go.is_empty() {
            return None;
        }
        let key = (address, innermost);
        if let Some(known) = self.go_known.get(&key) {
            return *known;
        }
        let within = address.wrapping_sub(u64::from(!innermost));
        let mut parts = self.go.iter();
        let part = parts.find(|(range, ..)| range.contains(&within));
        let part = part.filter(|(_, bias, table)| table.has(within.wrapping_sub(*bias)));
        let behind =
            part.map(|(_, bias, table)| table.behind(address.wrapping_sub(*bias), innermost));
        if self.go_known.len() >= REMEMBERED {
            self.go_known.clear();
        }
        self.go_known.insert(key, behind);
        behind
    }

    /// The frames of these addresses, up to the first that is none.
    fn native(
        &mut self,
        tid: i32,
        returns: Returns,
        interner: &Interner,
    ) -> (u32, Rc<NativeStack>) {
        if let Some((number, native)) = self.native.get(&returns) {
            return (*number, Rc::clone(native));
        }
        let (addresses, ends) = &returns;
        let mut frames = Vec::with_capacity(addresses.len());
        for (at, address) in addresses.iter().enumerate() {
            let Some(number) = self.frame(tid, *address, at == 0, interner) else {
                break;
            };
            let python = self.python.as_ref();
            let evaluates = at > 0 && python.is_some_and(|python| python.evaluates(*address));
            frames.push(Native { number, evaluates });
        }
        let whole = *ends && frames.len() == addresses.len();
        let native = Rc::new(NativeStack { frames, whole });
        if self.native.len() >= REMEMBERED {
            // What stands for a stack there is of these.
            self.native.clear();
            self.stacks.clear();
            self.python_seen.clear();
            self.python_size = 0;
        }
        let number = self.native.len() as u32;
        let known = (number, Rc::clone(&native));
        self.native.insert(returns, known);
        (number, native)
    }

    /// The Python frames of a thread; none where it runs no Python code.
    fn python(
        &mut self,
        stopped: Stopped,
        (number, native): (u32, &NativeStack),
        interner: &Interner,
    ) -> Option<Result<PythonStack, Why>> {
        let interpreter = self.python.as_mut()?;
        let loops = native.frames.iter().filter(|one| one.evaluates).count();
        if loops == 0 && native.whole {
            return None;
        }
        let before = self.python_seen.entry((stopped.own, number)).or_default();
        let same = |(seen, _): &(Seen, _)| seen.is_there(stopped.tid, &mut self.scratch);
        if let Some(at) = before.iter().position(same) {
            let (_, known) = &before[at];
            return Some(Ok(known.clone()));
        }
        let read = |from: u64, into: &mut [u8]| read_memory(stopped.tid, from, into);
        let mut memory = Pages::new(read);
        let mut found = interpreter.frames(stopped.own, &mut memory);
        // A thread may have been given another place in the interpreter, where it is not looked for at first.
        let fits = |found: &Result<_, _>| {
            let groups = |frames: &PythonFrames| frames.cut || frames.groups.len() >= loops;
            found.as_ref().is_ok_and(groups)
        };
        if !fits(&found) && interpreter.forget(stopped.own) {
            found = interpreter.frames(stopped.own, &mut memory);
        }
        let known = found.and_then(|frames| {
            let numbers = interner.python(&frames.groups);
            let numbers = numbers.ok_or_else(|| interpreter.why("there are too many"))?;
            Ok((numbers, frames.cut))
        });
        if let Ok(known) = &known
            && let Some(seen) = memory.seen()
        {
            self.python_size += seen.len();
            if before.len() == SEEN_EACH {
                self.python_size -= before.remove(0).0.len();
            }
            before.push((seen, known.clone()));
            if self.python_size > SEEN_SIZE || self.python_seen.len() > REMEMBERED {
                self.python_seen.clear();
                self.python_size = 0;
            }
        }
        Some(known)
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
            self.note_runtime(mapping, module.as_deref().zip(bias));
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

    /// Notes the first interpreter that is mapped, and all code of Go.
    fn note_runtime(&mut self, mapping: &CodeMapping, module: Option<(&Module, u64)>) {
        let Some((module, bias)) = module else { return };
        if let Some(symbols) = &module.python
            && self.python.is_none()
        {
            self.python = Some(Interpreter::new(symbols.clone(), bias, &mapping.path));
        }
        match &module.go {
            Some(Ok(table)) => {
                let range = mapping.from..mapping.to;
                self.go.push((range, bias, Arc::clone(table)));
            }
            Some(Err(why)) => {
                let name = mapping.path.rsplit('/').next().unwrap_or_default();
                self.note = Some(format!("{name} is unwound by frame pointers alone: {why}"));
            }
            None => {}
        }
    }

    fn add(&mut self, module: &Module, mapping: &CodeMapping, bias: u64) {
        let range = mapping.from..mapping.to;
        self.unwinder.add_module(module.for_unwinder(range, bias));
    }
}

/// Where the frame of a Go function returns to, with the registers as they are then; none inside where it is
/// the first of its stack.
fn go_return(
    behind: Behind,
    regs: &mut UnwindRegsNative,
    read: &mut impl FnMut(u64) -> Result<u64, ()>,
) -> Result<Option<u64>, ()> {
    let size = match behind {
        Behind::ReturnsAt(size) => size,
        Behind::Nothing => return Ok(None),
        Behind::Unknown => return Err(()),
    };
    let at = regs.sp().checked_add(size).ok_or(())?;
    let returns_to = read(at)?;
    regs.set_sp(at.checked_add(8).ok_or(())?);
    regs.set_ip(returns_to);
    Ok(Some(returns_to))
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
}
