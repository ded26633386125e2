//! Which names each inode has while operations are done on a real filesystem, which numbers them otherwise.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;

use plugpull_crashsim::fs::{Ino, NewNode, Op, ROOT};

/// Which names each inode has, as the operations say.
#[derive(Default)]
pub(crate) struct Names {
    known: BTreeMap<Ino, Vec<(Ino, OsString)>>,
    directories: HashSet<Ino>,
}

impl Names {
    /// Follows an operation.
    pub(crate) fn change(&mut self, op: &Op) {
        match op {
            Op::Create {
                parent,
                name,
                ino,
                node,
                ..
            } => {
                self.known.insert(*ino, vec![(*parent, name.clone())]);
                if !matches!(node, NewNode::File) {
                    self.directories.insert(*ino);
                }
            }
            Op::Link { ino, parent, name } => self.add(*ino, (*parent, name.clone())),
            Op::Unlink {
                parent, name, ino, ..
            } => self.take(*ino, &(*parent, name.clone())),
            Op::Rename {
                from,
                to,
                ino,
                replaced,
                exchange,
            } => {
                self.take(*ino, from);
                if let Some(replaced) = replaced {
                    self.take(*replaced, to);
                    if *exchange {
                        self.add(*replaced, from.clone());
                    }
                }
                self.add(*ino, to.clone());
            }
            _ => {}
        }
    }

    fn add(&mut self, ino: Ino, name: (Ino, OsString)) {
        self.known.entry(ino).or_default().push(name);
    }

    fn take(&mut self, ino: Ino, name: &(Ino, OsString)) {
        if let Some(names) = self.known.get_mut(&ino) {
            names.retain(|known| known != name);
        }
    }

    /// Whether it has one name, or none.
    pub(crate) fn is_last(&self, ino: Ino) -> bool {
        self.known.get(&ino).is_none_or(|names| names.len() <= 1)
    }

    /// The files that have a name.
    pub(crate) fn files(&self) -> Vec<Ino> {
        let named = self.known.iter().filter(|(_, names)| !names.is_empty());
        let files = named.map(|(ino, _)| *ino);
        files
            .filter(|ino| !self.directories.contains(ino))
            .collect()
    }

    /// The path of one of its names, below the data directory.
    pub(crate) fn path(&self, mut ino: Ino) -> Option<PathBuf> {
        let mut parts = Vec::new();
        while ino != ROOT {
            // No chain of directories is longer than there are of them.
            if parts.len() > self.known.len() {
                return None;
            }
            let (parent, name) = self.known.get(&ino)?.first()?;
            parts.push(name.as_os_str());
            ino = *parent;
        }
        Some(parts.into_iter().rev().collect())
    }
}
