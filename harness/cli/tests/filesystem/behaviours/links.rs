//! Hard links.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use super::{Behaviour, behaviour, file, nlink, text};
use crate::outcome::{line, word};
use crate::sys;

pub(super) const LIST: &[Behaviour] = &[
    behaviour("link.counts", "1 2 3 2 1", || {
        file("a", "x")?;
        let mut counts = vec![nlink("a")?];
        for name in ["b", "c"] {
            fs::hard_link("a", name)?;
            counts.push(nlink("a")?);
        }
        for name in ["a", "b"] {
            fs::remove_file(name)?;
            counts.push(nlink("c")?);
        }
        let shown: Vec<String> = counts.iter().map(u64::to_string).collect();
        Ok(shown.join(" "))
    }),
    behaviour("link.one-file", "true xy", || {
        let mut held = file("a", "x")?;
        fs::hard_link("a", "b")?;
        let same = fs::metadata("a")?.ino() == fs::metadata("b")?.ino();
        std::io::Seek::seek(&mut held, std::io::SeekFrom::End(0))?;
        held.write_all(b"y")?;
        Ok(format!("{same} {}", text("b")?))
    }),
    behaviour(
        "link.refusals",
        "EPERM EEXIST ENOENT ENOENT ENOTDIR",
        || {
            fs::create_dir("d")?;
            file("a", "x")?;
            file("b", "x")?;
            line([
                word(fs::hard_link("d", "e")),
                word(fs::hard_link("a", "b")),
                word(fs::hard_link("nothing", "c")),
                word(fs::hard_link("a", "nowhere/c")),
                word(fs::hard_link("a", "b/c")),
            ])
        },
    ),
    behaviour("link.across-directories", "2 x", || {
        fs::create_dir("d")?;
        file("a", "x")?;
        fs::hard_link("a", "d/b")?;
        let count = nlink("a")?;
        fs::remove_file("a")?;
        Ok(format!("{count} {}", text("d/b")?))
    }),
    behaviour("link.of-open-file", "ok x", || {
        let held = file("a", "x")?;
        let from = format!("/proc/self/fd/{}", held.as_raw_fd());
        line([
            word(sys::linkat(&from, "b", libc::AT_SYMLINK_FOLLOW)),
            text("b")?,
        ])
    }),
    behaviour("link.of-unlinked-file", "ENOENT", || {
        let held = file("a", "x")?;
        fs::remove_file("a")?;
        let from = format!("/proc/self/fd/{}", held.as_raw_fd());
        Ok(word(sys::linkat(&from, "b", libc::AT_SYMLINK_FOLLOW)))
    }),
    behaviour("link.two-hundred", "201 1", || {
        file("a", "x")?;
        for n in 0..200 {
            fs::hard_link("a", format!("b{n}"))?;
        }
        let most = nlink("a")?;
        for n in 0..200 {
            fs::remove_file(format!("b{n}"))?;
        }
        Ok(format!("{most} {}", nlink("a")?))
    }),
    behaviour("link.space-counted-once", "8 8", || {
        let held = file("a", [1; 4096])?;
        fs::hard_link("a", "b")?;
        held.sync_all()?;
        Ok(format!(
            "{} {}",
            fs::metadata("a")?.blocks(),
            fs::metadata("b")?.blocks()
        ))
    }),
];
