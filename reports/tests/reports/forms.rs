//! JUnit, Markdown, GitHub's annotations and the page: they say what the report says, and nothing
//! from outside becomes markup or a command.

use plugpull_reports::{Look, Report, annotations, html, junit, markdown, render};
use plugpull_testing::test;
use plugpull_workloads::{FailureClass, FindingKind, Guarantee, Observation, Promise, Verdict};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus};

use crate::explored::{explored, live};
use crate::made_up::{KINDS, broken, other, plan, promise, report, report_of, trial};

fn atomic() -> Promise {
    Promise {
        guarantee: Guarantee::Atomic,
        words: "all or nothing".into(),
        ..promise()
    }
}

/// One promise kept and one broken under `kill`, one fault not measured, one in which plugpull
/// failed, one that this machine cannot inject.
fn mixed() -> Report {
    let mut plan = plan(&["kill", "power-loss", "delay"]);
    plan.target.promises = vec![promise(), atomic()];
    plan.unavailable = vec![("oom".into(), "no memory cgroup".into())];
    report_of(
        plan,
        &[
            broken(1, "kill", &[FindingKind::LostAck]),
            trial(2, "kill"),
            other(3, "power-loss", Verdict::NotMeasured, "too early"),
            other(4, "delay", Verdict::HarnessError, "the sandbox died"),
        ],
    )
}

fn cases(report: &Report) -> Vec<(String, TestCase)> {
    let text = junit(report).unwrap();
    let read = quick_junit::Report::deserialize_from_str(&text).unwrap();
    let suites = read.test_suites.into_iter();
    suites
        .flat_map(|suite| {
            let name = suite.name.to_string();
            suite.test_cases.into_iter().map(move |c| (name.clone(), c))
        })
        .collect()
}

fn status(case: &TestCase) -> &'static str {
    match &case.status {
        TestCaseStatus::Success { .. } => "success",
        TestCaseStatus::Skipped { .. } => "skipped",
        TestCaseStatus::NonSuccess {
            kind: NonSuccessKind::Failure,
            ..
        } => "failure",
        TestCaseStatus::NonSuccess { .. } => "error",
    }
}

#[test]
fn junit_has_a_case_for_each_promise_and_fault() {
    let all = cases(&mixed());
    let seen: Vec<(&str, &str, &str)> = all
        .iter()
        .map(|(suite, case)| (suite.as_str(), case.name.as_str(), status(case)))
        .collect();
    let durable = "durable from the ack on";
    let whole = "atomic: a transaction whole or not at all";
    assert_eq!(
        seen,
        [
            ("kill", durable, "failure"),
            ("kill", whole, "success"),
            ("power-loss", durable, "skipped"),
            ("power-loss", whole, "skipped"),
            ("delay", durable, "error"),
            ("delay", whole, "error"),
            ("oom", "all promises", "skipped"),
        ]
    );
}

#[test]
fn a_failure_has_the_sentence_and_the_command() {
    let text = junit(&mixed()).unwrap();
    for part in [
        "is gone: the write of 4096 bytes",
        "repeat          plugpull run sqlite",
        "too early",
        "no memory cgroup",
        "plugpull itself failed: the sandbox died",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

/// A store that never starts says nothing about its durability.
#[test]
fn where_every_trial_broke_something_else_a_promise_is_not_kept() {
    let mut plan = plan(&["kill"]);
    plan.target.promises = vec![promise(), atomic()];
    let all = cases(&report_of(
        plan,
        &[broken(1, "kill", &[FindingKind::LostAck])],
    ));
    let seen: Vec<&str> = all.iter().map(|(_, case)| status(case)).collect();
    assert_eq!(seen, ["failure", "skipped"]);
}

/// An exploration tells a bug once, under one model; the other model is not clean for that.
#[test]
fn a_bug_that_is_reported_under_one_model_fails_the_others_that_showed_it() {
    let all = cases(&explored(1));
    let seen: Vec<(&str, &str)> = all
        .iter()
        .map(|(suite, case)| (suite.as_str(), status(case)))
        .collect();
    assert_eq!(
        seen,
        [
            ("kill", "success"),
            ("journaled", "failure"),
            ("strict", "failure")
        ]
    );
}

#[test]
fn a_warning_is_one_line_in_every_form() {
    let mut report = mixed();
    let sentence = "calls of sync are not seen here: EPERM\n::error::no";
    report.warnings = vec![sentence.into(), "its acks are late".into()];
    let look = Look {
        width: 200,
        ..Look::PLAIN
    };
    let markdown = markdown(&report).unwrap();
    let forms = [render(&report, look), markdown, html(&report).unwrap()];
    for form in forms {
        let lines: Vec<&str> = form
            .lines()
            .filter(|line| line.contains("Warning"))
            .collect();
        let both = lines.join(" ");
        for part in ["calls of sync are not seen here", "its acks are late"] {
            assert!(both.contains(part), "{part}: {both}");
        }
        assert!(
            form.lines().all(|line| !line.starts_with("::error")),
            "{form}"
        );
    }
    let junit = quick_junit::Report::deserialize_from_str(&junit(&report).unwrap()).unwrap();
    for suite in &junit.test_suites {
        let warnings = suite.properties.iter();
        let warnings = warnings.filter(|property| property.name.as_str() == "warning");
        assert_eq!(warnings.count(), 2);
    }
}

#[test]
fn markdown_has_the_verdict_the_tables_and_the_findings() {
    let text = markdown(&mixed()).unwrap();
    for part in [
        "## plugpull: sqlite",
        "**1 promise broken in 1 of 2 measured trials; 1 more was not measured.",
        "| durable from the ack on <br>*Made-up Store Manual, section 3.1* | ❌ **broken** under kill |",
        "| atomic: a transaction whole or not at all <br>",
        "| oom | 0 | 0 | not measured: no memory cgroup | – | – | – |",
        "### 1. Lost ack\n",
        "| seen | under kill&#64;ack:11 in trial 1 |",
        "```sh\nplugpull run sqlite --set synchronous=off",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let clean = markdown(&report(0)).unwrap();
    assert!(clean.contains("**All promises kept in"), "{clean}");
    assert!(!clean.contains("###"), "{clean}");
}

#[test]
fn annotations_have_a_level_for_each_thing() {
    let text = annotations(&mixed()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("::error title=Lost ack under kill@ack%3A11::Transaction 17"));
    assert!(lines[0].contains("%0Arepeat: plugpull run"), "{text}");
    assert_eq!(
        lines[1],
        "::warning title=Not measured%3A power-loss::too early"
    );
    assert_eq!(
        lines[2],
        "::warning title=Harness error%3A delay::the sandbox died"
    );
    assert_eq!(
        lines[3],
        "::warning title=Not measured%3A oom::no memory cgroup"
    );
    let none = annotations(&report_of(plan(&["kill"]), &[trial(1, "kill")])).unwrap();
    assert_eq!(none, "");
}

#[test]
fn a_job_page_gets_at_most_ten_errors() {
    let text = annotations(&explored(200)).unwrap();
    assert_eq!(text.matches("::error ").count(), 10);
    assert!(text.contains("title=191 more findings::"), "{text}");
}

const HOSTILE: &str = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp; \
                       ]]> | `x` ${y} \r\n::error::mine\u{1b}[31m%0A\u{202E}";

/// A report in which everything that comes from outside is hostile.
fn hostile() -> Report {
    let text = || HOSTILE.to_string();
    let mut report = explored(12);
    report.target.name = text();
    report.target.version = text();
    report.target.settings.insert(text(), text());
    for promise in &mut report.target.promises {
        promise.words = text();
        promise.source = text();
    }
    for row in &mut report.faults {
        row.fault = text();
        row.why = text();
    }
    let mut trials = std::mem::take(&mut report.trial_log).into_vec().unwrap();
    for trial in &mut trials {
        trial.fault = text();
        trial.spec = text();
        trial.what = text();
        trial.why = text();
    }
    report.trial_log = trials.into();
    for finding in &mut report.findings {
        finding.finding.sentence = text();
        finding.finding.fault = text();
        finding.finding.key = Some(text());
        finding.finding.promise.words = text();
        finding.finding.promise.source = text();
        finding.repeat = text();
        finding.output = vec![text(), text()];
        if let Some(evidence) = &mut finding.evidence {
            evidence.models = vec![text()];
            evidence.cause = vec![text()];
            evidence.artifact = Some(text());
            for step in &mut evidence.timeline {
                step.what = text();
                step.path = text();
            }
            for file in &mut evidence.files {
                file.path = text();
            }
        }
    }
    if let Some(coverage) = &mut report.coverage {
        for model in &mut coverage.models {
            model.model = text();
        }
    }
    report
}

#[test]
fn nothing_from_outside_becomes_markup_of_the_page() {
    let page = html(&hostile()).unwrap();
    assert!(
        page.contains("&lt;img src=x onerror=alert(2)&gt;"),
        "it is shown as text"
    );
    assert_eq!(
        page.matches("<script").count(),
        1,
        "only the page's own script"
    );
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<img"));
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202E}'));
    // No attribute ends early: every quote inside one is written as an entity.
    assert!(!page.contains("alert(1)</"));
    assert!(!page.contains("\"'>"));
}

#[test]
fn nothing_from_outside_becomes_markup_of_a_job_summary() {
    let text = markdown(&hostile()).unwrap();
    let outside: String = text
        .split("```sh")
        .enumerate()
        .map(|(n, part)| match n {
            0 => part,
            _ => part.split_once("```\n").map_or("", |p| p.1),
        })
        .collect();
    assert!(
        !outside.contains("<script") && !outside.contains("<img"),
        "{outside:.3000}"
    );
    assert!(outside.contains("\\`x\\`") && outside.contains("\\|"));
}

#[test]
fn nothing_from_outside_becomes_a_command_of_github() {
    let text = annotations(&hostile()).unwrap();
    for line in text.lines() {
        assert!(
            line.starts_with("::error title=")
                || line.starts_with("::notice title=")
                || line.starts_with("::warning title="),
            "{line}"
        );
        assert!(!line.contains("%0A\u{202E}"));
    }
    assert!(!text.contains('\r') && !text.contains('\u{1b}'));
    assert!(
        text.contains("%250A"),
        "a percent sign of theirs is escaped: {text:.500}"
    );
}

#[test]
fn junit_of_a_hostile_report_can_be_read_back() {
    let all = cases(&hostile());
    assert!(!all.is_empty());
    let text = junit(&hostile()).unwrap();
    assert!(!text.contains("<script") && !text.contains('\u{1b}'));
}

#[test]
fn the_page_loads_nothing() {
    for report in [report(0), explored(1), explored(12)] {
        let page = html(&report).unwrap();
        assert!(page.contains("default-src 'none'"));
        for from_outside in ["http://", "https://", "src=", "@import", "url(h"] {
            assert!(!page.contains(from_outside), "{from_outside}");
        }
    }
}

#[test]
fn the_page_says_what_the_report_says() {
    let page = html(&report(0)).unwrap();
    assert!(page.contains("sqlite kept the promises that were tested"));
    assert!(page.contains("No promise was broken in what was tried."));
    assert!(
        !page.contains("id=\"coverage\""),
        "a run has no coverage of a trace"
    );
    let page = html(&explored(1)).unwrap();
    for part in [
        "sqlite broke a promise",
        "under journaled and strict",
        "Time line of the crash",
        "8,192 bytes at 0 torn; 65,536 bytes at 524,288 lost",
        "its name is lost",
        "plugpull replay findings/finding-1.json",
        "All within the bound of 2.0 s.",
        "grew with what was written",
        "901 crash points; 623 were looked at",
        "≥ 1,204,332",
    ] {
        assert!(page.contains(part), "{part:?} is missing");
    }
    let stalled = report_of(
        plan(&["delay"]),
        &[plugpull_reports::Trial {
            class: FailureClass::Stall,
            ..trial(1, "delay")
        }],
    );
    assert!(!html(&stalled).unwrap().contains("id=\"recovery\""));
}

#[test]
fn many_findings_are_folded_by_kind() {
    let few = html(&explored(3)).unwrap();
    assert!(!few.contains("class=\"group\""));
    let many = html(&explored(200)).unwrap();
    assert_eq!(many.matches("class=\"group\"").count(), KINDS.len());
    assert_eq!(many.matches("<article").count(), 200);
    // One can find one's way in them.
    assert_eq!(many.matches("href=\"#kind-").count(), KINDS.len());
    assert_eq!(many.matches("id=\"kind-").count(), KINDS.len());
    assert!(many.contains("type=\"search\""));
    assert!(many.contains("Without write log-# 1"));
}

#[test]
fn the_page_tells_of_crashes_before_the_last_and_of_what_nobody_recorded() {
    let page = html(&live()).unwrap();
    for words in [
        "power lost",
        "restart 1: write 8192 at 0",
        "The fault damaged it at rest: flipped byte 77 bit 3 of store/log-1.",
        "The service ran on its own disk.",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(page.matches("class=\"before\"").count(), 1);
    // Exactly one of the acks is the one that was lost.
    assert_eq!(
        html(&explored(1))
            .unwrap()
            .matches("class=\"ring\"")
            .count(),
        1
    );
    assert!(!page.contains("Every byte that was written is there"));
}

/// A pipeline reads what a terminal shows, line by line.
#[test]
fn no_line_on_a_terminal_is_a_command_of_a_pipeline() {
    let commands = "::stop-commands::x ::error::mine ##[error]mine ##vso[task.complete]";
    let mut report = explored(2);
    report.target.version = commands.into();
    report.faults[0].why = commands.into();
    for finding in &mut report.findings {
        finding.finding.sentence = commands.repeat(3);
        finding.finding.promise.words = commands.into();
        finding.repeat = commands.into();
        finding.output = vec![format!(
            "::stop-commands::x\n  ::error::y\n{commands}\n╔══╗\n║ a ║\n"
        )];
    }
    for width in [30, 60, 80, 100] {
        let text = render(
            &report,
            Look {
                width,
                colour: false,
            },
        );
        for line in text.lines() {
            assert!(!line.trim_start().starts_with("::"), "{line}");
            assert!(!line.contains("##["), "{line}");
            assert!(!line.contains("##vso["), "{line}");
        }
        assert!(!text.contains('╔') && text.contains("│ a\n"), "{text}");
    }
    let lines = annotations(&report).unwrap();
    for line in lines.lines() {
        let ours = ["::error title=", "::warning title=", "::notice title="];
        assert!(ours.iter().any(|ours| line.starts_with(ours)), "{line}");
        assert!(!line.contains("##["), "{line}");
    }
}

#[test]
fn damage_that_no_promise_forbids_has_a_section_with_its_worst_case() {
    let seen = |number, count| {
        let mut trial = trial(number, "flip");
        trial.observed = vec![Observation {
            kind: FindingKind::WrongValue,
            sentence: format!("{count} keys hold <b>values</b> that nobody wrote to them"),
            count,
        }];
        trial
    };
    let mut unmeasured = seen(4, 99);
    unmeasured.hit = false;
    let report = report_of(
        plan(&["flip"]),
        &[seen(1, 2), seen(2, 7), seen(3, 7), unmeasured],
    );
    let [row] = &report.observed[..] else {
        panic!("{:?}", report.observed);
    };
    assert_eq!((row.trials, row.worst, row.trial), (3, 7, 2));
    let words = "Silent corruption under flip, in 3 trials, worst in trial 2: 7 keys hold";
    let look = Look {
        width: 100,
        colour: false,
    };
    let text = render(&report, look);
    assert!(text.contains("\nObserved, not promised\n"), "{text}");
    assert!(text.contains(words), "{text}");
    let text = markdown(&report).unwrap();
    assert!(
        text.contains("### Observed, not promised") && text.contains(words),
        "{text}"
    );
    let page = html(&report).unwrap();
    assert!(page.contains("Observed, not promised") && page.contains(words));
    assert!(!page.contains("<b>") && !text.contains("<b>"));
    let nothing = report_of(plan(&["flip"]), &[trial(1, "flip")]);
    assert!(!render(&nothing, look).contains("not promised"));
    assert!(!html(&nothing).unwrap().contains("not promised"));
}
