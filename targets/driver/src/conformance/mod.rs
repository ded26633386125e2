//! Conformance: what a driver gets wrong of the protocol, rule by rule, in words for its author.

mod data;
mod lines;
mod talk;

use std::time::Duration;

use serde::Serialize;

use crate::host::Commands;
use crate::{Host, StartError};
use talk::Talk;

/// Where a driver is started and killed. The data directory is empty at first, and stays.
pub trait Stand {
    /// Where it is started.
    fn host(&self) -> &dyn Host;
    /// Kills everything that was started, with SIGKILL, and waits until it is gone.
    fn kill(&self) -> std::io::Result<()>;
}

/// How a rule fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is kept.
    Ok,
    /// It is broken: what was sent, what came back, and what is wrong with it.
    Wrong {
        /// The line that was sent last, without its end.
        sent: String,
        /// The line that came back; none where none did.
        came: Option<String>,
        /// What is wrong.
        why: String,
    },
    /// It could not be judged, because of this.
    Skipped(String),
}

/// A rule and how it fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The rule's name.
    pub rule: &'static str,
    /// What it asks for, in one line.
    pub about: &'static str,
    /// How it fared.
    pub outcome: Outcome,
}

/// What is wrong, in a rule's own words; the lines are added where it is shown.
pub(super) enum Fault {
    /// The rule is broken.
    Wrong(String),
    /// The rule does not apply.
    Skip(String),
    /// plugpull's own trouble.
    Own(StartError),
}

type Kept = Result<(), Fault>;

/// A rule: its name, what it asks for, and its judge.
pub(super) struct Rule {
    name: &'static str,
    about: &'static str,
    judge: fn(&mut Talk<'_>) -> Kept,
}

fn rules() -> impl Iterator<Item = &'static Rule> {
    lines::HELLO.iter().chain(data::RULES).chain(lines::RULES)
}

/// The names of all rules, in the order in which they are judged.
pub fn rule_names() -> Vec<&'static str> {
    rules().map(|rule| rule.name).collect()
}

/// Judges every rule. An answer is waited for as long as `patience`. An error is plugpull's own
/// trouble, not the driver's.
pub fn judge(
    commands: &Commands,
    stand: &dyn Stand,
    patience: Duration,
) -> Result<Vec<Judged>, StartError> {
    let mut talk = Talk::new(commands, stand, patience)?;
    let mut all = Vec::new();
    let mut introduced = true;
    for rule in rules() {
        let outcome = if introduced {
            talk.begin_rule();
            let kept = (rule.judge)(&mut talk);
            match kept {
                Ok(()) => Outcome::Ok,
                Err(Fault::Skip(why)) => Outcome::Skipped(why),
                Err(Fault::Own(error)) => return Err(error),
                Err(Fault::Wrong(why)) => {
                    let (sent, came) = talk.last_lines();
                    // The next rule begins with a driver that owes no answer.
                    talk.restart()?;
                    Outcome::Wrong { sent, came, why }
                }
            }
        } else {
            Outcome::Skipped("the driver did not say hello".into())
        };
        introduced &= rule.name != "hello" || outcome == Outcome::Ok;
        all.push(Judged {
            rule: rule.name,
            about: rule.about,
            outcome,
        });
    }
    talk.end()?;
    Ok(all)
}
