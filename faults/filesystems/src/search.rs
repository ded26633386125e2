//! The search for a finding on a real filesystem: its operations are played again and again, with other
//! write-backs and commits between them, and the block states that each leaves are tried.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use plugpull_crashsim::fs::{Ino, Op, Record, Tree};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::block_log::BlockLog;
use crate::difference::Losses;
use crate::kinds::Filesystem;
use crate::machine::{Machine, MachineFailed, empty_image};
use crate::trees::tree_of;

/// The most block states of one play. The next play has others.
const STATES: usize = 24;
/// How many states that show the finding are enough.
const ENOUGH: usize = 5;
/// The most operations of what was lost that a commit is aimed at.
const AIMED_AT: usize = 12;

/// Tries the target on what a filesystem recovered, and says whether the same kind of finding shows.
pub type Judge<'a> = dyn FnMut(&Tree) -> Result<bool, MachineFailed> + 'a;

/// A finding that is looked for.
pub struct Search<'a> {
    /// The program that becomes the machine; it calls [`crate::machine_main`].
    pub program: &'a Path,
    /// Where it is looked for.
    pub filesystem: Filesystem,
    /// The operations up to the crash, from an empty disk on.
    pub records: &'a [Record],
    /// How many of them make what was on disk before the first.
    pub before: usize,
    /// The disk of the finding.
    pub crashed: &'a Tree,
    /// What is random follows from it.
    pub seed: u64,
    /// The most block states.
    pub states: usize,
    /// When it ends.
    pub until: Instant,
}

/// What was seen.
#[derive(Default)]
pub struct Tally {
    /// How often the operations were played.
    pub plays: usize,
    /// Different block states that were mounted.
    pub tried: usize,
    /// Those of them in which all that the finding lost was missing.
    pub reached: usize,
    /// Those of these whose data directory was that of the finding, but for its times.
    pub same_disk: usize,
    /// Those of `reached` on which the target showed the same kind of finding.
    pub seen: usize,
    /// Block states that the kernel could not mount or read.
    pub unreadable: usize,
    /// Why not, for the first.
    pub unreadable_why: String,
    /// The block log of the first play in which the finding was seen: the evidence.
    pub evidence: Option<BlockLog>,
}

/// What is provoked while the operations are played. Nothing else would write so early.
#[derive(Clone, Debug, Default)]
struct Provoked {
    /// Before this operation: everything is written back, where `true`, and the metadata is committed.
    before: Option<(usize, bool)>,
    /// By this seed, after any operation.
    random: Option<u64>,
    /// After the last operation.
    after: After,
}

#[derive(Clone, Copy, Debug, Default)]
enum After {
    #[default]
    Nothing,
    /// The metadata is committed.
    Commit,
    /// Everything is written back but what was lost, and the metadata is committed.
    KeepTheRest,
    /// Everything is written back, and no metadata is committed.
    WriteBack,
}

impl Search<'_> {
    /// Plays, cuts the power and tries, until there is no time, or enough was seen.
    ///
    /// # Errors
    /// The real filesystem could not be made or played on, or holds something else after the operations than
    /// they make; or what `judge` says.
    pub fn run(&self, judge: &mut Judge<'_>) -> Result<Tally, MachineFailed> {
        let whole = tree_of(self.records);
        let losses = Losses::between(&whole, self.crashed);
        let mut tally = Tally::default();
        let image = empty_image(self.filesystem.bytes)?;
        let image = Machine::start(self.program, &self.filesystem, image, true)?.end()?;
        for provoked in self.provoked(&losses, &whole) {
            if self.is_over(&tally) {
                break;
            }
            let blocks = self.play(image.clone(), &provoked, &losses, &whole)?;
            tally.plays += 1;
            let seed = self.seed.wrapping_add(tally.plays as u64);
            self.try_states(&blocks, seed, (&losses, &whole), &mut tally, judge)?;
            if tally.seen > 0 && tally.evidence.is_none() {
                tally.evidence = Some(blocks);
            }
        }
        Ok(tally)
    }

    /// The same for block states of somebody's log.
    ///
    /// # Errors
    /// What `judge` says, or a machine cannot be started.
    pub fn run_on(&self, blocks: BlockLog, judge: &mut Judge<'_>) -> Result<Tally, MachineFailed> {
        let whole = tree_of(self.records);
        let losses = Losses::between(&whole, self.crashed);
        let mut tally = Tally::default();
        let found = (&losses, &whole);
        self.try_states(&blocks, self.seed, found, &mut tally, judge)?;
        tally.evidence = Some(blocks).filter(|_| tally.seen > 0);
        Ok(tally)
    }

    fn is_over(&self, tally: &Tally) -> bool {
        tally.tried >= self.states || tally.seen >= ENOUGH || Instant::now() >= self.until
    }

    /// What is provoked in one play after the other: aimed at the finding first, then by the seed.
    fn provoked(&self, losses: &Losses, whole: &Tree) -> impl Iterator<Item = Provoked> + use<> {
        let after = |after| Provoked {
            after,
            ..Provoked::default()
        };
        let mut aimed = vec![
            after(After::KeepTheRest),
            after(After::Commit),
            after(After::WriteBack),
            after(After::Nothing),
        ];
        let lost = self.lost_inodes(&losses.paths(), whole);
        let about = |(at, record): (usize, &Record)| {
            (at >= self.before && lost.contains(&record.op.ino())).then_some(at)
        };
        let numbered = self.records.iter().enumerate().rev();
        for at in numbered.filter_map(about).take(AIMED_AT) {
            for (written_back, after) in [
                (true, After::KeepTheRest),
                (true, After::Nothing),
                (false, After::Commit),
            ] {
                aimed.push(Provoked {
                    before: Some((at, written_back)),
                    after,
                    ..Provoked::default()
                });
            }
        }
        let ends = [After::KeepTheRest, After::Nothing, After::Commit];
        let seed = self.seed;
        let seeded = (0..u64::MAX).map(move |number| Provoked {
            before: None,
            random: Some(seed.wrapping_add(number)),
            after: ends[(number % 3) as usize],
        });
        aimed.into_iter().chain(seeded)
    }

    fn lost_inodes(&self, paths: &BTreeSet<&Path>, whole: &Tree) -> BTreeSet<Ino> {
        let in_tree = |tree: &Tree, path: &Path| path.to_str().and_then(|at| tree.resolve(at).ok());
        let both = [whole, self.crashed];
        let inodes = paths.iter().flat_map(|path| {
            both.iter()
                .filter_map(|tree| in_tree(tree, path))
                .collect::<Vec<_>>()
        });
        inodes.collect()
    }

    /// Plays the operations once. The log of block writes; it is checked that the filesystem then holds what
    /// they make.
    fn play(
        &self,
        image: Tree,
        provoked: &Provoked,
        losses: &Losses,
        whole: &Tree,
    ) -> Result<BlockLog, MachineFailed> {
        let mut machine = Machine::start(self.program, &self.filesystem, image, false)?;
        machine.prepare(self.records, self.before)?;
        let mut random = provoked.random.map(ChaCha8Rng::seed_from_u64);
        // Some plays write back much, some little.
        let often = random
            .as_mut()
            .map_or(0.0, |random| random.random_range(0.0..0.5));
        for at in self.before..self.records.len() {
            if let Some((aim, written_back)) = provoked.before
                && aim == at
            {
                if written_back {
                    machine.write_back(&[])?;
                }
                machine.commit()?;
            }
            machine.perform(at)?;
            let Some(random) = &mut random else { continue };
            if random.random_bool(often) {
                let files = written(&self.records[self.before..=at]);
                let but: Vec<Ino> = files.into_iter().filter(|_| random.random()).collect();
                machine.write_back(&but)?;
            }
            if random.random_bool(often / 4.0) {
                machine.commit()?;
            }
        }
        let from = machine.blocks();
        let lost: Vec<Ino> = self
            .lost_inodes(&losses.contents(), whole)
            .into_iter()
            .collect();
        match provoked.after {
            After::Nothing => {}
            After::Commit => machine.commit()?,
            After::WriteBack => machine.write_back(&[])?,
            After::KeepTheRest => {
                machine.write_back(&lost)?;
                machine.commit()?;
            }
        }
        let log = machine.take_blocks()?;
        let real = machine.read()?;
        machine.end()?;
        let wrong = Losses::between(whole, &real);
        match wrong.paths().first() {
            None => Ok(BlockLog { log, from }),
            Some(path) => Err(MachineFailed::Broken(format!(
                "{} holds something else after the operations than they make, at {path:?}",
                self.filesystem.name
            ))),
        }
    }

    fn try_states(
        &self,
        blocks: &BlockLog,
        seed: u64,
        (losses, whole): (&Losses, &Tree),
        tally: &mut Tally,
        judge: &mut Judge<'_>,
    ) -> Result<(), MachineFailed> {
        for image in blocks.states(seed, STATES)? {
            if self.is_over(tally) {
                break;
            }
            tally.tried += 1;
            let disk = match recovered(self.program, &self.filesystem, image) {
                Err(MachineFailed::Unreadable(why)) => {
                    tally.unreadable += 1;
                    if tally.unreadable_why.is_empty() {
                        tally.unreadable_why = why;
                    }
                    continue;
                }
                disk => disk?,
            };
            if !losses.are_lost_in(whole, &disk) {
                continue;
            }
            tally.reached += 1;
            let same = Losses::between(self.crashed, &disk).is_empty();
            tally.same_disk += usize::from(same);
            tally.seen += usize::from(judge(&disk)?);
        }
        Ok(())
    }
}

/// What the filesystem on an image shows, after the kernel recovered it.
///
/// # Errors
/// [`MachineFailed::Unreadable`] where it cannot.
pub fn recovered(
    program: &Path,
    filesystem: &Filesystem,
    image: Tree,
) -> Result<Tree, MachineFailed> {
    let mut machine = Machine::start(program, filesystem, image, false)?;
    let disk = machine.read()?;
    machine.end()?;
    Ok(disk)
}

/// The files that are written to.
fn written(records: &[Record]) -> BTreeSet<Ino> {
    let of_write = |record: &Record| match record.op {
        Op::Write { ino, .. } => Some(ino),
        _ => None,
    };
    records.iter().filter_map(of_write).collect()
}

/// This program, as it is started again.
pub fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}
