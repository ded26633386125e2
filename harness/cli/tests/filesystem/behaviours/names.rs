//! Names and paths: lengths, bytes, and symbolic links.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};

use libc::{O_CREAT, O_RDONLY, O_RDWR};

use super::{Behaviour, behaviour, file, nlink, text};
use crate::outcome::{line, word};
use crate::sys::{self, open};

pub(super) const LIST: &[Behaviour] = &[
    behaviour("name.255-bytes", "ok ok ok", || {
        let (one, two) = ("n".repeat(255), "m".repeat(255));
        line([
            word(open(&one, O_CREAT | O_RDWR, 0o644)),
            word(fs::rename(&one, &two)),
            word(fs::metadata(&two)),
        ])
    }),
    behaviour(
        "name.256-bytes",
        "ENAMETOOLONG ENAMETOOLONG ENAMETOOLONG ENAMETOOLONG ENAMETOOLONG ENAMETOOLONG",
        || {
            let long = "n".repeat(256);
            file("f", "x")?;
            line([
                word(open(&long, O_CREAT | O_RDWR, 0o644)),
                word(fs::create_dir(&long)),
                word(fs::metadata(&long)),
                word(fs::rename("f", &long)),
                word(fs::hard_link("f", &long)),
                word(symlink("f", &long)),
            ])
        },
    ),
    behaviour(
        "name.256-bytes-removed",
        "ENAMETOOLONG ENAMETOOLONG",
        || {
            let long = "n".repeat(256);
            line([word(fs::remove_file(&long)), word(fs::remove_dir(&long))])
        },
    ),
    behaviour("name.path-of-4096-bytes", "ENAMETOOLONG", || {
        Ok(word(open("./".repeat(2048) + "f", O_RDONLY, 0)))
    }),
    behaviour("name.empty", "ENOENT ENOENT ENOENT", || {
        file("f", "x")?;
        line([
            word(open("", O_RDONLY, 0)),
            word(fs::create_dir("")),
            word(fs::rename("f", "")),
        ])
    }),
    behaviour("name.letter-case", "2 a A", || {
        file("a", "a")?;
        file("A", "A")?;
        Ok(format!(
            "{} {} {}",
            fs::read_dir(".")?.count(),
            text("a")?,
            text("A")?
        ))
    }),
    behaviour("name.utf-8", "naïve-日本-🔌", || {
        file("naïve-日本-🔌", "x")?;
        let names: Vec<_> = fs::read_dir(".")?
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        Ok(names.iter().map(|name| name.to_string_lossy()).collect())
    }),
    behaviour("name.every-byte", "253 253 0", || {
        let odd: Vec<u8> = (1..=255u8).filter(|byte| !b"/.".contains(byte)).collect();
        for byte in &odd {
            fs::write(OsStr::from_bytes(&[*byte]), [*byte])?;
        }
        let right =
            |byte: &&u8| fs::read(OsStr::from_bytes(&[**byte])).is_ok_and(|read| read == [**byte]);
        let (right, listed) = (odd.iter().filter(right).count(), fs::read_dir(".")?.count());
        for byte in &odd {
            fs::remove_file(OsStr::from_bytes(&[*byte]))?;
        }
        Ok(format!("{right} {listed} {}", fs::read_dir(".")?.count()))
    }),
    behaviour("symlink.read", "f 1 777 x", || {
        file("f", "x")?;
        symlink("f", "s")?;
        let meta = fs::symlink_metadata("s")?;
        let to = fs::read_link("s")?;
        Ok(format!(
            "{} {} {:o} {}",
            to.display(),
            meta.len(),
            meta.mode() & 0o7777,
            text("s")?
        ))
    }),
    behaviour("symlink.of-itself", "ELOOP ELOOP ok", || {
        symlink("s", "s")?;
        line([
            word(open("s", O_RDONLY, 0)),
            word(fs::metadata("s")),
            word(fs::symlink_metadata("s")),
        ])
    }),
    behaviour("symlink.chain", "ok ELOOP", || {
        file("s0", "x")?;
        for n in 1..=41 {
            symlink(format!("s{}", n - 1), format!("s{n}"))?;
        }
        line([word(fs::metadata("s40")), word(fs::metadata("s41"))])
    }),
    behaviour("symlink.dangling", "ENOENT ok", || {
        symlink("nowhere", "s")?;
        line([word(fs::metadata("s")), word(fs::symlink_metadata("s"))])
    }),
    behaviour("symlink.existing", "EEXIST EEXIST", || {
        file("f", "x")?;
        symlink("f", "s")?;
        line([word(symlink("g", "s")), word(symlink("g", "f"))])
    }),
    behaviour(
        "symlink.target-lengths",
        "ENOENT ok ok ENAMETOOLONG",
        || {
            line([
                word(symlink("", "a")),
                word(symlink("t".repeat(59), "b")),
                word(symlink("t".repeat(4095), "c")),
                word(symlink("t".repeat(4096), "d")),
            ])
        },
    ),
    behaviour("symlink.space", "59 0 60 8 4095 8", || {
        let mut shown = Vec::new();
        for len in [59, 60, 4095] {
            let name = format!("s{len}");
            symlink("t".repeat(len), &name)?;
            let meta = fs::symlink_metadata(&name)?;
            shown.push(format!("{} {}", meta.len(), meta.blocks()));
        }
        Ok(shown.join(" "))
    }),
    behaviour("symlink.to-a-directory", "x ENOTDIR ENOTDIR", || {
        fs::create_dir("d")?;
        file("d/f", "x")?;
        symlink("d", "s")?;
        line([text("s/f")?, word(sys::rmdir("s")), word(sys::rmdir("s/"))])
    }),
    behaviour("symlink.removed-alone", "ok x", || {
        file("f", "x")?;
        symlink("f", "s")?;
        line([word(fs::remove_file("s")), text("f")?])
    }),
    behaviour("symlink.hard-link-of", "2 1 2", || {
        file("f", "x")?;
        symlink("f", "s")?;
        sys::linkat("s", "t", 0)?;
        let (link, before) = (nlink("t")?, nlink("f")?);
        sys::linkat("s", "g", libc::AT_SYMLINK_FOLLOW)?;
        Ok(format!("{link} {before} {}", nlink("f")?))
    }),
    behaviour("symlink.read-of-others", "EINVAL EINVAL", || {
        file("f", "x")?;
        line([word(fs::read_link("f")), word(fs::read_link("."))])
    }),
    behaviour("symlink.open-creates-beside-target", "ok x", || {
        fs::create_dir("d")?;
        symlink("d/f", "s")?;
        line([word(fs::write("s", "x")), text("d/f")?])
    }),
];
