//! The driver of SQLite: see `docs/driver-protocol.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    plugpull_driver::sdk::main(&plugpull_driver_sqlite::SYSTEM)
}
