//! Targets that a TOML file describes: the worked examples of `docs/command-targets.md` and small
//! ones made here. What is wrong is found, what is sound is not, and what cannot be is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use plugpull_testing::test;

use crate::support::{Ran, Reported, list, plugpull, reported, text, without_causes};

/// A worked example of the documentation.
fn example(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    root.join(path).display().to_string()
}

/// `plugpull COMMAND FILE` with these options, separated by spaces, and its report.
pub(crate) fn tested(command: &str, file: &str, options: &str, keep: Option<&Path>) -> Reported {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let mut run = plugpull();
    run.args([command, file, "--quiet", "--seed", "7", "--json"])
        .arg(&json)
        .args(without_causes(command))
        .args(options.split_whitespace());
    if let Some(keep) = keep {
        run.arg("--keep").arg(keep);
    }
    reported(&mut run, &json)
}

/// The kinds of the grouped findings.
pub(crate) fn found(reported: &Reported) -> Vec<&str> {
    let findings = reported.findings().iter();
    findings.map(|finding| text(finding, "kind")).collect()
}

/// Fails unless there are findings and all are of this kind.
pub(crate) fn must_all_be(kind: &str, reported: &Reported) {
    let kinds = found(reported);
    let all = !kinds.is_empty() && kinds.iter().all(|found| *found == kind);
    assert!(all, "{kinds:?}: {}", reported.ran.stdout);
}

/// A target in a directory of its own: its TOML and its scripts.
pub(crate) struct Made {
    directory: tempfile::TempDir,
}

impl Made {
    pub(crate) fn new(toml: &str, scripts: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("made.toml"), toml).unwrap();
        for (name, content) in scripts {
            let path = directory.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{content}")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { directory }
    }

    /// Puts another script in the place of one.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.directory.path().join(name);
        fs::write(path, format!("#!/bin/sh\n{content}")).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("made.toml")
    }

    pub(crate) fn name(&self) -> String {
        self.path().display().to_string()
    }

    /// What it is refused with.
    pub(crate) fn refused(&self, command: &str) -> String {
        let ran: Ran = plugpull()
            .args([command, &self.name()])
            .output()
            .unwrap()
            .into();
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
        assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{ran:?}");
        ran.stderr
    }
}

/// A file with a line an ID: the workload writes it, the check reads it.
pub(crate) const LINES: &str =
    "[workload]\ncommand = './work.sh'\n[check]\ncommand = ['./check.sh']\n";
pub(crate) const WORK: &str = "n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; \
                    echo $id >>log; sync log; sync .; echo ack $id; done\n";
pub(crate) const CHECK: &str = "while read -r id; do grep -qx \"$id\" log || echo lost $id; done\n";

pub(crate) fn lines() -> String {
    LINES.replace("'./work.sh'", "['./work.sh']")
}

#[test(needs = "fuse")]
fn notes_that_are_synced_have_no_finding() {
    let sound = tested(
        "explore",
        &example("notes/notes.toml"),
        "--txns 4 --budget 60s",
        None,
    );
    sound.must_have_no_finding();
    assert_eq!(sound.ran.code, 0, "{}", sound.ran.stdout);
    assert!(sound.ran.stdout.contains("at all crash points"));
    assert!(sound.count("pass") > 20, "{}", sound.ran.stdout);
}

/// Each note is moved into another directory. POSIX promises the new name where that directory was synced.
#[test(needs = "fuse")]
fn a_note_that_was_moved_is_lost_where_only_the_old_directory_was_synced() {
    let check = "while read -r id; do [ -s b/$id ] || echo lost $id; done\n";
    let explored = |synced: &str| {
        let work = format!(
            "mkdir -p a b; sync .; n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; \
             echo $id >a/$id; sync a/$id; sync a; mv a/$id b/$id; sync {synced}; echo ack $id; done\n"
        );
        let made = Made::new(&lines(), &[("work.sh", &work), ("check.sh", check)]);
        let options = "--txns 3 --model strict --recovery-depth 0 --budget 60s";
        tested("explore", &made.name(), options, None)
    };
    let lost = explored("a");
    must_all_be("lost-ack", &lost);
    assert_eq!(lost.findings().len(), 1, "{}", lost.ran.stdout);
    explored("a b").must_have_no_finding();
}

/// A header of 320 bytes, one number eighty times, written in place or as a new file. Only a device with smaller
/// sectors than any has tears it, and the verdict says that it is one.
#[test(needs = "fuse")]
fn a_header_within_a_sector_is_torn_where_smaller_sectors_are_assumed() {
    let check = "last=$(fold -w4 head | sort -u)\nwhile read -r id; do \
                 [ ${#last} = 4 ] && [ ${id#*.} -le $last ] || echo lost $id; done\n";
    let explored = |write: &str, sector: &str| {
        let work = format!(
            "put() {{ yes $1 | head -n 80 | tr -d '\\n'; }}\nput 1000 >head; sync head; sync .; n=1000\n\
             while :; do n=$((n+1)); put $n | {write}; echo ack $PLUGPULL_LIFE.$n; done\n"
        );
        let made = Made::new(&lines(), &[("work.sh", &work), ("check.sh", check)]);
        let options = format!("--txns 2 --model ext4 --recovery-depth 0 --budget 60s {sector}");
        tested("explore", &made.name(), &options, None)
    };
    let in_place = "dd of=head bs=320 count=1 iflag=fullblock conv=notrunc,fsync 2>/dev/null";
    let renamed = "cat >new; sync new; mv new head; sync .";
    explored(in_place, "").must_have_no_finding();
    let torn = explored(in_place, "--sector 16");
    must_all_be("lost-ack", &torn);
    let repeat = text(&torn.findings()[0], "repeat");
    assert!(repeat.contains("--device sector=16"), "{repeat}");
    let sound = explored(&format!("{{ {renamed}; }}"), "--sector 16");
    sound.must_have_no_finding();
    for said in [torn.ran.stdout, sound.ran.stdout] {
        assert!(
            said.contains("Assumed: a device that tears a write at every 16 bytes"),
            "{said}"
        );
    }
}

#[test(needs = "fuse")]
fn a_note_whose_directory_is_not_synced_is_lost_and_the_artifact_shows_it() {
    let directory = tempfile::tempdir().unwrap();
    let keep = directory.path().join("kept");
    let options = "--set SYNC=file --txns 3 --states 30 --budget 60s";
    let broken = tested(
        "explore",
        &example("notes/notes.toml"),
        options,
        Some(&keep),
    );
    assert_eq!(broken.ran.code, 1, "{}", broken.ran.stdout);
    must_all_be("lost-ack", &broken);
    let finding = &broken.findings()[0];
    let sentence = text(finding, "sentence");
    assert!(
        sentence.contains("its check says: there is no file note-1."),
        "{sentence}"
    );
    let source = text(&finding["promise"], "source");
    assert!(
        source.starts_with("assumed, because notes.toml"),
        "{source}"
    );
    let replayed: Ran = plugpull()
        .arg("replay")
        .arg(crate::support::artifact(&keep, 1))
        .output()
        .unwrap()
        .into();
    assert_eq!(replayed.code, 1, "{replayed:?}");
    assert!(replayed.stdout.contains("It still stands"), "{replayed:?}");
}

#[test(needs = "fuse")]
fn a_note_that_is_not_synced_at_all_is_torn() {
    let options = "--set SYNC=none --promise atomic --txns 2 --states 60 --budget 60s";
    let broken = tested("explore", &example("notes/notes.toml"), options, None);
    let kinds = found(&broken);
    assert!(kinds.contains(&"torn-transaction"), "{kinds:?}");
}

#[test(needs = "fuse git")]
fn git_is_sound_when_killed_and_not_when_the_power_goes() {
    let git = example("git/git.toml");
    let killed = tested(
        "explore",
        &git,
        "--model kill --txns 2 --states 60 --budget 60s",
        None,
    );
    killed.must_have_no_finding();
    let cut = tested(
        "explore",
        &git,
        "--model journaled --txns 2 --states 40 --budget 60s",
        None,
    );
    let kinds = found(&cut);
    assert!(
        kinds.contains(&"will-not-start"),
        "{kinds:?}: {}",
        cut.ran.stdout
    );
    // Held to durability: with every component synced the branch's file is, but not the rename that
    // gives it its name, since git syncs no directory. The next commit's syncs make it durable, and on a
    // busy machine an ack may be read that late: several are tried.
    let all =
        "--set FSYNC=all --promise durable --model journaled --txns 6 --states 200 --budget 60s";
    let synced = tested("explore", &git, all, None);
    must_all_be("lost-ack", &synced);
    let sentence = text(&synced.findings()[0], "sentence");
    assert!(
        sentence.contains("rename ") && sentence.contains("heads/main (operation "),
        "{sentence}"
    );
}

/// A daemon that does nothing, and a command that says only the second time that it is ready.
#[test(needs = "fuse")]
fn a_daemon_is_asked_until_it_is_ready_or_gone() {
    let start = "[start]\ncommand = 'exec sleep 1000'\n\
                 ready.command = 'test -e /tmp/asked || { : >/tmp/asked; exit 1; }'\n";
    let scripts = [("work.sh", WORK), ("check.sh", CHECK)];
    let made = Made::new(&format!("{start}{}", lines()), &scripts);
    let run = tested("run", &made.name(), "--fault kill --rounds 1", None);
    run.must_have_no_finding();
    assert_eq!(run.count("pass"), 1, "{}", run.ran.stdout);
    for (daemon, ready) in [
        ("exit 6", "port = 1"),
        ("echo up; exit 6", "line = 'never'"),
    ] {
        let start = format!("[start]\ncommand = '{daemon}'\nready.{ready}\n");
        let made = Made::new(&format!("{start}{}", lines()), &scripts);
        let said = made.refused("run");
        assert!(said.contains("exit code 6"), "{said}");
    }
}

/// What it says on standard error comes before what it says every time on standard output.
#[test(needs = "fuse")]
fn a_daemon_that_ends_is_quoted_by_its_complaint() {
    let start = "[start]\ncommand = 'echo chatter; echo the reason >&2; exit 6'\n\
                 ready.line = 'never'\n";
    let scripts = [("work.sh", WORK), ("check.sh", CHECK)];
    let made = Made::new(&format!("{start}{}", lines()), &scripts);
    let said = made.refused("run");
    assert!(said.contains("the reason"), "{said}");
    assert!(!said.contains("chatter"), "{said}");
}

/// A daemon that never becomes ready once there is something in its directory hangs, and no longer
/// than the file says; wherever it was killed it is one finding, at the first moment that shows it.
#[test(needs = "fuse")]
fn a_daemon_that_hangs_after_a_crash_is_one_finding() {
    let daemon = "[ ! -s log ] || exec sleep 1000\necho ready; exec sleep 1000\n";
    let toml = "[start]\ncommand = ['./daemon.sh']\nready.line = 'ready'\ntimeout_ms = 300\n";
    let scripts = [
        ("daemon.sh", daemon),
        ("work.sh", WORK),
        ("check.sh", CHECK),
    ];
    let made = Made::new(&format!("{toml}{}", lines()), &scripts);
    let options = "--model kill --txns 3 --recovery-depth 0 --budget 60s";
    let explored = tested("explore", &made.name(), options, None);
    assert_eq!(found(&explored), ["hung"], "{}", explored.ran.stdout);
    let sentence = text(&explored.findings()[0], "sentence");
    assert!(sentence.contains(" ms it neither"), "{sentence}");
    // The log was created, written to once, and not yet synced.
    assert!(sentence.contains("before operation 2 "), "{sentence}");
}

/// After a kill both do not come up within the limit. One is slow by nature, which its start after a
/// clean stop shows; the other is quick then.
#[test(needs = "fuse")]
fn a_recovery_that_is_slow_by_nature_does_not_hang() {
    let daemon = "if [ -s log ]; then if [ -e clean ]; then sleep $CLEAN; else sleep 1000; fi; fi\n\
                  trap ': >clean; exit 0' TERM; echo ready; while :; do sleep 0.05; done\n";
    let toml = "[env]\nCLEAN = '0'\n[start]\ncommand = ['./daemon.sh']\nready.line = 'ready'\n\
                timeout_ms = 3000\n";
    let scripts = [
        ("daemon.sh", daemon),
        ("work.sh", WORK),
        ("check.sh", CHECK),
    ];
    let made = Made::new(&format!("{toml}{}", lines()), &scripts);
    let options = "--fault kill@ack=3 --budget 1s";
    let hangs = tested("run", &made.name(), options, None);
    assert_eq!(found(&hangs), ["hung"], "{}", hangs.ran.stdout);
    let sentence = text(&hangs.findings()[0], "sentence");
    assert!(sentence.contains(" s of CPU, read "), "{sentence}");
    let slow = format!("{options} --set CLEAN=0.6");
    let slow = tested("run", &made.name(), &slow, None);
    assert!(found(&slow).is_empty(), "{}", slow.ran.stdout);
    assert_eq!(slow.ran.code, 3, "{}", slow.ran.stdout);
    let why = text(&slow.trials()[0], "why");
    assert!(
        why.contains("on the directory after a clean stop takes"),
        "{why}"
    );
}

/// The same for crash states, held beside the disk of the recorded run. The empty directory comes up at
/// once in both.
#[test(needs = "fuse")]
fn a_start_that_is_slow_by_nature_does_not_hang_on_a_crash_state() {
    let daemon = "if [ -e busy ]; then sleep 1000; elif [ -s log ]; then sleep $WHOLE; fi\n\
                  echo ready; exec sleep 1000\n";
    let work = "n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; : >busy; echo $id >>log; sync log\n\
                rm busy; sync .; echo ack $id; sleep 1; done\n";
    let toml = "[env]\nWHOLE = '0'\n[start]\ncommand = ['./daemon.sh']\nready.line = 'ready'\n\
                timeout_ms = 1500\n";
    let scripts = [
        ("daemon.sh", daemon),
        ("work.sh", work),
        ("check.sh", CHECK),
    ];
    let made = Made::new(&format!("{toml}{}", lines()), &scripts);
    let options = "--model kill --txns 1 --recovery-depth 0 --budget 60s";
    let hangs = tested("explore", &made.name(), options, None);
    assert_eq!(found(&hangs), ["hung"], "{}", hangs.ran.stdout);
    let output = list(&hangs.findings()[0], "output");
    let quoted = output
        .iter()
        .any(|line| line.to_string().contains(" s of CPU, read "));
    assert!(quoted, "{output:?}");
    let slow = tested(
        "explore",
        &made.name(),
        &format!("{options} --set WHOLE=0.4"),
        None,
    );
    assert!(found(&slow).is_empty(), "{}", slow.ran.stdout);
    assert_eq!(slow.ran.code, 3, "{}", slow.ran.stdout);
    let why = "on the directory at the end of the recorded run takes";
    assert!(
        slow.ran.stdout.contains(why) || slow.ran.stderr.contains(why),
        "{:?}",
        slow.ran
    );
}

/// A store that answers and takes nothing any more, and one that needs some sessions for that.
#[test(needs = "fuse")]
fn only_a_target_that_refuses_new_sessions_stays_down() {
    let daemon = "[ ! -s log ] || : >recovered; echo ready; exec sleep 1000\n";
    let work = format!(
        "if [ -e recovered ]; then echo session >>/tmp/sessions\n\
         if [ $STAYS = yes ] || [ $(grep -c . /tmp/sessions) -lt 3 ]; then\n\
         echo read only >&2; exit 1; fi; fi\n{WORK}"
    );
    let toml = "[env]\nSTAYS = 'no'\n[start]\ncommand = ['./daemon.sh']\nready.line = 'ready'\n";
    let scripts = [
        ("daemon.sh", daemon),
        ("work.sh", work.as_str()),
        ("check.sh", CHECK),
    ];
    let made = Made::new(&format!("{toml}{}", lines()), &scripts);
    let options = "--fault kill@ack=3 --budget 1s";
    let back = tested("run", &made.name(), options, None);
    back.must_have_no_finding();
    assert_eq!(
        back.count("pass"),
        back.trials().len(),
        "{}",
        back.ran.stdout
    );
    let down = format!("{options} --set STAYS=yes");
    let down = tested("run", &made.name(), &down, None);
    must_all_be("stays-down", &down);
    let sentence = text(&down.findings()[0], "sentence");
    for part in [
        "none of a new session of the workload within 10s",
        "read only",
    ] {
        assert!(sentence.contains(part), "{sentence}");
    }
}

/// A daemon that reads requests from a pipe.
#[test(needs = "fuse")]
fn a_daemon_is_started_known_ready_and_killed() {
    let daemon = "rm -f /tmp/ask /tmp/answer; mkfifo /tmp/ask /tmp/answer; exec 3<>/tmp/ask\n\
                  [ \"$REFUSE\" = no ] || ! grep -qx 1.2 log || { echo no more >&2; exit 4; }\n\
                  echo up and ready\n\
                  while read -r id <&3; do echo $id >>log; sync log; [ $SYNC = no ] || sync .; \
                  echo done >/tmp/answer; done\n";
    let work = "exec 4<>/tmp/answer; n=0; while :; do n=$((n+1)); id=$PLUGPULL_LIFE.$n; echo $id >/tmp/ask; \
                read -r said <&4; [ \"$said\" = done ] || exit 1; echo ack $id; done\n";
    let toml = "[env]\nSYNC = 'yes'\nREFUSE = 'no'\n[start]\ncommand = ['./daemon.sh']\n\
                ready.line = 'and ready'\n";
    let scripts = [
        ("daemon.sh", daemon),
        ("work.sh", work),
        ("check.sh", CHECK),
    ];
    let made = Made::new(&format!("{toml}{}", lines()), &scripts);
    let sound = tested("explore", &made.name(), "--txns 3 --budget 60s", None);
    sound.must_have_no_finding();
    assert!(
        sound.ran.stdout.contains("at all crash points"),
        "{}",
        sound.ran.stdout
    );
    let lost = tested(
        "explore",
        &made.name(),
        "--set SYNC=no --model strict --txns 3 --budget 60s",
        None,
    );
    must_all_be("lost-ack", &lost);
    let refuses = tested(
        "explore",
        &made.name(),
        "--set REFUSE=yes --model kill --txns 3 --budget 60s",
        None,
    );
    must_all_be("will-not-start", &refuses);
    let sentence = text(&refuses.findings()[0], "sentence");
    assert!(
        sentence.contains("exit code 4: ") && sentence.contains("no more"),
        "{sentence}"
    );
    let run = tested(
        "run",
        &made.name(),
        "--fault kill --fault power-loss@op=sync,n=3 --rounds 1",
        None,
    );
    run.must_have_no_finding();
    assert_eq!(run.count("pass"), 2, "{}", run.ran.stdout);
    for trial in run.trials() {
        assert_eq!(list(trial, "recovery_us").len(), 3, "{trial}");
    }
}

/// A lock or a copy of the data in `/tmp` or `/dev/shm` speaks of a process of another trial. The
/// first process of a state has the same number each time.
#[test(needs = "fuse")]
fn what_a_trial_leaves_elsewhere_is_not_there_in_the_next() {
    let work = format!(
        "for one in /tmp /dev/shm; do\n\
         if [ $PLUGPULL_LIFE = 1 ] && [ -e $one/left ]; then echo $one >>found; fi\n\
         echo x >$one/left; done\n{WORK}"
    );
    let recover = "[ ! -e /tmp/lock-$$ ] || [ ! -s log ] || echo lock >>found\n\
                   : >/tmp/lock-$$\n";
    let check = format!("[ ! -e found ] || {{ echo corrupt; exit 1; }}\n{CHECK}");
    let toml = format!("{}[recover]\ncommand = ['./recover.sh']\n", lines());
    let scripts = [
        ("work.sh", work.as_str()),
        ("recover.sh", recover),
        ("check.sh", &check),
    ];
    let made = Made::new(&toml, &scripts);
    for options in [
        "run --rounds 3 --fault kill@ack=5",
        "explore --txns 3 --model kill",
    ] {
        let (command, options) = options.split_once(' ').unwrap();
        let seen = tested(command, &made.name(), options, None);
        seen.must_have_no_finding();
        assert!(seen.count("pass") >= 3, "{}", seen.ran.stdout);
    }
}

#[test(needs = "fuse")]
fn what_a_check_says_counts() {
    for (check, kind) in [
        ("echo corrupt page 7\n", "unreadable"),
        ("exit 3\n", "will-not-start"),
        ("kill -SEGV $$\n", "will-not-start"),
        ("exec sleep 100\n", "hung"),
        ("sed 's/^/lost /' $PLUGPULL_ACKED\n", "lost-ack"),
    ] {
        let toml = format!("{}timeout_ms = 1500\n", lines());
        // Only a kill leaves the mark there; with an empty directory the sound check sees what is gone.
        let work = format!("trap 'rm open; exit 0' TERM; : >open\n{WORK}");
        let check = format!("[ ! -e open ] || {{ {}; }}\n{CHECK}", check.trim());
        let made = Made::new(&toml, &[("work.sh", &work), ("check.sh", &check)]);
        let options = "--fault kill@ack=3 --budget 1ms";
        let run = tested("run", &made.name(), options, None);
        assert_eq!(found(&run), [kind], "{check}: {}", run.ran.stdout);
    }
}

#[test(needs = "fuse")]
fn a_recovery_is_timed() {
    let promise = "[[promise]]\nkeeps = 'recovers=60000'\nsource = 'here'\n\
                   [recover]\ncommand = 'test -e log || : >log'\n";
    let made = Made::new(
        &format!("{}{promise}", lines()),
        &[("work.sh", WORK), ("check.sh", CHECK)],
    );
    let run = tested("run", &made.name(), "--fault kill --rounds 1", None);
    run.must_have_no_finding();
    assert!(
        !list(&run.trials()[0], "recovery_us").is_empty(),
        "{}",
        run.ran.stdout
    );
    // Without anything to time no time is shown.
    let made = Made::new(&lines(), &[("work.sh", WORK), ("check.sh", CHECK)]);
    let run = tested("run", &made.name(), "--fault kill --rounds 1", None);
    assert!(
        list(&run.trials()[0], "recovery_us").is_empty(),
        "{}",
        run.ran.stdout
    );
}

#[test]
fn another_script_is_another_version() {
    let made = Made::new(&lines(), &[("work.sh", WORK), ("check.sh", CHECK)]);
    let shown = || {
        let ran: Ran = plugpull()
            .args(["targets", &made.name()])
            .output()
            .unwrap()
            .into();
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let before = shown();
    for part in [
        "made.toml ",
        "work.sh ",
        "check.sh ",
        "assumed, because made.toml",
    ] {
        assert!(before.contains(part), "{part} in {before}");
    }
    fs::write(
        made.directory.path().join("check.sh"),
        "#!/bin/sh\nexit 0\n",
    )
    .unwrap();
    assert_ne!(before, shown());
}

#[test]
fn what_cannot_be_is_refused_with_the_file_and_the_key() {
    let scripts = [("work.sh", WORK), ("check.sh", CHECK)];
    let good = lines();
    for (toml, words) in [
        (
            format!("{good}chek = 1\n"),
            vec!["made.toml", "`chek`", "line 5"],
        ),
        (
            good.replace("./work.sh", "./gone.sh"),
            vec!["workload.command", "gone.sh"],
        ),
        (
            good.replace("./check.sh", "no-such-program"),
            vec!["check.command", "no-such-program"],
        ),
        ("[workload]\ncommand = 'true'\n".into(), vec!["`check`"]),
        (
            format!("{good}[start]\ncommand = 'true'\nready = {{}}\n"),
            vec!["start.ready"],
        ),
        (
            format!("{good}[start]\ncommand = 'true'\nready.port = 1\ntimeout_ms = 0\n"),
            vec!["start.timeout_ms is 0"],
        ),
        (
            format!("{good}[[promise]]\nkeeps = 'x'\nsource = ''\n"),
            vec!["promise", "'x'"],
        ),
        (
            format!("version = ['false']\n{good}"),
            vec!["version", "false failed"],
        ),
        ("this is no TOML".into(), vec!["made.toml", "line 1"]),
    ] {
        let made = Made::new(&toml, &scripts);
        for command in ["explore", "run", "targets"] {
            let said = made.refused(command);
            for word in &words {
                assert!(said.contains(word), "{word} in {said}");
            }
        }
    }
    let ran: Ran = plugpull()
        .args(["explore", "./nowhere.toml"])
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("./nowhere.toml: No such file"),
        "{ran:?}"
    );
    let made = Made::new(&good, &scripts);
    let ran: Ran = plugpull()
        .args(["targets", &made.name(), "--set", "X=1"])
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test(needs = "fuse")]
fn scripts_that_do_not_work_are_no_findings() {
    // A check that complains of everything is refused before anything is tried.
    let made = Made::new(
        &lines(),
        &[("work.sh", WORK), ("check.sh", "cat log || exit 9\n")],
    );
    for command in ["explore", "run"] {
        let said = made.refused(command);
        assert!(said.contains("exit code 9"), "{said}");
    }
    let other = |work: &str, check: &str, code: i32| {
        let made = Made::new(&lines(), &[("work.sh", work), ("check.sh", check)]);
        let ran: Ran = plugpull()
            .args(["explore", &made.name(), "-q"])
            .output()
            .unwrap()
            .into();
        assert_eq!(ran.code, code, "{ran:?}");
        ran.stderr
    };
    let said = other("echo ack 1; echo oh no >&2; exit 5\n", CHECK, 2);
    assert!(
        said.contains("exit code 5") && said.contains("oh no"),
        "{said}"
    );
    let said = other("echo ack one two\n", CHECK, 2);
    assert!(said.contains("ack one two"), "{said}");
    let said = other("exit 0\n", CHECK, 3);
    assert!(said.contains("acknowledged nothing"), "{said}");
    let said = other(WORK, "[ -z \"$(cat)\" ] || echo lost 77\n", 3);
    assert!(said.contains("none of the acknowledged IDs"), "{said}");
}

/// What was acknowledged after the last barrier may be gone, and nothing before it.
#[test(needs = "fuse")]
fn a_barrier_line_is_where_durability_begins() {
    let toml = "[env]\nGONE = 'late'\n[workload]\ncommand = ['./work.sh']\n\
                [check]\ncommand = ['./check.sh']\n[[promise]]\nkeeps = 'barrier'\n\
                words = 'w'\nsource = 's'\n";
    let work = "echo ack early; echo barrier; echo ack late; n=0; \
                while :; do n=$((n+1)); echo $n >>log; echo ack $n; sleep 0.01; done\n";
    let check = "while read -r id; do [ $id != $GONE ] || echo lost $id; done\n";
    let made = Made::new(toml, &[("work.sh", work), ("check.sh", check)]);
    let options = "--rounds 1 --fault kill@ack=6";
    let late = tested("run", &made.name(), options, None);
    late.must_have_no_finding();
    let early = tested(
        "run",
        &made.name(),
        &format!("{options} --set GONE=early"),
        None,
    );
    must_all_be("lost-ack", &early);
}

#[test(needs = "fuse")]
fn a_stop_may_take_as_long_as_it_is_given() {
    let slow = format!("trap 'sleep 3; exit 0' TERM\n{WORK}");
    let made = Made::new(&lines(), &[("work.sh", &slow), ("check.sh", CHECK)]);
    let options = "--rounds 1 --fault term@ack=4,within=60ms";
    let run = tested("run", &made.name(), options, None);
    run.must_have_no_finding();
    let what = text(&run.trials()[0], "what");
    assert!(what.contains("not stopped after 60.0ms"), "{what}");
}

/// A sound program ends with 0, and what cannot happen to it is named: here a start that runs nothing,
/// and notes that are too small to tear.
#[test(needs = "fuse")]
fn a_sound_program_ends_with_0_and_says_what_is_not_applicable() {
    let ran = tested("run", &example("notes/notes.toml"), "--rounds 1", None);
    ran.must_have_no_finding();
    assert_eq!(ran.ran.code, 0, "{}", ran.ran.stdout);
    let closing =
        "Not applicable: power-loss-torn, kill-recovery, power-loss-recovery and eio-read.";
    let said = ran.ran.stdout.replace('\n', " ");
    for fault in [
        "power-loss-torn",
        "kill-recovery",
        "power-loss-recovery",
        "eio-read",
    ] {
        assert_eq!(
            text(ran.row(fault), "verdict"),
            "not-applicable",
            "{closing}: {said}"
        );
    }
    assert!(said.contains("Not applicable: "), "{said}");
    // The same, where it is asked for by name, is missing.
    let named = tested(
        "run",
        &example("notes/notes.toml"),
        "--rounds 1 --fault eio-read",
        None,
    );
    assert_eq!(named.ran.code, 3, "{}", named.ran.stdout);
    let allowed = "--rounds 1 --fault eio-read --fault kill --allow-not-measured";
    let allowed = tested("run", &example("notes/notes.toml"), allowed, None);
    assert_eq!(allowed.ran.code, 0, "{}", allowed.ran.stdout);
    assert!(
        allowed.ran.stdout.contains("as allowed"),
        "{}",
        allowed.ran.stdout
    );
}

/// A daemon that prints a banner first is quoted by the line that says why it refuses.
#[test(needs = "fuse")]
fn a_banner_is_not_why_a_daemon_does_not_start() {
    let toml = format!(
        "[start]\ncommand = ['./daemon.sh']\nready.line = 'ready'\n{}",
        lines()
    );
    let daemon = "for n in 1 2 3 4 5 6 7 8 9; do echo \"oO0OoO0OoO0Oo $n\"; done\n\
                  echo 'a log is read, which is a matter of some time and words'\n\
                  [ ! -e log ] || [ -s log ] || { echo 'the log is cut short'; exit 1; }\n\
                  echo ready; exec sleep 1000\n";
    let work = "echo 1 >log; sync .; echo ack 1; exec sleep 1000\n";
    let check = "while read -r id; do grep -qx \"$id\" log || echo lost $id; done\n";
    let scripts = [
        ("daemon.sh", daemon),
        ("work.sh", work),
        ("check.sh", check),
    ];
    let made = Made::new(&toml, &scripts);
    let options = "--txns 1 --model ext4 --budget 60s";
    let broken = tested("explore", &made.name(), options, None);
    must_all_be("will-not-start", &broken);
    let sentence = text(&broken.findings()[0], "sentence");
    let why = "it does not start again: exit code 1: ";
    assert!(sentence.starts_with(why), "{sentence}");
    assert!(sentence.contains("the log is cut short"), "{sentence}");
    assert!(!sentence.contains("oO0OoO0OoO0Oo 1"), "{sentence}");
}

/// A small daemon: its records never fill the page that they are in, and its log is all that is read.
#[test(needs = "fuse python3")]
fn a_sound_daemon_meets_a_full_disk_and_damage() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/support/kvd.py");
    let file = directory.path().join("kvd.toml");
    let work = r#"
import os, socket
s = socket.create_connection(("127.0.0.1", 7411)); f = s.makefile("rw")
for n in range(400):
    id = f"{os.environ['PLUGPULL_LIFE']}.{n}"
    print("try", id, flush=True)
    f.write(f"put {id}\n"); f.flush()
    print("ack" if f.readline().strip() == "ok" else "fail", id, flush=True)
"#;
    let check = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", 7411)); f = s.makefile("rw")
for id in sys.stdin.read().split():
    f.write(f"get {id}\n"); f.flush()
    if f.readline().strip() != "yes":
        print("lost", id, "it is not there")
"#;
    fs::write(directory.path().join("work.py"), work).unwrap();
    fs::write(directory.path().join("check.py"), check).unwrap();
    fs::copy(daemon, directory.path().join("kvd.py")).unwrap();
    let text_of = "name = \"kvd\"\n[start]\ncommand = [\"python3\", \"{folder}/kvd.py\"]\n\
         ready.port = 7411\n[workload]\ncommand = [\"python3\", \"{folder}/work.py\"]\n\
         [check]\ncommand = [\"python3\", \"{folder}/check.py\"]\n";
    fs::write(&file, text_of).unwrap();
    let options = "--rounds 1 --fault disk-full --fault bit-flip --fault power-loss --fault kill";
    let ran = tested("run", &file.display().to_string(), options, None);
    ran.must_have_no_finding();
    assert_eq!(ran.ran.code, 0, "{}", ran.ran.stdout);
    for fault in ["disk-full", "bit-flip", "power-loss"] {
        assert_eq!(ran.row(fault)["bit"], 1, "{}", ran.ran.stdout);
    }
}
