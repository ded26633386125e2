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
}

impl MadeBy {
    /// On one line: the innermost functions of the program itself, `pager_write pager.c:17 < commit < main`.
    pub fn describe(&self) -> String {
        let own = self.frames.iter().filter(|place| !place.is_runtime());
        let mut shown: Vec<&CodePlace> = own.collect();
        if shown.is_empty() {
            shown = self.frames.iter().collect();
        }
        let named = shown.iter().take(NAMED).map(|place| place.describe());
        let mut text = named.collect::<Vec<_>>().join(" < ");
        if shown.len() > NAMED {
            text.push_str(" < …");
        }
        match (self.how.is_empty(), text.is_empty()) {
            (true, false) => text,
            (true, true) => format!("{}, from where is not known", self.call),
            (false, true) => self.how.clone(),
            (false, false) => format!("{} at {text}", self.how),
        }
    }
}

impl CodePlace {
    /// `pager_write pager.c:17`, or what of it is known.
    fn describe(&self) -> String {
        let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_string();
        let function = match self.function.is_empty() {
            true => format!("{}+{:#x}", last(&self.module), self.offset),
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
        library.iter().any(|name| module.starts_with(name))
            || rust.iter().any(|part| file.contains(part))
            // Names alone, where a program was stripped of its lines.
            || self.file.is_none() && name.starts_with("std::")
    }
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
