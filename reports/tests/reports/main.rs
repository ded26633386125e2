//! The reports as their readers see them.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod browser;
mod cards;
mod compare;
mod conclusion;
mod explored;
mod forms;
mod grown;
mod json;
mod made_up;
mod merge;
mod run_file;
mod sarif;
mod schema;
mod snapshots;
mod summary;
mod table;

fn main() -> std::process::ExitCode {
    plugpull_testing::main(|capability| match capability {
        "chromium" => browser::chromium().map(drop),
        "axe" => browser::axe().map(drop),
        program => plugpull_testing::program(program),
    })
}
