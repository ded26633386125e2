//! A finding, on a terminal.

use console::Style;

use crate::diagnosis::Diagnosis;
use crate::labels::{capital, clean, count, count_grouped, guarantee_words, kind_words};
use crate::layout::Page;
use crate::report::{NotPromised, Report};
use crate::trial::ReportedFinding;

/// What stands over damage that no promise forbids.
pub(crate) const OBSERVED: &str = "Observed, not promised";

/// How many lines of the target's output are shown for each of a few findings, and for each of
/// many. The JSON report has all that were kept.
pub(crate) const OUTPUT_LINES: [usize; 2] = [5, 2];

/// Width of the indent and a label: `   Promise  `.
const LABEL: usize = 9;

/// Writes the finding at this index as an entry of the list: a headline, the sentence, the promise
/// with its source, the command that repeats it unless an entry before has the same, the end of the
/// target's output, of which at most `output_lines` lines.
pub(crate) fn render_finding(
    page: &mut Page,
    findings: &[ReportedFinding],
    index: usize,
    output_lines: usize,
) {
    let reported = &findings[index];
    let finding = &reported.finding;
    let more = match reported.count.saturating_sub(1) {
        0 => String::new(),
        more => format!(", and {} like it", count(more, "more trial")),
    };
    let headline = format!(
        "{} under {} (trial {}{more})",
        capital(kind_words(finding.kind)),
        clean(&finding.fault),
        reported.trial,
    );
    let number = format!("{}. ", index + 1);
    let margin = " ".repeat(number.len());
    page.paragraph(&number, 0, &headline, Some(Style::new().bold()));
    page.paragraph(&margin, 0, &clean(&finding.sentence), None);
    labelled(page, &margin, "Promise", &promise(reported));
    let evidence = reported.evidence.as_ref();
    if let Some(tries) = evidence.and_then(|evidence| evidence.tries) {
        labelled(page, &margin, "Tried", &format!("{}.", tries.describe()));
    }
    for (name, line) in evidence.iter().flat_map(|evidence| evidence.makers()) {
        labelled(page, &margin, name, &clean(&line));
    }
    let diagnosis = evidence.and_then(|evidence| evidence.diagnosis.as_ref());
    for (label, text) in diagnosis.into_iter().flat_map(Diagnosis::lines) {
        labelled(page, &margin, label, &format!("{}.", clean(&text)));
    }
    let mut before = findings[..index].iter();
    if let Some(same) = before.position(|one| one.repeat == reported.repeat)
        && !reported.repeat.is_empty()
    {
        let words = format!("by the command of {}", same + 1);
        labelled(page, &margin, "Repeat", &words);
    } else if !reported.repeat.is_empty() {
        page.command(&label(&margin, "Repeat"), &clean(&reported.repeat));
    }
    output(page, &margin, &reported.output, output_lines);
}

fn promise(reported: &ReportedFinding) -> String {
    let promise = &reported.finding.promise;
    let mut text = guarantee_words(promise.guarantee);
    if promise.demanded {
        text.push_str(". Demanded by --promise: the target itself does not promise it.");
        return text;
    }
    if !promise.words.is_empty() {
        text.push_str(&format!(". “{}”", clean(&promise.words)));
    }
    if !promise.source.is_empty() {
        text.push_str(&format!(" ({})", clean(&promise.source)));
    }
    text
}

/// The end of what the last life wrote that wrote anything.
fn output(page: &mut Page, margin: &str, lives: &[String], most: usize) {
    let lines_of = |life: &String| -> Vec<String> {
        life.lines()
            .map(|line| unframed(&clean(line)))
            .filter(|l| !l.is_empty())
            .collect()
    };
    let Some((life, lines)) = lives
        .iter()
        .map(lines_of)
        .enumerate()
        .rfind(|(_, lines)| !lines.is_empty())
    else {
        return;
    };
    let whose = match life {
        0 => "of the first start".to_string(),
        life => format!("of restart {life}"),
    };
    let shown = &lines[lines.len().saturating_sub(most)..];
    let part = if shown.len() < lines.len() {
        format!(", last {} of {} lines", shown.len(), lines.len())
    } else {
        String::new()
    };
    labelled(page, margin, "Output", &format!("{whose}{part}"));
    for line in shown {
        page.quote(&format!("{margin}│ "), line);
    }
}

/// What was seen that no promise forbids: a sentence for each kind and fault, with its worst case.
pub(crate) fn describe_observed(report: &Report) -> Vec<String> {
    let one = |seen: &NotPromised| {
        let worst = match seen.trials {
            1 => format!("in trial {}", seen.trial),
            n => format!(
                "in {}, worst in trial {}",
                count_grouped(n, "trial"),
                seen.trial
            ),
        };
        clean(&format!(
            "{} under {}, {worst}: {}.",
            capital(kind_words(seen.kind)),
            seen.fault,
            seen.sentence
        ))
    };
    report.observed.iter().map(one).collect()
}

/// Writes it under a headline of its own; nothing where there is none.
pub(crate) fn render_observed(page: &mut Page, report: &Report) {
    let all = describe_observed(report);
    if all.is_empty() {
        return;
    }
    page.gap();
    page.paragraph("", 0, OBSERVED, Some(Style::new().bold()));
    for sentence in all {
        page.paragraph("  ", 2, &sentence, None);
    }
}

/// A line without what draws a frame around it.
fn unframed(line: &str) -> String {
    let drawn = |c: char| ('\u{2500}'..='\u{259f}').contains(&c);
    match line.contains(drawn) {
        true => line.replace(drawn, " ").trim().to_string(),
        false => line.trim_end().to_string(),
    }
}

fn label(margin: &str, name: &str) -> String {
    format!("{margin}{name:<LABEL$}")
}

fn labelled(page: &mut Page, margin: &str, name: &str, text: &str) {
    page.paragraph(&label(margin, name), 0, text, None);
}
