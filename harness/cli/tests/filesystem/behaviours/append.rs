//! Several processes that write at once.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;

use libc::{O_APPEND, O_CREAT, O_EXCL, O_RDWR, O_WRONLY};

use super::{Behaviour, behaviour, file, rw};
use crate::outcome::line;
use crate::sys::{self, open};

pub(super) const LIST: &[Behaviour] = &[
    behaviour("append.two-processes", "4000 whole lines, in order", || {
        file("f", "")?;
        let writer = |who: char| {
            sys::fork(move || {
                let mut end = open("f", O_WRONLY | O_APPEND, 0)?;
                for n in 0..2000 {
                    end.write_all(format!("{who} {n:05} {}\n", "x".repeat(n % 90)).as_bytes())?;
                }
                Ok(String::new())
            })
        };
        for child in [writer('a')?, writer('b')?] {
            child.outcome()?;
        }
        let all = fs::read_to_string("f")?;
        let mut next = [0, 0];
        for line in all.lines() {
            let parts: Vec<&str> = line.split(' ').collect();
            let [who, number, rest] = parts[..] else {
                return Ok(format!("torn: {line}"));
            };
            let next = &mut next[usize::from(who == "b")];
            if number != format!("{next:05}") || rest.len() != *next % 90 {
                return Ok(format!("out of order or torn: {line}"));
            }
            *next += 1;
        }
        Ok(format!("{} whole lines, in order", all.lines().count()))
    }),
    behaviour("append.two-processes-own-places", "true", || {
        let shared = file("f", vec![b'.'; 1 << 16])?;
        let writer = |who: u8| {
            sys::fork(move || {
                let own = rw("f")?;
                for n in (u64::from(who)..1 << 10).step_by(2) {
                    own.write_all_at(&[b'a' + who; 64], n * 64)?;
                }
                Ok(String::new())
            })
        };
        for child in [writer(0)?, writer(1)?] {
            child.outcome()?;
        }
        let mut read = vec![0; 1 << 16];
        shared.read_exact_at(&mut read, 0)?;
        let right =
            |(n, part): (usize, &[u8])| part.iter().all(|byte| *byte == b'a' + (n % 2) as u8);
        Ok(read.chunks(64).enumerate().all(right).to_string())
    }),
    behaviour("append.one-winner-of-excl", "300", || {
        let racer = || {
            sys::fork(|| {
                let won = (0..300)
                    .filter(|n| open(format!("f{n}"), O_CREAT | O_EXCL | O_RDWR, 0o600).is_ok());
                Ok(won.count().to_string())
            })
        };
        let mut won = 0;
        for child in [racer()?, racer()?] {
            won += child.outcome()?.parse::<u32>().unwrap_or(0);
        }
        Ok(won.to_string())
    }),
    behaviour(
        "append.create-and-unlink-in-two-processes",
        "done done 0",
        || {
            let churn = |who: char| {
                sys::fork(move || {
                    for n in 0..500 {
                        let name = format!("{who}{n}");
                        fs::write(&name, "x")?;
                        fs::rename(&name, format!("{who}-current"))?;
                    }
                    fs::remove_file(format!("{who}-current"))?;
                    Ok("done".into())
                })
            };
            let (one, two) = (churn('a')?, churn('b')?);
            line([
                one.outcome()?,
                two.outcome()?,
                fs::read_dir(".")?.count().to_string(),
            ])
        },
    ),
    behaviour("append.rename-seen-whole-by-readers", "done 0", || {
        file("f", "A".repeat(1000))?;
        let writer = sys::fork(|| {
            for n in 0..200 {
                fs::write("new", if n % 2 == 0 { "B" } else { "A" }.repeat(1000))?;
                fs::rename("new", "f")?;
            }
            Ok("done".into())
        })?;
        let mut torn = 0;
        for _ in 0..200 {
            let read = fs::read_to_string("f")?;
            let whole = read == "A".repeat(1000) || read == "B".repeat(1000);
            torn += i32::from(!whole);
        }
        line([writer.outcome()?, torn.to_string()])
    }),
];
