//! fsync fails with EIO, with either outcome for the pages that it could not write.

use std::time::Duration;

use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use super::moments::{self, FirstCrash};
use crate::fault::{Bite, Fault, InjectError, Injected, Machine, Need};
use crate::inject::{Effect, Matcher, OpKind, PageOutcome, Rule};
use crate::trigger::Trigger;
use plugpull_crashsim::persist::Loss;

/// How long the workload goes on after the error.
const WORK_ON: Duration = Duration::from_millis(500);

/// The kernel marks the pages clean: the next fsync succeeds without them.
pub(super) const EIO_SYNC: Fault = Fault {
    name: "eio-sync",
    about: "fsync fails once with EIO and the pages are marked clean (ext4, XFS, btrfs); then power loss",
    class: FailureClass::SyncFailure,
    needs: &[Need::CrashFs],
    usual_trigger,
    inject: |machine, trigger| strike(machine, trigger, PageOutcome::MarkedClean),
};

/// The kernel keeps the pages dirty: the next fsync writes them.
pub(super) const EIO_SYNC_KEPT: Fault = Fault {
    name: "eio-sync-kept",
    about: "fsync fails once with EIO and the pages stay dirty; then power loss",
    class: FailureClass::IoError,
    needs: &[Need::CrashFs],
    usual_trigger,
    inject: |machine, trigger| strike(machine, trigger, PageOutcome::KeptDirty),
};

fn usual_trigger(rng: &mut ChaCha8Rng) -> Trigger {
    moments::before(&[OpKind::Sync], rng)
}

fn strike(
    machine: &mut dyn Machine,
    trigger: &Trigger,
    outcome: PageOutcome,
) -> Result<Injected, InjectError> {
    moments::reach(machine, trigger, FirstCrash::Kill)?;
    let Some(fs) = machine.fs() else {
        return Ok(Injected::if_bit(false, "there is no crash filesystem"));
    };
    let matcher = Matcher {
        kinds: vec![OpKind::Sync],
        path: None,
    };
    let effect = Effect::SyncFails(outcome);
    let rule = fs.add_rule(Rule {
        times: Some(1),
        ..Rule::always(matcher, effect)
    });
    machine.go_on();
    let tally = machine.work_until(WORK_ON, &|tally| tally.ok >= 20)?;
    let hits = fs.remove_rule(rule);
    let off = machine.power_off(Loss::Everything)?;
    let what = format!(
        "{hits} fsync failed with EIO at {trigger}; then {} transactions were acknowledged, \
         {} refused, {} unknown; then power was lost with {} un-synced changes",
        tally.ok, tally.fail, tally.info, off.lost
    );
    Ok(Injected {
        bite: Bite::Known(hits > 0),
        lost_power: true,
        ..Injected::bit(what)
    })
}
