//! How many crash states were followed up after their first recovery was read back, in words.

use crate::coverage::{Coverage, FollowUpCoverage};
use crate::labels::{count_grouped, list, number};

/// What was done after the first recovery, in how many of the states, as a sentence; none where it was not
/// asked for.
pub(crate) fn follow_up_words(coverage: &Coverage) -> Option<String> {
    let all = &coverage.follow_ups;
    if all.is_empty() {
        return None;
    }
    let done = all.iter().filter(|one| !one.is_not_applicable());
    let done: Vec<String> = done
        .map(|one| format!("{} in {}", one.follow_up.label(), number(one.states)))
        .collect();
    let mut text = match done.is_empty() {
        true => "Follow-ups after recovery: none".to_owned(),
        false => format!(
            "Follow-ups after recovery: {} of {}",
            list(&done.iter().map(String::as_str).collect::<Vec<_>>()),
            count_grouped(coverage.tried, "state")
        ),
    };
    let sum = |part: fn(&FollowUpCoverage) -> u64| all.iter().map(part).sum::<u64>();
    let (not_done, no_time) = (sum(|one| one.not_done), sum(|one| one.no_time));
    if no_time > 0 {
        text += &format!("; {} left out for lack of time", number(no_time));
    }
    for one in all.iter().filter(|one| one.is_not_applicable()) {
        let why = one.why_not.as_deref().unwrap_or_default();
        text += &format!("; {} not applicable: {why}", one.follow_up.label());
    }
    if not_done > 0 {
        let why = all.iter().filter(|one| one.not_done > 0);
        let why = why.filter_map(|one| one.why_not.as_deref()).next();
        text += &format!("; {} could not be done", number(not_done));
        text += &why.map_or(String::new(), |why| format!(" ({why})"));
    }
    text.push('.');
    Some(text)
}

#[cfg(test)]
mod tests {
    use plugpull_workloads::FollowUp;

    use super::*;

    fn one(follow_up: FollowUp, states: u64) -> FollowUpCoverage {
        FollowUpCoverage {
            follow_up,
            states,
            failed: 0,
            not_done: 0,
            no_time: 0,
            why_not: None,
        }
    }

    fn rendered(follow_ups: Vec<FollowUpCoverage>) -> Option<String> {
        follow_up_words(&Coverage {
            tried: 1400,
            follow_ups,
            ..Coverage::default()
        })
    }

    #[test]
    fn what_was_left_out_is_said() {
        assert_eq!(rendered(Vec::new()), None);
        let all = FollowUp::ALL.map(|follow_up| one(follow_up, 12));
        assert_eq!(
            rendered(all.to_vec()).as_deref(),
            Some(
                "Follow-ups after recovery: clean stop in 12, second restart in 12 and second life in 12 of \
                 1,400 states."
            )
        );
        let [mut stop, mut restart, mut life] = all;
        life.states = 0;
        life.why_not = Some("its workload is a command".into());
        stop.not_done = 2;
        stop.why_not = Some("it goes on".into());
        restart.no_time = 3;
        let said = rendered(vec![stop, restart, life]).expect("words");
        for part in [
            "clean stop in 12 and second restart in 12 of",
            "; 3 left out for lack of time",
            "; second life not applicable: its workload is a command",
            "; 2 could not be done (it goes on).",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn shards_add_up() {
        let (mut sum, mut more) = (one(FollowUp::CleanStop, 2), one(FollowUp::CleanStop, 3));
        (more.failed, more.not_done, more.no_time) = (1, 2, 3);
        more.why_not = Some("it goes on".into());
        sum.add(&more);
        assert_eq!((sum.states, sum.failed, sum.not_done), (5, 1, 2));
        assert_eq!((sum.no_time, sum.why_not), (3, more.why_not));
    }
}
