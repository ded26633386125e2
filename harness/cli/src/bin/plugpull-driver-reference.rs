//! The driver of the reference store: see `docs/driver-protocol.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plugpull_driver::sdk::main(&plugpull_driver_reference::SYSTEM)
}
