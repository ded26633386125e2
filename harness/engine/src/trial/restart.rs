//! Starting a target on whatever its disk holds, and reading everything back.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use plugpull_driver::{Client, ClientError, StartError, Target};
use plugpull_workloads::{Checker, ReadBack, Start, last_words};

use super::PROBE;
use super::host::SandboxHost;
use super::script::{self, Acked};
use crate::outcome::{HarnessFailed, Observed, TargetFailed};

/// How long reading everything back may take.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// How many times longer than an unharmed start a target must have been waited for to count as hung.
const HUNG_FACTOR: u32 = 10;

/// A successful start.
pub struct Up<'t> {
    ask: Ask<'t>,
    /// From the spawn to the first correct answer; none where starting it runs nothing.
    pub took: Option<Duration>,
    /// Whose its integrity check is.
    checker: Checker,
}

/// How a target is asked for what it holds.
enum Ask<'t> {
    /// Through a connection.
    Client(Box<dyn Client>),
    /// By its own check, with what was acknowledged.
    Script(&'t dyn Target, &'t SandboxHost, Acked),
}

impl Up<'_> {
    /// Everything that the target holds, or why it cannot be read.
    ///
    /// # Errors
    /// Its check could not be run.
    pub fn read_all(&mut self) -> Result<ReadBack, HarnessFailed> {
        let mut observed = Observed::default();
        match &mut self.ask {
            Ask::Client(client) => {
                let state = in_time(READ_LIMIT, |deadline| client.read_all(deadline));
                Ok(state.unwrap_or_else(|failed| Err(failed.to_string())))
            }
            Ask::Script(target, host, acked) => {
                script::look(*target, host, acked, &mut observed)?;
                Ok(match (observed.start, observed.state) {
                    (Start::Started, Some(state)) => state,
                    (Start::Refused { message }, _) => Err(message),
                    (Start::Hung { waited }, _) => {
                        Err(format!("its check had not ended after {waited:.1?}"))
                    }
                    (Start::Started, None) => Err("its check said nothing".into()),
                })
            }
        }
    }

    /// Notes that it came up, and all that it shows. Returns what its own check printed, where it has
    /// one.
    ///
    /// # Errors
    /// That check could not be run or said what makes no sense.
    pub fn note(&mut self, observed: &mut Observed) -> Result<String, HarnessFailed> {
        observed.start = Start::Started;
        observed.recovery = self.took;
        observed.checker = self.checker;
        let client = match &mut self.ask {
            Ask::Script(target, host, acked) => {
                return script::look(*target, host, acked, observed);
            }
            Ask::Client(client) => client,
        };
        if let Err(failed) = read(&mut **client, observed) {
            failed.note(observed);
        }
        Ok(String::new())
    }
}

/// Reads back everything, and has the target check itself.
///
/// # Errors
/// It answered one of these not in time.
pub fn read(client: &mut dyn Client, observed: &mut Observed) -> Result<(), TargetFailed> {
    observed.state = Some(in_time(READ_LIMIT, |deadline| client.read_all(deadline))?);
    let check = in_time(READ_LIMIT, |deadline| client.check(deadline))?;
    observed.integrity = Some(match check {
        Ok(None) => Ok(()),
        Ok(Some(damage)) => Err(damage),
        Err(error) => Err(error),
    });
    observed.log = in_time(READ_LIMIT, |deadline| client.event_log(deadline))?.transpose();
    Ok(())
}

/// Makes a call that may take so long: its answer, or the error as a text. A deadline that passed is
/// no answer of either kind.
fn in_time<T>(
    limit: Duration,
    call: impl FnOnce(Instant) -> Result<T, ClientError>,
) -> Result<Result<T, String>, TargetFailed> {
    let began = Instant::now();
    match call(began + limit) {
        Err(_) if began.elapsed() >= limit => Err(TargetFailed::Hung(limit)),
        answer => Ok(answer.map_err(|error| error.to_string())),
    }
}

/// How a target ended, with what of its output says why; `code` is its exit code or 128 + signal.
pub(super) fn ended(code: i32, output: &str) -> String {
    let how = match Signal::try_from(code - 128) {
        Ok(signal) => format!("ended by {signal}"),
        Err(_) => format!("exit code {code}"),
    };
    match last_words(output).as_str() {
        "" => how,
        words => format!("{how}: {words}"),
    }
}

/// A target that is up, and the process or connection that it runs as.
pub(crate) type Running<'t, 'host> = (Box<dyn plugpull_targets::Running + 'host>, Up<'t>);

/// Starts the target and asks it for `probe`; the time runs from the spawn to the answer. One with
/// a check of its own is not asked yet: its check will be, about what was `acked`.
///
/// # Errors
/// It could not be started for a reason that lies in plugpull or the machine.
pub fn bring_up<'t, 'host: 't>(
    target: &'t dyn Target,
    host: &'host SandboxHost,
    limit: Duration,
    probe: &str,
    acked: Acked,
) -> Result<Result<Running<'t, 'host>, TargetFailed>, HarnessFailed> {
    let began = Instant::now();
    let deadline = began + limit;
    let running = match target.start(host, deadline) {
        Ok(running) => running,
        Err(StartError::Exited { code, output }) => {
            return Ok(Err(TargetFailed::Refused(ended(code, &output))));
        }
        Err(StartError::Refused(why)) => return Ok(Err(TargetFailed::Refused(why))),
        Err(StartError::WentOn(why)) => return Ok(Err(TargetFailed::WentOn(why))),
        Err(StartError::Timeout { waited, .. }) => return Ok(Err(TargetFailed::Hung(waited))),
        Err(StartError::Host(error)) => {
            let failed = HarnessFailed::from(error);
            return Err(failed.during("the target could not be started"));
        }
    };
    let answer = match target.scripted() {
        Some(_) => Ok(Ask::Script(target, host, acked)),
        None => probed(&*running, probe, deadline).map(Ask::Client),
    };
    let took = began.elapsed();
    Ok(match answer {
        Ok(ask) => {
            let timed = target.scripted().is_none_or(|script| script.recovers());
            let took = timed.then_some(took);
            let checker = target.checker();
            Ok((running, Up { ask, took, checker }))
        }
        Err(_) if took >= limit => Err(TargetFailed::Hung(took)),
        Err(error) => Err(TargetFailed::Refused(format!(
            "it does not answer: {error}"
        ))),
    })
}

/// A connection that has answered.
fn probed(
    running: &dyn plugpull_targets::Running,
    probe: &str,
    deadline: Instant,
) -> Result<Box<dyn Client>, ClientError> {
    let mut client = running.connect(deadline)?;
    client.get(probe, deadline)?;
    Ok(client)
}

/// Starts the target and notes how that went, and all that it shows, and kills it. Returns what its own
/// check printed, where it has one.
///
/// # Errors
/// plugpull failed; nothing is known of the target.
pub fn observe(
    target: &dyn Target,
    host: &SandboxHost,
    limit: Duration,
    acked: Acked,
    observed: &mut Observed,
) -> Result<String, HarnessFailed> {
    let kept = |_: &Observed, running| Ok(Some(running));
    observe_then(target, host, (limit, acked), observed, kept)
}

/// The same, where something is done with what came up before it is killed; what is returned of it is kept
/// until then.
///
/// # Errors
/// plugpull failed; nothing is known of the target.
pub(crate) fn observe_then<'t, 'host: 't>(
    target: &'t dyn Target,
    host: &'host SandboxHost,
    (limit, acked): (Duration, Acked),
    observed: &mut Observed,
    then: impl FnOnce(
        &Observed,
        Running<'t, 'host>,
    ) -> Result<Option<Running<'t, 'host>>, HarnessFailed>,
) -> Result<String, HarnessFailed> {
    match bring_up(target, host, limit, PROBE, acked)? {
        Ok((running, mut up)) => {
            let printed = up.note(observed)?;
            let kept = then(observed, (running, up))?;
            // While somebody still listens to it: else it may begin to end by itself.
            host.sandbox.kill_all()?;
            drop(kept);
            Ok(printed)
        }
        Err(failed) => {
            let hung = matches!(failed, TargetFailed::Hung(_));
            failed.note(observed);
            match hung {
                true => Ok(format!(
                    "When its time was over, {}.\n",
                    host.sandbox.usage()?
                )),
                false => Ok(String::new()),
            }
        }
    }
}

/// A limit that was reached is the target's failure only where the same start on an unharmed
/// directory takes less than a tenth of it.
///
/// # Errors
/// The limit is too short for this machine and this target: `took` is how long that start took, none
/// where it did not end well either.
pub fn confirm_hung(waited: Duration, took: Option<Duration>) -> Result<(), HarnessFailed> {
    confirm(waited, took, "an empty directory")
}

/// The same beside a start on the directory that a clean stop left, with as much in it.
///
/// # Errors
/// The limit is too short for this machine and this target.
pub fn confirm_hung_beside_clean(waited: Duration, took: Duration) -> Result<(), HarnessFailed> {
    confirm(waited, Some(took), "the directory after a clean stop")
}

/// The same beside a start on the directory at the end of the recorded run, from which nothing was lost.
///
/// # Errors
/// The limit is too short for this machine and this target.
pub fn confirm_hung_beside_whole(
    waited: Duration,
    took: Option<Duration>,
) -> Result<(), HarnessFailed> {
    confirm(waited, took, "the directory at the end of the recorded run")
}

fn confirm(waited: Duration, took: Option<Duration>, on: &str) -> Result<(), HarnessFailed> {
    let why = match took {
        Some(took) if took * HUNG_FACTOR <= waited => return Ok(()),
        Some(took) => format!("takes {took:.1?}, more than a tenth of it"),
        None => "does not come up in time either".into(),
    };
    Err(HarnessFailed::new(format!(
        "the target neither answered nor ended within {waited:.1?}, but the same start on {on} {why}: \
         the target or the machine is too slow for this limit; a longer [start] timeout_ms, or \
         --recovery-bound, raises it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_not_done_in_time_is_no_check_that_fails() {
        let late = |_| Err::<Option<String>, _>(ClientError::Gone("the deadline passed".into()));
        let failed = in_time(Duration::ZERO, late).expect_err("too late");
        assert_eq!(failed, TargetFailed::Hung(Duration::ZERO));
        let answer = in_time(READ_LIMIT, late).expect("an answer");
        assert!(answer.expect_err("an error").contains("no answer"));
    }

    #[test]
    fn a_limit_is_the_targets_failure_only_where_an_unharmed_start_is_quick() {
        let limit = Duration::from_secs(20);
        assert!(confirm_hung(limit, Some(Duration::from_secs(2))).is_ok());
        for took in [Some(Duration::from_millis(2001)), None] {
            let failed = confirm_hung(limit, took).expect_err("too slow a machine");
            assert!(failed.message.contains("--recovery-bound"), "{failed}");
        }
        assert!(confirm_hung_beside_clean(limit, Duration::from_secs(1)).is_ok());
        let failed = confirm_hung_beside_clean(limit, Duration::from_secs(9)).expect_err("slow");
        assert!(
            failed.message.contains("after a clean stop takes 9.0s"),
            "{failed}"
        );
    }
}
