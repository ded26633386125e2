//! The driver of statehoused: see `docs/driver-protocol.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plugpull_driver::sdk::main(&plugpull_driver_statehouse::SYSTEM)
}
