//! Each kind of finding about an event log: seeded once and found, and silent on the sound log.

mod common;

use common::{Book, all, promise, state, value};
use plugpull_workloads::{
    Event, EventLog, EventOp, FailureClass, FindingKind, Guarantee, LoggedKey, Observed, Outcome,
    Promise, Verdict,
};

/// t1 of client 0 puts a and b, t2 of client 1 puts c, t3 is rolled back, t4 deletes b and puts a.
fn book() -> Book {
    let mut book = Book::default();
    book.ok(1, 0, &["a", "b"]);
    book.ok(2, 1, &["c"]);
    book.aborted(3, 0, &["a"]);
    book.ok(4, 0, &["-b", "a"]);
    book
}

fn op(key: &str, value: Option<String>, version: u64) -> EventOp {
    EventOp {
        key: key.into(),
        value,
        version,
    }
}

fn event(name: &str, position: u64, ops: Vec<EventOp>) -> Event {
    Event {
        name: name.into(),
        position,
        ops,
    }
}

fn logged_key(key: &str, value: String, version: u64, position: u64) -> LoggedKey {
    LoggedKey {
        key: key.into(),
        value: Some(value),
        version,
        position,
    }
}

/// The log that a sound target tells of the book: a stream for each client.
fn log() -> EventLog {
    EventLog {
        streams: vec![
            vec![
                event(
                    "x1",
                    1,
                    vec![op("a", Some(value(1, 0)), 1), op("b", Some(value(1, 1)), 1)],
                ),
                event(
                    "x4",
                    5,
                    vec![op("b", None, 2), op("a", Some(value(4, 1)), 2)],
                ),
            ],
            vec![event("x2", 2, vec![op("c", Some(value(2, 0)), 1)])],
        ],
        state: vec![
            logged_key("a", value(4, 1), 2, 5),
            logged_key("c", value(2, 0), 1, 2),
        ],
        past: vec![
            logged_key("a", value(1, 0), 1, 1),
            LoggedKey {
                value: None,
                ..logged_key("b", String::new(), 2, 5)
            },
        ],
    }
}

fn promises() -> Vec<Promise> {
    let mut promises = all();
    promises.push(promise(Guarantee::EventLog));
    promises.push(promise(Guarantee::Versions));
    promises
}

/// The kinds of finding, and the first one's sentence.
fn judged(book: &Book, log: EventLog, promises: &[Promise]) -> (Vec<FindingKind>, String) {
    let observed = Observed {
        log: Some(Ok(log)),
        ..Observed::holding(state(&[("a", value(4, 1)), ("c", value(2, 0))]))
    };
    let judgement = book.judge_as(FailureClass::PowerLoss, &observed, promises);
    let broken = judgement.verdict == Verdict::Broken;
    assert_eq!(broken, !judgement.findings.is_empty(), "{judgement:#?}");
    let first = judgement.findings.first();
    (
        judgement.findings.iter().map(|f| f.kind).collect(),
        first.map(|f| f.sentence.clone()).unwrap_or_default(),
    )
}

fn found(change: impl Fn(&mut EventLog)) -> (Vec<FindingKind>, String) {
    let mut log = log();
    change(&mut log);
    judged(&book(), log, &promises())
}

#[test]
fn the_sound_log_is_silent() {
    assert_eq!(found(|_| {}), (vec![], String::new()));
}

#[test]
fn an_ack_without_an_event() {
    let (kinds, sentence) = found(|log| {
        log.streams[1].clear();
        log.state.pop();
    });
    assert_eq!(kinds, [FindingKind::MissingEvent]);
    assert!(
        sentence.starts_with("transaction t2 of client 1, acknowledged")
            && sentence.ends_with("is not in the event log"),
        "{sentence}"
    );
}

#[test]
fn an_event_of_an_aborted_transaction() {
    let (kinds, sentence) = found(|log| {
        let stray = event("x3", 4, vec![op("a", Some(value(3, 0)), 2)]);
        log.streams[0].insert(1, stray);
        log.streams[0][2].ops[1].version = 3;
        log.state[0].version = 3;
    });
    assert_eq!(kinds, [FindingKind::StrayEvent]);
    assert_eq!(
        sentence,
        "event x3 of the event log is transaction t3 of client 0, which was rolled back"
    );
}

#[test]
fn an_event_of_nobody() {
    let unknown = |log: &mut EventLog| {
        let stray = event("x9", 9, vec![op("d", Some(value(9, 0)), 1)]);
        log.streams[1].push(stray);
        log.state.push(logged_key("d", value(9, 0), 1, 9));
    };
    assert_eq!(found(unknown).0, [FindingKind::StrayEvent]);
    // Where the history began with a state, it is of the time before.
    let mut book = Book::default();
    book.txn(0, u32::MAX, &["z"], Outcome::Ok);
    book.ok(1, 0, &["a", "b"]);
    book.ok(2, 1, &["c"]);
    book.ok(4, 0, &["-b", "a"]);
    let mut log = log();
    unknown(&mut log);
    let only_log = [promise(Guarantee::EventLog)];
    assert_eq!(judged(&book, log, &only_log).0, []);
}

#[test]
fn half_an_event() {
    let (kinds, sentence) = found(|log| {
        log.streams[0][1].ops.remove(0);
    });
    // The delete that was not logged makes the state another one as well.
    assert_eq!(
        kinds,
        [FindingKind::TornTransaction, FindingKind::StateNotReplayed]
    );
    assert!(
        sentence.starts_with("event x4 of the event log has 1 of the 2 writes of transaction t4"),
        "{sentence}"
    );
}

#[test]
fn disorder() {
    // Two that were under way one after the other have changed places.
    let (kinds, sentence) = found(|log| {
        log.streams[1][0].position = 6;
        log.state[1].position = 6;
    });
    assert_eq!(kinds, [FindingKind::EventOrder]);
    assert!(
        sentence.starts_with("transaction t4 of client 0 was called for after the ack of"),
        "{sentence}"
    );
    // One position twice.
    let (kinds, sentence) = found(|log| {
        log.streams[1][0].position = 1;
        log.state[1].position = 1;
    });
    assert_eq!(kinds, [FindingKind::EventOrder]);
    assert_eq!(
        sentence,
        "events x1 and x2 of the event log both have position 1"
    );
    // A count that began again.
    let (kinds, sentence) = found(|log| {
        log.streams[0][1].position = 1;
        log.state[0].position = 1;
    });
    assert_eq!(kinds, [FindingKind::EventOrder]);
    assert!(
        sentence.starts_with("event x4 has position 1 and follows"),
        "{sentence}"
    );
}

#[test]
fn a_state_that_the_log_does_not_come_to() {
    for change in [
        (|log: &mut EventLog| drop(log.state.pop())) as fn(&mut EventLog),
        |log| log.state[0].value = Some(value(1, 0)),
        |log| log.state[0].position = 4,
        |log| log.state.push(logged_key("b", value(1, 1), 2, 1)),
        |log| log.state.push(logged_key("d", value(1, 1), 0, 1)),
    ] {
        let (kinds, sentence) = found(change);
        assert_eq!(kinds, [FindingKind::StateNotReplayed], "{sentence}");
    }
}

#[test]
fn versions_that_skip_or_read_otherwise() {
    for change in [
        (|log: &mut EventLog| {
            log.streams[0][1].ops[1].version = 3;
            log.state[0].version = 3;
        }) as fn(&mut EventLog),
        |log| log.state[0].version = 1,
        |log| log.past[0].value = Some(value(4, 1)),
        |log| log.past[0].position = 3,
        |log| log.past[1].value = Some(value(1, 1)),
    ] {
        let mut log = log();
        change(&mut log);
        let (kinds, sentence) = judged(&book(), log.clone(), &promises());
        assert_eq!(kinds, [FindingKind::VersionGap], "{sentence}");
        // Held to it only where it is promised.
        let mut others = promises();
        others.pop();
        assert_eq!(judged(&book(), log, &others).0, []);
    }
}

#[test]
fn a_log_that_cannot_be_read() {
    let observed = Observed {
        log: Some(Err("Corruption: block 7".into())),
        ..Observed::holding(state(&[("a", value(4, 1)), ("c", value(2, 0))]))
    };
    let judgement = book().judge_as(FailureClass::PowerLoss, &observed, &promises());
    assert_eq!(judgement.findings.len(), 1);
    let finding = &judgement.findings[0];
    assert_eq!(finding.kind, FindingKind::Unreadable);
    assert_eq!(finding.promise.guarantee, Guarantee::EventLog);
    assert_eq!(
        finding.sentence,
        "it cannot read its event log: Corruption: block 7"
    );
}

#[test]
fn events_that_are_lost_with_their_data_are_one_finding() {
    let mut log = log();
    log.streams[1].clear();
    log.state.pop();
    let observed = Observed {
        log: Some(Ok(log)),
        ..Observed::holding(state(&[("a", value(4, 1))]))
    };
    let judgement = book().judge_as(FailureClass::PowerLoss, &observed, &promises());
    let kinds: Vec<_> = judgement.findings.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [FindingKind::LostAck]);
}
