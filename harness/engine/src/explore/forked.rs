//! What counts of what a forked target shows. It is quick, and not quite what a started one is: so it counts
//! where all is well, and is held beside a started one in all other states, and in one of a hundred.

use plugpull_workloads::{Observed, ReadBack, Start};

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
    let as_before = forked.follow_up.as_ref();
    let as_before = as_before.is_none_or(|one| one.shown == Shown::AsBefore);
    if !forked.forked || is_well(&forked.observed) && as_before && !started_too(disk) {
        return Ok(forked);
    }
    let started = start()?;
    let differs = differs(&forked.observed, &started.observed);
    Ok(Attempt { differs, ..started })
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
    use super::*;

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
