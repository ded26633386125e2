//! Which sync was missing, where the power went and a finding names an ack.

use plugpull_workloads::{
    Call, Durability, Finding, FindingKind, FindingPart, Guarantee, History, Outcome, PartKind,
    Stamp,
};

use super::Testbed;

/// Says which sync was missing, where the power went and a finding names an ack; and where it hung what
/// its processes had done until then. What is required from a
/// barrier on was to be synced when the last barrier was acknowledged.
pub(super) fn explain(testbed: &Testbed<'_>, finding: &mut Finding) {
    if let (FindingKind::Hung | FindingKind::NotRepeatable, Some(used)) =
        (finding.kind, &testbed.used)
    {
        finding.sentence = format!("{}; {used}", finding.sentence);
        finding
            .parts
            .push(FindingPart::new(PartKind::Note, used.to_string()));
    }
    let Some(ack) = finding.ack else {
        return;
    };
    let (when, moment) = match finding.promise.guarantee {
        Guarantee::Durable(Durability::AtBarrier) => {
            match last_barrier(&testbed.recorder.history()) {
                Some(at) => ("when the last barrier after it was acknowledged", at),
                None => return,
            }
        }
        _ => ("when it was acknowledged", ack),
    };
    let missing = testbed.crashes.unsynced(moment.seq).unwrap_or_default();
    if missing.is_empty() {
        return;
    }
    let mut others: Vec<&str> = Vec::new();
    for file in &missing[1..] {
        // A name may have been that of several files.
        if file.path != missing[0].path && !others.contains(&&*file.path) {
            others.push(&file.path);
        }
    }
    let what = format!("{}{}", missing[0].describe(), also(&others));
    finding.sentence = format!("{}; {when}, {what}", finding.sentence.trim_end_matches('.'));
    let text = match when {
        "when it was acknowledged" => what,
        when => format!("{what}, {when}"),
    };
    finding
        .parts
        .push(FindingPart::new(PartKind::NotSynced, text));
}

/// When the last barrier was acknowledged.
fn last_barrier(history: &History) -> Option<Stamp> {
    let acked = history
        .entries
        .iter()
        .rev()
        .filter_map(|entry| match (&entry.call, &entry.done) {
            (Call::Barrier, Some((at, Outcome::Ok))) => Some(*at),
            _ => None,
        });
    acked.max()
}

/// The other files that were not synced, some of them by name.
fn also(others: &[&str]) -> String {
    const NAMED: usize = 3;
    let names = others[..others.len().min(NAMED)].join(", ");
    match others.len() {
        0 => String::new(),
        n if n <= NAMED => format!(" (not synced either: {names})"),
        n => format!(" (not synced either: {names} and {} more)", n - NAMED),
    }
}

#[cfg(test)]
mod tests {
    use plugpull_workloads::Entry;

    use super::*;

    #[test]
    fn the_last_barrier_is_the_one_that_was_acknowledged_last() {
        let entry = |call: Call, at: u64, outcome: Outcome| Entry {
            client: 0,
            call,
            invoked: Stamp::default(),
            done: Some((Stamp { seq: at, nanos: at }, outcome)),
        };
        let mut history = History {
            entries: vec![entry(Call::Barrier, 7, Outcome::Info("lost".into()))],
        };
        assert_eq!(last_barrier(&history), None);
        history.entries.push(entry(Call::Barrier, 5, Outcome::Ok));
        history.entries.push(entry(Call::Barrier, 3, Outcome::Ok));
        assert_eq!(last_barrier(&history).map(|at| at.seq), Some(5));
    }

    #[test]
    fn files_that_were_not_synced_are_named_as_far_as_they_are_few() {
        assert_eq!(also(&[]), "");
        assert_eq!(also(&["a", "b"]), " (not synced either: a, b)");
        assert_eq!(
            also(&["a", "b", "c", "d", "e"]),
            " (not synced either: a, b, c and 2 more)"
        );
    }
}
