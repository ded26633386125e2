//! Live faults: what is done to a running target and its storage, and when.
//!
//! Each file of the faults listed in [`FAULTS`] is one fault or one family of them. It uses the
//! machine under a trial through [`machine::Machine`] alone. A new fault is one file here, and its
//! module and name in the two lists below; every list that users see follows from [`FAULTS`].

pub mod control;
pub mod fault;
pub mod machine;
pub mod rule;
pub mod trigger;

mod default_triggers;
mod random_sector;

mod act;
mod bad_sector;
mod bit_flip;
mod corrupt_snapshot;
mod disk_full;
mod eio_read;
mod eio_sync;
mod eio_write;
mod kill;
mod oom;
mod power_loss;
mod stall;
mod stop;
mod term;

use fault::Fault;
use plugpull_sandbox::capability::{self, Capability};

/// Every fault, in the order in which a run tries them.
pub const FAULTS: &[&Fault] = &[
    &kill::KILL,
    &kill::KILL_OP,
    &kill::KILL_RECOVERY,
    &power_loss::POWER_LOSS,
    &power_loss::POWER_LOSS_SUBSET,
    &power_loss::POWER_LOSS_TORN,
    &power_loss::POWER_LOSS_RECOVERY,
    &disk_full::DISK_FULL,
    &eio_write::EIO_WRITE,
    &eio_read::EIO_READ,
    &eio_sync::EIO_SYNC,
    &eio_sync::EIO_SYNC_DIRTY,
    &bad_sector::BAD_SECTOR,
    &bad_sector::BAD_SECTOR_PERMANENT,
    &bit_flip::BIT_FLIP,
    &corrupt_snapshot::CORRUPT_SNAPSHOT,
    &stall::DELAY,
    &stall::HANG,
    &stop::STOP,
    &term::TERM,
    &oom::OOM,
    &act::ACT,
];

/// Names that faults had in version 0.1, with the names that they have now.
const FORMER_NAMES: [(&str, &str); 2] = [
    ("eio-sync-kept", "eio-sync-dirty"),
    ("bad-sector-for-ever", "bad-sector-permanent"),
];

/// Actions that version 0.1 listed as a fault of every target.
const FORMER_FAULTS: [&str; 1] = ["reorg"];

/// The fault of this name, or of this former name; the fault `act` for an action that was one.
pub fn fault(name: &str) -> Option<&'static Fault> {
    if FORMER_FAULTS.contains(&name) {
        return Some(&act::ACT);
    }
    let name = current_name(name).unwrap_or(name);
    FAULTS.iter().find(|fault| fault.name == name).copied()
}

/// What the fault of this former name is called now; none where the name is no former one.
pub fn current_name(former: &str) -> Option<&'static str> {
    FORMER_NAMES
        .iter()
        .find(|(name, _)| *name == former)
        .map(|(_, current)| *current)
}

/// Tries every capability of this machine, as [`capability::probe`] does, and lists the faults that
/// each enables.
pub fn probe_capabilities() -> Vec<Capability> {
    capability::probe(enabled_by)
}

/// The names of the faults that need the capability of this name.
fn enabled_by(capability: &str) -> Vec<&'static str> {
    let needs = |fault: &Fault| {
        let mut met = fault.needs.iter().filter_map(|need| need.capability());
        met.any(|needed| needed == capability)
    };
    FAULTS
        .iter()
        .filter(|fault| needs(fault))
        .map(|fault| fault.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        names.extend(FORMER_NAMES.map(|(former, _)| former));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_capability_enables_the_faults_that_need_it() {
        assert!(enabled_by("fuse").contains(&"power-loss"));
        assert_eq!(enabled_by("cgroup-memory"), ["oom"]);
        assert!(enabled_by("loop").is_empty());
    }

    #[test]
    fn a_former_name_finds_the_fault_that_has_it_now() {
        for (former, current) in FORMER_NAMES {
            let found = fault(former).map(|fault| fault.name);
            assert_eq!(found, Some(current));
            assert_eq!(current_name(former), Some(current));
            assert_eq!(current_name(current), None);
        }
        assert!(fault("eio-sync-lost").is_none());
    }
}
