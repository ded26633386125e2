//! Findings about the service, damage that is refused, demands, and trials that say nothing.

mod common;

use std::time::Duration;

use common::{Book, all, durable, promise, state, value};
use plugpull_workloads::{
    Checker, Damage, Durability, FailureClass, FindingKind, Guarantee, Judgement, Observed,
    Outcome, Promise, Start, Verdict, judge, parse_demand,
};

fn book() -> Book {
    let mut book = Book::default();
    book.ok(1, 0, &["a", "b"]);
    book.ok(2, 0, &["b"]);
    book
}

fn sound() -> Observed {
    let state = state(&[("a", value(1, 0)), ("b", value(2, 0))]);
    Observed {
        recovery: Some(Duration::from_millis(20)),
        integrity: Some(Ok(())),
        second: Some(Ok(state.clone())),
        ..Observed::holding(state)
    }
}

fn refused() -> Observed {
    let start = Start::Refused {
        message: "log is\ndamaged".into(),
    };
    Observed {
        start,
        ..Observed::default()
    }
}

fn damaged(observed: Observed) -> Observed {
    let description = "sector 8 of wal.log cannot be read".into();
    Observed {
        damage: Damage::SingleCopy { description },
        ..observed
    }
}

fn power_loss(observed: &Observed, promises: &[Promise]) -> Judgement {
    book().judge_as(FailureClass::PowerLoss, observed, promises)
}

fn corruption(observed: &Observed, promises: &[Promise]) -> Judgement {
    book().judge_as(FailureClass::Corruption, observed, promises)
}

/// The one finding: its kind, the guarantee it breaks and its sentence.
fn only(judgement: &Judgement) -> (FindingKind, Guarantee, &str) {
    assert_eq!(judgement.verdict, Verdict::Broken, "{judgement:#?}");
    assert_eq!(judgement.findings.len(), 1, "{judgement:#?}");
    let finding = &judgement.findings[0];
    (finding.kind, finding.promise.guarantee, &finding.sentence)
}

#[test]
fn a_sound_restart_is_silent() {
    let mut promises = all();
    promises.push(promise(Guarantee::RecoversWithinMs(20)));
    let judgement = power_loss(&sound(), &promises);
    assert_eq!(
        (judgement.verdict, judgement.why.as_str()),
        (Verdict::Pass, "")
    );
}

#[test]
fn will_not_start() {
    let judgement = power_loss(&refused(), &all());
    let (kind, guarantee, sentence) = only(&judgement);
    assert_eq!(
        (kind, guarantee),
        (FindingKind::WillNotStart, Guarantee::Consistent)
    );
    assert_eq!(sentence, "it does not start again: log is damaged");
    // What is durable can be had again.
    let judgement = power_loss(&refused(), &[durable()]);
    assert_eq!(only(&judgement).0, FindingKind::WillNotStart);
}

#[test]
fn hung() {
    let waited = Duration::from_secs(10);
    let observed = Observed {
        start: Start::Hung { waited },
        ..Observed::default()
    };
    let judgement = power_loss(&observed, &all());
    let (kind, guarantee, sentence) = only(&judgement);
    assert_eq!(
        (kind, guarantee),
        (FindingKind::Hung, Guarantee::Consistent)
    );
    assert!(sentence.contains("10.00 s"), "{sentence}");
    let mut promises = all();
    promises.push(promise(Guarantee::RecoversWithinMs(500)));
    assert_eq!(
        only(&power_loss(&observed, &promises)).1,
        Guarantee::RecoversWithinMs(500)
    );
    // Real damage is no excuse for hanging.
    assert_eq!(
        corruption(&damaged(observed), &promises).verdict,
        Verdict::Broken
    );
}

#[test]
fn unreadable() {
    let error = Observed {
        state: Some(Err("page 3: bad checksum".into())),
        ..sound()
    };
    let error = Observed {
        second: None,
        ..error
    };
    let judgement = power_loss(&error, &all());
    let (kind, guarantee, sentence) = only(&judgement);
    assert_eq!(
        (kind, guarantee),
        (FindingKind::Unreadable, Guarantee::Consistent)
    );
    assert!(sentence.contains("page 3: bad checksum"), "{sentence}");
    let check = Observed {
        integrity: Some(Err("row 7 missing from index".into())),
        ..sound()
    };
    let judgement = power_loss(&check, &all());
    let (kind, _, sentence) = only(&judgement);
    assert_eq!(kind, FindingKind::Unreadable);
    assert!(sentence.contains("row 7 missing from index"), "{sentence}");
}

#[test]
fn too_slow() {
    let mut promises = all();
    promises.push(promise(Guarantee::RecoversWithinMs(19)));
    let judgement = power_loss(&sound(), &promises);
    let (kind, guarantee, sentence) = only(&judgement);
    assert_eq!(
        (kind, guarantee),
        (FindingKind::TooSlow, Guarantee::RecoversWithinMs(19))
    );
    assert!(
        sentence.contains("20 ms") && sentence.contains("19 ms"),
        "{sentence}"
    );
}

#[test]
fn a_recovery_bound_is_a_demand() {
    let with = |bound| {
        let bound = Some(Duration::from_millis(bound));
        let book = book();
        judge(
            &book.history,
            &sound(),
            &all(),
            FailureClass::PowerLoss,
            Some(book.now()),
            bound,
        )
    };
    assert_eq!(with(20).verdict, Verdict::Pass);
    let judgement = with(19);
    let (kind, _, sentence) = only(&judgement);
    assert_eq!(kind, FindingKind::TooSlow);
    let suffix = "; the target never promised this, --recovery-bound demanded it";
    assert!(sentence.ends_with(suffix), "{sentence}");
    assert!(judgement.findings[0].promise.demanded);
}

#[test]
fn not_repeatable() {
    let other = state(&[("a", value(1, 0)), ("b", value(1, 1))]);
    let less = state(&[("b", value(2, 0))]);
    for (second, words) in [
        (Ok(other), format!("key b was '{}'", value(2, 0))),
        (Ok(less), "is not there after the second".into()),
        (
            Err("log is damaged".into()),
            "not a second time: log is damaged".into(),
        ),
    ] {
        let observed = Observed {
            second: Some(second),
            ..sound()
        };
        let judgement = power_loss(&observed, &all());
        let (kind, guarantee, sentence) = only(&judgement);
        assert_eq!(
            (kind, guarantee),
            (FindingKind::NotRepeatable, Guarantee::Consistent)
        );
        assert!(sentence.contains(&words), "{sentence}");
    }
}

#[test]
fn stays_down() {
    let observed = Observed {
        stays_down: Some("disk is full".into()),
        ..sound()
    };
    let judgement = book().judge_as(FailureClass::DiskFull, &observed, &all());
    let (kind, guarantee, sentence) = only(&judgement);
    assert_eq!(
        (kind, guarantee),
        (FindingKind::StaysDown, Guarantee::Consistent)
    );
    assert!(sentence.contains("disk is full"), "{sentence}");
}

#[test]
fn refusing_real_damage_is_a_detection_and_inventing_damage_is_not() {
    let promises = [promise(Guarantee::Detects), promise(Guarantee::Consistent)];
    let unreadable = Observed {
        state: Some(Err("bad page".into())),
        second: None,
        ..sound()
    };
    let checked = Observed {
        integrity: Some(Err("bad page".into())),
        ..sound()
    };
    for observed in [refused(), unreadable, checked] {
        for class in [FailureClass::Corruption, FailureClass::IoError] {
            let judgement = book().judge_as(class, &damaged(observed.clone()), &promises);
            assert_eq!(judgement.verdict, Verdict::Detected, "{judgement:#?}");
            assert!(judgement.why.contains("damaged") || judgement.why.contains("bad page"));
        }
        assert_eq!(corruption(&observed, &promises).verdict, Verdict::Broken);
        // A power cut damages nothing that a sound store needs.
        assert_eq!(
            power_loss(&damaged(observed), &promises).verdict,
            Verdict::Broken
        );
    }
}

#[test]
fn damage_served_as_data_was_not_detected() {
    let promises = [promise(Guarantee::Detects)];
    let garbage = state(&[("a", "garbage".into()), ("b", value(2, 0))]);
    let judgement = corruption(&damaged(Observed::holding(garbage.clone())), &promises);
    assert_eq!(only(&judgement).0, FindingKind::WrongValue);
    assert_eq!(only(&judgement).1, Guarantee::Detects);
    let checked = Observed {
        integrity: Some(Err("bad".into())),
        ..Observed::holding(garbage)
    };
    assert_eq!(
        only(&corruption(&damaged(checked), &promises)).0,
        FindingKind::WrongValue
    );
}

#[test]
fn what_the_death_of_the_process_may_take_is_not_missed_after_damage() {
    let mut book = Book::default();
    book.ok(1, 0, &["a"]);
    book.barrier(0);
    book.ok(2, 0, &["b"]);
    let promises = [
        promise(Guarantee::Detects),
        Promise {
            classes: vec![FailureClass::ProcessCrash],
            ..promise(Guarantee::Durable(Durability::AtBarrier))
        },
    ];
    let judged = |promises: &[Promise], keys: &[(&str, String)]| {
        let observed = damaged(Observed::holding(state(keys)));
        book.judge_as(FailureClass::Corruption, &observed, promises)
    };
    let anchored = [("a", value(1, 0))];
    assert_eq!(judged(&promises, &anchored).verdict, Verdict::Pass);
    // What the barrier covered is missed, and so is all where nothing was said of a crash.
    assert_eq!(only(&judged(&promises, &[])).0, FindingKind::LostAck);
    assert_eq!(
        only(&judged(&promises[..1], &anchored)).1,
        Guarantee::Detects
    );
    // A demand excuses nothing.
    let demanded = [
        promises[0].clone(),
        Promise {
            demanded: true,
            ..promises[1].clone()
        },
    ];
    assert_eq!(only(&judged(&demanded, &anchored)).1, Guarantee::Detects);
}

#[test]
fn damaged_data_that_is_silently_gone_was_not_detected() {
    let gone = state(&[("b", value(2, 0))]);
    let detects = promise(Guarantee::Detects);
    let observed = damaged(Observed::holding(gone));
    let judgement = corruption(&observed, std::slice::from_ref(&detects));
    assert_eq!(only(&judgement).0, FindingKind::LostAck);
    assert_eq!(only(&judgement).1, Guarantee::Detects);
    // Gone and said so.
    let said = Observed {
        integrity: Some(Err("a is missing".into())),
        ..observed.clone()
    };
    assert_eq!(
        corruption(&said, std::slice::from_ref(&detects)).verdict,
        Verdict::Detected
    );
    // Another promise says that this much may be gone.
    let excuse = promise(Guarantee::Durable(Durability::AllButLast(2)));
    let judgement = corruption(&observed, &[detects.clone(), excuse]);
    assert_eq!(judgement.verdict, Verdict::Pass);
    // After a power cut with nothing damaged, `detects` says nothing about what is gone.
    let whole = Observed {
        damage: Damage::None,
        ..observed
    };
    assert_eq!(power_loss(&whole, &[detects]).verdict, Verdict::Pass);
}

#[test]
fn a_detection_excuses_what_it_names_and_nothing_else() {
    let detects = [promise(Guarantee::Detects)];
    let gone = |said: &str| {
        let observed = Observed {
            integrity: Some(Err(said.into())),
            ..damaged(Observed::holding(state(&[])))
        };
        corruption(&observed, &detects)
    };
    // t1 wrote a and b, t2 wrote b.
    assert_eq!(
        gone("a is missing, b is missing").verdict,
        Verdict::Detected
    );
    assert_eq!(gone("lost t1 and t2").verdict, Verdict::Detected);
    for (said, lost) in [
        ("a is missing", "2 acknowledged transactions are gone"),
        (
            "t2 is missing",
            "transaction t1 of client 0 was acknowledged",
        ),
        ("page 7 is bad", "2 acknowledged transactions are gone"),
        // A part of a word is no name.
        (
            "bad blob in tab t12",
            "2 acknowledged transactions are gone",
        ),
    ] {
        let judgement = gone(said);
        let (kind, guarantee, sentence) = only(&judgement);
        assert_eq!(
            (kind, guarantee),
            (FindingKind::LostAck, Guarantee::Detects)
        );
        assert!(sentence.contains(lost), "{said}: {sentence}");
        let but = format!("does not name this: its own integrity check failed: {said}");
        assert!(sentence.ends_with(&but), "{sentence}");
    }
    // Nothing is missing: what it said of the damage is the whole of it.
    let whole = Observed {
        integrity: Some(Err("page 7 is bad".into())),
        ..damaged(sound())
    };
    assert_eq!(corruption(&whole, &detects).verdict, Verdict::Detected);
}

#[test]
fn what_others_than_the_target_notice_is_no_detection() {
    let detects = [promise(Guarantee::Detects)];
    for checker in [Checker::Driver, Checker::User] {
        let noticed = |state: Observed| Observed {
            integrity: Some(Err("the anchors a and b are gone".into())),
            checker,
            ..damaged(state)
        };
        // Served whole, it is a pass, and what was noticed is reported.
        let judgement = corruption(&noticed(sound()), &detects);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:#?}");
        assert_eq!(judgement.observed.len(), 1);
        assert_eq!(judgement.observed[0].kind, FindingKind::Unreadable);
        let sentence = &judgement.observed[0].sentence;
        assert!(
            sentence.contains("of which the target itself says nothing"),
            "{sentence}"
        );
        // What is gone is gone without a word of the target.
        let lost = noticed(Observed::holding(state(&[])));
        assert_eq!(only(&corruption(&lost, &detects)).0, FindingKind::LostAck);
        // Where nothing was damaged it is a finding, and not called the target's own check.
        let judgement = power_loss(
            &Observed {
                damage: Damage::None,
                ..noticed(sound())
            },
            &all(),
        );
        let (kind, _, sentence) = only(&judgement);
        assert_eq!(kind, FindingKind::Unreadable);
        assert!(!sentence.contains("its own"), "{sentence}");
    }
}

#[test]
fn a_target_that_goes_on_answering_has_refused_nothing() {
    let detects = [promise(Guarantee::Detects)];
    let refused = damaged(refused());
    assert_eq!(corruption(&refused, &detects).verdict, Verdict::Detected);
    let answering = Observed {
        went_on: true,
        ..refused
    };
    let judgement = corruption(&answering, &detects);
    let (kind, guarantee, sentence) = only(&judgement);
    assert_eq!(
        (kind, guarantee),
        (FindingKind::Unreadable, Guarantee::Detects)
    );
    assert_eq!(
        sentence,
        "it answers as if it had recovered, and has not: log is damaged"
    );
}

#[test]
fn what_no_promise_forbids_is_observed_with_its_number() {
    let lost = Observed::holding(state(&[]));
    let judgement = power_loss(&lost, &[promise(Guarantee::Consistent)]);
    assert_eq!(judgement.verdict, Verdict::Pass);
    let [seen] = &judgement.observed[..] else {
        panic!("{judgement:#?}");
    };
    assert_eq!((seen.kind, seen.count), (FindingKind::LostAck, 2));
    assert!(power_loss(&sound(), &all()).observed.is_empty());
    assert!(power_loss(&lost, &[durable()]).observed.is_empty());
}

#[test]
fn where_nothing_is_promised_it_says_what_was_seen() {
    let other_class = Promise {
        classes: vec![FailureClass::ProcessCrash],
        ..durable()
    };
    let promises = [other_class];
    for (observed, seen) in [
        (
            sound(),
            "nothing is promised for a power loss; seen: nothing wrong",
        ),
        (
            refused(),
            "nothing is promised for a power loss; seen: refused: log is damaged",
        ),
        (
            Observed::holding(state(&[("a", "x".into()), ("b", value(2, 0))])),
            "nothing is promised for a power loss; seen: served 1 wrong value",
        ),
        (
            Observed::holding(state(&[])),
            "nothing is promised for a power loss; seen: 2 acknowledged transactions gone",
        ),
    ] {
        let judgement = power_loss(&observed, &promises);
        assert_eq!(judgement.verdict, Verdict::NoPromise);
        assert_eq!(judgement.why, seen);
    }
}

#[test]
fn a_refusal_that_no_promise_is_about_is_no_pass() {
    let judgement = power_loss(&refused(), &[promise(Guarantee::Detects)]);
    assert_eq!(judgement.verdict, Verdict::NoPromise);
    assert_eq!(
        judgement.why,
        "no promise for a power loss is about this: refused: log is damaged"
    );
}

#[test]
fn nothing_acknowledged_or_nothing_read_is_nothing_measured() {
    let mut book = Book::default();
    book.pending(1, 0, &["a"]);
    book.txn(2, 1, &["b"], Outcome::Fail("no".into()));
    book.aborted(3, 2, &["c"]);
    let judgement = book.judge(&[], &all());
    assert_eq!(judgement.verdict, Verdict::NotMeasured);
    assert_eq!(judgement.why, "nothing was acknowledged");
    let unread = Observed {
        state: None,
        second: None,
        ..sound()
    };
    let judgement = power_loss(&unread, &all());
    assert_eq!(judgement.verdict, Verdict::NotMeasured);
    assert_eq!(judgement.why, "nothing was read back");
}

#[test]
fn a_demand_is_judged_and_said_to_be_one() {
    let lost = Observed::holding(state(&[]));
    let own = promise(Guarantee::Consistent);
    assert_eq!(
        power_loss(&lost, std::slice::from_ref(&own)).verdict,
        Verdict::Pass
    );
    let demand = parse_demand("durable").unwrap();
    let judgement = power_loss(&lost, &[demand.clone(), own]);
    let (kind, _, sentence) = only(&judgement);
    assert_eq!(kind, FindingKind::LostAck);
    let suffix = "; the target never promised this, --promise durable demanded it";
    assert!(sentence.ends_with(suffix), "{sentence}");
    // Where the target broke its own word, that is what is said.
    let judgement = power_loss(&lost, &[demand, durable()]);
    let (_, _, sentence) = only(&judgement);
    assert!(!sentence.contains("never promised"), "{sentence}");
}

#[test]
fn a_judgement_is_data() {
    let judgement = power_loss(&Observed::holding(state(&[])), &all());
    let json = serde_json::to_string(&judgement).unwrap();
    assert_eq!(serde_json::from_str::<Judgement>(&json).unwrap(), judgement);
    for observed in [sound(), damaged(refused())] {
        let json = serde_json::to_string(&observed).unwrap();
        assert_eq!(serde_json::from_str::<Observed>(&json).unwrap(), observed);
    }
}
