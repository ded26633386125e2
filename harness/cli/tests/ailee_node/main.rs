//! The `ailee` target over HTTP, against a fake node that keeps what it should, and against one that
//! is wrong in one way each. The nodes are this test program, started again under another name.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod fake;
#[path = "../cli/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plugpull_testing::{MadeTest, test};
use support::{plugpull, run, text};

const NAME: &str = "ailee_node";

fn main() -> ExitCode {
    let me = std::env::args().next().unwrap_or_default();
    let name = Path::new(&me).file_name().and_then(|name| name.to_str());
    let port = std::env::var("AILEE_WEB_SERVER_PORT");
    if let (Some(name), Ok(port)) = (name.and_then(|name| name.strip_prefix(NAME)), port) {
        let flaw = name.trim_start_matches('-');
        return match port.parse() {
            Ok(port) if flaw.is_empty() || fake::FLAWS.contains(&flaw) => fake::run(flaw, port),
            _ => ExitCode::from(2),
        };
    }
    let flaws = fake::FLAWS[1..].iter().map(|flaw| MadeTest {
        name: format!("a_node_that_is_wrong_is_found: {flaw}"),
        needs: "fuse",
        run: Box::new(move || found(flaw)),
    });
    plugpull_testing::main_with(support::machine::capability, flaws)
}

/// A node with this flaw; none for "".
struct Node {
    directory: tempfile::TempDir,
    program: PathBuf,
}

impl Node {
    fn new(flaw: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = match flaw {
            "" => NAME.to_owned(),
            flaw => format!("{NAME}-{flaw}"),
        };
        let program = directory.path().join(name);
        // By a process of its own: a fork of another test would keep the copy open for writing, and
        // what is open so cannot be started (ETXTBSY, execve(2)).
        let copied = std::process::Command::new("cp")
            .arg(std::env::current_exe().unwrap())
            .arg(&program)
            .status();
        assert!(copied.unwrap().success(), "the copy failed");
        Self { directory, program }
    }

    fn options(&self) -> String {
        assert!(self.directory.path().exists());
        format!("ailee --set bin={} --seed 1", self.program.display())
    }
}

#[test]
fn an_absent_node_is_said_and_ends_with_3() {
    for (arguments, words) in [
        (vec!["run", "ailee"], "ailee_node is not on PATH"),
        (
            vec!["explore", "ailee", "--set", "bin=/nowhere/node"],
            "there is no program /nowhere/node",
        ),
    ] {
        let mut command = plugpull();
        let output = command
            .args(arguments)
            .arg("-q")
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        for word in [words, "CMake", "--set bin=PATH", "--reference"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    let mut command = plugpull();
    let wrong = command.args(["run", "ailee", "--reference", "--set", "bin=x"]);
    assert_eq!(wrong.output().unwrap().status.code(), Some(2));
}

#[test(needs = "fuse")]
fn a_sound_node_has_no_finding() {
    let node = Node::new("");
    let run = run(&format!(
        "{} --rounds 1 --fault kill@ack=2 --fault term@ack=2 \
         --fault power-loss@op=sync,path=*anchored.new,n=1 \
         --fault kill-recovery@recovery,time=1ms",
        node.options()
    ));
    run.must_have_no_finding();
    assert_eq!(run.count("pass"), 4, "{}", run.ran.stdout);
    assert_eq!(run.ran.code, 0, "{:?}", run.ran);
}

/// What each flaw is shown as, with words of the finding; each of them, and nothing else.
const SHOWN: &[(&str, &str, &str)] = &[
    ("forgets", "lost-ack", "calls itself healthy and says"),
    ("forgets-transactions", "lost-ack", "total_transactions 0"),
    ("lower-block", "lost-ack", "last_anchor_height"),
    ("lower-block", "unreadable", "has an anchor of block"),
    ("other-anchor", "unreadable", "had the hash"),
    ("garbage", "unreadable", "It works"),
    ("no-http", "unreadable", "no HTTP"),
    ("hangs", "hung", ""),
    ("ill", "will-not-start", "unhealthy"),
    ("stopped", "unreadable", "does not run"),
    ("without-database", "unreadable", "ReorgDetector"),
    ("ends", "will-not-start", "Failed to load snapshot"),
];

fn found(flaw: &str) {
    let mut expected = SHOWN.iter().filter(|(name, ..)| *name == flaw).peekable();
    assert!(expected.peek().is_some(), "{flaw} is expected nowhere");
    let node = Node::new(flaw);
    // A bound shortens the limit of a start, which is waited for three times.
    let bound = match flaw {
        "hangs" => "--recovery-bound 2s",
        _ => "",
    };
    let options = format!("{} --rounds 1 --fault kill@ack=2 {bound}", node.options());
    let run = run(&support::mutants::once(&options));
    assert_eq!(run.ran.code, 1, "{:?}", run.ran);
    let found: Vec<(&str, &str)> = run
        .findings()
        .iter()
        .map(|finding| (text(finding, "kind"), text(finding, "sentence")))
        .collect();
    for (_, kind, words) in expected {
        assert!(
            found.iter().any(|(k, s)| k == kind && s.contains(words)),
            "it is not shown as {kind} ({words}): {found:?}"
        );
    }
    for (kind, _) in found {
        let known = |(name, k, _): &(&str, &str, &str)| *name == flaw && *k == kind;
        assert!(SHOWN.iter().any(known), "{kind}");
    }
}

#[test(needs = "fuse")]
fn a_node_that_is_never_well_is_not_tested() {
    let node = Node::new("ill-from-the-start");
    let mut command = plugpull();
    let options = format!("run {} --rounds 1 --fault kill -q", node.options());
    let output = command.args(options.split_whitespace()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("unhealthy"), "{said}");
}

/// The same node that is caught forgetting its anchors breaks no promise before the first one. It has
/// written nothing by then either, so that is no pass.
#[test(needs = "fuse")]
fn nothing_is_required_before_an_anchor() {
    let node = Node::new("forgets");
    let run = run(&format!(
        "{} --set anchored=no --rounds 1 --fault kill@ack=4",
        node.options()
    ));
    run.must_have_no_finding();
    assert_eq!(run.count("not-measured"), 1, "{}", run.ran.stdout);
    assert_eq!(run.ran.code, 3, "{}", run.ran.stdout);
    assert!(
        run.ran.stdout.contains("never touched its data directory"),
        "{}",
        run.ran.stdout
    );
}

#[test(needs = "fuse")]
fn crash_states_are_explored() {
    for (flaw, code, kind) in [("", 0, None), ("forgets", 1, Some("lost-ack"))] {
        let node = Node::new(flaw);
        let directory = tempfile::tempdir().unwrap();
        let json = directory.path().join("report.json");
        let mut command = plugpull();
        let options = format!("explore {} --txns 4 --budget 60s -q", node.options());
        command.args(options.split_whitespace());
        command.arg("--json").arg(&json);
        let explored = support::reported(&mut command, &json);
        assert_eq!(explored.ran.code, code, "{flaw}: {:?}", explored.ran);
        let kinds: Vec<&str> = explored
            .findings()
            .iter()
            .map(|f| text(f, "kind"))
            .collect();
        assert_eq!(kinds.first().copied(), kind, "{flaw}: {kinds:?}");
    }
}
