//! Triggers: when a fault is injected, as `--fault NAME@TRIGGER` has it.

use std::fmt;
use std::time::Duration;

use plugpull_sandbox::fuse::OpKind;
use thiserror::Error;

use crate::rule::Matcher;

/// What a trigger's text is made of. The last is the number that an action takes, by its own name.
pub const KNOWN: &str = "op=KIND, path=PATTERN, n=COUNT, p=CHANCE, ack=COUNT, time=DURATION, recovery, \
                         within=DURATION, AMOUNT=NUMBER";

/// The moment at which a fault is injected.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Before the Nth operation (from 1) that fits, counted from the start of the workload, or
    /// of the recovery.
    Op {
        /// Which operations count.
        matcher: Matcher,
        /// Which of them.
        nth: u64,
    },
    /// Before an operation that fits, each with this chance.
    Chance {
        /// Which operations count.
        matcher: Matcher,
        /// The chance of each, above 0, at most 1.
        chance: f64,
    },
    /// After the Nth acknowledged transaction.
    Ack(u64),
    /// This long after the workload, or the recovery, has begun.
    Time(Duration),
}

/// The number that an action of a target's driver takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// What the action calls it.
    pub name: String,
    /// At least 1.
    pub value: u32,
}

/// When a fault is injected.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// The moment.
    pub when: When,
    /// True when the moment is one of the target's recovery: it is killed first, after some
    /// acknowledged transactions, and the fault is injected while it starts again.
    pub recovery: bool,
    /// The number that an action takes; a seeded one when none.
    pub amount: Option<Amount>,
    /// How long an orderly stop may take, where a fault is one; its own limit when none.
    pub within: Option<Duration>,
}

/// What is wrong with a trigger's text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "trigger '{text}': {what}. A trigger is a list of: {KNOWN}; for example 'op=write,path=*-wal,n=17'"
)]
pub struct TriggerError {
    text: String,
    what: String,
}

/// Reads a duration: "300ms", "2s", "1.5s", "250us", "1m"; a bare number is seconds. To a microsecond,
/// as it is printed.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" | "" => 1e6,
        "m" | "min" => 60e6,
        "h" => 3600e6,
        _ => return None,
    };
    let micros = (number.parse::<f64>().ok()? * scale).round();
    let fits = (0.0..u64::MAX as f64).contains(&micros);
    fits.then(|| Duration::from_micros(micros as u64))
}

fn duration_text(duration: Duration) -> String {
    let micros = duration.as_micros();
    // From ten seconds on nobody reads milliseconds.
    if micros >= 10_000_000 && micros.is_multiple_of(1_000_000) {
        format!("{}s", duration.as_secs())
    } else if micros.is_multiple_of(1000) {
        format!("{}ms", duration.as_millis())
    } else {
        format!("{micros}us")
    }
}

impl Trigger {
    /// A trigger at a moment of the workload.
    pub fn at(when: When) -> Self {
        Self {
            when,
            recovery: false,
            amount: None,
            within: None,
        }
    }

    /// True when it is the first operation of some kinds in the workload, on any file.
    pub fn is_first_of_its_kind(&self) -> bool {
        match &self.when {
            When::Op { matcher, nth: 1 } => {
                !self.recovery && !matcher.kinds.is_empty() && matcher.path.is_none()
            }
            _ => false,
        }
    }

    /// The same, so many times as early in the workload: its counts divided, down to 1.
    #[must_use]
    pub fn earlier(mut self, by: u64) -> Self {
        let divided = |count: u64| (count / by.max(1)).max(1);
        match &mut self.when {
            When::Op { nth, .. } => *nth = divided(*nth),
            When::Ack(count) => *count = divided(*count),
            When::Chance { .. } | When::Time(_) => {}
        }
        self
    }

    /// True when the moment is a storage operation, which only the crash filesystem sees.
    pub fn at_operation(&self) -> bool {
        matches!(self.when, When::Op { .. } | When::Chance { .. })
    }

    /// True when a file of this path, relative to the data directory, may be damaged: whoever names
    /// files for the moment means them for the damage too.
    pub fn damages(&self, path: &str) -> bool {
        match &self.when {
            When::Op { matcher, .. } | When::Chance { matcher, .. } => matcher.fits_path(path),
            When::Ack(_) | When::Time(_) => true,
        }
    }

    /// Reads a trigger, whatever the text. `default` stands where the text names no moment, as
    /// "recovery" alone does.
    ///
    /// # Errors
    /// The text is no trigger: what is wrong with it.
    pub fn parse(text: &str, default: &Trigger) -> Result<Self, TriggerError> {
        let wrong = |what: String| TriggerError {
            text: text.to_string(),
            what,
        };
        let mut options = Options::default();
        for part in text.split(',').map(str::trim) {
            if !part.is_empty() {
                options.read(part).map_err(wrong)?;
            }
        }
        options.trigger(default).map_err(wrong)
    }
}

/// The options of a trigger's text.
#[derive(Default)]
struct Options {
    matcher: Matcher,
    nth: Option<u64>,
    chance: Option<f64>,
    ack: Option<u64>,
    time: Option<Duration>,
    recovery: bool,
    amount: Option<Amount>,
    within: Option<Duration>,
}

impl Options {
    /// Reads one option, `KEY=VALUE` or `recovery`; an error says what is wrong with it.
    fn read(&mut self, part: &str) -> Result<(), String> {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let count = || {
            let count = value.parse::<u64>().ok().filter(|n| *n > 0);
            count.ok_or_else(|| format!("'{part}' requires a whole number from 1"))
        };
        let duration = || {
            let duration = parse_duration(value);
            duration.ok_or_else(|| format!("'{part}' requires a duration such as 300ms"))
        };
        match key {
            "op" => {
                for name in value.split('|') {
                    self.matcher.kinds.push(kind(name)?);
                }
            }
            "path" if !value.is_empty() => self.matcher.path = Some(value.to_string()),
            "n" => self.nth = Some(count()?),
            "ack" => self.ack = Some(count()?),
            "p" => {
                let chance = value.parse::<f64>().ok().filter(|p| *p > 0.0 && *p <= 1.0);
                self.chance =
                    Some(chance.ok_or_else(|| format!("'{part}' requires a chance up to 1"))?);
            }
            "time" => self.time = Some(duration()?),
            "within" => self.within = Some(duration()?),
            "recovery" if value.is_empty() => self.recovery = true,
            _ if is_amount(key, value) && self.amount.is_none() => {
                let value = u32::try_from(count()?);
                self.amount = Some(Amount {
                    name: key.to_owned(),
                    value: value.map_err(|_| format!("'{part}' is too large"))?,
                });
            }
            _ => return Err(format!("'{part}' is not known")),
        }
        Ok(())
    }

    /// The trigger that they make together; an error says why they make none.
    fn trigger(self, default: &Trigger) -> Result<Trigger, String> {
        let mut recovery = self.recovery;
        let about_operations =
            self.matcher != Matcher::default() || self.nth.is_some() || self.chance.is_some();
        let when = match (about_operations, self.ack, self.time) {
            (true, None, None) => match (self.nth, self.chance) {
                (Some(_), Some(_)) => return Err("n and p exclude each other".into()),
                (_, Some(chance)) => When::Chance {
                    matcher: self.matcher,
                    chance,
                },
                (nth, None) => When::Op {
                    matcher: self.matcher,
                    nth: nth.unwrap_or(1),
                },
            },
            (false, Some(n), None) => When::Ack(n),
            (false, None, Some(time)) => When::Time(time),
            (false, None, None) => {
                recovery |= default.recovery;
                default.when.clone()
            }
            _ => return Err("it names more than one moment".into()),
        };
        if recovery && matches!(when, When::Ack(_)) {
            return Err("nothing is acknowledged during recovery".into());
        }
        Ok(Trigger {
            when,
            recovery,
            amount: self.amount,
            within: self.within,
        })
    }
}

/// Whether this is the number of an action, by the name that the action has for it.
fn is_amount(name: &str, value: &str) -> bool {
    let named = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    named && !name.is_empty() && value.starts_with(|c: char| c.is_ascii_digit())
}

/// The kind of operation of this name.
fn kind(name: &str) -> Result<OpKind, String> {
    OpKind::parse(name).ok_or_else(|| {
        let known: Vec<&str> = OpKind::ALL.iter().map(|(name, _)| *name).collect();
        let known = known.join(", ");
        format!("'{name}' is no kind of operation (known: {known})")
    })
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matcher = |m: &Matcher| {
            let mut parts = Vec::new();
            if !m.kinds.is_empty() {
                let names: Vec<&str> = m.kinds.iter().map(|k| k.name()).collect();
                parts.push(format!("op={}", names.join("|")));
            }
            if let Some(path) = &m.path {
                parts.push(format!("path={path}"));
            }
            parts
        };
        let mut parts = match &self.when {
            When::Op { matcher: m, nth } => {
                let mut parts = matcher(m);
                parts.push(format!("n={nth}"));
                parts
            }
            When::Chance { matcher: m, chance } => {
                let mut parts = matcher(m);
                parts.push(format!("p={chance}"));
                parts
            }
            When::Ack(n) => vec![format!("ack={n}")],
            When::Time(time) => vec![format!("time={}", duration_text(*time))],
        };
        if self.recovery {
            parts.push("recovery".into());
        }
        if let Some(amount) = &self.amount {
            parts.push(format!("{}={}", amount.name, amount.value));
        }
        if let Some(within) = self.within {
            parts.push(format!("within={}", duration_text(within)));
        }
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Trigger, TriggerError> {
        Trigger::parse(text, &Trigger::at(When::Ack(7)))
    }

    #[test]
    fn a_path_names_the_files_that_may_be_damaged_too() {
        let by_path = parse("path=*.dat,n=3").unwrap();
        assert!(by_path.damages("snapshots.dat") && !by_path.damages("db/LOG"));
        let by_chance = parse("path=*.dat,p=0.5").unwrap();
        assert!(!by_chance.damages("db/LOG"));
        for any in ["op=write,n=3", "ack=5", "time=1ms"] {
            assert!(parse(any).unwrap().damages("db/LOG"), "{any}");
        }
    }

    #[test]
    fn an_earlier_moment_is_still_one() {
        let earlier = |text, by| parse(text).unwrap().earlier(by).to_string();
        assert_eq!(earlier("op=write,n=17", 4), "op=write,n=4");
        assert_eq!(earlier("ack=3,within=60s", 16), "ack=1,within=60s");
        assert_eq!(earlier("time=300ms", 4), "time=300ms");
        assert_eq!(earlier("n=3,recovery", 1), "n=3,recovery");
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in [
            "op=write,path=*-wal,n=17",
            "op=write|sync,n=1",
            "path=db,p=0.25",
            "ack=12",
            "time=300ms",
            "time=1500us,recovery",
            "n=3,recovery",
            "ack=3,depth=6",
            "ack=3,within=60s",
            "n=2,recovery,depth=1",
            "time=42949672951499us",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert!(parse("recovery").is_err(), "the default moment is an ack");
        assert_eq!(parse("").unwrap().when, When::Ack(7));
        let deep = parse("depth=6").unwrap();
        let amount = deep.amount.map(|amount| (amount.name, amount.value));
        assert_eq!(
            (deep.when, amount),
            (When::Ack(7), Some(("depth".into(), 6)))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("op=wrote", "wrote"),
            ("n=0", "whole number"),
            ("depth=0", "whole number"),
            ("depth=9999999999", "too large"),
            ("p=2", "chance"),
            ("ack=3,n=2", "more than one"),
            ("time=soon", "duration"),
            ("within=soon", "duration"),
            ("frob", "frob"),
            ("frob=x", "frob=x"),
            ("depth=1,pages=2", "pages=2"),
            ("n=1,p=0.5", "exclude"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
