//! Listing directories, while they change too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::{Behaviour, behaviour, file};
use crate::outcome::line;
use crate::sys::Listing;

fn names(listing: &mut Listing) -> Vec<String> {
    std::iter::from_fn(|| listing.next())
        .map(|(name, ..)| name)
        .filter(|name| name != "." && name != "..")
        .collect()
}

/// How often each name was seen.
fn counted(seen: &[String]) -> BTreeMap<&str, u32> {
    let mut times = BTreeMap::new();
    for name in seen {
        *times.entry(name.as_str()).or_insert(0) += 1;
    }
    times
}

pub(super) const LIST: &[Behaviour] = &[
    behaviour("list.dots", "true true", || {
        fs::create_dir("d")?;
        let mut found = BTreeMap::new();
        let mut listing = Listing::open("d")?;
        while let Some((name, ino, _)) = listing.next() {
            found.insert(name, ino);
        }
        let right = |name: &str, path: &str| -> std::io::Result<String> {
            Ok((found.get(name).copied() == Some(fs::metadata(path)?.ino())).to_string())
        };
        line([right(".", "d")?, right("..", ".")?])
    }),
    behaviour(
        "list.kinds-and-numbers",
        "d=4 f=8 p=1 s=10 all true",
        || {
            fs::create_dir("d")?;
            file("f", "x")?;
            symlink("f", "s")?;
            crate::sys::mknod("p", libc::S_IFIFO | 0o600, 0)?;
            let mut listing = Listing::open(".")?;
            let (mut kinds, mut right) = (BTreeMap::new(), true);
            while let Some((name, ino, kind)) = listing.next() {
                if name != "." && name != ".." {
                    right &= fs::symlink_metadata(&name)?.ino() == ino;
                    kinds.insert(name, kind);
                }
            }
            let shown: Vec<String> = kinds
                .iter()
                .map(|(name, kind)| format!("{name}={kind}"))
                .collect();
            Ok(format!("{} all {right}", shown.join(" ")))
        },
    ),
    behaviour("list.five-thousand", "5000 5000", || {
        for n in 0..5000 {
            fs::write(format!("file-with-a-longer-name-{n}"), "")?;
        }
        let all = names(&mut Listing::open(".")?);
        let distinct: BTreeSet<&String> = all.iter().collect();
        Ok(format!("{} {}", all.len(), distinct.len()))
    }),
    behaviour("list.while-deleting", "5000 0", || {
        for n in 0..5000 {
            fs::write(format!("file-with-a-longer-name-{n}"), "")?;
        }
        let mut listing = Listing::open(".")?;
        let mut seen = BTreeSet::new();
        while let Some((name, ..)) = listing.next() {
            if name != "." && name != ".." {
                fs::remove_file(&name)?;
                seen.insert(name);
            }
        }
        Ok(format!("{} {}", seen.len(), fs::read_dir(".")?.count()))
    }),
    behaviour("list.others-deleted-meanwhile", "each once true", || {
        for n in 0..2000 {
            fs::write(format!("file-with-a-longer-name-{n:04}"), "")?;
        }
        let mut listing = Listing::open(".")?;
        let mut seen: Vec<String> = (0..5).filter_map(|_| listing.next()).map(|e| e.0).collect();
        // Every second one goes, seen or not; those that stay must come exactly once.
        for n in (0..2000).step_by(2) {
            fs::remove_file(format!("file-with-a-longer-name-{n:04}"))?;
        }
        seen.extend(names(&mut listing));
        let stays = (1..2000)
            .step_by(2)
            .map(|n| format!("file-with-a-longer-name-{n:04}"));
        let times = counted(&seen);
        let once = |name: String| times.get(name.as_str()) == Some(&1);
        Ok(format!("each once {}", stays.into_iter().all(once)))
    }),
    behaviour("list.others-created-meanwhile", "each once true", || {
        for n in 0..1000 {
            fs::write(format!("old-with-a-longer-name-{n:04}"), "")?;
        }
        let mut listing = Listing::open(".")?;
        let mut seen: Vec<String> = (0..5).filter_map(|_| listing.next()).map(|e| e.0).collect();
        for n in 0..1000 {
            fs::write(format!("new-with-a-longer-name-{n:04}"), "")?;
        }
        seen.extend(names(&mut listing));
        let old = (0..1000).map(|n| format!("old-with-a-longer-name-{n:04}"));
        let times = counted(&seen);
        let once = |name: String| times.get(name.as_str()) == Some(&1);
        let all_old = old.into_iter().all(once);
        let distinct: BTreeSet<&String> = seen.iter().collect();
        Ok(format!(
            "each once {}",
            all_old && distinct.len() == seen.len()
        ))
    }),
    behaviour("list.tell-and-seek", "true true", || {
        for n in 0..500 {
            fs::write(format!("file-{n}"), "")?;
        }
        let mut listing = Listing::open(".")?;
        for _ in 0..100 {
            listing.next();
        }
        let place = listing.tell();
        let after: Vec<String> = names(&mut listing);
        listing.seek(place);
        let again: Vec<String> = names(&mut listing);
        Ok(format!("{} {}", after.len() > 350, after == again))
    }),
    behaviour("list.rewind-shows-what-is-new", "1 2", || {
        file("a", "x")?;
        let mut listing = Listing::open(".")?;
        let before = names(&mut listing).len();
        file("b", "x")?;
        listing.rewind();
        Ok(format!("{before} {}", names(&mut listing).len()))
    }),
    behaviour("list.after-each-change", "0 1 1 0", || {
        let mut counts = vec![fs::read_dir(".")?.count()];
        file("a", "x")?;
        counts.push(fs::read_dir(".")?.count());
        fs::rename("a", "b")?;
        counts.push(fs::read_dir(".")?.count());
        fs::remove_file("b")?;
        counts.push(fs::read_dir(".")?.count());
        let shown: Vec<String> = counts.iter().map(usize::to_string).collect();
        Ok(shown.join(" "))
    }),
    behaviour("list.while-renaming", "300 once true", || {
        for n in 0..300 {
            fs::write(format!("file-{n:03}"), "")?;
        }
        let mut listing = Listing::open(".")?;
        let first = listing.next();
        // A file renamed to itself or replaced by another stays one entry.
        for n in 0..300 {
            fs::write("new", "")?;
            fs::rename("new", format!("file-{n:03}"))?;
        }
        let mut seen = names(&mut listing);
        seen.extend(
            first
                .map(|entry| entry.0)
                .filter(|name| name.starts_with("file")),
        );
        let distinct: BTreeSet<&String> = seen
            .iter()
            .filter(|name| name.starts_with("file"))
            .collect();
        Ok(format!(
            "{} once {}",
            distinct.len(),
            distinct.len() + 1 >= seen.len()
        ))
    }),
];
