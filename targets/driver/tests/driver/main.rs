//! The driver target and the conformance rules, against drivers that are right and drivers that
//! are wrong in one way each. The drivers are this test program, started again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod host;
mod program;
mod target;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    if let Some(flaw) = std::env::args()
        .nth(1)
        .and_then(|arg| arg.strip_prefix("--driver=").map(str::to_owned))
    {
        return program::run(&flaw);
    }
    let all: [(&str, fn()); 15] = [
        ("a_sound_driver_keeps_every_rule", conformance::sound),
        ("each_flaw_breaks_its_rule", conformance::each_flaw),
        ("every_rule_is_broken_by_some_flaw", conformance::every_rule),
        (
            "rules_of_missing_capabilities_are_skipped",
            conformance::skipped,
        ),
        (
            "the_rust_example_keeps_every_rule",
            conformance::rust_example,
        ),
        ("a_driver_serves_clients_side_by_side", target::side_by_side),
        (
            "what_it_says_of_itself_is_known_once_asked",
            target::introduced,
        ),
        (
            "a_driver_of_version_2_is_described_first",
            target::described,
        ),
        ("a_driver_says_how_its_daemon_is_started", target::launched),
        ("fail_and_info_are_distinguished", target::fail_and_info),
        ("what_it_cannot_do_is_not_asked_for", target::unable),
        ("a_late_answer_is_never_taken_for_another", target::late),
        ("a_breach_ends_every_client", target::breach),
        ("a_driver_that_does_not_come_up_says_why", target::not_up),
        (
            "a_daemon_is_the_target_and_the_driver_beside_it",
            target::daemon,
        ),
    ];
    let trials = all.map(|(name, test)| {
        Trial::test(name, move || {
            // A panic is caught by the runner.
            test();
            Ok::<(), Failed>(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}
