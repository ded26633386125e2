//! O_DIRECT, and its mix with the cache.

use std::fs::File;
use std::os::unix::fs::FileExt;

use libc::{O_CREAT, O_DIRECT, O_DSYNC, O_RDWR};

use super::{Behaviour, behaviour, file, runs, rw};
use crate::outcome::{line, value, word};
use crate::sys::{self, Aligned, Map, open};

fn direct(name: &str) -> std::io::Result<File> {
    open(name, O_CREAT | O_RDWR | O_DIRECT, 0o644)
}

pub(super) const LIST: &[Behaviour] = &[
    behaviour("direct.aligned", "8192 8192 b", || {
        let file = direct("f")?;
        let mut buffer = Aligned::new(8192, 0, b'b');
        let wrote = value(file.write_at(&buffer, 0));
        buffer.fill(0);
        let read = value(file.read_at(&mut buffer, 0));
        line([wrote, read, char::from(buffer[8191]).to_string()])
    }),
    behaviour("direct.sectors-of-512", "512 512", || {
        let file = direct("f")?;
        let mut buffer = Aligned::new(512, 0, b'b');
        line([
            value(file.write_at(&buffer, 512)),
            value(file.read_at(&mut buffer, 512)),
        ])
    }),
    behaviour("direct.unaligned-buffer", "EINVAL", || {
        Ok(value(
            direct("f")?.write_at(&Aligned::new(4096, 1, b'b'), 0),
        ))
    }),
    behaviour("direct.unaligned-length", "EINVAL", || {
        Ok(value(direct("f")?.write_at(&Aligned::new(100, 0, b'b'), 0)))
    }),
    behaviour("direct.unaligned-offset", "EINVAL", || {
        Ok(value(
            direct("f")?.write_at(&Aligned::new(4096, 0, b'b'), 100),
        ))
    }),
    behaviour("direct.unaligned-read", "EINVAL", || {
        file("f", [b'a'; 8192])?;
        Ok(value(
            direct("f")?.read_at(&mut Aligned::new(4096, 0, 0), 100),
        ))
    }),
    behaviour("direct.read-short-at-the-end", "100 0", || {
        file("f", [b'a'; 4196])?;
        let file = direct("f")?;
        let mut buffer = Aligned::new(4096, 0, 0);
        line([
            value(file.read_at(&mut buffer, 4096)),
            value(file.read_at(&mut buffer, 8192)),
        ])
    }),
    behaviour("direct.sees-cached-write", "c", || {
        file("f", [b'a'; 4096])?.write_all_at(&[b'c'; 4096], 0)?;
        let mut buffer = Aligned::new(4096, 0, 0);
        direct("f")?.read_exact_at(&mut buffer, 0)?;
        Ok(char::from(buffer[4095]).to_string())
    }),
    behaviour("direct.seen-by-cached-read", "4096xa 4096xd", || {
        let cached = file("f", [b'a'; 8192])?;
        // So that the cache holds the old bytes.
        cached.read_exact_at(&mut [0; 8192], 0)?;
        direct("f")?.write_all_at(&Aligned::new(4096, 0, b'd'), 4096)?;
        Ok(runs("f")?)
    }),
    behaviour("direct.seen-by-mapping", "ad", || {
        let cached = file("f", [b'a'; 4096])?;
        let map = Map::shared(&cached, 4096)?;
        let before = char::from(map.get(9));
        direct("f")?.write_all_at(&Aligned::new(4096, 0, b'd'), 0)?;
        Ok(format!("{before}{}", char::from(map.get(9))))
    }),
    behaviour("direct.sees-mapped-store", "m", || {
        let map = Map::shared(&file("f", [b'a'; 4096])?, 4096)?;
        map.put(9, b'm');
        let mut buffer = Aligned::new(4096, 0, 0);
        direct("f")?.read_exact_at(&mut buffer, 0)?;
        Ok(char::from(buffer[9]).to_string())
    }),
    behaviour("direct.grows-and-fills-the-gap", "8192x. 4096xe", || {
        direct("f")?.write_all_at(&Aligned::new(4096, 0, b'e'), 8192)?;
        Ok(runs("f")?)
    }),
    behaviour("direct.set-later", "4096", || {
        let file = file("f", [b'a'; 4096])?;
        sys::fcntl(&file, libc::F_SETFL, O_DIRECT)?;
        Ok(value(file.read_at(&mut Aligned::new(4096, 0, 0), 0)))
    }),
    behaviour("direct.with-dsync", "ok 4096xs", || {
        let file = open("f", O_CREAT | O_RDWR | O_DIRECT | O_DSYNC, 0o644)?;
        line([
            word(file.write_all_at(&Aligned::new(4096, 0, b's'), 0)),
            runs("f")?,
        ])
    }),
    behaviour("direct.three-mebibytes", "true", || {
        let mut buffer = Aligned::new(3 << 20, 0, 0);
        for (n, byte) in buffer.iter_mut().enumerate() {
            *byte = (n / 511) as u8;
        }
        direct("f")?.write_all_at(&buffer, 0)?;
        let mut read = vec![0; 3 << 20];
        rw("f")?.read_exact_at(&mut read, 0)?;
        Ok((read[..] == buffer[..]).to_string())
    }),
];
