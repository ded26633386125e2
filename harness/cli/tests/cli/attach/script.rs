//! `ci/test-recovery.sh`: a thin script that staging runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::service::{Service, beside, free_port};
use plugpull_testing::test;

use crate::support::{PLUGPULL, REFERENCE, Ran, list, text};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/test-recovery.sh")
}

#[test(needs = "shellcheck")]
fn shellcheck_is_silent() {
    for script in [script(), beside("supervise.sh"), beside("systemctl.sh")] {
        let ran: Ran = Command::new("shellcheck")
            .arg(&script)
            .output()
            .unwrap()
            .into();
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{script:?}");
    }
}

#[test]
fn help_tells_every_option_and_others_are_refused() {
    let help: Ran = Command::new(script())
        .arg("--help")
        .output()
        .unwrap()
        .into();
    assert_eq!(help.code, 0);
    // What stands at the beginning of a line of the help is an option of the script.
    let listed: Vec<&str> = help
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("  --"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let source = fs::read_to_string(script()).unwrap();
    for option in &listed {
        let taken = [format!("--{option} |"), format!("--{option})")];
        assert!(taken.iter().any(|form| source.contains(form)), "{option}");
    }
    assert!(listed.len() > 25, "{listed:?}");
    for options in [&["--no-such"][..], &["--mode"], &["crash"]] {
        let ran: Ran = Command::new(script())
            .args(options)
            .output()
            .unwrap()
            .into();
        assert_eq!(ran.code, 2, "{options:?}: {ran:?}");
        assert!(ran.stderr.contains("--help"), "{ran:?}");
    }
}

#[test]
fn a_snapshot_to_corrupt_says_what_to_do() {
    let service = Service::start(&["snapshot_every=4"]);
    let out = tempfile::tempdir().unwrap();
    let ran: Ran = Command::new(script())
        .env("PLUGPULL", PLUGPULL)
        .args(["--corrupt-snapshot", "--rounds", "1", "--rate", "2000"])
        .args(["--i-own-this-target", "staging-db", "--data-dir"])
        .arg(service.data())
        .arg("--pid-file")
        .arg(service.directory.path().join("pid"))
        .args(["--connect", &format!("127.0.0.1:{}", service.port)])
        .args(["--start-cmd", &Service::on_copy("snapshot_every=4")])
        .arg("--out")
        .arg(out.path().join("reports"))
        .args(["--", "-q", "--seed", "3"])
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("corruption"), "{ran:?}");
    service.must_be_as_before();
}

/// Everything at once: a service whose data directory is a filesystem of its own, so that it can be
/// filled, and a driver that knows reorganisations. In a mount namespace, which is gone with the
/// last process in it.
fn all_modes(defect: &str, rounds: u32) -> (Ran, Value) {
    let directory = tempfile::tempdir().unwrap();
    let (place, port) = (directory.path().display(), free_port());
    let story = format!(
        "mkdir {place}/staging-db && mount -t tmpfs -o size=4m tmpfs {place}/staging-db || exit 99\n\
         {supervise} {place}/pid env PLUGPULL_DATA_DIR={place}/staging-db {REFERENCE} \
         --listen {port} defect={defect} & supervisor=$!\n\
         until [ -s {place}/pid ]; do :; done\n\
         {script} --mode all --i-own-this-target staging-db --data-dir {place}/staging-db \
         --pid-file {place}/pid --driver 'python3 {driver} {port} {place}/reorgs' \
         --target reference --fill {place}/staging-db --reorg-depth 3 --rounds {rounds} \
         --rate 1000 --start-cmd '{on_copy}' --out {place}/out -- -q --seed 5\n\
         code=$?; kill -TERM $supervisor; wait $supervisor; exit $code\n",
        supervise = beside("supervise.sh").display(),
        script = script().display(),
        driver = beside("driver.py").display(),
        on_copy = Service::on_copy(&format!("defect={defect}")),
    );
    let ran: Ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &story])
        .env("PLUGPULL", PLUGPULL)
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into();
    for name in ["report.xml", "report.md", "report.html"] {
        let written = fs::metadata(directory.path().join("out").join(name));
        assert!(
            written.is_ok_and(|about| about.len() > 0),
            "{name}: {ran:?}"
        );
    }
    let report = fs::read(directory.path().join("out/report.json")).unwrap();
    (ran, serde_json::from_slice(&report).unwrap())
}

#[test(needs = "namespaces python3")]
fn all_modes_on_a_sound_service() {
    let (ran, report) = all_modes("none", 1);
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows: Vec<(&str, &str)> = list(&report, "faults")
        .iter()
        .map(|row| (text(row, "fault"), text(row, "verdict")))
        .collect();
    let names: Vec<&str> = rows.iter().map(|row| row.0).collect();
    assert_eq!(
        names,
        ["crash", "restart", "disk-full", "corruption", "reorg"]
    );
    for (name, verdict) in rows {
        assert!(matches!(verdict, "pass" | "detected"), "{name}: {verdict}");
    }
}

#[test(needs = "namespaces python3")]
fn all_modes_on_services_with_defects() {
    for (defect, mode, kind) in [
        ("enospc-acked", "disk-full", "lost-ack"),
        ("delete-not-logged", "", "resurrected"),
    ] {
        let (ran, report) = all_modes(defect, 2);
        assert_eq!(ran.code, 1, "{defect}: {ran:?}");
        let found = list(&report, "findings").iter().any(|finding| {
            text(finding, "kind") == kind && (mode.is_empty() || text(finding, "fault") == mode)
        });
        assert!(found, "{defect}: {}", ran.stdout);
        // There is no time line, and the report says why.
        for finding in list(&report, "findings") {
            let why = text(&finding["evidence"], "unrecorded");
            assert!(why.contains("its own disk"), "{finding:#}");
        }
    }
}
