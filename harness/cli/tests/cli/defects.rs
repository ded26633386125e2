//! Every mutant of the reference store is found, and the sound store has no finding under
//! the very same options.

use plugpull_driver_reference::MUTANTS;
use plugpull_testing::test;

crate::support::mutants::defects! {
    "reference", MUTANTS;
    no_fsync: "no-fsync" is ["lost-ack"],
        by "--seed 1 --rounds 2 --clients 1 --fault power-loss@op=write,path=log-1,n=12";
    ack_before_fsync: "ack-before-fsync" is ["lost-ack"],
        by "--seed 1 --rounds 2 --clients 1 --fault power-loss@op=write,path=log-1,n=12 \
            --fault power-loss-torn@op=sync,path=log-1,n=20";
    no_dir_fsync: "no-dir-fsync" is ["lost-ack"],
        by "--seed 1 --rounds 2 --clients 1 --model strict \
            --fault power-loss@op=write,path=log-1,n=12";
    // Syncing the new log commits the new name of the snapshot, whose content is not there.
    rename_without_fsync: "rename-without-fsync" is ["will-not-start"],
        by "--seed 1 --rounds 2 --clients 1 --set snapshot_every=8 \
            --fault power-loss@op=write,path=log-2,n=3";
    // A flipped length cuts off what follows.
    no_checksum: "no-checksum" is ["wrong-value", "phantom", "lost-ack"],
        by "--seed 1 --rounds 4 --clients 1 --fault bit-flip@op=write,path=log-1,n=40";
    tail_not_truncated: "tail-not-truncated" is ["unreadable", "will-not-start"],
        by "--seed 1 --rounds 4 --clients 1 --fault power-loss-torn@op=sync,path=log-1,n=12";
    non_atomic_commit: "non-atomic-commit" is ["torn-transaction"],
        by "--seed 1 --rounds 6 --clients 1 --fault kill-op@op=write,path=log-1,p=0.1";
    // A snapshot made when there is space again would heal it.
    enospc_acked: "enospc-acked" is ["lost-ack", "resurrected"],
        by "--seed 1 --rounds 1 --clients 1 --set snapshot_every=1000000 \
            --fault disk-full@op=write,path=log-1,n=12";
    // The record that never reached the disk leaves a hole with good records behind it.
    eio_ignored: "eio-ignored" is ["will-not-start", "lost-ack"],
        by "--seed 1 --rounds 2 --clients 1 --fault eio-sync@op=sync,path=log-1,n=12";
    stale_lock_refused: "stale-lock-refused" is ["will-not-start"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=5";
    delete_not_logged: "delete-not-logged" is ["resurrected", "torn-transaction"],
        by "--seed 1 --rounds 2 --clients 1 --fault kill@ack=60";
    slow_replay: "slow-replay" is ["too-slow"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=5 \
            --set slow_replay_ms=1200 --recovery-bound 1s";
    non_idempotent_recovery: "non-idempotent-recovery" is ["not-repeatable"],
        by "--seed 1 --rounds 2 --clients 1 --fault kill@ack=40";
    // The kernel has the operation already: the log is emptied, and not written again.
    recovery_in_place: "recovery-in-place" is ["lost-ack", "resurrected"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill-recovery@path=log-1,n=1,recovery";
    hang_on_recovery: "hang-on-recovery" is ["hung"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=5 --recovery-bound 1s";
    // Killed in the midst of it.
    compact_removes_first: "compact-removes-first" is ["lost-ack"],
        by "--seed 1 --rounds 1 --clients 1 --fault compact@op=write,path=snapshot-*,n=1";
}
