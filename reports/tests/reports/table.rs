//! The closing text: it fits, it says the right thing, and it keeps its colours to itself.

use plugpull_reports::{Look, Plan, Report, SHOWN_FINDINGS, render};
use plugpull_testing::test;
use plugpull_workloads::{FindingKind, Verdict};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::made_up::{broken, finding, other, plan, report, report_of, trial};

fn plain(report: &Report, width: usize) -> String {
    render(
        report,
        Look {
            width,
            colour: false,
        },
    )
}

/// The first line that is longer than `width` columns.
fn too_long(text: &str, width: usize) -> Option<&str> {
    text.lines()
        .find(|line| console::measure_text_width(line) > width)
}

/// The closing sentence, its lines joined.
fn closing(report: &Report) -> String {
    plain(report, 100)
        .trim_end()
        .rsplit("\n\n")
        .next()
        .unwrap_or_default()
        .replace('\n', " ")
}

#[test]
fn no_line_is_longer_than_the_terminal() {
    for findings in [0, 1, 12] {
        for width in [40, 60, 80, 100] {
            for colour in [false, true] {
                let text = render(&report(findings), Look { width, colour });
                assert_eq!(
                    too_long(&text, width),
                    None,
                    "{findings} findings at {width}"
                );
            }
        }
    }
}

#[test]
fn a_line_that_is_too_long_would_be_seen() {
    assert!(too_long("äöü", 2).is_some());
    assert!(too_long("\u{1b}[31mäöü\u{1b}[0m", 3).is_none());
    assert!(too_long("写入", 3).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// Whatever a target or a file name says, the text fits and holds no control codes.
    #[test]
    fn text_from_outside_cannot_break_the_layout(
        sentence in "(\\PC|\\s|[\\x00-\\x1f]|写|❤️|👩‍👩‍👧| ){0,200}",
        output in "(\\PC|\\n|\\t|\\x1b\\[2J){0,200}",
        fault in "[a-z]{1,12}(-[a-z]{1,12}){0,4}",
        width in prop::sample::select(vec![60usize, 80, 100]),
    ) {
        let mut trial = broken(1, &fault, &[FindingKind::LostAck]);
        let first = &mut trial.findings[0];
        first.finding.promise.words.clone_from(&sentence);
        first.output = vec![output];
        first.finding.sentence = sentence.clone();
        let error = other(2, "disk-full", Verdict::HarnessError, &sentence);
        let text = plain(&report_of(plan(&[&fault, "disk-full"]), &[trial, error]), width);
        prop_assert_eq!(too_long(&text, width), None);
        prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{:?}", text);
    }
}

#[test]
fn a_word_of_a_command_stays_whole() {
    let path = format!("/srv/{}", "x".repeat(90));
    let mut trial = broken(1, "kill", &[FindingKind::LostAck]);
    trial.findings[0].repeat = format!("plugpull replay {path} --shell");
    let text = plain(&report_of(plan(&["kill"]), &[trial]), 60);
    assert!(text.contains(&path), "{text}");
}

#[test]
fn a_row_says_fault_trials_bit_verdict_and_recovery() {
    let text = plain(&report(12), 80);
    let row = |name: &str| -> Vec<String> {
        let line = text
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_default()
            .split("  ")
            .map(str::trim)
            .filter(|c| !c.is_empty())
            .map(str::to_string)
            .collect()
    };
    assert_eq!(
        row("fault"),
        [
            "fault",
            "trials",
            "hit",
            "verdict",
            "recovery p50",
            "p99",
            "max"
        ]
    );
    assert_eq!(
        row("kill"),
        ["kill", "15", "15", "pass", "6.1 ms", "8.9 ms", "8.9 ms"]
    );
    assert_eq!(row("delay")[..4], ["delay", "15", "10", "pass"]);
    assert_eq!(row("bit-flip")[3], "no promise");
    assert_eq!(row("power-loss")[3], "broken");
    assert_eq!(row("oom"), ["oom", "0", "0", "not measured", "–", "–", "–"]);
}

#[test]
fn the_head_names_target_version_settings_and_seed() {
    let text = plain(&report(0), 100);
    let head = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .replace("\n ", "");
    assert_eq!(
        head,
        "plugpull 0.1.0 · sqlite: SQLite 3.50.2, journal_mode=wal, synchronous=full, \
         page_size=4096 · seed 42 · recovery bound 2.0 s"
    );
}

#[test]
fn notes_say_why_once_for_all_rows_with_the_same_reason() {
    let text = plain(&report(12), 100).replace("\n  ", " ");
    assert_eq!(text.matches("memory cgroup").count(), 1, "{text}");
    assert!(
        text.contains("Not measured: memory and oom – the kernel gives"),
        "{text}"
    );
    assert!(
        text.contains("No promise: bit-flip – SQLite promises nothing"),
        "{text}"
    );
}

#[test]
fn a_finding_says_what_which_promise_how_to_repeat_and_the_last_output() {
    let text = plain(&report(1), 80);
    for part in [
        "1  LOST ACK\n",
        "   found           Transaction 17 of client 0 put k3",
        "   seen            under power-loss@ack:14 in trial 4, and in 2 more trials\n",
        "   promise         durable from the ack on: “a transaction is durable once\n",
        "(Made-up Store Manual, section 3.1)\n",
        "   repeat          plugpull run sqlite --set synchronous=off",
        "   output          of restart 1, last 5 of 9 lines\n",
        "   │ 12:00:09 store[17]: replayed segment 9\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn a_demanded_promise_is_not_put_into_the_targets_mouth() {
    let mut trial = broken(1, "kill", &[FindingKind::LostAck]);
    trial.findings[0].finding.promise.demanded = true;
    let text =
        plain(&report_of(plan(&["kill"]), &[trial]), 100).replace("\n                   ", " ");
    assert!(
        text.contains("demanded by --promise, the target itself does not promise it"),
        "{text}"
    );
    assert!(!text.contains("Manual"), "{text}");
}

#[test]
fn many_findings_are_counted_and_not_all_shown() {
    let many = report(12);
    assert_eq!(many.findings.len(), 12);
    let text = plain(&many, 80);
    assert!(text.contains(&format!("\n{SHOWN_FINDINGS} ")), "{text}");
    assert!(
        !text.contains(&format!("\n{} ", SHOWN_FINDINGS + 1)),
        "{text}"
    );
    assert!(
        text.contains("\n2 more findings in the JSON report.\n"),
        "{text}"
    );
}

#[test]
fn the_closing_sentence_says_the_verdict() {
    let kill = |trials: &[_]| report_of(plan(&["kill"]), trials);
    let unmeasured = || other(2, "kill", Verdict::NotMeasured, "too early");
    let failed = || other(2, "kill", Verdict::HarnessError, "no sandbox");
    let lost = || broken(3, "kill", &[FindingKind::LostAck]);
    for (report, sentence) in [
        (
            kill(&[trial(1, "kill"), trial(2, "kill")]),
            "All promises kept in 2 trials.",
        ),
        (
            kill(&[trial(1, "kill"), unmeasured()]),
            "All promises kept in 1 trial; 1 more was not measured.",
        ),
        (
            kill(&[trial(1, "kill"), lost()]),
            "1 promise broken in 1 of 2 trials.",
        ),
        (
            kill(&[lost(), failed()]),
            "1 promise broken in 1 of 1 measured trial. plugpull itself failed in 1 other.",
        ),
        (
            kill(&[trial(1, "kill"), failed()]),
            "No verdict: plugpull itself failed in 1 of 2 trials.",
        ),
        (kill(&[unmeasured()]), "Not measured: kill."),
        (
            report_of(plan(&["kill", "oom"]), &[trial(1, "kill")]),
            "Not measured: oom. No finding in the 1 trial that was measured.",
        ),
        (
            report_of(
                plan(&["kill", "oom"]),
                &[
                    trial(1, "kill"),
                    other(2, "oom", Verdict::NotApplicable, "no cgroup"),
                ],
            ),
            "All promises kept in 1 trial. Not applicable: oom.",
        ),
        (
            report_of(
                Plan {
                    allow_not_measured: true,
                    ..plan(&["kill", "oom"])
                },
                &[trial(1, "kill")],
            ),
            "All promises kept in 1 trial. Not measured, as allowed: oom.",
        ),
        (
            report_of(
                Plan {
                    assumed: vec!["Assumed: small sectors.".into()],
                    ..plan(&["kill"])
                },
                &[trial(1, "kill")],
            ),
            "All promises kept in 1 trial. Assumed: small sectors.",
        ),
        (
            kill(&[other(1, "kill", Verdict::NoPromise, "none")]),
            "Not measured: the target promises nothing for what was done to it.",
        ),
        (
            report_of(plan(&[]), &[]),
            "Not measured: no trial was made.",
        ),
    ] {
        assert_eq!(closing(&report), sentence);
    }
}

#[test]
fn two_promises_broken_are_two() {
    let mut trial = broken(1, "kill", &[FindingKind::LostAck, FindingKind::LostAck]);
    trial.findings[1] = finding(FindingKind::TornTransaction);
    trial.findings[1].finding.promise.guarantee = plugpull_workloads::Guarantee::Atomic;
    let report = report_of(plan(&["kill"]), &[trial]);
    assert_eq!(closing(&report), "2 promises broken in 1 of 1 trial.");
}

#[test]
fn control_codes_are_for_colour_only_and_only_where_it_is_wanted() {
    for findings in [0, 1, 12] {
        assert!(!plain(&report(findings), 80).contains('\u{1b}'));
        let coloured = render(
            &report(findings),
            Look {
                width: 80,
                colour: true,
            },
        );
        assert!(coloured.contains('\u{1b}'), "colour was asked for");
        let stripped = console::strip_ansi_codes(&coloured);
        let trimmed: Vec<&str> = stripped.lines().map(str::trim_end).collect();
        assert_eq!(trimmed.join("\n") + "\n", plain(&report(findings), 80));
    }
}

#[test]
fn no_line_ends_in_blanks() {
    let text = plain(&report(12), 80);
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
}

#[test]
fn a_command_that_repeats_several_findings_is_shown_once() {
    let mut same = report(3);
    for finding in &mut same.findings {
        finding.repeat = "plugpull attach --mode=all".into();
    }
    let text = plain(&same, 100);
    assert_eq!(text.matches("plugpull attach").count(), 1, "{text}");
    assert_eq!(text.matches("by the command of 1").count(), 2, "{text}");
}
