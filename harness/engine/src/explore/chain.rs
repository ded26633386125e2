//! Crashes that follow each other: what becomes of the later ones when an earlier one is another.

use std::collections::HashSet;
use std::rc::Rc;

use plugpull_workloads::FindingKind;

use super::Rules;
use super::cases::{Next, Order};
use super::scene::{Crash, Scene, changes};
use super::shrink::{Shrink, Small};

/// How many states of a recovery are tried that went another way than the one before.
const ANEW: usize = 8;

impl Shrink<'_> {
    /// What is left of a finding when the crash at this level is another one. The recovery from it
    /// is recorded anew, and what struck the old one strikes it at the same place.
    pub(super) fn instead(
        &mut self,
        best: &Small,
        level: usize,
        crash: Crash,
        kind: FindingKind,
    ) -> anyhow::Result<Option<Small>> {
        let chain = best.crash.chain();
        let later: Vec<Crash> = chain[level + 1..].iter().map(|&one| one.clone()).collect();
        self.led_on(crash, &later, kind)
    }

    fn led_on(
        &mut self,
        crash: Crash,
        later: &[Crash],
        kind: FindingKind,
    ) -> anyhow::Result<Option<Small>> {
        let Some((next, later)) = later.split_first() else {
            return self.fails(crash, kind);
        };
        let Some(scene) = self.recovery(crash)? else {
            return Ok(None);
        };
        let alike = (next.within.as_ref()).is_some_and(|old| scene.begins_as(old, next.point));
        let scene = Rc::new(scene);
        if alike {
            let next = Crash {
                within: Some(scene),
                ..next.clone()
            };
            let choice = self.court.window(&next, next.rules).fit(&next.choice);
            let next = self.settled(&next, next.point, &choice);
            self.led_on(next, later, kind)
        } else if later.is_empty() {
            self.anew(&scene, kind)
        } else {
            Ok(None)
        }
    }

    /// The recovery from a crash; none when it changes nothing, or when it breaks a promise by
    /// itself: then it takes no second crash.
    fn recovery(&mut self, mut crash: Crash) -> anyhow::Result<Option<Scene>> {
        let state = self.court.window(&crash, crash.rules).state(&crash.choice);
        let acked = self.court.acked.at(crash.first().point);
        self.tries = self.tries.saturating_sub(1);
        let (tried, log) = self.station.observe(&state.tree, false, &acked)?;
        crash.lost = state.lost;
        let sound = self.court.judge(&crash, &tried).findings.is_empty();
        Ok((sound && changes(&log)).then(|| Scene {
            digest: state.tree.digest(),
            // Of no case: it counts for nothing.
            position: 0,
            after: crash,
            log,
        }))
    }

    /// The first state of a recovery that shows the finding.
    fn anew(&mut self, scene: &Rc<Scene>, kind: FindingKind) -> anyhow::Result<Option<Small>> {
        let (court, point) = (self.court, scene.after.point);
        let indexes = Rules::indexes(court.rules, &scene.log, court.device);
        let mut order = Order::of_recovery(scene, court.rules, &indexes, &court.acked, point);
        let mut seen = HashSet::new();
        for _ in 0..ANEW {
            let Some(Next { case, tree, .. }) = order.next(&mut seen) else {
                break;
            };
            if tree.is_some()
                && self.goes_on()
                && let Some(small) = self.fails(case.crash, kind)?
            {
                return Ok(Some(small));
            }
        }
        Ok(None)
    }
}
