//! lseek(2): positions, data and holes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use libc::{SEEK_DATA, SEEK_END, SEEK_HOLE};

use super::{Behaviour, behaviour, file};
use crate::outcome::{line, value};
use crate::sys::{self, Map, lseek};

/// A page of data, two of hole, a page of data, a page of hole.
fn sparse() -> std::io::Result<File> {
    let file = file("f", [b'a'; 4096])?;
    file.write_all_at(&[b'b'; 4096], 3 * 4096)?;
    sys::ftruncate(&file, 5 * 4096)?;
    Ok(file)
}

pub(super) const LIST: &[Behaviour] = &[
    behaviour("seek.data", "0 100 12288 12300 ENXIO ENXIO", || {
        let file = sparse()?;
        line([0, 100, 5000, 12_300, 17_000, 20_480].map(|at| value(lseek(&file, at, SEEK_DATA))))
    }),
    behaviour("seek.hole", "4096 4096 5000 16384 17000 ENXIO", || {
        let file = sparse()?;
        line([0, 100, 5000, 12_300, 17_000, 20_480].map(|at| value(lseek(&file, at, SEEK_HOLE))))
    }),
    behaviour("seek.full-file", "0 5000 ENXIO", || {
        let file = file("f", [b'a'; 5000])?;
        line([
            value(lseek(&file, 0, SEEK_DATA)),
            value(lseek(&file, 0, SEEK_HOLE)),
            value(lseek(&file, 5000, SEEK_HOLE)),
        ])
    }),
    behaviour("seek.empty-file", "ENXIO ENXIO", || {
        let file = file("f", "")?;
        line([
            value(lseek(&file, 0, SEEK_DATA)),
            value(lseek(&file, 0, SEEK_HOLE)),
        ])
    }),
    behaviour("seek.negative", "ENXIO EINVAL", || {
        let file = file("f", "x")?;
        line([
            value(lseek(&file, -1, SEEK_DATA)),
            value(lseek(&file, -2, SEEK_END)),
        ])
    }),
    behaviour("seek.allocated-is-a-hole", "ENXIO 0", || {
        let file = file("f", "")?;
        sys::fallocate(&file, 0, 0, 8192)?;
        line([
            value(lseek(&file, 0, SEEK_DATA)),
            value(lseek(&file, 0, SEEK_HOLE)),
        ])
    }),
    behaviour("seek.punched", "4096 8192 8192", || {
        let file = file("f", [b'a'; 12_288])?;
        let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        sys::fallocate(&file, punch, 4096, 4096)?;
        line([
            value(lseek(&file, 0, SEEK_HOLE)),
            value(lseek(&file, 4096, SEEK_DATA)),
            value(lseek(&file, 5000, SEEK_DATA)),
        ])
    }),
    behaviour("seek.mapped-store-synced", "4096 8192", || {
        let file = file("f", "")?;
        sys::ftruncate(&file, 16_384)?;
        let map = Map::shared(&file, 16_384)?;
        map.put(5000, b'm');
        map.sync()?;
        line([
            value(lseek(&file, 0, SEEK_DATA)),
            value(lseek(&file, 5000, SEEK_HOLE)),
        ])
    }),
    behaviour("seek.mapped-store-not-synced", "4096", || {
        let file = file("f", "")?;
        sys::ftruncate(&file, 16_384)?;
        let map = Map::shared(&file, 16_384)?;
        map.put(5000, b'm');
        Ok(value(lseek(&file, 0, SEEK_DATA)))
    }),
    behaviour("seek.far-sparse", "1099511627776 ENXIO", || {
        let file = file("f", "")?;
        file.write_all_at(b"x", 1 << 40)?;
        line([
            value(lseek(&file, 0, SEEK_DATA)),
            value(lseek(&file, (1 << 40) + 1, SEEK_DATA)),
        ])
    }),
    behaviour("seek.end", "5000 4990 6000", || {
        let file = file("f", [b'a'; 5000])?;
        line([0, -10, 1000].map(|by| value(lseek(&file, by, SEEK_END))))
    }),
];
