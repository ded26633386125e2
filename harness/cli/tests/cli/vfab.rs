//! Every mutant of the fake of vfab is found, and the sound fake has no finding
//! under the very same options.
use plugpull_driver_vfab as vfab;
use plugpull_testing::test;

use crate::support::{plugpull, run};

crate::support::mutants::defects! {
    "vfab --reference", vfab::MUTANTS;
    document_in_place: "document-in-place" is ["will-not-start:job.json is damaged"],
        by "--seed 1 --rounds 2 --clients 1 --model strict \
            --fault power-loss@op=write,path=*journal.jsonl,n=40";
    document_first: "document-first" is ["will-not-start:job.json is damaged"],
        by "--seed 1 --rounds 1 --clients 1 --fault power-loss@op=write,path=*journal.jsonl,n=33";
    document_left_behind: "document-left-behind" is ["unreadable:document-behind"],
        by "--seed 1 --rounds 4 --clients 1 --fault kill-op@op=write,path=*journal.jsonl,n=15";
    journal_not_synced: "journal-not-synced" is ["will-not-start:job.json is damaged"],
        by "--seed 1 --rounds 1 --clients 1 --fault power-loss@op=write,path=*journal.jsonl,n=40";
    torn_tail_kept: "torn-tail-kept" is ["unreadable:journal-"],
        by "--seed 1 --rounds 3 --clients 1 --fault power-loss-torn@op=sync,path=*journal.jsonl,n=40";
    source_not_synced: "source-not-synced" is ["will-not-start:src.svg"],
        by "--seed 1 --rounds 2 --clients 1 --model strict \
            --fault power-loss@op=write,path=*journal.jsonl,n=40";
    added_in_place: "added-in-place" is ["will-not-start:job.json"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill-op@op=write,path=*src.svg,n=4";
    states_skipped: "states-skipped" is ["unreadable:journal-transition"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=3";
    completed_reopened: "completed-reopened" is ["unreadable:journal-after-end"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill@ack=3";
    recovery_aborts: "recovery-aborts" is ["unreadable:given-up"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill-op@op=write,path=*strokes.log,n=6";
    drawn_again: "drawn-again" is ["unreadable:drawn-twice"],
        by "--seed 1 --rounds 1 --clients 1 --fault kill-op@op=write,path=*strokes.log,n=6";
    rest_not_drawn: "rest-not-drawn" is ["unreadable:not-drawn"],
        by "--seed 1 --rounds 3 --clients 1 --fault kill-op@op=write,path=*strokes.log,n=6 \
            --fault kill-op@op=write,path=*strokes.log,n=7";
    statistics_not_mended: "statistics-not-mended" is ["unreadable:statistics-"],
        by "--seed 1 --rounds 1 --clients 1 --fault power-loss@ack=6";
    full_disk_acked: "full-disk-acked" is ["lost-ack", "resurrected"],
        by "--seed 1 --rounds 1 --clients 1 --fault disk-full@op=write,path=*src.svg,n=4";
}

#[test(needs = "fuse")]
fn the_sound_fake_keeps_every_promise() {
    let sound = run("vfab --reference --seed 5 --rounds 1");
    sound.must_have_no_finding();
    let shared = run(
        "vfab --reference --seed 6 --rounds 2 --shared-keys --fault kill \
                      --fault power-loss-subset",
    );
    shared.must_have_no_finding();
}

#[test]
fn where_vfab_is_not_installed_the_run_says_how_to() {
    let output = plugpull()
        .args(["run", "vfab", "-q"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for word in ["vfab is not on PATH", "pip install vfab", "--reference"] {
        assert!(said.contains(word), "{said}");
    }
}
