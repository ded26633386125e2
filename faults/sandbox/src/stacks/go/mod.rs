//! The functions of a Go program, from the table that it carries for its own runtime (`.gopclntab`).
//!
//! It is there also in a program that was stripped: for each function its name, and for each instruction the
//! file, the line, the functions that are inlined there, and how far the stack pointer is from the return
//! address. So stacks are unwound as Go's own runtime does it (`runtime/symtab.go`, `runtime/traceback.go`),
//! and not by frame pointers. The file is the target's: each place in it is held to its end.

mod find;
mod values;

use std::sync::Arc;

use super::table::SourceCall;
use values::{half, value_at, word};

/// The most functions that are inlined into each other.
const INLINED_MAX: usize = 32;
/// The longest name of a function or a file, in bytes.
const NAME_MAX: usize = 1024;
/// The largest frame, in bytes.
const FRAME_MAX: i32 = 1 << 30;

/// Of `internal/abi/symtab.go`: it is where a stack begins.
const TOP_FRAME: u8 = 1;
/// It gives the stack pointer another value, which the table does not have.
const WRITES_SP: u8 = 2;
/// The tables of inlined calls: which of them it is, and what they say.
const INLINED_INDEX: u32 = 2;
const INLINED_TREE: u32 = 3;

/// What differs between versions: sizes of `_func` and `inlinedCall`, and where they have what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TableFormat {
    /// How the table begins.
    magic: u32,
    /// Of a function: its identity, behind which are its flags and the number of its tables.
    identity: usize,
    function: usize,
    /// Of an inlined call.
    inlined: usize,
    inlined_name: usize,
    inlined_parent: usize,
    /// Where `moduledata` has the begin of `go.func.*`.
    module_functions: u64,
}

impl TableFormat {
    /// That of Go 1.`minor`; none where it is not known.
    fn of(minor: u32) -> Option<Self> {
        let later = Self {
            magic: 0xffff_fff1,
            identity: 40,
            function: 44,
            inlined: 16,
            inlined_name: 4,
            inlined_parent: 8,
            module_functions: 320,
        };
        match minor {
            18 | 19 => Some(Self {
                magic: 0xffff_fff0,
                identity: 36,
                function: 40,
                inlined: 20,
                inlined_name: 12,
                inlined_parent: 16,
                module_functions: 304,
            }),
            20..=26 => Some(later),
            27 => Some(Self {
                module_functions: 344,
                ..later
            }),
            _ => None,
        }
    }
}

/// The table of one program.
pub(super) struct Table {
    format: TableFormat,
    data: Arc<[u8]>,
    /// `go.func.*`, in which the trees of inlined calls are.
    trees: Arc<[u8]>,
    /// Where the code begins that its distances are from.
    text: u64,
    functions: usize,
    /// Parts of the data: names of functions, numbers of files, names of files, values, functions.
    names_at: usize,
    units_at: usize,
    files_at: usize,
    values_at: usize,
    functions_at: usize,
}

/// A function of it.
#[derive(Clone, Copy, Debug)]
struct Function {
    /// Where it is in the data, and where its code begins, from the begin of all code.
    at: usize,
    entry: u32,
}

/// What is behind a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// The address that it returns to, so many bytes above its stack pointer.
    ReturnsAt(u64),
    /// Nothing: a goroutine or a thread begins with it.
    Nothing,
    /// That is not known.
    Unknown,
}

impl Table {
    fn new(format: TableFormat, (data, trees): (Arc<[u8]>, Arc<[u8]>), text: u64) -> Option<Self> {
        // pcHeader: magic, two of padding, the quantum, the size of a pointer, then words.
        if half(&data, 0)? != format.magic || data.get(4..8)? != [0, 0, 1, 8] {
            return None;
        }
        let place = |number: usize| usize::try_from(word(&data, 8 * number)?).ok();
        let begins = word(&data, 24)?;
        if begins != 0 && begins != text {
            return None;
        }
        let table = Self {
            format,
            trees,
            text,
            functions: place(1)?,
            names_at: place(4)?,
            units_at: place(5)?,
            files_at: place(6)?,
            values_at: place(7)?,
            functions_at: place(8)?,
            data,
        };
        let room = table.data.len().checked_sub(table.functions_at)? / 8;
        (table.functions < room).then_some(table)
    }

    /// Whether an address of its own is in its code.
    pub(super) fn has(&self, address: u64) -> bool {
        self.function(address).is_some()
    }

    /// What is behind the frame of a thread that is at this address, or returns to it.
    pub(super) fn behind(&self, address: u64, innermost: bool) -> Behind {
        let looked_up = address.wrapping_sub(u64::from(!innermost));
        let Some((function, _)) = self.function(looked_up) else {
            return Behind::Unknown;
        };
        let flags = self.data.get(function.at + self.format.identity + 1);
        match flags {
            Some(flags) if flags & TOP_FRAME != 0 => return Behind::Nothing,
            Some(flags) if flags & WRITES_SP == 0 => {}
            _ => return Behind::Unknown,
        }
        let size = self
            .offset(address)
            .and_then(|at| self.value(function, 16, at));
        match size {
            Some(size @ 0..=FRAME_MAX) => Behind::ReturnsAt(size as u64),
            _ => Behind::Unknown,
        }
    }

    /// The functions at an address, innermost first: itself, and what is inlined there. None where they are
    /// not known.
    pub(super) fn calls(&self, address: u64) -> Vec<SourceCall> {
        self.find_calls(address).unwrap_or_default()
    }

    fn find_calls(&self, address: u64) -> Option<Vec<SourceCall>> {
        let (function, mut at) = self.function(address)?;
        let mut calls = Vec::new();
        for _ in 0..INLINED_MAX {
            let inlined = self.inlined_at(function, at)?;
            let name = match inlined {
                Some((name, _)) => name,
                None => half(&self.data, function.at + 4)? as usize,
            };
            calls.push(self.call(function, name, at)?);
            match inlined {
                // Where the function that it is inlined in calls it.
                Some((_, parent)) => at = function.entry.checked_add(parent)?,
                None => return Some(calls),
            }
        }
        None
    }

    fn call(&self, function: Function, name: usize, at: u32) -> Option<SourceCall> {
        let line = self.value(function, 24, at);
        Some(SourceCall {
            function: self.text_at(self.names_at.checked_add(name)?)?,
            file: self.file(function, at),
            line: line.and_then(|line| u32::try_from(line).ok()),
        })
    }

    fn file(&self, function: Function, at: u32) -> Option<String> {
        let number = usize::try_from(self.value(function, 20, at)?).ok()?;
        let unit = half(&self.data, function.at + 32)? as usize;
        let place = self.units_at.checked_add(4 * unit.checked_add(number)?)?;
        let name = half(&self.data, place)? as usize;
        self.text_at(self.files_at.checked_add(name)?)
    }

    /// Name and caller's place of the function that is inlined there; none inside where none is.
    fn inlined_at(&self, function: Function, at: u32) -> Option<Option<(usize, u32)>> {
        let tables = half(&self.data, function.at + 28)?;
        let own = function.at + self.format.function;
        if INLINED_INDEX >= tables {
            return Some(None);
        }
        let values = half(&self.data, own + 4 * INLINED_INDEX as usize)?;
        let number = match self.value_of(function, values, at) {
            None | Some(..0) => return Some(None),
            Some(number) => number as usize,
        };
        let more = *self.data.get(function.at + self.format.identity + 3)?;
        if INLINED_TREE >= u32::from(more) {
            return None;
        }
        let place = own.checked_add(4 * (tables as usize).checked_add(INLINED_TREE as usize)?)?;
        let tree = half(&self.data, place)?;
        let one = (tree as usize).checked_add(number.checked_mul(self.format.inlined)?)?;
        let name = half(&self.trees, one.checked_add(self.format.inlined_name)?)?;
        let parent = half(&self.trees, one.checked_add(self.format.inlined_parent)?)?;
        Some(Some((name as usize, parent)))
    }

    /// From the begin of all code.
    fn offset(&self, address: u64) -> Option<u32> {
        u32::try_from(address.checked_sub(self.text)?).ok()
    }

    /// The function at an address, and how far that is from the begin of all code.
    fn function(&self, address: u64) -> Option<(Function, u32)> {
        let at = self.offset(address)?;
        // Pairs of where the code and the function are; the last is where the code ends.
        let entry = |number: usize| half(&self.data, self.functions_at + 8 * number);
        let (mut low, mut high) = (0, self.functions);
        if at >= entry(self.functions)? {
            return None;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match entry(middle)? <= at {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let number = low.checked_sub(1)?;
        let own = half(&self.data, self.functions_at + 8 * number + 4)? as usize;
        let function = Function {
            at: self.functions_at.checked_add(own)?,
            entry: entry(number)?,
        };
        // It says the same of itself.
        (half(&self.data, function.at)? == function.entry).then_some((function, at))
    }

    /// What the table says at an instruction whose place is in this field of the function.
    fn value(&self, function: Function, field: usize, at: u32) -> Option<i32> {
        self.value_of(function, half(&self.data, function.at + field)?, at)
    }

    fn value_of(&self, function: Function, values: u32, at: u32) -> Option<i32> {
        if values == 0 {
            return None;
        }
        let from = self.values_at.checked_add(values as usize)?;
        value_at(self.data.get(from..)?, at.checked_sub(function.entry)?)
    }

    fn text_at(&self, at: usize) -> Option<String> {
        let bytes = self.data.get(at..)?;
        let len = bytes
            .iter()
            .take(NAME_MAX + 1)
            .position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }
}

#[cfg(test)]
mod tests;
