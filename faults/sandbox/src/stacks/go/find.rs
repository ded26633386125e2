//! Where a file has the table of a Go program, and of which version of Go it is.

use std::collections::HashMap;
use std::sync::Arc;

use object::{Object, ObjectSection, ReadRef, RelocationTarget};

use super::{Table, TableFormat};

/// The most bytes of a section that are read.
const SECTION_MAX: u64 = 256 << 20;
/// Where `moduledata` has the begin of the code.
const TEXT_AT: u64 = 176;
/// The sections that `moduledata` may be in, from the newest version of Go on.
const MODULE_IN: [&str; 4] = [".go.module", ".noptrdata", ".data", ".data.rel.ro"];
/// The most relocations that are looked at.
const RELOCATIONS_MAX: usize = 1 << 22;

impl Table {
    /// Of a file; none where it is no Go program.
    ///
    /// # Errors
    /// Why its functions are not known, for people.
    pub(in super::super) fn of<'a, R: ReadRef<'a>>(
        elf: &object::File<'a, R>,
    ) -> Option<Result<Self, String>> {
        // An executable that can be moved has it among what is relocated.
        let section = [".gopclntab", ".data.rel.ro.gopclntab"];
        let section = section.iter().find_map(|name| elf.section_by_name(name))?;
        let Some(version) = version(elf) else {
            return Some(Err("its version is not known".into()));
        };
        let Some(format) = minor(&version).and_then(TableFormat::of) else {
            return Some(Err(format!("{version} is not known")));
        };
        let table = Self::read(elf, &section, format);
        Some(table.ok_or_else(|| format!("the table of {version} cannot be read")))
    }

    fn read<'a, R: ReadRef<'a>>(
        elf: &object::File<'a, R>,
        section: &impl ObjectSection<'a>,
        format: TableFormat,
    ) -> Option<Self> {
        let data = bytes(section)?;
        let words = LoadedData::of(elf);
        let of_table = section.address();
        // Behind the table's own address it has that of the names in it.
        let names = of_table.checked_add(super::word(&data, 32)?)?;
        let mut modules = words.places_of(of_table);
        let module = modules.find(|module| words.at(module.saturating_add(8)) == Some(names))?;
        let text = words.at(module.checked_add(TEXT_AT)?)?;
        let trees = words.at(module.checked_add(format.module_functions)?)?;
        let is_in = |one: &object::Section<'a, '_, R>| {
            let from = one.address();
            (from..from.saturating_add(one.size())).contains(&trees)
        };
        let of_trees = elf.sections().find(is_in)?;
        let within = usize::try_from(trees - of_trees.address()).ok()?;
        let trees = Arc::from(bytes(&of_trees)?.get(within..)?);
        Self::new(format, (data, trees), text)
    }
}

fn bytes<'a>(section: &impl ObjectSection<'a>) -> Option<Arc<[u8]>> {
    let small = section.size() <= SECTION_MAX;
    let data = small.then(|| section.data().ok()).flatten()?;
    Some(data.into())
}

/// What Go wrote of itself into the file (`debug/buildinfo`): `go1.19.8`.
fn version<'a, R: ReadRef<'a>>(elf: &object::File<'a, R>) -> Option<String> {
    let section = elf.section_by_name(".go.buildinfo")?;
    (section.size() <= SECTION_MAX).then_some(())?;
    let data = section.data_range(section.address(), 64).ok().flatten()?;
    let begins = data.starts_with(b"\xff Go buildinf:");
    // What follows at 32 is text, with its length before it.
    let text = data.get(15)? & 2 != 0;
    let len = usize::from(*data.get(32)?);
    let version = data.get(33..33 + len)?;
    let version = String::from_utf8(version.to_vec()).ok()?;
    (begins && text).then_some(version)
}

/// `19` of `go1.19.8`; none of a version that was not released.
fn minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("go1.")?;
    let end = rest.find(|one: char| !one.is_ascii_digit());
    let (minor, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let released = rest.is_empty() || rest.starts_with(['.', ' ']);
    minor.parse().ok().filter(|_| released)
}

/// The words of a file's data as they are once it is loaded: where it can be moved they are in its
/// relocations.
struct LoadedData {
    parts: Vec<(u64, Vec<u8>)>,
    relocated: HashMap<u64, u64>,
}

impl LoadedData {
    fn of<'a, R: ReadRef<'a>>(elf: &object::File<'a, R>) -> Self {
        let sections = MODULE_IN
            .iter()
            .filter_map(|name| elf.section_by_name(name));
        let sections = sections.filter(|one| one.size() <= SECTION_MAX);
        let parts = sections.filter_map(|one| Some((one.address(), one.data().ok()?.to_vec())));
        let relocations = elf.dynamic_relocations().into_iter().flatten();
        let plain = relocations.take(RELOCATIONS_MAX).filter_map(|(at, one)| {
            let absolute = one.target() == RelocationTarget::Absolute;
            absolute.then_some((at, one.addend() as u64))
        });
        Self {
            parts: parts.collect(),
            relocated: plain.collect(),
        }
    }

    fn at(&self, address: u64) -> Option<u64> {
        if let Some(word) = self.relocated.get(&address) {
            return Some(*word);
        }
        let mut parts = self.parts.iter();
        let inside = |(from, bytes): &&(u64, Vec<u8>)| {
            let end = from.saturating_add(bytes.len() as u64);
            (*from..end).contains(&address)
        };
        let (from, bytes) = parts.find(inside)?;
        super::word(bytes, usize::try_from(address - from).ok()?)
    }

    /// Where a word has this value.
    fn places_of(&self, value: u64) -> impl Iterator<Item = u64> {
        let relocated = self
            .relocated
            .iter()
            .filter(move |(_, word)| **word == value);
        let relocated = relocated.map(|(at, _)| *at);
        let plain = self.parts.iter().flat_map(move |(from, bytes)| {
            let (words, _) = bytes.as_chunks::<8>();
            let with = words.iter().enumerate();
            let with = with.filter(move |(_, word)| u64::from_le_bytes(**word) == value);
            with.map(move |(number, _)| from.saturating_add(8 * number as u64))
        });
        relocated.chain(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_one_that_was_released() {
        for (version, wanted) in [
            ("go1.19.8", Some(19)),
            ("go1.18", Some(18)),
            ("go1.25.5 X:nodwarf5", Some(25)),
            ("go1.28rc1", None),
            ("devel go1.23-abc", None),
            ("go2.1", None),
        ] {
            assert_eq!(minor(version), wanted, "{version}");
        }
        assert!(TableFormat::of(17).is_none() && TableFormat::of(28).is_none());
    }

    #[test]
    fn words_are_those_of_a_program_that_was_loaded() {
        let words = LoadedData {
            parts: vec![(
                0x1000,
                [7_u64, 0, 7]
                    .iter()
                    .flat_map(|one| one.to_le_bytes())
                    .collect(),
            )],
            relocated: HashMap::from([(0x1008, 9)]),
        };
        assert_eq!((words.at(0x1000), words.at(0x1008)), (Some(7), Some(9)));
        assert_eq!((words.at(0x1014), words.at(0x2000)), (None, None));
        assert_eq!(words.places_of(7).collect::<Vec<_>>(), [0x1000, 0x1010]);
        assert_eq!(words.places_of(9).collect::<Vec<_>>(), [0x1008]);
    }
}
