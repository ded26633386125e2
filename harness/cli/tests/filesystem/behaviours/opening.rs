//! open(2): flags, and what they refuse.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};

use libc::{
    O_APPEND, O_CREAT, O_DIRECTORY, O_DSYNC, O_EXCL, O_NOATIME, O_NOFOLLOW, O_PATH, O_RDONLY,
    O_RDWR, O_SYNC, O_TMPFILE, O_TRUNC, O_WRONLY,
};

use super::{Behaviour, behaviour, file, rw, text};
use crate::outcome::{line, value, word};
use crate::sys::{self, open, openat};

pub(super) const LIST: &[Behaviour] = &[
    behaviour("open.create", "ok 0", || {
        Ok(format!(
            "{} {}",
            word(open("f", O_CREAT | O_RDWR, 0o644)),
            fs::metadata("f")?.len()
        ))
    }),
    behaviour("open.excl-new", "ok", || {
        Ok(word(open("f", O_CREAT | O_EXCL | O_RDWR, 0o644)))
    }),
    behaviour("open.excl-existing", "EEXIST", || {
        file("f", "x")?;
        Ok(word(open("f", O_CREAT | O_EXCL | O_RDWR, 0o644)))
    }),
    behaviour("open.excl-on-dangling-symlink", "EEXIST", || {
        symlink("nowhere", "s")?;
        Ok(word(open("s", O_CREAT | O_EXCL | O_RDWR, 0o644)))
    }),
    behaviour("open.create-through-dangling-symlink", "ok ok", || {
        symlink("there", "s")?;
        line([
            word(open("s", O_CREAT | O_RDWR, 0o644)),
            word(fs::metadata("there")),
        ])
    }),
    behaviour("open.missing", "ENOENT", || {
        Ok(word(open("f", O_RDONLY, 0)))
    }),
    behaviour("open.create-in-missing-directory", "ENOENT", || {
        Ok(word(open("d/f", O_CREAT | O_RDWR, 0o644)))
    }),
    behaviour("open.file-as-directory", "ENOTDIR", || {
        file("f", "x")?;
        Ok(word(open("f/g", O_CREAT | O_RDWR, 0o644)))
    }),
    behaviour("open.directory-flag", "ENOTDIR ok", || {
        file("f", "x")?;
        fs::create_dir("d")?;
        line([
            word(open("f", O_DIRECTORY, 0)),
            word(open("d", O_DIRECTORY, 0)),
        ])
    }),
    behaviour("open.directory-for-writing", "EISDIR EISDIR ok", || {
        fs::create_dir("d")?;
        line([
            word(open("d", O_WRONLY, 0)),
            word(open("d", O_CREAT | O_RDONLY, 0o644)),
            word(open("d", O_RDONLY, 0)),
        ])
    }),
    behaviour("open.trailing-slash", "ENOTDIR EISDIR ok", || {
        file("f", "x")?;
        fs::create_dir("d")?;
        line([
            word(open("f/", O_RDONLY, 0)),
            word(open("g/", O_CREAT | O_RDWR, 0o644)),
            word(open("d/", O_RDONLY, 0)),
        ])
    }),
    behaviour("open.nofollow", "ELOOP ok", || {
        file("f", "x")?;
        symlink("f", "s")?;
        line([
            word(open("s", O_NOFOLLOW, 0)),
            word(open("f", O_NOFOLLOW, 0)),
        ])
    }),
    behaviour("open.path-of-symlink", "symlink", || {
        symlink("nowhere", "s")?;
        let kind = open("s", O_PATH | O_NOFOLLOW, 0)?.metadata()?.file_type();
        Ok(if kind.is_symlink() {
            "symlink".into()
        } else {
            format!("{kind:?}")
        })
    }),
    behaviour("open.path-has-no-bytes", "EBADF EBADF 1", || {
        file("f", "x")?;
        let mut held = open("f", O_PATH, 0)?;
        let read = word(held.read(&mut [0; 4]));
        line([
            read,
            word(sys::ftruncate(&held, 0)),
            held.metadata()?.len().to_string(),
        ])
    }),
    behaviour("open.path-reopened", "x", || {
        file("f", "x")?;
        let held = open("f", O_PATH, 0)?;
        Ok(text(format!("/proc/self/fd/{}", held.as_raw_fd()))?)
    }),
    behaviour("open.openat", "ok x", || {
        fs::create_dir("d")?;
        file("d/f", "x")?;
        let directory = File::open("d")?;
        let mut read = String::new();
        openat(directory.as_raw_fd(), "f", O_RDONLY, 0)?.read_to_string(&mut read)?;
        line([
            word(openat(directory.as_raw_fd(), "g", O_CREAT | O_RDWR, 0o600)),
            read,
        ])
    }),
    behaviour("open.trunc", "0", || {
        file("f", "xyz")?;
        open("f", O_RDWR | O_TRUNC, 0)?;
        Ok(fs::metadata("f")?.len().to_string())
    }),
    behaviour("open.trunc-for-reading", "0", || {
        file("f", "xyz")?;
        open("f", O_RDONLY | O_TRUNC, 0)?;
        Ok(fs::metadata("f")?.len().to_string())
    }),
    behaviour("open.trunc-under-another", "0 ..z", || {
        let mut other = file("f", "xyz")?;
        other.seek(std::io::SeekFrom::Start(2))?;
        open("f", O_RDWR | O_TRUNC, 0)?;
        let empty = fs::metadata("f")?.len();
        other.write_all(b"z")?;
        Ok(format!("{empty} {}", text("f")?))
    }),
    behaviour("open.append", "abcd 4", || {
        file("f", "ab")?;
        let mut end = open("f", O_WRONLY | O_APPEND, 0)?;
        end.write_all(b"cd")?;
        Ok(format!("{} {}", text("f")?, end.stream_position()?))
    }),
    behaviour("open.append-pwrite-goes-to-the-end", "abXY", || {
        file("f", "ab")?;
        open("f", O_WRONLY | O_APPEND, 0)?.write_all_at(b"XY", 0)?;
        Ok(text("f")?)
    }),
    behaviour("open.append-after-truncate", "aZ", || {
        file("f", "abcd")?;
        let mut end = open("f", O_RDWR | O_APPEND, 0)?;
        sys::truncate("f", 1)?;
        end.write_all(b"Z")?;
        Ok(text("f")?)
    }),
    behaviour("open.append-set-later", "abXY", || {
        let mut end = file("f", "ab")?;
        sys::fcntl(&end, libc::F_SETFL, O_APPEND)?;
        end.write_all(b"XY")?;
        Ok(text("f")?)
    }),
    behaviour("open.tmpfile", "ok 0 ok 1 new", || {
        let mut unnamed = match open(".", O_TMPFILE | O_RDWR, 0o644) {
            Ok(unnamed) => unnamed,
            Err(error) => return Ok(word::<()>(Err(error))),
        };
        let links = unnamed.metadata()?.nlink();
        unnamed.write_all(b"new")?;
        let from = format!("/proc/self/fd/{}", unnamed.as_raw_fd());
        let linked = word(sys::linkat(&from, "f", libc::AT_SYMLINK_FOLLOW));
        Ok(format!(
            "ok {links} {linked} {} {}",
            unnamed.metadata()?.nlink(),
            text("f")?
        ))
    }),
    behaviour("open.sync-flags", "ok ok true true", || {
        let mut one = open("f", O_CREAT | O_RDWR | O_SYNC, 0o644)?;
        let mut two = open("f", O_RDWR | O_DSYNC, 0)?;
        let wrote = [word(one.write_all(b"a")), word(two.write_all(b"b"))];
        let flags = |file| sys::fcntl(file, libc::F_GETFL, 0).map(|flags| flags as i32);
        Ok(format!(
            "{} {} {}",
            wrote.join(" "),
            flags(&one)? & O_SYNC == O_SYNC,
            flags(&two)? & O_SYNC == O_DSYNC
        ))
    }),
    behaviour("open.noatime", "ok", || {
        file("f", "x")?;
        Ok(word(open("f", O_RDONLY | O_NOATIME, 0)))
    }),
    behaviour("open.mode-binds-later-opens-only", "ok 0", || {
        let mut new = open("f", O_CREAT | O_RDWR, 0)?;
        line([
            word(new.write_all(b"x")),
            format!("{:o}", fs::metadata("f")?.mode() & 0o7777),
        ])
    }),
    behaviour("open.wrong-direction", "EBADF EBADF", || {
        file("f", "x")?;
        let mut reader = open("f", O_RDONLY, 0)?;
        let mut writer = open("f", O_WRONLY, 0)?;
        line([word(reader.write(b"y")), word(writer.read(&mut [0; 4]))])
    }),
    behaviour("open.read-a-directory", "EISDIR", || {
        fs::create_dir("d")?;
        Ok(word(File::open("d")?.read(&mut [0; 4])))
    }),
    behaviour("open.many-at-once", "500 500", || {
        let mut held = Vec::new();
        for n in 0..500 {
            held.push(file(&format!("f{n}"), n.to_string())?);
        }
        let right = held.iter().enumerate().filter(|(n, file)| {
            let mut bytes = [0; 3];
            let read = file.read_at(&mut bytes, 0).unwrap_or(0);
            bytes[..read] == *n.to_string().as_bytes()
        });
        Ok(format!("{} {}", right.count(), fs::read_dir(".")?.count()))
    }),
    behaviour("open.two-see-each-other", "b", || {
        let one = file("f", "a")?;
        rw("f")?.write_all_at(b"b", 0)?;
        let mut byte = [0];
        one.read_exact_at(&mut byte, 0)?;
        Ok(value(Ok(char::from(byte[0]))))
    }),
];
