//! What the stand-ins that speak the protocol of [`wire`] share: their planted defects, how plugpull
//! starts them, and how they serve.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::reference_daemon::REFERENCE;
use crate::wire::{self, Session, Shared, WireRunning};
use crate::{Host, Launch, Program, Setting, StartError, UsageError};
use plugpull_driver::Given;

/// Lists the defects of a stand-in: the enum `Planted`, and `DEFECTS` for the catalogue.
macro_rules! planted {
    ($($variant:ident $name:literal $about:literal;)*) => {
        /// A defect planted in the stand-in. Each is one `if` where it would do the right thing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $(#[doc = $about] $variant,)*
        }

        /// The planted defects, as they are listed.
        pub const DEFECTS: &[$crate::Defect] =
            &[$($crate::Defect { name: $name, about: $about }),*];

        impl Planted {
            /// Every defect with its name.
            pub(crate) const NAMED: &[(&str, Option<Planted>)] =
                &[("none", None), $(($name, Some(Planted::$variant))),*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                let mut named = Self::NAMED.iter();
                named.find(|(_, planted)| *planted == Some(self)).map_or("", |(name, _)| name)
            }
        }
    };
}
pub(crate) use planted;

/// The setting `reference` of every target that has a stand-in.
pub(crate) const REFERENCE_SETTING: Setting = Setting {
    name: "reference",
    values: "yes, no",
    default: "no",
    about: "test plugpull's own stand-in, which keeps every promise (the same as --reference)",
};

/// The setting `defect` of every target that has a stand-in.
pub(crate) const DEFECT_SETTING: Setting = Setting {
    name: "defect",
    values: "none, or one that is listed below",
    default: "none",
    about: "a defect planted in the stand-in",
};

/// Reads the two settings above: a defect is only for the stand-in, and what is named in `the_real`
/// only for the real system.
pub(crate) fn asked_for<T: Copy>(
    target: &str,
    given: &Given<'_>,
    values: &BTreeMap<String, String>,
    defects: &[(&str, Option<T>)],
    the_real: &[&str],
) -> Result<(bool, Option<T>), UsageError> {
    let reference = given.one_of("reference", &[("yes", true), ("no", false)])?;
    let defect = given.one_of("defect", defects)?;
    let conflict = |why: String| UsageError::Conflict {
        target: target.to_owned(),
        why,
    };
    let misplaced = the_real.iter().find(|name| values.contains_key(**name));
    if let (true, Some(name)) = (reference, misplaced) {
        return Err(conflict(format!(
            "{name} is about the real system and --reference is the stand-in: leave one of them out"
        )));
    }
    if defect.is_some() && !reference {
        return Err(conflict(
            "defects are planted in the stand-in only: add --reference".into(),
        ));
    }
    Ok((reference, defect))
}

/// Starts the stand-in for `system` in the data folder, as plugpull's own binary again, and waits
/// until it says that it is ready.
pub(crate) fn start<'host>(
    host: &'host dyn Host,
    system: &str,
    settings: &BTreeMap<String, String>,
    deadline: Instant,
) -> Result<WireRunning<'host>, StartError> {
    let mut args = vec![REFERENCE.to_owned(), system.to_owned()];
    args.extend(
        settings
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    let launch = Launch {
        program: Program::Myself,
        args,
        env: Vec::new(),
        cwd: None,
    };
    wire::start(host, &launch, deadline)
}

/// What a target with a stand-in says of itself.
pub(crate) fn version(system: &str, defect: Option<&str>) -> String {
    let with = defect.map_or(String::new(), |name| format!(", with the defect {name}"));
    format!("{system}, plugpull's stand-in{with}")
}

/// The settings `name=value` of a stand-in's command line. `reference=yes` is understood.
pub(crate) fn settings(args: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut settings = BTreeMap::from([("reference".to_owned(), "yes".to_owned())]);
    for arg in args {
        let (name, value) = arg
            .split_once('=')
            .ok_or_else(|| format!("{arg:?} is not name=value"))?;
        settings.insert(name.to_owned(), value.to_owned());
    }
    Ok(settings)
}

/// Serves a store on standard output's `ready PORT` until it is killed. Returns why it cannot, with
/// the exit code.
pub(crate) fn serve<S: Session + 'static>(opened: Result<S, String>) -> (i32, String) {
    match opened {
        Ok(store) => {
            let why = wire::serve(Arc::new(Shared::new(store)), 0, &mut io::stdout());
            (1, format!("Error: cannot serve: {why}"))
        }
        Err(why) => (1, format!("Error: {why}")),
    }
}
