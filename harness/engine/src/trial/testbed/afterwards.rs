//! How the target fares when the trouble is over.

use std::time::{Duration, Instant};

use plugpull_faults::machine::{Afterwards, InjectError, Machine, Tally};

use super::{LOOK, Testbed};
use crate::trial::restart;

impl Testbed<'_> {
    /// Waits for so many transactions, for no longer than `limit`. Where not one comes, says whether
    /// the workload was done or the target had ended, and else starts a new session of the workload,
    /// which has as long as `session`.
    pub(in crate::trial) fn fares(
        &mut self,
        limit: Duration,
        acks: u64,
        session: Duration,
    ) -> Result<Afterwards, InjectError> {
        let tally = self.work_until(limit, &|tally| tally.ok >= acks)?;
        if tally.ok > 0 {
            return Ok(Afterwards::Works);
        }
        if let Some(ended) = self.ended() {
            return Ok(ended);
        }
        let own = self
            .target
            .scripted()
            .is_some_and(|script| !script.serves());
        if own && self.workload_end().is_none() {
            // The workload is the target itself: a second one beside it would be in its way.
            return Ok(Afterwards::Silent(limit));
        }
        self.new_session(tally, limit, session)
    }

    /// How the workload or the target came to its end by itself; none where it has not, or where
    /// a workload that is not the target failed.
    fn ended(&self) -> Option<Afterwards> {
        let end = self.workload_end();
        if end.as_ref().is_some_and(|end| end.trouble().is_none()) {
            return Some(Afterwards::Done);
        }
        let serves = self.target.scripted().is_none_or(|script| script.serves());
        if !serves || self.host.alive() {
            return None;
        }
        let how = self.host.last().map(|child| {
            let code = child.wait(Instant::now()).ok().flatten();
            let said = child.output();
            code.map_or_else(
                || "nobody knows how".into(),
                |code| restart::ended(code, &said),
            )
        });
        how.map(Afterwards::Ended)
    }

    fn new_session(
        &mut self,
        before: Tally,
        limit: Duration,
        session: Duration,
    ) -> Result<Afterwards, InjectError> {
        let deadline = Instant::now() + session;
        let mut all = before;
        let mut words = String::new();
        loop {
            if let Some(clients) = self.clients.take() {
                let generators = clients.stop()?;
                if !generators.is_empty() {
                    self.generators = generators;
                }
            }
            match self.try_work(deadline)? {
                Ok(()) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let tally = self.work_until(left, &|tally| tally.ok > 0)?;
                    if tally.ok > 0 {
                        return Ok(Afterwards::Works);
                    }
                    all = all.and(tally);
                    if let Some(ended) = self.ended() {
                        return Ok(ended);
                    }
                    words = self.workload_trouble().unwrap_or(words);
                }
                Err(error) => words = error.to_string(),
            }
            if Instant::now() >= deadline {
                let words = match words.as_str() {
                    "" => String::new(),
                    words => format!("; {words}"),
                };
                return Ok(Afterwards::Refuses(format!(
                    "no transaction was acknowledged within {limit:?}, and none of a new session of \
                     the workload within {session:?} ({} refused, {} unanswered{words})",
                    all.fail, all.info
                )));
            }
            std::thread::sleep(LOOK);
        }
    }
}
