//! Deciding crash points by what was read.
//!
//! A trial of a state is a possible run of every other state that gives the same answers to all that was
//! asked ([`Reads`]): so those are decided with it, as well as by trying each of them once, and no better:
//! time, random numbers and the order of threads are as unchecked as in any one trial. A crash point is
//! decided when no legal loss of whole updates is left that differs from all tried ones in something which
//! was read.
//!
//! It is learned at the end of a round only, so the result is the same with any number of workers. A shard
//! owns whole crash points. Of a hundred decided states one is tried all the same, and must show what it was
//! said to show.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use plugpull_crashsim::fs::{Reads, Tree};
use plugpull_crashsim::persist::{
    Classes, CrashState, LossClass, LossSet, LostUpdate, Outside, WholeLosses, Window,
};
use plugpull_reports::Decided;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::crash::Crash;
use super::enumerator::{Candidate, StateSpace};
use crate::shard::Shard;

/// So many places are decided side by side, one state of each in a round.
const SIDE: usize = 16;
/// After so many trials at a place the others have their turn.
const TURN: u32 = 32;
/// A place with so many classes is given up: its states differ in too much that is read.
const CLASSES: usize = 32_768;
/// Of one class so many are counted for that.
const COUNTED: u128 = 32;
/// So many classes of a place are found in one round without a trial.
const AT_ONCE: usize = 32;
/// Losses of updates that are tied to each other are counted so far.
const LOSSES: u128 = 1 << 12;
/// Sets the name of an attempt whose reads are noted apart from that of the same content in the sample.
const NOTED: u128 = 0x5EAD_5EAD_5EAD_5EAD_5EAD_5EAD_5EAD_5EA8;

/// A state to be tried with its reads noted.
pub(crate) struct StateToTry {
    /// The state.
    pub(crate) candidate: Candidate,
    /// The name of the same content in the sample.
    pub(crate) content: u128,
    /// Its content; none where the attempt was made before, at another place.
    pub(crate) tree: Option<Tree>,
}

/// Two states that a target should not have distinguished, and did.
pub(crate) struct Disagreement {
    /// The one that was tried first.
    pub(crate) tried: TriedState,
    /// The other.
    pub(crate) check: TriedState,
}

/// A state that is tried.
#[derive(Clone)]
pub(crate) struct TriedState {
    /// The name of the attempt.
    pub(crate) key: u128,
    /// The name of the same content in the sample.
    content: u128,
    /// Its content.
    pub(crate) tree: Tree,
    /// The crash point.
    pub(crate) point: u64,
    /// What is missing, and the same for people.
    pub(crate) losses: LossSet,
    lost: Vec<LostUpdate>,
}

/// A crash point under one model.
struct UndecidedPlace<'a> {
    model: usize,
    point: usize,
    window: Window<'a>,
    whole: WholeLosses,
    classes: Classes,
    tried: Vec<(TriedState, Arc<Reads>)>,
    /// The state that is being tried.
    wanted: Option<TriedState>,
    /// Decided states that are being tried all the same, each with what it was said to show.
    checks: Vec<(TriedState, TriedState)>,
    /// Trials since it was its turn.
    turn: u32,
}

/// What came of an attempt.
pub(crate) enum Noted {
    /// What was read in it.
    Read(Arc<Reads>),
    /// Nothing: it hung, or plugpull failed.
    ToNothing,
    /// It was not made: there was no time.
    NotYet,
}

/// What came of the attempt of this name.
pub(crate) type Look<'l> = &'l dyn Fn(u128) -> Noted;
/// Whether two attempts showed the same; none where one of them is not known.
pub(crate) type Same<'l> = &'l dyn Fn(u128, u128) -> Option<bool>;

/// The crash points that are being decided.
pub(crate) struct Deciding<'a> {
    space: StateSpace<'a>,
    seed: u64,
    /// Those whose turn has not come.
    places: VecDeque<(usize, usize)>,
    /// Those that had a turn and are not decided.
    paused: VecDeque<UndecidedPlace<'a>>,
    open: Vec<UndecidedPlace<'a>>,
    /// What was read in attempts.
    known: HashMap<u128, Arc<Reads>>,
    /// Of so many decided states one is tried.
    one_in: u64,
    /// Decided states since the last one that was tried.
    due: u128,
    tally: Decided,
}

impl<'a> Deciding<'a> {
    /// Nothing is decided yet. Places come in the order of `points`, each under all models that lose
    /// power.
    pub(crate) fn new(
        space: StateSpace<'a>,
        points: &[usize],
        (seed, shard): (u64, Option<Shard>),
        one_in: u64,
    ) -> Self {
        let models = space.models.iter().enumerate();
        let power: Vec<usize> = models
            .filter(|(_, one)| one.power)
            .map(|(n, _)| n)
            .collect();
        let own = |number: &usize| shard.is_none_or(|shard| shard.has_trial(*number as u64));
        let own = (0..points.len()).filter(own).map(|number| points[number]);
        let places: VecDeque<(usize, usize)> = own
            .flat_map(|point| power.iter().map(move |model| (*model, point)))
            .collect();
        let tally = Decided {
            places: places.len() as u64,
            ..Decided::default()
        };
        Self {
            space,
            seed,
            places,
            paused: VecDeque::new(),
            open: Vec::new(),
            known: HashMap::new(),
            one_in,
            due: 0,
            tally,
        }
    }

    /// What was decided so far.
    pub(crate) fn tally(&self) -> Decided {
        self.tally.clone()
    }

    /// Takes back all that was decided.
    pub(crate) fn take_back(&mut self, why: String) {
        self.tally = self.tally().taken_back(why);
    }

    /// What is not decided is not.
    pub(crate) fn finish(&mut self) {
        let left = self.places.len() + self.paused.len() + self.open.len();
        self.tally.not_reached = left as u64;
    }

    /// The states of the next round, which may be none; nothing when nothing is left to decide.
    pub(crate) fn round(&mut self) -> Option<Vec<StateToTry>> {
        let mut wanted = Vec::new();
        let mut waiting = std::mem::take(&mut self.open);
        waiting.reverse();
        while self.open.len() < SIDE {
            let Some(mut place) = waiting.pop().or_else(|| self.begin()) else {
                break;
            };
            if place.turn >= TURN && !self.places.is_empty() {
                place.turn = 0;
                self.paused.push_back(place);
                continue;
            }
            for (check, _) in &place.checks {
                wanted.push(self.to_try(&place, check));
            }
            // A place whose last state was decided waits for what is still tried of it.
            if self.advance(&mut place) {
                let next = place.wanted.as_ref();
                wanted.extend(next.map(|state| self.to_try(&place, state)));
                self.open.push(place);
            }
        }
        // Two places may want the same content.
        let mut keys = HashSet::new();
        for one in &mut wanted {
            if !keys.insert(one.candidate.key) {
                one.tree = None;
            }
        }
        (!self.open.is_empty()).then_some(wanted)
    }

    /// The next place: a new one, or where there is none one that had its turn.
    fn begin(&mut self) -> Option<UndecidedPlace<'a>> {
        let Some((model, point)) = self.places.pop_front() else {
            return self.paused.pop_front();
        };
        let window = self.space.indexes[model].window(point);
        let whole = window.whole_losses();
        Some(UndecidedPlace {
            model,
            point,
            classes: whole.classes(),
            whole,
            window,
            tried: Vec::new(),
            wanted: None,
            checks: Vec::new(),
            turn: 0,
        })
    }

    /// Finds the next state of a place that must be tried, or goes on with that in the next round; false when
    /// the place is done with.
    fn advance(&mut self, place: &mut UndecidedPlace<'a>) -> bool {
        let before = place.classes.count();
        while place.classes.count() < CLASSES {
            if place.classes.count() - before == AT_ONCE {
                return true;
            }
            let losses = match place.whole.outside(&mut place.classes) {
                Outside::Lies(losses) => losses,
                Outside::Unknown => break,
                Outside::Nothing if !place.checks.is_empty() => return true,
                Outside::Nothing => {
                    let losses = place.whole.count(None, LOSSES);
                    let states = u64::try_from(losses.states);
                    self.tally.at_least |= states.is_err();
                    let states = states.unwrap_or(u64::MAX);
                    self.tally.decided += 1;
                    self.tally.states = self.tally.states.saturating_add(states);
                    self.tally.at_least |= !losses.exact;
                    return false;
                }
            };
            let state = self.state(place, losses);
            let mut tried = place.tried.iter();
            match tried.find(|(tried, reads)| reads.agree(&tried.tree, &state.tree)) {
                Some((_, reads)) => {
                    let class = place.window.class(&state.losses, reads);
                    place.classes.push(&place.whole, &class);
                }
                None => {
                    place.wanted = Some(state);
                    return true;
                }
            }
        }
        self.tally.given_up += 1;
        false
    }

    fn state(&self, place: &UndecidedPlace<'a>, losses: LossSet) -> TriedState {
        let CrashState { tree, lost, .. } = place.window.state(&losses);
        let content = self.space.acked.at(place.point as u64).key(tree.digest());
        TriedState {
            // Content that is equal, but for numbers, times and the order of listings, is another state here.
            key: content ^ NOTED ^ tree.identity(),
            content,
            tree,
            lost,
            point: place.point as u64,
            losses,
        }
    }

    fn to_try(&self, place: &UndecidedPlace<'a>, state: &TriedState) -> StateToTry {
        let candidate = Candidate {
            digest: state.tree.digest(),
            key: state.key,
            position: 0,
            again: false,
            crash: Crash {
                model: place.model,
                point: place.point as u64,
                loss: state.losses.clone(),
                lost: state.lost.clone(),
                within: None,
            },
        };
        let known = self.known.contains_key(&state.key);
        StateToTry {
            candidate,
            content: state.content,
            tree: (!known).then(|| state.tree.clone()),
        }
    }

    /// Learns what came of a round. A place of which a state could not be tried is not decided.
    ///
    /// # Errors
    /// A decided state that was tried showed something else than what it was said to show.
    pub(crate) fn learn(
        &mut self,
        read: Look<'_>,
        same: Same<'_>,
    ) -> Result<(), Box<Disagreement>> {
        let mut disagree = None;
        for mut place in std::mem::take(&mut self.open) {
            for (check, tried) in std::mem::take(&mut place.checks) {
                if let Noted::Read(reads) = read(check.key) {
                    self.known.insert(check.key, reads);
                }
                match same(tried.key, check.key) {
                    Some(true) => self.tally.checked += 1,
                    Some(false) => disagree = disagree.or(Some(Disagreement { tried, check })),
                    None => {}
                }
            }
            let Some(state) = place.wanted.take() else {
                self.open.push(place);
                continue;
            };
            let known = self.known.get(&state.key).cloned().map(Noted::Read);
            let reads = match known.unwrap_or_else(|| read(state.key)) {
                Noted::Read(reads) => reads,
                Noted::ToNothing => {
                    self.tally.not_tried += 1;
                    continue;
                }
                Noted::NotYet => {
                    self.open.push(place);
                    continue;
                }
            };
            // What was tried at another place counts there.
            let new = self.known.insert(state.key, reads.clone()).is_none();
            self.tally.trials += u64::from(new);
            let class = place.window.class(&state.losses, &reads);
            place.turn += 1;
            let others = place.whole.count(Some(&class), COUNTED).states - 1;
            self.due += others.min(COUNTED);
            while self.due >= u128::from(self.one_in) {
                self.due -= u128::from(self.one_in);
                let check = self.member(&place, &class, &state, place.checks.len());
                place
                    .checks
                    .extend(check.map(|check| (check, state.clone())));
            }
            place.classes.push(&place.whole, &class);
            place.tried.push((state, reads));
            self.open.push(place);
        }
        disagree.map_or(Ok(()), |disagree| Err(Box::new(disagree)))
    }

    /// A state of a class, other than the one that was tried. Every second is as far from it as can be: all
    /// that was not read lost, or all of it kept.
    fn member(
        &self,
        place: &UndecidedPlace<'a>,
        class: &LossClass,
        tried: &TriedState,
        number: usize,
    ) -> Option<TriedState> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ tried.key as u64 ^ number as u64);
        let far = rng.random_bool(0.5);
        let unread = |id: &usize| !class.lost.contains(id) && !class.kept.contains(id);
        let least = place.whole.with(&class.lost, &class.kept)?;
        let lost = tried.losses.lost.iter().filter(|id| unread(id)).count();
        let keep_all = far && 2 * lost > place.whole.pending().filter(unread).count();
        let mut losses = least;
        for id in place.whole.pending().filter(unread) {
            if keep_all || !far && rng.random_bool(0.5) {
                continue;
            }
            let mut more = losses.lost.clone();
            more.insert(id);
            losses = place.whole.with(&more, &class.kept).unwrap_or(losses);
        }
        let state = self.state(place, losses);
        // Updates of what lost its name, say, change nothing: that would be no check.
        (state.key != tried.key).then_some(state)
    }
}
