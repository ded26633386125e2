//! Causes and fixes on real programs, and `plugpull syncs`: the sync that a mutant lacks is named, a sound
//! twin has none to name, and the syncs that a store needs are found to be needed.

use std::path::Path;

use plugpull_testing::test;
use serde_json::Value;

use crate::command_targets::{CHECK, Made, lines};
use crate::support::{Reported, plugpull, reported};

/// Runs a command that explores: the exit code, what it printed, and the report.
fn explored(command: &str, options: &[&str], directory: &Path) -> (i32, String, Value) {
    let json = directory.join("report.json");
    let mut explore = plugpull();
    explore
        .arg(command)
        .args(options)
        .args(["--seed", "1", "--recovery-depth", "0", "--clients", "1"])
        .args(["--budget", "120s", "--json"])
        .arg(&json)
        .current_dir(directory);
    let Reported { ran, report } = reported(&mut explore, &json);
    (ran.code, ran.stdout, report)
}

/// The diagnosis of the only finding of a mutant of the reference store.
fn diagnosis(defect: &str) -> (String, Value) {
    let directory = tempfile::tempdir().expect("a directory");
    let set = format!("defect={defect}");
    let of = ["reference", "--set", &set, "--set", "snapshot_every=4"];
    let options = [&of[..], &["--txns", "6", "--states", "150"]].concat();
    let (code, printed, report) = explored("explore", &options, directory.path());
    assert_eq!(code, 1, "{printed}");
    let findings = report["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 1, "{printed}");
    (printed, findings[0]["evidence"]["diagnosis"].clone())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[test(needs = "fuse")]
fn a_missing_directory_sync_is_named_and_its_fix_verified() {
    let (printed, diagnosis) = diagnosis("no-dir-fsync");
    assert_eq!(text(&diagnosis, "property"), "durability", "{diagnosis}");
    let fix = &diagnosis["fix"];
    let change = text(fix, "change");
    assert!(
        change.starts_with("fsync of the data directory after"),
        "{diagnosis}"
    );
    assert!(fix["states"].as_u64() > Some(10), "{diagnosis}");
    let models = fix["models"].as_array().map_or(0, Vec::len);
    assert_eq!(models, 6, "{diagnosis}");
    assert!(
        printed.contains("cause           durability: "),
        "{printed}"
    );
    assert!(
        printed.contains("fix, verified   fsync of the data directory"),
        "{printed}"
    );
}

#[test(needs = "fuse")]
fn a_rename_before_its_content_is_an_ordering_that_a_sync_mends() {
    let (_, diagnosis) = diagnosis("rename-without-fsync");
    assert_eq!(text(&diagnosis, "property"), "ordering", "{diagnosis}");
    let change = text(&diagnosis["fix"], "change");
    assert!(change.starts_with("fsync of snapshot-"), "{diagnosis}");
}

#[test(needs = "fuse")]
fn the_syncs_of_the_sound_store_are_audited_and_timed() {
    let directory = tempfile::tempdir().expect("a directory");
    let here = directory.path().to_string_lossy().into_owned();
    let of = ["reference", "--set", "snapshot_every=4", "--txns", "6"];
    let options = [&of[..], &["--states", "60", "--cost-on", &here]].concat();
    let (code, printed, report) = explored("syncs", &options, directory.path());
    assert_eq!(code, 0, "{printed}");
    assert_eq!(
        report["findings"].as_array().map(Vec::len),
        Some(0),
        "{printed}"
    );
    let audit = &report["sync_audit"];
    let sites = audit["sites"].as_array().expect("sites");
    let needed = sites.iter().find(|site| {
        text(site, "call").starts_with('f')
            && text(site, "path") == "log-#"
            && !site["needed"].is_null()
    });
    assert!(needed.is_some(), "{audit}");
    // What is needed is never offered.
    for nth in audit["together"]["sites"].as_array().into_iter().flatten() {
        let site = &sites[nth.as_u64().expect("a number") as usize];
        assert!(site["needed"].is_null(), "{audit}");
    }
    let times = audit["cost"]["sites_us"].as_array().map_or(0, Vec::len);
    assert_eq!(times, sites.len(), "{audit}");
    assert!(printed.contains("Syncs: "), "{printed}");
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .expect("a list")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| ![".plugpull", "report.json"].contains(&name.as_str()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_audit_that_makes_no_sense_is_refused() {
    for (options, why) in [
        (["--cost-on", "/no/such/directory"], "is no directory"),
        (["--shard", "1/2"], "a shard audits no syncs"),
    ] {
        let output = plugpull()
            .args(["syncs", "reference", "--states", "1"])
            .args(options)
            .output()
            .expect("plugpull runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why) || said.contains("--trace"), "{said}");
    }
}

/// The first artifact that an exploration keeps.
fn artifact(options: &[&str], directory: &Path) -> std::path::PathBuf {
    let kept = directory.join("kept");
    let keep = kept.to_string_lossy().into_owned();
    let all = [options, &["--states", "150", "--keep", &keep]].concat();
    let (code, printed, _) = explored("explore", &all, directory);
    assert_eq!(code, 1, "{printed}");
    crate::support::artifact(&kept, 1)
}

/// What `plugpull verify` says: the exit code, and all that it printed.
fn verified(artifact: &Path, options: &[&str]) -> (i32, String) {
    let output = plugpull()
        .arg("verify")
        .arg(artifact)
        .args(options)
        .output()
        .expect("plugpull runs");
    let all = [output.stdout, output.stderr].concat();
    let all = String::from_utf8_lossy(&all).into_owned();
    (output.status.code().unwrap_or(-1), all)
}

#[test(needs = "fuse")]
fn a_finding_of_the_reference_store_is_verified() {
    let directory = tempfile::tempdir().expect("a directory");
    let of = ["reference", "--set", "defect=no-dir-fsync"];
    let of = [&of[..], &["--set", "snapshot_every=4", "--txns", "6"]].concat();
    let artifact = artifact(&of, directory.path());
    let (code, said) = verified(&artifact, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Still there, at crash point"), "{said}");
    let (code, said) = verified(&artifact, &["--set", "defect=none"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Fixed: at"), "{said}");
    assert!(said.contains("fsync(dir) of the data directory"), "{said}");
}

#[test(needs = "fuse")]
fn a_finding_of_sqlite_is_verified() {
    let directory = tempfile::tempdir().expect("a directory");
    let of = [
        "sqlite",
        "--set",
        "synchronous=normal",
        "--promise",
        "durable",
        "--txns",
        "8",
    ];
    let artifact = artifact(&of, directory.path());
    let (code, said) = verified(&artifact, &[]);
    assert_eq!(code, 1, "{said}");
    let (code, said) = verified(&artifact, &["--set", "synchronous=full"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Fixed: at"), "{said}");
}

/// Each line replaces a file; at first what is renamed was not synced.
const REPLACE: &str = "n=0; while [ $n -lt 6 ]; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; \
                       { cat log 2>/dev/null; echo $id; } >new; SYNC; mv new log; sync .; echo ack $id; done\n";

#[test(needs = "fuse")]
fn a_finding_of_a_program_that_was_repaired_is_verified() {
    let bad = REPLACE.replace("SYNC", ":");
    let made = Made::new(&lines(), &[("work.sh", &bad), ("check.sh", CHECK)]);
    let directory = tempfile::tempdir().expect("a directory");
    let name = made.name();
    let of = [&name, "--model", "strict", "--txns", "6"];
    let artifact = artifact(&of, directory.path());
    let (code, said) = verified(&artifact, &[]);
    assert_eq!(code, 1, "{said}");
    made.write("work.sh", &REPLACE.replace("SYNC", "sync new"));
    let (code, said) = verified(&artifact, &[]);
    assert_eq!(code, 0, "{said}");
    // The disk of the artifact has lost the data: `replay` says which command answers.
    let replayed = plugpull()
        .arg("replay")
        .arg(&artifact)
        .output()
        .expect("plugpull runs");
    let replayed = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(replayed.contains("plugpull verify"), "{replayed}");
    // What works otherwise now says nothing of what was found.
    let append = "n=0; while [ $n -lt 6 ]; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; echo $id >>log; sync log; \
                  sync .; echo ack $id; done\n";
    made.write("work.sh", append);
    let (code, said) = verified(&artifact, &[]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("Not reached: "), "{said}");
}

#[test]
fn what_cannot_be_verified_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("artifact.json");
    std::fs::write(&path, "{}").expect("a file");
    let (code, said) = verified(&path, &[]);
    assert_eq!(code, 2, "{said}");
}
