//! The report as Markdown, for the summary page of a CI job.

use std::io;

use crate::card::{Card, addresses};
use crate::conclusion::{Tone, closing, row_verdict, tone};
use crate::facts::Facts;
use crate::growth::Growth;
use crate::growth::sentences::{bytes_words, size_words};
use crate::labels::{capital, clean, count, duration_words, guarantee_words, kind_words, list};
use crate::promise_results::{Outcome, PromiseLine, promises};
use crate::render_coverage::describe_coverage;
use crate::render_finding::{OBSERVED, describe_observed};
use crate::render_growth::describe_growth;
use crate::render_sync_audit::cost;
use crate::report::{FaultRow, Report};
use crate::sync_audit::SyncAudit;
use crate::trial::ReportedFinding;

/// So many findings are shown; a job summary may have 1 MiB.
const SHOWN: usize = 50;

/// The report as Markdown (GitHub's and GitLab's): the verdict, promises, faults, findings with
/// the command that repeats each. Text from outside is escaped, so that it shows as it is.
pub fn markdown(report: &Report) -> io::Result<String> {
    let mut page = String::new();
    let target = &report.target;
    let mut head = escape(&target.name);
    if !target.version.is_empty() {
        head.push_str(&format!(" – {}", escape(&target.version)));
    }
    line(&mut page, &format!("## plugpull: {head}\n"));
    line(
        &mut page,
        &format!(
            "**{}** {}\n",
            escape(&closing(report)),
            escape(&seed_and_time(report))
        ),
    );
    for warning in &report.warnings {
        line(&mut page, &format!("> Warning: {}\n", escape(warning)));
    }
    let facts = Facts::of(report)?;
    let lines = promises(report, &facts);
    let neutral = tone(report) == Tone::Neutral;
    if !lines.is_empty() {
        line(&mut page, "| promise | result |\n| --- | --- |");
        for one in &lines {
            line(&mut page, &promise_row(one, neutral));
        }
        line(&mut page, "");
    }
    if !report.faults.is_empty() {
        line(
            &mut page,
            "| fault | trials | hit | verdict | recovery p50 | p99 | max |\n\
             | --- | ---: | ---: | --- | ---: | ---: | ---: |",
        );
        for row in &report.faults {
            line(&mut page, &fault_row(row, neutral));
        }
        line(&mut page, "");
    }
    let observed = describe_observed(report);
    if !observed.is_empty() {
        line(&mut page, &format!("### {OBSERVED}\n"));
        for sentence in observed {
            line(&mut page, &format!("- {}", escape(&sentence)));
        }
        line(&mut page, "");
    }
    if let Some(growth) = &report.growth {
        line(&mut page, &growth_section(growth, &facts));
    }
    if let Some(audit) = &report.sync_audit {
        line(&mut page, &audit_section(audit));
    }
    for sentence in describe_coverage(report) {
        line(&mut page, &format!("{}\n", escape(&sentence)));
    }
    for (index, finding) in report.findings.iter().take(SHOWN).enumerate() {
        finding_section(&mut page, index + 1, finding);
    }
    let more = report.findings.len().saturating_sub(SHOWN) as u64;
    if more > 0 {
        line(
            &mut page,
            &format!("{} in the JSON report.\n", count(more, "more finding")),
        );
    }
    Ok(page)
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

fn seed_and_time(report: &Report) -> String {
    let mut text = format!(
        "Seed {}, {}, {}.",
        report.seed,
        count(report.trials, "trial"),
        duration_words(report.took_us)
    );
    if let Some(shard) = &report.shard {
        text.push_str(&format!(" Shard {}.", shard.name()));
    }
    if report.interrupted {
        text.push_str(" The run was ended before every fault was tried.");
    }
    text
}

fn promise_row(one: &PromiseLine<'_>, neutral: bool) -> String {
    let promise = one.promise;
    let source = match (promise.demanded, promise.source.is_empty()) {
        (true, _) => " <br>*demanded by --promise*".into(),
        (false, true) => String::new(),
        (false, false) => format!(" <br>*{}*", linked(&clean(&promise.source))),
    };
    let result = match &one.outcome {
        Outcome::Kept if neutral => {
            format!("➖ no finding under {}", escape(&list(&one.kept_under)))
        }
        Outcome::Kept => format!("✅ kept under {}", escape(&list(&one.kept_under))),
        Outcome::Broken(_) => {
            format!("❌ **broken** under {}", escape(&list(&one.broken_under)))
        }
        Outcome::Skipped(why) => format!("➖ not measured: {}", escape(why)),
        Outcome::Error(why) => format!("⚠️ plugpull itself failed: {}", escape(why)),
    };
    format!(
        "| {}{source} | {result} |",
        escape(&guarantee_words(promise.guarantee))
    )
}

fn fault_row(row: &FaultRow, neutral: bool) -> String {
    let time = |us| match row.recovery.count {
        0 => "–".to_string(),
        _ => duration_words(us),
    };
    let why = match row.why.is_empty() {
        true => String::new(),
        false => format!(": {}", escape(&row.why)),
    };
    format!(
        "| {} | {} | {} | {}{why} | {} | {} | {} |",
        escape(&row.fault),
        row.trials,
        row.hit,
        row_verdict(row.verdict, neutral),
        time(row.recovery.p50_us),
        time(row.recovery.p99_us),
        time(row.recovery.max_us),
    )
}

/// How recovery grows: what is made of it, and a row for each size.
fn growth_section(growth: &Growth, facts: &Facts) -> String {
    let mut text = String::new();
    for sentence in describe_growth(growth, facts) {
        line(&mut text, &format!("{}\n", escape(&sentence)));
    }
    text.push_str(
        "| transactions | log size | data directory | runs | recovery p50 | min | max |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for size in &growth.sizes {
        let row = format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            size.wanted,
            size_words(growth.unit, size.size),
            bytes_words(size.disk_bytes),
            size.count,
            duration_words(size.p50_us),
            duration_words(size.min_us),
            duration_words(size.max_us)
        );
        line(&mut text, &row);
    }
    text
}

/// Which syncs are needed: a row for each site, and what can go together.
fn audit_section(audit: &SyncAudit) -> String {
    let mut text = format!("{}.\n\n", escape(&audit.headline()));
    text.push_str("| | syncs | each | sync | needed? |\n| ---: | ---: | ---: | --- | --- |\n");
    for (nth, site) in audit.sites.iter().enumerate() {
        let row = format!(
            "| {} | {} | {} | {} | {} |",
            nth + 1,
            site.count,
            cost(audit, nth).unwrap_or_default(),
            escape(&site.place()),
            escape(&site.verdict())
        );
        line(&mut text, &row);
    }
    for note in audit.notes() {
        line(&mut text, &format!("\n{}", escape(&note)));
    }
    text
}

fn finding_section(page: &mut String, number: usize, reported: &ReportedFinding) {
    let card = Card::of(reported);
    let subject = match card.subject.is_empty() {
        true => String::new(),
        false => format!(": {}", escape(&card.subject)),
    };
    let kind = capital(kind_words(reported.finding.kind));
    line(page, &format!("### {number}. {kind}{subject}\n"));
    line(page, "| | |\n| --- | --- |");
    let mut last = "";
    for one in &card.lines {
        let label = if one.label == last { "" } else { one.label };
        last = one.label;
        let source = match one.source.is_empty() {
            true => String::new(),
            false => format!(" ({})", linked(&one.source)),
        };
        line(
            page,
            &format!("| {label} | {}{source} |", escape(&one.text)),
        );
    }
    if let Some(artifact) = reported
        .evidence
        .iter()
        .find_map(|one| one.artifact.as_ref())
    {
        line(page, &format!("| artifact | {} |", escape(artifact)));
    }
    line(page, "");
    if !card.replay.is_empty() {
        line(page, &fenced(&card.replay));
    }
}

/// A source whose addresses are links.
fn linked(source: &str) -> String {
    let words = addresses(source).into_iter();
    let words = words.map(|(word, is_address)| match is_address {
        true => format!("[{}]({word})", escape(word)),
        false => escape(word),
    });
    words.collect()
}

/// A command as a block of code. The fence is longer than any run of backticks in it.
fn fenced(command: &str) -> String {
    let longest = command.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}sh\n{command}\n{fence}\n")
}

/// Text on one line in which Markdown and HTML see nothing of theirs.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // An address or a mention would become a link.
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '|' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
