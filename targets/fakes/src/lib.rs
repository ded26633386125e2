//! Imitations of four systems that others wrote, with their mutants, for tests: what each driver drives
//! where the system itself is not installed.

pub mod ailee;
pub mod interstice;
pub mod statehouse;
pub mod vfab;

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use plugpull_driver::protocol::DATA_VARIABLE;
use plugpull_driver::sdk::{self, Place, System, note};

/// Wrong use: the exit code.
const WRONG_USE: u8 = 2;

/// The fakes that are drivers themselves.
const DRIVERS: [&System; 3] = [&interstice::SYSTEM, &vfab::SYSTEM, &ailee::SYSTEM];

/// Becomes the fake that `args` name: `SYSTEM [NAME=VALUE]...`. Returns the exit code when it ends: 2
/// for wrong use, 1 when it cannot open or serve its data (printed on standard error).
pub fn main(args: &[String]) -> ExitCode {
    let Some((name, settings)) = args.split_first() else {
        return wrong_use(&format!("it takes a system; there is: {}", known()));
    };
    if name == plugpull_driver_statehouse::NAME {
        let (code, why) = statehouse::main(settings);
        note(&why);
        return ExitCode::from(code);
    }
    let Some(system) = DRIVERS.iter().find(|system| system.name == name) else {
        return wrong_use(&format!(
            "there is no fake of {name:?}; there is: {}",
            known()
        ));
    };
    let mut values = BTreeMap::from([("reference".to_owned(), "yes".to_owned())]);
    for setting in settings {
        match setting.split_once('=') {
            Some((name, value)) => drop(values.insert(name.to_owned(), value.to_owned())),
            None => return wrong_use(&format!("{setting:?} is not NAME=VALUE")),
        }
    }
    let data = std::env::var_os(DATA_VARIABLE).map_or_else(|| ".".into(), Into::into);
    sdk::serve(system, &values, &Place { data }, io::stdin(), io::stdout())
}

fn wrong_use(why: &str) -> ExitCode {
    note(why);
    ExitCode::from(WRONG_USE)
}

/// The systems that there are fakes of.
fn known() -> String {
    let drivers = DRIVERS.iter().map(|system| system.name);
    let all: Vec<&str> = std::iter::once(plugpull_driver_statehouse::NAME)
        .chain(drivers)
        .collect();
    all.join(", ")
}
