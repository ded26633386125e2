//! Who made which operation, as it is kept with a trace: return addresses as module and offset, each stack
//! once, with the names that were found for them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The most frames of one stack.
pub(super) const FRAMES_MAX: usize = 128;
/// The most modules, frames and stacks that are read from a file of somebody else's.
const MODULES_MAX: usize = 1 << 16;
const TABLE_MAX: usize = 1 << 22;

/// The callers of a trace's operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stacks {
    /// The files that code was loaded from.
    modules: Vec<StackModule>,
    frames: Vec<StackFrame>,
    stacks: Vec<CallStack>,
    /// In order of `seq`.
    operations: Vec<Made>,
}

/// A file that code was loaded from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackModule {
    /// Its path in the sandbox; `[anonymous]` for code that was made while the program ran, with addresses
    /// in place of offsets.
    pub path: String,
    /// Its build ID in hex, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// What kind of code it has.
    #[serde(default, skip_serializing_if = "CodeKind::is_native")]
    pub kind: CodeKind,
}

/// What kind of code a module has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeKind {
    /// Instructions of the machine.
    #[default]
    Native,
    /// The same, of an interpreter whose own frames are known: those of its evaluation loop are left out,
    /// for what it ran stands in their place.
    Interpreter,
    /// A source file of Python. Offsets are those in the code of a function.
    Python,
}

impl CodeKind {
    fn is_native(&self) -> bool {
        *self == Self::Native
    }
}

/// A place in a module that a call was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFrame {
    /// The number of its module.
    module: u32,
    /// Where the call returns to, as the module's own symbols count.
    pub offset: u64,
    /// The functions there, innermost first: several where some are inlined; none where no name is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<SourceCall>,
}

/// A function that called something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCall {
    /// Its name.
    pub function: String,
    /// The source file, where there is debug information.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// How an operation came to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MadeHow {
    /// The thread made the call.
    Called,
    /// What was stored in a mapping, written back by a call that waits for that. Who stored it is not known.
    WrittenBack,
    /// What was stored in a mapping, written back because plugpull asked the kernel to. No stack.
    OwnWriteBack,
    /// It was handed over to the kernel, which made it while the thread handed it over.
    Submitted,
}

/// A call, and where it was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct CallStack {
    /// As strace shows it.
    pub(super) call: Cow<'static, str>,
    /// Numbers of frames, innermost first; none where the stack could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) frames: Vec<u32>,
    /// What is missing in it and why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// Who made one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Made {
    /// The operation's number.
    pub(super) seq: u64,
    /// How it came to be made.
    pub(super) how: MadeHow,
    /// The number of its call's stack; none where no process made a call for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stack: Option<u32>,
}

/// The stack of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a> {
    /// How the operation came to be made.
    pub how: MadeHow,
    call: Option<&'a CallStack>,
    of: &'a Stacks,
}

impl Stacks {
    pub(super) fn new(
        modules: Vec<StackModule>,
        frames: Vec<StackFrame>,
        stacks: Vec<CallStack>,
        mut operations: Vec<Made>,
    ) -> Self {
        operations.sort_unstable_by_key(|made| made.seq);
        Self {
            modules,
            frames,
            stacks,
            operations,
        }
    }

    /// Who made the operation of this number; none where that is not known.
    pub fn stack_of(&self, seq: u64) -> Option<Stack<'_>> {
        let at = self.operations.binary_search_by_key(&seq, |made| made.seq);
        let made = self.operations.get(at.ok()?)?;
        Some(Stack {
            how: made.how,
            call: made.stack.and_then(|stack| self.stacks.get(stack as usize)),
            of: self,
        })
    }

    /// Of how many operations something is known, and how many different stacks there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.operations.len(), self.stacks.len())
    }

    /// Whether what was read from a file holds together, for a trace of so many operations. The error says
    /// what does not.
    pub fn check(&self, operations: u64) -> Result<(), String> {
        let tables = [
            self.frames.len(),
            self.stacks.len(),
            self.operations.len() >> 3,
        ];
        if self.modules.len() > MODULES_MAX || tables.iter().any(|len| *len > TABLE_MAX) {
            return Err("more stacks than a program has".into());
        }
        let modules = self.modules.len() as u32;
        let module = |frame: &StackFrame| frame.module < modules;
        let known = |stack: &CallStack| {
            let frame = |number: &u32| (*number as usize) < self.frames.len();
            stack.frames.len() <= FRAMES_MAX && stack.frames.iter().all(frame)
        };
        if !self.frames.iter().all(module) || !self.stacks.iter().all(known) {
            return Err("a stack of frames that it does not have".into());
        }
        let stack = |made: &Made| {
            let number = made.stack.unwrap_or(0) as usize;
            made.seq < operations && (made.stack.is_none() || number < self.stacks.len())
        };
        let sorted = self.operations.is_sorted_by(|a, b| a.seq < b.seq);
        match sorted && self.operations.iter().all(stack) {
            true => Ok(()),
            false => Err("stacks of operations that it does not have".into()),
        }
    }

    /// Without the operations from this number on.
    pub fn cut(&mut self, seq: u64) {
        self.operations.retain(|made| made.seq < seq);
    }
}

impl<'a> Stack<'a> {
    /// The call, as strace shows it; none where no process made one.
    pub fn call(&self) -> Option<&'a str> {
        self.call.map(|one| &*one.call)
    }

    /// What is missing in it and why, for people: `no Python frames of python3.9: ...`.
    pub fn note(&self) -> Option<&'a str> {
        self.call?.note.as_deref()
    }

    /// Its frames with their modules, innermost first; none where no stack is known.
    pub fn frames(&self) -> impl Iterator<Item = (&'a StackFrame, &'a StackModule)> + use<'a> {
        let of = self.of;
        let frames = self.call.into_iter().flat_map(|one| &one.frames);
        frames.filter_map(move |number| {
            let frame = of.frames.get(*number as usize)?;
            Some((frame, of.modules.get(frame.module as usize)?))
        })
    }
}

impl StackFrame {
    pub(super) fn new(module: u32, offset: u64) -> Self {
        Self {
            module,
            offset,
            calls: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Stacks {
        let module = StackModule {
            path: "/bin/a".into(),
            build_id: None,
            kind: CodeKind::Native,
        };
        let made = |seq, stack| Made {
            seq,
            how: MadeHow::Called,
            stack,
        };
        Stacks::new(
            vec![module],
            vec![StackFrame::new(0, 16), StackFrame::new(0, 32)],
            vec![CallStack {
                call: "write".into(),
                frames: vec![1, 0],
                note: None,
            }],
            vec![made(5, Some(0)), made(3, None)],
        )
    }

    #[test]
    fn an_operation_has_its_stack_or_none() {
        let stacks = sound();
        assert_eq!(stacks.check(6), Ok(()));
        let offsets = |seq| {
            let stack = stacks.stack_of(seq)?;
            Some(stack.frames().map(|(frame, _)| frame.offset).collect())
        };
        assert_eq!(offsets(5), Some(vec![32, 16]));
        assert_eq!(offsets(3), Some(Vec::new()));
        assert_eq!(offsets(4), None::<Vec<u64>>);
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        assert!(sound().check(5).is_err(), "an operation too many");
        let broken = |change: fn(&mut Stacks)| {
            let mut stacks = sound();
            change(&mut stacks);
            stacks.check(6).is_err()
        };
        assert!(broken(|one| one.stacks[0].frames[0] = 2));
        assert!(broken(|one| one.frames[1].module = 1));
        assert!(broken(|one| one.operations[1].stack = Some(1)));
        assert!(broken(|one| one.operations.swap(0, 1)));
        assert!(broken(|one| one.stacks[0].frames = vec![0; FRAMES_MAX + 1]));
        assert!(broken(|one| {
            let module = one.modules[0].clone();
            one.modules = vec![module; MODULES_MAX + 1];
        }));
    }
}
