//! The Python frames of a thread that runs CPython.
//!
//! They are read from the interpreter's own memory while the thread is stopped: `_PyRuntime` leads to its
//! threads, a thread to its frames, a frame to its code object, that to names and lines. All of it belongs to
//! the target, which may hold anything there. So an object counts only where its type is the one that it has
//! to be, each length has a limit, and where one thing does not hold there is no frame at all.

mod layout;
mod lines;
#[cfg(test)]
mod memory_tests;
mod merge;

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use object::{Object, ObjectSection, ObjectSymbol, ReadRef};

use layout::{BYTES_AT, Entry, LENGTH_AT, Layout, STATE_AT, TYPE_AT};

pub(super) use merge::{Native, merge};

use super::memory::Pages;
use super::table::FRAMES_MAX;

/// The most frames, of either kind, that are looked at for one stack.
const VISITED_MAX: usize = 4 * FRAMES_MAX;
/// The most threads of an interpreter that are looked at.
const THREADS_MAX: usize = 4096;
/// The longest name of a function or a file, in characters.
const NAME_MAX: u64 = 1024;
/// The largest section that the version is read from, in bytes.
const SECTION_MAX: u64 = 256 << 20;
/// The longest table of lines, in bytes.
const LINES_MAX: u64 = 256 << 10;
/// The function that runs Python code: one native frame of it for each group of Python frames.
const EVAL: &str = "_PyEval_EvalFrameDefault";

/// What a file with an interpreter in it says of that, as its own addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Symbols {
    runtime: u64,
    /// As `PY_VERSION_HEX` has it; none before 3.11.
    version: Option<u32>,
    /// The types of code objects, `str` and `bytes`.
    types: [u64; 3],
    eval: Vec<Range<u64>>,
}

impl Symbols {
    /// Of a file; none where no CPython is in it.
    pub(super) fn of<'a, R: ReadRef<'a>>(elf: &object::File<'a, R>) -> Option<Self> {
        let mut found = Self::default();
        let mut version_at = 0;
        for symbol in elf.dynamic_symbols().filter(|one| one.is_definition()) {
            match symbol.name() {
                Ok("_PyRuntime") => found.runtime = symbol.address(),
                Ok("Py_Version") => version_at = symbol.address(),
                Ok("PyCode_Type") => found.types[0] = symbol.address(),
                Ok("PyUnicode_Type") => found.types[1] = symbol.address(),
                Ok("PyBytes_Type") => found.types[2] = symbol.address(),
                Ok(EVAL) => found.eval.push(range(&symbol)),
                _ => {}
            }
        }
        if found.runtime == 0 {
            return None;
        }
        // What the compiler thinks is run seldom is elsewhere, and only a file that was not stripped says it.
        let is_cold = |name: &str| {
            name.strip_prefix(EVAL)
                .is_some_and(|to| to.starts_with(".cold"))
        };
        let cold = elf.symbols().filter(|one| one.name().is_ok_and(is_cold));
        found.eval.extend(cold.map(|one| range(&one)));
        found.version = version(elf, version_at);
        Some(found)
    }

    /// Whether frames of this interpreter are known.
    pub(super) fn known(&self) -> bool {
        self.version.is_some_and(layout::known) && !self.types.contains(&0)
    }
}

fn range<'a>(symbol: &impl ObjectSymbol<'a>) -> Range<u64> {
    symbol.address()..symbol.address().saturating_add(symbol.size())
}

/// `Py_Version` of a file, which is a constant.
fn version<'a, R: ReadRef<'a>>(elf: &object::File<'a, R>, at: u64) -> Option<u32> {
    // What is not loaded stands at 0.
    let sections = elf.sections().filter(|one| at != 0 && one.address() != 0);
    let mut small = sections.filter(|one| one.size() <= SECTION_MAX);
    let data = small.find_map(|one| one.data_range(at, 4).ok().flatten())?;
    Some(u32::from_le_bytes(data.try_into().ok()?))
}

/// A Python function that called something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PythonFrame {
    pub(super) file: Arc<str>,
    /// Its qualified name.
    pub(super) function: Arc<str>,
    pub(super) line: Option<u32>,
    /// Where it is in its code, in bytes.
    pub(super) offset: u32,
}

/// The Python frames of a thread, innermost first, as often apart as there are native frames between them:
/// a group for each native frame of the evaluation loop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PythonFrames {
    pub(super) groups: Vec<Vec<PythonFrame>>,
    /// There are more of them than are looked at.
    pub(super) cut: bool,
}

/// Why a thread's frames are not known.
pub(super) type Why = String;

/// The interpreter of one process.
pub(super) struct Interpreter {
    symbols: Symbols,
    bias: u64,
    /// The file that it is in, for messages.
    name: String,
    layout: Option<Layout>,
    /// Its threads, by the numbers that they have themselves.
    threads: HashMap<u32, u64>,
}

impl Interpreter {
    pub(super) fn new(symbols: Symbols, bias: u64, path: &str) -> Self {
        Self {
            symbols,
            bias,
            name: path.rsplit('/').next().unwrap_or(path).into(),
            layout: None,
            threads: HashMap::new(),
        }
    }

    /// Whether a call was made by the evaluation loop, which returns to this address.
    pub(super) fn evaluates(&self, returns_to: u64) -> bool {
        let own = returns_to.wrapping_sub(self.bias).wrapping_sub(1);
        self.symbols.eval.iter().any(|range| range.contains(&own))
    }

    /// The frames of the thread that has this number in its own PID namespace.
    ///
    /// # Errors
    /// Why they are not known, for people.
    pub(super) fn frames<R: FnMut(u64, &mut [u8]) -> usize>(
        &mut self,
        thread: u32,
        memory: &mut Pages<R>,
    ) -> Result<PythonFrames, Why> {
        let layout = match self.layout {
            Some(layout) => layout,
            None => self.read_layout(memory)?,
        };
        let mut reader = Reader {
            layout,
            types: self.symbols.types.map(|at| at.wrapping_add(self.bias)),
            runtime: self.symbols.runtime.wrapping_add(self.bias),
            memory,
            codes: HashMap::new(),
            files: HashMap::new(),
        };
        let unread = || self.why("its memory cannot be read");
        let interpreter = reader.interpreter().ok_or_else(unread)?;
        let interpreter = interpreter.ok_or_else(|| self.why("it has several interpreters"))?;
        let known = self.threads.get(&thread).copied();
        let known = known.filter(|at| reader.is_thread(*at, interpreter, thread));
        let found = known.or_else(|| reader.find_thread(interpreter, thread));
        let Some(at) = found else {
            self.threads.remove(&thread);
            return Err(self.why("this thread is none of its threads"));
        };
        if self.threads.len() >= THREADS_MAX {
            self.threads.clear();
        }
        self.threads.insert(thread, at);
        reader
            .frames(at)
            .ok_or_else(|| self.why("its frames cannot be read"))
    }

    /// What is known of where a thread is, is old.
    pub(super) fn forget(&mut self, thread: u32) -> bool {
        self.threads.remove(&thread).is_some()
    }

    fn read_layout<R: FnMut(u64, &mut [u8]) -> usize>(
        &mut self,
        memory: &mut Pages<R>,
    ) -> Result<Layout, Why> {
        let Some(version) = self.symbols.version else {
            return Err(self.why("CPython before 3.11 is not known"));
        };
        if !layout::known(version) {
            let (major, minor) = (version >> 24, version >> 16 & 0xff);
            return Err(self.why(&format!(
                "CPython {major}.{minor} is not known ({version:#x})"
            )));
        }
        if !self.symbols.known() {
            return Err(self.why("it lacks symbols"));
        }
        let runtime = self.symbols.runtime.wrapping_add(self.bias);
        let layout = Layout::of(version, runtime, memory).map_err(|why| self.why(why))?;
        self.layout = Some(layout);
        Ok(layout)
    }

    /// `no Python frames of python3.9: CPython before 3.11 is not known`.
    pub(super) fn why(&self, why: &str) -> Why {
        format!("no Python frames of {}: {why}", self.name)
    }
}

/// Reads the memory of a stopped interpreter.
struct Reader<'a, R> {
    layout: Layout,
    types: [u64; 3],
    runtime: u64,
    memory: &'a mut Pages<R>,
    /// What was read already: the frames of a recursion have one code object, and most have one file. It
    /// holds while the thread is stopped and no longer: an object that is let go makes room for another.
    codes: HashMap<u64, Option<Rc<CodeObject>>>,
    files: HashMap<u64, Arc<str>>,
}

/// A code object.
struct CodeObject {
    file: Arc<str>,
    function: Arc<str>,
    first: u32,
    lines: Vec<u8>,
}

impl<R: FnMut(u64, &mut [u8]) -> usize> Reader<'_, R> {
    /// The only interpreter; none inside where there are several, or none yet.
    fn interpreter(&mut self) -> Option<Option<u64>> {
        let first = self.word(self.runtime, self.layout.interpreters)?;
        if first == 0 {
            return Some(None);
        }
        let next = self.word(first, self.layout.next_interpreter)?;
        Some((next == 0).then_some(first))
    }

    fn find_thread(&mut self, interpreter: u64, thread: u32) -> Option<u64> {
        let mut at = self.word(interpreter, self.layout.threads)?;
        for _ in 0..THREADS_MAX {
            if at == 0 {
                return None;
            }
            if self.is_thread(at, interpreter, thread) {
                return Some(at);
            }
            at = self.word(at, self.layout.next_thread)?;
        }
        None
    }

    fn is_thread(&mut self, at: u64, interpreter: u64, thread: u32) -> bool {
        self.word(at, self.layout.native_id) == Some(u64::from(thread))
            && self.word(at, self.layout.interpreter) == Some(interpreter)
    }

    fn frames(&mut self, thread: u64) -> Option<PythonFrames> {
        let innermost = match self.layout.c_frame {
            Some(c_frame) => self.word(thread, c_frame)?,
            None => thread,
        };
        let mut at = self.word(innermost, self.layout.innermost)?;
        let mut all = PythonFrames::default();
        let mut group = Vec::new();
        let mut frames = 0;
        for visited in 0.. {
            if at == 0 {
                break;
            }
            if visited == VISITED_MAX || frames == FRAMES_MAX {
                all.cut = true;
                break;
            }
            let is_frame = self.is_python(at)?;
            if is_frame && let Some(frame) = self.frame(at)? {
                group.push(frame);
                frames += 1;
            }
            if self.is_outermost(at, is_frame)? {
                all.groups.push(std::mem::take(&mut group));
            }
            at = self.word(at, self.layout.previous)?;
        }
        if !group.is_empty() {
            // Only where it was cut is there no end of a group.
            all.cut.then_some(())?;
            all.groups.push(group);
        }
        Some(all)
    }

    /// Whether it is a frame of Python code, and no mark between such.
    fn is_python(&mut self, frame: u64) -> Option<bool> {
        match self.layout.entry {
            Entry::Flag(_) => Some(true),
            Entry::Shim(owner) => Some(self.memory.byte(frame.checked_add(owner)?)? != 3),
        }
    }

    /// Whether the evaluation loop was entered with this frame.
    fn is_outermost(&mut self, frame: u64, is_frame: bool) -> Option<bool> {
        match self.layout.entry {
            Entry::Flag(at) => Some(self.memory.byte(frame.checked_add(at)?)? != 0),
            Entry::Shim(_) => Some(!is_frame),
        }
    }

    /// None inside for code that the interpreter made for itself.
    fn frame(&mut self, at: u64) -> Option<Option<PythonFrame>> {
        let layout = self.layout;
        let own = self.word(at, layout.code)?;
        let known = match self.codes.get(&own) {
            Some(known) => known.clone(),
            None => {
                let read = self.code(own)?.map(Rc::new);
                self.codes.insert(own, read.clone());
                read
            }
        };
        let Some(code) = known else {
            return Some(None);
        };
        let begins = own.checked_add(layout.instructions)?;
        // Where it has not begun yet it is before that.
        let offset = self.word(at, layout.instruction)?.checked_sub(begins);
        let offset = offset.and_then(|offset| u32::try_from(offset).ok());
        let line = offset.and_then(|offset| lines::line_at(&code.lines, code.first, offset));
        Some(Some(PythonFrame {
            file: Arc::clone(&code.file),
            function: Arc::clone(&code.function),
            line,
            offset: offset.unwrap_or(0),
        }))
    }

    /// None inside for one that the interpreter made for itself.
    fn code(&mut self, at: u64) -> Option<Option<CodeObject>> {
        let layout = self.layout;
        self.has_type(at, 0)?;
        let of_file = self.word(at, layout.filename)?;
        let file = match self.files.get(&of_file) {
            Some(file) => Arc::clone(file),
            None => Arc::from(self.text(of_file)?),
        };
        if &*file == "<shim>" {
            return Some(None);
        }
        self.files.insert(of_file, Arc::clone(&file));
        let function = self.word(at, layout.qualified_name)?;
        let function = self.text(function)?;
        let lines = self.word(at, layout.lines)?;
        let lines = self.bytes(lines)?;
        Some(Some(CodeObject {
            file,
            function: function.into(),
            first: self.word(at, layout.first_line)? as u32,
            lines,
        }))
    }

    fn word(&mut self, of: u64, distance: u64) -> Option<u64> {
        self.memory.word(of.checked_add(distance)?)
    }

    fn has_type(&mut self, object: u64, of: usize) -> Option<()> {
        let its = self.word(object, TYPE_AT)?;
        (its == self.types[of]).then_some(())
    }

    /// A `str`.
    fn text(&mut self, at: u64) -> Option<String> {
        self.has_type(at, 1)?;
        let len = self.word(at, LENGTH_AT)?;
        // Its lowest bits, in this order: how it is interned (2), kind (3), compact (1), ASCII (1).
        let state = self.memory.byte(at.checked_add(STATE_AT)?)?;
        let (kind, compact, ascii) = (state >> 2 & 7, state >> 5 & 1, state >> 6 & 1);
        if len > NAME_MAX || compact == 0 {
            return None;
        }
        let head = match ascii {
            0 => self.layout.unicode_head,
            _ => self.layout.ascii_head,
        };
        let mut bytes = vec![0; len as usize * kind.min(4) as usize];
        self.memory.copy(at.checked_add(head)?, &mut bytes)?;
        let replaced = |code: u32| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        let text = match kind {
            1 if ascii == 1 => String::from_utf8(bytes).ok()?,
            1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
            2 => {
                let units = bytes.as_chunks().0.iter();
                units
                    .map(|two| replaced(u16::from_ne_bytes(*two).into()))
                    .collect()
            }
            4 => {
                let units = bytes.as_chunks().0.iter();
                units
                    .map(|four| replaced(u32::from_ne_bytes(*four)))
                    .collect()
            }
            _ => return None,
        };
        Some(text)
    }

    /// A `bytes`.
    fn bytes(&mut self, at: u64) -> Option<Vec<u8>> {
        self.has_type(at, 2)?;
        let len = self.word(at, LENGTH_AT)?;
        let mut bytes = vec![0; usize::try_from(len).ok().filter(|_| len <= LINES_MAX)?];
        self.memory.copy(at.checked_add(BYTES_AT)?, &mut bytes)?;
        Some(bytes)
    }
}
