//! A budget that is too short: what had no turn is named as not measured, and never as kept. That a
//! budget is kept is shown on the schedule's own clock, and measured by `budget-bench`.

use plugpull_testing::test;

use crate::support::{PLUGPULL, Ran, plugpull, reported, text};

#[test]
fn what_has_no_turn_within_the_budget_is_not_measured() {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("report.json");
    let mut run = plugpull();
    run.args("run reference --no-config --no-fuse --quiet --seed 1 --budget 1ms".split(' '))
        .args(["--fault", "kill@ack=5", "--fault", "term@ack=5", "--json"])
        .arg(&json);
    let reported = reported(&mut run, &json);
    // The one trial that is made in any case.
    assert_eq!(reported.trials().len(), 1);
    assert_eq!(reported.ran.code, 3, "{:?}", reported.ran);
    assert_eq!(text(reported.row("kill"), "verdict"), "pass");
    assert_eq!(text(reported.row("term"), "verdict"), "not-measured");
    assert_eq!(reported.report["interrupted"], true);
    let said = &reported.ran.stderr;
    assert!(
        said.contains("the budget of 1ms was over before 1 "),
        "{said}"
    );
    assert!(said.contains("one round of all takes about"), "{said}");
}

#[test(needs = "fuse")]
fn an_exploration_without_time_for_a_state_has_measured_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("report.json");
    let mut explore = plugpull();
    explore
        .args(
            "explore reference --no-config --quiet --seed 1 --txns 3 --budget 1ms --json"
                .split(' '),
        )
        .arg(&json);
    let reported = reported(&mut explore, &json);
    assert_eq!(reported.ran.code, 3, "{:?}", reported.ran);
    assert_eq!(reported.trials().len(), 0);
    assert_eq!(text(&reported.report, "verdict"), "not-measured");
}

/// A recording that takes more than the limit leaves no memory for states: the exploration ends with a
/// report, and says why. With enough memory the same is explored.
#[test(needs = "fuse")]
fn an_exploration_ends_when_its_memory_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let explored = |memory: &str| -> (Ran, u64) {
        let json = directory.path().join("report.json");
        let options = "--seed 1 --txns 800 --clients 2 --value-size 65536 --states 8 \
                       --recovery-depth 0 --budget 300s --model kill --quiet --no-run-file";
        let ran: Ran = plugpull()
            .args(["explore", "sqlite", "--memory", memory, "--json"])
            .arg(&json)
            .args(options.split_whitespace())
            .output()
            .unwrap()
            .into();
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let tried = report["coverage"]["tried"].as_u64();
        (ran, tried.unwrap_or_default())
    };
    let (ran, tried) = explored("128M");
    assert!(ran.stderr.contains("most of --memory was taken"), "{ran:?}");
    assert!(tried < 8, "{ran:?}");
    let (ran, tried) = explored("4G");
    assert!(!ran.stderr.contains("--memory"), "{ran:?}");
    assert_eq!(tried, 8, "{ran:?}");
}

/// What `--memory` meant in 0.1 it means still where nothing else can be meant.
#[test(needs = "fuse")]
fn a_small_memory_is_the_buffer_of_a_recording() {
    let directory = tempfile::tempdir().unwrap();
    let recorded = |options: &[&str]| -> Ran {
        let mut command = plugpull();
        command
            .args(["explore", "reference", "--txns", "3", "--states", "0"])
            .args(["--quiet", "--no-run-file"])
            .args(options)
            .current_dir(directory.path());
        command.output().unwrap().into()
    };
    let ran = recorded(&["--record", "old.trace", "--memory", "64"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("--record-buffer 64"), "{ran:?}");
    let ran = recorded(&["--record", "new.trace", "--record-buffer", "64"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let ran = recorded(&["--memory", "64"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("128M"), "{ran:?}");
}

/// Why `run` has no `--memory`: a trial that has ended is forgotten.
#[test(needs = "fuse python3")]
fn a_run_takes_no_more_memory_with_each_trial() {
    // The most that a child of this process had in memory, in KiB (getrusage(2)).
    let measure = "import resource, subprocess, sys\n\
                   code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n\
                   print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n";
    let most = |rounds: u32| -> u64 {
        let options = "run reference --no-config --no-run-file --quiet --seed 1 --clients 1 \
                       --value-size 20000 --fault kill@ack=40 --rounds";
        let output = std::process::Command::new("python3")
            .args(["-c", measure, PLUGPULL])
            .args(options.split_whitespace())
            .arg(rounds.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let kib = text.trim().strip_prefix("0 ");
        kib.and_then(|kib| kib.parse().ok()).expect(&text)
    };
    let (few, many) = (most(3), most(24));
    // A trial writes a megabyte and more: twenty of them would be seen.
    assert!(many < few + (12 << 10), "{few} KiB became {many} KiB");
}
