//! A signal ends a run in time, whatever it is in the middle of: the report has what was done until
//! then. A second signal ends it at once.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugpull_testing::test;
use serde_json::Value;

use crate::support::machine::await_that;
use crate::support::plugpull;

/// A run that waits for what hangs here takes longer than this.
const TOO_LONG: Duration = Duration::from_secs(15);

/// A workload that goes on, and one that hangs after some acknowledgements. What it is asked to end
/// with, as before the first trial, leaves a mark.
const WORKS: &str = "trap ': >clean; exit 0' TERM; n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n\n\
                     echo $id >>log; sync log; echo \"ack $id\"; done\n";
const HANGS: &str = "trap ': >clean; exit 0' TERM; n=0; while [ $n -lt 40 ]; do n=$((n+1)); id=$PLUGPULL_LIFE.$n\n\
                     echo $id >>log; sync log; echo \"ack $id\"; done; sleep 3000\n";
/// A recovery that hangs where there is something to recover; nothing is waited for before.
const RECOVERS: &str = "[ ! -e log ] || [ -e clean ] || sleep 3000\n";

/// A run of a target that is made of commands, in a directory of its own.
struct Run {
    directory: tempfile::TempDir,
    child: Child,
}

/// A workload that acknowledges what it has not written yet.
const ACKS_EARLY: &str = ": >clean; n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n\n\
                          echo \"ack $id\"; sleep 0.05; echo $id >>log; sync log; done\n";

impl Run {
    fn start(command: &str, work: &str, options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let toml = "[workload]\ncommand = ['sh', '{folder}/work.sh']\n\
                    [recover]\ncommand = ['sh', '{folder}/recover.sh']\n\
                    [check]\ncommand = ['sh', '{folder}/check.sh']\n";
        for (name, content) in [
            ("slow.toml", toml),
            ("work.sh", work),
            ("recover.sh", RECOVERS),
            (
                "check.sh",
                "while read -r id; do grep -qx \"$id\" log || echo \"lost $id\"; done\n",
            ),
        ] {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let child = plugpull()
            .args([command, "./slow.toml", "--seed", "1", "--quiet"])
            .args(["--run-file", "run.jsonl", "--json", "report.json"])
            .args(options.split_whitespace())
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { directory, child }
    }

    /// Waits until the run file has a record of this kind.
    fn await_record(&mut self, kind: &str) {
        let path = self.directory.path().join("run.jsonl");
        let kind = format!("\"{kind}\"");
        await_that("the record is there", || {
            let over = self.child.try_wait().unwrap();
            assert!(over.is_none(), "it has ended: {over:?}");
            fs::read_to_string(&path).is_ok_and(|records| records.contains(&kind))
        });
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Its exit code and its report; fails where it waited for what hangs.
    fn ended(mut self) -> (Option<i32>, Option<Value>) {
        let began = Instant::now();
        let code = self.child.wait().unwrap().code();
        assert!(began.elapsed() < TOO_LONG, "it waited for what hangs");
        let report = fs::read(self.directory.path().join("report.json")).ok();
        let report = report.map(|bytes| serde_json::from_slice(&bytes).unwrap());
        (code, report)
    }
}

impl Drop for Run {
    #[expect(clippy::let_underscore_must_use, reason = "mostly it is dead already")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails unless the run was interrupted by this signal, with a report that says so.
fn must_be_interrupted(run: Run, signal: Signal) {
    run.signal(signal);
    let (code, report) = run.ended();
    let report = report.expect("a report");
    assert_eq!(report["interrupted"], true, "{report}");
    assert_eq!(report["verdict"], "not-measured", "{report}");
    assert_eq!(code, Some(128 + signal as i32), "{report}");
}

#[test]
fn a_trial_whose_recovery_hangs_does_not_keep_a_run() {
    let options = "--rounds 3 --fault kill@ack=3 --no-fuse";
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut run = Run::start("run", WORKS, options);
        run.await_record("trial-started");
        must_be_interrupted(run, signal);
    }
}

/// As when the terminal of a pipeline is closed, which ends its readers too.
#[test]
fn a_run_that_nobody_reads_any_more_ends_with_its_report() {
    let mut run = Run::start("run", WORKS, "--rounds 3 --fault kill@ack=3 --no-fuse");
    run.await_record("trial-started");
    drop((run.child.stdout.take(), run.child.stderr.take()));
    must_be_interrupted(run, Signal::SIGHUP);
}

#[test]
fn a_measurement_whose_recovery_hangs_does_not_keep_growth() {
    let mut run = Run::start("growth", WORKS, "--sizes 5,10,20,50");
    run.await_record("trial-started");
    must_be_interrupted(run, Signal::SIGTERM);
}

#[test(needs = "fuse")]
fn a_recording_that_hangs_does_not_keep_an_exploration() {
    let mut run = Run::start("explore", HANGS, "--budget 300s --txns 1000");
    run.await_record("header");
    must_be_interrupted(run, Signal::SIGHUP);
}

#[test(needs = "fuse")]
fn a_state_whose_recovery_hangs_does_not_keep_an_exploration() {
    let mut run = Run::start("explore", WORKS, "--budget 300s --txns 5");
    run.await_record("recording");
    must_be_interrupted(run, Signal::SIGINT);
}

/// What was found stays found.
#[test]
fn a_run_that_found_something_ends_with_1_after_a_signal() {
    let mut run = Run::start(
        "run",
        ACKS_EARLY,
        "--rounds 900 --fault kill@ack=3 --no-fuse",
    );
    run.await_record("findings");
    run.signal(Signal::SIGTERM);
    let (code, report) = run.ended();
    let report = report.expect("a report");
    assert_eq!(report["interrupted"], true, "{report}");
    assert_eq!((&report["verdict"], code), (&"broken".into(), Some(1)));
}

/// Whether a run that gets two signals at once ends without its report. One that had come to its end
/// before the second signal has one.
fn second_signal_came_in_time() -> bool {
    let mut run = Run::start("run", WORKS, "--rounds 3 --fault kill@ack=3 --no-fuse");
    run.await_record("trial-started");
    run.signal(Signal::SIGINT);
    run.signal(Signal::SIGTERM);
    let (code, report) = run.ended();
    // Which of them comes first is the kernel's choice.
    assert!(matches!(code, Some(130 | 143)), "{code:?}");
    report.is_none()
}

#[test]
fn a_second_signal_ends_it_at_once() {
    assert!((0..10).any(|_| second_signal_came_in_time()));
}
