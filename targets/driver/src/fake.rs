//! What the drivers of systems with a fake share: the two settings that choose the fake and one of
//! its mutants. The fakes themselves are in the crate `plugpull-fakes`.

use std::collections::BTreeMap;

use crate::{CommandDescription, Given, Setting, UsageError};

/// The program of plugpull's fakes.
pub const PROGRAM: &str = "plugpull-fake";

/// Lists the mutants of a fake: the enum `Mutant`, and `MUTANTS` for the description.
#[macro_export]
macro_rules! mutants {
    ($($variant:ident $name:literal $about:literal;)*) => {
        /// A mutant of the fake. Each is one `if` where it would do the right thing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $(#[doc = $about] $variant,)*
        }

        /// The mutants, as they are listed.
        pub const MUTANTS: &[$crate::Mutant] =
            &[$($crate::Mutant { name: $name, about: $about }),*];

        impl Mutant {
            /// Every mutant with its name.
            pub(crate) const NAMED: &[(&str, Option<Mutant>)] =
                &[("none", None), $(($name, Some(Mutant::$variant))),*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                let mut named = Self::NAMED.iter();
                named.find(|(_, mutant)| *mutant == Some(self)).map_or("", |(name, _)| name)
            }
        }
    };
}

/// The setting `reference` of every target that has a fake.
pub const REFERENCE_SETTING: Setting = Setting {
    name: "reference",
    values: "yes, no",
    default: "no",
    about: "test plugpull's own fake, which keeps every promise (the same as --reference)",
};

/// The setting `defect` of every target that has a fake.
pub const DEFECT_SETTING: Setting = Setting {
    name: "defect",
    values: "none, or one that is listed below",
    default: "none",
    about: "a mutant of the fake",
};

/// Reads the two settings above: a mutant is only for the fake, and what is named in `the_real` only
/// for the real system.
///
/// # Errors
/// One of them has a value that it does not take, or they contradict each other.
pub fn resolve<T: Copy>(
    target: &str,
    given: &Given<'_>,
    values: &BTreeMap<String, String>,
    mutants: &[(&str, Option<T>)],
    the_real: &[&str],
) -> Result<(bool, Option<T>), UsageError> {
    let reference = given.one_of("reference", &[("yes", true), ("no", false)])?;
    let mutant = given.one_of("defect", mutants)?;
    let conflict = |why: String| UsageError::Conflict {
        target: target.to_owned(),
        why,
    };
    let misplaced = the_real.iter().find(|name| values.contains_key(**name));
    if let (true, Some(name)) = (reference, misplaced) {
        return Err(conflict(format!(
            "{name} is about the real system and --reference is the fake: leave one of them out"
        )));
    }
    if mutant.is_some() && !reference {
        return Err(conflict(
            "only the fake has mutants: add --reference".into(),
        ));
    }
    Ok((reference, mutant))
}

/// The version of the fake of a system, for reports.
pub fn version(system: &str, mutant: Option<&str>) -> String {
    let with = mutant.map_or(String::new(), |name| format!(", with the mutant {name}"));
    format!("{system}, plugpull's fake{with}")
}

/// The fake of a system as a driver, with these settings.
pub fn driver(system: &str, values: &BTreeMap<String, String>) -> CommandDescription {
    command(PROGRAM, &[system], values)
}

/// A driver's program with these settings. A driver is described where the user is, and works in the
/// data directory: it has itself started with the absolute paths of what the user named.
pub fn command(
    program: &str,
    first: &[&str],
    values: &BTreeMap<String, String>,
) -> CommandDescription {
    let first = first.iter().map(|arg| (*arg).to_owned());
    let settings = values.iter().map(|(name, value)| format!("{name}={value}"));
    CommandDescription {
        program: program.into(),
        args: first.chain(settings).collect(),
    }
}
