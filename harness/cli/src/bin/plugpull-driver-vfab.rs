//! The driver of vfab: see `docs/driver-protocol.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plugpull_driver::sdk::main(&plugpull_driver_vfab::SYSTEM)
}
