//! Which line of a program made an operation, where stacks were recorded.

use serde::{Deserialize, Serialize};

/// So many frames are named on one line.
const NAMED: usize = 4;

/// Who made an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadeBy {
    /// The call, as strace shows it; left out where no process made one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call: String,
    /// How it came to be made by that, in words, where it is not the call itself: `mapped store, written back
    /// by msync`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub how: String,
    /// The functions that led to the call, innermost first. Left out where they are not known: none is
    /// guessed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<CodePlace>,
    /// Which functions are missing and why: `no Python frames of python3.9: CPython before 3.11 is not known`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A place in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CodePlace {
    /// The function; left out where the module has no symbol for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// The source file, where the module or its debug file has debug information.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The program or library.
    pub module: String,
    /// The address in it, as its own symbols count.
    pub offset: u64,
    /// Its build ID, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// What kind of code it is; left out for that of the machine.
    #[serde(default, skip_serializing_if = "CodeKind::is_native")]
    pub kind: CodeKind,
}

/// What kind of code a place is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CodeKind {
    /// Instructions of the machine.
    #[default]
    Native,
    /// The same, of an interpreter: what it ran stands beside it.
    Interpreter,
    /// Python; offsets are those in the code of the function.
    Python,
}

impl CodeKind {
    fn is_native(&self) -> bool {
        *self == Self::Native
    }
}

impl MadeBy {
    /// On one line: the innermost functions of the program itself, `pager_write pager.c:17 < commit < main`.
    pub fn describe(&self) -> String {
        let mut shown: Vec<&CodePlace> = self.own().collect();
        if shown.is_empty() {
            shown = self.frames.iter().collect();
        }
        let describe = |places: &[&CodePlace]| {
            let named = places.iter().map(|place| place.describe());
            named.collect::<Vec<_>>().join(" < ")
        };
        let python = shown
            .iter()
            .position(|place| place.kind == CodeKind::Python);
        // The line of the program is named also where a library has many functions below it.
        let (mut text, end) = match python.filter(|at| *at >= NAMED) {
            Some(at) => {
                let end = shown.len().min(at + 2);
                let (inner, outer) = (&shown[..NAMED - 2], &shown[at..end]);
                (describe(inner) + " < … < " + &describe(outer), end)
            }
            None => {
                let end = shown.len().min(NAMED);
                (describe(&shown[..end]), end)
            }
        };
        if end < shown.len() {
            text.push_str(" < …");
        }
        if !self.note.is_empty() {
            text = format!("{text} ({})", self.note);
        }
        match (self.how.is_empty(), text.is_empty()) {
            (true, false) => text,
            (true, true) => format!("{}, from where is not known", self.call),
            (false, true) => self.how.clone(),
            (false, false) => format!("{} at {text}", self.how),
        }
    }
}

impl MadeBy {
    /// The places that are of the program itself, innermost first.
    fn own(&self) -> impl Iterator<Item = &CodePlace> {
        let python = self.has_python();
        let interpreter = move |place: &CodePlace| python && place.kind == CodeKind::Interpreter;
        let own = self.frames.iter();
        own.filter(move |place| !place.is_runtime() && !interpreter(place))
    }

    /// The innermost place of the program itself whose file and line are known. In a Python program it is one
    /// of Python: what is below it is of libraries.
    pub(crate) fn own_line(&self) -> Option<(&CodePlace, &str, u32)> {
        let python = self.has_python();
        let own = self
            .own()
            .filter(|place| !python || place.kind == CodeKind::Python);
        let mut lines = own.filter_map(|one| Some((one, one.file.as_deref()?, one.line?)));
        lines.next()
    }

    fn has_python(&self) -> bool {
        self.frames
            .iter()
            .any(|place| place.kind == CodeKind::Python)
    }
}

impl CodePlace {
    /// `pager_write pager.c:17`, or what of it is known.
    fn describe(&self) -> String {
        let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_string();
        let function = match self.function.is_empty() {
            true => format!("{}+{:#x}", last(&self.module), self.offset),
            false if self.kind == CodeKind::Python => self.function.clone(),
            false => short(&self.function),
        };
        match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{function} {}:{line}", last(file)),
            _ => function,
        }
    }

    /// Whether it is the way into the kernel that every program takes, and no code of this one.
    pub(crate) fn is_runtime(&self) -> bool {
        let module = self.module.rsplit('/').next().unwrap_or_default();
        let library = ["libc.so", "libc-", "libpthread", "ld-linux", "ld-musl"];
        let file = self.file.as_deref().unwrap_or_default();
        let name = self.function.trim_start_matches('<');
        let rust = ["/rustc/", "/rustlib/src/rust/library/"];
        let of_go = [".go", ".s"].iter().any(|end| file.ends_with(end));
        library.iter().any(|name| module.starts_with(name))
            || rust.iter().any(|part| file.contains(part))
            || of_go && GO.contains(&go_package(&self.function))
            // Names alone, where a program was stripped of its lines.
            || self.file.is_none() && name.starts_with("std::")
    }
}

/// The packages of Go through which a program calls the kernel, and which start its goroutines.
const GO: [&str; 6] = [
    "internal/poll",
    "internal/runtime/syscall",
    "os",
    "runtime",
    "runtime/internal/syscall",
    "syscall",
];

/// The package of a function of Go: of `internal/poll.(*FD).Write` it is `internal/poll`.
fn go_package(function: &str) -> &str {
    let directory = function.rfind('/').map_or(0, |at| at + 1);
    let name = function[directory..].find('.');
    name.map_or(function, |at| &function[..directory + at])
}

/// A function's name without the path to it and without generic arguments: of
/// `<a::Store as b::Session>::apply::<u8>` it is `Store::apply`.
fn short(name: &str) -> String {
    let name = match name
        .strip_prefix('<')
        .and_then(|rest| rest.split_once(" as "))
    {
        Some((of, rest)) => match rest.rsplit_once(">::") {
            Some((_, method)) if !method.contains('>') => format!("{of}::{method}"),
            _ => return name.into(),
        },
        None => name.into(),
    };
    let mut depth = 0_u32;
    let plain: String = name
        .chars()
        .filter(|c| {
            let inside = depth > 0 || *c == '<';
            match c {
                '<' => depth += 1,
                '>' => depth = depth.saturating_sub(1),
                _ => {}
            }
            !inside
        })
        .collect();
    let parts: Vec<&str> = plain.split("::").filter(|part| !part.is_empty()).collect();
    match parts[..] {
        // A closure has the name of what it is in, and that is in something.
        [.., of, within, closure] if closure.starts_with('{') => format!("{of}::{within}"),
        [.., of, last] => format!("{of}::{last}"),
        _ if plain.is_empty() => name,
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(function: &str, file: &str, line: u32, module: &str) -> CodePlace {
        CodePlace {
            function: function.into(),
            file: (!file.is_empty()).then(|| file.into()),
            line: (line > 0).then_some(line),
            module: module.into(),
            offset: 0x1234,
            build_id: None,
            kind: CodeKind::Native,
        }
    }

    #[test]
    fn the_program_itself_is_named_and_not_its_library() {
        let by = MadeBy {
            call: "pwrite".into(),
            how: String::new(),
            frames: vec![
                place("__libc_pwrite64", "../pwrite64.c", 25, "/lib/libc.so.6"),
                place(
                    "unixWrite",
                    "src/os_unix.c",
                    3441,
                    "/usr/lib/libsqlite3.so.0",
                ),
                place("", "", 0, "/usr/lib/libsqlite3.so.0"),
            ],
            note: String::new(),
        };
        let wanted = "unixWrite os_unix.c:3441 < libsqlite3.so.0+0x1234";
        assert_eq!(by.describe(), wanted);
        let mapped = MadeBy {
            how: "mapped store, written back by msync".into(),
            frames: by.frames[1..2].to_vec(),
            ..by.clone()
        };
        let wanted = "mapped store, written back by msync at unixWrite os_unix.c:3441";
        assert_eq!(mapped.describe(), wanted);
        let unknown = MadeBy {
            frames: Vec::new(),
            ..by
        };
        assert_eq!(unknown.describe(), "pwrite, from where is not known");
    }

    #[test]
    fn the_python_line_is_named_below_whatever_library() {
        let python = |function: &str, line| CodePlace {
            kind: CodeKind::Python,
            ..place(function, "/app/store.py", line, "/app/store.py")
        };
        let interpreter = || CodePlace {
            kind: CodeKind::Interpreter,
            ..place(
                "os_fsync",
                "posixmodule.c",
                3,
                "/usr/lib/libpython3.11.so.1.0",
            )
        };
        let mut by = MadeBy {
            call: "fsync".into(),
            frames: vec![
                interpreter(),
                python("Store.save", 42),
                interpreter(),
                python("<module>", 7),
            ],
            ..MadeBy::default()
        };
        assert_eq!(
            by.describe(),
            "Store.save store.py:42 < <module> store.py:7"
        );
        assert_eq!(
            by.own_line().map(|(_, file, line)| (file, line)),
            Some(("/app/store.py", 42))
        );
        let library = ["a", "b", "c", "d", "e"]
            .map(|name| place(name, "sqlite3.c", 1, "/usr/lib/sqlite3.so"));
        by.frames.splice(0..0, library);
        let wanted =
            "a sqlite3.c:1 < b sqlite3.c:1 < … < Store.save store.py:42 < <module> store.py:7";
        assert_eq!(by.describe(), wanted);
        assert_eq!(
            by.own_line().map(|(_, file, line)| (file, line)),
            Some(("/app/store.py", 42))
        );
        by.frames.push(python("more", 8));
        assert_eq!(by.describe(), format!("{wanted} < …"));
        by.frames
            .retain(|place| place.kind == CodeKind::Interpreter);
        by.note = "no Python frames of it: why".into();
        let wanted =
            "os_fsync posixmodule.c:3 < os_fsync posixmodule.c:3 (no Python frames of it: why)";
        assert_eq!(by.describe(), wanted);
    }

    #[test]
    fn of_a_go_program_its_own_functions_are_named() {
        let of = |function: &str, file: &str| place(function, file, 9, "/app/kv");
        let by = MadeBy {
            call: "write".into(),
            frames: vec![
                of(
                    "runtime/internal/syscall.Syscall6",
                    "runtime/internal/syscall/asm_linux_amd64.s",
                ),
                of("internal/poll.(*FD).Write", "internal/poll/fd_unix.go"),
                of("os.(*File).Write", "os/file.go"),
                of("example.com/os.(*Store).put", "example.com/os/store.go"),
                of("main.main", "main.go"),
                of("runtime.main", "runtime/proc.go"),
            ],
            ..MadeBy::default()
        };
        let wanted = "example.com/os.(*Store).put store.go:9 < main.main main.go:9";
        assert_eq!(by.describe(), wanted);
        assert_eq!(
            by.own_line().map(|(_, file, _)| file),
            Some("example.com/os/store.go")
        );
    }

    #[test]
    fn names_are_short_enough_for_a_line() {
        for (name, wanted) in [
            ("pager_write", "pager_write"),
            ("a::log::Log::append", "Log::append"),
            ("<a::Store as b::c::Session>::apply", "Store::apply"),
            ("a::snapshot::write::{{closure}}", "snapshot::write"),
            ("core::Result<T,E>::and_then", "Result::and_then"),
            ("a::run::<u8, b::C<d>>", "a::run"),
            ("std::function<void ()>::operator()", "function::operator()"),
            ("main.(*store).put", "main.(*store).put"),
        ] {
            assert_eq!(short(name), wanted, "{name}");
        }
    }
}
