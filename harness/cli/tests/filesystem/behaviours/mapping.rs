//! mmap(2).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use libc::{MAP_PRIVATE, MAP_SHARED, O_RDONLY, O_WRONLY, PROT_READ, PROT_WRITE};

use super::{Behaviour, behaviour, file, runs, rw, size_and_blocks};
use crate::outcome::{Outcome, line, value, word};
use crate::sys::{self, Map, open};

fn letter(byte: u8) -> String {
    char::from(byte).to_string()
}

fn read_one(file: &File, at: u64) -> std::io::Result<String> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    Ok(letter(byte[0]))
}

/// What happens to a process that touches a byte.
fn touched(map: &Map, at: usize) -> Outcome {
    sys::fork(|| Ok(format!("read {}", map.get(at))))?.outcome()
}

pub(super) const LIST: &[Behaviour] = &[
    behaviour("map.store-seen-by-read", "m", || {
        let file = file("f", [b'a'; 4096])?;
        Map::shared(&file, 4096)?.put(5, b'm');
        Ok(read_one(&file, 5)?)
    }),
    behaviour("map.store-seen-before-sync", "m", || {
        let file = file("f", [b'a'; 4096])?;
        let map = Map::shared(&file, 4096)?;
        map.put(5, b'm');
        Ok(read_one(&rw("f")?, 5)?)
    }),
    behaviour("map.write-seen-by-load", "a w", || {
        let file = file("f", [b'a'; 4096])?;
        let map = Map::shared(&file, 4096)?;
        let before = letter(map.get(5));
        file.write_all_at(b"w", 5)?;
        line([before, letter(map.get(5))])
    }),
    behaviour("map.msync", "ok m", || {
        let file = file("f", [b'a'; 8192])?;
        let map = Map::shared(&file, 8192)?;
        map.put(5000, b'm');
        line([word(map.sync()), read_one(&file, 5000)?])
    }),
    behaviour("map.store-then-fsync", "ok m", || {
        let file = file("f", [b'a'; 8192])?;
        let map = Map::shared(&file, 8192)?;
        map.put(5000, b'm');
        line([word(file.sync_all()), read_one(&file, 5000)?])
    }),
    behaviour("map.two-of-one-file", "m", || {
        let file = file("f", [b'a'; 4096])?;
        let (one, two) = (Map::shared(&file, 4096)?, Map::shared(&rw("f")?, 4096)?);
        one.put(5, b'm');
        Ok(letter(two.get(5)))
    }),
    behaviour("map.of-another-process", "done m", || {
        let file = file("f", [b'a'; 4096])?;
        let child = sys::fork(|| {
            let map = Map::shared(&rw("f")?, 4096)?;
            map.put(5, b'm');
            Ok("done".into())
        })?;
        line([child.outcome().unwrap_or_default(), read_one(&file, 5)?])
    }),
    behaviour("map.survives-close-and-unlink", "m", || {
        let map = Map::shared(&file("f", [b'a'; 4096])?, 4096)?;
        fs::remove_file("f")?;
        map.put(5, b'm');
        map.sync()?;
        Ok(letter(map.get(5)))
    }),
    behaviour("map.beyond-the-end", "SIGBUS", || {
        let file = file("f", [b'a'; 100])?;
        touched(&Map::shared(&file, 8192)?, 4096)
    }),
    behaviour("map.of-an-empty-file", "SIGBUS", || {
        let file = file("f", "")?;
        touched(&Map::shared(&file, 4096)?, 0)
    }),
    behaviour("map.rest-of-last-page", "read 0", || {
        let file = file("f", [b'a'; 100])?;
        touched(&Map::shared(&file, 4096)?, 100)
    }),
    behaviour(
        "map.stores-behind-the-end-are-not-kept",
        "100 100xa",
        || {
            let file = file("f", [b'a'; 100])?;
            let map = Map::shared(&file, 4096)?;
            map.put(200, b'z');
            map.sync()?;
            line([file.metadata()?.len().to_string(), runs("f")?])
        },
    ),
    behaviour(
        "map.stores-behind-the-end-then-grown",
        "100xa 200x.",
        || {
            let file = file("f", [b'a'; 100])?;
            let map = Map::shared(&file, 4096)?;
            map.put(200, b'z');
            map.sync()?;
            drop(map);
            sys::ftruncate(&file, 300)?;
            Ok(runs("f")?)
        },
    ),
    behaviour("map.truncated-under-it", "read 97 SIGBUS", || {
        let file = file("f", [b'a'; 8192])?;
        let map = Map::shared(&file, 8192)?;
        let before = touched(&map, 5000).unwrap_or_default();
        sys::ftruncate(&file, 4096)?;
        line([before, touched(&map, 5000).unwrap_or_default()])
    }),
    behaviour("map.grown-under-it", "SIGBUS read 0 m", || {
        let file = file("f", [b'a'; 4096])?;
        let map = Map::shared(&file, 8192)?;
        let before = touched(&map, 5000).unwrap_or_default();
        sys::ftruncate(&file, 8192)?;
        let after = touched(&map, 5000).unwrap_or_default();
        map.put(5000, b'm');
        line([before, after, read_one(&file, 5000)?])
    }),
    behaviour("map.truncated-and-grown", "read 0 5000xa 3192x.", || {
        let file = file("f", [b'a'; 8192])?;
        let map = Map::shared(&file, 8192)?;
        map.put(6000, b'm');
        sys::ftruncate(&file, 5000)?;
        sys::ftruncate(&file, 8192)?;
        line([touched(&map, 6000).unwrap_or_default(), runs("f")?])
    }),
    behaviour("map.hole-punched-under-it", "read 0", || {
        let file = file("f", [b'a'; 8192])?;
        let map = Map::shared(&file, 8192)?;
        map.put(5000, b'm');
        let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        sys::fallocate(&file, punch, 4096, 4096)?;
        touched(&map, 5000)
    }),
    behaviour("map.store-into-a-hole", "8192 8", || {
        let file = file("f", "")?;
        sys::ftruncate(&file, 8192)?;
        let map = Map::shared(&file, 8192)?;
        map.put(5000, b'm');
        map.sync()?;
        Ok(size_and_blocks(&file)?)
    }),
    behaviour(
        "map.store-into-allocated",
        "16384 32 5000x. 1xm 11383x.",
        || {
            let file = file("f", "")?;
            sys::fallocate(&file, 0, 0, 16384)?;
            let map = Map::shared(&file, 16384)?;
            map.put(5000, b'm');
            map.sync()?;
            line([size_and_blocks(&file)?, runs("f")?])
        },
    ),
    behaviour("map.private", "p a", || {
        let file = file("f", [b'a'; 4096])?;
        let map = Map::new(&file, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0)?;
        map.put(5, b'p');
        line([letter(map.get(5)), read_one(&file, 5)?])
    }),
    behaviour("map.private-sees-writes", "w", || {
        let file = file("f", [b'a'; 4096])?;
        let map = Map::new(&file, 4096, PROT_READ, MAP_PRIVATE, 0)?;
        map.get(5);
        file.write_all_at(b"w", 5)?;
        Ok(letter(map.get(5)))
    }),
    behaviour(
        "map.refusals",
        "EACCES ok EACCES EINVAL EINVAL ENODEV",
        || {
            file("f", [b'a'; 4096])?;
            fs::create_dir("d")?;
            let (reader, writer) = (open("f", O_RDONLY, 0)?, open("f", O_WRONLY, 0)?);
            let both = PROT_READ | PROT_WRITE;
            line([
                word(Map::new(&reader, 4096, both, MAP_SHARED, 0)),
                word(Map::new(&reader, 4096, both, MAP_PRIVATE, 0)),
                word(Map::new(&writer, 4096, both, MAP_SHARED, 0)),
                word(Map::new(&reader, 0, PROT_READ, MAP_SHARED, 0)),
                word(Map::new(&reader, 4096, PROT_READ, MAP_SHARED, 100)),
                word(Map::new(&File::open("d")?, 4096, PROT_READ, MAP_SHARED, 0)),
            ])
        },
    ),
    behaviour("map.at-an-offset", "b m", || {
        let file = file("f", [[b'a'; 4096], [b'b'; 4096]].concat())?;
        let map = Map::new(&file, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 4096)?;
        let before = letter(map.get(0));
        map.put(0, b'm');
        line([before, read_one(&file, 4096)?])
    }),
    behaviour("map.mremap", "a m", || {
        let file = file("f", [b'a'; 4096])?;
        let mut map = Map::shared(&file, 4096)?;
        sys::ftruncate(&file, 1 << 20)?;
        map.resize(1 << 20)?;
        map.put((1 << 20) - 1, b'm');
        line([letter(map.get(0)), read_one(&file, (1 << 20) - 1)?])
    }),
    behaviour("map.dontneed-keeps-stores", "ok m", || {
        let file = file("f", [b'a'; 4096])?;
        let map = Map::shared(&file, 4096)?;
        map.put(5, b'm');
        line([word(map.advise(libc::MADV_DONTNEED)), letter(map.get(5))])
    }),
    behaviour("map.dropped-from-the-cache", "m", || {
        let file = file("f", [b'a'; 4096])?;
        Map::shared(&file, 4096)?.put(5, b'm');
        file.sync_all()?;
        sys::advise(&file, libc::POSIX_FADV_DONTNEED)?;
        Ok(read_one(&file, 5)?)
    }),
    behaviour(
        "map.partial-write-into-a-stored-page",
        "1xx 4xa 1xm 4090xa",
        || {
            let file = file("f", [b'a'; 4096])?;
            let map = Map::shared(&file, 4096)?;
            map.put(5, b'm');
            file.write_all_at(b"x", 0)?;
            map.sync()?;
            Ok(runs("f")?)
        },
    ),
    behaviour("map.write-from-own-mapping", "4096 4096xa 4096xa", || {
        let file = file("f", [b'a'; 4096])?;
        let copied = sys::copy_range((&file, 0), (&file, 4096), 4096, 0);
        Ok(format!(
            "{} {}",
            value(copied),
            runs("f")?.replace("8192xa", "4096xa 4096xa")
        ))
    }),
    behaviour("map.a-mebibyte-of-stores", "true", || {
        let file = file("f", "")?;
        sys::ftruncate(&file, 1 << 20)?;
        let map = Map::shared(&file, 1 << 20)?;
        for at in (0..1 << 20).step_by(509) {
            map.put(at, (at / 509) as u8);
        }
        drop(map);
        let mut read = vec![0; 1 << 20];
        File::open("f")?.read_exact_at(&mut read, 0)?;
        let right =
            |(at, byte): (usize, &u8)| *byte == if at % 509 == 0 { (at / 509) as u8 } else { 0 };
        Ok(read.iter().enumerate().all(right).to_string())
    }),
];
