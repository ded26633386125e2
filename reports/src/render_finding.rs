//! A finding, on a terminal.

use console::Style;

use crate::card::Card;
use crate::labels::{capital, clean, count_grouped, kind_words};
use crate::layout::Page;
use crate::report::{NotPromised, Report};
use crate::trial::ReportedFinding;

/// What stands over damage that no promise forbids.
pub(crate) const OBSERVED: &str = "Observed, not promised";

/// How many lines of the target's output are shown for each of a few findings, and for each of
/// many. The JSON report has all that were kept.
pub(crate) const OUTPUT_LINES: [usize; 2] = [5, 2];

/// Width of a label: `lost on disk    `.
const LABEL: usize = 16;

/// Writes the finding at this index as a card of the list: a headline, the card's lines, the command that
/// repeats it unless an entry before has the same, the end of the target's output, of which at most
/// `output_lines` lines.
pub(crate) fn render_finding(
    page: &mut Page,
    findings: &[ReportedFinding],
    index: usize,
    output_lines: usize,
) {
    let reported = &findings[index];
    let card = Card::of(reported);
    let number = format!("{:<3}", format!("{} ", index + 1));
    let margin = " ".repeat(number.len());
    page.paragraph(
        &number,
        0,
        &card.headline(),
        Some(Style::new().red().bold()),
    );
    for (label, text) in card.labelled() {
        labelled(page, &margin, label, &text);
    }
    let mut before = findings[..index].iter();
    if card.replay.is_empty() {
        // Nothing shows it again.
    } else if let Some(same) = before.position(|one| one.repeat == reported.repeat) {
        let words = format!("by the command of {}", same + 1);
        labelled(page, &margin, card.replay_label(), &words);
    } else {
        page.command(&label(&margin, card.replay_label()), &card.replay);
    }
    output(page, &margin, &reported.output, output_lines);
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
    labelled(page, margin, "output", &format!("{whose}{part}"));
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
