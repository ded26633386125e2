//! The published Interstice node as a target, against a node that is small enough to be built here:
//! it is started, written to, killed, restarted, read and looked at, and what it gets wrong is found.
//! The node is this test program, started again.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod node;
mod packets;
#[path = "../cli/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::{env, fs};

use plugpull_testing::test;
use support::{Reported, plugpull, run};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.first().is_some_and(|word| word == "node") {
        return node::run(&args[1..]);
    }
    plugpull_testing::main(support::machine::capability)
}

/// The options that test a node with this flaw, and the directory that must outlive it.
fn options(flaw: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let module = directory.path().join("module.wasm");
    // The node reads from its module what is wrong with it.
    fs::write(&module, [node::MAGIC, flaw.as_bytes()].concat()).unwrap();
    let me = env::current_exe().unwrap();
    let options = format!(
        "interstice --set bin={} --set module={} --clients 2",
        me.display(),
        module.display()
    );
    (directory, options)
}

fn tested(flaw: &str, more: &str) -> Reported {
    let (_directory, options) = options(flaw);
    run(&format!("{options} {more}"))
}

/// It has one kind of finding, and only the trials of a restart with something to show have it.
fn found(flaw: &str, kind: &str, words: &str) {
    let reported = tested(flaw, "--seed 1 --rounds 2 --fault kill@ack=20");
    assert!(
        reported.kinds().iter().any(|found| found == kind),
        "{kind}: {}",
        reported.ran.stdout
    );
    let said = format!("{:?}", reported.report);
    assert!(said.contains(words), "{words}: {}", reported.ran.stdout);
}

#[test(needs = "fuse")]
fn a_sound_node_keeps_what_is_promised() {
    let reported = tested(
        "",
        "--seed 1 --rounds 2 --fault kill@ack=20 --fault kill-op --fault power-loss@op=sync,n=20 --fault term",
    );
    reported.must_have_no_finding();
    assert_eq!(reported.count("pass"), 8, "{}", reported.ran.stdout);
}

/// Under a kill alone: without checksums no node can tell a torn entry from a whole one.
#[test(needs = "fuse")]
fn a_crash_state_is_replayed_into_a_node() {
    let (_directory, options) = options("");
    let output = plugpull()
        .arg("explore")
        .args(options.split_whitespace())
        .args("--seed 1 --txns 10 --states 40 --model kill --budget 60s -q".split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test(needs = "fuse")]
fn an_acknowledged_row_that_is_not_kept_is_found() {
    found("forgets", "lost-ack", "");
}

#[test(needs = "fuse")]
fn files_are_checked_whatever_the_node_says() {
    found("miscounts", "unreadable", "numbering");
}

#[test(needs = "fuse")]
fn a_node_that_does_not_start_again_is_found() {
    found("refuses", "will-not-start", "the log is not to its taste");
}

#[test(needs = "fuse")]
fn an_error_instead_of_rows_is_found() {
    found("errors", "unreadable", "no such table today");
}

#[test(needs = "fuse")]
fn a_node_that_acknowledges_nothing_is_not_measured() {
    // The bound limits how long the first ack is waited for.
    let options = "--seed 1 --rounds 1 --recovery-bound 1s --fault kill@ack=20";
    let reported = tested("mute", options);
    assert_eq!(reported.count("not-measured"), 1, "{}", reported.ran.stdout);
    assert_eq!(reported.ran.code, 3);
}
