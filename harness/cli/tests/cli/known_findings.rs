//! `ci/known-findings.py`: silent where a target is as its list says, and loud about what is new,
//! what has vanished, and a list that says nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use plugpull_testing::test;

use crate::support::{PLUGPULL, Ran};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ci/known-findings.py");

/// What the script says of the reference store without its syncs, by a list with these findings.
fn compared(findings: &str) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("known.toml");
    let run = "[[run]]\ncommand = \"run\"\noptions = \"--seed 1 --rounds 1 --clients 1 \
               --set defect=no-fsync --fault power-loss@op=write,path=log-1,n=12\"\n";
    std::fs::write(&list, format!("target = \"reference\"\n{run}{findings}")).unwrap();
    script(&list)
}

fn script(list: &Path) -> Ran {
    let output = Command::new("python3")
        .args([SCRIPT, "--plugpull", PLUGPULL])
        .arg(list)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    output.into()
}

/// A finding of the list.
fn entry(kind: &str, more: &str) -> String {
    format!(
        "[[run.finding]]\nkind = \"{kind}\"\nfault = \"power-loss\"\nseen = \"always\"\n{more}\n"
    )
}

#[test(needs = "fuse tomllib")]
fn as_listed() {
    let ran = compared(&entry("lost-ack", "always = true"));
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test(needs = "fuse tomllib")]
fn new() {
    let ran = compared("");
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = "known-findings: run 1: new: lost-ack under power-loss";
    assert!(ran.stdout.contains(said), "{ran:?}");
}

#[test(needs = "fuse tomllib")]
fn vanished() {
    let listed = entry("lost-ack", "") + &entry("hung", "");
    let ran = compared(&listed);
    assert_eq!(ran.code, 0, "it may be found and need not be: {ran:?}");
    let listed = entry("lost-ack", "") + &entry("hung", "always = true");
    let ran = compared(&listed);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = "known-findings: run 1: vanished: hung under power-loss (seen in always)";
    assert!(ran.stdout.contains(said), "{ran:?}");
}

#[test(needs = "fuse tomllib")]
fn a_list_with_a_typing_error_is_wrong_use() {
    let ran = compared(&entry("lost-ack", "alway = true"));
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = compared("[run.finding]\n");
    assert_eq!(ran.code, 2, "{ran:?}");
}
