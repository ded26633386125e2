//! Files that are open and have no name any more.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::{Behaviour, behaviour, file, rw, size_and_blocks, text};
use crate::outcome::{line, value, word};
use crate::sys::{self, Map};

fn unlinked(bytes: impl AsRef<[u8]>) -> std::io::Result<File> {
    let held = file("f", bytes)?;
    fs::remove_file("f")?;
    Ok(held)
}

pub(super) const LIST: &[Behaviour] = &[
    behaviour("unlinked.read", "x", || {
        let mut byte = [0];
        unlinked("x")?.read_exact_at(&mut byte, 0)?;
        Ok(char::from(byte[0]).to_string())
    }),
    behaviour("unlinked.write", "ok 9 z", || {
        let held = unlinked("x")?;
        let wrote = word(held.write_all_at(b"z", 8));
        let mut byte = [0];
        held.read_exact_at(&mut byte, 8)?;
        line([
            wrote,
            held.metadata()?.len().to_string(),
            char::from(byte[0]).to_string(),
        ])
    }),
    behaviour("unlinked.stat", "0 1", || {
        let meta = unlinked("x")?.metadata()?;
        Ok(format!("{} {}", meta.nlink(), meta.len()))
    }),
    behaviour("unlinked.truncate-and-allocate", "100 8 8192 16", || {
        let held = unlinked([1; 8192])?;
        sys::ftruncate(&held, 100)?;
        let small = size_and_blocks(&held)?;
        sys::fallocate(&held, 0, 0, 8192)?;
        Ok(format!("{small} {}", size_and_blocks(&held)?))
    }),
    behaviour("unlinked.mapped", "m", || {
        let held = unlinked([b'a'; 4096])?;
        let map = Map::shared(&held, 4096)?;
        map.put(7, b'm');
        map.sync()?;
        let mut byte = [0];
        held.read_exact_at(&mut byte, 7)?;
        Ok(char::from(byte[0]).to_string())
    }),
    behaviour("unlinked.mapped-and-closed", "m", || {
        let map = Map::shared(&unlinked([b'a'; 4096])?, 4096)?;
        map.put(7, b'm');
        Ok(char::from(map.get(7)).to_string())
    }),
    behaviour("unlinked.synced", "ok ok", || {
        let held = unlinked("x")?;
        held.write_all_at(b"y", 0)?;
        line([word(held.sync_all()), word(held.sync_data())])
    }),
    behaviour("unlinked.changed", "640 ok", || {
        let held = unlinked("x")?;
        let mut mode = held.metadata()?.permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o640);
        held.set_permissions(mode)?;
        let now = std::time::SystemTime::UNIX_EPOCH;
        line([
            format!("{:o}", held.metadata()?.mode() & 0o7777),
            word(held.set_modified(now)),
        ])
    }),
    behaviour("unlinked.opened-again", "x y", || {
        let held = unlinked("x")?;
        let path = format!("/proc/self/fd/{}", held.as_raw_fd());
        let before = text(&path)?;
        rw(&path)?.write_all_at(b"y", 0)?;
        Ok(format!("{before} {}", text(&path)?))
    }),
    behaviour("unlinked.name-taken-by-another", "new old false", || {
        let held = unlinked("old")?;
        file("f", "new")?;
        let mut old = [0; 3];
        held.read_exact_at(&mut old, 0)?;
        let same = held.metadata()?.ino() == fs::metadata("f")?.ino();
        line([
            text("f")?,
            String::from_utf8_lossy(&old).into(),
            same.to_string(),
        ])
    }),
    behaviour("unlinked.survives-another-close", "1", || {
        let one = file("f", "x")?;
        let two = rw("f")?;
        fs::remove_file("f")?;
        drop(one);
        Ok(value(two.read_at(&mut [0; 4], 0)))
    }),
    behaviour("unlinked.in-a-directory-that-is-gone", "x", || {
        fs::create_dir("d")?;
        let held = file("d/f", "x")?;
        fs::remove_dir_all("d")?;
        let mut byte = [0];
        held.read_exact_at(&mut byte, 0)?;
        Ok(char::from(byte[0]).to_string())
    }),
];
