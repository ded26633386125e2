//! Where there are no namespaces (the default profile of a container runtime, a restricted user), a
//! trial has a data directory of its own all the same: what an earlier one wrote neither accuses a
//! target nor answers for what a later one lost. `ci/restricted.sh` runs more of these tests so.

use std::fs;
use std::path::Path;
use std::process::Command;

use plugpull_testing::test;

use crate::support::{PLUGPULL, Reported, list, reported};

/// Runs `plugpull` with these words, separated by spaces, under the filter of a container runtime.
fn contained(words: &str) -> Reported {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/refuse-namespaces.py");
    let mut command = Command::new("python3");
    command
        .arg(filter)
        .args(["container", PLUGPULL])
        .args(words.split_whitespace())
        .args(["--quiet", "--json"])
        .arg(&json)
        .stdin(std::process::Stdio::null());
    reported(&mut command, &json)
}

#[test(needs = "python3")]
fn what_an_earlier_trial_wrote_accuses_nobody() {
    for target in ["sqlite", "reference"] {
        for fault in ["kill", "term"] {
            let options = format!("run {target} --rounds 3 --seed 1 --fault {fault}");
            let sound = contained(&options);
            sound.must_have_no_finding();
            assert_eq!(sound.ran.code, 0, "{}", sound.ran.stdout);
            assert_eq!(sound.count("pass"), 3, "{}", sound.ran.stdout);
        }
    }
}

/// Damage stays in its trial, and what is damaged on purpose is found each time.
#[test(needs = "python3")]
fn what_an_earlier_trial_damaged_stops_nobody() {
    let sound = contained("run reference --rounds 4 --seed 3 --fault bit-flip@ack=40");
    sound.must_have_no_finding();
    assert_eq!(sound.trials().len(), 4, "{}", sound.ran.stdout);
    let broken =
        contained("run reference --set defect=stale-lock-refused --rounds 3 --seed 1 --fault kill");
    assert_eq!(broken.ran.code, 1, "{}", broken.ran.stdout);
    assert!(broken.kinds().iter().all(|kind| kind == "will-not-start"));
    assert_eq!(broken.kinds().len(), 3, "{}", broken.ran.stdout);
}

/// What is left in the data directory would also answer for what a later trial lost, and a lock or a
/// cache in HOME or among the temporary files speaks of a process that nobody knows any more.
#[test(needs = "python3")]
fn a_trial_begins_with_empty_directories() {
    let directory = tempfile::tempdir().unwrap();
    let toml = "[workload]\ncommand = ['sh', '{folder}/work.sh']\n\
                [check]\ncommand = ['sh', '{folder}/check.sh']\n";
    let work = "if [ $PLUGPULL_LIFE = 1 ]; then\n\
                for one in . \"$HOME\" \"$TMPDIR\"; do [ -z \"$(ls -A $one)\" ] || echo $one >>found; done\n\
                echo x >\"$HOME/left\"; echo x >\"$TMPDIR/left-too\"\nfi\n\
                n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n\n\
                echo $id >>log; echo \"ack $id\"; done\n";
    let check = "[ ! -e found ] || { echo corrupt files of an earlier trial; exit 1; }\n\
                 touch log; while read -r id; do grep -qx \"$id\" log || echo \"lost $id\"; done\n";
    for (name, content) in [("fresh.toml", toml), ("work.sh", work), ("check.sh", check)] {
        fs::write(directory.path().join(name), content).unwrap();
    }
    let target = directory.path().join("fresh.toml");
    let fresh = contained(&format!(
        "run {} --rounds 3 --seed 1 --fault kill@ack=5",
        target.display()
    ));
    fresh.must_have_no_finding();
    assert_eq!(fresh.ran.code, 0, "{:?}", fresh.ran);
    assert_eq!(fresh.count("pass"), 3, "{}", fresh.ran.stdout);
}

/// Each size is measured on a log of that size.
#[test(needs = "python3")]
fn a_curve_is_drawn_of_logs_that_grow() {
    let grown = contained(
        "growth reference --sizes 20,50,100,200 --repeats 3 --clients 1 --seed 1 \
         --set snapshot_every=1000000",
    );
    grown.must_have_no_finding();
    assert_eq!(grown.ran.code, 0, "{}", grown.ran.stdout);
    let samples = list(&grown.report["growth"], "samples");
    let bytes = |wanted: u64| -> Vec<u64> {
        let of_size = samples.iter().filter(|one| one["wanted"] == wanted);
        of_size
            .filter_map(|one| one["disk_bytes"].as_u64())
            .collect()
    };
    let (few, many) = (bytes(20), bytes(200));
    assert_eq!((few.len(), many.len()), (3, 3), "{samples:?}");
    assert!(few.iter().max() < many.iter().min(), "{samples:?}");
}
