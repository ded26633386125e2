//! The order of the places of a log: what the target did while it was worked on, and what it did at its
//! close, which has a share of its own.

/// All points are visited so often: for the first loss sets of each, up to these numbers, so that
/// no part of the trace waits for all loss sets of another; and last for pairs.
pub(super) const STAGES: [usize; 3] = [4, 14, usize::MAX];
/// Of the states that are made, one in so many is of the close, as long as there are others: a target
/// may do more when it closes than in all the time before.
const CLOSE_SHARE: u64 = 8;

/// Where states are made: one pass over the points, a point, and a position among the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pass: usize,
    pub(super) point: usize,
    pub(super) model: usize,
}

/// The places of a part of the log: all points in each pass, each under all models.
struct Phase {
    points: Vec<usize>,
    /// The next place; its point is a position in `points`.
    at: Place,
}

impl Phase {
    fn new(points: Vec<usize>) -> Self {
        let at = Place {
            pass: 0,
            point: 0,
            model: 0,
        };
        Self { points, at }
    }

    fn next(&mut self, models: usize) -> Option<Place> {
        if self.points.is_empty() || models == 0 {
            return None;
        }
        if self.at.point == self.points.len() {
            self.at.pass += 1;
            self.at.point = 0;
        }
        if self.at.pass > STAGES.len() {
            return None;
        }
        let place = Place {
            point: self.points[self.at.point],
            ..self.at
        };
        self.at.model += 1;
        if self.at.model == models {
            self.at.model = 0;
            self.at.point += 1;
        }
        Some(place)
    }
}

/// The places of a log.
pub(super) struct Phases {
    work: Phase,
    close: Phase,
    /// The close is what comes behind this point; none where there is no close.
    last_ack: Option<u64>,
    /// How many states were made, and how many of them of the close.
    made: u64,
    of_close: u64,
}

impl Phases {
    /// The places at these points, in this order. With a `last_ack`, the workload had come to its end
    /// there.
    pub(super) fn new(points: Vec<usize>, last_ack: Option<u64>) -> Self {
        let behind = |point: &usize| last_ack.is_some_and(|last_ack| *point as u64 > last_ack);
        let (close, work) = points.into_iter().partition(behind);
        Self {
            work: Phase::new(work),
            close: Phase::new(close),
            last_ack,
            made: 0,
            of_close: 0,
        }
    }

    /// How many points there are.
    pub(super) fn point_count(&self) -> usize {
        self.work.points.len() + self.close.points.len()
    }

    /// Counts a state that was made at this point.
    pub(super) fn count(&mut self, point: u64) {
        self.made += 1;
        self.of_close += u64::from(self.last_ack.is_some_and(|last_ack| point > last_ack));
    }

    /// The next place; none when there are no more.
    pub(super) fn next(&mut self, models: usize) -> Option<Place> {
        if self.of_close.saturating_mul(CLOSE_SHARE) < self.made
            && let Some(place) = self.close.next(models)
        {
            return Some(place);
        }
        self.work.next(models).or_else(|| self.close.next(models))
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
    fn the_close_has_its_share_and_no_more() {
        // Ten times as much happens at the close.
        let mut phases = Phases::new((0..220).collect(), Some(19));
        let points = visited(&mut phases, 1);
        let all = 220 * (STAGES.len() + 1);
        assert_eq!(points.len(), all);
        let work = 20 * (STAGES.len() + 1);
        // Until the work has had all of its turns, one in eight is of the close.
        let last = points.iter().rposition(|point| *point < 20).expect("work");
        let of_close = points[..last].iter().filter(|point| **point >= 20).count();
        assert_eq!(last + 1, work + of_close);
        let share = (last as u64) / CLOSE_SHARE;
        assert!(
            (of_close as u64).abs_diff(share) <= 1,
            "{of_close} of {last}"
        );
    }

    #[test]
    fn without_an_end_of_the_workload_there_is_no_close() {
        let mut phases = Phases::new(vec![2, 0, 1], None);
        assert_eq!(phases.point_count(), 3);
        let points = visited(&mut phases, 2);
        assert_eq!(points[..6], [2, 2, 0, 0, 1, 1]);
        assert_eq!(points.len(), 3 * 2 * (STAGES.len() + 1));
        assert_eq!(phases.of_close, 0);
    }
}
