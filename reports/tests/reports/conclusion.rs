//! What a report comes to: coverage is part of it, and nothing reads as a pass that was not earned.

use plugpull_reports::{
    Decided, EndReason, Ended, Look, Report, annotations, exit_code, html, junit, markdown, render,
};
use plugpull_testing::test;
use plugpull_workloads::{FailureClass, Verdict};

use crate::explored::explored;
use crate::made_up::{other, plan, report_of, trial};

/// An exploration without findings that judged this many of 501 crash points, and ended so.
fn judged(points: usize, reason: EndReason, why: &str) -> Report {
    let mut report = explored(0);
    let coverage = report.coverage.as_mut().unwrap();
    coverage.points = 501;
    coverage.first_ack = Some(0);
    coverage.at.retain(|one| one.point < 501);
    let first = coverage.at[0];
    coverage.at = (0..points as u64)
        .map(|point| plugpull_reports::PointCoverage { point, ..first })
        .collect();
    report.ended = Some(Ended {
        reason,
        why: why.into(),
    });
    report.needs_coverage();
    report
}

fn terminal(report: &Report) -> String {
    render(
        report,
        Look {
            width: 100,
            colour: true,
        },
    )
}

/// The last line as the terminal has it, with its colour.
fn last(report: &Report) -> String {
    terminal(report).lines().last().unwrap().to_owned()
}

const GREEN: &str = "\u{1b}[32m";

#[test]
fn what_its_budget_ended_is_neutral_everywhere() {
    let report = judged(30, EndReason::Budget, "");
    assert_eq!(exit_code(&report), 0);
    let sentence = "No finding at 5 % of the crash points (30 of 501); the budget ended it.";
    let text = terminal(&report);
    assert!(text.contains(sentence), "{text}");
    assert!(!text.contains(GREEN), "{text}");
    let page = html(&report).unwrap();
    assert!(page.contains("No finding at 5 % of the crash points"));
    assert!(page.contains("class=\"banner neutral\""), "{page}");
    for word in ["kept every promise", "badge good", "class=\"good\"", "✓"] {
        assert!(!page.contains(word), "{word}");
    }
    let markdown = markdown(&report).unwrap();
    assert!(markdown.contains("No finding at 5 % of the crash points (30 of 501)"));
    assert!(
        !markdown.contains('✅') && !markdown.contains("| pass |"),
        "{markdown}"
    );
    let junit = junit(&report).unwrap();
    assert!(
        junit.contains("5 % of the crash points (30 of 501); the budget ended it"),
        "{junit}"
    );
    let notice = annotations(&report).unwrap();
    assert!(
        notice.contains("::notice title=Coverage::No finding at 5 %25 of the crash points"),
        "{notice}"
    );
}

#[test]
fn what_came_to_its_end_is_a_pass() {
    let report = judged(501, EndReason::Complete, "");
    assert_eq!(exit_code(&report), 0);
    let line = last(&report);
    assert!(line.contains("All promises kept in"), "{line}");
    assert!(line.contains("at all crash points (501)."), "{line}");
    assert!(line.contains(GREEN), "{line}");
    assert!(html(&report).unwrap().contains("sqlite kept every promise"));
    assert_eq!(annotations(&report).unwrap(), "");
}

#[test]
fn what_ended_it_is_said_and_an_interruption_is_no_pass() {
    for (reason, why, words) in [
        (EndReason::Budget, "--states 30", "; --states 30 ended it."),
        (EndReason::Interrupted, "SIGTERM", "; SIGTERM ended it."),
        (
            EndReason::Failed,
            "no sandbox",
            "; plugpull gave it up: no sandbox.",
        ),
    ] {
        let report = judged(501, reason, why);
        let line = last(&report);
        let sentence = format!("No finding at all crash points (501){words}");
        assert!(line.contains(&sentence), "{line}");
        assert!(!line.contains(GREEN), "{line}");
    }
}

#[test]
fn no_share_is_rounded_up() {
    for (points, words) in [(0, "0 %"), (1, "under 1 %"), (500, "99 %")] {
        let line = last(&judged(points, EndReason::Budget, ""));
        let sentence = format!("No finding at {words} of the crash points ({points} of 501)");
        assert!(line.contains(&sentence), "{line}");
    }
}

#[test]
fn points_before_the_first_ack_are_no_coverage() {
    let mut report = judged(30, EndReason::Budget, "");
    report.coverage.as_mut().unwrap().first_ack = Some(21);
    let line = last(&report);
    let sentence = "1 % of the crash points (9 of 480 behind the first ack)";
    assert!(line.contains(sentence), "{line}");
}

#[test]
fn less_than_was_demanded_is_no_pass() {
    for (demanded, code) in [(None, 0), (Some(5.9), 0), (Some(6.0), 3)] {
        let mut report = judged(30, EndReason::Budget, "");
        report.coverage.as_mut().unwrap().demanded = demanded;
        report.needs_coverage();
        assert_eq!(exit_code(&report), code, "{demanded:?}");
        let words = "That is less than --min-coverage 6 demands.";
        let text = terminal(&report).replace('\n', " ");
        let text = console::strip_ansi_codes(&text);
        assert_eq!(text.contains(words), code == 3, "{text}");
        assert_eq!(report.lacks_coverage(), code == 3);
    }
}

#[test]
fn states_that_plugpull_could_not_measure_are_no_pass_and_counted_apart_from_early_ones() {
    let mut early = judged(501, EndReason::Complete, "");
    let model = &mut early.coverage.as_mut().unwrap().models[0];
    (model.not_measured, model.before_first_ack) = (7, 7);
    let mut failed = judged(501, EndReason::Complete, "");
    let model = &mut failed.coverage.as_mut().unwrap().models[0];
    (model.not_measured, model.could_not_measure) = (1, 1);
    for (report, code, words) in [
        (
            &mut early,
            0,
            "nothing was promised yet, 7 loss sets were tried",
        ),
        (
            &mut failed,
            3,
            "plugpull could not measure 1 loss set, which was not judged.",
        ),
    ] {
        report.needs_coverage();
        assert_eq!(exit_code(report), code);
        for text in [
            terminal(report),
            markdown(report).unwrap(),
            html(report).unwrap(),
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
}

#[test]
fn every_state_is_said_only_where_no_limit_cut_anything() {
    let mut report = judged(501, EndReason::Complete, "");
    let coverage = report.coverage.as_mut().unwrap();
    coverage.complete = true;
    assert!(terminal(&report).contains("Every state was tried: 5,310 distinct states"));
    let coverage = report.coverage.as_mut().unwrap();
    coverage.complete = false;
    coverage.left_out.singles = 12;
    coverage.left_out.pairs = 1;
    coverage.left_out.recoveries = 2;
    coverage.left_out.cut_recoveries = 1;
    coverage.left_out.places = 1_200;
    let text = terminal(&report);
    assert!(!text.contains("Every state"), "{text}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains(
            "Left out by limits: 12 single updates, 1 pair, 2 recoveries like two that were crashed, \
             states of 1 recovery behind the 16th and other combinations at 1,200 places."
        ),
        "{text}"
    );
}

/// What was decided by reads, and why the rest was not, stands in the line of the verdict, in every form.
#[test]
fn what_was_decided_is_in_the_line_of_the_verdict() {
    let mut report = judged(501, EndReason::Complete, "");
    let said = |report: &Report, words: &str| {
        for text in [markdown(report).unwrap(), html(report).unwrap()] {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(words), "{words} in {text}");
        }
        assert!(terminal(report).contains(&words[..24]), "{words}");
    };
    let decided = Decided {
        places: 1_200,
        decided: 1_100,
        states: 40_000,
        at_least: true,
        trials: 3_000,
        checked: 1,
        given_up: 60,
        not_reached: 40,
        ..Decided::default()
    };
    report.coverage.as_mut().unwrap().decided = Some(decided.clone());
    said(
        &report,
        "Decided by reads: all at least 40,000 loss sets of whole updates at 1,100 of 1,200 places (a crash \
         point under a model), for start and check, by 3,000 trials, and 1 decided state was tried all the \
         same; torn writes are not included; not decided: 40 for lack of time, 60 where too much that differs \
         is read.",
    );
    report.coverage.as_mut().unwrap().decided = Some(Decided {
        taken_back: Some("the target varies".into()),
        ..decided
    });
    said(
        &report,
        "Nothing counts as decided by reads: the target varies.",
    );
}

#[test]
fn a_promise_is_shown_after_the_failures_that_were_tried() {
    let power = report_of(plan(&["power-loss"]), &[trial(1, "power-loss")]);
    let page = html(&power).unwrap();
    assert!(page.contains("After a power loss</p>"), "{page}");
    assert!(page.contains("Not tried: a process crash"), "{page}");
    assert!(page.contains("sqlite kept the promises that were tested"));
    let mut kill = trial(2, "kill");
    kill.class = FailureClass::ProcessCrash;
    let both = report_of(
        plan(&["power-loss", "kill"]),
        &[trial(1, "power-loss"), kill],
    );
    let page = html(&both).unwrap();
    assert!(
        page.contains("After a power loss and a process crash"),
        "{page}"
    );
    assert!(page.contains("sqlite kept every promise"));
}

#[test]
fn one_pass_among_many_that_were_not_measured_is_no_green_page() {
    let unmeasured = |n| other(n, "kill", Verdict::NotMeasured, "too early");
    let mut trials = vec![trial(1, "kill")];
    trials.extend((2..=6).map(unmeasured));
    let report = report_of(plan(&["kill"]), &trials);
    let page = html(&report).unwrap();
    assert!(page.contains("No finding in the few trials that were measured"));
    assert!(page.contains("class=\"banner neutral\""));
    let line = last(&report);
    assert!(
        line.contains("No finding in 1 trial; 5 more were not measured."),
        "{line}"
    );
    assert!(!terminal(&report).contains(GREEN));
}
