//! Modes and owners: chmod(2), chown(2), umask(2), the set-id bits.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};

use libc::{O_CREAT, O_RDWR};

use super::{Behaviour, STRANGER, as_stranger, behaviour, file};
use crate::outcome::{Trouble, line, word};
use crate::sys::{self, open};

fn chmod(name: &str, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(name, Permissions::from_mode(mode))
}

fn mode(name: &str) -> std::io::Result<String> {
    Ok(format!("{:o}", fs::symlink_metadata(name)?.mode() & 0o7777))
}

fn owner(name: &str) -> std::io::Result<String> {
    let meta = fs::symlink_metadata(name)?;
    Ok(format!("{}:{}", meta.uid(), meta.gid()))
}

/// chown(2), which takes a privilege that not every user has.
fn give(name: &str, uid: Option<u32>, gid: Option<u32>) -> Result<(), Trouble> {
    chown(name, uid, gid).map_err(|_| Trouble::NotMeasured("needs root".into()))
}

pub(super) const LIST: &[Behaviour] = &[
    behaviour("mode.every-bit", "0 7777 1234", || {
        file("f", "x")?;
        let mut seen = Vec::new();
        for bits in [0, 0o7777, 0o1234] {
            chmod("f", bits)?;
            seen.push(mode("f")?);
        }
        Ok(seen.join(" "))
    }),
    behaviour("mode.of-a-descriptor", "640", || {
        let held = file("f", "x")?;
        held.set_permissions(Permissions::from_mode(0o640))?;
        mode("f").map_err(Into::into)
    }),
    behaviour("mode.umask", "640 750 644", || {
        let before = sys::umask(0o027);
        open("f", O_CREAT | O_RDWR, 0o666)?;
        fs::create_dir("d")?;
        sys::umask(before);
        open("g", O_CREAT | O_RDWR, 0o666)?;
        line([mode("f")?, mode("d")?, mode("g")?])
    }),
    behaviour("mode.of-a-new-sticky-directory", "1755", || {
        nix::unistd::mkdir("d", nix::sys::stat::Mode::from_bits_truncate(0o1777))
            .map_err(std::io::Error::from)?;
        mode("d").map_err(Into::into)
    }),
    behaviour("mode.through-a-symlink", "600 777", || {
        file("f", "x")?;
        symlink("f", "s")?;
        chmod("s", 0o600)?;
        line([mode("f")?, mode("s")?])
    }),
    behaviour("mode.of-all-names", "600", || {
        file("f", "x")?;
        fs::hard_link("f", "g")?;
        chmod("f", 0o600)?;
        mode("g").map_err(Into::into)
    }),
    behaviour("owner.changed", "1000:2000 1000:3000", || {
        file("f", "x")?;
        give("f", Some(1000), Some(2000))?;
        let both = owner("f")?;
        give("f", None, Some(3000))?;
        line([both, owner("f")?])
    }),
    behaviour("owner.of-a-symlink", "1000:1000 0:0", || {
        file("f", "x")?;
        symlink("f", "s")?;
        if lchown("s", Some(1000), Some(1000)).is_err() {
            return Err(Trouble::NotMeasured("needs root".into()));
        }
        line([owner("s")?, owner("f")?])
    }),
    behaviour("owner.change-clears-set-id", "6755 755 2755", || {
        file("f", "x")?;
        chmod("f", 0o6755)?;
        let before = mode("f")?;
        give("f", Some(STRANGER), Some(STRANGER))?;
        fs::create_dir("d")?;
        chmod("d", 0o2755)?;
        give("d", Some(STRANGER), Some(STRANGER))?;
        line([before, mode("f")?, mode("d")?])
    }),
    behaviour("set-id.cleared-by-a-write", "6777 777", || {
        file("f", "x")?;
        chmod("f", 0o6777)?;
        let before = mode("f")?;
        as_stranger(|| {
            File::options().append(true).open("f")?.write_all(b"y")?;
            Ok(String::new())
        })?;
        line([before, mode("f")?])
    }),
    behaviour("set-id.cleared-by-a-truncation", "777", || {
        file("f", "x")?;
        chmod("f", 0o6777)?;
        as_stranger(|| {
            sys::truncate("f", 0)?;
            Ok(String::new())
        })?;
        mode("f").map_err(Into::into)
    }),
    behaviour("set-id.cleared-by-fallocate", "777", || {
        file("f", "x")?;
        chmod("f", 0o6777)?;
        as_stranger(|| {
            sys::fallocate(&super::rw("f")?, 0, 0, 4096)?;
            Ok(String::new())
        })?;
        mode("f").map_err(Into::into)
    }),
    behaviour("set-id.kept-by-roots-write", "6777", || {
        file("f", "x")?;
        chmod("f", 0o6777)?;
        File::options().append(true).open("f")?.write_all(b"y")?;
        if !nix::unistd::geteuid().is_root() {
            return Err(Trouble::NotMeasured("needs root".into()));
        }
        mode("f").map_err(Into::into)
    }),
    behaviour("set-id.group-bit-of-a-stranger", "755", || {
        // Who is not in the group cannot set its bit.
        file("f", "x")?;
        give("f", Some(STRANGER), Some(STRANGER + 1))?;
        as_stranger(|| {
            chmod("f", 0o2755)?;
            Ok(String::new())
        })?;
        mode("f").map_err(Into::into)
    }),
    behaviour(
        "set-id.directory-gives-its-group",
        "2000 2755 2000 644 2000",
        || {
            fs::create_dir("d")?;
            give("d", None, Some(2000))?;
            chmod("d", 0o2755)?;
            fs::create_dir("d/e")?;
            file("d/f", "x")?;
            symlink("f", "d/s")?;
            let gid = |name: &str| fs::symlink_metadata(name).map(|meta| meta.gid().to_string());
            line([
                gid("d/e")?,
                mode("d/e")?,
                gid("d/f")?,
                mode("d/f")?,
                gid("d/s")?,
            ])
        },
    ),
    behaviour("set-id.directory-without-the-bit", "0 755", || {
        fs::create_dir("d")?;
        give("d", None, Some(2000))?;
        fs::create_dir("d/e")?;
        line([fs::metadata("d/e")?.gid().to_string(), mode("d/e")?])
    }),
    behaviour("mode.access", "ok EACCES", || {
        file("f", "x")?;
        chmod("f", 0o604)?;
        as_stranger(|| {
            let ask = |how| nix::unistd::access("f", how).map_err(std::io::Error::from);
            line([
                word(ask(nix::unistd::AccessFlags::R_OK)),
                word(ask(nix::unistd::AccessFlags::W_OK)),
            ])
        })
    }),
];
