//! Modules, frames and stacks of all traced processes, each once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer};
use parking_lot::Mutex;

use super::module::{CodeMapping, FileKey, Module, open};
use super::table::{CallStack, Made, SourceCall, StackFrame, StackModule, Stacks};

/// The most files that are kept open.
const FILES_MAX: usize = 512;
/// The most different stacks that are kept with their frames.
const STACKS_MAX: usize = 1 << 18;

#[derive(Default)]
pub(super) struct Interner(Mutex<Known>);

#[derive(Default)]
struct Known {
    modules: Vec<(StackModule, Option<Arc<Module>>)>,
    files: HashMap<FileKey, u32>,
    /// Those without a file that could be read, by path.
    paths: HashMap<String, u32>,
    frames: HashMap<(u32, u64), u32>,
    stacks: HashMap<CallStack, u32>,
}

impl Interner {
    /// The module of a mapped file, read the first time that it is seen.
    pub(super) fn module(&self, tid: i32, mapping: &CodeMapping) -> (u32, Option<Arc<Module>>) {
        let mut known = self.0.lock();
        let Some((key, file)) = open(tid, mapping) else {
            return (known.path(&mapping.path), None);
        };
        if let Some(number) = known.files.get(&key) {
            let module = known.modules.get(*number as usize);
            return (*number, module.and_then(|(_, module)| module.clone()));
        }
        let room = known.files.len() < FILES_MAX;
        let module = room.then(|| Module::read(&mapping.path, key, file));
        let Some(module) = module.flatten().map(Arc::new) else {
            return (known.path(&mapping.path), None);
        };
        let number = known.modules.len() as u32;
        let about = module.about.clone();
        known.modules.push((about, Some(Arc::clone(&module))));
        known.files.insert(key, number);
        (number, Some(module))
    }

    /// The module of code that is in no file.
    pub(super) fn anonymous(&self, mapping: &CodeMapping) -> (u32, Option<Arc<Module>>) {
        let name = match mapping.path.as_str() {
            "" => "[anonymous]",
            name => name,
        };
        (self.0.lock().path(name), None)
    }

    pub(super) fn frame(&self, module: u32, offset: u64) -> u32 {
        let frames = &mut self.0.lock().frames;
        let next = frames.len() as u32;
        *frames.entry((module, offset)).or_insert(next)
    }

    pub(super) fn stack(&self, call: &'static str, frames: Vec<u32>) -> u32 {
        let stacks = &mut self.0.lock().stacks;
        let next = stacks.len() as u32;
        let call = call.into();
        let mut stack = CallStack { call, frames };
        if stacks.len() >= STACKS_MAX && !stacks.contains_key(&stack) {
            stack.frames.clear();
        }
        *stacks.entry(stack).or_insert(next)
    }

    /// All of it, with names for what has one, beside the operations that it is about.
    pub(super) fn finish(&self, operations: Vec<Made>) -> Stacks {
        let known = std::mem::take(&mut *self.0.lock());
        let mut places: Vec<_> = known.frames.into_iter().collect();
        places.sort_unstable_by_key(|(_, number)| *number);
        let frame = |((module, offset), _): &((u32, u64), u32)| StackFrame::new(*module, *offset);
        let mut frames: Vec<StackFrame> = places.iter().map(frame).collect();
        let mut by_module: HashMap<u32, Vec<usize>> = HashMap::new();
        for (at, ((module, _), _)) in places.iter().enumerate() {
            by_module.entry(*module).or_default().push(at);
        }
        let symbolizer = Symbolizer::new();
        for (number, at) in by_module {
            let module = known.modules.get(number as usize);
            let Some((_, Some(module))) = module else {
                continue;
            };
            // The call is before the place that it returns to.
            let offsets: Vec<u64> = at
                .iter()
                .map(|at| places[*at].0.1.wrapping_sub(1))
                .collect();
            let names = names(&symbolizer, &module.path_here(), &offsets);
            for (at, calls) in at.into_iter().zip(names) {
                frames[at].calls = calls;
            }
        }
        let mut stacks: Vec<_> = known.stacks.into_iter().collect();
        stacks.sort_unstable_by_key(|(_, number)| *number);
        let stacks = stacks.into_iter().map(|(stack, _)| stack).collect();
        let modules = known.modules.into_iter().map(|(about, _)| about).collect();
        Stacks::new(modules, frames, stacks, operations)
    }
}

impl Known {
    fn path(&mut self, path: &str) -> u32 {
        if let Some(number) = self.paths.get(path) {
            return *number;
        }
        let number = self.modules.len() as u32;
        let about = StackModule {
            path: path.into(),
            build_id: None,
        };
        self.modules.push((about, None));
        self.paths.insert(path.into(), number);
        number
    }
}

/// The functions at each of these places of a file; none where it has no names, or is damaged.
fn names(symbolizer: &Symbolizer, path: &Path, offsets: &[u64]) -> Vec<Vec<SourceCall>> {
    let source = Source::Elf(Elf::new(path));
    match symbolizer.symbolize(&source, Input::VirtOffset(offsets)) {
        Ok(found) => found.iter().map(calls).collect(),
        Err(_) => Vec::new(),
    }
}

fn calls(found: &Symbolized<'_>) -> Vec<SourceCall> {
    let Symbolized::Sym(symbol) = found else {
        return Vec::new();
    };
    let Sym {
        name,
        code_info,
        inlined,
        ..
    } = symbol;
    let outer = source_call(name, code_info.as_deref());
    let inner = inlined.iter();
    let inner = inner.map(|one| source_call(&one.name, one.code_info.as_ref()));
    let mut calls: Vec<_> = std::iter::once(outer).chain(inner).collect();
    calls.reverse();
    calls
}

fn source_call(name: &str, at: Option<&CodeInfo<'_>>) -> SourceCall {
    SourceCall {
        function: name.into(),
        file: at.map(|at| at.to_path().to_string_lossy().into_owned()),
        line: at.and_then(|at| at.line),
    }
}
