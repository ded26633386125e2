//! The log up to one crash point, and the states that are possible there.

use foldhash::{HashSet, HashSetExt};

use super::apply::{Keep, LostUpdate, apply, lost, sectors};
use super::count::{self, Possible};
use super::device::Device;
use super::legalize::Rules;
use super::loss_sets;
use super::lower::{FIRST, ROOM};
use super::model::Model;
use super::random;
use super::replay::Replay;
use super::tears;
use super::update::{Durability, Loss, LossSet, PARTS, Update, place, write_of};
use super::whole::WholeLosses;
use crate::fs::{Log, Op, Record, Tree};

/// One content of the disk after losing power.
pub struct CrashState {
    /// The content.
    pub tree: Tree,
    /// What is missing in it, in the order in which it had happened.
    pub lost: Vec<LostUpdate>,
    /// How many updates were pending.
    pub pending: usize,
}

/// The content of the disk when power is lost at the end of `log`.
///
/// The same log, model, loss, device and seed give the same state anywhere.
pub fn crash_state(
    log: &Log,
    model: &dyn Model,
    loss: Loss,
    device: Device,
    seed: u64,
) -> CrashState {
    Window::new(log, log.records().len(), model, device).crash(loss, seed)
}

/// The log up to one crash point under one model. Costs what is un-synced there, not what was
/// written before.
pub struct Window<'a> {
    pub(super) records: &'a [Record],
    pub(super) model: &'a dyn Model,
    pub(super) device: Device,
    /// The log's base with every update applied that no open one stands before.
    pub(super) durable: Tree,
    /// The updates to apply for each state, in order.
    pub(super) open: Vec<Update<'a>>,
}

impl<'a> Window<'a> {
    /// The window in front of the record at index `point` of the log. Reads the log from its
    /// beginning: for many windows of one log there is [`Index`].
    ///
    /// # Panics
    /// When the log has fewer than `point` records, or they are not numbered without gaps from
    /// [`Log::first_seq`] on.
    pub fn new(log: &'a Log, point: usize, model: &'a dyn Model, device: Device) -> Self {
        log.assert_numbered();
        assert!(
            point <= log.records().len(),
            "a crash point behind the log's end: {point} of {}",
            log.records().len()
        );
        let mut replay = Replay::new(log.base(), log.records(), model, device);
        replay.advance(point);
        Self::of(replay)
    }

    pub(super) fn of(replay: Replay<'a>) -> Self {
        Self {
            records: replay.lowering.records,
            model: replay.lowering.model,
            device: replay.lowering.device,
            durable: replay.durable,
            open: replay.lowering.open,
        }
    }

    pub(super) fn rules(&self) -> Rules<'_, 'a> {
        Rules {
            records: self.records,
            model: self.model,
            device: self.device,
            open: &self.open,
        }
    }

    /// The pending updates, by their numbers.
    pub fn pending(&self) -> Vec<usize> {
        self.rules().pending().map(|update| update.id).collect()
    }

    /// The content of the disk under a loss set, which is made legal first: what needs something
    /// lost is lost too, and what a kept sector brings along is kept.
    pub fn state(&self, losses: &LossSet) -> CrashState {
        self.build(&self.legal(losses))
    }

    /// True when this content is that of a loss set made legal here. The loss set may come from another
    /// model: a length that a write brings in two updates here and in one there goes with its last, and
    /// where no length comes without its data it goes with that.
    pub fn shows(&self, losses: &LossSet, digest: u128) -> bool {
        let shown = |losses: &LossSet| self.state(losses).tree.digest() == digest;
        if shown(losses) {
            return true;
        }
        let of_write = |id: &&usize| matches!(self.records[**id / PARTS].op, Op::Write { .. });
        let lengths = losses.lost.iter().filter(of_write);
        let lengths = lengths.filter(|id| *id % PARTS != FIRST);
        let with = |parts: &[usize]| {
            let mut more = losses.clone();
            for id in lengths.clone() {
                let before = parts.iter().filter(|part| **part < id % PARTS);
                more.lost.extend(before.map(|part| id - id % PARTS + part));
            }
            more != *losses && shown(&more)
        };
        with(&[ROOM]) || with(&[FIRST, ROOM])
    }

    /// The content of the disk under a seeded loss set. The same seed gives the same one anywhere.
    pub fn crash(&self, loss: Loss, seed: u64) -> CrashState {
        self.build(&random::keeps(&self.rules(), loss, seed))
    }

    /// The first `limit` of the loss sets worth trying here, the most telling first: all there, nothing
    /// there, names without data, a write torn with what came later, lengths without data (zeros), data
    /// without names, data without any metadata, each single update missing (one of each role before a
    /// second), more tears, each prefix, and `subsets` seeded ones. Different loss sets can still give
    /// equal states.
    pub fn loss_sets(&self, subsets: usize, seed: u64, limit: usize) -> Vec<LossSet> {
        loss_sets::likely(&self.rules(), subsets, seed, limit)
    }

    /// Of the updates that are lost some of each role: the first and the last that do the same to the same kind
    /// of file, and one between them.
    pub fn some_of_each_role(&self, losses: &LossSet) -> Vec<usize> {
        let lost = |update: &&Update<'_>| losses.lost.contains(&update.id);
        let lost: Vec<&Update<'_>> = self.open.iter().filter(lost).collect();
        let first = tears::first_of_each_role(&self.rules(), &lost);
        first.into_iter().map(|update| update.id).collect()
    }

    /// The write of the record at this index, the last before the crash point, ended early by the
    /// kill of its process: as far as whole pages of the page cache. Needs a model whose lengths go
    /// as far as their data, as [`XFS`](super::XFS).
    pub fn cut_short(&self, record: usize) -> Vec<LossSet> {
        loss_sets::cut_short(&self.rules(), record)
    }

    /// Every pair of pending updates missing together, the latest first. There are as many as the
    /// square of the pending updates, so this is an iterator that may be left at any time.
    pub fn pairs(&self) -> impl Iterator<Item = LossSet> + use<> {
        loss_sets::pairs(&self.rules())
    }

    /// How many pending updates [`loss_sets`](Self::loss_sets) never leaves out by themselves, because
    /// more are pending than it tries one by one.
    pub fn beyond_loss_sets(&self) -> usize {
        loss_sets::beyond(&self.rules())
    }

    /// How many [`pairs`](Self::pairs) there are.
    pub fn pair_count(&self) -> usize {
        loss_sets::pair_count(&self.rules())
    }

    /// How many states are possible here: exact where few updates are pending, "at least"
    /// otherwise.
    pub fn possible(&self) -> Possible {
        count::possible(&self.rules())
    }

    /// Every state that is legal here: as many as two to the power of what is pending, so for few
    /// updates only. Different loss sets can still give equal states.
    pub fn every_state(&self) -> impl Iterator<Item = CrashState> {
        count::every_legal(&self.rules())
            .into_iter()
            .map(|keeps| self.build(&keeps))
    }

    /// The legal losses of whole updates here.
    pub fn whole_losses(&self) -> WholeLosses {
        WholeLosses::of(&self.rules())
    }

    /// What is missing in [`crash`](Self::crash) of the same seed.
    pub fn random_loss_set(&self, loss: Loss, seed: u64) -> LossSet {
        self.loss_set_of(&random::keeps(&self.rules(), loss, seed))
    }

    /// A loss set of another log that began as this one does: a write that is longer or shorter here
    /// is torn at the same share of it.
    pub fn fit(&self, losses: &LossSet) -> LossSet {
        let mut fitted = losses.clone();
        for (id, kept) in &mut fitted.torn {
            let update = place(&self.open, *id).map(|at| &self.open[at]);
            let Some((_, data)) = update.and_then(|update| write_of(self.records, update)) else {
                continue;
            };
            let range = sectors(data, self.device.sector);
            let count = (range.end - range.start) as usize;
            if count != kept.len() && !kept.is_empty() {
                let share = |sector| kept[sector * kept.len() / count];
                *kept = (0..count).map(share).collect();
            }
        }
        fitted
    }

    /// What is really missing under a loss set, as a loss set: after everything was made legal.
    pub fn legalize(&self, losses: &LossSet) -> LossSet {
        self.loss_set_of(&self.legal(losses))
    }

    /// The least of a loss set from which the rest follows: what is missing only because something before it is
    /// is left out, as all that was done in a directory whose own name is lost. Made legal, it is the same.
    pub fn roots(&self, losses: &LossSet) -> LossSet {
        let keeps = self.legal(losses);
        let whole = self.loss_set_of(&keeps);
        let mut roots = whole.clone();
        for at in self.rules().following(&keeps) {
            roots.lost.remove(&self.open[at].id);
        }
        // What is written as one goes both ways.
        match self.legal(&roots) == keeps {
            true => roots,
            false => whole,
        }
    }

    /// What is missing where of each update this much is kept.
    pub(super) fn loss_set_of(&self, keeps: &[Keep]) -> LossSet {
        let mut losses = LossSet::default();
        for (update, keep) in self.open.iter().zip(keeps) {
            match keep {
                // How far a length goes follows from the data.
                Keep::All | Keep::UpTo(_) => {}
                Keep::None => {
                    losses.lost.insert(update.id);
                }
                Keep::Sectors(kept) => {
                    losses.torn.insert(update.id, kept.clone());
                }
                Keep::Spoiled => {
                    losses.spoiled.insert(update.id);
                }
            }
        }
        losses
    }

    pub(super) fn build(&self, keeps: &[Keep]) -> CrashState {
        let mut tree = self.durable.clone();
        for (update, keep) in self.open.iter().zip(keeps) {
            apply(
                &mut tree,
                &self.records[update.record],
                update,
                keep,
                &self.device,
            );
        }
        tree.settle();
        let known = self.durable.knows_digests();
        if known {
            tree.refresh_digests();
        }
        // Those dearer than the change they guard: one in 256 (8 in tests), and of large trees as
        // many fewer.
        let one_in = if cfg!(test) { 8 } else { 256 } * (tree.inode_count() / 256).max(1);
        if (cfg!(test) || known) && tree.digest().is_multiple_of(one_in.into()) {
            self.check(&tree, keeps);
        }
        CrashState {
            tree,
            lost: self.missing(keeps),
            pending: self.rules().pending().count(),
        }
    }

    /// Asserts that what is lost stays as it is when it is made legal again, and that the tree is
    /// whole.
    fn check(&self, tree: &Tree, keeps: &[Keep]) {
        let mut again = keeps.to_vec();
        self.rules().legalize(&mut again);
        assert_eq!(again, keeps, "what was legal was made legal otherwise");
        let flaw = tree.flaw();
        assert!(flaw.is_none(), "a crash state is not whole: {flaw:?}");
    }

    fn missing(&self, keeps: &[Keep]) -> Vec<LostUpdate> {
        let updates = self.open.iter().zip(keeps);
        updates
            .filter_map(|(update, keep)| lost(self.records, update, keep))
            .collect()
    }

    /// What is kept under a loss set that was made legal.
    #[cfg(test)]
    pub(super) fn keeps(&self, losses: &LossSet) -> Vec<Keep> {
        self.legal(losses)
    }

    fn legal(&self, losses: &LossSet) -> Vec<Keep> {
        let mut keeps = vec![Keep::All; self.open.len()];
        let place = |id: &usize| {
            place(&self.open, *id).filter(|at| self.open[*at].durability != Durability::Durable)
        };
        for at in losses.lost.iter().filter_map(place) {
            keeps[at] = Keep::None;
        }
        let write = |at: usize| write_of(self.records, &self.open[at]);
        for at in losses.spoiled.iter().filter_map(place) {
            if write(at).is_some() {
                keeps[at] = Keep::Spoiled;
            }
        }
        for (id, kept) in &losses.torn {
            let at = place(id).filter(|at| {
                write(*at).is_some_and(|(_, data)| {
                    let range = sectors(data, self.device.sector);
                    range.end - range.start == kept.len() as u64
                })
            });
            if let Some(at) = at {
                keeps[at] = Keep::Sectors(kept.clone());
            }
        }
        self.rules().legalize(&mut keeps);
        keeps
    }
}

/// The fewest records between two places that are kept.
const NEAR: usize = 16;
/// And so many at most, unless more is open.
const FAR: usize = 128;
/// What the open updates of all places of a log take together, in bytes, where they can be farther apart.
const PLACES: usize = 32 << 20;

/// How many records lie between a place at which so much is open, updates or files, and the next one: a window
/// is read from the place before it, and each place keeps what is open there.
fn spacing(records: usize, open: usize) -> usize {
    let size = records.saturating_mul(open * size_of::<Update<'_>>());
    (size / PLACES).clamp(NEAR, FAR.max(open))
}

/// A log that was read once under a model, with places kept from which to read on.
///
/// Places are at least 16 records apart, and farther where the log is long and there are many open updates and
/// files: so all of them together take no more memory than a constant, or one times the log.
pub struct Index<'a> {
    places: Vec<Replay<'a>>,
}

impl<'a> Index<'a> {
    /// Reads the log.
    ///
    /// # Panics
    /// When the log is incomplete ([`Log::is_complete`]), or its records are not numbered without
    /// gaps from [`Log::first_seq`] on.
    pub fn new(log: &'a Log, model: &'a dyn Model, device: Device) -> Self {
        Self::up_to(log, model, device, log.records().len())
    }

    /// The same, read no further than to a crash point behind which none is wanted.
    ///
    /// # Panics
    /// As [`Index::new`].
    pub fn up_to(log: &'a Log, model: &'a dyn Model, device: Device, last: usize) -> Self {
        assert!(log.is_complete(), "a log whose end was dropped");
        log.assert_numbered();
        let mut first = Replay::new(log.base(), log.records(), model, device);
        first.durable.refresh_digests();
        first.durable.fold();
        Self::read(vec![first], last)
    }

    /// The index of another log that begins with as many of the same records, up to a crash point behind which
    /// none is wanted. What both begin with is not read again.
    ///
    /// # Panics
    /// As [`Index::new`].
    #[must_use]
    pub fn changed(&self, log: &'a Log, same: usize, last: usize) -> Self {
        assert!(log.is_complete(), "a log whose end was dropped");
        log.assert_numbered();
        let behind = self.places.partition_point(|place| place.at <= same);
        let mut places = self.places[..behind].to_vec();
        for place in &mut places {
            place.lowering.records = log.records();
        }
        Self::read(places, last)
    }

    /// Reads on behind the last of these places.
    fn read(mut places: Vec<Replay<'a>>, last: usize) -> Self {
        if let Some(mut replay) = places.last().cloned() {
            while replay.at < last.min(replay.lowering.records.len()) {
                let files = replay.durable.inode_count() as usize;
                let open = replay.lowering.open.len().max(files);
                replay.advance(replay.at.saturating_add(spacing(last, open)));
                replay.prune();
                replay.durable.refresh_digests();
                replay.durable.fold();
                places.push(replay.clone());
            }
        }
        Self { places }
    }

    /// The window in front of the record at index `point` of the log.
    ///
    /// # Panics
    /// When the log has fewer than `point` records.
    pub fn window(&self, point: usize) -> Window<'a> {
        let behind = self.places.partition_point(|place| place.at <= point);
        // The first place is before the first record.
        let mut replay = self.places[behind.saturating_sub(1)].clone();
        replay.advance(point);
        assert_eq!(replay.at, point, "a crash point behind the log's end");
        replay.durable.refresh_digests();
        replay.durable.fold();
        Window::of(replay)
    }
}

/// Crash states at every crash point of a log, each with its point: at point `n` the power goes
/// before the record of index `n` happens. At each point they are those of [`Window::loss_sets`]
/// with `subsets` seeded ones, equal contents once.
///
/// # Panics
/// As [`Index::new`].
pub fn crash_states<'a>(
    log: &'a Log,
    model: &'a dyn Model,
    subsets: usize,
) -> impl Iterator<Item = (usize, CrashState)> + 'a {
    let index = Index::new(log, model, Device::default());
    (0..=log.records().len()).flat_map(move |point| {
        let window = index.window(point);
        let mut known = HashSet::new();
        let sets = window.loss_sets(subsets, point as u64, usize::MAX);
        let states = sets.into_iter().map(move |losses| window.state(&losses));
        states
            .filter(move |state| known.insert(state.tree.digest()))
            .map(move |state| (point, state))
    })
}

/// What no caller and no model may do, each shown to be noticed.
#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::file::{File, SimDisk, Storage};
    use crate::fs::{Caller, LogLimit, NewNode};
    use crate::persist::update::UpdateKind;
    use crate::persist::{BTRFS, EXT4, XFS};

    /// A file is made and gets another name; nothing is synced.
    fn log() -> Log {
        let disk = SimDisk::new();
        disk.create("a").unwrap().write_at(0, b"bytes").unwrap();
        disk.rename("a", "b").unwrap();
        disk.take_log()
    }

    fn window(log: &Log) -> Window<'_> {
        Window::new(log, log.records().len(), &EXT4, Device::default())
    }

    /// On ext4 the length of a new file is lost alone, on btrfs its bytes are lost with it: what is seen
    /// is one disk, an empty file under its new name.
    #[test]
    fn an_empty_file_is_what_more_than_one_model_leaves() {
        let log = log();
        let end = log.records().len();
        let lengths = |window: &Window<'_>| LossSet {
            lost: (window.open.iter())
                .filter(|update| matches!(update.kind, UpdateKind::Size { .. }))
                .map(|update| update.id)
                .collect(),
            ..LossSet::default()
        };
        let losses = lengths(&window(&log));
        let digest = window(&log).state(&losses).tree.digest();
        assert_ne!(
            digest,
            window(&log).state(&LossSet::default()).tree.digest()
        );
        for model in [&BTRFS as &dyn Model, &XFS] {
            let window = Window::new(&log, end, model, Device::default());
            assert!(window.shows(&losses, digest), "{}", model.name());
            // What nothing was lost of is no such disk.
            assert!(
                !window.shows(&LossSet::default(), digest),
                "{}",
                model.name()
            );
        }
    }

    /// Of all that is lost with the making of a file, and under every model of any loss set: the roots are no
    /// more, and all the rest follows from them.
    #[test]
    fn what_follows_from_a_loss_is_not_among_its_roots() {
        let log = log();
        let made = window(&log).pending()[0];
        let lost = LossSet {
            lost: [made].into(),
            ..LossSet::default()
        };
        let all = window(&log).legalize(&lost);
        assert!(all.lost.len() > 2, "{all:?}");
        assert_eq!(window(&log).roots(&all), lost);
        for model in crate::persist::MODELS {
            let window = Window::new(&log, log.records().len(), model, Device::default());
            for loss in window.loss_sets(20, 1, usize::MAX) {
                let (legal, roots) = (window.legalize(&loss), window.roots(&loss));
                assert_eq!(window.legalize(&roots), legal, "{}", model.name());
                assert!(roots.lost.is_subset(&legal.lost) && roots.torn == legal.torn);
                assert_eq!(window.roots(&roots), roots, "{}", model.name());
            }
        }
    }

    #[test]
    #[should_panic(expected = "a crash point behind the log's end")]
    fn a_window_behind_the_end() {
        Window::new(&log(), 99, &EXT4, Device::default());
    }

    #[test]
    #[should_panic(expected = "a crash point behind the log's end")]
    fn a_place_of_an_index_behind_the_end() {
        Index::new(&log(), &EXT4, Device::default()).window(99);
    }

    #[test]
    #[should_panic(expected = "a log whose end was dropped")]
    fn a_log_that_did_not_fit() {
        let mut log = Log::new(
            crate::fs::Tree::new(0, 0, 0),
            Instant::now(),
            0,
            LogLimit::Stop(1),
        );
        for _ in 0..2 {
            log.push(1, "f".into(), Op::SyncFailed { ino: 1 });
        }
        Index::new(&log, &EXT4, Device::default());
    }

    #[test]
    #[should_panic(expected = "what was legal was made legal otherwise")]
    fn a_loss_set_that_is_not_legal() {
        let log = log();
        let window = window(&log);
        let mut keeps = vec![Keep::All; window.open.len()];
        // A new name of a file whose making is lost: the journal has them in this order.
        keeps[0] = Keep::None;
        window.check(&window.build(&vec![Keep::All; keeps.len()]).tree, &keeps);
    }

    #[test]
    #[should_panic(expected = "a crash state is not whole")]
    fn a_tree_that_is_not_whole() {
        let log = log();
        let window = window(&log);
        let keeps = vec![Keep::All; window.open.len()];
        let mut tree = window.build(&keeps).tree;
        let owner = Caller {
            uid: 0,
            gid: 0,
            now: 0,
        };
        tree.raw_node(99, &NewNode::File, 0o644, owner, "no name".into());
        window.check(&tree, &keeps);
    }
}
