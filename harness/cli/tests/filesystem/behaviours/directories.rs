//! mkdir(2), rmdir(2), unlink(2), and directories that are gone.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};

use libc::{O_CREAT, O_RDONLY, O_RDWR};

use super::{Behaviour, behaviour, file, nlink};
use crate::outcome::{line, value, word};
use crate::sys::{self, open, openat};

pub(super) const LIST: &[Behaviour] = &[
    behaviour("mkdir.existing", "EEXIST EEXIST EEXIST EEXIST", || {
        fs::create_dir("d")?;
        file("f", "x")?;
        symlink("nowhere", "s")?;
        line([
            word(fs::create_dir("d")),
            word(fs::create_dir("f")),
            word(fs::create_dir("s")),
            word(fs::create_dir(".")),
        ])
    }),
    behaviour("mkdir.nowhere", "ENOENT ENOTDIR", || {
        file("f", "x")?;
        line([word(fs::create_dir("a/b")), word(fs::create_dir("f/b"))])
    }),
    behaviour("mkdir.trailing-slash", "ok", || {
        Ok(word(fs::create_dir("d/")))
    }),
    behaviour("mkdir.link-counts", "2 4 3 2", || {
        fs::create_dir("d")?;
        let empty = nlink("d")?;
        fs::create_dir("d/a")?;
        fs::create_dir("d/b")?;
        let two = nlink("d")?;
        file("d/f", "x")?;
        fs::remove_dir("d/a")?;
        let one = nlink("d")?;
        fs::remove_dir("d/b")?;
        Ok(format!("{empty} {two} {one} {}", nlink("d")?))
    }),
    behaviour("mkdir.deep", "300", || {
        for _ in 0..300 {
            fs::create_dir("some-directory")?;
            std::env::set_current_dir("some-directory")?;
        }
        let mut depth = 0;
        while fs::metadata("../some-directory").is_ok() {
            std::env::set_current_dir("..")?;
            depth += 1;
        }
        Ok(depth.to_string())
    }),
    behaviour(
        "rmdir.refusals",
        "ENOTEMPTY ENOTDIR ENOENT EINVAL ENOTEMPTY",
        || {
            fs::create_dir_all("d/e")?;
            file("f", "x")?;
            line([
                word(sys::rmdir("d")),
                word(sys::rmdir("f")),
                word(sys::rmdir("g")),
                word(sys::rmdir("d/.")),
                word(sys::rmdir("d/e/..")),
            ])
        },
    ),
    behaviour("rmdir.made-again", "ok ENOENT 0", || {
        fs::create_dir("d")?;
        file("d/f", "x")?;
        fs::remove_file("d/f")?;
        sys::rmdir("d")?;
        line([
            word(fs::create_dir("d")),
            word(fs::metadata("d/f")),
            fs::read_dir("d")?.count().to_string(),
        ])
    }),
    behaviour("unlink.refusals", "EISDIR ENOENT ENOTDIR ENOTDIR", || {
        fs::create_dir("d")?;
        file("f", "x")?;
        line([
            word(fs::remove_file("d")),
            word(fs::remove_file("g")),
            word(fs::remove_file("f/")),
            word(fs::remove_file("f/g")),
        ])
    }),
    behaviour("unlink.then-missing", "ok ENOENT ENOENT", || {
        file("f", "x")?;
        line([
            word(fs::remove_file("f")),
            word(fs::remove_file("f")),
            word(open("f", O_RDONLY, 0)),
        ])
    }),
    behaviour(
        "gone-directory.create-in-it",
        "ENOENT ENOENT ENOENT ENOENT ENOENT",
        || {
            fs::create_dir("d")?;
            file("f", "x")?;
            let outside = std::env::current_dir()?.join("f");
            std::env::set_current_dir("d")?;
            sys::rmdir("../d")?;
            line([
                word(open("g", O_CREAT | O_RDWR, 0o644)),
                word(fs::create_dir("g")),
                word(symlink("x", "g")),
                word(fs::hard_link(&outside, "g")),
                word(fs::rename(&outside, "g")),
            ])
        },
    ),
    behaviour("gone-directory.look-at-it", "ENOENT 0 ok ok ENOENT", || {
        fs::create_dir("d")?;
        std::env::set_current_dir("d")?;
        sys::rmdir("../d")?;
        line([
            word(std::env::current_dir()),
            value(fs::metadata(".").map(|meta| meta.nlink())),
            word(fs::metadata("..")),
            word(File::open(".")),
            word(sys::rmdir("../d")),
        ])
    }),
    behaviour("gone-directory.listed", "0 0", || {
        fs::create_dir("d")?;
        let mut listing = sys::Listing::open("d")?;
        std::env::set_current_dir("d")?;
        sys::rmdir("../d")?;
        let mut left = 0;
        while listing.next().is_some() {
            left += 1;
        }
        Ok(format!("{left} {}", fs::read_dir(".")?.flatten().count()))
    }),
    behaviour("gone-directory.openat", "ENOENT ENOENT", || {
        fs::create_dir("d")?;
        let held = File::open("d")?;
        sys::rmdir("d")?;
        line([
            word(openat(held.as_raw_fd(), "f", O_CREAT | O_RDWR, 0o644)),
            word(openat(held.as_raw_fd(), "f", O_RDONLY, 0)),
        ])
    }),
    behaviour(
        "gone-directory.name-taken-by-another",
        "false ENOENT x",
        || {
            fs::create_dir("d")?;
            let held = File::open("d")?;
            sys::rmdir("d")?;
            fs::create_dir("d")?;
            file("d/f", "x")?;
            line([
                (held.metadata()?.ino() == fs::metadata("d")?.ino()).to_string(),
                word(openat(held.as_raw_fd(), "f", O_RDONLY, 0)),
                super::text("d/f")?,
            ])
        },
    ),
    behaviour("directory.synced", "ok ok", || {
        fs::create_dir("d")?;
        file("d/f", "x")?;
        let directory = File::open("d")?;
        line([word(directory.sync_all()), word(directory.sync_data())])
    }),
    behaviour("directory.size-and-space", "true true", || {
        fs::create_dir("d")?;
        let meta = fs::metadata("d")?;
        Ok(format!("{} {}", meta.len() > 0, meta.blocks() > 0))
    }),
    behaviour("directory.truncated", "EISDIR EISDIR", || {
        fs::create_dir("d")?;
        line([word(sys::truncate("d", 0)), word(fs::write("d", "x"))])
    }),
];
