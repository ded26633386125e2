//! The device fails reads with EIO while the target starts, and is healthy at the next start.

use nix::errno::Errno;
use plugpull_workloads::FailureClass;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::moments::{self, FirstCrash};
use crate::fault::{Bite, Fault, InjectError, Injected, Machine, Need, Started};
use crate::inject::{Effect, Matcher, OpKind, Rule};
use crate::trigger::Trigger;

/// Reads that fail for a while.
pub(super) struct EioRead;

/// The one instance.
pub(super) const EIO_READ: EioRead = EioRead;

impl Fault for EioRead {
    fn name(&self) -> &'static str {
        "eio-read"
    }

    fn about(&self) -> &'static str {
        "reads fail with EIO during one start after a SIGKILL; the next start finds a healthy disk"
    }

    fn class(&self) -> FailureClass {
        FailureClass::IoError
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::CrashFs]
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
}
