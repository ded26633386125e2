//! What the programs that people run promise, as data: one TOML file a program, compiled in.
//!
//! The tables `[[promise]]` have the same form in a file of the user's own
//! (`docs/command-targets.md`).

mod promise;

use std::collections::BTreeMap;

use plugpull_workloads::Promise;
use serde::Deserialize;

pub use promise::{PromiseTable, guarantee, promises};

/// A program's entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name on the command line.
    pub name: &'static str,
    /// The file, as it is written.
    pub toml: &'static str,
}

/// Every entry.
pub const ENTRIES: [Entry; 6] = [
    entry("sqlite", include_str!("../sqlite.toml")),
    entry("reference", include_str!("../reference.toml")),
    entry("statehouse", include_str!("../statehouse.toml")),
    entry("interstice", include_str!("../interstice.toml")),
    entry("vfab", include_str!("../vfab.toml")),
    entry("ailee", include_str!("../ailee.toml")),
];

const fn entry(name: &'static str, toml: &'static str) -> Entry {
    Entry { name, toml }
}

/// A file of an entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(rename = "promise")]
    promises: Vec<PromiseTable>,
}

/// What the program called `name` promises with these settings; nothing where there is no entry.
pub fn promises_of(name: &str, settings: &BTreeMap<String, String>) -> Vec<Promise> {
    find(name).map_or_else(Vec::new, |entry| entry.promises(settings))
}

/// The entry of the program called `name`.
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

impl Entry {
    /// What the program promises with these settings, each with its value, also where that is the
    /// default.
    ///
    /// # Panics
    /// The entry's own file is wrong. The tests read every one.
    pub fn promises(&self, settings: &BTreeMap<String, String>) -> Vec<Promise> {
        let file = self.file();
        assert_eq!(file.name, self.name, "an entry and its file have one name");
        promises(&file.promises, settings).unwrap_or_else(|why| panic!("{}.toml: {why}", self.name))
    }

    /// The settings that a promise depends on, each with the values that are named.
    pub fn conditions(&self) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for table in self.file().promises {
            for (name, mut values) in table.when {
                all.entry(name).or_default().append(&mut values);
            }
        }
        all
    }

    fn file(&self) -> File {
        toml::from_str(self.toml).unwrap_or_else(|error| panic!("{}.toml: {error}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_read_and_has_words_and_sources() {
        for entry in ENTRIES {
            let file = entry.file();
            assert_eq!(file.name, entry.name);
            assert!(!file.promises.is_empty());
            for table in &file.promises {
                assert!(!table.words.is_empty() && !table.source.is_empty());
                assert!(table.after.as_ref().is_some_and(|after| !after.is_empty()));
                guarantee(&table.keeps).expect("a guarantee");
            }
        }
        assert!(find("sqlite").is_some());
        assert!(find("sqlit").is_none());
    }
}
