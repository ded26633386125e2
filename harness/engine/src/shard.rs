//! `--shard K/N`: which part of the work is this machine's.
//!
//! What belongs to a shard is decided by the work itself, never by what came out of it, so machines
//! that know nothing of each other share it out without overlap.

use std::fmt;
use std::str::FromStr;

/// The most shards.
const MOST: u64 = 10_000;

/// One of several equal parts of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub number: u64,
    /// Of how many.
    pub of: u64,
}

impl Shard {
    /// True when the trial with this number, from 1, is this shard's.
    pub fn has_trial(self, number: u64) -> bool {
        number % self.of == self.number % self.of
    }

    /// True when the crash state of this name is this shard's. The name's low bits decide what else
    /// is done with a state, so its high bits decide here.
    pub fn has_state(self, key: u128) -> bool {
        ((key >> 64) as u64) % self.of == self.number - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| {
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            let sound = digits(number) && digits(of);
            sound.then_some(Self {
                number: number.parse().ok()?,
                of: of.parse().ok()?,
            })
        });
        let sound = parts.filter(|one| (1..=MOST).contains(&one.of));
        sound
            .filter(|one| (1..=one.of).contains(&one.number))
            .ok_or_else(|| {
                format!("it wants K/N, shard K of N with K from 1 to N, for example 1/4; N is at most {MOST}")
            })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_work_belongs_to_exactly_one_shard() {
        for of in [1, 2, 3, 4, 7, 64] {
            let shards: Vec<Shard> = (1..=of).map(|number| Shard { number, of }).collect();
            for piece in 1..200_u64 {
                let key = u128::from(piece) << 64 | 0xff;
                let trials = shards.iter().filter(|shard| shard.has_trial(piece));
                let states = shards.iter().filter(|shard| shard.has_state(key));
                assert_eq!((trials.count(), states.count()), (1, 1), "{piece} of {of}");
            }
        }
    }

    #[test]
    fn only_a_shard_that_there_is_can_be_asked_for() {
        let shard = "2/4".parse::<Shard>().expect("sound");
        assert_eq!((shard.number, shard.of), (2, 4));
        assert_eq!(shard.to_string(), "2/4");
        for wrong in [
            "", "x", "0/4", "5/4", "1/0", "1", "1/", "/4", "+1/4", "-1/4", "1/4/4", "1/10001",
        ] {
            let said = wrong.parse::<Shard>().expect_err(wrong);
            assert!(said.contains("K/N"), "{said}");
        }
    }
}
