//! `--keep DIR`: the crashed data directory of each finding, as plain files.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::unistd::mkfifo;
use plugpull_crashsim::fs::{Content, Ino, Inode, Nanos, Node, ROOT, Tree, check_name};
use rustix::fs::{XattrFlags, lsetxattr};
use rustix::io::Errno;

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

    /// Writes a crashed data directory as plain files. A directory of the same name from an earlier run
    /// is replaced.
    pub fn disk(&self, name: &str, tree: &Tree) -> io::Result<Exported> {
        let at = self.dir.join(name);
        match fs::remove_dir_all(&at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&at)?;
        let mut export = Export {
            tree,
            known: HashMap::new(),
            left_out: Vec::new(),
        };
        export.directory(ROOT, &at)?;
        export.attributes(tree.get(ROOT).map_err(io::Error::from)?, &at)?;
        let left_out = export.left_out;
        Ok(Exported { at, left_out })
    }
}

/// A directory that was written.
#[derive(Debug)]
pub struct Exported {
    /// Where it is.
    at: PathBuf,
    /// Extended attributes that its filesystem does not take: `user.kind of log`.
    left_out: Vec<String>,
}

impl Exported {
    /// Says on standard error what is not in there, and where it is.
    pub fn warned(self) -> PathBuf {
        if let Some(warning) = self.warning() {
            eprintln!("plugpull: warning: {warning}");
        }
        self.at
    }

    /// That something of the crashed disk is not in there; none where all is.
    fn warning(&self) -> Option<String> {
        const NAMED: usize = 3;
        let (named, rest) = self.left_out.split_at(self.left_out.len().min(NAMED));
        let more = match rest.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!named.is_empty()).then(|| {
            format!(
                "{} lacks extended attributes, which its filesystem does not take: {}{more}",
                self.at.display(),
                named.join(", ")
            )
        })
    }
}

/// Writes a tree as plain files.
struct Export<'a> {
    tree: &'a Tree,
    /// Files that have more than one name, by their number: where the first is.
    known: HashMap<Ino, PathBuf>,
    /// Attributes that could not be written, and of which file.
    left_out: Vec<String>,
}

impl Export<'_> {
    /// Writes what is in the directory `ino` into `at`. Hard links stay links and holes stay holes;
    /// permission bits, times, extended attributes and, where that is allowed, owners are those of the
    /// tree. Device nodes and sockets are left out.
    fn directory(&mut self, ino: Ino, at: &Path) -> io::Result<()> {
        let tree = self.tree;
        for (name, entry) in tree.dir(ino).map_err(io::Error::from)?.iter() {
            // A name that is a path would lead out of the directory.
            check_name(name).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
            let path = at.join(Path::new(&**name));
            let inode = tree.get(entry.ino).map_err(io::Error::from)?;
            if let Some(first) = self.known.get(&entry.ino) {
                fs::hard_link(first, &path)?;
                continue;
            }
            match &inode.node {
                Node::Dir(_) => {
                    fs::create_dir(&path)?;
                    self.directory(entry.ino, &path)?;
                }
                Node::File(content) => write_content(content, &path)?,
                Node::Symlink(to) => symlink(std::ffi::OsStr::from_bytes(to.as_bytes()), &path)?,
                Node::Special if inode.mode & libc::S_IFMT == libc::S_IFIFO => {
                    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
                }
                Node::Special => continue,
            }
            if !inode.is_dir() && inode.nlink > 1 {
                self.known.insert(entry.ino, path.clone());
            }
            self.attributes(inode, &path)?;
        }
        Ok(())
    }

    /// Sets extended attributes, owner, permission bits and times: in this order, for each may change or
    /// forbid those before it.
    fn attributes(&mut self, inode: &Inode, path: &Path) -> io::Result<()> {
        for (name, value) in &inode.xattrs {
            match lsetxattr(path, name, value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP) => {
                    let which = format!("{} of {}", name.display(), inode.path);
                    self.left_out.push(which);
                }
                Err(error) => {
                    let what = format!("the attribute {} of {}", name.display(), path.display());
                    let kind = io::Error::from(error).kind();
                    return Err(io::Error::new(kind, format!("{what}: {error}")));
                }
            }
        }
        plain_attributes(inode, path)
    }
}

/// Writes a file's data where it has some.
fn write_content(content: &Content, path: &Path) -> io::Result<()> {
    let file = fs::File::create(path)?;
    file.set_len(content.size())?;
    let mut at = 0;
    while let Some(start) = content.seek(at, true) {
        let end = content.seek(start, false).unwrap_or(content.size());
        let mut bytes = Vec::new();
        content.read(start, (end - start) as usize, &mut bytes);
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, start)?;
        at = end;
    }
    Ok(())
}

/// Sets owner, permission bits and times, in this order.
fn plain_attributes(inode: &Inode, path: &Path) -> io::Result<()> {
    match lchown(path, Some(inode.uid), Some(inode.gid)) {
        // Only root may give files away.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
        _ => {}
    }
    if !matches!(inode.node, Node::Symlink(_)) {
        fs::set_permissions(path, fs::Permissions::from_mode(inode.mode & 0o7777))?;
    }
    let time = |nanos: Nanos| TimeSpec::nanoseconds(nanos);
    let (atime, mtime) = (time(inode.atime), time(inode.mtime));
    utimensat(
        AT_FDCWD,
        path,
        &atime,
        &mtime,
        UtimensatFlags::NoFollowSymlink,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::MetadataExt;

    use plugpull_crashsim::fs::{Attrs, Caller, NewNode};

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

    #[test]
    fn an_exported_directory_is_the_crashed_disk() {
        let own = tempfile::tempdir().expect("a directory");
        let owner = fs::metadata(own.path()).expect("its owner");
        let mut tree = Tree::new(owner.uid(), owner.gid(), 0);
        let caller = Caller {
            uid: owner.uid(),
            gid: owner.gid(),
            now: 0,
        };
        let (file, directory) = (20, 21);
        tree.raw_node(file, &NewNode::File, 0o4640, caller, "a".into());
        tree.raw_content(file, |content| {
            content.set_size_only(1 << 20);
            content.patch((1 << 20) - 4, b"tail");
        });
        tree.raw_node(directory, &NewNode::Dir, 0o750, caller, "d".into());
        tree.raw_entry(ROOT, OsStr::new("a"), Some(file));
        tree.raw_entry(ROOT, OsStr::new("d"), Some(directory));
        tree.raw_entry(directory, OsStr::new("b"), Some(file));
        tree.settle();
        let times = Attrs {
            atime: Some(1_000_000_007),
            mtime: Some(5_000_000_009),
            ..Attrs::default()
        };
        tree.raw_attrs(file, times, 0);
        tree.raw_attrs(directory, times, 0);
        tree.raw_xattr(file, OsStr::new("user.kind"), Some(b"log"));
        let keep = Keep::open(&own.path().join("kept")).expect("a new directory");
        let kept = keep.disk("data", &tree).expect("written");
        assert_eq!(kept.warning(), None);
        let at = kept.at;
        let (one, other) = (at.join("a"), at.join("d/b"));
        let meta = |path: &Path| fs::symlink_metadata(path).expect("there");
        assert_eq!(
            meta(&one).ino(),
            meta(&other).ino(),
            "a hard link was split"
        );
        assert!(meta(&one).blocks() * 512 < 1 << 19, "a hole was filled");
        assert_eq!(meta(&one).mode() & 0o7777, 0o4640);
        assert_eq!(meta(&at.join("d")).mode() & 0o7777, 0o750);
        for path in [&one, &at.join("d")] {
            assert_eq!((meta(path).mtime(), meta(path).mtime_nsec()), (5, 9));
            assert_eq!((meta(path).atime(), meta(path).atime_nsec()), (1, 7));
        }
        let mut value = [0; 8];
        let length = rustix::fs::lgetxattr(&other, "user.kind", &mut value).expect("an attribute");
        assert_eq!(&value[..length], b"log");
        assert!(fs::read(&other).expect("read").ends_with(b"\0tail"));
    }

    /// No filesystem takes an attribute of a namespace that does not exist.
    #[test]
    fn an_attribute_that_a_filesystem_does_not_take_is_a_warning() {
        let place = tempfile::tempdir().expect("a directory");
        let owner = fs::metadata(place.path()).expect("its owner");
        let mut tree = Tree::new(owner.uid(), owner.gid(), 0);
        let caller = Caller {
            uid: owner.uid(),
            gid: owner.gid(),
            now: 0,
        };
        tree.raw_node(20, &NewNode::File, 0o644, caller, "log".into());
        tree.raw_content(20, |content| {
            content.set_size_only(4);
            content.patch(0, b"data");
        });
        tree.raw_entry(ROOT, OsStr::new("log"), Some(20));
        tree.settle();
        tree.raw_xattr(20, OsStr::new("nowhere.kind"), Some(b"log"));
        let keep = Keep::open(&place.path().join("kept")).expect("a new directory");
        let kept = keep.disk("data", &tree).expect("written");
        assert_eq!(fs::read(kept.at.join("log")).expect("read"), b"data");
        let warning = kept.warning().expect("a warning");
        assert!(warning.ends_with("nowhere.kind of log"), "{warning}");
    }
}
