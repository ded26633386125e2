//! The card of a finding: its lines for several kinds of findings, and the same lines in every form.

use plugpull_reports::{
    Card, CodePlace, Diagnosis, Evidence, Fate, Look, MadeBy, Property, Report, ReportedFinding,
    StepKind, TimelineStep, Tries, VerifiedFix, annotations, finding_name, html, junit, load,
    markdown, render,
};
use plugpull_testing::test;
use plugpull_workloads::{FindingKind, FindingPart, PartKind};

use crate::made_up::{broken, finding, plan, report_of};

fn with(kind: FindingKind, fault: &str, parts: &[(PartKind, &str)]) -> ReportedFinding {
    let mut one = finding(kind);
    one.finding.fault = fault.into();
    one.finding.parts = parts
        .iter()
        .map(|one| FindingPart::new(one.0, one.1))
        .collect();
    one.trial = 4;
    one
}

/// Of an exploration, with a verified fix and stacks.
pub(crate) fn explored() -> ReportedFinding {
    let mut one = with(
        FindingKind::LostAck,
        "ext4@139",
        &[
            (
                PartKind::Subject,
                "t14 of client 1, acknowledged at 55 ms (before operation 139)",
            ),
            (
                PartKind::ReadBack,
                "key c1.k90 is not there, where t14 wrote 't14.0.RmDedz…' (46 bytes)",
            ),
            (
                PartKind::InAll,
                "63 acknowledged transactions are gone; this is the first",
            ),
            (
                PartKind::Lost,
                "unlink kv.db-journal (operation 135), directory never synced after it",
            ),
            (PartKind::Lost, "2 more"),
            (PartKind::Crash, "before operation 139 (write kv.db-wal)"),
            (PartKind::Note, "this state shows it in 2 of 3 tries"),
        ],
    );
    one.finding.promise.demanded = true;
    one.count = 2034;
    one.repeat = "plugpull replay findings/lost-ack-1.json".into();
    let frame = CodePlace {
        function: "pager_end_transaction".into(),
        file: Some("sqlite3.c".into()),
        line: Some(61234),
        ..CodePlace::default()
    };
    one.evidence = Some(Box::new(Evidence {
        cause: vec!["removal of kv.db-journal".into()],
        models: ["journaled", "btrfs", "strict", "ext4", "xfs"]
            .map(String::from)
            .to_vec(),
        point: 139,
        timeline: vec![TimelineStep {
            seq: 135,
            micros: 54_000,
            kind: StepKind::Name,
            what: "unlink".into(),
            path: "kv.db-journal".into(),
            fate: Fate::Lost,
            made_by: Some(Box::new(MadeBy {
                call: "unlink".into(),
                how: String::new(),
                frames: vec![frame],
                note: String::new(),
            })),
        }],
        diagnosis: Some(Diagnosis {
            property: Property::Durability,
            cause: "unlink kv.db-journal must be on disk before the ack".into(),
            fix: Some(VerifiedFix {
                change: "fsync of the directory after unlink kv.db-journal (operation 135)".into(),
                added: 40,
                removed: 0,
                missing: Vec::new(),
                acked: 40,
                states: 3096,
                points: 7,
                of_points: 7,
                models: vec!["ext4".into(), "strict".into()],
                not_enough_under: Vec::new(),
                behind: String::new(),
                cause_only: false,
                of_recovery: false,
            }),
            no_fix: String::new(),
            refuted: Vec::new(),
            same_fix: vec!["t9 is torn".into()],
        }),
        ..Evidence::default()
    }));
    one
}

/// Of a plain kill, whose fix is not known.
pub(crate) fn killed() -> ReportedFinding {
    let mut one = with(
        FindingKind::TornTransaction,
        "kill@17",
        &[
            (
                PartKind::Subject,
                "ID 1-45, acknowledged at 707 ms (before operation 184)",
            ),
            (PartKind::ReadBack, "part of it is gone"),
            (PartKind::Check, "name without content"),
            (PartKind::Lost, "nothing: the process merely died"),
            (PartKind::Crash, "before operation 17 (write db.json)"),
        ],
    );
    one.evidence = Some(Box::new(Evidence {
        cause: vec!["after write db.json".into()],
        models: vec!["xfs".into()],
        diagnosis: Some(Diagnosis {
            property: Property::Atomicity,
            cause: "write db.json must be on disk whole or not at all".into(),
            fix: None,
            no_fix: "no sync helps".into(),
            refuted: vec!["fsync of db.json".into()],
            same_fix: Vec::new(),
        }),
        ..Evidence::default()
    }));
    one
}

/// Of a recovery that only a model without a filesystem allows.
fn modelled() -> ReportedFinding {
    let mut one = with(
        FindingKind::WillNotStart,
        "strict@3",
        &[
            (PartKind::Subject, "it does not start again"),
            (PartKind::ReadBack, "no manifest"),
            (
                PartKind::Before,
                "after recovery it was stopped in order and started again",
            ),
            (
                PartKind::Lost,
                "create MANIFEST (operation 2), directory never synced after it",
            ),
        ],
    );
    one.evidence = Some(Box::new(Evidence {
        models: vec!["strict".into()],
        ..Evidence::default()
    }));
    one
}

/// Of a live run.
fn live() -> ReportedFinding {
    let mut one = with(
        FindingKind::LostAck,
        "power-loss@n=11",
        &[
            (
                PartKind::Subject,
                "t3 of client 0, acknowledged at 9 ms (before operation 11)",
            ),
            (
                PartKind::ReadBack,
                "key c0.k1 is not there, where t3 wrote 'x'",
            ),
            (
                PartKind::NotSynced,
                "the rename db.json.tmp -> db.json (operation 11) was not made durable by any fsync after it",
            ),
        ],
    );
    one.count = 2;
    one.evidence = Some(Box::new(Evidence {
        tries: Some(Tries {
            repeated: 2,
            tries: 3,
            replayed: 3,
            replays: 3,
        }),
        ..Evidence::default()
    }));
    one
}

/// As version 0.1 wrote it: one sentence.
fn former() -> ReportedFinding {
    let mut one = finding(FindingKind::LostAck);
    one.finding.fault = "kill@ack:3".into();
    one
}

fn all() -> Vec<ReportedFinding> {
    vec![explored(), killed(), modelled(), live(), former()]
}

fn report() -> Report {
    let mut report = report_of(
        plan(&["kill"]),
        &[broken(1, "kill", &[FindingKind::LostAck])],
    );
    report.findings = all();
    report
}

#[test]
fn the_cards_of_several_findings() {
    let cards: Vec<String> = all().iter().map(|one| Card::of(one).text()).collect();
    insta::assert_snapshot!("cards", cards.join("\n\n"));
}

/// A line that one form left out would be lost to who reads that form.
#[test]
fn every_form_shows_every_line() {
    let report = report();
    let wide = Look {
        width: 1000,
        colour: false,
    };
    let (terminal, page) = (render(&report, wide), html(&report).unwrap());
    let (junit, markdown) = (junit(&report).unwrap(), markdown(&report).unwrap());
    let junit = junit
        .replace("&apos;", "'")
        .replace("&gt;", ">")
        .replace("&quot;", "\"");
    let markdown = markdown
        .replace("&gt;", ">")
        .replace("&#64;", "@")
        .replace('\\', "");
    let page = page.replace("&gt;", ">").replace("&quot;", "\"");
    for reported in &report.findings {
        let card = Card::of(reported);
        let lines = card.lines.iter().map(|line| line.text.clone());
        for text in lines.chain([card.subject.clone(), card.replay.clone()]) {
            for (form, whole) in [
                ("terminal", &terminal),
                ("Markdown", &markdown),
                ("page", &page),
            ] {
                assert!(whole.contains(&text), "the {form} lacks {text:?}: {whole}");
            }
        }
    }
    // A suite is a fault of the plan.
    for line in Card::of(&killed()).lines {
        assert!(junit.contains(&line.text), "JUnit lacks {line:?}: {junit}");
    }
    let notes = annotations(&report).unwrap();
    let first = notes.lines().next().unwrap();
    for part in [
        "t14 of client 1",
        "lost on disk: unlink",
        "fix, verified: fsync",
    ] {
        assert!(first.contains(part), "{first}");
    }
    assert!(!first.contains("can happen on"), "{first}");
}

/// No line says what another one says.
#[test]
fn nothing_is_said_twice() {
    for reported in all() {
        let card = Card::of(&reported);
        for (at, line) in card.lines.iter().enumerate() {
            for other in &card.lines[at + 1..] {
                let (one, other) = (&line.text, &other.text);
                assert!(
                    !one.contains(other) && !other.contains(one),
                    "{one:?} and {other:?}"
                );
            }
        }
    }
}

/// A finding has an address of its kind and number, and the former one.
#[test]
fn a_finding_has_two_addresses() {
    let page = html(&report()).unwrap();
    for id in [
        "lost-ack-1",
        "torn-transaction-2",
        "will-not-start-3",
        "finding-1",
        "finding-5",
    ] {
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    assert_eq!(
        finding_name(FindingKind::NotRepeatable, 7),
        "not-repeatable-7"
    );
}

/// Only what a browser may be sent to is a link, and nothing of it is markup.
#[test]
fn sources_are_links_where_they_are_addresses() {
    let mut report = report();
    report.findings.truncate(1);
    let promise = &mut report.findings[0].finding.promise;
    promise.demanded = false;
    promise.source =
        "see https://www.sqlite.org/wal.html, javascript:alert(1) and http://a.b/\"><script>"
            .into();
    let page = html(&report).unwrap();
    let link = "<a href=\"https://www.sqlite.org/wal.html\" rel=\"noreferrer\">";
    assert!(page.contains(link), "{page}");
    assert!(!page.contains("href=\"javascript") && !page.contains("href=\"http://a.b"));
    assert!(!page.contains("\"><script>"));
    let text = markdown(&report).unwrap();
    let link = "[https://www.sqlite.org/wal.html](https://www.sqlite.org/wal.html), ";
    assert!(text.contains(link), "{text}");
    assert!(!text.contains("](javascript") && !text.contains("](http://a.b"));
}

/// A report that was written before there were parts reads as it did.
#[test]
fn a_finding_without_parts_has_its_sentence() {
    let card = Card::of(&former());
    assert_eq!(card.headline(), "LOST ACK");
    assert!(card.lines[0].text.starts_with("Transaction 17 of client 0"));
    let stored = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/report-v1.json");
    let report = load(&stored).unwrap();
    assert!(!report.findings.is_empty());
    for one in &report.findings {
        let sentence = one.finding.sentence.trim_end_matches('.');
        assert_eq!(Card::of(one).lines[0].text, sentence);
    }
}

/// Bytes that were lost stand beside those that are there, where they are kept.
#[test]
fn lost_bytes_can_be_opened() {
    let page = html(&crate::explored::explored(1)).unwrap();
    assert_eq!(page.matches("<details class=\"bytes\">").count(), 1);
    assert!(
        page.contains("Bytes: the first 16 of 8,192 bytes at 0 torn"),
        "{page}"
    );
    assert!(page.contains("<code>00 11 22 33 44 55 66 77</code>"));
    assert!(page.contains("33 <mark>de</mark> <mark>ad</mark>"));
    assert!(page.contains("<mark>--</mark>"));
}

/// A rename is an arrow from one name's lane to the other's.
#[test]
fn a_rename_is_an_arrow() {
    let page = html(&crate::explored::explored(1)).unwrap();
    assert_eq!(page.matches("<g class=\"rename kept\">").count(), 1);
}

/// Each client has a lane with its transactions; what was in flight and what was lost look different.
#[test]
fn clients_have_lanes() {
    let page = html(&crate::explored::explored(1)).unwrap();
    for (class, count) in [("acked", 2), ("lost", 1), ("open", 1)] {
        let mark = format!("<g class=\"call {class}\">");
        assert_eq!(page.matches(&mark).count(), count, "{class}");
    }
    assert!(page.contains(">client 0<") && page.contains(">client 1<"));
    let tip = "t17 of client 0: called before #426, acknowledged before #438; its data is gone";
    assert!(page.contains(tip));
    assert!(page.contains("What the clients did (4 transactions)"));
}
