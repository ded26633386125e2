//! Where in the data directory damage falls: a random sector of a random file.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use plugpull_crashsim::fs::SECTOR;

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
    fn without_data_there_is_no_sector() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(pick(&[], &mut rng), None);
        assert_eq!(pick(&[0, 0], &mut rng), None);
    }
}
