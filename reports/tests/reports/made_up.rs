//! Made-up trials and reports, for the tests and the example.

#![allow(dead_code, reason = "the example needs only a part")]

use std::collections::BTreeMap;
use std::time::Duration;

use plugpull_reports::{Plan, Report, ReportBuilder, ReportedFinding, TargetInfo, Trial};
use plugpull_workloads::{
    Durability, FailureClass, Finding, FindingKind, Guarantee, Promise, Stamp, Verdict,
};

/// The kinds that a report of many findings goes through.
pub(crate) const KINDS: [FindingKind; 18] = [
    FindingKind::LostAck,
    FindingKind::TooSlow,
    FindingKind::TornTransaction,
    FindingKind::Hung,
    FindingKind::WillNotStart,
    FindingKind::WrongValue,
    FindingKind::Resurrected,
    FindingKind::Phantom,
    FindingKind::PrefixHole,
    FindingKind::Inconsistent,
    FindingKind::Unreadable,
    FindingKind::NotRepeatable,
    FindingKind::StaysDown,
    FindingKind::MissingEvent,
    FindingKind::StrayEvent,
    FindingKind::EventOrder,
    FindingKind::StateNotReplayed,
    FindingKind::VersionGap,
];

/// A promise of durability.
pub(crate) fn promise() -> Promise {
    Promise {
        classes: vec![FailureClass::PowerLoss, FailureClass::ProcessCrash],
        guarantee: Guarantee::Durable(Durability::AtAck),
        words: "a transaction is durable once COMMIT returns".into(),
        source: "Made-up Store Manual, section 3.1".into(),
        demanded: false,
    }
}

/// A finding of this kind, not yet in a trial.
pub(crate) fn finding(kind: FindingKind) -> ReportedFinding {
    let output = (1..=9)
        .map(|n| format!("12:00:0{n} store[17]: replayed segment {n}\n"))
        .collect();
    ReportedFinding {
        finding: Finding {
            kind,
            sentence: "Transaction 17 of client 0 put k3 and was acknowledged after 41 storage \
                       operations; after the power loss k3 is gone: the write of 4096 bytes at \
                       8192 of store/wal.log was never followed by an fsync of that file."
                .into(),
            promise: promise(),
            fault: String::new(),
            txn: Some(17),
            key: Some("k3".into()),
            ack: Some(Stamp {
                seq: 41,
                nanos: 20_500_000,
            }),
            follow_up: None,
            parts: Vec::new(),
        },
        trial: 0,
        count: 1,
        repeat: "plugpull run sqlite --set synchronous=off --promise durable --seed 42 \
                 --fault power-loss@ack:17 --trial 7"
            .into(),
        output: vec!["listening\n".into(), output],
        evidence: None,
    }
}

/// A trial in which the fault had an effect and every promise held.
pub(crate) fn trial(number: u64, fault: &str) -> Trial {
    Trial {
        number,
        fault: fault.into(),
        spec: format!("{fault}@ack:{}", 10 + number),
        seed: 1000 + number,
        class: FailureClass::PowerLoss,
        hit: true,
        what: format!("{fault} at storage operation {}", 40 + number),
        acked: 10 + number,
        operations: 40 + number,
        verdict: Verdict::Pass,
        why: String::new(),
        observed: vec![],
        recovery_us: vec![3_200 + 37 * number],
        took_us: 80_000,
        findings: vec![],
    }
}

/// A trial that broke promises.
pub(crate) fn broken(number: u64, fault: &str, kinds: &[FindingKind]) -> Trial {
    let findings = kinds.iter().map(|kind| finding(*kind)).collect();
    Trial {
        verdict: Verdict::Broken,
        findings,
        ..trial(number, fault)
    }
}

/// A trial of another verdict, with its reason.
pub(crate) fn other(number: u64, fault: &str, verdict: Verdict, why: &str) -> Trial {
    let hit = !matches!(verdict, Verdict::NotMeasured | Verdict::NotApplicable);
    Trial {
        verdict,
        hit,
        why: why.into(),
        ..trial(number, fault)
    }
}

/// A plan of these faults.
pub(crate) fn plan(faults: &[&str]) -> Plan {
    Plan {
        plugpull: "0.1.0".into(),
        target: TargetInfo {
            name: "sqlite".into(),
            version: "SQLite 3.50.2, journal_mode=wal, synchronous=full".into(),
            settings: BTreeMap::from([
                ("synchronous".into(), "full".into()),
                ("page_size".into(), "4096".into()),
            ]),
            promises: vec![promise()],
        },
        seed: 42,
        faults: faults.iter().map(ToString::to_string).collect(),
        unavailable: vec![],
        not_applicable: vec![],
        allow_not_measured: false,
        assumed: Vec::new(),
        recovery_bound: Some(Duration::from_secs(2)),
    }
}

/// The report of these trials.
pub(crate) fn report_of(plan: Plan, trials: &[Trial]) -> Report {
    let mut builder = ReportBuilder::new(plan);
    for trial in trials {
        builder.trial(trial);
    }
    builder.finish(Duration::from_millis(12_345), false)
}

/// A run over many faults with this many findings.
pub(crate) fn report(findings: usize) -> Report {
    let faults = [
        "kill",
        "term",
        "stop",
        "power-loss",
        "power-loss-subset",
        "power-loss-torn",
        "disk-full",
        "eio-write",
        "eio-fsync-dropped",
        "delay",
        "bit-flip",
    ];
    let mut plan = plan(&faults);
    let mut trials = Vec::new();
    for round in 0..15 {
        for fault in faults {
            let number = trials.len() as u64 + 1;
            trials.push(match fault {
                "bit-flip" => other(
                    number,
                    fault,
                    Verdict::NoPromise,
                    "SQLite promises nothing for damage on the medium",
                ),
                "delay" if round % 3 == 1 => other(
                    number,
                    fault,
                    Verdict::NotMeasured,
                    "the workload ended before operation 4000",
                ),
                "delay" => Trial {
                    class: FailureClass::Stall,
                    recovery_us: vec![1_400_000 + number * 997],
                    ..trial(number, fault)
                },
                _ => trial(number, fault),
            });
        }
    }
    for index in 0..findings {
        let kind = KINDS[index % KINDS.len()];
        for (again, trial) in trials
            .iter_mut()
            .skip(3 + index % 2)
            .step_by(faults.len())
            .enumerate()
        {
            if again >= index && again < index + 3 {
                trial.findings.push(finding(kind));
                trial.verdict = Verdict::Broken;
            }
        }
    }
    if findings > 1 {
        let why =
            "the kernel gives this user no memory cgroup; plugpull doctor says how to get one";
        plan.unavailable.push(("memory".into(), why.into()));
        plan.unavailable.push(("oom".into(), why.into()));
    }
    report_of(plan, &trials)
}
