//! Lengths: truncate(2), sparse files, and the largest file.

use std::fs;
use std::os::unix::fs::FileExt;

use libc::{O_RDONLY, O_RDWR};

use super::{Behaviour, behaviour, file, runs, size_and_blocks};
use crate::outcome::{line, value, word};
use crate::sys::{self, open};

/// ext4's largest file with blocks of 4 KiB: 2^32 - 1 blocks.
const LARGEST: i64 = (1 << 44) - 4096;

pub(super) const LIST: &[Behaviour] = &[
    behaviour("size.cut", "100 8 100xa", || {
        let file = file("f", [b'a'; 10_000])?;
        sys::ftruncate(&file, 100)?;
        line([size_and_blocks(&file)?, runs("f")?])
    }),
    behaviour("size.grown", "100xa 9900x.", || {
        let file = file("f", [b'a'; 100])?;
        sys::ftruncate(&file, 10_000)?;
        Ok(runs("f")?)
    }),
    behaviour("size.cut-and-grown", "100xa 9900x.", || {
        let file = file("f", [b'a'; 10_000])?;
        sys::ftruncate(&file, 100)?;
        sys::ftruncate(&file, 10_000)?;
        Ok(runs("f")?)
    }),
    behaviour("size.cut-synced-and-grown", "100xa 9900x.", || {
        let file = file("f", [b'a'; 10_000])?;
        sys::ftruncate(&file, 100)?;
        file.sync_all()?;
        sys::advise(&file, libc::POSIX_FADV_DONTNEED)?;
        sys::ftruncate(&file, 10_000)?;
        Ok(runs("f")?)
    }),
    behaviour("size.grown-takes-no-space", "1048576 0", || {
        let file = file("f", "")?;
        sys::ftruncate(&file, 1 << 20)?;
        Ok(size_and_blocks(&file)?)
    }),
    behaviour("size.cut-to-nothing", "0 0", || {
        let file = file("f", [b'a'; 10_000])?;
        sys::ftruncate(&file, 0)?;
        Ok(size_and_blocks(&file)?)
    }),
    behaviour(
        "size.refusals",
        "EINVAL EINVAL EINVAL ENOENT EISDIR",
        || {
            let file = file("f", "x")?;
            fs::create_dir("d")?;
            line([
                word(sys::ftruncate(&open("f", O_RDONLY, 0)?, 0)),
                word(sys::ftruncate(&file, -1)),
                word(sys::truncate("f", -1)),
                word(sys::truncate("g", 0)),
                word(sys::truncate("d", 0)),
            ])
        },
    ),
    behaviour("size.small-file-takes-a-block", "1 8", || {
        Ok(size_and_blocks(&file("f", "x")?)?)
    }),
    behaviour("size.overwrite-takes-no-more", "8192 16", || {
        let file = file("f", [1; 8192])?;
        for at in [0, 100, 4000] {
            file.write_all_at(&[2; 200], at)?;
        }
        Ok(size_and_blocks(&file)?)
    }),
    behaviour("size.write-behind-the-end", "10001 8 10000x. 1xx", || {
        let file = file("f", "")?;
        file.write_all_at(b"x", 10_000)?;
        line([size_and_blocks(&file)?, runs("f")?])
    }),
    behaviour("size.gap-after-a-part-page", "3xa 4997x. 1xb", || {
        let file = file("f", "aaa")?;
        file.write_all_at(b"b", 5000)?;
        Ok(runs("f")?)
    }),
    behaviour("size.one-tebibyte-sparse", "1099511627777 8 x", || {
        let file = file("f", "")?;
        file.write_all_at(b"x", 1 << 40)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, 1 << 40)?;
        line([size_and_blocks(&file)?, char::from(byte[0]).to_string()])
    }),
    behaviour("size.largest", "ok EFBIG", || {
        let file = file("f", "")?;
        line([
            word(sys::ftruncate(&file, LARGEST)),
            word(sys::ftruncate(&file, LARGEST + 1)),
        ])
    }),
    behaviour("size.write-at-the-limit", "1 EFBIG", || {
        let file = file("f", "")?;
        line([
            value(file.write_at(b"x", LARGEST as u64 - 1)),
            value(file.write_at(b"x", LARGEST as u64)),
        ])
    }),
    behaviour("size.write-across-the-limit", "100", || {
        Ok(value(
            file("f", "")?.write_at(&[1; 200], LARGEST as u64 - 100),
        ))
    }),
    behaviour("size.seek-behind-the-limit", "EINVAL EINVAL", || {
        let file = file("f", "")?;
        line([
            value(sys::lseek(&file, LARGEST + 1, libc::SEEK_SET)),
            value(sys::lseek(&file, -1, libc::SEEK_SET)),
        ])
    }),
    behaviour("size.limit-of-the-process", "EFBIG 1000 1000 EFBIG", || {
        sys::fork(|| {
            sys::ignore_size_signal();
            sys::limit_file_size(1000)?;
            let file = file("f", "")?;
            let grown = word(sys::ftruncate(&file, 1001));
            line([
                grown,
                value(file.write_at(&[1; 2000], 0)),
                file.metadata()?.len().to_string(),
                value(file.write_at(&[1; 1], 1000)),
            ])
        })?
        .outcome()
    }),
    behaviour("size.signal-of-the-limit", "SIGXFSZ", || {
        let file = file("f", "")?;
        sys::fork(|| {
            sys::limit_file_size(1000)?;
            Ok(value(file.write_at(&[1; 1], 1000)))
        })?
        .outcome()
    }),
    behaviour("size.empty-write", "0 3", || {
        let file = file("f", "xyz")?;
        Ok(format!(
            "{} {}",
            value(file.write_at(b"", 100)),
            file.metadata()?.len()
        ))
    }),
    behaviour("size.read-behind-the-end", "0 0 1", || {
        let file = file("f", "xyz")?;
        let mut bytes = [0; 8];
        line([
            value(file.read_at(&mut bytes, 3)),
            value(file.read_at(&mut bytes, 1 << 40)),
            value(file.read_at(&mut bytes, 2)),
        ])
    }),
    behaviour("size.seen-by-other-descriptors", "5 0", || {
        let one = file("f", "")?;
        let two = open("f", O_RDWR, 0)?;
        one.write_all_at(b"hello", 0)?;
        let grown = two.metadata()?.len();
        sys::truncate("f", 0)?;
        Ok(format!("{grown} {}", two.metadata()?.len()))
    }),
];
