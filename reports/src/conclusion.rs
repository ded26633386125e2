//! What a report comes to, in a sentence or two, and the tone in which every form says it. What was
//! covered is part of it, so that nothing reads as a pass that was not earned.

use std::collections::BTreeSet;

use plugpull_workloads::Verdict;

use crate::coverage::Coverage;
use crate::labels::{clean, count, count_grouped, large, list, number, verdict_words};
use crate::render_follow_ups::follow_up_words;
use crate::report::{Ended, Report};
use crate::run_file::record::EndReason;

/// How a conclusion sounds, and which colour it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Every promise was kept, and what was planned was looked at.
    Good,
    /// Nothing was found, in too little to call it a pass.
    Neutral,
    /// Nobody knows.
    Open,
    /// A promise was broken.
    Bad,
}

/// The tone of a report.
pub(crate) fn tone(report: &Report) -> Tone {
    match report.verdict {
        Verdict::Broken => Tone::Bad,
        Verdict::Pass if looked_at_enough(report) => Tone::Good,
        Verdict::Pass => Tone::Neutral,
        _ => Tone::Open,
    }
}

/// A row's verdict in words: what passed in a report that is no pass as a whole had no finding.
pub(crate) fn row_verdict(verdict: Verdict, neutral: bool) -> &'static str {
    match verdict {
        Verdict::Pass if neutral => "no finding",
        verdict => verdict_words(verdict),
    }
}

/// How many trials ended how.
struct Counts {
    kept: u64,
    broken: u64,
    /// Those that showed something of the target.
    measured: u64,
    not_measured: u64,
    failed: u64,
}

impl Counts {
    fn of(report: &Report) -> Self {
        let of = |verdict| -> u64 {
            let rows = report.faults.iter();
            rows.filter_map(|row| row.verdicts.get(&verdict)).sum()
        };
        let kept = of(Verdict::Pass) + of(Verdict::Detected);
        Self {
            kept,
            broken: of(Verdict::Broken),
            measured: kept + of(Verdict::Broken) + of(Verdict::NoPromise),
            not_measured: of(Verdict::NotMeasured),
            failed: of(Verdict::HarnessError),
        }
    }
}

/// True when an exploration came to its end at every crash point, and of other runs more was measured
/// than was not.
fn looked_at_enough(report: &Report) -> bool {
    let counts = Counts::of(report);
    let most = counts.not_measured <= counts.measured;
    let Some(coverage) = &report.coverage else {
        return most;
    };
    let (judged, of) = coverage.judged_points();
    let ended = match &report.ended {
        Some(ended) => ended.reason == EndReason::Complete,
        // An older report does not say.
        None => coverage.complete || judged == of,
    };
    most && ended && judged == of && of > 0
}

/// How much of the trace was judged: `6 % of the crash points (30 of 501)`.
pub(crate) fn covered_words(coverage: &Coverage) -> String {
    let (judged, of) = coverage.judged_points();
    let behind = match coverage.first_ack {
        Some(1..) => " behind the first ack",
        _ => "",
    };
    match of {
        0 => "none of the crash points: nothing was acknowledged before any".into(),
        _ if judged == of => format!("all crash points{behind} ({})", number(of)),
        _ => format!(
            "{} of the crash points ({} of {}{behind})",
            percent_words(judged, of),
            number(judged),
            number(of)
        ),
    }
}

/// A share in percent, rounded down: what is not all of it never reads as all.
fn percent_words(part: u64, of: u64) -> String {
    let percent = u128::from(part) * 100 / u128::from(of.max(1));
    match percent {
        0 if part > 0 => "under 1 %".into(),
        _ => format!("{percent} %"),
    }
}

/// What ended a run before it was through, as a clause: `the budget ended it`.
pub(crate) fn ended_words(ended: &Ended) -> Option<String> {
    let why = clean(&ended.why);
    match (ended.reason, why.as_str()) {
        (EndReason::Complete, _) => None,
        (EndReason::Budget, "") => Some("the budget ended it".into()),
        (EndReason::Budget | EndReason::Interrupted, why) if !why.is_empty() => {
            Some(format!("{why} ended it"))
        }
        (EndReason::Budget | EndReason::Interrupted, _) => Some("it was interrupted".into()),
        (EndReason::Failed, "") => Some("plugpull gave it up".into()),
        (EndReason::Failed, why) => Some(format!("plugpull gave it up: {why}")),
    }
}

/// How far an exploration came and what ended it: `6 % of the crash points (30 of 501); the budget
/// ended it`. None for anything else.
pub(crate) fn reach(report: &Report) -> Option<String> {
    let coverage = report.coverage.as_ref()?;
    let covered = covered_words(coverage);
    let ended = report.ended.as_ref().and_then(ended_words);
    Some(match ended {
        Some(ended) => format!("{covered}; {ended}"),
        None => covered,
    })
}

/// What a run found, in a sentence or two.
pub(crate) fn closing(report: &Report) -> String {
    let counts = Counts::of(report);
    let mut sentences = match report.verdict {
        Verdict::Broken => broken(report, &counts),
        Verdict::Pass => {
            let what = match report.allow_not_measured {
                true => "Not measured, as allowed",
                false => "Not measured",
            };
            let allowed = faults_of(report, Verdict::NotMeasured, what);
            let passed = std::iter::once(passed(report, &counts));
            passed.chain(allowed).collect()
        }
        Verdict::HarnessError => failed(report, &counts),
        _ => open(report, &counts),
    };
    sentences.extend(report.coverage.as_ref().and_then(decided_words));
    sentences.extend(report.coverage.as_ref().and_then(follow_up_words));
    sentences.extend(faults_of(report, Verdict::NotApplicable, "Not applicable"));
    if let Some(demanded) = below_demand(report) {
        sentences.push(demanded);
    }
    sentences.extend(report.assumed.iter().cloned());
    clean(&sentences.join(" "))
}

/// The faults of this verdict, as a sentence that begins so.
fn faults_of(report: &Report, verdict: Verdict, what: &str) -> Option<String> {
    let rows = report.faults.iter().filter(|row| row.verdict == verdict);
    let names: Vec<&str> = rows.map(|row| row.fault.as_str()).collect();
    match names.is_empty() {
        true => None,
        false => Some(format!("{what}: {}.", list(&names))),
    }
}

/// The faults that were never measured, as a sentence.
fn never_measured(report: &Report) -> Option<String> {
    faults_of(report, Verdict::NotMeasured, "Not measured")
}

/// Trials that were not measured, as a clause behind a number of those that were.
fn not_measured_words(counts: &Counts) -> String {
    match counts.not_measured {
        0 => String::new(),
        1 => "; 1 more was not measured".into(),
        n => format!("; {} more were not measured", number(n)),
    }
}

fn broken(report: &Report, counts: &Counts) -> Vec<String> {
    let promises: BTreeSet<String> = report
        .findings
        .iter()
        .map(|f| format!("{:?}", f.finding.promise))
        .collect();
    let promises = count(promises.len() as u64, "promise");
    let of = match counts.measured < report.trials {
        true => count_grouped(counts.measured, "measured trial"),
        false => count_grouped(report.trials, "trial"),
    };
    let at = reach(report).map_or(String::new(), |reach| format!(", at {reach}"));
    let mut sentences = vec![format!(
        "{promises} broken in {} of {of}{}{at}.",
        number(counts.broken),
        not_measured_words(counts)
    )];
    if counts.failed > 0 {
        sentences.push(format!(
            "plugpull itself failed in {}.",
            count_grouped(counts.failed, "other")
        ));
    }
    sentences.extend(never_measured(report));
    sentences
}

fn passed(report: &Report, counts: &Counts) -> String {
    let trials = count_grouped(counts.kept, "trial");
    let not_measured = not_measured_words(counts);
    match (tone(report), reach(report)) {
        (Tone::Good, Some(reach)) => {
            format!("All promises kept in {trials}, at {reach}{not_measured}.")
        }
        (Tone::Good, None) => format!("All promises kept in {trials}{not_measured}."),
        (_, Some(reach)) => format!("No finding at {reach}."),
        (_, None) => format!("No finding in {trials}{not_measured}."),
    }
}

fn failed(report: &Report, counts: &Counts) -> Vec<String> {
    let mut sentences = vec![format!(
        "No verdict: plugpull itself failed in {} of {}.",
        number(counts.failed),
        count_grouped(report.trials, "trial")
    )];
    sentences.extend(reach(report).map(|reach| format!("No finding at {reach}.")));
    sentences.extend(never_measured(report));
    sentences
}

/// No finding, and no pass.
fn open(report: &Report, counts: &Counts) -> Vec<String> {
    if let Some(reach) = reach(report) {
        let mut sentences = vec![format!("No finding at {reach}.")];
        let coverage = report.coverage.as_ref();
        let could_not = coverage.map_or(0, Coverage::could_not_measure);
        if could_not > 0 {
            sentences.push(format!(
                "Not measured: plugpull could not measure {}.",
                count_grouped(could_not, "state")
            ));
        }
        sentences.extend(never_measured(report));
        return sentences;
    }
    let no_growth = report
        .growth
        .as_ref()
        .is_some_and(|growth| growth.fit.is_none() || growth.restores_nothing());
    let ended = report.ended.as_ref().and_then(ended_words);
    let unmeasured = never_measured(report).or_else(|| match report.trials {
        0 => Some("Not measured: no trial was made.".into()),
        _ if no_growth => Some("Not measured: how recovery grows.".into()),
        _ if ended.is_some() || report.interrupted => None,
        _ => Some("Not measured: the target promises nothing for what was done to it.".into()),
    });
    let mut sentences: Vec<String> = unmeasured.into_iter().collect();
    match ended {
        Some(ended) => sentences.push(format!("No verdict: {ended}.")),
        None if report.interrupted => sentences.push("No verdict: it was interrupted.".into()),
        None => {}
    }
    if counts.kept > 0 {
        let verb = if counts.kept == 1 { "was" } else { "were" };
        sentences.push(format!(
            "No finding in the {} that {verb} measured.",
            count_grouped(counts.kept, "trial")
        ));
    }
    sentences
}

/// That less was covered than was demanded.
fn below_demand(report: &Report) -> Option<String> {
    let coverage = report.coverage.as_ref()?;
    let demanded = coverage.demanded.filter(|_| !coverage.meets_demand())?;
    Some(format!(
        "That is less than --min-coverage {demanded} demands."
    ))
}

/// The same in a few words, for the head of a page. `broken` promises, of which none is left out.
pub(crate) fn headline(report: &Report, broken: u64, all_tested: bool) -> String {
    let name = clean(&report.target.name);
    match (report.verdict, tone(report)) {
        (Verdict::Broken, _) => match broken.max(1) {
            1 => format!("{name} broke a promise"),
            n => format!("{name} broke {n} promises"),
        },
        (Verdict::Pass, Tone::Good) if all_tested => format!("{name} kept every promise"),
        (Verdict::Pass, Tone::Good) => format!("{name} kept the promises that were tested"),
        (Verdict::Pass, _) => match &report.coverage {
            Some(coverage) => format!("No finding at {}", short_covered_words(coverage)),
            None => "No finding in the few trials that were measured".into(),
        },
        (Verdict::HarnessError, _) => "No verdict: plugpull itself failed".into(),
        _ if report.interrupted => "No verdict: the run was interrupted".into(),
        _ if below_demand(report).is_some() => "No verdict: too little was looked at".into(),
        _ => "No verdict: not everything was measured".into(),
    }
}

fn short_covered_words(coverage: &Coverage) -> String {
    match coverage.judged_points() {
        (_, 0) => "none of the crash points".into(),
        (judged, of) if judged == of => "all crash points".into(),
        (judged, of) => format!("{} of the crash points", percent_words(judged, of)),
    }
}

/// What was decided by reads, as a sentence; none where that was not asked for.
pub(crate) fn decided_words(coverage: &Coverage) -> Option<String> {
    let decided = coverage.decided.as_ref()?;
    if let Some(why) = &decided.taken_back {
        return Some(format!("Nothing counts as decided by reads: {why}."));
    }
    let not = [
        (decided.not_reached, "for lack of time"),
        (decided.given_up, "where too much that differs is read"),
        (decided.not_tried, "where a state could not be tried"),
    ];
    let not = not.iter().filter(|(n, _)| *n > 0);
    let not: Vec<String> = not
        .map(|(n, why)| format!("{} {why}", number(*n)))
        .collect();
    let not = match not.is_empty() {
        true => String::new(),
        false => format!("; not decided: {}", not.join(", ")),
    };
    let checked = match decided.checked {
        0 => String::new(),
        1 => ", and 1 decided state was tried all the same".into(),
        n => format!(", and {} decided states were tried all the same", number(n)),
    };
    let at_least = match decided.at_least || decided.states >= 1_000_000_000_000 {
        true => "at least ",
        false => "",
    };
    Some(format!(
        "Decided by reads: all {at_least}{} loss sets of whole updates at {} of {} (a crash point under a model), for \
         start and check, by {}{checked}; torn writes are not included{not}.",
        large(decided.states),
        number(decided.decided),
        count_grouped(decided.places, "place"),
        count_grouped(decided.trials, "trial"),
    ))
}

/// What the limits of an exploration left out, as a sentence; none where nothing was.
pub(crate) fn left_out_words(coverage: &Coverage) -> Option<String> {
    let left = &coverage.left_out;
    let recoveries = |n: u64| match n {
        1 => "1 recovery".into(),
        n => format!("{} recoveries", number(n)),
    };
    let places = count_grouped(left.places, "place");
    let all = [
        (left.singles, count_grouped(left.singles, "single update")),
        (left.pairs, count_grouped(left.pairs, "pair")),
        (
            left.recoveries,
            format!("{} like two that were crashed", recoveries(left.recoveries)),
        ),
        (
            left.cut_recoveries,
            format!(
                "states of {} behind the 16th",
                recoveries(left.cut_recoveries)
            ),
        ),
        (left.places, format!("other combinations at {places}")),
        (
            left.kill_points,
            format!(
                "kill at {} where files were mapped and what the page cache held is not known",
                count_grouped(left.kill_points, "point")
            ),
        ),
    ];
    let some = all.iter().filter(|(n, _)| *n > 0);
    let parts: Vec<&str> = some.map(|(_, words)| words.as_str()).collect();
    match parts.is_empty() {
        true => None,
        false => Some(format!("Left out by limits: {}.", list(&parts))),
    }
}
