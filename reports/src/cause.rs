//! When a failing state is one more of a known bug: what is missing in it, where it happened, and what
//! the target said. One exploration and the merged report of its shards count by these rules.
//!
//! What may be the cause of a state is written in *signs*: `write log-#` and `name a -> b` are missing;
//! `after truncate db` is where the process died, or where what is missing begins when nothing was
//! acknowledged since; `before the first ack` says that what is being made was not used yet.

use std::collections::BTreeSet;

use plugpull_workloads::{FindingKind, FollowUp};

/// The sign of a crash before the first ack.
pub const EARLY: &str = "before the first ack";
/// Begins the sign of a place.
const PLACE: &str = "after ";
/// The sign of a place before which there is nothing.
pub const START: &str = "at the start";
/// What is said, and the kind of finding before it.
const SAYS: &str = " says: ";

/// The sign of a place: behind this operation on this file.
pub fn place_sign(op: &str, path: &str) -> String {
    format!("{PLACE}{op} {path}")
}

/// What a bug is known by in reports: what is missing, and whether that was before the first ack.
pub(crate) fn known_by(signs: &BTreeSet<String>) -> BTreeSet<String> {
    let missing = missing(signs);
    let early = signs.contains(EARLY) && !missing.iter().all(|sign| is_place(sign));
    let early = early.then_some(EARLY).into_iter();
    missing
        .into_iter()
        .chain(early)
        .map(str::to_owned)
        .collect()
}

/// What the target said when it showed a finding of this kind, as a sign of a failing state.
pub fn said_sign(kind: FindingKind, wording: &str) -> String {
    format!("{}{wording}", said_mark(kind))
}

fn said_mark(kind: FindingKind) -> String {
    format!("{kind:?}{SAYS}")
}

/// What of the signs of a state the target said about findings of this kind.
pub(crate) fn said_in(signs: &BTreeSet<String>, kind: FindingKind) -> Option<&String> {
    let mark = said_mark(kind);
    signs.iter().find(|sign| sign.starts_with(&mark))
}

/// What is missing of these signs; where nothing is, the place where the process died.
pub(crate) fn missing(signs: &BTreeSet<String>) -> BTreeSet<&str> {
    let counts = |sign: &&str| *sign != EARLY && !sign.contains(SAYS);
    let all = || signs.iter().map(String::as_str).filter(counts);
    let missing: BTreeSet<&str> = all().filter(|sign| !is_place(sign)).collect();
    match missing.is_empty() {
        true => all().collect(),
        false => missing,
    }
}

fn is_place(sign: &str) -> bool {
    sign.starts_with(PLACE) || sign == START
}

fn is_name(sign: &str) -> bool {
    sign.starts_with("name ") || sign.starts_with("removal of ")
}

/// True when nothing but names is missing.
pub fn is_of_names(signs: &BTreeSet<String>) -> bool {
    let missing = missing(signs);
    !missing.is_empty() && missing.into_iter().all(is_name)
}

/// The file in a sign; of a rename the new name.
fn file(sign: &str) -> &str {
    let rest = sign.strip_prefix(PLACE).unwrap_or(sign);
    let rest = rest.strip_prefix("removal of ").unwrap_or(rest);
    let path = rest.split_once(' ').map_or(rest, |(_, path)| path);
    path.rsplit(" -> ").next().unwrap_or(path)
}

/// What is being made where this file is: its directory, which is new as well; in the data directory
/// itself the file.
fn unit(file: &str) -> &str {
    file.rsplit_once('/')
        .map_or(file, |(directory, _)| directory)
}

/// A failing state, minimised or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingState {
    /// What it shows.
    pub kind: FindingKind,
    /// How many recoveries deep it is.
    pub depth: u32,
    /// What was done after its first recovery, where that alone shows it.
    pub follow_up: Option<FollowUp>,
    /// Its signs.
    pub signs: BTreeSet<String>,
}

impl FailingState {
    fn is_early(&self) -> bool {
        self.signs.contains(EARLY)
    }

    fn hangs(&self) -> bool {
        self.kind == FindingKind::Hung
    }

    fn is_of_names(&self) -> bool {
        is_of_names(&self.signs)
    }

    /// True when nothing is missing.
    fn is_killed(&self) -> bool {
        let missing = self.missing();
        !missing.is_empty() && missing.into_iter().all(is_place)
    }

    fn missing(&self) -> BTreeSet<&str> {
        missing(&self.signs)
    }

    fn place(&self) -> Option<&str> {
        self.signs
            .iter()
            .map(String::as_str)
            .find(|sign| is_place(sign))
    }

    /// True when nothing was acknowledged between what is missing and the crash.
    fn is_in_flight(&self) -> bool {
        !self.is_killed() && self.place().is_some()
    }

    fn files(&self) -> BTreeSet<&str> {
        self.missing().into_iter().map(file).collect()
    }

    /// What was being made when the crash came before the first ack.
    fn units(&self) -> BTreeSet<&str> {
        self.files().into_iter().map(unit).collect()
    }

    /// True when the data that is read is not what was written, and the target itself says nothing.
    fn shows_in_data(&self) -> bool {
        use FindingKind as Kind;
        let others = [
            Kind::Unreadable,
            Kind::WillNotStart,
            Kind::Hung,
            Kind::TooSlow,
            Kind::StaysDown,
        ];
        !others.contains(&self.kind)
    }

    /// True when what is missing was acknowledged without being synced. Where content is missing, what
    /// nobody wrote is no sign of that alone, nor is a second start that shows other data.
    fn is_unsynced(&self) -> bool {
        use FindingKind as Kind;
        let missing = self.missing();
        let lacks = !self.is_killed() && !self.is_of_names() && !self.is_in_flight();
        let of_content = missing.iter().any(|sign| sign.starts_with("write "));
        let content = [Kind::WrongValue, Kind::Phantom, Kind::NotRepeatable];
        let other = [Kind::Hung, Kind::TooSlow].contains(&self.kind);
        lacks && !other && !(of_content && content.contains(&self.kind))
    }

    /// True when something acknowledged is missing, and what is shown is only what the target made of it:
    /// a state in which the data is seen to be gone says more.
    pub fn is_unclear(&self) -> bool {
        self.is_unsynced() && !self.shows_in_data()
    }

    /// True when both are of one place that is not merely behind a write: what is done there to a file is
    /// not done at once.
    fn shares_place(&self, other: &Self) -> bool {
        let place = self.place();
        place.is_some_and(|place| !place.starts_with("after write ")) && place == other.place()
    }
}

/// A known bug: all that it was minimised to, and what the target said.
#[derive(Clone, Debug)]
pub struct KnownCause {
    forms: Vec<FailingState>,
    said: BTreeSet<String>,
}

impl KnownCause {
    /// Known from one minimised state.
    pub fn new(form: FailingState, said: Option<String>) -> Self {
        Self {
            forms: vec![form],
            said: said.into_iter().collect(),
        }
    }

    /// Learns another minimised state of it.
    pub fn learn(&mut self, form: FailingState, said: Option<String>) {
        if !self.forms.contains(&form) {
            self.forms.push(form);
        }
        self.said.extend(said);
    }

    /// Forgets what it was minimised to but for this.
    pub fn replace(&mut self, form: FailingState) {
        self.forms = vec![form];
    }

    /// What it was minimised to that may be the bug of a state: what only a follow-up shows is none that the
    /// first read-back shows, nor one of another follow-up.
    fn forms_of(&self, state: &FailingState) -> impl Iterator<Item = &FailingState> {
        let follow_up = state.follow_up;
        let forms = self.forms.iter();
        forms.filter(move |known| known.follow_up == follow_up)
    }

    fn knows(&self, said: Option<&String>) -> bool {
        said.is_none_or(|said| self.said.contains(said))
    }

    /// True when a state that was not minimised is one more of it: it lacks all of a cause, and the target
    /// says nothing new. Names that were not made durable are one bug, whatever the target makes of
    /// it; so is what was cut short while it was made.
    pub fn explains(&self, state: &FailingState, said: Option<&String>) -> bool {
        let knows = self.knows(said);
        let missing = state.missing();
        self.forms_of(state).any(|known| {
            let all = known.missing();
            if known.is_of_names() {
                let subset = known.depth == state.depth && all.is_subset(&missing);
                return subset && (knows || state.is_of_names());
            }
            if known.hangs() != state.hangs() {
                return false;
            }
            if known.is_early() {
                let (own, others) = (known.units(), state.units());
                return state.is_early()
                    && known.kind == state.kind
                    && (own == others || knows && own.is_subset(&others));
            }
            let alike = known.kind == state.kind && known.depth == state.depth && knows;
            let lacks = || match known.is_killed() {
                true => all.iter().all(|place| state.signs.contains(*place)),
                false => all.is_subset(&missing) && known.is_in_flight() == state.is_in_flight(),
            };
            alike && lacks()
        })
    }

    /// True when a minimised state is the same bug.
    pub fn is_same(&self, new: &FailingState, said: Option<&String>) -> bool {
        let knows = self.knows(said);
        let speaks = said.is_some() && knows;
        self.forms_of(new).any(|known| {
            let alike = known.kind == new.kind;
            let near = known.depth == new.depth || speaks && alike;
            let lacks_same = known.missing() == new.missing();
            if known.is_of_names() {
                // Both need the names: what else is missing comes with them. A start that makes the same
                // names again has the same bug, whatever it then says.
                return lacks_same || near && known.missing().is_subset(&new.missing());
            }
            if known.hangs() != new.hangs() {
                return false;
            }
            if alike && known.is_early() && new.is_early() && known.units() == new.units() {
                return !new.is_of_names() || speaks;
            }
            let in_same_words = speaks && alike;
            if !near || known.is_early() != new.is_early() && !in_same_words {
                return false;
            }
            let quiet = knows || new.kind != FindingKind::WillNotStart;
            if lacks_same && (in_same_words || known.is_in_flight() == new.is_in_flight()) {
                // What was acknowledged without being synced is one bug, whatever the target makes of it.
                return match alike {
                    true => quiet || known.shares_place(new),
                    false => known.is_unsynced() && new.is_unsynced(),
                };
            }
            // The process died where something else was missing: one change that is not made at once.
            let gap =
                known.is_killed() && new.is_in_flight() || new.is_killed() && known.is_in_flight();
            gap && (in_same_words && known.files() == new.files()
                || known.shares_place(new) && (!alike || quiet))
        })
    }

    /// True when this lacks more than a minimised state that shows the same: that one takes it over.
    pub fn is_wider(&self, new: &FailingState, said: Option<&String>) -> bool {
        self.forms_of(new).any(|known| {
            let in_same_words = known.kind == new.kind && self.said.iter().eq(said);
            known.depth == new.depth
                && known.is_early() == new.is_early()
                && (in_same_words || known.is_unsynced() && new.is_unsynced())
                && (new.is_of_names() || known.is_in_flight() == new.is_in_flight())
                && !new.is_killed()
                && new.missing().is_subset(&known.missing())
                && new.missing() != known.missing()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(kind: FindingKind, signs: &[&str]) -> FailingState {
        FailingState {
            kind,
            depth: 0,
            follow_up: None,
            signs: signs.iter().map(|sign| (*sign).to_owned()).collect(),
        }
    }

    fn says(kind: FindingKind, words: &str) -> Option<String> {
        Some(said_sign(kind, words))
    }

    const LOST: FindingKind = FindingKind::LostAck;
    const DOWN: FindingKind = FindingKind::WillNotStart;

    /// Whether a minimised state is the bug of another one.
    fn same(one: (&FailingState, Option<&str>), other: (&FailingState, Option<&str>)) -> bool {
        let said = |(state, words): (&FailingState, Option<&str>)| {
            words.and_then(|words| says(state.kind, words))
        };
        let known = KnownCause::new(one.0.clone(), said(one));
        known.is_same(other.0, said(other).as_ref())
    }

    /// Both ways: which one was met first makes no difference.
    fn either(one: (&FailingState, Option<&str>), other: (&FailingState, Option<&str>)) -> bool {
        let found = same(one, other);
        assert_eq!(found, same(other, one), "{one:?} {other:?}");
        found
    }

    #[test]
    fn what_was_acknowledged_and_not_synced_is_one_bug_whatever_it_shows_as() {
        let lost = state(LOST, &["write db.tmp"]);
        let down = state(DOWN, &["write db.tmp"]);
        assert!(either((&lost, None), (&down, Some("bad JSON"))));
        assert!(!lost.is_unclear() && down.is_unclear());
        for kind in [
            FindingKind::WrongValue,
            FindingKind::NotRepeatable,
            FindingKind::Hung,
        ] {
            assert!(!either(
                (&lost, None),
                (&state(kind, &["write db.tmp"]), None)
            ));
        }
        // A lost length is no lost content.
        let lost_size = state(LOST, &["truncate wal"]);
        let twice = state(FindingKind::NotRepeatable, &["truncate wal"]);
        assert!(either((&lost_size, None), (&twice, None)));
        // In flight it is what recovery makes of it.
        let lost = state(LOST, &["after fsync db", "write db"]);
        let down = state(DOWN, &["after fsync db", "write db"]);
        assert!(!either((&lost, None), (&down, Some("it is torn"))));
        // What lacks less takes over, whatever it shows as.
        let wide = KnownCause::new(state(LOST, &["name db", "write db.tmp"]), None);
        let down = state(DOWN, &["write db.tmp"]);
        assert!(wide.is_wider(&down, says(DOWN, "bad JSON").as_ref()));
        let in_flight = state(DOWN, &["after fsync db", "write db.tmp"]);
        assert!(!wide.is_wider(&in_flight, says(DOWN, "bad JSON").as_ref()));
    }

    #[test]
    fn a_write_of_one_file_hides_no_other_words() {
        let down = state(DOWN, &["after write db", "write db"]);
        assert!(either(
            (&down, Some("root page")),
            (&down, Some("root page"))
        ));
        assert!(!either(
            (&down, Some("root page")),
            (&down, Some("no such record"))
        ));
        let known = KnownCause::new(down.clone(), says(DOWN, "root page"));
        assert!(known.explains(&down, says(DOWN, "root page").as_ref()));
        assert!(!known.explains(&down, says(DOWN, "no such record").as_ref()));
    }

    #[test]
    fn names_are_one_bug_whatever_the_target_makes_of_them() {
        let names = ["name a -> db", "removal of a -> db"];
        let lost = state(LOST, &names);
        let down = state(DOWN, &[names[0], names[1], EARLY]);
        assert!(either((&lost, None), (&down, Some("empty"))));
        let more = state(DOWN, &[names[0], names[1], "write db"]);
        assert!(same((&lost, None), (&more, Some("empty"))));
        // A recovery that makes the same name again, and what then comes of it.
        let again = FailingState {
            depth: 1,
            ..down.clone()
        };
        assert!(either((&lost, Some("empty")), (&again, Some("no length"))));
        let other = FailingState {
            depth: 1,
            ..state(DOWN, &["name log"])
        };
        assert!(!either((&lost, Some("empty")), (&other, Some("no length"))));
        // Not minimised, it may be what else is missing.
        let known = KnownCause::new(lost, None);
        assert!(!known.explains(&more, says(DOWN, "empty").as_ref()));
    }

    #[test]
    fn what_only_a_follow_up_shows_is_a_bug_of_its_own() {
        for signs in [
            &["write log-#"][..],
            &["name log"],
            &[EARLY, "after create log"],
        ] {
            let plain = state(LOST, signs);
            let lacks_more = [signs, &["write log-#", "write debug.txt"]].concat();
            for follow_up in FollowUp::ALL {
                let after = |follow_up, signs| FailingState {
                    follow_up: Some(follow_up),
                    ..state(LOST, signs)
                };
                let same_one = after(follow_up, signs);
                assert!(either((&same_one, None), (&same_one, None)));
                let others = FollowUp::ALL
                    .into_iter()
                    .filter(|other| *other != follow_up);
                let others = others.map(|other| after(other, signs));
                for other in others.chain([plain.clone()]) {
                    assert!(!either((&same_one, None), (&other, None)));
                    let known = KnownCause::new(other, None);
                    assert!(!known.explains(&same_one, None));
                    assert!(!known.is_wider(&same_one, None));
                    assert!(!known.explains(&after(follow_up, &lacks_more), None));
                }
            }
        }
    }

    #[test]
    fn what_is_cut_short_while_it_is_made_is_one_bug_of_its_own() {
        let empty = state(DOWN, &[EARLY, "after create p/t/manifest"]);
        let torn = state(DOWN, &[EARLY, "after create p/t/a", "write p/t/config"]);
        assert!(either((&empty, Some("no file")), (&torn, Some("torn"))));
        let deeper = FailingState {
            depth: 1,
            ..torn.clone()
        };
        assert!(either((&empty, Some("no file")), (&deeper, Some("torn"))));
        for other in [
            state(DOWN, &[EARLY, "after create p/log"]),
            state(DOWN, &["after create p/t/manifest"]),
            state(
                FindingKind::NotRepeatable,
                &[EARLY, "after create p/t/manifest"],
            ),
        ] {
            assert!(!either((&empty, Some("no file")), (&other, Some("torn"))));
        }
    }

    #[test]
    fn a_change_that_a_kill_cuts_short_is_one_bug() {
        let killed = state(DOWN, &["after truncate db"]);
        let torn = state(LOST, &["after truncate db", "write db"]);
        assert!(either((&killed, Some("bad")), (&torn, None)));
        // Behind a write is no place of its own: only the words tell.
        let killed = state(DOWN, &["after write db"]);
        let torn = state(LOST, &["after write db", "write db"]);
        assert!(!either((&killed, Some("bad")), (&torn, None)));
        let down = state(DOWN, &["after fsync db", "write db"]);
        assert!(either((&killed, Some("bad")), (&down, Some("bad"))));
        assert!(!either((&killed, Some("bad")), (&down, Some("worse"))));
        // What was acknowledged is another bug.
        assert!(!either(
            (&killed, Some("bad")),
            (&state(DOWN, &["write db"]), Some("bad"))
        ));
    }

    #[test]
    fn reports_of_before_know_the_same_bug() {
        let known = |signs: &[&str]| known_by(&state(DOWN, signs).signs);
        let as_it_was = |signs: &[&str]| -> BTreeSet<String> {
            signs.iter().map(|sign| (*sign).to_owned()).collect()
        };
        assert_eq!(
            known(&[EARLY, "after create db"]),
            as_it_was(&["after create db"])
        );
        assert_eq!(
            known(&[EARLY, "after create db", "write db"]),
            as_it_was(&[EARLY, "write db"])
        );
    }
}
