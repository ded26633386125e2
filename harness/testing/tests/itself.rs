//! A test program of the crate, that starts itself again to see what its runner does.

use std::process::{Command, ExitCode, Output};

use plugpull_testing::{REQUIRE, TIMES, test};

/// Set in the copy of this program that is looked at.
const INNER: &str = "PLUGPULL_TESTING_INNER";

fn main() -> ExitCode {
    plugpull_testing::main(|capability| match capability {
        "air" => Ok(()),
        "wings" => Err("there are none".to_owned()),
        other => plugpull_testing::program(other),
    })
}

fn inner() -> bool {
    std::env::var_os(INNER).is_some()
}

#[test(needs = "air")]
fn with_what_is_there() {}

#[test(needs = "air wings")]
fn with_what_is_missing() {
    assert!(inner(), "it must not run without what it needs");
}

#[test(ignore = "it fails, as the test below wants")]
fn on_demand() {
    panic!("it ran");
}

#[test(needs = "plugpull-no-such-program")]
fn with_a_program_that_is_missing() {
    panic!("it ran");
}

fn start(arguments: &[&str], promised: &str, seconds: &str) -> Output {
    assert!(!inner(), "it would start itself without end");
    let me = std::env::current_exe().expect("the path of this program");
    Command::new(me)
        .args(arguments)
        .env(INNER, "1")
        .env(REQUIRE, promised)
        .env(TIMES, seconds)
        .output()
        .expect("this program starts again")
}

fn run(arguments: &[&str], promised: &str) -> (bool, String) {
    let output = start(arguments, promised, "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find(|line| line.contains(name) && line.starts_with("test "))
        .unwrap_or("")
}

#[test]
fn a_missing_capability_is_ignored() {
    let (passed, text) = run(&["with_"], "");
    assert!(passed, "{text}");
    assert!(line(&text, "with_what_is_there").ends_with("ok"), "{text}");
    for name in ["with_what_is_missing", "with_a_program_that_is_missing"] {
        assert!(line(&text, name).ends_with("ignored"), "{text}");
    }
}

#[test]
fn a_promised_capability_that_is_missing_fails() {
    let (passed, text) = run(&["with_"], "air,wings");
    assert!(!passed, "{text}");
    assert!(line(&text, "with_what_is_there").ends_with("ok"), "{text}");
    assert!(
        line(&text, "with_what_is_missing").ends_with("FAILED"),
        "{text}"
    );
    assert!(text.contains("promises wings: there are none"), "{text}");
    let other = line(&text, "with_a_program_that_is_missing");
    assert!(other.ends_with("ignored"), "{text}");
}

#[test]
fn an_ignored_test_runs_when_it_is_asked_for() {
    let (passed, text) = run(&["on_demand"], "");
    assert!(passed, "{text}");
    let (passed, text) = run(&["on_demand", "--ignored"], "");
    assert!(!passed, "{text}");
}

#[test]
fn a_test_without_what_it_needs_fails_when_it_is_asked_for() {
    let (passed, text) = run(&["with_a_program", "--ignored"], "");
    assert!(!passed, "{text}");
    assert!(
        text.contains("lacks one of: plugpull-no-such-program"),
        "{text}"
    );
}

#[test]
fn tests_that_take_long_are_named_in_one_line() {
    let line = |seconds: &str| -> Vec<String> {
        let output = start(&["with_what_is_there"], "", seconds);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let slow = text.lines().filter(|line| line.starts_with("slow tests: "));
        slow.map(str::to_owned).collect()
    };
    let named = line("0");
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].contains("with_what_is_there 0.0 s"), "{named:?}");
    assert_eq!(line("600"), Vec::<String>::new());
}
