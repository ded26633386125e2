//! The work of a row, done in a directory by a process of its own, which times it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rusqlite::Connection;

use crate::row::{self, Row, Work};

/// The argument that makes this program do the work: `__work ROW DIRECTORY COUNT`. It prints the
/// nanoseconds that the operations took, and nothing else.
pub(crate) const ARG: &str = "__work";

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Bytes of the file that random writes go to.
const RANDOM_SIZE: usize = 64 * MIB;

/// Does the work that the arguments behind [`ARG`] name.
pub(crate) fn main(args: &[String]) -> anyhow::Result<()> {
    let [name, dir, count] = args else {
        bail!("{ARG} wants a row, a directory and a count");
    };
    let count = count.parse().context("the count")?;
    let took = time(row::named(name)?.work, Path::new(dir), count)?;
    println!("{}", took.as_nanos());
    Ok(())
}

/// The arguments that make this program work.
pub(crate) fn arguments(row: &Row, dir: &Path, count: u32) -> [String; 4] {
    let dir = dir.display().to_string();
    [ARG.into(), row.name.into(), dir, count.to_string()]
}

/// What it printed then.
pub(crate) fn took(printed: &str) -> anyhow::Result<Duration> {
    let nanos = printed
        .trim()
        .parse()
        .with_context(|| format!("reading {printed:?}"))?;
    Ok(Duration::from_nanos(nanos))
}

/// Does `count` operations in an empty directory, and returns how long they took, without what
/// prepares them.
fn time(work: Work, dir: &Path, count: u32) -> anyhow::Result<Duration> {
    // What earlier rounds left to write is not to be paid by this one.
    nix::unistd::syncfs(File::open(dir)?).context("emptying the caches")?;
    match work {
        Work::Append => append(dir, count),
        Work::Sequential => sequential(dir, count),
        Work::Random => random(dir, count),
        Work::Sqlite { journal } => sqlite(dir, count, journal),
    }
}

/// Bytes that no disk can compress or find to be all the same.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ChaCha8Rng::seed_from_u64(0).fill_bytes(&mut bytes);
    bytes
}

fn append(dir: &Path, count: u32) -> anyhow::Result<Duration> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("file"))?;
    let data = noise(MIB);
    let blocks = data.chunks_exact(4 * KIB).cycle();
    let began = Instant::now();
    for block in blocks.take(count as usize) {
        file.write_all(block)?;
        file.sync_data()?;
    }
    Ok(began.elapsed())
}

fn sequential(dir: &Path, count: u32) -> anyhow::Result<Duration> {
    let mut file = File::create_new(dir.join("file"))?;
    let data = noise(MIB);
    let began = Instant::now();
    for _ in 0..count {
        file.write_all(&data)?;
    }
    Ok(began.elapsed())
}

fn random(dir: &Path, count: u32) -> anyhow::Result<Duration> {
    let mut file = File::create_new(dir.join("file"))?;
    let data = noise(MIB);
    for _ in 0..RANDOM_SIZE / MIB {
        file.write_all(&data)?;
    }
    file.sync_all()?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let blocks = (RANDOM_SIZE / (4 * KIB)) as u64;
    let places: Vec<u64> = (0..count)
        .map(|_| rng.random_range(0..blocks) * (4 * KIB) as u64)
        .collect();
    let began = Instant::now();
    for (place, block) in places.into_iter().zip(data.chunks_exact(4 * KIB).cycle()) {
        file.write_all_at(block, place)?;
    }
    Ok(began.elapsed())
}

fn sqlite(dir: &Path, count: u32, journal: &str) -> anyhow::Result<Duration> {
    let db = Connection::open(dir.join("db"))?;
    let got: String = db.query_row(&format!("PRAGMA journal_mode={journal}"), [], |row| {
        row.get(0)
    })?;
    if !got.eq_ignore_ascii_case(journal) {
        bail!("SQLite made the journal mode {got} of {journal}");
    }
    db.execute_batch(
        "PRAGMA synchronous=FULL; CREATE TABLE kv (key INTEGER PRIMARY KEY, value BLOB)",
    )?;
    let mut insert = db.prepare("INSERT INTO kv (value) VALUES (?1)")?;
    let data = noise(100);
    let began = Instant::now();
    for _ in 0..count {
        insert.execute([&data])?;
    }
    Ok(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::ROWS;

    #[test]
    fn every_row_works_in_a_plain_directory() {
        for row in &ROWS {
            let dir = tempfile::tempdir().expect("a directory");
            let took = time(row.work, dir.path(), 3).expect(row.name);
            assert!(took > Duration::ZERO, "{}", row.name);
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        for row in &ROWS {
            assert!(
                time(row.work, Path::new("/nowhere/at/all"), 1).is_err(),
                "{}",
                row.name
            );
        }
    }
}
