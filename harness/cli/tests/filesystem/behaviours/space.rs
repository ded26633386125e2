//! fallocate(2), and the numbers of statvfs(3).

use std::fs::File;
use std::os::unix::fs::FileExt;

use libc::{
    FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_UNSHARE_RANGE, FALLOC_FL_ZERO_RANGE, O_RDONLY,
};

use super::{Behaviour, behaviour, file, runs, size_and_blocks};
use crate::outcome::{Outcome, line, word};
use crate::sys::{self, fallocate, open};

const PUNCH: i32 = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

/// Three pages of letters: a, b, c.
fn three_pages() -> std::io::Result<File> {
    file("f", [[b'a'; 4096], [b'b'; 4096], [b'c'; 4096]].concat())
}

/// What a fallocate call on three pages says and leaves.
fn after(mode: i32, offset: i64, len: i64) -> Outcome {
    let file = three_pages()?;
    let done = word(fallocate(&file, mode, offset, len));
    line([done, size_and_blocks(&file)?, runs("f")?])
}

pub(super) const LIST: &[Behaviour] = &[
    behaviour("allocate.grows", "ok 20480 40 20480x.", || {
        let file = file("f", "")?;
        let done = word(fallocate(&file, 0, 0, 20_480));
        line([done, size_and_blocks(&file)?, runs("f")?])
    }),
    behaviour("allocate.keep-size", "ok 0 40", || {
        let file = file("f", "")?;
        let done = word(fallocate(&file, FALLOC_FL_KEEP_SIZE, 0, 20_480));
        line([done, size_and_blocks(&file)?])
    }),
    behaviour(
        "allocate.keeps-data",
        "ok 20480 40 4096xa 4096xb 4096xc 8192x.",
        || after(0, 0, 20_480),
    ),
    behaviour("allocate.unaligned", "ok 5000 16", || {
        let file = file("f", "")?;
        let done = word(fallocate(&file, 0, 3000, 2000));
        line([done, size_and_blocks(&file)?])
    }),
    behaviour("allocate.then-written", "8192 16 4096xw 4096x.", || {
        let file = file("f", "")?;
        fallocate(&file, 0, 0, 8192)?;
        file.write_all_at(&[b'w'; 4096], 0)?;
        line([size_and_blocks(&file)?, runs("f")?])
    }),
    behaviour("allocate.kept-size-then-appended", "4096 40", || {
        let file = file("f", "")?;
        fallocate(&file, FALLOC_FL_KEEP_SIZE, 0, 20_480)?;
        file.write_all_at(&[b'w'; 4096], 0)?;
        Ok(size_and_blocks(&file)?)
    }),
    behaviour("allocate.given-back-by-truncate", "4096 8", || {
        let file = file("f", [1; 4096])?;
        fallocate(&file, FALLOC_FL_KEEP_SIZE, 0, 20_480)?;
        sys::ftruncate(&file, 4096)?;
        Ok(size_and_blocks(&file)?)
    }),
    behaviour(
        "allocate.refusals",
        "EINVAL EINVAL EBADF EFBIG EOPNOTSUPP",
        || {
            let file = file("f", "x")?;
            line([
                word(fallocate(&file, 0, 0, 0)),
                word(fallocate(&file, 0, -1, 10)),
                word(fallocate(&open("f", O_RDONLY, 0)?, 0, 0, 10)),
                word(fallocate(&file, 0, 1 << 43, 1 << 43)),
                word(fallocate(&file, 0x1000, 0, 10)),
            ])
        },
    ),
    behaviour("punch.a-page", "ok 12288 16 4096xa 4096x. 4096xc", || {
        after(PUNCH, 4096, 4096)
    }),
    behaviour(
        "punch.unaligned",
        "ok 12288 24 100xa 200x. 3796xa 4096xb 4096xc",
        || after(PUNCH, 100, 200),
    ),
    behaviour(
        "punch.unaligned-across",
        "ok 12288 16 4000xa 4292x. 3996xc",
        || after(PUNCH, 4000, 4292),
    ),
    behaviour(
        "punch.behind-the-end",
        "ok 12288 24 4096xa 4096xb 4096xc",
        || after(PUNCH, 20_480, 4096),
    ),
    behaviour(
        "punch.across-the-end",
        "ok 12288 16 4096xa 4096xb 4096x.",
        || after(PUNCH, 8192, 1 << 20),
    ),
    behaviour("punch.without-keep-size", "EOPNOTSUPP", || {
        Ok(word(fallocate(
            &three_pages()?,
            FALLOC_FL_PUNCH_HOLE,
            0,
            4096,
        )))
    }),
    behaviour("punch.everything", "ok 12288 0 12288x.", || {
        after(PUNCH, 0, 12_288)
    }),
    behaviour("punch.allocated-space", "8192 8", || {
        let file = file("f", "")?;
        fallocate(&file, 0, 0, 8192)?;
        fallocate(&file, PUNCH, 0, 4096)?;
        Ok(size_and_blocks(&file)?)
    }),
    behaviour("zero.a-page", "ok 12288 24 4096xa 4096x. 4096xc", || {
        after(FALLOC_FL_ZERO_RANGE, 4096, 4096)
    }),
    behaviour(
        "zero.unaligned",
        "ok 12288 24 100xa 200x. 3796xa 4096xb 4096xc",
        || after(FALLOC_FL_ZERO_RANGE, 100, 200),
    ),
    behaviour("zero.grows", "ok 20480 40 4096xa 4096xb 12288x.", || {
        after(FALLOC_FL_ZERO_RANGE, 8192, 12_288)
    }),
    behaviour("zero.keep-size", "ok 12288 40 4096xa 4096xb 4096x.", || {
        after(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 8192, 12_288)
    }),
    behaviour("zero.a-hole-takes-space", "ok 8192 16", || {
        let file = file("f", "")?;
        sys::ftruncate(&file, 8192)?;
        let done = word(fallocate(&file, FALLOC_FL_ZERO_RANGE, 0, 8192));
        line([done, size_and_blocks(&file)?])
    }),
    behaviour("collapse.a-page", "ok 8192 16 4096xa 4096xc", || {
        after(FALLOC_FL_COLLAPSE_RANGE, 4096, 4096)
    }),
    behaviour(
        "insert.a-page",
        "ok 16384 24 4096xa 4096x. 4096xb 4096xc",
        || after(FALLOC_FL_INSERT_RANGE, 4096, 4096),
    ),
    behaviour("unshare.a-page", "EOPNOTSUPP", || {
        Ok(word(fallocate(
            &three_pages()?,
            FALLOC_FL_UNSHARE_RANGE,
            0,
            4096,
        )))
    }),
    behaviour("statvfs.sizes", "4096 4096 255 true true", || {
        let found = sys::statvfs()?;
        Ok(format!(
            "{} {} {} {} {}",
            found.f_bsize,
            found.f_frsize,
            found.f_namemax,
            found.f_blocks > 0 && found.f_bfree <= found.f_blocks && found.f_bavail > 0,
            found.f_files > 0 && found.f_ffree > 0 && found.f_ffree < found.f_files
        ))
    }),
    behaviour("statvfs.shrinks-when-written", "true", || {
        // Others may give space back on a filesystem that is shared: look more than once.
        let shrank = (0..5).map(|n| -> std::io::Result<bool> {
            let before = sys::statvfs()?.f_bfree;
            file(&format!("f{n}"), vec![1; 4 << 20])?.sync_all()?;
            Ok(before.saturating_sub(sys::statvfs()?.f_bfree) >= (4 << 20) / 4096)
        });
        let shrank = shrank.flatten().any(|shrank| shrank);
        Ok(shrank.to_string())
    }),
];
