//! Modules, frames and stacks of all traced processes, each once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer};
use parking_lot::Mutex;

use super::module::{CodeMapping, FileKey, Module, open};
use super::python::PythonFrame;
use super::table::{CallStack, CodeKind, Made, SourceCall, StackFrame, StackModule, Stacks};

/// The most files that are kept open.
const FILES_MAX: usize = 512;
/// The most different stacks that are kept with their frames.
const STACKS_MAX: usize = 1 << 18;
/// The most different Python frames that are kept, and the most files that they are of.
const PYTHON_FRAMES_MAX: usize = 1 << 16;
const PYTHON_FILES_MAX: usize = 1 << 12;

#[derive(Default)]
pub(super) struct Interner(Mutex<Known>);

#[derive(Default)]
struct Known {
    modules: Vec<(StackModule, Option<Arc<Module>>)>,
    files: HashMap<FileKey, u32>,
    /// Those without a file that could be read, by path.
    paths: HashMap<String, u32>,
    /// Files of Python code, by name.
    sources: HashMap<String, u32>,
    frames: HashMap<(u32, u64), u32>,
    python: HashMap<PythonFrame, u32>,
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
        let mut known = self.0.lock();
        let next = known.next_frame();
        *known.frames.entry((module, offset)).or_insert(next)
    }

    /// The frames of Python code, one group after the other; none where there are too many different ones.
    pub(super) fn python(&self, groups: &[Vec<PythonFrame>]) -> Option<Vec<Vec<u32>>> {
        let mut known = self.0.lock();
        let numbered = groups.iter().map(|group| {
            let frames = group.iter().map(|frame| {
                if let Some(number) = known.python.get(frame) {
                    return Some(*number);
                }
                let next = known.next_frame();
                let room = known.python.len() < PYTHON_FRAMES_MAX;
                room.then(|| known.python.insert(frame.clone(), next))?;
                Some(next)
            });
            frames.collect()
        });
        numbered.collect()
    }

    pub(super) fn stack(&self, call: &'static str, frames: Vec<u32>, note: Option<String>) -> u32 {
        let stacks = &mut self.0.lock().stacks;
        let next = stacks.len() as u32;
        let call = call.into();
        let mut stack = CallStack { call, frames, note };
        if stacks.len() >= STACKS_MAX && !stacks.contains_key(&stack) {
            stack.frames.clear();
        }
        *stacks.entry(stack).or_insert(next)
    }

    /// All of it, with names for what has one, beside the operations that it is about.
    pub(super) fn finish(&self, operations: Vec<Made>) -> Stacks {
        let mut known = std::mem::take(&mut *self.0.lock());
        let python = known.python_frames();
        let mut places: Vec<_> = known.frames.into_iter().collect();
        places.sort_unstable_by_key(|(_, number)| *number);
        let native = places.iter();
        let native = native.map(|((module, offset), at)| (*at, StackFrame::new(*module, *offset)));
        let mut frames: Vec<(u32, StackFrame)> = native.collect();
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
            let names = module_names(&symbolizer, module, &offsets);
            for (at, calls) in at.into_iter().zip(names) {
                frames[at].1.calls = calls;
            }
        }
        frames.extend(python);
        frames.sort_unstable_by_key(|(number, _)| *number);
        let frames = frames.into_iter().map(|(_, frame)| frame).collect();
        let mut stacks: Vec<_> = known.stacks.into_iter().collect();
        stacks.sort_unstable_by_key(|(_, number)| *number);
        let stacks = stacks.into_iter().map(|(stack, _)| stack).collect();
        let modules = known.modules.into_iter().map(|(about, _)| about).collect();
        Stacks::new(modules, frames, stacks, operations)
    }
}

impl Known {
    /// The number of the next frame, of either kind.
    fn next_frame(&self) -> u32 {
        (self.frames.len() + self.python.len()) as u32
    }

    /// The frames of Python code, with their names and the modules that they are of.
    fn python_frames(&mut self) -> Vec<(u32, StackFrame)> {
        let mut python: Vec<_> = std::mem::take(&mut self.python).into_iter().collect();
        python.sort_unstable_by_key(|(_, number)| *number);
        let named = python.into_iter().map(|(frame, number)| {
            let module = self.source(&frame.file);
            let mut named = StackFrame::new(module, frame.offset.into());
            named.calls.push(SourceCall {
                function: frame.function.to_string(),
                file: Some(frame.file.to_string()),
                line: frame.line,
            });
            (number, named)
        });
        named.collect()
    }

    /// The module of a file of Python code.
    fn source(&mut self, file: &str) -> u32 {
        let name = match self.sources.len() < PYTHON_FILES_MAX || self.sources.contains_key(file) {
            true => file,
            false => "[more files]",
        };
        if let Some(number) = self.sources.get(name) {
            return *number;
        }
        let number = self.modules.len() as u32;
        let about = StackModule {
            path: name.into(),
            build_id: None,
            kind: CodeKind::Python,
        };
        self.modules.push((about, None));
        self.sources.insert(name.into(), number);
        number
    }

    fn path(&mut self, path: &str) -> u32 {
        if let Some(number) = self.paths.get(path) {
            return *number;
        }
        let number = self.modules.len() as u32;
        let about = StackModule {
            path: path.into(),
            build_id: None,
            kind: CodeKind::Native,
        };
        self.modules.push((about, None));
        self.paths.insert(path.into(), number);
        number
    }
}

/// The functions at each of these places of a module; those of Go are in its own table.
fn module_names(symbolizer: &Symbolizer, module: &Module, offsets: &[u64]) -> Vec<Vec<SourceCall>> {
    let mut all = names(symbolizer, &module.path_here(), offsets);
    if let Some(Ok(go)) = &module.go {
        all.resize(offsets.len(), Vec::new());
        for (calls, offset) in all.iter_mut().zip(offsets) {
            let of_go = go.calls(*offset);
            if !of_go.is_empty() {
                *calls = of_go;
            }
        }
    }
    all
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
