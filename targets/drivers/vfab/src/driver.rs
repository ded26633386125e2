//! The driver: the real command line, or the fake in its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use plugpull_catalog::promises_of;
use plugpull_driver::sdk::{Driver, Place, Shared, Store};
use plugpull_driver::{Capability, Description, Shape, UsageError, fake, program, resolved};

use super::commands::{self, CommandStore, Options};
use super::mutant::Mutant;
use super::{NAME, SETTINGS, Settings, Until};

/// A job of the real one takes two commands of a second or more each.
const COMMANDS_TIME: u32 = 6;

/// vfab with its settings.
pub(super) struct VfabDriver {
    settings: Settings,
    given: BTreeMap<String, String>,
}

impl VfabDriver {
    /// Checks the settings. Starts nothing.
    pub(super) fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            given: values.clone(),
        })
    }

    /// Where the real vfab is; an error says where it is not.
    fn program(&self) -> Result<PathBuf, String> {
        let name = match self.settings.venv.as_str() {
            "" => "vfab".to_owned(),
            // The program itself, as this driver names it to the one in the sandbox.
            program if Path::new(program).is_file() => program.to_owned(),
            venv => format!("{venv}/bin/vfab"),
        };
        program::find(&name).ok_or_else(|| program::missing(&name))
    }

    fn version(&self) -> String {
        if self.settings.reference {
            return fake::version(NAME, self.settings.mutant.map(Mutant::name));
        }
        match self.program() {
            Ok(program) => format!("vfab, {}", program.display()),
            Err(_) => "vfab".into(),
        }
    }

    /// Why it cannot be run here; none when it can.
    fn unavailable(&self) -> Option<String> {
        if self.settings.reference {
            return None;
        }
        let why = match (self.program(), self.settings.until) {
            (Err(why), _) => why,
            (Ok(_), Until::Queued) => return None,
            (Ok(program), Until::Completed) => commands::lacks_python(&program)?,
        };
        Some(format!(
            "{why}: install it with `python3.13 -m venv DIR && DIR/bin/pip install vfab==0.9.0 \
             requests vpype`, name that with --set venv=DIR, or test the fake with --reference"
        ))
    }
}

/// What can be asked of vfab; its fake can roll a job back as well.
pub fn capabilities(reference: bool) -> Vec<String> {
    let mut able = vec![
        Capability::Check,
        Capability::DriverCheck,
        Capability::Delete,
    ];
    if reference {
        able.push(Capability::Abort);
    }
    able.into_iter().map(|one| one.word().to_owned()).collect()
}

impl Driver for VfabDriver {
    fn describe(&self) -> Description {
        let Settings {
            reference, venv, ..
        } = &self.settings;
        let mut visible: Vec<PathBuf> = Vec::new();
        let mut given = self.given.clone();
        if !reference {
            if let Ok(program) = self.program() {
                given.insert("venv".into(), program.display().to_string());
                visible.push(program);
            }
            if !venv.is_empty() {
                visible.extend(std::path::absolute(venv).ok());
            }
        }
        Description {
            version: self.version(),
            promises: promises_of(NAME, &resolved(SETTINGS, &self.given)),
            unavailable: self.unavailable(),
            driver: Some(match reference {
                true => fake::driver(NAME, &self.given),
                false => fake::command("plugpull-driver-vfab", &[], &given),
            }),
            shapes: vec![Shape::KeyValue.word().into()],
            capabilities: capabilities(*reference),
            ops_per_txn: Some((1, 3)),
            time_factor: (!reference).then_some(COMMANDS_TIME),
            visible,
            ..Description::default()
        }
    }

    fn open(&self, place: &Place, _deadline: Instant) -> Result<Box<dyn Store>, String> {
        let options = Options {
            program: self.program()?,
            until: self.settings.until,
            export: self.settings.export,
        };
        let store = CommandStore::open(&place.data, &options)?;
        Ok(Box::new(Shared::new(store)))
    }
}
