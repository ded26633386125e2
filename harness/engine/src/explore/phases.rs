//! The order of the places of a log: what the target did while it was worked on, and what it did before the
//! first ack and at its close, which have shares of their own.

use std::ops::Range;

/// All points are visited so often: for the first loss sets of each, up to these numbers, so that
/// no part of the trace waits for all loss sets of another; and last for pairs.
pub(super) const STAGES: [usize; 3] = [5, 16, usize::MAX];
/// Of the states that are made, one in so many is of the set-up, and one of the close, as long as there are
/// others: a target may do more then than in all the time between.
const SHARE: u64 = 8;

/// Where states are made: one pass over the points, a point, and a position among the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pass: usize,
    pub(super) point: usize,
    pub(super) model: usize,
}

/// The first model is so many places ahead of the others.
const AHEAD: usize = 3;
/// So many points take turns under each of the other models.
const TOGETHER: usize = 4;

/// The places of a part of the log: in each pass all points under all models. The first model runs ahead: it
/// is mostly a kill, which is one state a point. The others go through a few points one after the other, and
/// the second model is ahead of the third, and that of the others.
struct Phase {
    points: Vec<usize>,
    made: u64,
    pass: usize,
    /// The next place of the first model, and how many places of the others there were in this pass.
    first: usize,
    others: usize,
    /// The next place of the others: how far the second model is, which of the models is next (the furthest
    /// behind first), and at which of the points that take turns.
    front: usize,
    nth: usize,
    turn: usize,
}

impl Phase {
    fn new(points: Vec<usize>) -> Self {
        Self {
            points,
            made: 0,
            pass: 0,
            first: 0,
            others: 0,
            front: 0,
            nth: 0,
            turn: 0,
        }
    }

    fn next(&mut self, models: usize) -> Option<Place> {
        if models == 0 {
            return None;
        }
        while !self.points.is_empty() && self.pass <= STAGES.len() {
            let pass = self.pass;
            let place = |point, model| Place { pass, point, model };
            let is_ahead = self.first >= self.others + AHEAD;
            let others = (self.others < self.points.len() * (models - 1)) && is_ahead;
            if !others && self.first < self.points.len() {
                self.first += 1;
                return Some(place(self.points[self.first - 1], 0));
            }
            if let Some((point, model)) = self.next_of_others(models) {
                self.others += 1;
                return Some(place(point, model));
            }
            self.pass += 1;
            (self.first, self.others) = (0, 0);
            (self.front, self.nth, self.turn) = (0, 0, 0);
        }
        None
    }

    /// The next point of the models behind the first one. The third model is one group of points behind the
    /// second, and all further ones two, so that none waits for long.
    fn next_of_others(&mut self, models: usize) -> Option<(usize, usize)> {
        let count = models.checked_sub(1)?;
        while self.others < self.points.len() * count {
            let last = count.saturating_sub(2);
            let model = if self.nth < last {
                self.nth + 3
            } else {
                count - self.nth
            };
            let group = self.front.checked_sub((model - 1).min(2));
            let at = group.map(|group| group * TOGETHER + self.turn);
            let next = at.and_then(|at| Some((*self.points.get(at)?, model)));
            self.turn += 1;
            if next.is_some() && self.turn < TOGETHER {
                return next;
            }
            self.turn = 0;
            self.nth += 1;
            if self.nth == count {
                self.front += 1;
                self.nth = 0;
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

/// The places of a log.
pub(super) struct Phases {
    /// The set-up, before the first ack; the work; the close.
    parts: [Phase; 3],
    /// The points of the work.
    work: Range<usize>,
    /// How many states were made.
    made: u64,
}

impl Phases {
    /// The points between these are the work; in each part those that `in_order` gives.
    pub(super) fn new(
        work: Range<usize>,
        end: usize,
        in_order: impl Fn(Range<usize>) -> Vec<usize>,
    ) -> Self {
        let parts = [0..work.start, work.clone(), work.end..end];
        Self {
            parts: parts.map(|part| Phase::new(in_order(part))),
            work,
            made: 0,
        }
    }

    /// How many points there are.
    pub(super) fn point_count(&self) -> usize {
        self.parts.iter().map(|part| part.points.len()).sum()
    }

    /// Counts a state that was made at this point.
    pub(super) fn count(&mut self, point: u64) {
        let point = point as usize;
        self.made += 1;
        let part = usize::from(point >= self.work.start) + usize::from(point >= self.work.end);
        self.parts[part].made += 1;
    }

    /// The next place; none when there are no more.
    pub(super) fn next(&mut self, models: usize) -> Option<Place> {
        const ASIDE: [usize; 2] = [0, 2];
        let made = self.made;
        let had_less = |part: &usize| self.parts[*part].made.saturating_mul(SHARE) < made;
        let first: Vec<usize> = ASIDE.into_iter().filter(had_less).collect();
        let mut order = first.into_iter().chain([1]).chain(ASIDE);
        order.find_map(|part| self.parts[part].next(models))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The points in the order of their places, where each place makes one state.
    fn visited(phases: &mut Phases, models: usize) -> Vec<usize> {
        let mut points = Vec::new();
        while let Some(place) = phases.next(models) {
            phases.count(place.point as u64);
            points.push(place.point);
        }
        points
    }

    #[test]
    fn set_up_and_close_have_their_shares_and_no_more() {
        // Ten times as much happens before the first ack, and at the close.
        for (work, end, aside) in [(0..20, 220, 1), (200..220, 420, 2), (200..220, 220, 1)] {
            let mut phases = Phases::new(work.clone(), end, Iterator::collect);
            let points = visited(&mut phases, 1);
            assert_eq!(points.len(), end * (STAGES.len() + 1));
            let is_work = |point: &usize| work.contains(point);
            // Until the work has had all of its turns, one in eight is of each of the others.
            let last = points.iter().rposition(is_work).expect("work");
            let others = points[..last]
                .iter()
                .filter(|point| !is_work(point))
                .count();
            assert_eq!(last + 1, 20 * (STAGES.len() + 1) + others);
            let share = aside * (last as u64) / SHARE;
            assert!((others as u64).abs_diff(share) <= 2, "{others} of {last}");
        }
    }

    #[test]
    fn each_model_runs_ahead_of_the_next_one() {
        let mut phases = Phases::new(0..5, 5, |part| part.rev().collect());
        assert_eq!(phases.point_count(), 5);
        let first = std::iter::from_fn(|| phases.next(3)).take(15);
        let first: Vec<_> = first.map(|one| (one.point, one.model)).collect();
        let wanted = [
            vec![(4, 0), (3, 0), (2, 0), (4, 1)],
            vec![(1, 0), (3, 1), (0, 0), (2, 1), (1, 1)],
            // The third model goes through these points, and the second one on.
            vec![(4, 2), (3, 2), (2, 2), (1, 2), (0, 1)],
            vec![(0, 2)],
        ];
        assert_eq!(first, wanted.concat());
        assert_eq!(
            visited(&mut phases, 3).len() + 15,
            5 * 3 * (STAGES.len() + 1)
        );
    }
}
