//! Lines that were seen against the list and the table.

use std::collections::BTreeMap;

use libtest_mimic::Failed;

use crate::behaviours::{self, Behaviour};
use crate::outcome::NOT_MEASURED;
use crate::table::Row;

/// What was seen, by name.
pub(crate) struct Lines(BTreeMap<String, String>);

impl Lines {
    /// Reads `name: outcome` lines.
    pub(crate) fn read(text: &str) -> Self {
        let split = |line: &str| {
            let (name, outcome) = line.split_once(": ")?;
            Some((name.to_owned(), outcome.to_owned()))
        };
        Self(text.lines().filter_map(split).collect())
    }

    /// True when this machine could show the behaviour.
    pub(crate) fn measured(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|outcome| !outcome.starts_with(NOT_MEASURED))
    }
}

/// Every line that is not as the list says, or where the table has a row, as the row says. What
/// this machine could not measure is printed on standard error and judged by nobody.
pub(crate) fn differences(seen: &Lines, table: &[Row]) -> Vec<String> {
    behaviours::all()
        .filter_map(|one| difference(one, seen, table))
        .collect()
}

fn difference(one: &Behaviour, seen: &Lines, table: &[Row]) -> Option<String> {
    let Some(outcome) = seen.0.get(one.name) else {
        return Some(format!("{}: there is no line of it", one.name));
    };
    if outcome.starts_with(NOT_MEASURED) {
        eprintln!("{}: {outcome}", one.name);
        return None;
    }
    let row = table.iter().find(|row| row.behaviour == one.name);
    let expected = row.map_or(one.ext4, |row| row.crash.as_str());
    if outcome == expected {
        return None;
    }
    let (name, ext4) = (one.name, one.ext4);
    Some(match row {
        None => format!("{name}: {outcome}, where ext4 does {ext4}"),
        Some(_) if outcome == ext4 => {
            format!("{name}: as on ext4 ({ext4}); the table still lists a difference ({expected})")
        }
        Some(_) => format!("{name}: {outcome}, where the table says {expected}"),
    })
}

/// Seeded differences: each must be reported, and the sound list must be silent.
pub(crate) fn finds_every_kind() -> Result<(), Failed> {
    let sound: String = behaviours::all()
        .map(|one| format!("{}: {}\n", one.name, one.ext4))
        .collect();
    let quiet = differences(&Lines::read(&sound), &[]);
    assert!(quiet.is_empty(), "{quiet:?}");

    let one = behaviours::all().next().ok_or("the list is empty")?;
    let line = format!("{}: {}\n", one.name, one.ext4);
    let row = Row {
        behaviour: one.name.into(),
        ext4: one.ext4.into(),
        crash: "ENOSYS".into(),
    };
    let other = sound.replace(&line, &format!("{}: ENOSYS\n", one.name));
    let third = sound.replace(&line, &format!("{}: EIO\n", one.name));
    let gone = sound.replace(&line, "");
    let unknown = sound.replace(
        &line,
        &format!("{}: {NOT_MEASURED}seeded by the test\n", one.name),
    );
    for (text, table, reported) in [
        (&other, &[][..], Some("where ext4 does")),
        (&other, std::slice::from_ref(&row), None),
        (
            &sound,
            std::slice::from_ref(&row),
            Some("still lists a difference"),
        ),
        (
            &third,
            std::slice::from_ref(&row),
            Some("where the table says"),
        ),
        (&gone, &[][..], Some("no line")),
        (&unknown, &[][..], None),
    ] {
        let found = differences(&Lines::read(text), table);
        assert_eq!(found.len(), usize::from(reported.is_some()), "{found:?}");
        assert!(
            reported.is_none_or(|reported| found[0].contains(reported)),
            "{found:?}"
        );
    }
    Ok(())
}
