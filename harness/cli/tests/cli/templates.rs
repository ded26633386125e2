//! The pipeline templates in `ci/`: each keeps to the schema of its system, what breaks a schema is
//! seen, and the scripts in them do what they say, from the recording to the merged report.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use plugpull_testing::test;
use serde_json::Value;

use crate::support::{PLUGPULL, Ran, text};

const GITHUB: &str = "github-workflow.yml";
const GITLAB: &str = "gitlab-ci.yml";
const KUBERNETES: &str = "kubernetes-jobs.yaml";

fn template(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../ci")
        .join(name)
}

/// The template must please the linter, and with `from` replaced by `to` displease it.
fn held_to(linter: &[&str], name: &str, from: &str, to: &str) {
    let lint = |path: &Path| -> Ran {
        let mut command = Command::new(linter[0]);
        command.args(&linter[1..]).arg(path);
        command.output().unwrap().into()
    };
    let sound = lint(&template(name));
    assert_eq!(sound.code, 0, "{sound:?}");
    let source = fs::read_to_string(template(name)).unwrap();
    assert!(source.contains(from), "{name} has no {from}");
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join(name);
    fs::write(&broken, source.replace(from, to)).unwrap();
    let refused = lint(&broken);
    assert_ne!(refused.code, 0, "{name} with {to}: {refused:?}");
}

#[test(needs = "check-jsonschema")]
fn the_github_workflow_keeps_to_the_schema() {
    let linter = [
        "check-jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
    ];
    held_to(&linter, GITHUB, "runs-on:", "run-on:");
}

#[test(needs = "actionlint")]
fn actionlint_is_silent_on_the_github_workflow() {
    held_to(&["actionlint"], GITHUB, "matrix.shard", "matrix.part");
}

#[test(needs = "check-jsonschema")]
fn the_gitlab_pipeline_keeps_to_the_schema() {
    let linter = [
        "check-jsonschema",
        "--builtin-schema",
        "vendor.gitlab-ci",
        "--data-transform",
        "gitlab-ci",
    ];
    held_to(&linter, GITLAB, "parallel: 4", "parallel: many");
}

#[test(needs = "kubernetes-validate")]
fn the_kubernetes_jobs_keep_to_the_schema() {
    let linter = ["kubernetes-validate", "--strict"];
    held_to(&linter, KUBERNETES, "completions:", "completion:");
}

#[test]
fn kubernetes_makes_as_many_shards_as_there_are_indices() {
    let source = fs::read_to_string(template(KUBERNETES)).unwrap();
    let number = |before: &str, after: &str| -> u32 {
        let (_, rest) = source.split_once(before).unwrap();
        rest.split_once(after).unwrap().0.trim().parse().unwrap()
    };
    let completions = number("completions:", "\n");
    assert_eq!(completions, number("{name: SHARDS, value: \"", "\""));
    assert_eq!(completions, number("parallelism:", "\n"));
}

/// The lines of a script that call plugpull in some template, in order: those behind a block mark or
/// on one line, without what YAML puts before them. A line goes on behind a backslash.
fn calls(name: &str) -> Vec<String> {
    let source = fs::read_to_string(template(name)).unwrap();
    let mut calls: Vec<String> = Vec::new();
    let mut open = false;
    for line in source.lines().filter(|line| !line.trim().starts_with('#')) {
        let bare = line
            .trim()
            .trim_start_matches("- ")
            .trim_start_matches("run: ");
        let begins = bare.starts_with("plugpull ") || bare.starts_with("bin/plugpull ");
        if begins {
            calls.push(String::new());
        }
        if begins || open {
            let call = calls.last_mut().unwrap();
            call.push_str(bare.trim_end_matches('\\'));
            open = bare.ends_with('\\');
        }
    }
    calls
}

/// A machine of a pipeline: its working directory, with plugpull in it and on the path.
struct Pipeline {
    directory: tempfile::TempDir,
}

impl Pipeline {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        symlink(PLUGPULL, directory.path().join("bin/plugpull")).unwrap();
        fs::create_dir(directory.path().join("report")).unwrap();
        Self { directory }
    }

    fn bash(&self, script: &str, shard: u32, out: &str) -> Ran {
        fs::create_dir_all(self.directory.path().join(out)).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.directory.path().join("bin").display());
        let mut command = Command::new("bash");
        command
            .args(["-euc", script])
            .current_dir(self.directory.path())
            .env("PATH", path)
            .env("TARGET", "reference")
            .env("TXNS", "12")
            .env("SEED", "5")
            .env("BUDGET", "1s")
            .env("SHARD", format!("{shard}/2"))
            .env("OUT", out);
        command.output().unwrap().into()
    }
}

/// Runs the calls of a template as its system would, with two shards, whose directories are `out` for
/// each.
fn runs(name: &str, out: fn(u32) -> String) {
    let calls = calls(name);
    let of = |word: &str| -> Vec<&String> {
        let word = format!("plugpull {word} ");
        calls.iter().filter(|call| call.contains(&word)).collect()
    };
    let (explorations, merges) = (of("explore"), of("merge"));
    let [record, explore] = explorations[..] else {
        panic!("{explorations:?}");
    };
    assert_eq!((of("run").len(), merges.len()), (1, 2), "{calls:?}");
    for call in &calls {
        assert!(!call.contains("${{"), "{call}");
    }
    let pipeline = Pipeline::new();
    let recorded = pipeline.bash(record, 0, ".");
    assert_eq!(recorded.code, 0, "{recorded:?}");
    for shard in [1, 2] {
        for call in [explore, of("run")[0]] {
            let ran = pipeline.bash(call, shard, &out(shard));
            // In the second that it has, not everything is measured.
            assert!(matches!(ran.code, 0 | 3), "{call}: {ran:?}");
            assert!(ran.stdout.contains(&format!("shard {shard}/2")), "{ran:?}");
        }
    }
    for call in merges {
        let ran = pipeline.bash(call, 0, ".");
        assert!(matches!(ran.code, 0 | 3), "{call}: {ran:?}");
    }
    for what in ["explore", "run"] {
        let file = |end: &str| {
            pipeline
                .directory
                .path()
                .join(format!("report/{what}.{end}"))
        };
        let report: Value = serde_json::from_slice(&fs::read(file("json")).unwrap()).unwrap();
        assert_eq!(report["merged"], 2);
        assert_eq!(text(&report["target"], "name"), "reference");
        for end in ["xml", "md", "html"] {
            assert!(file(end).is_file(), "{what}.{end}");
        }
    }
}

#[test(needs = "fuse")]
fn the_scripts_of_the_github_workflow_run() {
    runs(GITHUB, |shard| format!("shards/shard-{shard}"));
}

#[test(needs = "fuse")]
fn the_scripts_of_the_gitlab_pipeline_run() {
    runs(GITLAB, |shard| format!("shard-{shard}"));
}

#[test(needs = "fuse")]
fn the_scripts_of_the_kubernetes_jobs_run() {
    runs(KUBERNETES, |shard| format!("shard-{shard}"));
}
