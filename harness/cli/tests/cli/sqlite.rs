//! SQLite is held to what it documents, and to more on demand.

use plugpull_testing::test;

use crate::support::{Reported, list, run, text};

/// Whether one of the findings says all of this in its sentence.
fn says(run: &Reported, words: &[&str]) -> bool {
    let mut findings = run
        .trials()
        .iter()
        .flat_map(|trial| list(trial, "findings"));
    findings.any(|finding| {
        words
            .iter()
            .all(|word| text(finding, "sentence").contains(word))
    })
}

/// The README's second example, with one trial of each fault in place of a time.
#[test(needs = "fuse")]
fn without_syncs_acknowledged_transactions_are_lost() {
    let run = run("sqlite --set synchronous=off --promise durable --rounds 1 --seed 1");
    assert_eq!(run.ran.code, 1, "{}", run.ran.stdout);
    let words = [
        "was acknowledged",
        "is gone",
        "when it was acknowledged, kv.db-wal had",
        "never an fsync or fdatasync",
        "the target never promised this",
    ];
    assert!(says(&run, &words), "{}", run.ran.stdout);
    for finding in run.findings() {
        assert_eq!(finding["promise"]["demanded"], true, "{finding}");
        let fault = text(finding, "fault");
        assert!(
            fault.starts_with("power-loss") || fault.starts_with("eio-sync"),
            "{finding}"
        );
    }
}

/// Nothing is demanded, and nothing is promised for power loss with `synchronous=off`.
#[test(needs = "fuse")]
fn without_a_promise_there_is_no_finding() {
    let run = run("sqlite --set synchronous=off --fault power-loss --rounds 2 --seed 1");
    run.must_have_no_finding();
    assert_eq!(run.count("no-promise"), 2, "{}", run.ran.stdout);
}

/// Every fault once, and power losses some more, under both persistence models.
fn sound(settings: &str) {
    for model in ["journaled", "strict"] {
        let all = run(&format!(
            "sqlite {settings} --model {model} --rounds 1 --seed 2"
        ));
        all.must_have_no_finding();
        let measured = all.count("pass") + all.count("no-promise");
        assert!(
            measured >= 10,
            "too little was measured: {}",
            all.ran.stdout
        );
        let lost = run(&format!(
            "sqlite {settings} --model {model} --rounds 4 --seed 3 --fault power-loss \
             --fault power-loss-subset --fault power-loss-recovery@time=2ms,recovery"
        ));
        lost.must_have_no_finding();
        // A power loss waits until there is something to lose.
        assert_eq!(lost.count("pass"), 12, "{}", lost.ran.stdout);
        assert_eq!(lost.ran.code, 0, "{}", lost.ran.stdout);
    }
}

#[test(needs = "fuse")]
fn wal_with_full_keeps_its_promises() {
    sound("--set journal_mode=wal --set synchronous=full");
}

#[test(needs = "fuse")]
fn delete_with_extra_keeps_its_promises() {
    sound("--set journal_mode=delete --set synchronous=extra");
}

/// The next transaction's journal is about to be made: that of the last is unlinked, and its directory
/// not yet synced.
const AFTER_THE_COMMIT: &str = "--clients 1 --fault power-loss@op=create,n=5 --rounds 2 --seed 1";

#[test(needs = "fuse")]
fn delete_with_full_may_roll_back_the_last_commit() {
    for model in ["journaled", "strict"] {
        let options =
            format!("sqlite --set journal_mode=delete --model {model} {AFTER_THE_COMMIT}");
        let own = run(&options);
        own.must_have_no_finding();
        assert_eq!(own.ran.code, 0, "{}", own.ran.stdout);
        // Allowed, but not unseen.
        for trial in own.trials() {
            let why = text(trial, "why");
            assert!(why.contains("no promise forbids what was seen"), "{trial}");
        }

        let more = run(&format!("{options} --promise durable"));
        assert_eq!(more.ran.code, 1, "{}", more.ran.stdout);
        assert_eq!(
            more.kinds(),
            ["lost-ack", "lost-ack"],
            "{}",
            more.ran.stdout
        );
        assert!(
            says(&more, &["the target never promised this"]),
            "{}",
            more.ran.stdout
        );

        let extra = run(&format!(
            "{options} --promise durable --set synchronous=extra"
        ));
        extra.must_have_no_finding();
        assert_eq!(extra.ran.code, 0, "{}", extra.ran.stdout);
    }
}

/// More than 2,000 trials of every fault; takes a quarter of an hour.
#[test(needs = "fuse", ignore = "takes a quarter of an hour")]
fn two_thousand_trials_without_a_finding() {
    let mut trials = 0;
    for (target, seed) in [
        ("sqlite --set journal_mode=wal --set synchronous=full", 11),
        (
            "sqlite --set journal_mode=delete --set synchronous=extra",
            12,
        ),
        ("reference", 13),
    ] {
        for model in ["journaled", "strict"] {
            let run = run(&format!(
                "{target} --model {model} --rounds 18 --seed {seed}"
            ));
            run.must_have_no_finding();
            trials += run.trials().len();
        }
    }
    assert!(trials >= 2000, "{trials}");
}
