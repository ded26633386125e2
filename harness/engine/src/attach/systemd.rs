//! What systemd says of a unit: `systemctl show`, whose properties are those of
//! org.freedesktop.systemd1(5).

use std::collections::BTreeMap;

use super::shell::Shell;
use crate::wrong;

/// The properties that are asked for.
const PROPERTIES: &str =
    "MainPID,NRestarts,Result,ActiveEnterTimestampMonotonic,ActiveState,LoadState";

/// A unit as systemd sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unit {
    /// The main process; none while there is none.
    pub(super) pid: Option<i32>,
    /// How often systemd restarted it by itself, since the count was reset.
    pub(super) restarts: u64,
    /// How it ended last: `success`, `signal`, `oom-kill`, `start-limit-hit`, ...
    pub(super) result: String,
    /// When it became active last, in microseconds of the monotonic clock; 0 for never.
    pub(super) active_since_us: u64,
    /// `active`, `activating`, `failed`, ...
    pub(super) state: String,
}

impl Unit {
    /// systemd will not start it again by itself.
    pub(super) fn at_rest(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "inactive")
    }
}

/// Asks systemd.
pub(super) fn show(unit: &str, shell: &Shell) -> anyhow::Result<Unit> {
    let ended = shell.must(
        &format!("systemctl show {} -p {PROPERTIES}", quoted(unit)),
        &[],
    )?;
    parse(unit, &ended.stdout)
}

/// Tells systemd: `verb` is `start`, `stop` or `reset-failed`.
pub(super) fn tell(verb: &str, unit: &str, shell: &Shell) -> anyhow::Result<()> {
    shell
        .must(&format!("systemctl {verb} {}", quoted(unit)), &[])
        .map(drop)
}

/// A word that the shell takes as it is. [`check_name`] has seen it.
fn quoted(unit: &str) -> String {
    format!("'{unit}'")
}

/// Refuses what is no unit's name (systemd.unit(5)): it would be a word of a shell's.
pub(super) fn check_name(unit: &str) -> anyhow::Result<()> {
    let sound = !unit.is_empty()
        && unit.len() <= 255
        && !unit.starts_with('-')
        && unit
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c));
    match sound {
        true => Ok(()),
        false => Err(wrong(format!("--unit {unit:?} is no unit's name"))),
    }
}

fn parse(unit: &str, text: &str) -> anyhow::Result<Unit> {
    let values: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let get = |name: &str| values.get(name).copied().unwrap_or_default();
    if get("LoadState") == "not-found" {
        return Err(wrong(format!("systemd knows no unit {unit}")));
    }
    let number = |name: &str| -> anyhow::Result<u64> {
        match get(name) {
            "" => Ok(0),
            text => text.parse().map_err(|_| {
                anyhow::anyhow!("systemctl show {unit} says {name}={text}, which is no number")
            }),
        }
    };
    let pid = i32::try_from(number("MainPID")?)?;
    Ok(Unit {
        pid: (pid > 0).then_some(pid),
        restarts: number("NRestarts")?,
        result: get("Result").to_owned(),
        active_since_us: number("ActiveEnterTimestampMonotonic")?,
        state: get("ActiveState").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read() {
        let text = "MainPID=4711\nNRestarts=2\nResult=success\n\
                    ActiveEnterTimestampMonotonic=123456\nActiveState=active\nLoadState=loaded\n";
        let unit = parse("x.service", text).unwrap();
        let wanted = Unit {
            pid: Some(4711),
            restarts: 2,
            result: "success".into(),
            active_since_us: 123_456,
            state: "active".into(),
        };
        assert_eq!(unit, wanted);
        assert!(!unit.at_rest());
        let failed = parse("x", "MainPID=0\nResult=start-limit-hit\nActiveState=failed").unwrap();
        assert!(failed.at_rest() && failed.pid.is_none());
        assert!(parse("x", "LoadState=not-found").is_err());
        assert!(parse("x", "MainPID=many").is_err());
    }

    #[test]
    fn a_name_is_no_command() {
        assert!(check_name("postgresql@15-main.service").is_ok());
        for name in ["", "a b", "x;reboot", "x'", "-H", "$(x)"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
