//! SIGTERM: an orderly stop must lose nothing.
// tidy: small because a fault is a file of its own

use std::time::Duration;

use plugpull_workloads::FailureClass;

use crate::default_triggers;
use crate::fault::{Fault, Injected};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::trigger::Trigger;

/// How long a target may take to stop before it is killed, as systemd's `TimeoutStopSec` has it,
/// shortened for tests.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// An orderly stop.
pub(crate) const TERM: Fault = Fault {
    name: "term",
    about: "SIGTERM, then SIGKILL if it has not stopped after 10 s, or within=DURATION",
    class: FailureClass::CleanStop,
    needs: &[],
    default_trigger: default_triggers::after_acks,
    inject,
};

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    machine.signal(libc::SIGTERM)?;
    machine.go_on();
    let limit = trigger.within.unwrap_or(STOP_LIMIT);
    let ended = machine.wait_exit(limit)?;
    machine.kill()?;
    Ok(match ended {
        Some(code) => Injected::hit(format!("SIGTERM at {trigger}; it ended with code {code}")),
        None => Injected::hit(format!(
            "SIGTERM at {trigger}; it had not stopped after {limit:.1?} and was killed"
        )),
    })
}
