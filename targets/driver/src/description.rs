//! What a driver says of itself: with its settings applied, without a data directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use plugpull_workloads::Promise;
use serde::{Deserialize, Serialize};

/// The way in which a driver that is ready can be copied: the word in the list `fork` of a description.
pub const FORK_PROCESS: &str = "process";

/// That a child ends as a started driver does: another word in that list.
pub const FORK_EXIT: &str = "exit";

/// The answer to `describe`. Everything but the first four fields may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Description {
    /// The version of the protocol that the driver speaks.
    pub protocol: u64,
    /// The name of what it drives.
    pub name: String,
    /// The version of what it drives, and the settings that matter, for reports.
    pub version: String,
    /// Which build of plugpull the driver belongs to; none where it is somebody else's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// What it drives, in one line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Its settings, with their defaults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<SettingDescription>,
    /// The value of each setting, as given or by default.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// The mutants that the setting `defect` switches on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mutants: Vec<MutantDescription>,
    /// Why the target cannot be run here, and how to change that; none when it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// Another program that is the driver with these settings: a fake, say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<CommandDescription>,
    /// True when the target is a daemon that plugpull starts, as the driver says with `launch`;
    /// otherwise the driver is the target.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub daemon: bool,
    /// The shapes of workload that it speaks: see [`Shape`].
    pub shapes: Vec<String>,
    /// What may be asked of it: see [`Capability`].
    pub capabilities: Vec<String>,
    /// Maintenance operations, and what happens to the target from outside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// The ways in which a driver that is ready can be copied: `process`, by forking it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fork: Vec<String>,
    /// The parts that its check can be asked for one by one; none is known yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub check_parts: Vec<String>,
    /// The least and the most keys that a transaction should write, without the head key of its
    /// client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops_per_txn: Option<(u32, u32)>,
    /// How many times longer than usual its transactions are waited for, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_factor: Option<u32>,
    /// Which files of the data directory hold snapshots: paths in it, in which `#` stands for
    /// decimal digits, at least one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
    /// For an opaque workload: how long it may take to its first barrier, in milliseconds, where
    /// no fault should happen before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_barrier_ms: Option<u64>,
    /// Files outside of the data directory that must be visible in the sandbox.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub visible: Vec<PathBuf>,
    /// What the target is made of, as names and texts, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<(String, String)>,
    /// What the target documents; plugpull's catalogue has its own for the systems in it.
    pub promises: Vec<Promise>,
}

/// A setting, in a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingDescription {
    /// Its name.
    pub name: String,
    /// The values it takes, or a word for their form.
    pub values: String,
    /// Its value when not set.
    pub default: String,
    /// What it does, in one line.
    pub about: String,
}

/// A mutant, in a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MutantDescription {
    /// Its name.
    pub name: String,
    /// What is wrong, in one line.
    pub about: String,
}

/// A program with arguments, in a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandDescription {
    /// The program: an absolute path, or a name that is looked for beside plugpull, then on PATH.
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
}

/// Something that a driver can do to its target besides transactions: maintenance that people do, or
/// what happens to the target from outside. Promises hold whatever actions are done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Its name, of ASCII letters, digits, `-` and `_`; a fault of this name is part of each run.
    pub name: String,
    /// Whether the target is up or down then.
    pub when: ActionTime,
    /// What it does, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The number that it takes; none where it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// True when it takes a number that is called depth: how drivers said so before there was
    /// `amount`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub depth: bool,
}

/// The number that an action takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// What it is called: `depth`, for `--fault reorg@depth=6`.
    pub name: String,
    /// The least that the seed chooses where the user names none; at least 1.
    pub least: u32,
    /// The most.
    pub most: u32,
}

impl Action {
    /// The number that it takes, however its driver says so.
    pub fn takes(&self) -> Option<Amount> {
        let depth = || Amount {
            name: "depth".into(),
            least: 1,
            most: 8,
        };
        self.amount.clone().or_else(|| self.depth.then(depth))
    }
}

/// When an action is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionTime {
    /// While the target is up, by one client beside the others.
    Up,
    /// While it is down, by the driver alone in the data directory.
    Down,
}

/// The shapes of workload that plugpull knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Transactions of writes to keys.
    KeyValue,
    /// IDs that the driver writes by itself, and a check of its own.
    Opaque,
}

impl Shape {
    /// Its word in a description.
    pub fn word(self) -> &'static str {
        match self {
            Self::KeyValue => "kv",
            Self::Opaque => "opaque",
        }
    }
}

/// What plugpull knows to ask a driver for, where it says that it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// It can roll a transaction back at its end.
    Abort,
    /// It can make durable what was acknowledged before.
    Barrier,
    /// It can check the target's integrity.
    Check,
    /// Its check is not the target's own: the driver reads the files, or compares answers. What it
    /// finds is then no detection by the target.
    DriverCheck,
    /// It can remove a key.
    Delete,
    /// It can read the target's event log.
    EventLog,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Abort,
        Self::Barrier,
        Self::Check,
        Self::DriverCheck,
        Self::Delete,
        Self::EventLog,
    ];

    /// Its word in a description.
    pub fn word(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Barrier => "barrier",
            Self::Check => "check",
            Self::DriverCheck => "driver_check",
            Self::Delete => "delete",
            Self::EventLog => "event_log",
        }
    }
}

impl Description {
    /// Whether it has a capability.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.iter().any(|one| one == capability.word())
    }

    /// Whether it speaks a shape of workload.
    pub fn speaks(&self, shape: Shape) -> bool {
        self.shapes.iter().any(|one| one == shape.word())
    }

    /// Whether it can be forked for each state instead of being started.
    pub fn forks(&self) -> bool {
        !self.daemon && self.fork.iter().any(|way| way == FORK_PROCESS)
    }

    /// Whether what is forked ends as a started one does.
    pub fn fork_exits(&self) -> bool {
        self.forks() && self.fork.iter().any(|way| way == FORK_EXIT)
    }

    /// The action of this name.
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.name == name)
    }

    /// Whether a file of the data directory, by its path there, holds a snapshot.
    pub fn is_snapshot(&self, path: &str) -> bool {
        self.snapshots.iter().any(|pattern| fits(pattern, path))
    }
}

/// Whether a path fits a pattern in which `#` stands for decimal digits.
fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('#');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    for part in parts {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Some(after) = rest[digits..].strip_prefix(part).filter(|_| digits > 0) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_numbers_and_nothing_else() {
        for (pattern, path, fit) in [
            ("l2_snapshots.dat", "l2_snapshots.dat", true),
            ("l2_snapshots.dat", "l2_snapshots.dat.tmp", false),
            ("snapshot-#", "snapshot-12", true),
            ("snapshot-#", "snapshot-", false),
            ("snapshot-#", "snapshot-12.tmp", false),
            ("a/#/b-#.s", "a/7/b-00.s", true),
            ("a/#/b-#.s", "a/x/b-00.s", false),
        ] {
            assert_eq!(fits(pattern, path), fit, "{pattern} {path}");
        }
    }

    #[test]
    fn unknown_entries_of_open_lists_are_kept_and_harm_nothing() {
        let text = r#"{"protocol":2,"name":"x","version":"1","shapes":["kv","queue"],
            "capabilities":["check","teleport"],"fork":["vm"],"check_parts":["pages"],"new":1}"#;
        let description: Description = serde_json::from_str(text).expect("a description");
        assert!(description.can(Capability::Check) && !description.can(Capability::Abort));
        assert!(description.speaks(Shape::KeyValue) && !description.speaks(Shape::Opaque));
    }
}
