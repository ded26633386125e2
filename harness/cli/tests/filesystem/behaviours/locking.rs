//! flock(2), and record locks of fcntl(2).

use std::fs::{self, File};
use std::io::{Read, Write, pipe};

use libc::{
    F_GETLK, F_OFD_SETLK, F_RDLCK, F_SETLK, F_SETLKW, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, LOCK_SH,
    LOCK_UN, O_RDONLY,
};

use super::{Behaviour, behaviour, file, rw};
use crate::outcome::{Outcome, line, word};
use crate::sys::{self, flock, lock, open};

const ALL: (i64, i64) = (0, 0);

/// What another process gets that asks for a flock.
fn other_flock(operation: i32) -> Outcome {
    sys::fork(|| Ok(word(flock(&rw("f")?, operation | LOCK_NB))))?.outcome()
}

/// What another process gets that asks for a record lock.
fn other_lock(kind: i32, range: (i64, i64)) -> Outcome {
    sys::fork(|| Ok(word(lock(&rw("f")?, F_SETLK, kind, range))))?.outcome()
}

pub(super) const LIST: &[Behaviour] =
    &[
        behaviour("flock.exclusive", "ok EAGAIN EAGAIN ok", || {
            let held = file("f", "x")?;
            let got = word(flock(&held, LOCK_EX));
            let refused = [other_flock(LOCK_EX)?, other_flock(LOCK_SH)?];
            flock(&held, LOCK_UN)?;
            Ok(format!(
                "{got} {} {}",
                refused.join(" "),
                other_flock(LOCK_EX)?
            ))
        }),
        behaviour("flock.shared", "ok EAGAIN", || {
            let held = file("f", "x")?;
            flock(&held, LOCK_SH)?;
            line([other_flock(LOCK_SH)?, other_flock(LOCK_EX)?])
        }),
        behaviour("flock.of-two-descriptors", "EAGAIN ok", || {
            let (one, two) = (file("f", "x")?, rw("f")?);
            flock(&one, LOCK_EX)?;
            let refused = word(flock(&two, LOCK_EX | LOCK_NB));
            drop(one);
            line([refused, word(flock(&two, LOCK_EX | LOCK_NB))])
        }),
        behaviour("flock.kept-by-a-duplicate", "EAGAIN ok", || {
            let one = file("f", "x")?;
            flock(&one, LOCK_EX)?;
            let copy = one.try_clone()?;
            drop(one);
            let refused = other_flock(LOCK_EX)?;
            drop(copy);
            line([refused, other_flock(LOCK_EX)?])
        }),
        behaviour("flock.converted", "ok EAGAIN ok ok", || {
            let held = file("f", "x")?;
            flock(&held, LOCK_SH)?;
            let up = word(flock(&held, LOCK_EX | LOCK_NB));
            let refused = other_flock(LOCK_SH)?;
            line([
                up,
                refused,
                word(flock(&held, LOCK_SH)),
                other_flock(LOCK_SH)?,
            ])
        }),
        behaviour("flock.released-at-exit", "ok ok", || {
            file("f", "x")?;
            let child = sys::fork(|| Ok(word(flock(&rw("f")?, LOCK_EX))))?.outcome()?;
            line([child, other_flock(LOCK_EX)?])
        }),
        behaviour("flock.of-a-directory-and-a-reader", "ok ok", || {
            file("f", "x")?;
            line([
                word(flock(&File::open(".")?, LOCK_EX | LOCK_NB)),
                word(flock(&open("f", O_RDONLY, 0)?, LOCK_EX | LOCK_NB)),
            ])
        }),
        behaviour("flock.waits", "got it", || {
            let held = file("f", "x")?;
            flock(&held, LOCK_EX)?;
            let (mut heard, mut tell) = pipe()?;
            let child = sys::fork(|| {
                let own = rw("f")?;
                tell.write_all(b"!")?;
                flock(&own, LOCK_EX)?;
                Ok("got it".into())
            })?;
            heard.read_exact(&mut [0])?;
            flock(&held, LOCK_UN)?;
            child.outcome()
        }),
        behaviour("flock.of-an-unlinked-file", "ok EAGAIN", || {
            let one = file("f", "x")?;
            let two = rw("f")?;
            fs::remove_file("f")?;
            line([
                word(flock(&one, LOCK_EX)),
                word(flock(&two, LOCK_EX | LOCK_NB)),
            ])
        }),
        behaviour("lock.write", "EAGAIN EAGAIN ok", || {
            let held = file("f", "x")?;
            lock(&held, F_SETLK, F_WRLCK, ALL)?;
            let refused = [other_lock(F_WRLCK, ALL)?, other_lock(F_RDLCK, ALL)?];
            lock(&held, F_SETLK, F_UNLCK, ALL)?;
            Ok(format!(
                "{} {}",
                refused.join(" "),
                other_lock(F_WRLCK, ALL)?
            ))
        }),
        behaviour("lock.read", "ok EAGAIN", || {
            let held = file("f", "x")?;
            lock(&held, F_SETLK, F_RDLCK, ALL)?;
            line([other_lock(F_RDLCK, ALL)?, other_lock(F_WRLCK, ALL)?])
        }),
        behaviour("lock.ranges", "EAGAIN ok ok EAGAIN", || {
            let held = file("f", "x")?;
            lock(&held, F_SETLK, F_WRLCK, (100, 100))?;
            line([
                other_lock(F_WRLCK, (150, 1))?,
                other_lock(F_WRLCK, (200, 10))?,
                other_lock(F_WRLCK, (0, 100))?,
                other_lock(F_WRLCK, (0, 0))?,
            ])
        }),
        behaviour("lock.split-by-unlock", "EAGAIN ok EAGAIN", || {
            let held = file("f", "x")?;
            lock(&held, F_SETLK, F_WRLCK, (0, 300))?;
            lock(&held, F_SETLK, F_UNLCK, (100, 100))?;
            line([(50, 1), (150, 1), (250, 1)].map(|range| {
                other_lock(F_WRLCK, range).unwrap_or_else(|trouble| trouble.to_string())
            }))
        }),
        behaviour(
            "lock.asked-about",
            "write lock of the holder, free for the holder",
            || {
                let held = file("f", "x")?;
                lock(&held, F_SETLK, F_WRLCK, ALL)?;
                let holder = std::process::id() as i32;
                let other = sys::fork(|| {
                    let (kind, pid) = lock(&rw("f")?, F_GETLK, F_WRLCK, ALL)?;
                    let who = if pid == holder {
                        "the holder"
                    } else {
                        "another"
                    };
                    Ok(format!(
                        "{} lock of {who}",
                        if kind == F_WRLCK { "write" } else { "no" }
                    ))
                })?
                .outcome()?;
                let (own, _) = lock(&held, F_GETLK, F_WRLCK, ALL)?;
                Ok(format!(
                    "{other}, {} for the holder",
                    if own == F_UNLCK { "free" } else { "held" }
                ))
            },
        ),
        behaviour("lock.released-by-any-close", "EAGAIN ok", || {
            let held = file("f", "x")?;
            lock(&held, F_SETLK, F_WRLCK, ALL)?;
            let before = other_lock(F_WRLCK, ALL)?;
            drop(rw("f")?);
            line([before, other_lock(F_WRLCK, ALL)?])
        }),
        behaviour("lock.released-at-exit", "ok ok", || {
            file("f", "x")?;
            let child = sys::fork(|| {
                let own = rw("f")?;
                let got = word(lock(&own, F_SETLK, F_WRLCK, ALL));
                std::mem::forget(own);
                Ok(got)
            })?
            .outcome()?;
            line([child, other_lock(F_WRLCK, ALL)?])
        }),
        behaviour("lock.needs-the-direction", "EBADF ok", || {
            file("f", "x")?;
            let reader = open("f", O_RDONLY, 0)?;
            line([
                word(lock(&reader, F_SETLK, F_WRLCK, ALL)),
                word(lock(&reader, F_SETLK, F_RDLCK, ALL)),
            ])
        }),
        behaviour("lock.waits", "got it", || {
            let held = file("f", "x")?;
            lock(&held, F_SETLK, F_WRLCK, ALL)?;
            let (mut heard, mut tell) = pipe()?;
            let child = sys::fork(|| {
                let own = rw("f")?;
                tell.write_all(b"!")?;
                lock(&own, F_SETLKW, F_WRLCK, ALL)?;
                Ok("got it".into())
            })?;
            heard.read_exact(&mut [0])?;
            lock(&held, F_SETLK, F_UNLCK, ALL)?;
            child.outcome()
        }),
        behaviour("lock.not-of-a-child", "EAGAIN", || {
            let held = file("f", "x")?;
            lock(&held, F_SETLK, F_WRLCK, ALL)?;
            sys::fork(|| Ok(word(lock(&held, F_SETLK, F_WRLCK, ALL))))?.outcome()
        }),
        behaviour("lock.of-descriptors", "EAGAIN EAGAIN ok", || {
            let (one, two) = (file("f", "x")?, rw("f")?);
            lock(&one, F_OFD_SETLK, F_WRLCK, ALL)?;
            let refused = word(lock(&two, F_OFD_SETLK, F_WRLCK, ALL));
            // Closing another descriptor does not release it.
            drop(rw("f")?);
            let still = word(lock(&two, F_OFD_SETLK, F_WRLCK, ALL));
            drop(one);
            line([refused, still, word(lock(&two, F_OFD_SETLK, F_WRLCK, ALL))])
        }),
        behaviour("lock.of-descriptors-against-processes", "EAGAIN", || {
            let held = file("f", "x")?;
            lock(&held, F_OFD_SETLK, F_WRLCK, (0, 10))?;
            other_lock(F_WRLCK, (5, 1))
        }),
        behaviour("lock.beside-flock", "ok", || {
            let held = file("f", "x")?;
            flock(&held, LOCK_EX)?;
            other_lock(F_WRLCK, ALL)
        }),
        behaviour("lock.lease", "ok", || {
            file("f", "x")?;
            let reader = open("f", O_RDONLY, 0)?;
            Ok(word(sys::fcntl(&reader, libc::F_SETLEASE, F_RDLCK)))
        }),
    ];
