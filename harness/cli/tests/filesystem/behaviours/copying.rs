//! copy_file_range(2), sendfile(2), splice(2).

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write, pipe};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use libc::{O_APPEND, O_RDONLY, O_WRONLY};

use super::{Behaviour, behaviour, file, runs, rw, text};
use crate::outcome::{line, value, word};
use crate::sys::{self, Map, copy_range, open};

/// FICLONE of linux/fs.h.
const FICLONE: libc::Ioctl = 0x4004_9409;

pub(super) const LIST: &[Behaviour] = &[
    behaviour("copy.across-files", "5 hello", || {
        let (from, to) = (file("a", "hello")?, file("b", "")?);
        line([value(copy_range((&from, 0), (&to, 0), 5, 0)), text("b")?])
    }),
    behaviour("copy.into-the-middle", "3 ..ell", || {
        let (from, to) = (file("a", "hello")?, file("b", "")?);
        line([value(copy_range((&from, 1), (&to, 2), 3, 0)), text("b")?])
    }),
    behaviour("copy.within-a-file", "2 helloel", || {
        let file = file("a", "hello")?;
        line([value(copy_range((&file, 1), (&file, 5), 2, 0)), text("a")?])
    }),
    behaviour("copy.overlapping", "EINVAL hello", || {
        let file = file("a", "hello")?;
        line([value(copy_range((&file, 0), (&file, 2), 4, 0)), text("a")?])
    }),
    behaviour("copy.behind-the-end", "0 0 2", || {
        let (from, to) = (file("a", "hello")?, file("b", "")?);
        line([
            value(copy_range((&from, 5), (&to, 0), 5, 0)),
            value(copy_range((&from, 500), (&to, 0), 5, 0)),
            value(copy_range((&from, 3), (&to, 0), 500, 0)),
        ])
    }),
    behaviour("copy.nothing", "0", || {
        let (from, to) = (file("a", "hello")?, file("b", "")?);
        Ok(value(copy_range((&from, 0), (&to, 0), 0, 0)))
    }),
    behaviour("copy.refusals", "EBADF EBADF EBADF EINVAL EISDIR", || {
        let (from, to) = (file("a", "hello")?, file("b", "")?);
        fs::create_dir("d")?;
        line([
            value(copy_range((&from, 0), (&open("b", O_RDONLY, 0)?, 0), 5, 0)),
            value(copy_range((&open("a", O_WRONLY, 0)?, 0), (&to, 0), 5, 0)),
            value(copy_range(
                (&from, 0),
                (&open("b", O_WRONLY | O_APPEND, 0)?, 0),
                5,
                0,
            )),
            value(copy_range((&from, 0), (&to, 0), 5, 1 << 9)),
            value(copy_range((&File::open("d")?, 0), (&to, 0), 5, 0)),
        ])
    }),
    behaviour("copy.sees-mapped-store", "m", || {
        let (from, to) = (file("a", [b'a'; 4096])?, file("b", "")?);
        let map = Map::shared(&from, 4096)?;
        map.put(0, b'm');
        copy_range((&from, 0), (&to, 0), 1, 0)?;
        Ok(text("b")?)
    }),
    behaviour("copy.seen-by-mapping", "c", || {
        let (from, to) = (file("a", [b'c'; 4096])?, file("b", [b'a'; 4096])?);
        let map = Map::shared(&to, 4096)?;
        map.get(7);
        copy_range((&from, 0), (&to, 0), 4096, 0)?;
        Ok(char::from(map.get(7)).to_string())
    }),
    behaviour("copy.a-hole", "4096x. 1xx", || {
        let (from, to) = (file("a", "")?, file("b", [b'b'; 4096])?);
        from.write_all_at(b"x", 4096)?;
        copy_range((&from, 0), (&to, 0), 4097, 0)?;
        Ok(runs("b")?)
    }),
    behaviour("copy.three-mebibytes", "true", || {
        let bytes: Vec<u8> = (0..3u32 << 20).map(|n| (n / 777) as u8).collect();
        let (from, to) = (file("a", &bytes)?, file("b", "")?);
        let mut at = 0;
        while at < bytes.len() as i64 {
            match copy_range((&from, at), (&to, at), bytes.len(), 0)? {
                0 => break,
                copied => at += copied,
            }
        }
        Ok((fs::read("b")? == bytes).to_string())
    }),
    behaviour("copy.by-the-standard-library", "5000 5000xa", || {
        file("a", [b'a'; 5000])?;
        Ok(format!("{} {}", fs::copy("a", "b")?, runs("b")?))
    }),
    behaviour("copy.clone", "EOPNOTSUPP", || {
        let (from, to) = (file("a", "hello")?, file("b", "")?);
        Ok(word(sys::ioctl_fd(&to, FICLONE, &from)))
    }),
    behaviour("sendfile.to-a-file", "5 hello", || {
        let (from, to) = (file("a", "hello")?, file("b", "")?);
        line([value(sys::sendfile(&from, &to, 100)), text("b")?])
    }),
    behaviour("sendfile.to-a-pipe", "5 hello", || {
        let from = file("a", "hello")?;
        let (mut read, write) = pipe()?;
        let sent = value(sys::sendfile(&from, &write, 100));
        drop(write);
        let mut got = String::new();
        read.read_to_string(&mut got)?;
        line([sent, got])
    }),
    behaviour("sendfile.to-a-socket", "5 hello", || {
        let from = file("a", "hello")?;
        let (mut read, write) = UnixStream::pair()?;
        let sent = value(sys::sendfile(&from, &write, 100));
        drop(write);
        let mut got = String::new();
        read.read_to_string(&mut got)?;
        line([sent, got])
    }),
    behaviour("splice.from-a-file", "5 hello", || {
        let from = file("a", "hello")?;
        let (mut read, write) = pipe()?;
        let sent = value(sys::splice(&from, &write, 100));
        drop(write);
        let mut got = String::new();
        read.read_to_string(&mut got)?;
        line([sent, got])
    }),
    behaviour("splice.into-a-file", "5 aahello", || {
        let mut to = file("b", "aa")?;
        to.seek(SeekFrom::End(0))?;
        let (read, mut write) = pipe()?;
        write.write_all(b"hello")?;
        line([value(sys::splice(&read, &to, 5)), text("b")?])
    }),
    behaviour("splice.into-an-appended-file", "EINVAL", || {
        file("b", "aa")?;
        let (read, mut write) = pipe()?;
        write.write_all(b"hello")?;
        Ok(value(sys::splice(
            &read,
            &open("b", O_WRONLY | O_APPEND, 0)?,
            5,
        )))
    }),
    behaviour("splice.through-a-pipe", "65536 true", || {
        let bytes: Vec<u8> = (0..65_536u32).map(|n| (n / 77) as u8).collect();
        let (from, to) = (file("a", &bytes)?, rw("a").and_then(|_| file("b", ""))?);
        let (read, write) = pipe()?;
        let mut moved = 0;
        while moved < 65_536 {
            let n = sys::splice(&from, &write, 16_384)?;
            if n == 0 {
                break;
            }
            moved += sys::splice(&read, &to, n as usize)?;
        }
        Ok(format!("{moved} {}", fs::read("b")? == bytes))
    }),
];
