//! Without FUSE what can still be injected is, and the rest is reported as not measured, never green.

use plugpull_faults::FAULTS;
use plugpull_faults::fault::{Fault, Need};
use plugpull_testing::test;

use crate::support::{list, machine, run, text};

/// Whether a fault can be injected here without the crash filesystem. The reference store keeps
/// snapshots; what it offers as an action is a fault by its own name.
fn is_left(fault: &Fault) -> bool {
    fault.needs.iter().all(|need| match need {
        Need::CrashFs => false,
        Need::LimitedStorage | Need::Snapshots | Need::Start | Need::Action => true,
        Need::MemoryCgroup => machine::has("cgroup-memory"),
    })
}

#[test(needs = "namespaces")]
fn the_rest_is_not_measured() {
    let run = run("reference --no-fuse --rounds 1 --seed 3");
    assert_eq!(run.ran.code, 3, "{}", run.ran.stdout);
    run.must_have_no_finding();
    let left: Vec<&str> = FAULTS
        .iter()
        .filter(|fault| is_left(fault))
        .map(|fault| match fault.name {
            "act" => "compact",
            name => name,
        })
        .collect();
    for fault in &left {
        let row = run.row(fault);
        assert_eq!(row["bit"], 1, "{row}");
        assert!(
            ["pass", "detected"].contains(&text(row, "verdict")),
            "{row}"
        );
    }
    let rows = list(&run.report, "faults");
    assert!(rows.len() > left.len());
    for row in rows
        .iter()
        .filter(|row| !left.contains(&text(row, "fault")))
    {
        assert_eq!(row["trials"], 0, "{row}");
        let expected = match text(row, "fault") {
            "oom" => "not-applicable",
            _ => "not-measured",
        };
        assert_eq!(text(row, "verdict"), expected, "{row}");
        let why = text(row, "why");
        assert!(why.contains("FUSE") || why.contains("cgroup"), "{row}");
    }
}

#[test]
fn what_needs_no_fuse_can_pass() {
    let run = run("reference --no-fuse --fault kill --rounds 2 --seed 1");
    assert_eq!(run.ran.code, 0, "{}", run.ran.stdout);
    assert_eq!(run.count("pass"), 2);
}

/// A fault that needs none, at a moment that does.
#[test]
fn a_moment_at_an_operation_needs_fuse() {
    let run = run("reference --no-fuse --fault kill@op=write,n=3 --rounds 1 --seed 1");
    assert_eq!(run.ran.code, 3, "{}", run.ran.stdout);
    assert!(text(run.row("kill"), "why").contains("--no-fuse"));
}

/// Of the moments that a fault chooses, those at operations are left out.
#[test(needs = "namespaces")]
fn a_fault_chooses_moments_that_can_be_had() {
    let run = run("reference --no-fuse --fault disk-full --rounds 4 --seed 1");
    run.must_have_no_finding();
    for trial in run.trials() {
        assert!(text(trial, "spec").starts_with("disk-full@ack="), "{trial}");
        assert_eq!(text(trial, "verdict"), "pass", "{trial}");
    }
}

#[test]
fn findings_are_found_without_fuse() {
    for (options, kind) in [
        (
            "--set defect=stale-lock-refused --fault kill",
            "will-not-start",
        ),
        // A snapshot made when there is space again would heal it.
        (
            "--set defect=enospc-acked --set snapshot_every=1000000 --fault disk-full",
            "lost-ack",
        ),
    ] {
        if options.contains("disk-full") && !machine::has("mount-namespace") {
            continue;
        }
        let run = run(&format!(
            "reference --no-fuse --rounds 1 --seed 1 {options}"
        ));
        assert_eq!(run.ran.code, 1, "{}", run.ran.stdout);
        assert!(
            run.kinds().iter().any(|found| found == kind),
            "{}",
            run.ran.stdout
        );
        let again = text(&run.findings()[0], "repeat");
        assert!(again.contains("--no-fuse"), "{again}");
    }
}

#[test]
fn bits_of_plain_files_are_flipped() {
    let options = "--no-fuse --fault bit-flip@ack=40 --rounds 8 --seed 3";
    let defective = run(&format!("reference --set defect=no-checksum {options}"));
    assert_eq!(defective.ran.code, 1, "{}", defective.ran.stdout);
    // A flipped key loses one write and makes up another; a flipped value is a wrong one.
    let kinds = defective.kinds();
    assert!(
        kinds
            .iter()
            .any(|kind| kind == "wrong-value" || kind == "phantom"),
        "{}",
        defective.ran.stdout
    );
    let sound = run(&format!("reference {options}"));
    sound.must_have_no_finding();
    assert_eq!(sound.ran.code, 0, "{}", sound.ran.stdout);
    assert!(sound.count("detected") > 0, "{}", sound.ran.stdout);
    for trial in sound.trials() {
        let what = text(trial, "what");
        assert!(what.starts_with("flipped byte "), "{what}");
        assert!(
            what.ends_with("whether they were read is not known"),
            "{what}"
        );
    }
}
