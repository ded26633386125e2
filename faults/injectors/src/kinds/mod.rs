//! The faults. A new one is one file here and one line in [`FAULTS`].

mod bad_sector;
mod bit_flip;
mod corrupt_snapshot;
mod disk_full;
mod eio_read;
mod eio_sync;
mod eio_write;
mod kill;
mod moments;
mod oom;
mod place;
mod power_loss;
mod reorg;
mod stall;
mod stop;
mod term;

use crate::fault::Fault;

/// Every fault, in the order in which a run tries them.
pub const FAULTS: [&Fault; 22] = [
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
    &eio_sync::EIO_SYNC_KEPT,
    &bad_sector::BAD_SECTOR,
    &bad_sector::BAD_SECTOR_FOR_EVER,
    &bit_flip::BIT_FLIP,
    &corrupt_snapshot::CORRUPT_SNAPSHOT,
    &stall::DELAY,
    &stall::HANG,
    &stop::STOP,
    &term::TERM,
    &oom::OOM,
    &reorg::REORG,
];

/// The fault of this name.
pub fn fault(name: &str) -> Option<&'static Fault> {
    FAULTS.into_iter().find(|fault| fault.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
    }
}
