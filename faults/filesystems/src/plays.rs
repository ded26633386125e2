//! The plays of a search: what is written back and committed between the operations. Nothing else would
//! write so early. First what is aimed at the finding, then by a seed.

use std::collections::{BTreeMap, BTreeSet};

use plugpull_crashsim::fs::{Ino, Op, Record};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::machine::{Machine, MachineFailed};
use crate::sought::Sought;

/// The most operations of what was lost that a commit is aimed at, one a play.
const AIMED_AT: usize = 12;

/// What is provoked at some moment.
#[derive(Clone, Copy, Debug, Default)]
struct Provoked {
    /// Every file is written back, but for the pages in which the finding lost bytes.
    write_back: bool,
    /// Then the metadata is committed.
    commit: bool,
}

const NOTHING: Provoked = Provoked {
    write_back: false,
    commit: false,
};
const COMMIT: Provoked = Provoked {
    write_back: false,
    commit: true,
};
const WRITE_BACK: Provoked = Provoked {
    write_back: true,
    commit: false,
};
const BOTH: Provoked = Provoked {
    write_back: true,
    commit: true,
};

/// Before what the finding lost, and behind the last operation. What it kept is written before what it lost
/// is done.
const AIMED: [(Provoked, Provoked); 9] = [
    (BOTH, BOTH),
    (BOTH, WRITE_BACK),
    (NOTHING, BOTH),
    (BOTH, NOTHING),
    (NOTHING, WRITE_BACK),
    (WRITE_BACK, COMMIT),
    (COMMIT, COMMIT),
    (NOTHING, COMMIT),
    (NOTHING, NOTHING),
];

/// One play.
#[derive(Default)]
pub(crate) struct Play {
    /// Before each run of operations that the finding lost.
    before_lost: Provoked,
    /// Before this operation.
    before: Option<usize>,
    /// By this seed, after any operation.
    random: Option<u64>,
    /// Also what the finding lost is written back.
    blind: bool,
    /// Behind the last operation.
    after: Provoked,
}

/// All plays of a search, by number.
pub(crate) struct Plays<'a> {
    records: &'a [Record],
    before: usize,
    seed: u64,
    lost: BTreeSet<usize>,
    lost_pages: BTreeMap<usize, Vec<(Ino, u64)>>,
}

impl<'a> Plays<'a> {
    /// Of these operations, the first `before` of which make what was on disk before.
    pub(crate) fn new(sought: &Sought, records: &'a [Record], before: usize, seed: u64) -> Self {
        Self {
            records,
            before,
            seed,
            lost: sought.lost_operations(),
            lost_pages: sought.lost_pages(records),
        }
    }

    /// The play of this number, from 0.
    pub(crate) fn number(&self, number: usize) -> Play {
        if let Some((before_lost, after)) = AIMED.get(number) {
            return Play {
                before_lost: *before_lost,
                after: *after,
                ..Play::default()
            };
        }
        let number = number - AIMED.len();
        let last = self.lost.iter().rev().take(AIMED_AT);
        let aimed = last.flat_map(|at| [(*at, WRITE_BACK), (*at, BOTH)]);
        if let Some((at, after)) = aimed.clone().nth(number) {
            return Play {
                before: Some(at),
                after,
                ..Play::default()
            };
        }
        let number = number - aimed.count();
        Play {
            random: Some(self.seed.wrapping_add(number as u64)),
            blind: number % 2 == 1,
            after: [BOTH, NOTHING, WRITE_BACK, COMMIT][number / 2 % 4],
            ..Play::default()
        }
    }

    /// Does the operations, and what the play provokes between them. How many blocks there were when the
    /// last was over.
    pub(crate) fn perform(
        &self,
        play: &Play,
        machine: &mut Machine,
    ) -> Result<usize, MachineFailed> {
        machine.prepare(self.records, self.before)?;
        let mut random = play.random.map(ChaCha8Rng::seed_from_u64);
        // Some plays write back much, some little.
        let often = random
            .as_mut()
            .map_or(0.0, |random| random.random_range(0.0..0.5));
        let mut written = BTreeSet::new();
        let mut lost_pages = Vec::new();
        for at in self.before..self.records.len() {
            let begins = self.lost.contains(&at) && (at == 0 || !self.lost.contains(&(at - 1)));
            if begins {
                provoke(machine, play.before_lost, &lost_pages)?;
            }
            if play.before == Some(at) {
                provoke(machine, BOTH, &lost_pages)?;
            }
            machine.perform(at)?;
            if let Op::Write { ino, .. } = self.records[at].op {
                written.insert(ino);
            }
            lost_pages.extend(self.lost_pages.get(&at).into_iter().flatten());
            let Some(random) = &mut random else { continue };
            if random.random_bool(often) {
                let but: Vec<Ino> = written
                    .iter()
                    .copied()
                    .filter(|_| random.random())
                    .collect();
                let kept: &[(Ino, u64)] = if play.blind { &[] } else { &lost_pages };
                machine.write_back(&but, kept)?;
            }
            if random.random_bool(often / 4.0) {
                machine.commit()?;
            }
        }
        let over = machine.blocks();
        provoke(machine, play.after, &lost_pages)?;
        Ok(over)
    }
}

fn provoke(
    machine: &mut Machine,
    what: Provoked,
    lost_pages: &[(Ino, u64)],
) -> Result<(), MachineFailed> {
    if what.write_back {
        machine.write_back(&[], lost_pages)?;
    }
    if what.commit {
        machine.commit()?;
    }
    Ok(())
}
