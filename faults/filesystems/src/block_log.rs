//! The block writes of a filesystem, and what a power cut among them leaves of its device.

use std::collections::{BTreeMap, HashSet};

use plugpull_crashsim::fs::{Content, Log, Tree, apply};
use plugpull_crashsim::persist::{Device, Index, LossSet, STRICT};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::kinds::Filesystem;
use crate::machine::{IMAGE, MachineFailed};

/// The unit that a device writes whole, in bytes.
const SECTOR: u64 = 4096;
/// How many points there are first at which nothing is lost.
const WHOLE: usize = 2;
/// How many seeded loss sets there are at one point.
const SUBSETS: usize = 4;
/// The most loss sets at one point.
const LOSS_SETS: usize = 48;

/// The writes and flushes of a device, from the image on that they began with.
pub struct BlockLog {
    /// The image, and what was done to it.
    pub log: Log,
    /// How many of these had been done when the last operation of a target was over.
    pub from: usize,
}

impl BlockLog {
    /// The filesystem that the device holds in the end.
    pub fn filesystem(&self) -> Option<Filesystem> {
        let mut image = self.log.base().clone();
        for record in self.log.records() {
            apply(&mut image, record);
        }
        let image = image_bytes(&image).ok()?;
        Filesystem::of_image(|at, len| {
            let mut bytes = Vec::new();
            image.read(at, len, &mut bytes);
            bytes
        })
    }

    /// At most so many different images that a power cut leaves at or behind the end of the last operation:
    /// with any of what no flush covered missing. First those with all and those with nothing of it, right
    /// then and at the end; the rest by the seed.
    ///
    /// # Errors
    /// The device has no size of whole sectors.
    pub fn states(&self, seed: u64, most: usize) -> Result<Vec<Tree>, MachineFailed> {
        let device = Device::with_sector(SECTOR)
            .ok_or_else(|| MachineFailed::Broken("no device has such sectors".into()))?;
        let index = Index::new(&self.log, &STRICT, device);
        let end = self.log.records().len();
        let mut cuts: Vec<(usize, usize)> = Vec::new();
        for point in self.from..=end {
            cuts.extend((0..LOSS_SETS).map(|set| (point, set)));
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        cuts.shuffle(&mut random);
        // Where nothing is lost but what had not been written yet, a filesystem keeps most.
        let whole = cuts.iter().copied().filter(|(_, set)| *set == 0);
        let whole: Vec<(usize, usize)> = whole.take(WHOLE).collect();
        let first = [(end, 0), (self.from, 0), (end, 1), (self.from, 1)];
        let mut sets: BTreeMap<usize, Vec<LossSet>> = BTreeMap::new();
        let mut seen = HashSet::new();
        let mut states = Vec::new();
        for (point, number) in first.into_iter().chain(whole).chain(cuts) {
            if states.len() >= most {
                break;
            }
            let window = index.window(point);
            let sets = sets
                .entry(point)
                .or_insert_with(|| window.loss_sets(SUBSETS, seed ^ point as u64, LOSS_SETS));
            let Some(losses) = sets.get(number) else {
                continue;
            };
            let state = window.state(losses).tree;
            if seen.insert(state.digest()) {
                states.push(state);
            }
        }
        Ok(states)
    }
}

/// The bytes of an image.
pub(crate) fn image_bytes(tree: &Tree) -> Result<&Content, MachineFailed> {
    tree.content(IMAGE)
        .map_err(|errno| MachineFailed::Broken(format!("the image: {errno}")))
}
