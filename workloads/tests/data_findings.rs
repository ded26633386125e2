//! Each kind of finding about the data: seeded once and found, and silent on the sound state.

mod common;

use common::{Book, all, at, durable, promise, state, value};
use plugpull_workloads::{
    Durability, FailureClass, Finding, FindingKind, Guarantee, ID_REST, Observed, Outcome,
    PartKind, Promise, Verdict, judge,
};

/// The one finding of this state.
fn only(book: &Book, state: &[(&str, String)], promises: &[Promise]) -> Finding {
    let judgement = book.judge(state, promises);
    assert_eq!(judgement.verdict, Verdict::Broken, "{judgement:#?}");
    assert_eq!(judgement.findings.len(), 1, "{judgement:#?}");
    judgement.findings[0].clone()
}

fn silent(book: &Book, state: &[(&str, String)], promises: &[Promise]) {
    let judgement = book.judge(state, promises);
    assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:#?}");
    assert_eq!(judgement.why, "");
}

/// t1 puts a and b, t2 puts a, t3 deletes b and puts c.
fn book() -> Book {
    let mut book = Book::default();
    book.ok(1, 0, &["a", "b"]);
    book.ok(2, 0, &["a"]);
    book.ok(3, 0, &["-b", "c"]);
    book
}

#[test]
fn the_sound_state_is_silent() {
    silent(&book(), &[("a", value(2, 0)), ("c", value(3, 1))], &all());
}

#[test]
fn lost_ack() {
    let finding = only(&book(), &[("a", value(1, 0)), ("c", value(3, 1))], &all());
    assert_eq!(finding.kind, FindingKind::LostAck);
    assert_eq!(finding.promise, durable());
    assert_eq!((finding.txn, finding.key.as_deref()), (Some(2), Some("a")));
    assert_eq!(finding.ack, Some(at(40)));
    assert_eq!(
        finding.sentence,
        format!(
            "transaction t2 of client 0 was acknowledged 40 ms into the trial (trace 40) and is \
             gone: key a still holds the value of t1, '{}', where t2 wrote '{}'",
            value(1, 0),
            value(2, 0)
        )
    );
}

#[test]
fn a_missing_key_is_a_lost_ack_too() {
    let finding = only(&book(), &[("c", value(3, 1))], &all());
    assert_eq!(finding.kind, FindingKind::LostAck);
    assert_eq!(finding.key.as_deref(), Some("a"));
    assert!(
        finding.sentence.contains("key a is not there"),
        "{}",
        finding.sentence
    );
}

#[test]
fn many_lost_acks_are_one_finding_that_names_the_first() {
    let mut book = Book::default();
    for id in 1..=20 {
        book.ok(id, 0, &[&format!("k{id}"), "head"]);
    }
    let state: Vec<(String, String)> = (1..=3).map(|id| (format!("k{id}"), value(id, 0))).collect();
    let mut state: Vec<(&str, String)> =
        state.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    state.push(("head", value(3, 1)));
    let finding = only(&book, &state, &all());
    assert_eq!((finding.kind, finding.txn), (FindingKind::LostAck, Some(4)));
    let start = "17 acknowledged transactions are gone; the first: transaction t4 of client 0 ";
    assert!(finding.sentence.starts_with(start), "{}", finding.sentence);
}

#[test]
fn an_empty_store_has_lost_everything() {
    let finding = only(&book(), &[], &all());
    assert_eq!((finding.kind, finding.txn), (FindingKind::LostAck, Some(1)));
    assert!(
        finding.sentence.starts_with("3 acknowledged transactions"),
        "{}",
        finding.sentence
    );
}

#[test]
fn torn_transaction() {
    // t2 shows by a, and its b is not there.
    let mut book = Book::default();
    book.ok(1, 0, &["a", "b"]);
    book.pending(2, 0, &["a", "b"]);
    silent(&book, &[("a", value(1, 0)), ("b", value(1, 1))], &all());
    silent(&book, &[("a", value(2, 0)), ("b", value(2, 1))], &all());
    let torn = [("a", value(2, 0)), ("b", value(1, 1))];
    let finding = only(&book, &torn, &all());
    assert_eq!(finding.kind, FindingKind::TornTransaction);
    assert_eq!(finding.promise.guarantee, Guarantee::Atomic);
    assert_eq!((finding.txn, finding.key.as_deref()), (Some(2), Some("b")));
    let begins = "transaction t2 of client 0, whose outcome is unknown, is torn: key a shows it, \
                but key b still holds the value of t1";
    assert!(finding.sentence.starts_with(begins), "{}", finding.sentence);
    // Without the promise of atomicity the two writes are two.
    silent_but_for_atomicity(&book, &torn);
}

fn silent_but_for_atomicity(book: &Book, state: &[(&str, String)]) {
    let promises = [durable(), promise(Guarantee::Consistent)];
    let judgement = book.judge(state, &promises);
    assert_eq!(judgement.verdict, Verdict::Pass);
    assert_eq!(
        judgement.why,
        "no promise forbids what was seen: 1 torn transaction"
    );
}

#[test]
fn a_torn_acknowledged_transaction_is_torn_and_not_lost() {
    let mut book = Book::default();
    book.ok(1, 0, &["a", "b"]);
    let finding = only(&book, &[("b", value(1, 1))], &all());
    assert_eq!(finding.kind, FindingKind::TornTransaction);
    let finding = only(&book, &[("b", value(1, 1))], &[durable()]);
    assert_eq!(finding.kind, FindingKind::LostAck);
    assert!(
        finding.sentence.contains("part of it is gone"),
        "{}",
        finding.sentence
    );
}

#[test]
fn resurrected() {
    let back = [("a", value(2, 0)), ("b", value(1, 1)), ("c", value(3, 1))];
    let finding = only(&book(), &back, &all());
    assert_eq!(finding.kind, FindingKind::Resurrected);
    assert_eq!(finding.promise, durable());
    assert_eq!((finding.txn, finding.key.as_deref()), (Some(3), Some("b")));
    assert!(
        finding.sentence.contains("though t3 deleted it"),
        "{}",
        finding.sentence
    );
    // Nothing durable is promised: the delete is a part of t3, and c shows t3.
    let finding = only(&book(), &back, &[promise(Guarantee::Atomic)]);
    assert_eq!(finding.kind, FindingKind::TornTransaction);
}

#[test]
fn phantom_of_an_aborted_transaction() {
    let mut book = book();
    book.aborted(4, 0, &["a", "d"]);
    let sound = [("a", value(2, 0)), ("c", value(3, 1))];
    silent(&book, &sound, &all());
    let finding = only(&book, &[("a", value(4, 0)), ("c", value(3, 1))], &all());
    assert_eq!((finding.kind, finding.txn), (FindingKind::Phantom, Some(4)));
    assert_eq!(finding.promise.guarantee, Guarantee::Consistent);
    assert!(
        finding.sentence.contains("rolled back"),
        "{}",
        finding.sentence
    );
    // The whole of it is one cause.
    let both = [("a", value(4, 0)), ("c", value(3, 1)), ("d", value(4, 1))];
    let finding = only(&book, &both, &all());
    assert!(
        finding.sentence.starts_with("2 keys hold values"),
        "{}",
        finding.sentence
    );
}

#[test]
fn a_delete_of_an_aborted_transaction_is_no_excuse() {
    let mut book = book();
    book.aborted(4, 0, &["-a", "d"]);
    // Nothing else shows t4: a is lost. Shown by d, t4 is the one cause.
    assert_eq!(
        only(&book, &[("c", value(3, 1))], &all()).kind,
        FindingKind::LostAck
    );
    let shown = [("c", value(3, 1)), ("d", value(4, 1))];
    assert_eq!(only(&book, &shown, &all()).kind, FindingKind::Phantom);
}

#[test]
fn phantom_of_a_failed_transaction() {
    let mut book = book();
    book.txn(4, 0, &["d"], Outcome::Fail("disk full".into()));
    let state = [("a", value(2, 0)), ("c", value(3, 1)), ("d", value(4, 0))];
    let finding = only(&book, &state, &all());
    assert_eq!((finding.kind, finding.txn), (FindingKind::Phantom, Some(4)));
    assert!(
        finding.sentence.contains("which was refused"),
        "{}",
        finding.sentence
    );
}

#[test]
fn phantom_key() {
    let state = [
        ("a", value(2, 0)),
        ("c", value(3, 1)),
        ("zz", "boo".to_owned()),
    ];
    let finding = only(&book(), &state, &all());
    assert_eq!(
        (finding.kind, finding.key.as_deref()),
        (FindingKind::Phantom, Some("zz"))
    );
    assert!(
        finding.sentence.contains("nobody ever wrote that key"),
        "{}",
        finding.sentence
    );
}

#[test]
fn wrong_value() {
    let good = value(2, 0);
    let flipped = good.replacen(&good[12..13], "~", 1);
    for (found, words) in [
        (flipped.as_str(), "differs from"),
        (&good[..9], "only the first 9 of the"),
        (&format!("{good}x"), "goes on after"),
        ("garbage", "which no write of the trial carries"),
        ("", "which no write of the trial carries"),
        (
            &value(1, 1),
            "which transaction t1 of client 0 wrote to key b",
        ),
    ] {
        let finding = only(
            &book(),
            &[("a", found.to_owned()), ("c", value(3, 1))],
            &all(),
        );
        assert_eq!(
            (finding.kind, finding.key.as_deref()),
            (FindingKind::WrongValue, Some("a"))
        );
        assert_eq!(finding.promise.guarantee, Guarantee::Consistent);
        assert!(finding.sentence.contains(words), "{}", finding.sentence);
        assert!(finding.sentence.contains("key a") && finding.txn.is_some());
        // With durability alone, what was acknowledged is not there any more.
        let finding = only(
            &book(),
            &[("a", found.into()), ("c", value(3, 1))],
            &[durable()],
        );
        assert_eq!(finding.kind, FindingKind::LostAck);
    }
}

#[test]
fn prefix_hole() {
    let promises = [
        promise(Guarantee::Prefix),
        promise(Guarantee::Consistent),
        promise(Guarantee::Atomic),
    ];
    let mut book = Book::default();
    book.ok(1, 0, &["a"]);
    book.ok(2, 1, &["b"]);
    book.ok(3, 2, &["c"]);
    for prefix in 0..=3 {
        let state = [("a", value(1, 0)), ("b", value(2, 0)), ("c", value(3, 0))];
        let judgement = book.judge(&state[..prefix], &promises);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:#?}");
    }
    let hole = [("a", value(1, 0)), ("c", value(3, 0))];
    let finding = only(&book, &hole, &promises);
    assert_eq!(
        (finding.kind, finding.txn),
        (FindingKind::PrefixHole, Some(2))
    );
    assert_eq!(finding.promise.guarantee, Guarantee::Prefix);
    let begins =
        "transaction t3 of client 2 is there, but transaction t2 of client 1, acknowledged";
    assert!(finding.sentence.starts_with(begins), "{}", finding.sentence);
    assert!(
        finding.sentence.contains("key b is not there"),
        "{}",
        finding.sentence
    );
    // Durable or not, one cause is one finding.
    assert_eq!(only(&book, &hole, &all()).kind, FindingKind::LostAck);
}

#[test]
fn concurrent_transactions_are_no_hole() {
    let mut book = Book::default();
    book.together(&[(1, 0, &["a"]), (2, 1, &["b"])]);
    let promises = [promise(Guarantee::Prefix)];
    for state in [[("a", value(1, 0))], [("b", value(2, 0))]] {
        assert_eq!(book.judge(&state, &promises).verdict, Verdict::Pass);
    }
}

#[test]
fn inconsistent() {
    let mut book = Book::default();
    book.together(&[(1, 0, &["a", "b"]), (2, 1, &["a", "b"])]);
    silent(&book, &[("a", value(1, 0)), ("b", value(1, 1))], &all());
    silent(&book, &[("a", value(2, 0)), ("b", value(2, 1))], &all());
    let mixed = [("a", value(1, 0)), ("b", value(2, 1))];
    let finding = only(&book, &mixed, &all());
    assert_eq!(finding.kind, FindingKind::Inconsistent);
    assert_eq!(finding.promise.guarantee, Guarantee::Consistent);
    for words in ["no order of the transactions", "t1", "t2", "key a", "key b"] {
        assert!(finding.sentence.contains(words), "{}", finding.sentence);
    }
    let finding = only(&book, &mixed, &[promise(Guarantee::Atomic)]);
    assert_eq!(finding.promise.guarantee, Guarantee::Atomic);
    assert_eq!(book.judge(&mixed, &[durable()]).verdict, Verdict::Pass);
}

#[test]
fn a_missing_key_needs_a_delete_that_can_have_come_last() {
    // The only delete of a that can have come after t1 is that of t2, whose b does not show
    // though nothing can have replaced it.
    let mut book = Book::default();
    book.together(&[(1, 0, &["a"]), (3, 2, &["b"])]);
    book.pending(2, 1, &["-a", "b"]);
    silent(&book, &[("b", value(2, 1))], &all());
    let finding = only(&book, &[("b", value(3, 0))], &all());
    assert_eq!((finding.kind, finding.txn), (FindingKind::LostAck, Some(1)));
    // Here t2 may have come before t3 put b, so all is well.
    let mut book = Book::default();
    book.ok(1, 0, &["a"]);
    book.pending(2, 1, &["-a", "b"]);
    book.ok(3, 0, &["b"]);
    silent(&book, &[("b", value(3, 0))], &all());
}

#[test]
fn several_deletes_are_tried() {
    // Either delete of a may have been the last write to it, but t2 would have put b last.
    let mut book = Book::default();
    book.together(&[
        (1, 0, &["a", "b"]),
        (2, 1, &["-a", "b"]),
        (3, 2, &["-a", "c"]),
    ]);
    silent(&book, &[("b", value(1, 1)), ("c", value(3, 1))], &all());
    silent(&book, &[("b", value(2, 1)), ("c", value(3, 1))], &all());
}

#[test]
fn losses_and_wrong_values_are_distinguished() {
    let state = [("c", "garbage".to_owned())];
    let judgement = book().judge(&state, &all());
    let kinds: Vec<FindingKind> = judgement.findings.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [FindingKind::WrongValue, FindingKind::LostAck]);
}

#[test]
fn open_transactions_may_be_there_or_not_at_any_later_time() {
    let mut book = Book::default();
    book.txn(1, 0, &["a"], Outcome::Info("timeout".into()));
    book.ok(2, 0, &["a"]);
    silent(&book, &[("a", value(2, 0))], &all());
    silent(&book, &[("a", value(1, 0))], &all());
}

#[test]
fn equal_stamps_decide_only_within_a_client() {
    let mut book = Book::default();
    book.ok(1, 0, &["a"]);
    book.ok(2, 0, &["a"]);
    let old = [("a", value(1, 0))];
    let tie = |book: &mut Book| book.history.entries[1].invoked = at(20);
    tie(&mut book);
    assert_eq!(only(&book, &old, &all()).kind, FindingKind::LostAck);
    let mut book = Book::default();
    book.ok(1, 0, &["a"]);
    book.ok(2, 1, &["a"]);
    tie(&mut book);
    silent(&book, &old, &all());
}

#[test]
fn durability_reaches_as_far_as_it_is_promised() {
    let mut book = Book::default();
    book.ok(1, 0, &["a"]); // acknowledged at 20 ms
    book.barrier(0); // called at 30 ms
    book.ok(2, 0, &["b"]); // 60 ms
    book.ok(3, 0, &["c"]); // 80 ms, crash at 81 ms
    let state = [("a", value(1, 0)), ("b", value(2, 0)), ("c", value(3, 0))];
    for (durability, safe) in [
        (Durability::AtAck, 3),
        (Durability::AllButLast(0), 3),
        (Durability::AllButLast(1), 2),
        (Durability::AllButLast(9), 0),
        (Durability::AtBarrier, 1),
        (Durability::WithinMs(0), 3),
        (Durability::WithinMs(2), 2),
        (Durability::WithinMs(21), 2),
        (Durability::WithinMs(22), 1),
        (Durability::WithinMs(62), 0),
    ] {
        let promises = [
            promise(Guarantee::Durable(durability)),
            promise(Guarantee::Consistent),
        ];
        let judgement = book.judge(&state[..safe], &promises);
        assert_eq!(
            judgement.verdict,
            Verdict::Pass,
            "{durability:?}: {judgement:#?}"
        );
        if safe > 0 {
            let finding = only(&book, &state[..safe - 1], &promises);
            assert_eq!(finding.kind, FindingKind::LostAck, "{durability:?}");
            assert_eq!(finding.txn, Some(safe as u64));
        }
    }
}

/// Two clients commit at the same time, and the ack of the first commit arrives last: nobody
/// outside knows which of the two was the last one, so either may be gone.
#[test]
fn the_last_commit_need_not_be_the_last_ack() {
    let mut book = Book::default();
    book.ok(1, 0, &["a"]);
    book.together(&[(2, 0, &["b"]), (3, 1, &["c"])]);
    let promises = [promise(Guarantee::Durable(Durability::AllButLast(1)))];
    let one = ("a", value(1, 0));
    for state in [
        vec![one.clone(), ("b", value(2, 0))],
        vec![one.clone(), ("c", value(3, 0))],
    ] {
        assert_eq!(book.judge(&state, &promises).verdict, Verdict::Pass);
    }
    // The one before them was certainly followed.
    let state = [("b", value(2, 0)), ("c", value(3, 0))];
    assert_eq!(only(&book, &state, &promises).txn, Some(1));
}

#[test]
fn without_a_crash_the_end_of_the_history_counts() {
    let book = book();
    let observed = Observed::holding(state(&[]));
    let promises = [promise(Guarantee::Durable(Durability::AllButLast(1)))];
    let judgement = judge(
        &book.history,
        &observed,
        &promises,
        FailureClass::Stall,
        None,
        None,
    );
    assert!(
        judgement.findings[0]
            .sentence
            .starts_with("2 acknowledged transactions are gone")
    );
}

/// What a card needs is there part by part, and no part is only in the sentence.
#[test]
fn a_lost_ack_has_its_parts() {
    let finding = only(&book(), &[("a", value(1, 0)), ("c", value(3, 1))], &all());
    let parts: Vec<(PartKind, &str)> = (finding.parts.iter())
        .map(|part| (part.kind, part.text.as_str()))
        .collect();
    let subject = "t2 of client 0, acknowledged at 40 ms (before operation 40)";
    assert_eq!(parts[0], (PartKind::Subject, subject));
    assert_eq!(parts[1].0, PartKind::ReadBack);
    assert!(
        parts[1].1.starts_with("key a still holds the value of t1"),
        "{parts:?}"
    );
    assert_eq!(parts.len(), 2);
    // Each of them is in the sentence as well.
    assert!(
        finding.sentence.contains(parts[1].1),
        "{}",
        finding.sentence
    );
}

/// Of a workload of the user's own only the IDs are known: no key, no value, no transaction is made up.
#[test]
fn an_id_is_named_as_the_user_named_it() {
    let mut book = Book::default();
    for (txn, id) in [(1, "1-44"), (2, "1-45"), (3, "1-46")] {
        book.ok(txn, 0, &[id, &format!("{id}{ID_REST}")]);
    }
    let of = |txn, id: &str| {
        let rest = (format!("{id}{ID_REST}"), value(txn, 1));
        [(id.to_owned(), value(txn, 0)), rest]
    };
    let judged = |state: &[(String, String)]| {
        let observed = Observed {
            ids: true,
            said: [("1-45".to_owned(), "no such file".to_owned())].into(),
            ..Observed::holding(state.iter().cloned().collect())
        };
        let judgement = book.judge_as(FailureClass::PowerLoss, &observed, &all());
        assert_eq!(judgement.findings.len(), 1, "{judgement:#?}");
        judgement.findings[0].clone()
    };
    let whole = [of(1, "1-44"), of(3, "1-46")].concat();
    let lost = judged(&whole);
    assert_eq!(lost.kind, FindingKind::LostAck);
    assert_eq!(
        lost.sentence,
        "ID 1-45 was acknowledged 40 ms into the trial (trace 40) and is gone; its check says: \
         no such file"
    );
    let torn = [&whole[..], &of(2, "1-45")[..1]].concat();
    let torn = judged(&torn);
    assert_eq!(torn.kind, FindingKind::TornTransaction);
    for finding in [lost, torn] {
        let parts = finding.parts.iter().map(|part| part.text.as_str());
        let said = parts.chain([finding.sentence.as_str()]);
        for text in said {
            let made_up = ["'t", "t2", "key ", "client", ID_REST];
            assert!(!made_up.iter().any(|one| text.contains(one)), "{text}");
        }
    }
}
