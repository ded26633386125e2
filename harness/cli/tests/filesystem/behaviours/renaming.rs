//! rename(2) and renameat2(2).

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};

use libc::{O_RDONLY, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT};

use super::{Behaviour, behaviour, file, nlink, text};
use crate::outcome::{line, word};
use crate::sys::{openat, renameat2};

pub(super) const LIST: &[Behaviour] = &[
    behaviour("rename.file", "ok ENOENT x same", || {
        file("a", "x")?;
        let before = fs::metadata("a")?.ino();
        let done = word(fs::rename("a", "b"));
        let same = if fs::metadata("b")?.ino() == before {
            "same"
        } else {
            "other"
        };
        line([done, word(fs::metadata("a")), text("b")?, same.into()])
    }),
    behaviour("rename.over-a-file", "new 0 old", || {
        file("a", "new")?;
        let mut replaced = file("b", "old")?;
        fs::rename("a", "b")?;
        let mut old = String::new();
        replaced.read_to_string(&mut old)?;
        line([text("b")?, replaced.metadata()?.nlink().to_string(), old])
    }),
    behaviour("rename.to-itself", "ok x", || {
        file("a", "x")?;
        line([word(fs::rename("a", "a")), text("a")?])
    }),
    behaviour("rename.two-names-of-one-file", "ok 2 2", || {
        file("a", "x")?;
        fs::hard_link("a", "b")?;
        line([
            word(fs::rename("a", "b")),
            nlink("a")?.to_string(),
            nlink("b")?.to_string(),
        ])
    }),
    behaviour("rename.noreplace", "EEXIST ok EEXIST", || {
        file("a", "x")?;
        file("b", "y")?;
        line([
            word(renameat2("a", "b", RENAME_NOREPLACE)),
            word(renameat2("a", "c", RENAME_NOREPLACE)),
            word(renameat2("c", "c", RENAME_NOREPLACE)),
        ])
    }),
    behaviour("rename.exchange-files", "ok B A", || {
        file("a", "A")?;
        file("b", "B")?;
        line([
            word(renameat2("a", "b", RENAME_EXCHANGE)),
            text("a")?,
            text("b")?,
        ])
    }),
    behaviour("rename.exchange-file-and-directory", "ok x A 2 4 3", || {
        fs::create_dir_all("one/d")?;
        fs::create_dir_all("two/e")?;
        file("one/d/f", "x")?;
        file("two/a", "A")?;
        fs::create_dir("two/g")?;
        let done = word(renameat2("one/d", "two/a", RENAME_EXCHANGE));
        line([
            done,
            text("two/a/f")?,
            text("one/d")?,
            nlink("one")?.to_string(),
            (nlink("two")? - 1).to_string(),
            (fs::read_dir("two")?.count()).to_string(),
        ])
    }),
    behaviour("rename.exchange-directories", "ok x ok true", || {
        fs::create_dir_all("a/deep")?;
        fs::create_dir_all("b")?;
        file("a/f", "x")?;
        let done = word(renameat2("a", "b", RENAME_EXCHANGE));
        let up = fs::metadata("b/deep/..")?.ino() == fs::metadata("b")?.ino();
        line([
            done,
            text("b/f")?,
            word(fs::metadata("b/deep")),
            up.to_string(),
        ])
    }),
    behaviour("rename.exchange-missing", "ENOENT ENOENT", || {
        file("a", "x")?;
        line([
            word(renameat2("a", "b", RENAME_EXCHANGE)),
            word(renameat2("b", "a", RENAME_EXCHANGE)),
        ])
    }),
    behaviour("rename.exchange-with-own-parent", "EINVAL EINVAL", || {
        fs::create_dir_all("a/b/c")?;
        line([
            word(renameat2("a", "a/b/c", RENAME_EXCHANGE)),
            word(renameat2("a/b/c", "a", RENAME_EXCHANGE)),
        ])
    }),
    behaviour("rename.flags-that-exclude", "EINVAL EINVAL", || {
        file("a", "x")?;
        file("b", "x")?;
        line([
            word(renameat2("a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE)),
            word(renameat2("a", "b", 1 << 20)),
        ])
    }),
    behaviour("rename.whiteout", "ok", || {
        file("a", "x")?;
        Ok(word(renameat2("a", "b", RENAME_WHITEOUT)))
    }),
    behaviour("rename.into-own-subfolder", "EINVAL EINVAL", || {
        fs::create_dir_all("a/b")?;
        line([word(fs::rename("a", "a/b/c")), word(fs::rename("a", "a/b"))])
    }),
    behaviour("rename.over-own-parent", "ENOTEMPTY", || {
        fs::create_dir_all("a/b")?;
        Ok(word(fs::rename("a/b", "a")))
    }),
    behaviour("rename.over-full-directory", "ENOTEMPTY", || {
        fs::create_dir_all("a")?;
        fs::create_dir_all("b/c")?;
        Ok(word(fs::rename("a", "b")))
    }),
    behaviour("rename.over-empty-directory", "ok x 0", || {
        fs::create_dir_all("a")?;
        file("a/f", "x")?;
        fs::create_dir("b")?;
        let replaced = File::open("b")?;
        line([
            word(fs::rename("a", "b")),
            text("b/f")?,
            replaced.metadata()?.nlink().to_string(),
        ])
    }),
    behaviour("rename.over-the-other-kind", "EISDIR ENOTDIR", || {
        fs::create_dir("d")?;
        file("f", "x")?;
        line([word(fs::rename("f", "d")), word(fs::rename("d", "f"))])
    }),
    behaviour("rename.over-a-symlink", "ok x nowhere", || {
        file("a", "x")?;
        file("nowhere", "nowhere")?;
        symlink("nowhere", "s")?;
        line([word(fs::rename("a", "s")), text("s")?, text("nowhere")?])
    }),
    behaviour("rename.a-symlink", "ok f x", || {
        file("f", "x")?;
        symlink("f", "s")?;
        let done = word(fs::rename("s", "t"));
        line([done, fs::read_link("t")?.display().to_string(), text("f")?])
    }),
    behaviour("rename.missing", "ENOENT ENOENT ENOTDIR", || {
        file("f", "x")?;
        line([
            word(fs::rename("a", "b")),
            word(fs::rename("f", "d/f")),
            word(fs::rename("f", "f/g")),
        ])
    }),
    behaviour("rename.dots", "EBUSY EBUSY EBUSY", || {
        fs::create_dir("d")?;
        line([
            word(fs::rename("d/.", "e")),
            word(fs::rename("d/..", "e")),
            word(fs::rename("d", "d/..")),
        ])
    }),
    behaviour("rename.trailing-slash", "ENOTDIR ENOTDIR ok", || {
        file("f", "x")?;
        fs::create_dir("d")?;
        line([
            word(fs::rename("f/", "g")),
            word(fs::rename("f", "g/")),
            word(fs::rename("d/", "e/")),
        ])
    }),
    behaviour(
        "rename.directory-across-directories",
        "3 2 2 3 true",
        || {
            fs::create_dir_all("a/d")?;
            fs::create_dir("b")?;
            let before = (nlink("a")?, nlink("b")?);
            fs::rename("a/d", "b/d")?;
            let up = fs::metadata("b/d/..")?.ino() == fs::metadata("b")?.ino();
            Ok(format!(
                "{} {} {} {} {up}",
                before.0,
                before.1,
                nlink("a")?,
                nlink("b")?
            ))
        },
    ),
    behaviour("rename.directory-over-directory-across", "2 3 ok", || {
        fs::create_dir_all("a/d/deep")?;
        fs::create_dir_all("b/d")?;
        fs::rename("a/d", "b/d")?;
        let counts = format!("{} {}", nlink("a")?, nlink("b")?);
        line([counts, word(fs::metadata("b/d/deep"))])
    }),
    behaviour("rename.open-directory-follows", "x", || {
        fs::create_dir("a")?;
        file("a/f", "x")?;
        let held = File::open("a")?;
        fs::rename("a", "b")?;
        let mut read = String::new();
        openat(held.as_raw_fd(), "f", O_RDONLY, 0)?.read_to_string(&mut read)?;
        Ok(read)
    }),
    behaviour("rename.working-directory-follows", "b ok", || {
        fs::create_dir("a")?;
        std::env::set_current_dir("a")?;
        fs::rename("../a", "../b")?;
        let here = std::env::current_dir()?;
        let name = here
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        line([name.unwrap_or_default(), word(fs::write("f", "x"))])
    }),
    behaviour("rename.open-file-follows", "xy", || {
        let mut held = file("a", "")?;
        std::io::Write::write_all(&mut held, b"x")?;
        fs::rename("a", "b")?;
        std::io::Write::write_all(&mut held, b"y")?;
        Ok(text("b")?)
    }),
    behaviour("rename.over-it-again-and-again", "1 299", || {
        for n in 0..300 {
            file("new", n.to_string())?;
            fs::rename("new", "current")?;
        }
        Ok(format!(
            "{} {}",
            fs::read_dir(".")?.count(),
            text("current")?
        ))
    }),
    behaviour(
        "rename.negative-name-is-forgotten",
        "ENOENT x ENOENT",
        || {
            file("a", "x")?;
            let before = word(fs::metadata("b"));
            fs::rename("a", "b")?;
            line([before, text("b")?, word(fs::metadata("a"))])
        },
    ),
];
