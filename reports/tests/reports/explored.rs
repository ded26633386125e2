//! A made-up exploration, with all that a page can show.

#![allow(dead_code, reason = "the example needs only a part")]

use plugpull_reports::{
    CallOutcome, ClientCall, Coverage, CrashedFile, Damage, Evidence, Fate, LeftOut, ModelCoverage,
    PointCoverage, RecoveryCoverage, Report, ReportedFinding, StepKind, TimelineStep, Trial,
    gravest_first,
};
use plugpull_testing::test;
use plugpull_workloads::{FailureClass, Stamp, Verdict};

use crate::made_up::{KINDS, broken, finding, plan, report_of, trial};

/// The trace's length.
pub(crate) const OPERATIONS: u64 = 900;

/// An exploration of a trace with this many findings.
pub(crate) fn explored(findings: usize) -> Report {
    let models = ["kill", "journaled", "strict"];
    let mut trials = Vec::new();
    for n in 0..OPERATIONS {
        let model = models[(n % 3) as usize];
        let number = n + 1;
        // Slower the longer the log, with a few stragglers.
        let noise = (n * 7919) % 977;
        let us = 2_100
            + n * 3
            + noise * 2
            + if n % 211 == 17 {
                40_000 + noise * 90
            } else {
                0
            };
        let mut one = Trial {
            spec: format!("{model}@{n}"),
            what: format!("{} changes missing", n % 5),
            operations: n,
            acked: n / 9,
            class: match model {
                "kill" => FailureClass::ProcessCrash,
                _ => FailureClass::PowerLoss,
            },
            recovery_us: vec![us],
            ..trial(number, model)
        };
        if findings > 0 && model != "kill" && n % 90 > 80 {
            one.verdict = Verdict::Broken;
            one.findings = broken(number, model, &[KINDS[0]]).findings;
        }
        trials.push(one);
    }
    let mut report = report_of(plan(&models), &trials);
    report.findings = (0..findings).map(found).collect();
    gravest_first(&mut report.findings);
    report.coverage = Some(coverage(findings > 0));
    report
}

fn coverage(failing: bool) -> Coverage {
    let at: Vec<PointCoverage> = (0..=OPERATIONS)
        .filter(|n| n % 4 != 3 && *n < 830)
        .map(|point| PointCoverage {
            point,
            tried: 3 + (point * 31) % 17,
            failed: u64::from(failing && point % 90 > 80) * 3,
        })
        .collect();
    let model = |name: &str, possible, at_least| ModelCoverage {
        model: name.into(),
        points: at.len() as u64,
        possible,
        at_least,
        made: 9_120,
        distinct: 3_412,
        judged: 9_120,
        failed: if failing && name != "kill" { 31 } else { 0 },
        not_measured: 0,
        before_first_ack: 0,
        could_not_measure: 0,
    };
    Coverage {
        operations: OPERATIONS,
        after_last_ack: None,
        judged_after_last_ack: None,
        acked: 100,
        points: OPERATIONS + 1,
        tried: 5_310,
        complete: false,
        first_ack: None,
        left_out: LeftOut::default(),
        decided: None,
        follow_ups: Vec::new(),
        demanded: None,
        recoveries: Some(RecoveryCoverage {
            seen: 210,
            crashed: 12,
            distinct: 96,
        }),
        models: vec![
            model("kill", Some(623), false),
            model("journaled", Some(1_204_332), true),
            model("strict", Some(u64::MAX), true),
        ],
        at,
    }
}

/// The finding with this number, with evidence.
pub(crate) fn found(index: usize) -> ReportedFinding {
    let mut one = finding(KINDS[index % KINDS.len()]);
    one.finding.fault = format!("journaled@{}", 441 + index);
    one.finding.ack = Some(Stamp {
        seq: 438,
        nanos: (80_000 + 438 * 19) * 1000,
    });
    one.count = 1 + (index as u64 * 37) % 101;
    one.repeat = format!("plugpull replay findings/finding-{}.json", index + 1);
    one.evidence = Some(Box::new(evidence(index)));
    one
}

fn evidence(index: usize) -> Evidence {
    let step = |seq: u64, kind, what: &str, path: &str, fate| TimelineStep {
        seq,
        micros: 80_000 + seq * 19,
        kind,
        what: what.into(),
        path: path.into(),
        fate,
        made_by: Option::None,
    };
    use Fate::{Lost, None, OnDisk, Torn};
    use StepKind::{Ack, Name, Other, Sync, Write};
    let mut timeline = vec![
        step(12, Name, "create", "store/log-1", OnDisk),
        step(13, Sync, "fsync(dir)", "store", None),
    ];
    for n in 0..7 {
        let seq = 410 + n * 4;
        let at = format!("write 4096 at {}", n * 4096);
        timeline.push(step(seq, Write, &at, "store/log-1", OnDisk));
        timeline.push(step(seq + 1, Sync, "fdatasync", "store/log-1", None));
        timeline.push(step(
            seq + 2,
            Ack,
            &format!("ack of transaction {n}"),
            "",
            None,
        ));
        timeline.push(step(seq + 2, Write, "write 64 at 0", "store/index", OnDisk));
        timeline.push(step(
            seq + 3,
            Other,
            "truncate to 4096",
            "store/index",
            OnDisk,
        ));
    }
    timeline.extend([
        step(438, Ack, "ack of transaction 17", "", None),
        step(438, Write, "write 4096 at 8192", "store/snapshot.tmp", Lost),
        step(439, Write, "write 8192 at 0", "store/log-2", Torn),
        step(
            440,
            Name,
            "rename",
            "store/snapshot.tmp -> store/snapshot",
            OnDisk,
        ),
    ]);
    Evidence {
        cause: vec![format!("write log-# {}", index % 13)],
        models: vec!["journaled".into(), "strict".into()],
        point: 441,
        artifact: Some(format!("findings/finding-{}.json", index + 1)),
        timeline,
        files: files(),
        files_left_out: 12,
        clients: calls(),
        ..Evidence::default()
    }
}

/// Files without damage, with damage of which some bytes are kept, and one whose name is lost.
fn files() -> Vec<CrashedFile> {
    use Fate::{Lost, Torn};
    let file = |path: &str, size, damage| CrashedFile {
        path: path.into(),
        size,
        missing: false,
        damage,
    };
    let hole = Damage::new;
    vec![
        file("store/index", 4_096, vec![]),
        file("store/log-1", 1_048_576, vec![]),
        file(
            "store/log-2",
            1_048_576,
            vec![
                Damage {
                    expected: "0011223344556677".repeat(2),
                    found: "00112233deadbeef".into(),
                    ..hole(0, 8_192, Torn)
                },
                hole(524_288, 65_536, Lost),
            ],
        ),
        file("store/snapshot", 0, vec![hole(0, 12_288, Lost)]),
        CrashedFile {
            missing: true,
            ..file("store/manifest", 0, vec![])
        },
    ]
}

/// Two clients: one whose ack is lost, one with a transaction in flight.
fn calls() -> Vec<ClientCall> {
    let call = |client, what: &str, began, ended: Option<u64>| ClientCall {
        client,
        what: what.into(),
        began,
        began_us: 80_000 + began * 19,
        ended,
        ended_us: ended.map(|ended| 80_000 + ended * 19),
        outcome: match ended {
            Some(_) => CallOutcome::Acknowledged,
            None => CallOutcome::InFlight,
        },
        lost: what == "t17",
    };
    vec![
        call(0, "t15", 408, Some(424)),
        call(1, "t16", 415, Some(434)),
        call(0, "t17", 426, Some(438)),
        call(1, "t18", 436, None),
    ]
}

/// A live run with two findings: one of a recovery that was killed in turn, on a disk that the fault
/// damaged, and one of a service of which nothing was recorded.
pub(crate) fn live() -> Report {
    let mut report = crate::made_up::report(2);
    let mut crashed = evidence(0);
    let at = crashed.timeline.len() - 3;
    let restart = TimelineStep {
        kind: StepKind::Crash,
        what: "power lost".into(),
        path: String::new(),
        fate: Fate::None,
        ..crashed.timeline[at].clone()
    };
    crashed.timeline.insert(at, restart);
    for step in &mut crashed.timeline[at + 1..] {
        step.what = format!("restart 1: {}", step.what);
    }
    crashed.cause = Vec::new();
    crashed.artifact = None;
    crashed.damaged = "flipped byte 77 bit 3 of store/log-1".into();
    report.findings[0].evidence = Some(Box::new(crashed));
    report.findings[1].evidence = Some(Box::new(Evidence {
        unrecorded: "The service ran on its own disk.".into(),
        ..Evidence::default()
    }));
    report
}

/// What takes less to happen comes first, whatever the kind; then what was in use before what was being made.
#[test]
fn findings_are_in_the_order_of_what_it_takes() {
    let with = |fault: &str, models: &[&str], cause: &str, kind: usize| {
        let mut one = found(kind);
        one.finding.fault = fault.into();
        let mut evidence = evidence(kind);
        evidence.models = models.iter().map(|model| (*model).to_owned()).collect();
        evidence.cause = vec![cause.to_owned()];
        one.evidence = Some(Box::new(evidence));
        one
    };
    let mut all = vec![
        with("strict@3", &["strict"], "name db", 0),
        with("strict@9", &["ext4", "strict"], "before the first ack", 0),
        with("ext4@9", &["ext4", "xfs"], "write db", 1),
        with("kill@5", &[], "after truncate db", 3),
    ];
    gravest_first(&mut all);
    let faults: Vec<&str> = all.iter().map(|one| one.finding.fault.as_str()).collect();
    assert_eq!(faults, ["kill@5", "ext4@9", "strict@9", "strict@3"]);
}
