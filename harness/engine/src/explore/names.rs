//! Generated names: numbers, hexadecimal, digests, UUIDs and random letters are one pattern, so that
//! a bug that shows with one file name shows with all of its kind.

use std::collections::{HashMap, HashSet};

use plugpull_crashsim::fs::Log;

/// Hexadecimal of so many digits is generated, even where no digit of it is below ten.
const HEX: usize = 8;
/// With a digit below ten, of so many.
const SHORT_HEX: usize = 4;
/// Or of exactly so many: a directory by the first byte of a digest.
const BYTE: usize = 2;
/// Names that differ in a part of this length or more may be random.
const RANDOM: usize = 5;
/// So many names that differ in one part alone are generated.
const FAMILY: usize = 3;

/// What stands for a generated part of a name.
const ANY: &str = "#";

/// Knows which parts of the names in a trace are random.
#[derive(Clone, Default)]
pub(super) struct Names {
    /// A path without one of its parts, and how long that part is.
    random: HashSet<(String, usize)>,
    /// The directory in which names of so many hexadecimal digits are generated.
    digests: HashSet<(String, usize)>,
}

impl Names {
    /// Learns them from a log.
    pub(super) fn of(log: &Log) -> Self {
        let mut digests: HashMap<(String, usize), HashSet<&str>> = HashMap::new();
        let mut seen: HashSet<&str> = HashSet::new();
        for record in log.records() {
            // The names of a rename are there on their own as well.
            for path in record.path.split(" -> ") {
                if !seen.insert(path) {
                    continue;
                }
                for (at, part) in parts(path) {
                    if let Some(key) = digest_at(path, at, part) {
                        digests.entry(key).or_default().insert(part);
                    }
                }
            }
        }
        let generated = |family: &HashSet<&str>| {
            let odd = family.iter().filter(|part| is_odd(part)).count();
            family.len() >= FAMILY && 2 * odd >= family.len()
        };
        let of_digests = |family: &HashSet<&str>| {
            let with_digit = family.iter().filter(|part| has_digit(part)).count();
            family.len() >= FAMILY && 2 * with_digit >= family.len()
        };
        let digests = digests.into_iter().filter(|(_, all)| of_digests(all));
        let mut names = Self {
            random: HashSet::new(),
            digests: digests.map(|(key, _)| key).collect(),
        };
        // Random names in directories whose own are digests are of one family.
        let paths: HashSet<String> = seen
            .iter()
            .map(|path| names.without_digests(path))
            .collect();
        let mut families: HashMap<(String, usize), HashSet<&str>> = HashMap::new();
        for path in &paths {
            let words = parts(path).into_iter();
            for (at, part) in words.filter(|(_, part)| is_word(part) && part.len() >= RANDOM) {
                let key = (without(path, at, part), part.len());
                families.entry(key).or_default().insert(part);
            }
        }
        let random = families.into_iter().filter(|(_, all)| generated(all));
        names.random = random.map(|(key, _)| key).collect();
        names
    }

    /// A path with each whole name that is a digest as `#`.
    fn without_digests(&self, path: &str) -> String {
        let text = parts(path).into_iter().map(|(at, part)| {
            let known = digest_at(path, at, part).is_some_and(|key| self.digests.contains(&key));
            if known { ANY } else { part }
        });
        text.collect()
    }

    /// A path with each generated part as `#`.
    pub(super) fn pattern(&self, path: &str) -> String {
        let both = path.split(" -> ").map(|one| {
            let one = self.without_digests(one);
            let text = parts(&one).into_iter().map(|(at, part)| {
                let random = part.len() >= RANDOM
                    && is_word(part)
                    && (self.random).contains(&(without(&one, at, part), part.len()));
                match random {
                    true => ANY.to_owned(),
                    false => of_part(part),
                }
            });
            joined(text)
        });
        both.collect::<Vec<String>>().join(" -> ")
    }
}

/// A text with every number and every run of hexadecimal as `#`.
pub(super) fn pattern(text: &str) -> String {
    joined(parts(text).into_iter().map(|(_, part)| of_part(part)))
}

/// Puts parts together; generated ones that are joined by a mark alone, as those of a UUID, are one.
fn joined(parts: impl Iterator<Item = String>) -> String {
    let mut out = String::new();
    for part in parts {
        out.push_str(&part);
    }
    for joint in ["#-#", "#_#", "#.#", "##"] {
        while out.contains(joint) {
            out = out.replace(joint, ANY);
        }
    }
    out
}

/// The text in runs of letters and digits, and what is between them, each with its place.
fn parts(text: &str) -> Vec<(usize, &str)> {
    let mut all = Vec::new();
    let mut from = 0;
    let mut word = None;
    for (at, c) in text.char_indices() {
        let now = c.is_ascii_alphanumeric();
        if word.is_some_and(|before| before != now) {
            all.push((from, &text[from..at]));
            from = at;
        }
        word = Some(now);
    }
    if from < text.len() {
        all.push((from, &text[from..]));
    }
    all
}

fn is_word(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// True where a word is not spelled as people spell: with a digit or a capital letter in it.
fn is_odd(part: &str) -> bool {
    part.chars()
        .skip(1)
        .any(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
        && part
            .chars()
            .any(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
}

/// Where a part is a whole name of hexadecimal digits that may be generated: its directory, whose own such
/// names are one, and how many digits it has.
fn digest_at(path: &str, at: usize, part: &str) -> Option<(String, usize)> {
    let (before, behind) = (&path[..at], &path[at + part.len()..]);
    let whole = (before.is_empty() || before.ends_with('/'))
        && (behind.is_empty() || behind.starts_with('/'));
    if !whole || !is_short_digest(part) {
        return None;
    }
    let names = before.split('/').map(|name| match is_short_digest(name) {
        true => ANY.to_owned(),
        false => pattern(name),
    });
    Some((names.collect::<Vec<String>>().join("/"), part.len()))
}

fn is_short_digest(name: &str) -> bool {
    let length = name.len() >= SHORT_HEX || name.len() == BYTE;
    length && name.chars().all(|c| c.is_ascii_hexdigit())
}

fn has_digit(part: &str) -> bool {
    part.contains(|c: char| c.is_ascii_digit())
}

/// The path without this part, its other parts as patterns.
fn without(path: &str, at: usize, part: &str) -> String {
    let (before, behind) = (&path[..at], &path[at + part.len()..]);
    format!("{}\0{}", pattern(before), pattern(behind))
}

/// One run of letters and digits.
fn of_part(part: &str) -> String {
    if !is_word(part) {
        return part.to_owned();
    }
    let hex = part.chars().all(|c| c.is_ascii_hexdigit());
    let short = is_short_digest(part) && has_digit(part);
    if hex && part.len() >= HEX || short || is_mixed(part) {
        return ANY.to_owned();
    }
    let mut out = String::with_capacity(part.len());
    for c in part.chars() {
        if !c.is_ascii_digit() {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

/// True where letters follow digits and digits letters more than once.
fn is_mixed(part: &str) -> bool {
    let bytes = part.as_bytes();
    let changes = bytes
        .windows(2)
        .filter(|two| two[0].is_ascii_digit() != two[1].is_ascii_digit());
    changes.count() >= 3
}

#[cfg(test)]
mod tests {
    use plugpull_crashsim::fs::{Op, ROOT, Record, Tree};

    use super::*;

    fn log_of(paths: &[&str]) -> Log {
        let records = paths.iter().zip(0..).map(|(path, seq)| Record {
            seq,
            nanos: seq,
            pid: 1,
            path: (*path).into(),
            op: Op::Sync {
                ino: ROOT,
                data_only: false,
                dir: true,
            },
        });
        Log::of(Tree::new(0, 0, 0), records.collect(), Vec::new())
    }

    #[test]
    fn numbers_and_digests_do_not_make_a_name() {
        for (name, shown) in [
            ("snap-12/log-7.tmp", "snap-#/log-#.tmp"),
            ("objects/3f/9a0c77d2e1", "objects/#/#"),
            ("objects/c2/tmp", "objects/#/tmp"),
            ("deadbeefcafe.blob", "#.blob"),
            ("a1b2-4c5d-99.x", "#.x"),
            ("6f1ed002-ab5f-beef-9af2-0123456789ab", "#-beef-#"),
            ("x7Kp2Q.part", "#.part"),
            ("users.db", "users.db"),
            ("MANIFEST", "MANIFEST"),
            ("faded", "faded"),
        ] {
            assert_eq!(pattern(name), shown);
        }
    }

    #[test]
    fn names_that_differ_in_random_letters_are_one() {
        let log = log_of(&[
            ".tmpQwErTy",
            ".tmpabCDef",
            ".tmpx1y2zz -> db.ron",
            ".tmpAAbbCC",
        ]);
        let names = Names::of(&log);
        assert_eq!(names.pattern(".tmpabCDef -> db.ron"), ".# -> db.ron");
        assert_eq!(names.pattern(".tmpAAbbCC"), ".#");
    }

    #[test]
    fn random_names_in_directories_of_digests_are_one() {
        let log = log_of(&[
            "objects/c2/tmp_obj_XDdE02",
            "objects/dd/tmp_obj_YXCTLx",
            "objects/3f/tmp_obj_mQNKxy",
            "objects/17/tmp_obj_fyLqWa",
        ]);
        let names = Names::of(&log);
        assert_eq!(
            names.pattern("objects/dd/tmp_obj_YXCTLx"),
            "objects/#/tmp_obj_#"
        );
        assert_eq!(
            names.pattern("objects/3f/tmp_obj_mQNKxy"),
            "objects/#/tmp_obj_#"
        );
        assert_eq!(
            names.pattern("objects/3f/tmp_obj_of_me"),
            "objects/#/tmp_obj_of_me"
        );
    }

    #[test]
    fn digests_of_letters_alone_are_generated_beside_others() {
        let log = log_of(&[
            "objects/c2/tmp_a",
            "objects/dd/tmp_b",
            "objects/3f/9a",
            "objects/pack",
            "objects/dd/be/x",
            "objects/3f/17",
            "objects/c2/0d",
        ]);
        let names = Names::of(&log);
        assert_eq!(names.pattern("objects/dd/tmp_b"), "objects/#/tmp_b");
        assert_eq!(names.pattern("objects/dd/be/x"), "objects/#/#/x");
        assert_eq!(
            names.pattern("objects/dd -> objects/ff"),
            "objects/# -> objects/#"
        );
        assert_eq!(names.pattern("objects/pack"), "objects/pack");
        // Elsewhere it is a name.
        assert_eq!(names.pattern("dd/tmp_b"), "dd/tmp_b");
        let words = Names::of(&log_of(&["ab/x", "db/x", "ad/x", "a1/x"]));
        assert_eq!(words.pattern("db/x"), "db/x");
    }

    #[test]
    fn words_of_one_length_are_not_random() {
        let names = Names::of(&log_of(&["users.db", "posts.db", "items.db", "carts.db"]));
        assert_eq!(names.pattern("posts.db"), "posts.db");
    }

    #[test]
    fn two_names_with_a_digit_are_not_random() {
        let names = Names::of(&log_of(&["table1.db", "table2.db"]));
        assert_eq!(names.pattern("table1.db"), "table#.db");
    }
}
