//! The verbs that faults use on the machine of a trial.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plugpull_crashsim::fs::PAGE;
use plugpull_crashsim::persist::{self, CrashState, Loss};
use plugpull_driver::{ActionTime, ClientError};
use plugpull_faults::control::{Control, Injector};
use plugpull_faults::machine::{
    Acted, Afterwards, InjectError, Machine, PowerOff, Read, SpaceTaken, Started, Tally,
};
use plugpull_faults::trigger::{Trigger, When};
use plugpull_workloads::Clock;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{LOOK, MOMENT_LIMIT, Testbed, storage_error, to_io};
use crate::outcome::{HarnessFailed, guard};
use crate::trial::crashes::Cut;
use crate::trial::{PROBE, ballast, flip};

/// How many seeds more a power loss has for a subset that lacks something.
const OTHER_SUBSETS: usize = 16;

/// So many acknowledged transactions show that a target is back at work.
const ACKS_AGAIN: u64 = 3;

/// What a disk lost.
fn lost_of(state: &CrashState) -> PowerOff {
    PowerOff {
        pending: state.pending,
        lost: state.lost.len(),
        torn: state.lost.iter().filter(|lost| lost.torn).count(),
    }
}

impl Testbed<'_> {
    pub(super) fn crash_fs(&self) -> Result<Control, InjectError> {
        let fs = self.storage.fs();
        fs.ok_or_else(|| InjectError::NeverReached("there is no crash filesystem".into()))
    }
}

impl Machine for Testbed<'_> {
    fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.rng
    }

    fn fs(&self) -> Option<Control> {
        self.storage.fs()
    }

    fn until(&mut self, when: &When) -> Result<(), InjectError> {
        match when {
            When::Op { .. } | When::Chance { .. } => {
                let paused = self.watch(when)?;
                self.await_watch(&paused, |_| false)
            }
            When::Ack(count) => {
                let before = self.acks_of_clients();
                let more = count.saturating_sub(before);
                let limit = self.patient(MOMENT_LIMIT);
                let tally = self.work_until(limit, &|tally| tally.ok >= more)?;
                if tally.ok >= more {
                    Ok(())
                } else if self.poll() {
                    Err(InjectError::NeverReached(format!(
                        "{} of {count} transactions were acknowledged within {limit:.1?}",
                        before + tally.ok
                    )))
                } else {
                    Err(self.exit_error())
                }
            }
            When::Time(time) => {
                self.work_until(*time, &|_| false)?;
                if self.poll() {
                    Ok(())
                } else {
                    Err(self.exit_error())
                }
            }
        }
    }

    fn start_until(&mut self, when: &When) -> Result<(), InjectError> {
        let paused = match when {
            When::Op { .. } | When::Chance { .. } => Some(self.watch(when)?),
            When::Ack(_) | When::Time(_) => None,
        };
        let (host, target) = (self.host.clone(), self.target.clone());
        let deadline = Instant::now() + self.start_limit;
        let starting = std::thread::spawn(move || {
            guard(|| {
                // Whether it comes up is not the question here: it is to be crashed while it tries.
                drop(target.start(&*host, deadline));
                Ok(())
            })
        });
        self.starting = Some(starting);
        match (paused, when) {
            (Some(paused), _) => {
                self.await_watch(&paused, |testbed| {
                    testbed
                        .starting
                        .as_ref()
                        .is_none_or(JoinHandle::is_finished)
                })?;
                // It may come to the operation before the host has heard of its birth.
                self.host.await_spawn(Instant::now() + MOMENT_LIMIT);
                Ok(())
            }
            (None, &When::Time(time)) => {
                // The moment counts from the spawn.
                self.host.await_spawn(Instant::now() + MOMENT_LIMIT);
                std::thread::sleep(time);
                Ok(())
            }
            (None, _) => Err(InjectError::NeverReached(
                "nothing is acknowledged during recovery".into(),
            )),
        }
    }

    fn go_on(&mut self) {
        if let Some(fs) = self.storage.fs() {
            fs.release();
        }
    }

    fn kill(&mut self) -> Result<bool, InjectError> {
        let alive = self.host.alive();
        self.recorder.crash();
        self.crashed_at.get_or_insert(self.clock.now());
        // The signal first, then the operations that are held: nobody comes back from them.
        self.signal_all(libc::SIGKILL)?;
        self.go_on();
        self.host.sandbox.kill_all().map_err(to_io)?;
        self.reap()?;
        if let Some(fs) = self.storage.fs() {
            self.crashes.killed(&fs, alive);
        }
        Ok(alive)
    }

    fn at_stake(&mut self, loss: Loss) -> Result<PowerOff, InjectError> {
        let fs = self.crash_fs()?;
        let most = match loss {
            Loss::TornLast => Loss::TornLast,
            _ => Loss::Everything,
        };
        let (model, device) = (self.rules.model, self.rules.device);
        let state = fs.inspect(|_, log| persist::crash_state(log, model, most, device, 0));
        Ok(lost_of(&state))
    }

    fn power_off(&mut self, loss: Loss) -> Result<PowerOff, InjectError> {
        let fs = self.crash_fs()?;
        self.recorder.crash();
        self.crashed_at = Some(self.clock.now());
        self.signal_all(libc::SIGKILL)?;
        let cut = fs.cut();
        self.host.sandbox.kill_all().map_err(to_io)?;
        self.reap()?;
        let (model, device) = (self.rules.model, self.rules.device);
        let state_of =
            |seed| fs.inspect(|_, log| persist::crash_state(log, model, loss, device, seed));
        let mut seed = self.rng.random();
        let mut state = state_of(seed);
        // A seeded subset may be all of what is pending: a kill, not a power loss.
        for _ in 0..OTHER_SUBSETS {
            if !state.lost.is_empty() || state.pending == 0 {
                break;
            }
            seed = self.rng.random();
            state = state_of(seed);
        }
        let off = lost_of(&state);
        let began = fs.inspect(|_, log| log.began());
        let left = Injector::new(state.tree, began, cut, self.rng.random());
        let cut = Cut {
            model,
            device,
            loss,
            seed,
        };
        self.crashes.cut(&fs, cut);
        self.storage
            .remount(&self.host.sandbox, left.clone(), self.host.cpu)
            .map_err(storage_error)?;
        *self.clock.fs.lock() = Some(left);
        Ok(off)
    }

    fn remount(&mut self) -> Result<(), InjectError> {
        let Some(fs) = self.storage.fs() else {
            return Ok(());
        };
        // The kernel does not say goodbye to each inode when it unmounts.
        self.storage
            .unmount(&self.host.sandbox)
            .map_err(storage_error)?;
        fs.damage(|tree, _| tree.settle());
        self.storage
            .remount(&self.host.sandbox, fs, self.host.cpu)
            .map_err(storage_error)
    }

    fn files(&mut self) -> Result<Vec<(String, u64)>, InjectError> {
        flip::files(&self.host.sandbox, &self.storage)
    }

    fn rehearse(&mut self) -> Result<Vec<Read>, InjectError> {
        self.rehearsed()
    }

    fn growth(&mut self) -> Option<SpaceTaken> {
        let (pages, sizes_before) = self.space_at_work.clone()?;
        let clients = self.clients.as_ref()?;
        Some(SpaceTaken {
            pages: self.pages()?.saturating_sub(pages),
            acks: clients.progress.tally().ok,
            sizes_before,
        })
    }

    fn flip(&mut self, path: &str, offset: u64, bit: u8) -> Result<(), InjectError> {
        flip::flip(&self.host.sandbox, &self.storage, path, offset, bit)
    }

    fn snapshots(&mut self) -> Result<Vec<(String, u64)>, InjectError> {
        let mut files = self.files()?;
        files.retain(|(path, _)| self.target.is_snapshot(path));
        Ok(files)
    }

    fn acts_while_up(&self) -> bool {
        let action = self.action.as_ref();
        action.is_some_and(|action| action.when == ActionTime::Up)
    }

    fn act(&mut self, amount: Option<u32>, killed_at: Option<&When>) -> Result<Acted, InjectError> {
        let Some(action) = self.action.clone() else {
            return Ok(Acted::Refused("there is no action to do".into()));
        };
        let (mut amount, mut name) = (amount, action.name.clone());
        if let Some(takes) = action.takes() {
            let seeded = self.rng.random_range(takes.least..=takes.most);
            let value = *amount.get_or_insert(seeded);
            name.push_str(&format!(" ({}={value})", takes.name));
        }
        if action.when == ActionTime::Down {
            self.kill()?;
            let deadline = Instant::now() + self.start_limit;
            let host = self.borrowed;
            return Ok(
                match self.target.act_down(host, &action, amount, deadline)? {
                    Ok(()) => Acted::Done(format!("{name} was done while it was down")),
                    Err(why) => Acted::Refused(format!("{name} was not done: {why}")),
                },
            );
        }
        self.go_on();
        let watch = killed_at.map(|when| self.watch(when)).transpose()?;
        let deadline = Instant::now() + self.start_limit;
        let running = self.running.as_ref().ok_or_else(|| self.exit_error())?;
        let connected = running.connect(deadline);
        let acting = std::thread::spawn(move || {
            connected.and_then(|mut client| client.act(&action.name, amount, deadline))
        });
        let killed = match (watch, killed_at) {
            (Some(paused), Some(when)) => {
                self.await_watch(&paused, |_| false)?;
                self.kill()?;
                let moment = Trigger::at(when.clone());
                format!("; killed at {moment} from its beginning on")
            }
            _ => String::new(),
        };
        let answer = acting.join();
        Ok(
            match answer.map_err(|panic| HarnessFailed::of_thread(&name, &*panic))? {
                Ok(()) => Acted::Done(format!("{name} was done{killed}")),
                Err(ClientError::Gone(_)) if !killed.is_empty() => {
                    Acted::Done(format!("{name} was under way{killed}"))
                }
                Err(error) => Acted::Refused(format!("{name} was not done: {error}")),
            },
        )
    }

    fn signal(&mut self, signal: i32) -> Result<(), InjectError> {
        self.signal_all(signal)
    }

    fn wait_exit(&mut self, limit: Duration) -> Result<Option<i32>, InjectError> {
        match self.host.last() {
            Some(child) => Ok(child.wait(Instant::now() + limit)?),
            None => Ok(None),
        }
    }

    fn start(&mut self) -> Result<Started, InjectError> {
        Ok(match self.bring_up(PROBE)? {
            Ok(_) => Started::Up,
            Err(failed) => failed.into(),
        })
    }

    fn oom_kill(&mut self) -> Result<String, InjectError> {
        let child = self.host.last().ok_or_else(|| self.exit_error())?;
        self.recorder.crash();
        self.crashed_at.get_or_insert(self.clock.now());
        let memory = self.host.sandbox.memory().map_err(to_io)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        let killed = memory.oom_kill(&child, deadline);
        let evidence = killed.map_err(|error| match child.wait(Instant::now()) {
            // Whom the kernel kills does not end with 0.
            Ok(Some(0)) => InjectError::NeverReached(
                "the target had come to its end by itself, with exit code 0".into(),
            ),
            _ => to_io(error),
        })?;
        Ok(format!(
            "{} OOM kill counted at a limit of {} bytes",
            evidence.kills, evidence.limit
        ))
    }

    fn limit_space(&mut self, pages_left: Option<u64>) -> Result<(), InjectError> {
        match (self.storage.fs(), pages_left) {
            (Some(fs), Some(pages)) => fs.fill(pages),
            (Some(fs), None) => fs.free(),
            (None, Some(pages)) => {
                ballast::fill(&self.host.sandbox, pages * PAGE as u64)?;
            }
            (None, None) => ballast::free(&self.host.sandbox)?,
        }
        Ok(())
    }

    fn works(&mut self) -> bool {
        self.poll()
    }

    fn afterwards(&mut self, limit: Duration) -> Result<Afterwards, InjectError> {
        let limit = self.patient(limit);
        self.fares(limit, ACKS_AGAIN, limit)
    }

    fn work_until(
        &mut self,
        limit: Duration,
        done: &dyn Fn(&Tally) -> bool,
    ) -> Result<Tally, InjectError> {
        let Some(clients) = &self.clients else {
            return Ok(Tally::default());
        };
        let progress = clients.progress.clone();
        let before = progress.tally();
        let deadline = Instant::now() + limit;
        loop {
            let since = progress.tally().since(before);
            let alive = self.poll();
            if done(&since) || !alive || Instant::now() >= deadline {
                return Ok(since);
            }
            progress.wait(deadline.min(Instant::now() + LOOK));
        }
    }
}
