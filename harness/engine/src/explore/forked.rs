//! What counts of what a forked target shows. It is quick, and not quite what a started one is: so it counts
//! where all is well, and is held beside a started one in all other states, and in one of a hundred.

use plugpull_workloads::{Call, History, Observed, Outcome, ReadBack, Start, Write};

use super::attempt::{Attempt, CrashDisk};
use super::follow_up::Shown;
use crate::outcome::HarnessFailed;

/// What counts of a state that was tried in a forked target, or (none) was not. `start` tries it in a started
/// one.
///
/// # Errors
/// plugpull failed; nothing is known of the target.
pub(crate) fn what_counts(
    disk: &CrashDisk,
    forked: Option<Attempt>,
    start: impl FnOnce() -> Result<Attempt, HarnessFailed>,
) -> Result<Attempt, HarnessFailed> {
    let Some(forked) = forked else {
        return start();
    };
    let follows_well = follows_well(&forked);
    if !forked.forked || is_well(&forked.observed) && follows_well && !started_too(disk) {
        return Ok(forked);
    }
    let started = start()?;
    let differs = differs(&forked.observed, &started.observed).or_else(|| {
        let follow_up = forked.follow_up.as_ref()?.follow_up;
        let how = match (follows_well, self::follows_well(&started)) {
            (true, false) => "forked it holds what it should, started it does not",
            (false, true) => "started it holds what it should, forked it does not",
            _ => return None,
        };
        Some(format!("{}: {how}", follow_up.describe()))
    });
    Ok(Attempt { differs, ..started })
}

/// Whether all was well behind the recovery, where something followed it.
fn follows_well(attempt: &Attempt) -> bool {
    let follow_up = attempt.follow_up.as_ref();
    follow_up.is_none_or(|follow_up| match &follow_up.shown {
        Shown::AsBefore | Shown::Kept => true,
        Shown::NotDone(_) | Shown::Other(_) => false,
        Shown::Life { calls, observed } => {
            is_well(observed) && holds_all(&attempt.observed, calls, observed)
        }
    })
}

/// Whether a second life left just what it began with and what was acknowledged in it, call by call. One
/// whose calls did not all succeed is a question for the oracle.
fn holds_all(first: &Observed, calls: &History, then: &Observed) -> bool {
    let (Some(Ok(began)), Some(Ok(left))) = (&first.state, &then.state) else {
        return false;
    };
    let mut expected = began.clone();
    for entry in &calls.entries {
        if !matches!(entry.done, Some((_, Outcome::Ok))) {
            return false;
        }
        let Call::Txn(txn) = &entry.call else {
            continue;
        };
        // What was rolled back leaves nothing.
        for op in txn.ops.iter().filter(|_| !txn.abort) {
            match &op.write {
                Write::Put(text) => expected.insert(op.key.clone(), text.text().into_owned()),
                Write::Delete => expected.remove(&op.key),
            };
        }
    }
    expected == *left
}

/// True for one state in a hundred. The content decides.
fn started_too(disk: &CrashDisk) -> bool {
    (disk.key / 8).is_multiple_of(100)
}

/// Whether a target came up, and says that all is well with it.
fn is_well(observed: &Observed) -> bool {
    let read = |read: &Option<ReadBack>| !matches!(read, Some(Err(_)));
    observed.start == Start::Started
        && matches!(observed.state, Some(Ok(_)))
        && read(&observed.second)
        && !matches!(observed.integrity, Some(Err(_)))
        && !matches!(observed.log, Some(Err(_)))
}

/// How what a forked target showed differs from what a started one showed, but for times; none where it
/// does not.
pub(super) fn differs(forked: &Observed, started: &Observed) -> Option<String> {
    differs_in(("forked", forked), ("started", started))
}

/// How what a target showed at one time differs from what it showed at another, but for times; none where it
/// does not.
pub(super) fn differs_in(
    (at_first, forked): (&str, &Observed),
    (then, started): (&str, &Observed),
) -> Option<String> {
    let comparable = |observed: &Observed| Observed {
        start: match &observed.start {
            Start::Refused { message } => Start::Refused {
                message: without_code(message).to_owned(),
            },
            start => start.clone(),
        },
        recovery: None,
        ..observed.clone()
    };
    if comparable(forked) == comparable(started) {
        return None;
    }
    let what = |observed: &Observed| match (&observed.start, &observed.state, &observed.integrity) {
        (Start::Refused { message }, ..) => format!("refuses to start ({message})"),
        (Start::Hung { .. }, ..) => "hangs".to_owned(),
        (Start::Started, Some(Err(why)), _) => format!("cannot be read ({why})"),
        (Start::Started, _, Some(Err(why))) => format!("fails its check ({why})"),
        (Start::Started, Some(Ok(state)), _) => format!("holds {} keys", state.len()),
        (Start::Started, None, _) => "was not read".to_owned(),
    };
    let (forked_is, started_is) = (what(forked), what(started));
    let more = match forked_is == started_is {
        true => ", but others",
        false => "",
    };
    Some(format!(
        "{at_first} it {forked_is}, {then} it {started_is}{more}"
    ))
}

/// What a target that has ended said, without its exit code: that of a forked one only its parent knows.
fn without_code(message: &str) -> &str {
    let ended = ["exit code ", "ended by "]
        .iter()
        .any(|how| message.starts_with(how));
    match message.split_once(": ") {
        Some((_, words)) if ended => words,
        None if ended => "",
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plugpull_workloads::{Entry, Op, Stamp, Txn};

    use super::*;

    /// A put of this value under this key, and whether it was acknowledged.
    fn put(key: &str, value: &str, acked: bool) -> Entry {
        let outcome = match acked {
            true => Outcome::Ok,
            false => Outcome::Info("no answer".into()),
        };
        let op = Op {
            key: key.into(),
            write: Write::Put(value.to_owned().into()),
        };
        Entry {
            client: 0,
            call: Call::Txn(Arc::new(Txn {
                id: 1,
                client: 0,
                ops: vec![op],
                abort: false,
            })),
            invoked: Stamp::default(),
            done: Some((Stamp::default(), outcome)),
        }
    }

    #[test]
    fn a_forked_second_life_is_well_only_with_all_that_was_acknowledged() {
        let holding = |keys: &[(&str, &str)]| {
            let state = keys
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()));
            Observed::holding(state.collect())
        };
        let first = holding(&[("a", "1")]);
        let calls = |acked| History {
            entries: vec![put("b", "2", true), put("a", "3", acked)],
        };
        assert!(holds_all(
            &first,
            &calls(true),
            &holding(&[("a", "3"), ("b", "2")])
        ));
        // The last write is gone; one is that never was; an outcome that nobody knows.
        assert!(!holds_all(
            &first,
            &calls(true),
            &holding(&[("a", "1"), ("b", "2")])
        ));
        let more = holding(&[("a", "3"), ("b", "2"), ("c", "4")]);
        assert!(!holds_all(&first, &calls(true), &more));
        assert!(!holds_all(
            &first,
            &calls(false),
            &holding(&[("a", "3"), ("b", "2")])
        ));
    }

    #[test]
    fn a_refusal_is_the_same_whatever_the_exit_code() {
        let refused = |message: &str| Observed {
            start: Start::Refused {
                message: message.into(),
            },
            ..Observed::default()
        };
        let started = refused("exit code 1: log-1: damaged");
        assert_eq!(
            differs(&refused("exit code -1: log-1: damaged"), &started),
            None
        );
        assert_eq!(
            differs(&refused("ended by SIGSEGV"), &refused("exit code 1")),
            None
        );
        let other = differs(&refused("exit code -1: log-2: damaged"), &started);
        assert!(other.is_some_and(|how| how.contains("log-2")));
        assert!(differs(&refused("no such table"), &refused("no such file")).is_some());
        assert!(differs(&Observed::default(), &started).is_some());
    }
}
