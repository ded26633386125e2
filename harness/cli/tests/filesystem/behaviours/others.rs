//! Permissions, as another user finds them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use libc::{O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, UTIME_NOW};

use super::{Behaviour, STRANGER, as_stranger, behaviour, file};
use crate::outcome::{line, word};
use crate::sys::{self, open};

fn chmod(name: &str, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(name, Permissions::from_mode(mode))
}

const NOW: [(i64, i64); 2] = [(0, UTIME_NOW); 2];

pub(super) const LIST: &[Behaviour] = &[
    behaviour("other.private-file", "EACCES EACCES ok", || {
        file("f", "x")?;
        chmod("f", 0o600)?;
        as_stranger(|| {
            line([
                word(open("f", O_RDONLY, 0)),
                word(open("f", O_WRONLY, 0)),
                word(fs::metadata("f")),
            ])
        })
    }),
    behaviour("other.readable-file", "ok EACCES EACCES", || {
        file("f", "x")?;
        chmod("f", 0o644)?;
        as_stranger(|| {
            line([
                word(open("f", O_RDONLY, 0)),
                word(open("f", O_RDWR, 0)),
                word(sys::truncate("f", 0)),
            ])
        })
    }),
    behaviour("other.permission-taken-back", "ok EACCES", || {
        file("f", "x")?;
        let before = as_stranger(|| Ok(word(open("f", O_RDONLY, 0))))?;
        chmod("f", 0o600)?;
        line([before, as_stranger(|| Ok(word(open("f", O_RDONLY, 0))))?])
    }),
    behaviour("other.group", "ok EACCES", || {
        file("f", "x")?;
        chmod("f", 0o040)?;
        let before = as_stranger(|| Ok(word(open("f", O_RDONLY, 0))));
        chown("f", None, Some(STRANGER))?;
        let group = as_stranger(|| Ok(word(open("f", O_RDONLY, 0))))?;
        line([group, before?])
    }),
    behaviour("other.owner-class-comes-first", "EACCES", || {
        file("f", "x")?;
        chown("f", Some(STRANGER), None)?;
        chmod("f", 0o044)?;
        as_stranger(|| Ok(word(open("f", O_RDONLY, 0))))
    }),
    behaviour("other.directory-without-search", "EACCES EACCES", || {
        fs::create_dir("d")?;
        file("d/f", "x")?;
        chmod("d", 0o744)?;
        as_stranger(|| line([word(fs::metadata("d/f")), word(open("d/f", O_RDONLY, 0))]))
    }),
    behaviour("other.directory-without-listing", "ok EACCES", || {
        fs::create_dir("d")?;
        file("d/f", "x")?;
        chmod("d", 0o711)?;
        as_stranger(|| line([word(open("d/f", O_RDONLY, 0)), word(fs::read_dir("d"))]))
    }),
    behaviour(
        "other.directory-not-writable",
        "EACCES EACCES EACCES EACCES EACCES",
        || {
            fs::create_dir_all("d/e")?;
            file("d/f", "x")?;
            chmod("d", 0o755)?;
            as_stranger(|| {
                line([
                    word(open("d/g", O_CREAT | O_RDWR, 0o644)),
                    word(fs::remove_file("d/f")),
                    word(fs::rename("d/f", "d/g")),
                    word(fs::create_dir("d/h")),
                    word(fs::remove_dir("d/e")),
                ])
            })
        },
    ),
    behaviour("other.sticky-directory", "EPERM EPERM EPERM ok ok", || {
        fs::create_dir("d")?;
        chmod("d", 0o1777)?;
        file("d/f", "x")?;
        as_stranger(|| {
            fs::write("d/own", "x")?;
            line([
                word(fs::remove_file("d/f")),
                word(fs::rename("d/f", "d/g")),
                word(fs::rename("d/own", "d/f")),
                word(fs::rename("d/own", "d/own2")),
                word(fs::remove_file("d/own2")),
            ])
        })
    }),
    behaviour("other.chmod-and-chown", "EPERM EPERM EPERM", || {
        file("f", "x")?;
        as_stranger(|| {
            line([
                word(chmod("f", 0o777)),
                word(chown("f", Some(STRANGER), None)),
                word(chown("f", None, Some(STRANGER))),
            ])
        })
    }),
    behaviour("other.gives-own-file-away", "EPERM ok EPERM", || {
        file("f", "x")?;
        chown("f", Some(STRANGER), Some(STRANGER))?;
        as_stranger(|| {
            line([
                word(chown("f", Some(STRANGER + 1), None)),
                word(chown("f", None, Some(STRANGER))),
                word(chown("f", None, Some(STRANGER + 1))),
            ])
        })
    }),
    behaviour("other.sets-times", "EACCES EPERM ok EPERM", || {
        file("f", "x")?;
        file("g", "x")?;
        chmod("g", 0o666)?;
        as_stranger(|| {
            line([
                word(sys::utimens("f", NOW, 0)),
                word(sys::utimens("f", [(1, 0); 2], 0)),
                word(sys::utimens("g", NOW, 0)),
                word(sys::utimens("g", [(1, 0); 2], 0)),
            ])
        })
    }),
    behaviour("other.open-stays-open", "1", || {
        let held = file("f", "x")?;
        chmod("f", 0)?;
        as_stranger(|| {
            let read = std::os::unix::fs::FileExt::read_at(&held, &mut [0; 4], 0);
            Ok(crate::outcome::value(read))
        })
    }),
    behaviour("other.owner-of-what-it-makes", "1000 1000 640", || {
        chmod(".", 0o777)?;
        as_stranger(|| {
            open("f", O_CREAT | O_RDWR, 0o640)?;
            let meta = fs::metadata("f")?;
            use std::os::unix::fs::MetadataExt;
            Ok(format!(
                "{} {} {:o}",
                meta.uid(),
                meta.gid(),
                meta.mode() & 0o7777
            ))
        })
    }),
    behaviour("other.not-executable", "EACCES", || {
        file("f", "#!/bin/sh\n")?;
        chmod("f", 0o644)?;
        Ok(word(std::process::Command::new("./f").status()))
    }),
    behaviour("other.root-reads-anything", "ok ok", || {
        let held = file("f", "x")?;
        chmod("f", 0)?;
        drop(held);
        if !nix::unistd::geteuid().is_root() {
            return Err(crate::outcome::Trouble::NotMeasured("needs root".into()));
        }
        line([word(open("f", O_RDONLY, 0)), word(open("f", O_RDWR, 0))])
    }),
];
