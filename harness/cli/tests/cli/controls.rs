//! What is looked at before the first trial: whether a check can fail at all, whether the target works
//! in its data directory, and what its workload prints.

use plugpull_testing::test;

use crate::command_targets::{CHECK, Made, WORK, found, lines, must_all_be, tested};
use crate::support::{Ran, Reported, list, plugpull, text};

/// The warnings of a report, one text.
fn warnings(reported: &Reported) -> String {
    let all = list(&reported.report, "warnings").iter();
    all.filter_map(|one| one.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

fn made(work: &str, check: &str) -> Made {
    Made::new(&lines(), &[("work.sh", work), ("check.sh", check)])
}

/// Nothing is synced and the check looks at nothing.
#[test(needs = "fuse")]
fn a_check_that_cannot_fail_is_blind() {
    let work = "for n in $(seq 30); do echo \"note $n\" >\"note-$n\"; echo \"ack $n\"; done\n";
    for command in ["explore", "run"] {
        let said = made(work, "true\n").refused(command);
        assert!(
            said.contains("blind") && said.contains("(1, 2, 3"),
            "{said}"
        );
    }
    // It need not see anything where nothing is durable.
    let promise = "[[promise]]\nkeeps = 'consistent'\nsource = 'here'\n";
    let scripts = [("work.sh", work), ("check.sh", "true\n")];
    let made = Made::new(&format!("{}{promise}", lines()), &scripts);
    let options = "--txns 3 --states 5 --model kill --budget 60s";
    assert_eq!(tested("explore", &made.name(), options, None).ran.code, 0);
}

/// How a little is explored under a plain kill.
const KILLS: &str = "--txns 3 --model kill --recovery-depth 0 --budget 60s";

/// Today's "will not start" in every trial. Where there is no clean stop to ask it after, that is said.
#[test(needs = "fuse")]
fn a_check_that_always_fails_is_the_checks_fault() {
    let broken = "[ -z \"$(cat)\" ] || { echo 'NameError: idd' >&2; exit 1; }\n";
    let work = "for n in $(seq 9); do echo $n >>log; echo ack $n; done\n";
    let said = made(work, broken).refused("explore");
    assert!(
        said.contains("a clean stop") && said.contains("NameError"),
        "{said}"
    );
    let seen = tested("explore", &made(WORK, broken).name(), KILLS, None);
    must_all_be("will-not-start", &seen);
    let said = warnings(&seen);
    assert!(
        said.contains("it was not stopped cleanly") && said.contains("NameError"),
        "{said}"
    );
}

/// A check that looks elsewhere than where the target writes misses everything, as it does on an empty directory.
/// What is lost in part at a clean end is for the trials to find.
#[test(needs = "fuse")]
fn a_check_that_looks_elsewhere_is_the_checks_fault() {
    let elsewhere =
        "while read -r id; do grep -qx \"$id\" logg 2>/dev/null || echo \"lost $id\"; done\n";
    let work = "for n in $(seq 9); do echo $n >>log; sync log .; echo ack $n; done\n";
    for command in ["explore", "run"] {
        let said = made(work, elsewhere).refused(command);
        assert!(
            said.contains("after a clean stop, with no fault injected") && said.contains("is gone"),
            "{said}"
        );
    }
    let forgets =
        "for n in $(seq 9); do [ $n -eq 2 ] || echo $n >>log; sync log .; echo ack $n; done\n";
    let seen = tested("explore", &made(forgets, CHECK).name(), KILLS, None);
    assert_eq!(seen.ran.code, 1, "{}", seen.ran.stdout);
}

/// It has no handler for a signal, and is nearly always in the midst of a save: the control must not accuse
/// its check, whatever the signal left. What was left is a finding of the kill.
#[test(needs = "fuse")]
fn a_save_that_a_signal_cut_short_is_not_held_against_the_check() {
    let check = "[ -s db ] || [ ! -e db ] || { echo cut short >&2; exit 3; }\n\
                 while read -r id; do grep -qx \"$id\" db || echo lost $id; done\n";
    let save = |begins: &str, ends: &str| {
        format!(
            "n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; all=\"$all$id\n\"\n\
             {begins}; sleep 0.5; printf \"$all\" >>{ends}; sync .; echo ack $id; done\n"
        )
    };
    let in_place = made(&save(": >db", "db; sync db"), check);
    // The signal meets it nearly always there, and is not in our hands.
    let warned = (0..8).any(|_| {
        let seen = tested("explore", &in_place.name(), KILLS, None);
        must_all_be("will-not-start", &seen);
        let said = warnings(&seen);
        said.contains("it was not stopped cleanly") && said.contains("cut short")
    });
    assert!(warned, "no stop was said not to be clean");
    let renamed = made(&save(": >new", "new; sync new; mv new db"), check);
    let seen = tested("explore", &renamed.name(), KILLS, None);
    seen.must_have_no_finding();
    assert_eq!(warnings(&seen), "");
}

/// A lock file that only a kill leaves, or, where nobody removes it, each end.
#[test(needs = "fuse")]
fn what_only_a_kill_leaves_is_a_finding_of_the_kill() {
    let check = format!("[ ! -e lock ] || {{ echo the lock is held; exit 3; }}\n{CHECK}");
    for (handler, warned) in [("trap 'rm lock; exit 0' TERM; ", false), ("", true)] {
        let made = made(&format!("{handler}: >lock\n{WORK}"), &check);
        for (command, options) in [("explore", KILLS), ("run", "--rounds 1 --fault kill")] {
            let seen = tested(command, &made.name(), options, None);
            must_all_be("will-not-start", &seen);
            assert_eq!(seen.findings().len(), 1, "{command}: {}", seen.ran.stdout);
            let sentence = text(&seen.findings()[0], "sentence");
            assert!(sentence.contains("the lock is held"), "{sentence}");
            let said = warnings(&seen);
            assert_eq!(said.contains("the lock is held"), warned, "{said:?}");
        }
    }
}

#[test(needs = "fuse")]
fn a_check_that_does_not_read_the_newest_file_is_warned_of() {
    let names = "while read -r id; do [ -e note-$id ] || echo lost $id; done\n";
    let work = "n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; echo $id >note-$id; \
                sync note-$id; sync .; echo ack $id; done\n";
    let options = "--rounds 1 --fault kill@ack=4";
    let run = tested("run", &made(work, names).name(), options, None);
    run.must_have_no_finding();
    let said = warnings(&run);
    assert!(said.contains("the newest files were emptied"), "{said:?}");
    assert!(run.ran.stderr.contains("warning"), "{:?}", run.ran);
    let contents = "while read -r id; do grep -q . note-$id || echo lost $id; done\n";
    let run = tested("run", &made(work, contents).name(), options, None);
    run.must_have_no_finding();
    assert_eq!(warnings(&run), "");
}

/// Its configuration has the wrong directory.
#[test(needs = "fuse")]
fn a_target_that_works_elsewhere_is_not_measured() {
    // All are there before the first ack, however soon it is looked for them.
    let work = "for n in $(seq 30); do echo \"note $n\" >\"$HOME/note-$n\"; done\n\
                for n in $(seq 30); do echo \"ack $n\"; done\n";
    let check = "while read -r id; do [ -e \"$HOME/note-$id\" ] || :; done\n";
    let toml = format!("{}[recover]\ncommand = 'true'\n", lines());
    let made = Made::new(&toml, &[("work.sh", work), ("check.sh", check)]);
    for command in ["explore", "run", "growth"] {
        let seen = tested(command, &made.name(), "--budget 60s", None);
        assert_eq!(seen.ran.code, 3, "{command}: {:?}", seen.ran);
        let rows = list(&seen.report, "faults");
        assert!(!rows.is_empty(), "{command}");
        for row in rows {
            assert_eq!(text(row, "verdict"), "not-measured", "{command}: {row}");
        }
        let why = text(&rows[0], "why");
        for part in ["never touched its data directory", "/tmp/note-1,", " more"] {
            assert!(why.contains(part), "{command}: {part} in {why}");
        }
        assert!(seen.trials().is_empty(), "{command}");
    }
    let memory = made_in_memory();
    let seen = tested("run", &memory.name(), "--budget 60s", None);
    let why = text(&list(&seen.report, "faults")[0], "why").to_owned();
    assert!(why.contains("wrote no file elsewhere"), "{why}");
}

/// What it acknowledges lies behind a link that leads out; a link to a place within says nothing.
#[test(needs = "fuse")]
fn a_symbolic_link_that_leads_out_is_warned_of() {
    let options = "--txns 3 --states 5 --model kill --recovery-depth 0 --budget 60s";
    let work = |to: &str| {
        format!(
            "mkdir -p {to} && ln -sfn {to} d; sync .\nn=0; while :; do n=$((n+1)); \
             id=$PLUGPULL_LIFE.$n; echo $id >>d/log; sync d/log; sync d; echo ack $id; done\n"
        )
    };
    let check = "while read -r id; do grep -qx \"$id\" d/log || echo lost $id; done\n";
    let out = tested(
        "explore",
        &made(&work("/tmp/out"), check).name(),
        options,
        None,
    );
    must_all_be("lost-ack", &out);
    let said = warnings(&out);
    assert!(said.contains("(d -> /tmp/out)"), "{said:?}");
    let within = tested("explore", &made(&work("in"), check).name(), options, None);
    within.must_have_no_finding();
    assert_eq!(warnings(&within), "");
}

/// It keeps nothing at all.
fn made_in_memory() -> Made {
    made(
        "for n in $(seq 9); do echo ack $n; done\n",
        "cat >/dev/null\n",
    )
}

#[test(needs = "fuse")]
fn an_id_that_is_acknowledged_twice_is_wrong_use() {
    let check = "while read -r id; do [ -s f ] || echo lost $id; done\n";
    let work = "for n in $(seq 20); do echo x >>f; sync f; sync .; echo ack 1; done\n";
    for command in ["explore", "run"] {
        let said = made(work, check).refused(command);
        assert!(said.contains("the ID 1 twice"), "{said}");
    }
    // After the acks of the controls.
    let late = "for n in $(seq 20); do echo x >>f; sync f; sync .; echo ack $n; sleep 0.05; done\n\
                echo ack 1\n";
    let said = made(late, check).refused("explore");
    assert!(said.contains("the ID 1 twice"), "{said}");
}

#[test(needs = "fuse")]
fn acks_that_waited_in_a_buffer_are_warned_of() {
    let work = "n=0; while :; do n=$((n+1)); echo $n >>log; echo ack $n; done | cut -c1-80\n";
    // More than one buffer holds, so that the disk changes while a line is cut off.
    let options = "--txns 700 --states 3 --model kill --recovery-depth 0 --budget 60s";
    let buffered = made(work, CHECK);
    let seen = tested("explore", &buffered.name(), options, None);
    let said = warnings(&seen);
    assert!(
        said.contains("output is buffered") && said.contains("unbuffer"),
        "{said:?}"
    );
    let toml = lines().replace("[check]", "unbuffer = true\n[check]");
    let flushed = Made::new(&toml, &[("work.sh", work), ("check.sh", CHECK)]);
    let seen = tested("explore", &flushed.name(), options, None);
    assert_eq!(warnings(&seen), "");
    // Less than a buffer holds, all of it at the end.
    let work = "for n in $(seq 30); do echo $n >>log; sync log; echo ack $n; sleep 0.05; done \
                | cut -c1-80\n";
    let seen = tested("explore", &made(work, CHECK).name(), options, None);
    let said = warnings(&seen);
    assert!(said.contains("all 30 acks came at one moment"), "{said:?}");
}

/// What comes before it, a schema or a copy, takes longer than a commit.
#[test(needs = "fuse")]
fn a_first_ack_may_take_as_long_as_a_start() {
    let work = "[ $PLUGPULL_LIFE = 1 ] && sleep 6; n=0; while :; do n=$((n+1)); \
                echo $PLUGPULL_LIFE.$n >>log; sync log; echo ack $PLUGPULL_LIFE.$n; done\n";
    let options = "--txns 3 --states 3 --model kill --recovery-depth 0 --budget 60s";
    let seen = tested("explore", &made(work, CHECK).name(), options, None);
    assert_eq!(seen.ran.code, 0, "{:?}", seen.ran);
}

#[test(needs = "fuse")]
fn a_workload_that_fails_by_itself_is_wrong_use() {
    let work = "echo 1 >log; echo ack 1; echo FICLONE: no >&2; exit 5\n";
    for command in ["explore", "run"] {
        let said = made(work, CHECK).refused(command);
        for part in ["failed by itself (./work.sh)", "exit code 5", "FICLONE: no"] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}

/// A workload that cannot go on without what is not available here is not at fault: the message names the
/// call. One that has a fallback goes on, and one that fails elsewhere is not reminded of it.
#[test(needs = "fuse python3")]
fn a_workload_that_fails_after_an_unsupported_call_is_refused_with_its_name() {
    let clone = "import fcntl; a, b = open('a', 'w'), open('b', 'w'); fcntl.ioctl(b, 0x40049409, a.fileno())";
    let unnamed = "import os; os.open('.', os.O_TMPFILE | os.O_RDWR)";
    let elsewhere = "import os; os.open('/tmp', os.O_TMPFILE | os.O_RDWR)";
    let work = |call: &str, then: &str| {
        format!("echo 1 >log; sync log; echo ack 1; python3 -c \"{call}\" {then}\n")
    };
    let refused = |call: &str| made(&work(call, "|| exit 5"), CHECK).refused("explore");
    let said = refused(clone);
    assert!(
        said.contains("FICLONE is not supported here, as on ext4"),
        "{said}"
    );
    let said = refused(unnamed);
    assert!(said.contains("O_TMPFILE is not supported here"), "{said}");
    let said = made(&work(elsewhere, "; exit 5"), CHECK).refused("explore");
    assert!(
        said.contains("exit code 5") && !said.contains("not supported here"),
        "{said}"
    );
    let falls_back = made(&work(clone, "2>/dev/null; sync ."), CHECK);
    let options = "--budget 60s --model kill";
    tested("explore", &falls_back.name(), options, None).must_have_no_finding();
}

/// A moment that cannot come any more is not waited for, wherever the workload runs: what is said is that it
/// had ended, and not that something had not come in time.
#[test(needs = "fuse")]
fn a_workload_that_ends_before_the_moment_of_a_fault_ends_the_trial() {
    let work = "for n in $(seq 9); do echo $n >>log; sync log; sync .; echo ack $n; done\n";
    let start = "[start]\ncommand = 'echo ready; exec sleep 1000'\nready.line = 'ready'\n";
    let scripts = [("work.sh", work), ("check.sh", CHECK)];
    for toml in [lines(), format!("{start}{}", lines())] {
        let made = Made::new(&toml, &scripts);
        let options = "--rounds 1 --fault kill@ack=30 --fault kill-op@op=sync,n=99";
        let run = tested("run", &made.name(), options, None);
        for row in list(&run.report, "faults") {
            assert_eq!(text(row, "verdict"), "not-measured", "{row}");
            let ended = "the workload had come to its end (9 transactions were acknowledged)";
            assert!(text(row, "why").contains(ended), "{row}");
        }
    }
}

/// So few and short lines that no file asks for a page after its first.
#[test(needs = "fuse")]
fn a_full_disk_hits_a_few_short_appends() {
    let work = "for n in $(seq 12); do echo $PLUGPULL_LIFE.$n >>log && sync log && sync . && \
                echo ack $PLUGPULL_LIFE.$n; done; true\n";
    let options = "--rounds 3 --fault disk-full@ack=3";
    let run = tested("run", &made(work, CHECK).name(), options, None);
    run.must_have_no_finding();
    assert_eq!(run.ran.code, 0, "{}", run.ran.stdout);
    assert_eq!(run.row("disk-full")["bit"], 3, "{}", run.ran.stdout);
    let ignores = work.replace(" && sync log && sync . &&", "; sync log; sync .;");
    let run = tested("run", &made(&ignores, CHECK).name(), options, None);
    must_all_be("lost-ack", &run);
}

/// Its workload is over before there is anything to kill.
#[test(needs = "fuse cgroup-memory")]
fn a_target_that_ends_before_the_oom_killer_comes_is_no_harness_failure() {
    let work = "for n in $(seq 9); do echo $n >>log; sync log; sync .; echo ack $n; done\n";
    let options = "--fault oom@ack=9 --rounds 1";
    let run = tested("run", &made(work, CHECK).name(), options, None);
    run.must_have_no_finding();
    let row = &list(&run.report, "faults")[0];
    assert_eq!(text(row, "verdict"), "not-measured", "{row}");
    assert!(text(row, "why").contains("come to its end"), "{row}");
}

#[test(needs = "fuse")]
fn a_start_that_is_never_ready_is_not_blamed_on_the_check() {
    let start = "[start]\ncommand = 'echo listening on 8; exec sleep 1000'\nready.port = 9\n\
                 timeout_ms = 300\n";
    let scripts = [("work.sh", WORK), ("check.sh", CHECK)];
    let made = Made::new(&format!("{start}{}", lines()), &scripts);
    for command in ["explore", "run"] {
        let seen = tested(command, &made.name(), "--budget 60s", None);
        assert_eq!(seen.ran.code, 3, "{:?}", seen.ran);
        let said = &seen.ran.stderr;
        for part in ["its start", "port 9 is open", "listening on 8"] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(!said.contains("check"), "{said}");
    }
}

#[test(needs = "fuse")]
fn a_script_that_is_looked_for_in_the_data_directory_is_hinted_at() {
    let toml = "[workload]\ncommand = ['./work.sh']\n[check]\ncommand = ['sh', 'check.sh']\n";
    let made = Made::new(toml, &[("work.sh", WORK), ("check.sh", CHECK)]);
    let said = made.refused("explore");
    assert!(said.contains("write {folder}/check.sh"), "{said}");
    let gone = toml.replace("'check.sh'", "'{folder}/gone.sh'");
    let made = Made::new(&gone, &[("work.sh", WORK)]);
    let said = made.refused("targets");
    assert!(
        said.contains("check.command: there is no ") && said.contains("gone.sh"),
        "{said}"
    );
}

/// More than plugpull can read in the time in which they are printed.
#[test(needs = "fuse")]
fn no_ack_is_lost() {
    let work = "echo 1 >log; sync log; sync .; seq -f 'ack %.0f' 100000\n";
    let check = "[ -s log ] || sed 's/^/lost /' $PLUGPULL_ACKED\n";
    let made = made(work, check);
    let trace = tempfile::tempdir().unwrap();
    let ran: Ran = plugpull()
        .args([
            "explore",
            &made.name(),
            "--txns",
            "100000",
            "--states",
            "0",
            "--record",
        ])
        .arg(trace.path().join("acks.trace"))
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("Recorded 100000 acknowledged"),
        "{ran:?}"
    );
}

/// A daemon is never held up by what it prints, and the line that says that it is ready is found behind
/// any number of others.
#[test(needs = "fuse")]
fn a_daemon_may_print_a_million_lines() {
    let start = "[start]\ncommand = 'seq 1000000; echo ready; seq 1000000; : >/tmp/printed; \
                 exec sleep 1000'\nready.line = 'ready'\n";
    let work = format!("until [ -e /tmp/printed ]; do sleep 0.01; done\n{WORK}");
    let scripts = [("work.sh", work.as_str()), ("check.sh", CHECK)];
    let made = Made::new(&format!("{start}{}", lines()), &scripts);
    let run = tested("run", &made.name(), "--fault kill --rounds 1", None);
    run.must_have_no_finding();
    assert_eq!(run.count("pass"), 1, "{}", run.ran.stdout);
    assert!(found(&run).is_empty());
}

/// Each ack follows its sync at once, and the next write follows the ack: however late plugpull's reader is
/// scheduled, an ack counts from where it was written.
#[test(needs = "fuse python3")]
fn an_ack_counts_from_where_it_was_written() {
    let work = "exec python3 -c '\n\
                import os\n\
                log = os.open(\"log\", os.O_CREAT | os.O_WRONLY | os.O_APPEND)\n\
                os.fsync(log)\n\
                os.fsync(os.open(\".\", os.O_RDONLY))\n\
                for n in range(1, 40):\n    \
                    os.write(log, b\"%d\\n\" % n)\n    \
                    os.fsync(log)\n    \
                    print(\"ack\", n, flush=True)\n'\n";
    let made = made(work, CHECK);
    let seen = tested("explore", &made.name(), "--budget 60s --states 30", None);
    let coverage = &seen.report["coverage"];
    // Create, sync, sync of the directory, write, sync; and then two for each of the others.
    assert_eq!(coverage["first_ack"], 5, "{coverage}");
    assert_eq!(coverage["operations"], 3 + 2 * 39, "{coverage}");
    assert_eq!(coverage["acked"], 39, "{coverage}");
}

/// The same where it is stored in a shared mapping: what the page cache holds is not waited for, so that a
/// workload that goes on meanwhile has its acks where they were written.
#[test(needs = "fuse python3")]
fn an_ack_of_what_was_stored_in_a_mapping_counts_from_where_it_was_written() {
    let work = "exec python3 -c '\n\
                import mmap, os\n\
                log = os.open(\"log\", os.O_CREAT | os.O_RDWR)\n\
                os.ftruncate(log, 8192)\n\
                os.fsync(log)\n\
                os.fsync(os.open(\".\", os.O_RDONLY))\n\
                memory = mmap.mmap(log, 8192)\n\
                for n in range(1, 40):\n    \
                    line = b\"%d\\n\" % n\n    \
                    memory[8 * n:8 * n + len(line)] = line\n    \
                    memory.flush()\n    \
                    print(\"ack\", n, flush=True)\n'\n";
    let check = "tr -d '\\000' <log >lines\n\
                 while read -r n; do grep -qx \"$n\" lines || echo \"lost $n\"; done\n";
    let made = made(work, check);
    let seen = tested("explore", &made.name(), "--budget 60s --states 60", None);
    assert_eq!(found(&seen), [""; 0], "{}", seen.ran.stdout);
    let coverage = &seen.report["coverage"];
    let number = |name: &str| coverage[name].as_u64().unwrap_or_default();
    // A write and a sync for each of the other acks, and what is noted of the mapping.
    let behind = number("points") - number("first_ack");
    assert!(behind >= 2 * 38, "{coverage}");
}
