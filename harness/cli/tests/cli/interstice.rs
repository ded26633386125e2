//! Every mutant of the fake of the log of Interstice's guide is found, and the sound
//! fake has no finding under the very same options.
use plugpull_driver_interstice as interstice;
use plugpull_testing::test;

use crate::support::{plugpull, run};

crate::support::mutants::defects! {
    "interstice --reference", interstice::MUTANTS;
    ack_before_sync: "ack-before-sync" is ["lost-ack"],
        by "--seed 1 --rounds 2 --clients 1 --fault power-loss@op=sync,path=txn.log,n=12";
    commit_in_parts: "commit-in-parts" is ["torn-transaction"],
        by "--seed 1 --rounds 2 --clients 1 --fault kill-op@op=write,path=txn.log,n=40";
    torn_tail_kept: "torn-tail-kept" is ["unreadable:valid up to byte"],
        by "--seed 1 --rounds 4 --clients 1 --fault power-loss-torn@op=sync,path=txn.log,n=12";
    rotation_not_synced: "rotation-not-synced" is ["lost-ack", "resurrected", "prefix-hole"],
        by "--seed 1 --rounds 2 --clients 1 --model strict --set rotate_bytes=20000 \
            --fault power-loss@op=write,path=txn.log,n=30";
    rotation_overwrites: "rotation-overwrites" is ["lost-ack", "resurrected", "prefix-hole"],
        by "--seed 1 --rounds 1 --clients 1 --set rotate_bytes=4096 --set rotated_logs=3 \
            --fault kill@ack=40";
    logs_by_name: "logs-by-name" is ["lost-ack", "resurrected", "prefix-hole", "torn-transaction"],
        by "--seed 1 --rounds 1 --clients 1 --set rotate_bytes=4096 --fault kill@ack=60";
    clock_restarts: "clock-restarts" is ["unreadable:time-went-back"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=6";
    deletes_not_logged: "deletes-not-logged" is ["resurrected", "torn-transaction"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=60";
    damage_accepted: "damage-accepted" is ["wrong-value", "unreadable", "lost-ack", "torn-transaction", "phantom", "resurrected"],
        by "--seed 1 --rounds 4 --clients 1 --fault bit-flip@op=write,path=txn.log,n=40";
    cut_at_damage: "cut-at-damage" is ["lost-ack", "resurrected"],
        by "--seed 1 --rounds 2 --clients 1 --set rotate_bytes=10000000 \
            --fault bit-flip@op=write,path=txn.log,n=40";
    full_disk_acked: "full-disk-acked" is ["lost-ack", "resurrected", "torn-transaction"],
        by "--seed 1 --rounds 1 --clients 1 --fault disk-full@op=write,path=txn.log,n=4";
}

#[test(needs = "fuse")]
fn the_sound_fake_keeps_every_promise() {
    let sound = run("interstice --reference --seed 5 --rounds 1 --set rotate_bytes=4096");
    sound.must_have_no_finding();
    let shared = run("interstice --reference --seed 6 --rounds 2 --shared-keys \
                      --set rotate_bytes=4096 --fault kill --fault power-loss-subset");
    shared.must_have_no_finding();
}

/// Time goes back only in what was written after recovery: the disk of the first crash is sound.
#[test(needs = "fuse")]
fn what_shows_only_after_recovery_was_written_to_is_what_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let keep = directory.path().join("kept");
    let options = format!(
        "interstice --reference --set defect=clock-restarts --seed 1 --rounds 1 --clients 1 \
         --fault kill@ack=6 --keep {}",
        keep.display()
    );
    assert_eq!(run(&options).kinds(), ["unreadable"]);
    let looked = plugpull()
        .args(["inspect", "interstice"])
        .arg(keep.join("trial-1-kill/txn.log"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&looked.stdout);
    assert!(said.contains("note    time-went-back: "), "{said}");
}

#[test]
fn where_the_node_is_not_installed_the_run_says_so() {
    for (options, words) in [
        (
            "--set bin=/no/such/interstice",
            [
                "cargo install interstice-cli",
                "--set bin=PATH",
                "--reference",
            ],
        ),
        // A program that is there, and no module.
        (
            "--set bin=/bin/sh",
            ["clang --target=wasm32", "module.c", "--set module=PATH"],
        ),
    ] {
        let output = plugpull()
            .args(["run", "interstice", "-q"])
            .args(options.split_whitespace())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
