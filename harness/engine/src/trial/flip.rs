//! Damage to files at rest: which files there are, and a bit of one of them flipped. On the crash
//! filesystem in its tree; on a plain data directory by plugpull started again inside the sandbox,
//! since only there is the directory seen.

use std::collections::BTreeMap;
use std::fs::{self, FileTimes, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use plugpull_crashsim::fs::{Ino, Node, ROOT, Tree};
use plugpull_faults::control::Control;
use plugpull_faults::machine::InjectError;
use plugpull_sandbox::{Child, Program, Sandbox, SpawnRequest};

use super::storage::Storage;

/// The hidden command: `DIRECTORY` lists its files, `FILE OFFSET BIT` flips a bit.
pub const FLIP: &str = "__flip";
/// How long the hidden command may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The regular files below the data directory: path within it and size in bytes, sorted by path.
pub(super) fn files(
    sandbox: &Sandbox,
    storage: &Storage,
) -> Result<Vec<(String, u64)>, InjectError> {
    match storage.fs() {
        Some(fs) => Ok(in_tree(&fs)
            .into_iter()
            .map(|(path, (_, size))| (path, size))
            .collect()),
        None => listed(sandbox),
    }
}

/// Flips bit `bit` of the byte at `offset` of the file at `path` within the data directory.
pub(super) fn flip(
    sandbox: &Sandbox,
    storage: &Storage,
    path: &str,
    offset: u64,
    bit: u8,
) -> Result<(), InjectError> {
    if let Some(fs) = storage.fs() {
        let (ino, _) = in_tree(&fs)
            .remove(path)
            .ok_or_else(|| InjectError::Io(io::ErrorKind::NotFound.into()))?;
        fs.flip_bit(ino, offset, bit);
        return Ok(());
    }
    let file = sandbox.data_dir().join(path).display().to_string();
    let child = spawn(sandbox, vec![file, offset.to_string(), bit.to_string()])?;
    finish(&child)
}

pub(super) fn in_tree(fs: &Control) -> BTreeMap<String, (Ino, u64)> {
    fn walk(tree: &Tree, directory: Ino, path: &Path, found: &mut BTreeMap<String, (Ino, u64)>) {
        let Ok(entries) = tree.dir(directory) else {
            return;
        };
        for (name, entry) in entries.iter() {
            let path = path.join(Path::new(&**name));
            match tree.get(entry.ino).map(|inode| &inode.node) {
                Ok(Node::Dir(_)) => walk(tree, entry.ino, &path, found),
                Ok(Node::File(content)) => {
                    found.insert(path.display().to_string(), (entry.ino, content.size()));
                }
                _ => {}
            }
        }
    }
    fs.inspect(|tree, _| {
        let mut found = BTreeMap::new();
        walk(tree, ROOT, Path::new(""), &mut found);
        found
    })
}

fn listed(sandbox: &Sandbox) -> Result<Vec<(String, u64)>, InjectError> {
    let child = spawn(sandbox, vec![sandbox.data_dir().display().to_string()])?;
    let deadline = Instant::now() + LIMIT;
    let mut files = Vec::new();
    while let Some(line) = child.stdout_line(deadline)? {
        if let Some((size, path)) = line.split_once(' ')
            && let Ok(size) = size.parse()
        {
            files.push((path.to_string(), size));
        }
    }
    finish(&child)?;
    files.sort();
    Ok(files)
}

fn spawn(sandbox: &Sandbox, args: Vec<String>) -> Result<Child, InjectError> {
    let args = [FLIP.to_string()].into_iter().chain(args);
    let request = SpawnRequest {
        reads_lines: true,
        ..SpawnRequest::new(Program::Myself, args)
    };
    sandbox
        .spawn(&request)
        .map_err(|error| InjectError::Io(error.into()))
}

fn finish(child: &Child) -> Result<(), InjectError> {
    match child.wait(Instant::now() + LIMIT)? {
        Some(0) => Ok(()),
        _ => Err(InjectError::Io(io::Error::other(format!(
            "damaging the data directory: {}",
            child.output()
        )))),
    }
}

/// The hidden command.
pub fn main(args: &[String]) -> i32 {
    let result = match args {
        [directory] => {
            let mut lines = Vec::new();
            list(Path::new(directory), Path::new(directory), &mut lines)
                .and_then(|()| io::stdout().write_all(&lines))
        }
        [file, offset, bit] => match (offset.parse(), bit.parse()) {
            (Ok(offset), Ok(bit @ 0..=7)) => flip_in(Path::new(file), offset, bit),
            _ => Err(io::Error::other("the offset or the bit is no such number")),
        },
        _ => Err(io::Error::other(
            "a directory is wanted, or a file, an offset and a bit",
        )),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// A line `SIZE PATH` for each regular file. Names that do not fit on a line are left out.
fn list(root: &Path, directory: &Path, lines: &mut Vec<u8>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            list(root, &path, lines)?;
        } else if kind.is_file() {
            let name = path.strip_prefix(root).ok().and_then(Path::to_str);
            if let Some(name) = name.filter(|name| !name.contains(['\n', '\r'])) {
                writeln!(lines, "{} {name}", entry.metadata()?.len())?;
            }
        }
    }
    Ok(())
}

/// Flips a bit and sets the file's times back: what decays on a disk leaves none.
fn flip_in(file: &Path, offset: u64, bit: u8) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    let before = file.metadata()?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ (1 << bit)], offset)?;
    let times = FileTimes::new()
        .set_accessed(before.accessed()?)
        .set_modified(before.modified()?);
    file.set_times(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> i32 {
        main(&args.iter().map(|arg| arg.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn one_bit_changes_and_no_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, [0b0101_0101; 3]).unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let name = path.to_str().unwrap();
        assert_eq!(run(&[name, "1", "7"]), 0);
        assert_eq!(
            fs::read(&path).unwrap(),
            [0b0101_0101, 0b1101_0101, 0b0101_0101]
        );
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        for wrong in [&[name, "3", "0"], &[name, "0", "8"], &[name, "x", "0"]] {
            assert_eq!(run(wrong), 1, "{wrong:?}");
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 3);
    }

    #[test]
    fn files_are_listed_with_their_sizes() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("sub directory")).unwrap();
        fs::write(root.join("sub directory/a b"), "12345").unwrap();
        fs::write(root.join("two\nlines"), "1").unwrap();
        std::os::unix::fs::symlink("sub directory/a b", root.join("link")).unwrap();
        let mut lines = Vec::new();
        list(root, root, &mut lines).unwrap();
        assert_eq!(String::from_utf8(lines).unwrap(), "5 sub directory/a b\n");
    }
}
