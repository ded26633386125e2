//! `--keep DIR`: the crashed data folder of each finding, as plain files.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use plugpull_faults::crashfs::{Ino, Node, ROOT, Tree};

use crate::command::WrongUse;

/// Marks a folder as plugpull's own.
const MARKER: &str = ".plugpull-keep";

/// A folder for findings, which is plugpull's own.
pub(crate) struct Keep {
    dir: PathBuf,
}

impl Keep {
    /// Takes a folder that is new, empty, or was plugpull's before. Any other is refused, and
    /// nothing in it is touched.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let wrong = |why: String| anyhow::Error::new(WrongUse(format!("{}: {why}", dir.display())));
        match fs::read_dir(dir) {
            Ok(mut entries) => {
                if entries.next().is_some() && !dir.join(MARKER).exists() {
                    return Err(wrong(
                        "the folder is not empty and was not made by plugpull; name another one \
                         for --keep"
                            .into(),
                    ));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(dir).map_err(|error| wrong(error.to_string()))?;
            }
            Err(error) => return Err(wrong(error.to_string())),
        }
        fs::write(dir.join(MARKER), "Made by plugpull; findings are kept here.\n")
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    /// Writes a crashed data folder as plain files, and returns where. A folder of the same name
    /// from an earlier run is replaced.
    pub(crate) fn disk(&self, name: &str, tree: &Tree) -> io::Result<PathBuf> {
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

/// Writes the folder `ino` of a tree into `at`. Files keep their bytes, holes and permission bits;
/// device nodes, sockets and FIFOs are left out.
fn export(tree: &Tree, ino: Ino, at: &Path) -> io::Result<()> {
    for (name, entry) in tree.dir(ino).map_err(io::Error::from)?.iter() {
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
