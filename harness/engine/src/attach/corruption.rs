//! The rounds of corruption: on a copy of the data directory that a second service is started on, or
//! in place.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use plugpull_reports::Trial;
use plugpull_workloads::{Damage, FailureClass, History, Observed, Start, Verdict};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::copy;
use super::damage::{Flipped, flip};
use super::journal::Journal;
use super::readiness::{Death, ask, patience, too_slow};
use super::session::{Session, unmeasured};
use super::shell::Left;
use crate::seed;
use crate::trial::restart::read;

/// The stream of a round's random numbers, apart from those of its workload.
const STREAM: u64 = 1;

impl Session<'_> {
    /// The round's story.
    pub(super) fn corrupt(&mut self, trial: &mut Trial) -> anyhow::Result<()> {
        let Some(data) = self.data.clone() else {
            return unmeasured("corruption wants --data-dir: files of this machine are damaged");
        };
        match self.args.in_place {
            false if self.args.start_cmd.is_none() => {
                return unmeasured(
                    "corruption wants --start-cmd, which starts the service on a copy",
                );
            }
            true if !self.supervision.can_hold() => {
                return unmeasured(
                    "--in-place wants --unit, or --stop-cmd and --start-cmd: the service must stay \
                     stopped while its files are damaged",
                );
            }
            _ => {}
        }
        let work = self.warm_up(trial)?;
        let (history, tally, generators) = work.end(true)?;
        self.generators = generators;
        trial.acked = tally.ok;
        self.go_on()?;
        // It is taken out while it is used, so that the session can be used as well.
        let mut journal = self.journal.take().context("there is no work directory")?;
        let made = match self.args.in_place {
            true => self.in_place(&data, &mut journal, &history, trial),
            false => self.on_copy(&data, &mut journal, &history, trial),
        };
        self.journal = Some(journal);
        made
    }

    fn rng(trial: &Trial) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed::of_trial(trial.seed, STREAM))
    }

    fn on_copy(
        &self,
        data: &Path,
        journal: &mut Journal,
        history: &History,
        trial: &mut Trial,
    ) -> anyhow::Result<()> {
        let scratch = journal.scratch();
        if !copy::copy(data, &scratch)? {
            return unmeasured(
                "the data directory changed all the time, so that no copy of it is of one moment; \
                 stop other writers",
            );
        }
        // The copy of a running service need not be what a store can start on: that is found out
        // before anything is damaged.
        let (control, _) = self.start_on(&scratch, journal)?;
        let mut sound = trial.clone();
        let class = FailureClass::ProcessCrash;
        self.judge(history, &control, class, None, &mut sound);
        let works = matches!(
            (&control.start, &control.state),
            (Start::Started, Some(Ok(_)))
        );
        if !works || sound.verdict == Verdict::Broken {
            let why = match (sound.findings.first(), control.start) {
                (Some(found), _) => found.finding.sentence.clone(),
                (None, Start::Refused { message }) => message,
                (None, _) => "it does not answer".into(),
            };
            return unmeasured(format!(
                "an undamaged copy of the running service's data directory does not work, so a damaged \
                 one would say nothing: {why}"
            ));
        }
        let Some(flipped) = flip(&scratch, self.args.corrupt_snapshot, &mut Self::rng(trial))?
        else {
            return unmeasured(self.no_file());
        };
        trial.what = format!("{} in a copy of the data directory", flipped.what);
        let (mut observed, port) = self.start_on(&scratch, journal)?;
        trial.what += &format!(", which the service was started on (port {port})");
        self.verdict(&flipped, history, &mut observed, trial);
        Ok(())
    }

    fn no_file(&self) -> String {
        match self.args.corrupt_snapshot {
            true => "there is no file with `snap` in its name that holds anything".into(),
            false => "there is no file that holds anything".into(),
        }
    }

    /// Judges what was seen after the damage.
    fn verdict(
        &self,
        flipped: &Flipped,
        history: &History,
        observed: &mut Observed,
        trial: &mut Trial,
    ) {
        observed.damage = Damage::SingleCopy {
            description: flipped.what.clone(),
        };
        // The damage shows, or at least the file was read.
        trial.hit = observed.start != Start::Started
            || !matches!(observed.state, Some(Ok(_)))
            || matches!(observed.integrity, Some(Err(_)))
            || flipped.was_read();
        if !trial.hit {
            trial.what += "; nothing shows that the file was read after it";
        }
        self.judge(history, observed, FailureClass::Corruption, None, trial);
    }

    /// Starts a second service on a directory, reads everything, and kills it. Returns its port.
    fn start_on(&self, directory: &Path, journal: &mut Journal) -> anyhow::Result<(Observed, u16)> {
        let command = self.args.start_cmd.as_deref().unwrap_or_default();
        // Free now; nobody else takes it but by bad luck, and then the service says so.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let env = [
            ("PLUGPULL_DATA_DIR", directory.display().to_string()),
            ("PLUGPULL_PORT", port.to_string()),
        ];
        let endpoint = self.endpoint.to_copy(&env, port);
        let mut left = self.supervision.shell.spawn(command, &env)?;
        let mut observed = Observed {
            checker: self.endpoint.checker(),
            ..Observed::default()
        };
        let started = journal
            .started(left.child.id())
            .and_then(|()| self.await_copy(&endpoint, &mut left, &mut observed));
        let stopped = match &self.args.stop_cmd {
            // It ended with 0, so the service runs somewhere behind it.
            Some(stop)
                if left
                    .child
                    .try_wait()?
                    .is_some_and(|status| status.success()) =>
            {
                self.supervision.shell.must(stop, &env).map(drop)
            }
            _ => Ok(()),
        };
        left.kill();
        journal.killed()?;
        started.and(stopped).map(|()| (observed, port))
    }

    fn await_copy(
        &self,
        endpoint: &super::endpoint::Endpoint,
        left: &mut Left,
        observed: &mut Observed,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        let limit = self.args.start_limit;
        let deadline = began + limit * (1 + patience(limit, self.quickest.get()));
        loop {
            self.go_on()?;
            if let Ok((_connection, mut client)) = ask(endpoint, deadline) {
                if began.elapsed() > limit {
                    return unmeasured(too_slow(limit, began.elapsed()));
                }
                if let Err(failed) = read(&mut client, observed) {
                    failed.note(observed);
                }
                return Ok(());
            }
            if let Some(message) = left.failed()? {
                observed.start = Start::Refused { message };
                return Ok(());
            }
            if Instant::now() >= deadline {
                let waited = began.elapsed();
                observed.start = Start::Hung { waited };
                return Ok(());
            }
            std::thread::sleep(self.supervision.pace());
        }
    }

    fn in_place(
        &self,
        data: &Path,
        journal: &mut Journal,
        history: &History,
        trial: &mut Trial,
    ) -> anyhow::Result<()> {
        let limit = self.args.start_limit;
        self.supervision.forget_failures()?;
        let mut life = self.life()?;
        journal.stops_service()?;
        self.supervision.hold(limit)?;
        if let Err(why) = life.over(limit) {
            return unmeasured(format!("the service was stopped, and {why}"));
        }
        anyhow::ensure!(
            copy::copy(data, &journal.copy())?,
            "the service is stopped and something still writes to {}",
            data.display()
        );
        journal.damages(data)?;
        let Some(flipped) = flip(data, self.args.corrupt_snapshot, &mut Self::rng(trial))? else {
            return unmeasured(self.no_file());
        };
        trial.what = format!(
            "{} in the data directory, while the service was stopped",
            flipped.what
        );
        let death = Death {
            before: life.seen,
            since: Instant::now(),
            stopped: true,
        };
        let back = self.waiting().after(death);
        let mut observed = self.look(back, trial)?;
        // How long a damaged store takes is not its recovery.
        trial.recovery_us.clear();
        observed.recovery = None;
        self.verdict(&flipped, history, &mut observed, trial);
        let done = journal.settle(self.supervision, limit)?;
        trial.what += &format!("; {}", done.join(", "));
        match self.up(limit) {
            Ok(_) => Ok(()),
            Err(why) => anyhow::bail!("it does not answer after its files were put back: {why}"),
        }
    }
}
