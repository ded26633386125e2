//! The search for a finding on a real filesystem: its operations are played again and again, with other
//! write-backs and commits between them, and the block states that each leaves are tried.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::Instant;

use plugpull_crashsim::fs::{Record, Tree};

use crate::block_log::BlockLog;
use crate::difference::Losses;
use crate::kinds::Filesystem;
use crate::machine::{Machine, MachineFailed, empty_image};
use crate::plays::Plays;
use crate::sought::{Reached, Sought};

/// The most block states of one play. What is written back and when decides more than which block writes are
/// lost, so there are few.
const STATES: usize = 6;
/// How many states that show the finding are enough.
const ENOUGH: usize = 5;
/// How many are, where most of them lost more.
const ENOUGH_LOST_MORE: usize = 15;

/// Tries the target on what a filesystem recovered, and says whether the same kind of finding shows.
pub type ShowsFinding<'a> = dyn FnMut(&Tree) -> Result<bool, MachineFailed> + 'a;

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
    /// How many plays and mounts go on at a time, each with a filesystem of its own.
    pub workers: usize,
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
    /// Those of them in which all that the finding lost was missing, and nothing else.
    pub reached: usize,
    /// Those of these whose data directory was that of the finding, but for its times.
    pub same_disk: usize,
    /// Those of `reached` on which the target showed the same kind of finding.
    pub seen: usize,
    /// Those of `tried` in which all that the finding lost was missing, and more. One that the target survives
    /// says nothing: it may lack what the finding needs.
    pub lost_more: usize,
    /// Those of `lost_more` on which the target showed the same kind of finding.
    pub seen_lost_more: usize,
    /// Block states that the kernel could not mount or read.
    pub unreadable: usize,
    /// Why not, for the first.
    pub unreadable_why: String,
    /// The block log of the first play in which the finding was seen: the evidence.
    pub evidence: Option<BlockLog>,
}

/// What a worker shows of its play.
enum Shown {
    /// What its block writes were: the first of all.
    Blocks(BlockLog),
    /// A block state, as the kernel recovered it.
    Disk(Reached, Tree),
    /// One that the kernel could not mount or read.
    Unreadable(String),
}

type Showing = Result<Shown, MachineFailed>;

/// What the workers of a search share.
#[derive(Default)]
struct Shared {
    /// The play that comes next.
    next: AtomicUsize,
    /// Nobody looks at what is shown any more.
    is_over: AtomicBool,
}

impl Search<'_> {
    /// Plays, cuts the power and tries, until there is no time, or enough was seen. What is counted follows
    /// from the order of plays, however many workers there are.
    ///
    /// # Errors
    /// The real filesystem could not be made or played on, or holds something else after the operations than
    /// they make; or what `shows_finding` says.
    pub fn run(&self, shows_finding: &mut ShowsFinding<'_>) -> Result<Tally, MachineFailed> {
        let sought = Sought::new(self.records, self.crashed);
        let plays = Plays::new(&sought, self.records, self.before, self.seed);
        let shared = Shared::default();
        let mut tally = Tally::default();
        thread::scope(|scope| {
            let (send, played) = channel();
            let workers: Vec<_> = (0..self.workers.max(1))
                .map(|_| {
                    let send = send.clone();
                    let (sought, plays, shared) = (&sought, &plays, &shared);
                    scope.spawn(move || self.work(plays, sought, shared, &send))
                })
                .collect();
            drop(send);
            let done = self.count(&played, &mut tally, shows_finding);
            shared.is_over.store(true, Ordering::Relaxed);
            drop(played);
            let panicked = workers.into_iter().any(|worker| worker.join().is_err());
            match panicked {
                true => Err(MachineFailed::Broken("a worker panicked".into())),
                false => done,
            }
        })?;
        Ok(tally)
    }

    /// The same for block states of somebody's log.
    ///
    /// # Errors
    /// What `shows_finding` says, or a machine cannot be started.
    pub fn run_on(
        &self,
        blocks: BlockLog,
        shows_finding: &mut ShowsFinding<'_>,
    ) -> Result<Tally, MachineFailed> {
        let sought = Sought::new(self.records, self.crashed);
        let mut tally = Tally::default();
        let images = blocks.states(self.seed, self.states)?;
        let mut blocks = Some(blocks);
        self.show(images, &sought, |shown| {
            self.note(shown, &mut blocks, &mut tally, shows_finding)?;
            Ok(!self.is_over(&tally))
        })?;
        Ok(tally)
    }

    fn is_over(&self, tally: &Tally) -> bool {
        tally.tried >= self.states
            || tally.seen >= ENOUGH
            || tally.seen + tally.seen_lost_more >= ENOUGH_LOST_MORE
            || Instant::now() >= self.until
    }

    /// Counts what the workers show, in the order of plays.
    fn count(
        &self,
        played: &Receiver<(usize, Receiver<Showing>)>,
        tally: &mut Tally,
        shows_finding: &mut ShowsFinding<'_>,
    ) -> Result<(), MachineFailed> {
        let mut waiting = BTreeMap::new();
        let mut number = 0;
        while !self.is_over(tally) {
            let Some(play) = waiting.remove(&number) else {
                let Ok((number, play)) = played.recv() else {
                    return Err(MachineFailed::Broken("the workers have ended".into()));
                };
                waiting.insert(number, play);
                continue;
            };
            let mut blocks = None;
            for shown in play {
                self.note(shown?, &mut blocks, tally, shows_finding)?;
                if self.is_over(tally) {
                    break;
                }
            }
            number += 1;
        }
        Ok(())
    }

    fn note(
        &self,
        shown: Shown,
        blocks: &mut Option<BlockLog>,
        tally: &mut Tally,
        shows_finding: &mut ShowsFinding<'_>,
    ) -> Result<(), MachineFailed> {
        match shown {
            Shown::Blocks(of_play) => {
                tally.plays += 1;
                *blocks = Some(of_play);
                return Ok(());
            }
            Shown::Unreadable(why) => {
                tally.unreadable += 1;
                if tally.unreadable_why.is_empty() {
                    tally.unreadable_why = why;
                }
            }
            Shown::Disk(Reached::No, _) => {}
            Shown::Disk(Reached::More, disk) => {
                tally.lost_more += 1;
                tally.seen_lost_more += usize::from(shows_finding(&disk)?);
            }
            Shown::Disk(Reached::Same, disk) => {
                tally.reached += 1;
                let same = Losses::between(self.crashed, &disk).is_empty();
                tally.same_disk += usize::from(same);
                tally.seen += usize::from(shows_finding(&disk)?);
            }
        }
        tally.tried += 1;
        if tally.seen + tally.seen_lost_more > 0 && tally.evidence.is_none() {
            tally.evidence = blocks.take();
        }
        Ok(())
    }

    /// Tries one play after the other, on a filesystem of this worker's own: two that are mounted at a time
    /// must not have one UUID.
    fn work(
        &self,
        plays: &Plays<'_>,
        sought: &Sought,
        shared: &Shared,
        send: &Sender<(usize, Receiver<Showing>)>,
    ) {
        let mut empty = None;
        while !shared.is_over.load(Ordering::Relaxed) {
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            let (show, shown) = sync_channel(STATES);
            if send.send((number, shown)).is_err() {
                return;
            }
            let show = |shown| show.send(shown).is_ok() && !shared.is_over.load(Ordering::Relaxed);
            let played = self.try_play(&mut empty, (plays, number), sought, &show);
            if let Err(failed) = played {
                show(Err(failed));
            }
        }
    }

    /// Plays once, and shows the block states that this left. `show` is false where nobody looks any more.
    fn try_play(
        &self,
        empty: &mut Option<Tree>,
        (plays, number): (&Plays<'_>, usize),
        sought: &Sought,
        show: &dyn Fn(Showing) -> bool,
    ) -> Result<(), MachineFailed> {
        let image = match empty {
            Some(image) => image.clone(),
            None => {
                let image = empty_image(self.filesystem.bytes)?;
                let made = Machine::start(self.program, &self.filesystem, image, true)?.end()?;
                empty.insert(made).clone()
            }
        };
        let blocks = self.play(image, (plays, number), sought.whole())?;
        let images = blocks.states(self.seed.wrapping_add(number as u64), STATES)?;
        if !show(Ok(Shown::Blocks(blocks))) {
            return Ok(());
        }
        self.show(images, sought, |shown| Ok(show(Ok(shown))))
    }

    /// Plays the operations once. The log of block writes; it is checked that the filesystem then holds what
    /// they make.
    fn play(
        &self,
        image: Tree,
        (plays, number): (&Plays<'_>, usize),
        whole: &Tree,
    ) -> Result<BlockLog, MachineFailed> {
        let mut machine = Machine::start(self.program, &self.filesystem, image, false)?;
        let from = plays.perform(&plays.number(number), &mut machine)?;
        let log = machine.take_blocks()?;
        let real = machine.read()?;
        machine.end()?;
        let wrong = Losses::between(whole, &real);
        match wrong.iter().next() {
            None => Ok(BlockLog { log, from }),
            Some(loss) => Err(MachineFailed::Broken(format!(
                "{} holds something else after the operations than they make, at {:?}",
                self.filesystem.name,
                loss.path()
            ))),
        }
    }

    /// Shows what the kernel recovers of each image, until `show` is false.
    fn show(
        &self,
        images: Vec<Tree>,
        sought: &Sought,
        mut show: impl FnMut(Shown) -> Result<bool, MachineFailed>,
    ) -> Result<(), MachineFailed> {
        for image in images {
            let shown = match recovered(self.program, &self.filesystem, image) {
                Err(MachineFailed::Unreadable(why)) => Shown::Unreadable(why),
                Err(failed) => return Err(failed),
                Ok(disk) => Shown::Disk(sought.reached(&disk), disk),
            };
            if !show(shown)? {
                break;
            }
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

/// This program, as it is started again.
pub fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}
