//! The device fails reads with EIO while the target starts, and is healthy at the next start.
// tidy: small because a fault is a file of its own

use nix::errno::Errno;
use plugpull_sandbox::fuse::OpKind;
use plugpull_workloads::FailureClass;
use rand::RngExt;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine, Started};
use crate::rule::{Matcher, Response, Rule};
use crate::trigger::Trigger;

/// Reads that fail for a while.
pub(crate) const EIO_READ: Fault = Fault {
    name: "eio-read",
    about: "reads fail with EIO during one start after a SIGKILL; the next start finds a healthy disk",
    class: FailureClass::IoError,
    needs: &[Need::CrashFs, Need::Start],
    default_trigger: default_triggers::after_acks,
    inject,
};

fn inject(machine: &mut dyn Machine, trigger: &Trigger) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    machine.kill()?;
    machine.remount()?;
    let Some(fs) = machine.fs() else {
        return Ok(Injected::without_crash_fs());
    };
    let seeded = machine.rng().random_range(0..3);
    let matcher = Matcher {
        kinds: vec![OpKind::Read],
        path: None,
    };
    let mut start = |skip| {
        let rule = fs.add_rule(Rule {
            skip,
            times: Some(3),
            ..Rule::always(matcher.clone(), Response::Fail(Errno::EIO))
        });
        let started = machine.start()?;
        let hits = fs.remove_rule(rule);
        machine.kill()?;
        machine.remount()?;
        Ok::<_, InjectError>((hits, started))
    };
    let (mut hits, mut started) = start(seeded)?;
    if hits == 0 && seeded > 0 {
        // It reads less than that.
        (hits, started) = start(0)?;
    }
    if hits == 0 && started == Started::Up {
        return Ok(Injected::not_applicable(
            "the target reads nothing while it starts",
        ));
    }
    let (went, hung) = match started {
        Started::Up => ("it came up all the same".to_string(), None),
        Started::Refused(text) => (format!("it refused: {text}"), None),
        Started::Hung(waited) => (
            format!("it neither came up nor ended within {waited:.1?}"),
            Some(format!("hung for {waited:.1?} on a read error at start")),
        ),
    };
    let what = format!("{hits} reads failed with EIO while it started; {went}");
    Ok(Injected {
        stays_down: hung,
        ..Injected::hit_if(hits > 0, what)
    })
}
