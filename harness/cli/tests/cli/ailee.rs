//! Every mutant of the fake of the persistence of AILEE's node is found, and the sound
//! fake has no finding under the very same options.
use plugpull_driver_ailee as ailee;
use plugpull_testing::test;

use crate::support::{run, text};

crate::support::mutants::defects! {
    "ailee --reference", ailee::MUTANTS;
    ack_before_anchor: "ack-before-anchor" is ["lost-ack", "resurrected"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@op=write,path=*l2_snapshots.dat,n=20";
    snapshot_not_synced: "snapshot-not-synced" is ["will-not-start:is damaged or gone"],
        by "--seed 1 --rounds 2 --clients 1 --model strict --fault power-loss@ack=300";
    torn_tail_kept: "torn-tail-kept" is ["unreadable", "lost-ack", "resurrected"],
        by "--seed 1 --rounds 4 --clients 1 \
            --fault power-loss-torn@op=sync,path=*l2_snapshots.dat,n=6";
    snapshot_before_loaded: "snapshot-before-loaded" is ["unreadable:loaded-differs", "lost-ack", "resurrected", "torn-transaction"],
        by "--seed 1 --rounds 3 --clients 1 --fault kill@ack=300";
    file_rewritten: "file-rewritten" is ["unreadable:anchor-without-snapshot", "lost-ack", "resurrected"],
        by "--seed 1 --rounds 2 --clients 1 --fault power-loss@op=sync,path=*l2_snapshots.dat,n=6";
    anchor_not_tracked: "anchor-not-tracked" is ["unreadable:anchor-not-tracked"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill-op@op=sync,path=*l2_snapshots.dat,n=6";
    reorg_in_parts: "reorg-in-parts" is ["unreadable:reorg-"],
        by "--seed 1 --rounds 6 --clients 1 --fault kill-op@op=sync,path=*reorg.redb,n=16";
    reorg_missed: "reorg-missed" is ["unreadable:reorg-missed"],
        by "--seed 1 --rounds 2 --clients 1 --fault reorg@ack=60";
    counter_restarts: "counter-restarts" is ["unreadable:reorg-"],
        by "--seed 1 --rounds 2 --clients 1 --fault kill@ack=300";
    damage_accepted: "damage-accepted" is ["wrong-value", "phantom", "unreadable", "lost-ack", "torn-transaction", "resurrected"],
        by "--seed 1 --rounds 4 --clients 1 \
            --fault bit-flip@op=write,path=*l2_snapshots.dat,n=8";
    // Where an anchor finds space again before the trial ends, nothing is lost.
    full_disk_acked: "full-disk-acked" is ["lost-ack", "resurrected"],
        by "--seed 1 --rounds 4 --clients 1 --fault disk-full@op=write,path=*l2_snapshots.dat,n=4";
}

#[test]
fn a_damaged_snapshot_is_refused_and_one_that_is_accepted_is_found() {
    crate::support::mutants::found(
        "ailee --reference",
        "damage-accepted",
        &[
            "wrong-value",
            "phantom",
            "unreadable",
            "lost-ack",
            "torn-transaction",
            "resurrected",
        ],
        "--seed 3 --rounds 8 --clients 1 --fault corrupt-snapshot@ack=300",
    );
}

/// Killed while it takes in what happened while it was down, it takes it in at the next start.
#[test(needs = "fuse")]
fn a_reorg_is_whole_whenever_the_node_is_killed_in_it() {
    for n in [2, 4, 8] {
        let run = run(&format!(
            "ailee --reference --seed 1 --rounds 1 --clients 1 \
             --fault reorg@op=sync,path=*reorg.redb,n={n},recovery"
        ));
        run.must_have_no_finding();
        assert_eq!(run.count("pass"), 1, "{}", run.ran.stdout);
    }
}

#[test(needs = "fuse")]
fn a_reorg_is_as_deep_as_it_is_asked_for() {
    let run = run("ailee --reference --seed 1 --rounds 1 --fault reorg@ack=40,depth=11");
    run.must_have_no_finding();
    let trial = &run.trials()[0];
    assert_eq!(text(trial, "verdict"), "pass", "{}", run.ran.stdout);
    assert!(text(trial, "what").contains("depth=11"), "{trial}");
}

#[test(needs = "fuse")]
fn the_sound_fake_keeps_every_promise() {
    let sound = run("ailee --reference --seed 5 --rounds 1");
    sound.must_have_no_finding();
}
