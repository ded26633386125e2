//! The device fails writes with EIO.
// tidy: small because a fault is a file of its own

use std::time::Duration;

use nix::errno::Errno;
use plugpull_sandbox::fuse::OpKind;
use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::rule::{Matcher, Response, Rule};
use crate::trigger::Trigger;

/// How long the workload goes on after the errors.
const WORK_ON: Duration = Duration::from_millis(500);

/// Writes that fail.
pub(crate) const EIO_WRITE: Fault = Fault {
    name: "eio-write",
    about: "1 to 4 writes fail with EIO; the workload goes on; then SIGKILL",
    class: FailureClass::IoError,
    needs: &[Need::CrashFs],
    default_trigger,
    inject,
};

fn default_trigger(rng: &mut ChaCha8Rng) -> Trigger {
    default_triggers::before(&[OpKind::Write], rng)
}

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    let Some(fs) = machine.fs() else {
        return Ok(Injected::without_crash_fs());
    };
    let times = machine.rng().random_range(1..=4);
    let matcher = Matcher {
        kinds: vec![OpKind::Write],
        path: None,
    };
    let rule = fs.add_rule(Rule {
        times: Some(times),
        ..Rule::always(matcher, Response::Fail(Errno::EIO))
    });
    machine.go_on();
    let tally = machine.work_until(WORK_ON, &|tally| tally.ok >= 20)?;
    let hits = fs.remove_rule(rule);
    machine.kill()?;
    let what = format!(
        "{hits} writes failed with EIO from {trigger} on; then {} transactions were \
         acknowledged, {} refused, {} unknown",
        tally.ok, tally.fail, tally.info
    );
    Ok(Injected::hit_if(hits > 0, what))
}
