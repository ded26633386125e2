//! SQLite and the reference store as real driver processes, without a sandbox: start, apply, read,
//! abort, kill, start again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plugpull_driver::{ClientError, Host, Launch, Part, Pipes, Process, StartError, Target};
use plugpull_targets::catalog;
use plugpull_testing::test;
use plugpull_workloads::{Op, Txn, Write};

/// Starts drivers in a directory.
struct PlainHost {
    dir: PathBuf,
}

impl Host for PlainHost {
    fn spawn(&self, _launch: &Launch) -> io::Result<Box<dyn Process>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn spawn_piped(&self, launch: &Launch, _part: Part) -> io::Result<(Box<dyn Process>, Pipes)> {
        let (its_stdin, stdin) = io::pipe()?;
        let (stdout, its_stdout) = io::pipe()?;
        let mut command = Command::new(&launch.program);
        command.args(&launch.args).envs(launch.env.clone());
        command
            .current_dir(&self.dir)
            .stdin(its_stdin)
            .stdout(its_stdout);
        let child = command.stderr(Stdio::piped()).spawn()?;
        drop(command);
        let process = PlainProcess {
            child,
            output: String::new(),
        };
        Ok((Box::new(process), Pipes { stdin, stdout }))
    }

    fn connect(&self, _port: u16) -> io::Result<TcpStream> {
        Err(ErrorKind::Unsupported.into())
    }

    fn data_dir(&self) -> &Path {
        &self.dir
    }
}

/// Killed when dropped, by SIGKILL: every restart in these tests is one after a crash.
struct PlainProcess {
    child: Child,
    output: String,
}

impl Process for PlainProcess {
    fn stdout_line(&mut self, _deadline: Instant) -> io::Result<Option<String>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn wait(&mut self, _deadline: Instant) -> io::Result<Option<i32>> {
        // Only called after the end of its output.
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut self.output)?;
        }
        let status = self.child.wait()?;
        let signal = || 128 + status.signal().unwrap_or(0);
        Ok(Some(status.code().unwrap_or_else(signal)))
    }

    fn output(&self) -> String {
        self.output.clone()
    }
}

impl Drop for PlainProcess {
    #[expect(clippy::let_underscore_must_use, reason = "mostly it is dead already")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Far enough away never to pass in a test that works.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn target(name: &str, settings: &[(&str, &str)]) -> Box<dyn Target> {
    let settings = settings
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect();
    catalog::open(name, &settings).unwrap()
}

fn put(key: &str, value: &str) -> Op {
    Op {
        key: key.into(),
        write: Write::Put(value.into()),
    }
}

fn txn(ops: Vec<Op>, abort: bool) -> Txn {
    Txn {
        id: 1,
        client: 0,
        ops,
        abort,
    }
}

/// Two lives with a kill between them; with awkward text, a big value, an abort and a delete.
fn two_lives(target: &dyn Target, aborts: bool) {
    let dir = tempfile::tempdir().unwrap();
    let host = PlainHost {
        dir: dir.path().to_owned(),
    };
    let awkward = "line\nend \"quote\" \\ ü \u{0} \u{7f}";
    let big = "z".repeat(1 << 20);
    let mut expected = BTreeMap::new();
    {
        let running = target.start(&host, later()).unwrap();
        let mut client = running.connect(later()).unwrap();
        assert_eq!(client.read_all(later()).unwrap(), expected);
        let ops = vec![put("a", awkward), put("b", &big), put("c", "1")];
        client.apply(&txn(ops, false), later()).unwrap();
        client
            .apply(
                &txn(
                    vec![
                        Op {
                            key: "c".into(),
                            write: Write::Delete,
                        },
                        put("d", "2"),
                    ],
                    false,
                ),
                later(),
            )
            .unwrap();
        let aborted = client.apply(&txn(vec![put("a", "no"), put("e", "no")], true), later());
        match aborted {
            Ok(()) => assert!(aborts),
            Err(ClientError::Fail(_)) => assert!(!aborts),
            Err(e) => panic!("{e}"),
        }
        client.barrier(later()).unwrap();
        expected.insert("a".into(), awkward.to_owned());
        expected.insert("b".into(), big);
        expected.insert("d".into(), "2".into());
        // Another client sees the same.
        let mut other = running.connect(later()).unwrap();
        assert_eq!(other.read_all(later()).unwrap(), expected);
        assert_eq!(other.get("a", later()).unwrap().as_deref(), Some(awkward));
        assert_eq!(other.get("c", later()).unwrap(), None);
        assert_eq!(other.check(later()).unwrap(), None);
        drop(client);
        other
            .apply(&txn(vec![put("f", "3")], false), later())
            .unwrap();
        expected.insert("f".into(), "3".into());
    }
    let running = target.start(&host, later()).unwrap();
    let mut client = running.connect(later()).unwrap();
    assert_eq!(client.read_all(later()).unwrap(), expected);
    assert_eq!(client.check(later()).unwrap(), None);
}

#[test]
fn sqlite_in_every_journal_mode() {
    for (mode, aborts) in [
        ("wal", true),
        ("delete", true),
        ("truncate", true),
        ("persist", true),
        ("memory", true),
        ("off", false),
    ] {
        two_lives(&*target("sqlite", &[("journal_mode", mode)]), aborts);
    }
}

#[test]
fn sqlite_with_every_other_setting() {
    for settings in [
        &[("synchronous", "off")][..],
        &[("synchronous", "normal"), ("autocheckpoint", "1")],
        &[
            ("synchronous", "extra"),
            ("journal_mode", "delete"),
            ("page_size", "512"),
        ],
        &[("locking_mode", "exclusive")],
        &[("locking_mode", "exclusive"), ("journal_mode", "delete")],
        &[("mmap_size", "1048576"), ("page_size", "65536")],
    ] {
        two_lives(&*target("sqlite", settings), true);
    }
}

#[test]
fn the_reference_store() {
    two_lives(&*target("reference", &[]), true);
    two_lives(&*target("reference", &[("snapshot_every", "1")]), true);
}

#[test]
fn many_clients_at_once_lose_nothing() {
    for target in [
        target("sqlite", &[]),
        target(
            "sqlite",
            &[("journal_mode", "delete"), ("synchronous", "off")],
        ),
        target("reference", &[("snapshot_every", "5")]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let host = PlainHost {
            dir: dir.path().to_owned(),
        };
        let running = target.start(&host, later()).unwrap();
        std::thread::scope(|scope| {
            for c in 0..4 {
                let mut client = running.connect(later()).unwrap();
                scope.spawn(move || {
                    for i in 0..10 {
                        let key = format!("{c}-{i}");
                        client
                            .apply(&txn(vec![put(&key, &key)], false), later())
                            .unwrap();
                    }
                });
            }
        });
        let mut client = running.connect(later()).unwrap();
        assert_eq!(
            client.read_all(later()).unwrap().len(),
            40,
            "{}",
            target.version()
        );
    }
}

#[test]
fn a_driver_that_cannot_open_its_store_says_why_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let host = PlainHost {
        dir: dir.path().to_owned(),
    };
    fs::write(dir.path().join("log-1"), vec![1; 3 * 4096]).unwrap();
    match target("reference", &[]).start(&host, later()) {
        Err(StartError::Exited { code, output }) => {
            assert_eq!(code, 1);
            assert!(output.contains("log-1 is damaged at offset 0"), "{output}");
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
    fs::write(dir.path().join("kv.db"), vec![1; 3 * 4096]).unwrap();
    match target("sqlite", &[]).start(&host, later()) {
        Err(StartError::Exited { code, output }) => {
            assert_eq!(code, 1);
            assert!(output.contains("not a database"), "{output}");
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn a_driver_that_hangs_runs_into_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let host = PlainHost {
        dir: dir.path().to_owned(),
    };
    let target = target("reference", &[("defect", "hang-on-recovery")]);
    {
        let running = target.start(&host, later()).unwrap();
        let mut client = running.connect(later()).unwrap();
        client
            .apply(&txn(vec![put("a", "1")], false), later())
            .unwrap();
    }
    let soon = Instant::now() + Duration::from_millis(300);
    assert!(matches!(
        target.start(&host, soon),
        Err(StartError::Timeout { .. })
    ));
}

#[test]
fn a_first_start_that_a_crash_interrupted_is_carried_on() {
    // An empty file is what is left of the database before its first page.
    let dir = tempfile::tempdir().unwrap();
    let host = PlainHost {
        dir: dir.path().to_owned(),
    };
    fs::write(dir.path().join("kv.db"), b"").unwrap();
    let sqlite = target("sqlite", &[]);
    let running = sqlite.start(&host, later()).unwrap();
    let mut client = running.connect(later()).unwrap();
    client
        .apply(&txn(vec![put("a", "1")], false), later())
        .unwrap();
    drop(running);

    // In WAL mode, and without the table: the directory of a database whose WAL was lost.
    fs::remove_file(dir.path().join("kv.db-wal")).unwrap();
    let running = sqlite.start(&host, later()).unwrap();
    let mut client = running.connect(later()).unwrap();
    client
        .apply(&txn(vec![put("b", "1")], false), later())
        .unwrap();
    assert_eq!(client.check(later()).unwrap(), None);
}

#[test]
fn sqlite_says_what_its_integrity_check_says() {
    let dir = tempfile::tempdir().unwrap();
    let host = PlainHost {
        dir: dir.path().to_owned(),
    };
    let sqlite = target(
        "sqlite",
        &[("journal_mode", "delete"), ("synchronous", "off")],
    );
    {
        let running = sqlite.start(&host, later()).unwrap();
        let mut client = running.connect(later()).unwrap();
        let ops = (0..100)
            .map(|i| put(&format!("key-{i:04}"), "value"))
            .collect();
        client.apply(&txn(ops, false), later()).unwrap();
    }
    // Page 3 is the whole index of the keys: one key in it now differs from the table's.
    let path = dir.path().join("kv.db");
    let mut bytes = fs::read(&path).unwrap();
    let at = 2 * 4096
        + bytes[2 * 4096..]
            .windows(4)
            .position(|w| w == b"key-")
            .unwrap();
    bytes[at] = b'K';
    fs::write(&path, bytes).unwrap();
    let running = sqlite.start(&host, later()).unwrap();
    let mut client = running.connect(later()).unwrap();
    assert!(client.check(later()).unwrap().is_some());
    assert_eq!(client.read_all(later()).unwrap().len(), 100);
}
