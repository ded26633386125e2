//! Time stamps: which calls move them, and how exactly they are kept.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

use libc::{AT_SYMLINK_NOFOLLOW, O_RDWR, O_TRUNC, UTIME_NOW, UTIME_OMIT};

use super::{Behaviour, behaviour, file, rw};
use crate::outcome::{Outcome, line, value};
use crate::sys::{self, Map, open, utimens};

/// A time long past, and not a whole second.
const PAST: (i64, i64) = (1_000_000_000, 123_456_789);

/// All three stamps of a name.
fn stamps(name: &str) -> std::io::Result<[(i64, i64); 3]> {
    let meta = fs::symlink_metadata(name)?;
    Ok([
        (meta.atime(), meta.atime_nsec()),
        (meta.mtime(), meta.mtime_nsec()),
        (meta.ctime(), meta.ctime_nsec()),
    ])
}

/// Sets a name's access and change times back, does `work`, and says which of the stamps moved:
/// `-` for none.
fn moved(name: &str, work: impl FnOnce() -> std::io::Result<()>) -> Outcome {
    utimens(name, [PAST, PAST], AT_SYMLINK_NOFOLLOW)?;
    let before = stamps(name)?;
    sys::tick();
    work()?;
    let after = stamps(name)?;
    let named = ["atime", "mtime", "ctime"]
        .into_iter()
        .zip(before.iter().zip(&after));
    let moved: Vec<&str> = named
        .filter(|(_, (before, after))| before != after)
        .map(|(name, _)| name)
        .collect();
    Ok(if moved.is_empty() {
        "-".into()
    } else {
        moved.join(" ")
    })
}

pub(super) const LIST: &[Behaviour] = &[
    behaviour("time.write", "mtime ctime", || {
        let held = file("f", "x")?;
        moved("f", || held.write_all_at(b"y", 0))
    }),
    behaviour("time.append", "mtime ctime", || {
        let mut held = open("f", O_RDWR | libc::O_APPEND | libc::O_CREAT, 0o644)?;
        moved("f", || held.write_all(b"y"))
    }),
    behaviour("time.empty-write", "-", || {
        let held = file("f", "x")?;
        moved("f", || held.write_at(b"", 0).map(drop))
    }),
    behaviour("time.write-and-sync", "mtime ctime", || {
        let held = file("f", "x")?;
        moved("f", || {
            held.write_all_at(b"y", 0)?;
            held.sync_all()
        })
    }),
    behaviour("time.read-of-old", "atime", || {
        let mut held = file("f", "x")?;
        moved("f", || held.read_exact(&mut [0]))
    }),
    behaviour("time.listing-of-old", "atime", || {
        fs::create_dir("d")?;
        moved("d", || {
            fs::read_dir("d")?.try_for_each(|entry| entry.map(drop))
        })
    }),
    behaviour("time.readlink-of-old", "atime", || {
        symlink("f", "s")?;
        moved("s", || fs::read_link("s").map(drop))
    }),
    behaviour("time.load-of-old", "atime", || {
        let held = file("f", "x")?;
        moved("f", || {
            let map = Map::new(&held, 4096, libc::PROT_READ, libc::MAP_SHARED, 0)?;
            map.get(0);
            Ok(())
        })
    }),
    behaviour("time.open-and-stat", "-", || {
        file("f", "x")?;
        moved("f", || {
            fs::metadata("f")?;
            File::open("f").map(drop)
        })
    }),
    behaviour("time.truncate", "mtime ctime / mtime ctime", || {
        let held = file("f", "xyz")?;
        let cut = moved("f", || sys::ftruncate(&held, 1))?;
        Ok(format!(
            "{cut} / {}",
            moved("f", || sys::ftruncate(&held, 100))?
        ))
    }),
    behaviour(
        "time.truncate-to-the-same",
        "mtime ctime / mtime ctime",
        || {
            let held = file("f", "xyz")?;
            let by_descriptor = moved("f", || sys::ftruncate(&held, 3))?;
            Ok(format!(
                "{by_descriptor} / {}",
                moved("f", || sys::truncate("f", 3))?
            ))
        },
    ),
    behaviour("time.open-with-trunc", "mtime ctime / mtime ctime", || {
        file("f", "x")?;
        let full = moved("f", || open("f", O_RDWR | O_TRUNC, 0).map(drop))?;
        Ok(format!(
            "{full} / {}",
            moved("f", || open("f", O_RDWR | O_TRUNC, 0).map(drop))?
        ))
    }),
    behaviour("time.chmod", "ctime", || {
        file("f", "x")?;
        moved("f", || {
            fs::set_permissions("f", fs::Permissions::from_mode(0o600))
        })
    }),
    behaviour("time.chmod-to-the-same", "ctime", || {
        file("f", "x")?;
        moved("f", || {
            fs::set_permissions("f", fs::Permissions::from_mode(0o644))
        })
    }),
    behaviour("time.chown", "ctime", || {
        file("f", "x")?;
        let own = fs::metadata("f")?.uid();
        moved("f", || std::os::unix::fs::chown("f", Some(own), None))
    }),
    behaviour("time.rename", "ctime", || {
        file("f", "x")?;
        moved("f", || {
            fs::rename("f", "g")?;
            fs::hard_link("g", "f")
        })
    }),
    behaviour("time.rename-alone", "ctime", || {
        file("f", "x")?;
        utimens("f", [PAST, PAST], 0)?;
        let before = stamps("f")?;
        sys::tick();
        fs::rename("f", "g")?;
        let after = stamps("g")?;
        let [atime, mtime, ctime] = [0, 1, 2].map(|n| before[n] != after[n]);
        Ok(match (atime, mtime, ctime) {
            (false, false, true) => "ctime".into(),
            other => format!("{other:?}"),
        })
    }),
    behaviour("time.link-and-unlink", "ctime / ctime", || {
        file("f", "x")?;
        let linked = moved("f", || fs::hard_link("f", "g"))?;
        Ok(format!(
            "{linked} / {}",
            moved("f", || fs::remove_file("g"))?
        ))
    }),
    behaviour(
        "time.directory",
        "mtime ctime / mtime ctime / mtime ctime / mtime ctime / -",
        || {
            fs::create_dir("d")?;
            let shown = [
                moved("d", || fs::write("d/f", "x"))?,
                moved("d", || fs::rename("d/f", "d/g"))?,
                moved("d", || fs::hard_link("d/g", "d/h"))?,
                moved("d", || fs::remove_file("d/g"))?,
                moved("d", || fs::write("d/h", "y"))?,
            ];
            Ok(shown.join(" / "))
        },
    ),
    behaviour(
        "time.directory-of-directories",
        "mtime ctime / mtime ctime",
        || {
            fs::create_dir("d")?;
            let made = moved("d", || fs::create_dir("d/e"))?;
            Ok(format!(
                "{made} / {}",
                moved("d", || fs::remove_dir("d/e"))?
            ))
        },
    ),
    behaviour(
        "time.rename-across-directories",
        "mtime ctime / mtime ctime",
        || {
            fs::create_dir("a")?;
            fs::create_dir("b")?;
            file("a/f", "x")?;
            let from = moved("a", || fs::rename("a/f", "b/f"))?;
            Ok(format!(
                "{from} / {}",
                moved("a", || fs::rename("b/f", "a/f"))?
            ))
        },
    ),
    behaviour(
        "time.fallocate",
        "mtime ctime / mtime ctime / mtime ctime",
        || {
            let held = file("f", [1; 4096])?;
            let (keep, punch) = (libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_PUNCH_HOLE);
            let shown = [
                moved("f", || sys::fallocate(&held, 0, 0, 8192))?,
                moved("f", || sys::fallocate(&held, keep, 0, 65_536))?,
                moved("f", || sys::fallocate(&held, keep | punch, 0, 4096))?,
            ];
            Ok(shown.join(" / "))
        },
    ),
    behaviour("time.mapped-store", "mtime ctime", || {
        let held = file("f", [1; 4096])?;
        let map = Map::shared(&held, 4096)?;
        moved("f", || {
            map.put(0, 2);
            map.sync()
        })
    }),
    behaviour("time.copied-into", "mtime ctime", || {
        let (from, to) = (file("a", "hello")?, file("b", "")?);
        moved("b", || {
            sys::copy_range((&from, 0), (&to, 0), 5, 0).map(drop)
        })
    }),
    behaviour("time.overwritten-direct", "mtime ctime", || {
        file("f", [1; 4096])?;
        let direct = open("f", O_RDWR | libc::O_DIRECT, 0)?;
        moved("f", || {
            direct.write_all_at(&sys::Aligned::new(4096, 0, 1), 0)
        })
    }),
    behaviour(
        "time.set-exactly",
        "1000000000.123456789 2000000000.1",
        || {
            file("f", "x")?;
            utimens("f", [PAST, (2_000_000_000, 1)], 0)?;
            let [atime, mtime, _] = stamps("f")?;
            Ok(format!("{}.{} {}.{}", atime.0, atime.1, mtime.0, mtime.1))
        },
    ),
    behaviour(
        "time.set-is-kept-by-sync-and-reopen",
        "1000000000.123456789",
        || {
            let held = file("f", "x")?;
            utimens("f", [PAST, PAST], 0)?;
            held.sync_all()?;
            drop(held);
            rw("f")?;
            let [_, mtime, _] = stamps("f")?;
            Ok(format!("{}.{}", mtime.0, mtime.1))
        },
    ),
    behaviour("time.omitted", "1000000000 7 / 7 7", || {
        file("f", "x")?;
        utimens("f", [PAST, PAST], 0)?;
        utimens("f", [(0, UTIME_OMIT), (7, 0)], 0)?;
        let one = stamps("f")?;
        utimens("f", [(7, 0), (0, UTIME_OMIT)], 0)?;
        let two = stamps("f")?;
        Ok(format!(
            "{} {} / {} {}",
            one[0].0, one[1].0, two[0].0, two[1].0
        ))
    }),
    behaviour("time.now", "true true", || {
        file("f", "x")?;
        utimens("f", [PAST, PAST], 0)?;
        utimens("f", [(0, UTIME_NOW); 2], 0)?;
        let [atime, mtime, ctime] = stamps("f")?;
        let near = |one: (i64, i64)| (one.0 - ctime.0).abs() <= 1;
        Ok(format!("{} {}", near(atime), near(mtime)))
    }),
    behaviour("time.far", "-1.5 4102444800.0 8000000000.0", || {
        let mut shown = Vec::new();
        file("f", "x")?;
        for time in [(-1, 5), (4_102_444_800, 0), (8_000_000_000, 0)] {
            utimens("f", [time, time], 0)?;
            let [_, mtime, _] = stamps("f")?;
            shown.push(format!("{}.{}", mtime.0, mtime.1));
        }
        Ok(shown.join(" "))
    }),
    behaviour("time.of-a-symlink", "5 1000000000", || {
        file("f", "x")?;
        symlink("f", "s")?;
        utimens("f", [PAST, PAST], 0)?;
        utimens("s", [(5, 0), (5, 0)], AT_SYMLINK_NOFOLLOW)?;
        line([stamps("s")?[1].0.to_string(), stamps("f")?[1].0.to_string()])
    }),
    behaviour("time.new-file", "true true", || {
        sys::tick();
        let before = std::time::SystemTime::now();
        file("f", "x")?;
        let meta = fs::metadata("f")?;
        let age = before.duration_since(meta.modified()?).unwrap_or_default();
        Ok(format!(
            "{} {}",
            age.as_secs() < 1,
            meta.mtime() >= meta.atime()
        ))
    }),
    behaviour("time.birth", "known", || {
        file("f", "x")?;
        Ok(value(sys::born("f").map(|born| {
            if born.is_some() { "known" } else { "not known" }
        })))
    }),
];
