//! SIGTERM: an orderly stop must lose nothing.

use std::time::Duration;

use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use super::moments::{self, FirstCrash};
use crate::fault::{Fault, InjectError, Injected, Machine, Need};
use crate::trigger::Trigger;

/// How long a target may take to stop before it is killed, as systemd's `TimeoutStopSec` has it,
/// shortened for tests.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// An orderly stop.
pub(super) struct Term;

/// The one instance.
pub(super) const TERM: Term = Term;

impl Fault for Term {
    fn name(&self) -> &'static str {
        "term"
    }

    fn about(&self) -> &'static str {
        "SIGTERM, then SIGKILL if it has not stopped after 10 s"
    }

    fn class(&self) -> FailureClass {
        FailureClass::CleanStop
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn usual_trigger(&self, rng: &mut ChaCha8Rng) -> Trigger {
        moments::after_acks(rng)
    }

    fn inject(
        &self,
        machine: &mut dyn Machine,
        trigger: &Trigger,
    ) -> Result<Injected, InjectError> {
        moments::reach(machine, trigger, FirstCrash::Kill)?;
        machine.signal(libc::SIGTERM)?;
        machine.go_on();
        let ended = machine.wait_exit(STOP_LIMIT)?;
        machine.kill()?;
        Ok(match ended {
            Some(code) => Injected::bit(format!("SIGTERM at {trigger}; it ended with code {code}")),
            None => Injected::bit(format!(
                "SIGTERM at {trigger}; it had not stopped after {STOP_LIMIT:?} and was killed"
            )),
        })
    }
}
