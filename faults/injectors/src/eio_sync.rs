//! fsync fails with EIO, with either outcome for the pages that it could not write.

use std::time::Duration;

use plugpull_crashsim::persist::Loss;
use plugpull_sandbox::fuse::OpKind;
use plugpull_workloads::FailureClass;
use rand_chacha::ChaCha8Rng;

use crate::default_triggers;
use crate::fault::{Fault, Injected, Need};
use crate::machine::{self, FirstCrash, InjectError, Machine};
use crate::rule::{Matcher, PageOutcome, Response, Rule};
use crate::trigger::Trigger;

/// How long the workload goes on after the error.
const WORK_ON: Duration = Duration::from_millis(500);

/// The kernel marks the pages clean: the next fsync succeeds without them.
pub(crate) const EIO_SYNC: Fault = Fault {
    name: "eio-sync",
    about: "fsync fails once with EIO and the pages are marked clean (ext4, XFS, btrfs); then power loss",
    class: FailureClass::SyncFailure,
    needs: &[Need::CrashFs],
    default_trigger,
    inject: |machine, trigger| inject(machine, trigger, PageOutcome::MarkedClean),
};

/// The kernel keeps the pages dirty: the next fsync writes them.
pub(crate) const EIO_SYNC_DIRTY: Fault = Fault {
    name: "eio-sync-dirty",
    about: "fsync fails once with EIO and the pages stay dirty; then power loss",
    class: FailureClass::IoError,
    needs: &[Need::CrashFs],
    default_trigger,
    inject: |machine, trigger| inject(machine, trigger, PageOutcome::KeptDirty),
};

fn default_trigger(rng: &mut ChaCha8Rng) -> Trigger {
    default_triggers::before(&[OpKind::Sync], rng)
}

fn inject(
    machine: &mut dyn Machine,
    trigger: &Trigger,
    outcome: PageOutcome,
) -> Result<Injected, InjectError> {
    machine::reach(machine, trigger, FirstCrash::Kill)?;
    let Some(fs) = machine.fs() else {
        return Ok(Injected::without_crash_fs());
    };
    let matcher = Matcher {
        kinds: vec![OpKind::Sync],
        path: None,
    };
    let response = Response::SyncFails(outcome);
    let rule = fs.add_rule(Rule {
        times: Some(1),
        ..Rule::always(matcher, response)
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
        lost_power: true,
        ..Injected::hit_if(hits > 0, what)
    })
}
