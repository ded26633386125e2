//! The progress bar on standard error.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle};
use plugpull_workloads::FindingKind;

use crate::labels::{clean, count};
use crate::report::Report;
use crate::reporter::Reporter;
use crate::run_file::record::{Line, Record};
use crate::style::Look;

/// Shows how far a run is: time and budget, trials done, the fault at work, findings so far. One
/// line that is gone without a trace when the run ends or this is dropped. Nothing is written
/// where standard error is no terminal.
///
/// While a run lasts a thread of its own keeps the clock going.
pub struct Progress {
    bar: ProgressBar,
    colour: bool,
    started: Instant,
    trials: u64,
    fault: String,
    findings: BTreeSet<(FindingKind, String)>,
}

/// How often the line is drawn again while nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// Draws per second at most, however fast trials go by: quicker than an eye reads is flicker.
const DRAWS_PER_SECOND: u8 = 10;

impl Progress {
    /// On standard error; hidden when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
        };
        Self::on(target, Look::of_stderr().colour)
    }

    fn on(target: ProgressDrawTarget, colour: bool) -> Self {
        let bar =
            ProgressBar::with_draw_target(Some(1), target).with_finish(ProgressFinish::AndClear);
        Self {
            bar,
            colour,
            started: Instant::now(),
            trials: 0,
            fault: String::new(),
            findings: BTreeSet::new(),
        }
    }

    /// `before` is how long the run took before it was resumed.
    fn start(&mut self, budget: Duration, before: Duration) {
        let now = Instant::now();
        self.started = now.checked_sub(before).unwrap_or(now);
        self.bar.set_length(millis(budget).max(1));
        self.bar.set_style(style(budget, self.colour));
        self.bar.reset();
        self.bar.enable_steady_tick(TICK);
    }

    fn show(&self) {
        let findings = match self.findings.len() as u64 {
            0 => Cow::Borrowed("no finding"),
            n => Cow::Owned(count(n, "finding")),
        };
        let trials = count(self.trials, "trial");
        let separator = if self.fault.is_empty() { "" } else { "  " };
        // The fault comes last: it is what a narrow terminal may cut off.
        let message = format!("{trials}, {findings}{separator}{}", clean(&self.fault));
        self.bar.set_position(millis(self.started.elapsed()));
        self.bar.set_message(message);
    }
}

impl Reporter for Progress {
    fn record(&mut self, line: &Line) -> io::Result<()> {
        match &line.record {
            Record::Header(header) => {
                let budget = header.budget_us.map(Duration::from_micros);
                self.start(
                    budget.unwrap_or_default(),
                    Duration::from_micros(line.at_us),
                );
                self.show();
            }
            Record::TrialStarted(trial) => {
                self.fault.clone_from(&trial.fault);
                self.show();
            }
            Record::Trial(one) => {
                let trial = &one.trial;
                self.trials += 1;
                let kinds = trial
                    .findings
                    .iter()
                    .map(|f| (f.finding.kind, trial.fault.clone()));
                self.findings.extend(kinds);
                self.show();
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _report: &Report) -> io::Result<()> {
        self.bar.finish_and_clear();
        Ok(())
    }
}

const TEMPLATE: &str = "{clock} {bar:16} {wide_msg}";
const TEMPLATE_IN_COLOUR: &str = "{clock} {bar:16.cyan/dim} {wide_msg}";
/// Where no budget ends it: nobody knows how much there is to come.
const TEMPLATE_WITHOUT_BAR: &str = "{clock} · {wide_msg}";

fn style(budget: Duration, colour: bool) -> ProgressStyle {
    let template = match (budget.is_zero(), colour) {
        (true, _) => TEMPLATE_WITHOUT_BAR,
        (false, true) => TEMPLATE_IN_COLOUR,
        (false, false) => TEMPLATE,
    };
    let clock = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let now = state.elapsed().as_secs();
        #[expect(
            clippy::let_underscore_must_use,
            reason = "whatever happens to the line, the run goes on"
        )]
        let _ = match budget.is_zero() {
            true => write!(out, "{now} s"),
            false => write!(out, "{now} of {} s", budget.as_secs()),
        };
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("clock", clock)
        .progress_chars("━╸─")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;
    use plugpull_workloads::{FailureClass, Finding, Guarantee, Promise, Verdict};

    use super::*;
    use crate::builder::ReportBuilder;
    use crate::report::Plan;
    use crate::run_file::record::{Header, TrialRecord, TrialStarted};
    use crate::trial::{ReportedFinding, Trial};

    fn on(term: &InMemoryTerm) -> Progress {
        // 255 draws a second: no draw of this test is left out.
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 255);
        Progress::on(target, false)
    }

    fn line(record: Record) -> Line {
        Line { at_us: 0, record }
    }

    fn run_started() -> Line {
        within(Some(30_000_000))
    }

    fn within(budget_us: Option<u64>) -> Line {
        line(Record::Header(Box::new(Header {
            budget_us,
            ..Header::default()
        })))
    }

    fn begun(fault: &str) -> Line {
        line(Record::TrialStarted(TrialStarted {
            number: 1,
            fault: fault.into(),
            slot: None,
        }))
    }

    fn trial(kinds: &[FindingKind]) -> Line {
        let promise = Promise {
            classes: vec![FailureClass::ProcessCrash],
            guarantee: Guarantee::Atomic,
            words: String::new(),
            source: String::new(),
            demanded: false,
        };
        let finding = |kind: &FindingKind| ReportedFinding {
            finding: Finding {
                kind: *kind,
                sentence: String::new(),
                promise: promise.clone(),
                fault: String::new(),
                txn: None,
                key: None,
                ack: None,
                follow_up: None,
                parts: Vec::new(),
            },
            trial: 1,
            count: 1,
            repeat: String::new(),
            output: vec![],
            evidence: None,
        };
        line(Record::Trial(Box::new(TrialRecord::live(Trial {
            number: 1,
            fault: "kill".into(),
            spec: "kill@ack:3".into(),
            seed: 1,
            class: FailureClass::ProcessCrash,
            hit: true,
            what: String::new(),
            acked: 1,
            operations: 1,
            verdict: Verdict::Broken,
            observed: Vec::new(),
            why: String::new(),
            recovery_us: vec![],
            took_us: 1,
            findings: kinds.iter().map(finding).collect(),
        }))))
    }

    /// What the terminal shows after these records, with the last draw forced.
    fn shown(progress: &mut Progress, term: &InMemoryTerm, lines: &[Line]) -> String {
        for line in lines {
            progress.record(line).unwrap();
        }
        progress.bar.force_draw();
        term.contents()
    }

    #[test]
    fn one_line_says_time_trials_fault_and_findings() {
        let term = InMemoryTerm::new(5, 80);
        let mut progress = on(&term);
        let begun = begun("kill@ack:3");
        let text = shown(&mut progress, &term, &[run_started(), begun]);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("of 30 s"), "{text}");
        assert!(text.contains("0 trials, no finding  kill@ack:3"), "{text}");
        let lost = || {
            trial(&[
                FindingKind::LostAck,
                FindingKind::LostAck,
                FindingKind::Hung,
            ])
        };
        let text = shown(&mut progress, &term, &[lost(), lost()]);
        assert!(text.contains("2 trials, 2 findings"), "{text}");
    }

    #[test]
    fn without_a_budget_there_is_no_bar_to_fill() {
        let term = InMemoryTerm::new(5, 80);
        let mut progress = on(&term);
        let text = shown(&mut progress, &term, &[within(None), trial(&[])]);
        assert!(text.ends_with(" s · 1 trial, no finding"), "{text}");
        assert!(!text.contains(" of ") && !text.contains('─'), "{text}");
    }

    #[test]
    fn a_narrow_terminal_gets_one_line_too() {
        let term = InMemoryTerm::new(5, 50);
        let mut progress = on(&term);
        let begun = begun("power-loss@write:wal/[0-9]+.log:17");
        let text = shown(&mut progress, &term, &[run_started(), begun]);
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn the_end_of_a_run_leaves_a_clean_screen() {
        let term = InMemoryTerm::new(5, 80);
        let mut progress = on(&term);
        assert_ne!(
            shown(&mut progress, &term, &[run_started(), trial(&[])]),
            ""
        );
        let report = ReportBuilder::new(Plan::default()).finish(Duration::ZERO, false);
        progress.finish(&report).unwrap();
        assert_eq!(term.contents(), "");
    }

    #[test]
    fn so_does_a_run_that_ends_in_an_error() {
        let term = InMemoryTerm::new(5, 80);
        let mut progress = on(&term);
        assert_ne!(
            shown(&mut progress, &term, &[run_started(), trial(&[])]),
            ""
        );
        drop(progress);
        assert_eq!(term.contents(), "");
    }

    #[test]
    fn without_colour_there_is_none() {
        let term = InMemoryTerm::new(5, 80);
        let mut progress = on(&term);
        shown(&mut progress, &term, &[run_started(), trial(&[])]);
        let raw = String::from_utf8_lossy(&term.contents_formatted()).into_owned();
        assert!(!raw.contains("[36m") && !raw.contains("[2m"), "{raw:?}");
    }

    #[test]
    fn quiet_draws_nothing() {
        assert!(Progress::new(true).bar.is_hidden());
    }

    #[test]
    fn all_templates_are_valid() {
        for template in [TEMPLATE, TEMPLATE_IN_COLOUR, TEMPLATE_WITHOUT_BAR] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
