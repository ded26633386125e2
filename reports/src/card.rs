//! A finding as a card: a headline, and lines with a label each. Every form of the report for people shows
//! these lines.

use plugpull_workloads::{FindingKind, PartKind};

use crate::evidence::Evidence;
use crate::labels::{clean, count_grouped, guarantee_words, kind_words};
use crate::trial::ReportedFinding;

/// What users' filesystems do, and what a model allows that no filesystem need do.
const REAL: [&str; 4] = ["ext4", "xfs", "btrfs", "ext4-writeback"];

/// The label of the line with the command that shows a finding again.
const REPLAY: &str = "replay";

/// A finding for people.
pub struct Card {
    /// What was broken: "LOST ACK".
    pub kind: String,
    /// Of what: "t14 of client 1, acknowledged at 55 ms". Empty where an older version wrote the finding.
    pub subject: String,
    /// What is known of it, in order.
    pub lines: Vec<CardLine>,
    /// The command that shows it again; empty where there is none.
    pub replay: String,
}

/// A line of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardLine {
    /// What it says: "lost on disk".
    pub label: &'static str,
    /// In plain words, without full stop.
    pub text: String,
    /// The document behind it, where it cites one.
    pub source: String,
}

impl Card {
    /// The card of a finding.
    pub fn of(reported: &ReportedFinding) -> Self {
        let finding = &reported.finding;
        let evidence = reported.evidence.as_deref();
        let subject = parts(reported, PartKind::Subject)
            .next()
            .unwrap_or_default();
        let mut lines = CardLines(Vec::new());
        if finding.parts.is_empty() {
            lines.add("found", &finding.sentence);
        }
        for (label, kind) in [
            ("done before", PartKind::Before),
            ("lost on disk", PartKind::Lost),
            ("not synced", PartKind::NotSynced),
            ("read back", PartKind::ReadBack),
            ("the check said", PartKind::Check),
            ("in all", PartKind::InAll),
        ] {
            parts(reported, kind).for_each(|text| lines.add(label, &text));
        }
        lines.add("can happen on", &can_happen_on(reported));
        if let Some(evidence) = evidence {
            diagnosed(&mut lines, evidence);
            for (label, line) in evidence.makers() {
                lines.add(label, &line);
            }
        }
        if let Some(smallest) = evidence.and_then(|evidence| evidence.smallest.as_ref()) {
            lines.add("smallest", &smallest.describe());
            lines.add("smallest", &smallest.command());
        }
        parts(reported, PartKind::Crash).for_each(|text| lines.add("crash", &text));
        lines.add("seen", &seen(reported));
        if let Some(tries) = evidence.and_then(|evidence| evidence.tries) {
            lines.add("tried", &tries.describe());
        }
        parts(reported, PartKind::Note).for_each(|text| lines.add("note", &text));
        lines.promise(reported);
        Self {
            kind: clean(kind_words(finding.kind)).to_uppercase(),
            subject,
            lines: lines.0,
            replay: clean(&reported.repeat),
        }
    }

    /// The headline: "LOST ACK   t14 of client 1, acknowledged at 55 ms".
    pub fn headline(&self) -> String {
        match self.subject.is_empty() {
            true => self.kind.clone(),
            false => format!("{}   {}", self.kind, self.subject),
        }
    }

    /// The lines as text, and the command; a label stands before the first of its lines alone.
    pub fn text(&self) -> String {
        let mut text = self.headline();
        for line in self.labelled() {
            let (label, words) = (line.0, line.1);
            text.push_str(&format!("\n{label:<15} {words}"));
        }
        if !self.replay.is_empty() {
            text.push_str(&format!("\n{:<15} {}", self.replay_label(), self.replay));
        }
        text
    }

    /// The lines with their labels, empty where that of the line before is the same.
    pub(crate) fn labelled(&self) -> Vec<(&'static str, String)> {
        let mut last = "";
        let labelled = self.lines.iter().map(|line| {
            let label = if line.label == last { "" } else { line.label };
            last = line.label;
            (label, line.whole())
        });
        labelled.collect()
    }

    /// The label of the command: a replay of what was kept, or the whole run again.
    pub(crate) fn replay_label(&self) -> &'static str {
        match self.replay.starts_with("plugpull replay ") {
            true => REPLAY,
            false => "repeat",
        }
    }

    /// The texts of the lines with one of these labels.
    pub(crate) fn texts(&self, labels: &[&str]) -> Vec<&CardLine> {
        let lines = self.lines.iter();
        lines.filter(|line| labels.contains(&line.label)).collect()
    }
}

impl CardLine {
    /// With the document behind it.
    pub fn whole(&self) -> String {
        match self.source.is_empty() {
            true => self.text.clone(),
            false => format!("{} ({})", self.text, self.source),
        }
    }
}

/// The name of a finding in addresses and files: `lost-ack-1`, by its kind and its number in the report.
pub fn finding_name(kind: FindingKind, number: usize) -> String {
    format!("{}-{number}", kind_name(kind))
}

/// The name of a kind in reports, addresses and files: `lost-ack`.
pub(crate) fn kind_name(kind: FindingKind) -> String {
    let name = serde_json::to_value(kind).unwrap_or_default();
    name.as_str().unwrap_or("finding").to_owned()
}

/// The words of a source and what is between them, and which of them are addresses that may be links. What ends a sentence or a
/// parenthesis is no part of an address.
pub(crate) fn addresses(source: &str) -> Vec<(&str, bool)> {
    let mut words = Vec::new();
    for word in source.split_whitespace() {
        if !words.is_empty() {
            words.push((" ", false));
        }
        let address = word.trim_end_matches([',', ';', '.', ')', ':']);
        match is_address(address) {
            true if address.len() == word.len() => words.push((word, true)),
            true => words.extend([(address, true), (&word[address.len()..], false)]),
            false => words.push((word, false)),
        }
    }
    words
}

/// An address that a browser may be sent to.
fn is_address(source: &str) -> bool {
    let rest = source
        .strip_prefix("https://")
        .or_else(|| source.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .chars()
                .all(|c| c.is_ascii_graphic() && !"\"'<>`\\()[]{}|^".contains(c))
    })
}

struct CardLines(Vec<CardLine>);

impl CardLines {
    /// Adds a line that says something.
    fn add(&mut self, label: &'static str, text: &str) {
        let text = clean(text);
        let text = text.trim().trim_end_matches('.');
        if !text.is_empty() {
            self.0.push(CardLine {
                label,
                text: text.to_owned(),
                source: String::new(),
            });
        }
    }

    fn promise(&mut self, reported: &ReportedFinding) {
        let promise = &reported.finding.promise;
        let mut text = guarantee_words(promise.guarantee);
        let mut source = String::new();
        if promise.demanded {
            text.push_str("; demanded by --promise, the target itself does not promise it");
        } else {
            if !promise.words.is_empty() {
                text.push_str(&format!(": “{}”", clean(&promise.words)));
            }
            source = clean(&promise.source);
        }
        self.0.push(CardLine {
            label: "promise",
            text,
            source,
        });
    }
}

fn parts(reported: &ReportedFinding, kind: PartKind) -> impl Iterator<Item = String> {
    let parts = reported.finding.parts.iter();
    parts
        .filter(move |part| part.kind == kind)
        .map(|part| clean(&part.text))
}

/// Where and how often it was seen: "under ext4@139 in trial 4, and in 2,033 more trials".
fn seen(reported: &ReportedFinding) -> String {
    let more = match reported.count.saturating_sub(1) {
        0 => String::new(),
        more => format!(", and in {}", count_grouped(more, "more trial")),
    };
    format!(
        "under {} in trial {}{more}",
        reported.finding.fault, reported.trial
    )
}

/// What it takes: a plain kill, users' filesystems first, then what only a model allows. Empty where that is
/// not known.
fn can_happen_on(reported: &ReportedFinding) -> String {
    let evidence = reported.evidence.as_deref();
    let models = evidence.map_or(&[][..], |evidence| &evidence.models);
    if reported.finding.fault.starts_with("kill@") && evidence.is_some() {
        return "any filesystem, by a plain kill".into();
    }
    let of = |real: bool| -> Vec<&str> {
        let models = models.iter().map(String::as_str);
        let mut some: Vec<&str> = models.filter(|one| REAL.contains(one) == real).collect();
        some.sort_by_key(|one| REAL.iter().position(|known| known == one));
        some
    };
    let (real, modelled) = (of(true).join(", "), of(false).join(", "));
    match (real.is_empty(), modelled.is_empty()) {
        (true, true) => String::new(),
        (false, true) => real,
        (false, false) => format!("{real} (and {modelled})"),
        (true, false) => format!("no filesystem that is known to do it ({modelled})"),
    }
}

/// What lies behind it, and what makes it go.
fn diagnosed(lines: &mut CardLines, evidence: &Evidence) {
    let Some(diagnosis) = &evidence.diagnosis else {
        return;
    };
    lines.add(
        "cause",
        &format!("{}: {}", diagnosis.property.label(), diagnosis.cause),
    );
    match &diagnosis.fix {
        Some(fix) => lines.add("fix, verified", &fix.describe()),
        None => lines.add("fix", &diagnosis.no_fix),
    }
    if diagnosis.fix.is_none() && !diagnosis.refuted.is_empty() {
        lines.add("in vain", &diagnosis.refuted.join("; "));
    }
    for other in &diagnosis.same_fix {
        lines.add("also goes", other);
    }
}
