//! The target: the real command line, or the stand-in.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Instant;

use plugpull_workloads::Promise;

use super::reference::Planted;
use super::{NAME, Settings, Until, commands, promises};
use crate::{Abilities, Host, Running, StartError, Target, UsageError, stand_in, wire};
use plugpull_driver::host::CommandLine;

/// A job of the real one takes two commands of a second or more each.
const COMMANDS_PATIENCE: u32 = 6;

/// The target, with its settings.
pub struct Vfab {
    settings: Settings,
    given: BTreeMap<String, String>,
}

impl Vfab {
    /// Checks the settings. Starts nothing.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, UsageError> {
        Ok(Self {
            settings: Settings::parse(values)?,
            given: values.clone(),
        })
    }

    /// Where the real vfab is; an error says where it is not.
    fn program(&self) -> Result<PathBuf, String> {
        let name = match self.settings.venv.as_str() {
            "" => "vfab".to_owned(),
            venv => format!("{venv}/bin/vfab"),
        };
        CommandLine::of(std::slice::from_ref(&name))
            .map(|found| found.program)
            .map_err(|_| match self.settings.venv.as_str() {
                "" => "vfab is not on PATH".to_owned(),
                _ => format!("there is no program {name}"),
            })
    }
}

impl Target for Vfab {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> String {
        if self.settings.reference {
            return stand_in::version(NAME, self.settings.defect.map(Planted::name));
        }
        match self.program() {
            Ok(program) => format!("vfab, {}", program.display()),
            Err(_) => "vfab".into(),
        }
    }

    fn absent(&self) -> Option<String> {
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
             requests vpype`, name that with --set venv=DIR, or test the stand-in with --reference"
        ))
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            abort: self.settings.reference,
            delete: true,
            barrier: false,
        }
    }

    fn ops_per_txn(&self) -> RangeInclusive<u32> {
        1..=3
    }

    fn patience(&self) -> u32 {
        match self.settings.reference {
            true => 1,
            false => COMMANDS_PATIENCE,
        }
    }

    fn promises(&self) -> Vec<Promise> {
        promises::of(&self.settings)
    }

    fn start<'host>(
        &self,
        host: &'host dyn Host,
        deadline: Instant,
    ) -> Result<Box<dyn Running + 'host>, StartError> {
        if self.settings.reference {
            return Ok(Box::new(stand_in::start(
                host,
                NAME,
                &self.given,
                deadline,
            )?));
        }
        let program = self
            .program()
            .map_err(|why| Error::new(ErrorKind::NotFound, why))?;
        let asked = commands::Asked {
            program,
            until: self.settings.until,
            export: self.settings.export,
        };
        let daemon = wire::start(host, &commands::launch(&asked), deadline)?;
        Ok(Box::new(daemon))
    }
}
