//! The device fails reads with EIO while the target starts, and is healthy at the next start.

use nix::errno::Errno;
use plugpull_workloads::FailureClass;
use rand::RngExt;

use super::moments::{self, FirstCrash};
use crate::fault::{Bite, Fault, InjectError, Injected, Machine, Need, Started};
use crate::inject::{Effect, Matcher, OpKind, Rule};
use crate::trigger::Trigger;

/// Reads that fail for a while.
pub(super) const EIO_READ: Fault = Fault {
    name: "eio-read",
    about: "reads fail with EIO during one start after a SIGKILL; the next start finds a healthy disk",
    class: FailureClass::IoError,
    needs: &[Need::CrashFs],
    usual_trigger: moments::after_acks,
    inject: strike,
};

fn strike(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, FirstCrash::Kill)?;
    machine.kill()?;
    machine.remount()?;
    let Some(fs) = machine.fs() else {
        return Ok(Injected::if_bit(false, "there is no crash filesystem"));
    };
    let skip = machine.rng().random_range(0..3);
    let matcher = Matcher {
        kinds: vec![OpKind::Read],
        path: None,
    };
    let rule = fs.add_rule(Rule {
        skip,
        times: Some(3),
        ..Rule::always(matcher, Effect::Fail(Errno::EIO))
    });
    let started = machine.start()?;
    let hits = fs.remove_rule(rule);
    machine.kill()?;
    machine.remount()?;
    let (went, hung) = match started {
        Started::Up => ("it came up all the same".to_string(), None),
        Started::Refused(text) => (format!("it refused: {text}"), None),
        Started::Hung(waited) => (
            format!("it neither came up nor ended within {waited:?}"),
            Some(format!("hung for {waited:?} on a read error at start")),
        ),
    };
    let what = format!("{hits} reads failed with EIO while it started; {went}");
    Ok(Injected {
        bite: Bite::Known(hits > 0),
        stays_down: hung,
        ..Injected::bit(what)
    })
}
