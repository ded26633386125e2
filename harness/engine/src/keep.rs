//! `--keep DIR`: the crashed data directory of each finding, as plain files.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use plugpull_crashsim::fs::{Ino, Node, ROOT, Tree, check_name};

use crate::WrongUse;

/// Marks a directory as plugpull's own.
const MARKER: &str = ".plugpull-keep";

/// A directory for findings, which is plugpull's own.
pub struct Keep {
    dir: PathBuf,
}

impl Keep {
    /// Takes a directory that is new, empty, or was plugpull's before. Any other is refused. Nothing
    /// is made or touched yet.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let keep = Self {
            dir: dir.to_path_buf(),
        };
        match fs::read_dir(dir) {
            Ok(mut entries) => {
                if entries.next().is_some() && !dir.join(MARKER).exists() {
                    return Err(keep.refused(
                        "the directory is not empty and was not made by plugpull; name another one \
                         for --keep",
                    ));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(keep.refused(error)),
        }
        Ok(keep)
    }

    /// Makes the directory plugpull's own, when all else is known to be in order.
    pub fn claim(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.dir)
            .and_then(|()| {
                let marker = self.dir.join(MARKER);
                fs::write(marker, "Made by plugpull; findings are kept here.\n")
            })
            .map_err(|error| self.refused(error))
    }

    fn refused(&self, why: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(WrongUse(format!("{}: {why}", self.dir.display())))
    }

    /// The path of a file of this name in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a crashed data directory as plain files, and returns where. A directory of the same name
    /// from an earlier run is replaced.
    pub fn disk(&self, name: &str, tree: &Tree) -> io::Result<PathBuf> {
        let at = self.dir.join(name);
        match fs::remove_dir_all(&at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&at)?;
        export(tree, ROOT, &at)?;
        Ok(at)
    }
}

/// Writes the directory `ino` of a tree into `at`. Files keep their bytes, holes and permission bits;
/// device nodes, sockets and FIFOs are left out.
fn export(tree: &Tree, ino: Ino, at: &Path) -> io::Result<()> {
    for (name, entry) in tree.dir(ino).map_err(io::Error::from)?.iter() {
        // A name that is a path would lead out of the directory.
        check_name(name).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        let path = at.join(Path::new(&**name));
        let inode = tree.get(entry.ino).map_err(io::Error::from)?;
        match &inode.node {
            Node::Dir(_) => {
                fs::create_dir(&path)?;
                export(tree, entry.ino, &path)?;
            }
            Node::File(content) => {
                let file = fs::File::create(&path)?;
                file.set_len(content.size())?;
                let mut at = 0;
                while let Some(start) = content.seek(at, true) {
                    let end = content.seek(start, false).unwrap_or(content.size());
                    let mut bytes = Vec::new();
                    content.read(start, (end - start) as usize, &mut bytes);
                    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, start)?;
                    at = end;
                }
                fs::set_permissions(&path, fs::Permissions::from_mode(inode.mode & 0o777))?;
            }
            Node::Symlink(to) => symlink(std::ffi::OsStr::from_bytes(to.as_bytes()), &path)?,
            Node::Special => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::fs::{Caller, NewNode};

    use super::*;

    #[test]
    fn a_name_that_is_a_path_is_written_nowhere() {
        let owner = Caller {
            uid: 0,
            gid: 0,
            now: 0,
        };
        for (name, written) in [("inside", true), ("../outside", false), ("..", false)] {
            let place = tempfile::tempdir().unwrap();
            let mut tree = Tree::new(0, 0, 0);
            tree.raw_node(2, &NewNode::File, 0o644, owner, name.into());
            tree.raw_entry(ROOT, name.as_ref(), Some(2));
            let keep = Keep::open(&place.path().join("kept")).unwrap();
            keep.claim().unwrap();
            let kept = keep.disk("data", &tree);
            assert_eq!(kept.is_ok(), written, "{name}");
            assert!(!place.path().join("kept/outside").exists());
        }
    }
}
