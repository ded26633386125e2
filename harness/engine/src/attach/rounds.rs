//! One round of each mode: write, crash, wait, read back, judge.

use std::time::{Duration, Instant};

use plugpull_driver::{Client, ClientError};
use plugpull_reports::Trial;
use plugpull_workloads::Observed;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::incarnation::Incarnation;
use super::options::Mode;
use super::readiness::Death;
use super::session::{READ_LIMIT, Session, Work, unmeasured};
use super::space;

/// How many acknowledgements there are before anything is done: a seeded number of these.
pub(super) const ACKS: std::ops::RangeInclusive<u64> = 20..=100;
/// How long they may take at least; more where the rate is low.
const ACKS_LIMIT: Duration = Duration::from_secs(10);
/// How long a process may take to die of SIGKILL.
const DEATH_LIMIT: Duration = Duration::from_secs(10);
/// How long clients may take to meet a full disk, or the service to work again after it.
const SPACE_LIMIT: Duration = Duration::from_secs(15);
/// How many more acknowledgements come between an action and the kill.
const AFTER_ACTION: u64 = 3;

impl<'a> Session<'a> {
    /// One round of a mode.
    pub(super) fn try_mode(&mut self, mode: Mode, trial: &mut Trial) -> anyhow::Result<()> {
        self.go_on()?;
        if mode == Mode::Corruption {
            return self.corrupt(trial);
        }
        let life = self.life()?;
        let work = self.warm_up(trial)?;
        let mut observed = Observed::default();
        let prepared = match mode {
            Mode::DiskFull => self.fill(&work, trial, &mut observed),
            Mode::Action => self.act(&work, trial),
            _ => {
                trial.hit = true;
                Ok(())
            }
        };
        if let Err(error) = prepared {
            self.generators = work.end(true)?.2;
            return Err(error);
        }
        self.crash(work, life, mode, observed, trial)
    }

    /// Clients write until a seeded number of transactions is acknowledged.
    pub(super) fn warm_up(&mut self, trial: &Trial) -> anyhow::Result<Work<'a>> {
        let work = self.work()?;
        let wanted = ChaCha8Rng::seed_from_u64(trial.seed).random_range(ACKS);
        let patience = Duration::from_secs(2 * wanted) / self.args.rate;
        let deadline = Instant::now() + patience.max(ACKS_LIMIT);
        let stop = || self.interrupted();
        let tally = work
            .writers
            .until(deadline, |tally| tally.ok >= wanted || stop());
        if tally.ok > 0 && !self.interrupted() {
            return Ok(work);
        }
        let (history, tally, generators) = work.end(true)?;
        self.generators = generators;
        self.go_on()?;
        let said = history
            .entries
            .iter()
            .rev()
            .find_map(|entry| match &entry.done {
                Some((_, plugpull_workloads::Outcome::Fail(text)))
                | Some((_, plugpull_workloads::Outcome::Info(text))) => Some(text.clone()),
                _ => None,
            });
        unmeasured(format!(
            "nothing was acknowledged ({} refused, {} unanswered){}",
            tally.refused,
            tally.unknown,
            said.map_or(String::new(), |said| format!("; the last answer: {said}"))
        ))
    }

    /// Kills or stops the service, waits for it, reads back and judges.
    fn crash(
        &mut self,
        work: Work<'a>,
        life: Incarnation<'a>,
        mode: Mode,
        observed: Observed,
        trial: &mut Trial,
    ) -> anyhow::Result<()> {
        let moment = work.now();
        let death = self.end_process(life, mode, trial);
        let (history, tally, generators) = work.end(false)?;
        self.generators = generators;
        trial.acked = tally.ok;
        let death = death?;
        let back = self.waiting().after(death);
        if let (Ok(_), Some(last)) = (&back, tally.last_ok) {
            trial.what = format!(
                "{}; clients had no answer for {:.0} ms",
                trial.what,
                last.elapsed().as_secs_f64() * 1e3
            );
        }
        let seen = self.look(back, trial)?;
        let mut observed = Observed {
            stays_down: observed.stays_down,
            ..seen
        };
        if matches!(mode, Mode::Crash | Mode::Restart) && matches!(observed.state, Some(Ok(_))) {
            observed.second = self.second(trial)?;
        }
        self.judge(&history, &observed, mode.class(), Some(moment), trial);
        Ok(())
    }

    /// Ends this life of the service; in some modes that may have happened already. What was not seen
    /// to end is not measured.
    fn end_process(
        &self,
        mut life: Incarnation<'a>,
        mode: Mode,
        trial: &mut Trial,
    ) -> anyhow::Result<Death> {
        self.supervision.forget_failures()?;
        let now = self.supervision.look()?;
        if now.identity != life.seen.identity {
            if self.supervision.local() && !life.main_ended() {
                return unmeasured(format!(
                    "another process than the one which serves is named now ({}), so nothing was \
                     killed",
                    now.pid.map_or("none".into(), |pid| pid.to_string())
                ));
            }
            match now.identity {
                // It came back by itself.
                Some(_) => life = self.life()?,
                None => {
                    trial.what += "; it had ended by itself";
                    return Ok(Death {
                        before: life.seen,
                        since: Instant::now(),
                        stopped: false,
                    });
                }
            }
        }
        let attempt = match mode {
            Mode::Restart => self.supervision.terminate(life.seen.pid, life.main())?,
            _ => self.supervision.kill(life.seen.pid, life.main())?,
        };
        let so_far = match trial.what.as_str() {
            "" => String::new(),
            what => format!("{what}; then "),
        };
        trial.what = format!("{so_far}{}", attempt.what);
        let limit = match mode {
            Mode::Restart => self.args.start_limit,
            _ => DEATH_LIMIT.min(self.args.start_limit),
        };
        let mut over = life.over(limit);
        if let (Err(_), Some(main), false) = (&over, life.main(), attempt.by_command)
            && !life.main_ended()
        {
            trial.what += &format!(", which it outlived by {limit:.1?}; then SIGKILL");
            main.kill()?;
            over = life.over(DEATH_LIMIT);
            anyhow::ensure!(
                life.main_ended(),
                "the service does not die of SIGKILL: {}",
                over.err().unwrap_or_default()
            );
        }
        match over {
            Ok(()) => Ok(Death {
                before: life.seen,
                since: Instant::now(),
                stopped: attempt.stopped,
            }),
            Err(why) => unmeasured(format!("after {} {why}", attempt.what)),
        }
    }

    /// What it holds after it was killed once more, with no writes in between.
    fn second(&self, trial: &mut Trial) -> anyhow::Result<Option<plugpull_workloads::ReadBack>> {
        if self.interrupted() {
            return Ok(None);
        }
        let life = self.life()?;
        let what = std::mem::take(&mut trial.what);
        let death = self.end_process(life, Mode::Crash, trial)?;
        let back = self.waiting().after(death);
        let seen = self.look(back, trial);
        trial.what = format!("{what}; and once more, without writes: {}", trial.what);
        let seen = seen?;
        Ok(match (seen.state, seen.start) {
            (Some(state), _) => Some(state),
            (None, plugpull_workloads::Start::Refused { message }) => Some(Err(message)),
            (None, plugpull_workloads::Start::Hung { waited }) => Some(Err(format!(
                "it neither answered nor ended within {waited:.1?}"
            ))),
            (None, plugpull_workloads::Start::Started) => None,
        })
    }

    /// Takes all space until clients notice, and gives it back.
    fn fill(
        &self,
        work: &Work<'_>,
        trial: &mut Trial,
        observed: &mut Observed,
    ) -> anyhow::Result<()> {
        let Some(data) = &self.data else {
            return unmeasured("disk-full wants --data-dir");
        };
        let Some(mount) = &self.args.fill else {
            return unmeasured(
                "disk-full wants --fill with the mount point of the data directory's filesystem",
            );
        };
        space::named(mount, data)?;
        let ballast = match space::fill(data, self.args.fill_limit << 20)? {
            Ok(ballast) => ballast,
            Err(why) => return unmeasured(why),
        };
        let before = work.writers.until(Instant::now(), |_| true);
        let bad = |tally: &super::writers::WriteTally| {
            tally.refused + tally.unknown > before.refused + before.unknown
        };
        let deadline = Instant::now() + SPACE_LIMIT;
        let tally = work
            .writers
            .until(deadline, |tally| bad(tally) || self.interrupted());
        trial.hit = bad(&tally);
        trial.what = format!(
            "the filesystem was full ({} KiB were taken) until {} calls had failed",
            ballast.size >> 10,
            tally.refused + tally.unknown - before.refused - before.unknown
        );
        drop(ballast);
        self.go_on()?;
        let deadline = Instant::now() + SPACE_LIMIT;
        let after = work
            .writers
            .until(deadline, |now| now.ok > tally.ok || self.interrupted());
        if after.ok == tally.ok && after.gone < self.args.clients as usize && !self.interrupted() {
            observed.stays_down = Some(format!(
                "after space was free again nothing was acknowledged within {SPACE_LIMIT:.1?}"
            ));
        }
        Ok(())
    }

    /// Has the driver do an action, and lets clients go on a little.
    fn act(&self, work: &Work<'_>, trial: &mut Trial) -> anyhow::Result<()> {
        let Some(action) = &self.args.action else {
            return unmeasured("the mode action requires --action with a name");
        };
        let deadline = Instant::now() + READ_LIMIT;
        let connected = work.connection.connect(deadline);
        let done = connected.and_then(|mut client| client.act(action, self.args.amount, deadline));
        let named = self.args.action_named();
        match done {
            Ok(()) => {}
            Err(ClientError::Fail(text)) => {
                return unmeasured(format!("{named} was not done: {text}"));
            }
            Err(error) => {
                return unmeasured(format!("nobody knows whether {named} was done: {error}"));
            }
        }
        trial.hit = true;
        trial.what = format!("{named} was done");
        let from = work.writers.until(Instant::now(), |_| true).ok;
        let deadline = Instant::now() + ACKS_LIMIT;
        work.writers.until(deadline, |tally| {
            tally.ok >= from + AFTER_ACTION || self.interrupted()
        });
        Ok(())
    }
}
