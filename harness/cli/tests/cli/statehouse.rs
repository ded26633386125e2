//! Every mutant of the fake of `statehoused` is found, and the sound fake has no
//! finding under the very same options.
use plugpull_driver_statehouse as statehouse;
use plugpull_testing::test;

use crate::support::{plugpull, run};

crate::support::mutants::defects! {
    "statehouse --reference", statehouse::MUTANTS;
    ack_before_sync: "ack-before-sync" is ["lost-ack"],
        by "--seed 1 --rounds 2 --clients 1 --fault power-loss@op=sync,path=*events,n=12";
    // The parts that are there make an event of too few writes.
    commit_in_parts: "commit-in-parts" is ["torn-transaction", "event-order"],
        by "--seed 1 --rounds 2 --clients 1 --fault kill-op@op=write,path=*events,n=40";
    torn_tail_kept: "torn-tail-kept" is ["will-not-start"],
        by "--seed 1 --rounds 4 --clients 1 --fault power-loss-torn@op=sync,path=*events,n=12";
    timestamps_restart: "timestamps-restart" is ["event-order"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=6";
    versions_restart: "versions-restart" is ["version-gap"],
        by "--seed 1 --rounds 1 --clients 1 --set versions=on --fault kill@ack=20";
    deletes_not_replayed: "deletes-not-replayed" is
        ["state-not-replayed", "resurrected", "torn-transaction"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=60";
    snapshot_gap: "snapshot-gap" is ["state-not-replayed", "lost-ack", "torn-transaction"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@op=write,path=*events,n=18";
    log_dropped_at_snapshot: "log-dropped-at-snapshot" is ["missing-event", "state-not-replayed"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=40";
    abort_logged: "abort-logged" is ["stray-event", "phantom"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=60";
    damage_accepted: "damage-accepted" is ["wrong-value", "lost-ack", "torn-transaction"],
        by "--seed 1 --rounds 10 --clients 1 --fault bit-flip@op=write,path=*events,n=40";
    full_disk_acked: "full-disk-acked" is ["lost-ack", "resurrected", "torn-transaction"],
        by "--seed 1 --rounds 1 --clients 1 --fault disk-full@op=write,path=*events,n=4";
    full_for_good: "full-for-good" is ["stays-down"],
        by "--seed 1 --rounds 1 --clients 1 --fault disk-full@op=write,path=*events,n=12";
    slow_recovery: "slow-recovery" is ["too-slow"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=5 --recovery-bound 1s";
}

#[test(needs = "fuse")]
fn the_sound_fake_keeps_every_promise() {
    let sound = run(
        "statehouse --reference --seed 5 --rounds 1 --set versions=on \
                     --set commit_errors=final",
    );
    sound.must_have_no_finding();
    let shared = run(
        "statehouse --reference --seed 6 --rounds 3 --shared-keys --set versions=on \
                      --fault kill --fault power-loss-subset",
    );
    shared.must_have_no_finding();
}

#[test]
fn where_the_daemon_is_not_installed_the_run_says_how_to() {
    let output = plugpull()
        .args(["run", "statehouse", "-q"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for word in ["statehoused is not on PATH", "cargo install", "--reference"] {
        assert!(said.contains(word), "{said}");
    }
    // What cannot be is named first.
    let output = plugpull()
        .args(["run", "statehouse", "-q", "--set", "defect=abort-logged"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
