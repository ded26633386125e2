//! Seeds: one decides everything.
// tidy: small because every way of making trials uses it, and it is about nothing else.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The seed of a trial: a stream of its own for each number.
pub fn of_trial(seed: u64, number: u64) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng.next_u64()
}

/// A seed nobody chose. Small, so that people can type it.
pub fn fresh() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |time| time.as_nanos() as u64);
    ChaCha8Rng::seed_from_u64(nanos ^ u64::from(std::process::id())).next_u64() % 1_000_000
}
