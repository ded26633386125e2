//! Where in the data directory damage falls: a random sector of a random file.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use plugpull_crashsim::fs::SECTOR;

use crate::machine::Read;

/// Why there is no such sector.
pub(crate) const NO_DATA: &str = "no file that is meant holds data";

/// A random sector: the index of its file in `sizes`, and its offset in the file, in bytes, a
/// multiple of [`SECTOR`]. None where no file holds data.
///
/// `sizes` are the sizes of the files in bytes. The last sector of a file may be behind its end in
/// part.
pub(crate) fn pick(sizes: &[u64], rng: &mut ChaCha8Rng) -> Option<(usize, u64)> {
    let total: u64 = sizes.iter().sum();
    if total == 0 {
        return None;
    }
    // By size, as damage falls; but now and then by file, or the largest would take all of it.
    let index = if rng.random_bool(0.7) {
        let mut at = rng.random_range(0..total);
        sizes.iter().position(|size| {
            let here = at < *size;
            at = at.saturating_sub(*size);
            here
        })?
    } else {
        let filled: Vec<usize> = (0..sizes.len()).filter(|index| sizes[*index] > 0).collect();
        filled[rng.random_range(0..filled.len())]
    };
    let sector = rng.random_range(0..sizes[index].div_ceil(SECTOR));
    Some((index, sector * SECTOR))
}

/// A random one of the sectors that were read: half of the time one that recovery itself read. None
/// where none was.
pub(crate) fn pick_read<'r>(reads: &[&'r Read], rng: &mut ChaCha8Rng) -> Option<&'r Read> {
    let at_start: Vec<&Read> = reads.iter().copied().filter(|read| read.at_start).collect();
    let among = match rng.random_bool(0.5) {
        true if !at_start.is_empty() => &at_start,
        _ => reads,
    };
    let mut files: Vec<&str> = among.iter().map(|read| &*read.path).collect();
    files.dedup();
    if files.is_empty() {
        return None;
    }
    // As above.
    if rng.random_bool(0.7) {
        return Some(among[rng.random_range(0..among.len())]);
    }
    let file = files[rng.random_range(0..files.len())];
    let of_file: Vec<&Read> = among
        .iter()
        .copied()
        .filter(|read| read.path == file)
        .collect();
    Some(of_file[rng.random_range(0..of_file.len())])
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_sector_is_hit_and_nothing_else() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let sizes = [0, 1, 1025, 512];
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..500 {
            seen.extend(pick(&sizes, &mut rng));
        }
        let all = [(1, 0), (2, 0), (2, 512), (2, 1024), (3, 0)];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    }

    #[test]
    fn what_was_read_is_hit_and_what_recovery_read_more_often() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let read = |path: &str, offset, at_start| Read {
            path: path.into(),
            ino: 1,
            offset,
            at_start,
        };
        let all = [
            read("data", 0, false),
            read("data", 512, false),
            read("data", 1024, false),
            read("log", 512, true),
        ];
        let all: Vec<&Read> = all.iter().collect();
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..500 {
            let picked = pick_read(&all, &mut rng).unwrap();
            *seen
                .entry((picked.path.clone(), picked.offset))
                .or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert!(seen[&("log".to_string(), 512)] > 250, "{seen:?}");
        assert_eq!(pick_read(&[], &mut rng), None);
    }

    #[test]
    fn without_data_there_is_no_sector() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(pick(&[], &mut rng), None);
        assert_eq!(pick(&[0, 0], &mut rng), None);
    }
}
