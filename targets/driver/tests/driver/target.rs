//! The driver as a target: started, spoken with, and refused where something is wrong with it.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use plugpull_driver::DriverTarget;
use plugpull_driver::{ActionTime, ClientError, Host, Part, StartError, Target};
use plugpull_workloads::{Durability, Guarantee, Op, Txn, Write};

use super::host::PlainHost;

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn settings(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    let exe = std::env::current_exe().unwrap();
    let command = |flaw: &str| format!("'{}' --driver={flaw}", exe.display());
    given
        .iter()
        .map(|(name, flaw)| ((*name).to_owned(), command(flaw)))
        .collect()
}

fn driver(flaw: &str) -> DriverTarget {
    DriverTarget::user(&settings(&[("cmd", flaw)])).unwrap()
}

fn txn(id: u64, key: &str, write: Write) -> Txn {
    Txn {
        id,
        client: 0,
        ops: vec![Op {
            key: key.to_owned(),
            write,
        }],
        abort: false,
    }
}

fn put(id: u64, key: &str, value: &str) -> Txn {
    txn(id, key, Write::Put(value.into()))
}

pub(crate) fn side_by_side() {
    let (host, driver) = (PlainHost::new(), driver("none"));
    let running = driver.start(&host, later()).unwrap();
    let clients: Vec<_> = (0..4).map(|_| running.connect(later()).unwrap()).collect();
    thread::scope(|scope| {
        for (number, mut client) in clients.into_iter().enumerate() {
            scope.spawn(move || {
                for id in 0..50 {
                    let (key, value) = (format!("c{number}.{id}"), "x".repeat(3000));
                    assert_eq!(client.apply(&put(id, &key, &value), later()), Ok(()));
                    assert_eq!(client.get(&key, later()), Ok(Some(value)));
                }
            });
        }
    });
    let mut client = running.connect(later()).unwrap();
    assert_eq!(client.read_all(later()).unwrap().len(), 200);
    assert_eq!(client.barrier(later()), Ok(()));
    assert_eq!(client.check(later()), Ok(None));
    let aborted = Txn {
        abort: true,
        ..put(1, "c0.0", "new")
    };
    assert_eq!(client.apply(&aborted, later()), Ok(()));
    assert_eq!(client.get("c0.0", later()).unwrap().unwrap().len(), 3000);
    assert_eq!(
        client.apply(&txn(2, "c0.0", Write::Delete), later()),
        Ok(())
    );
    assert_eq!(client.get("c0.0", later()), Ok(None));
}

pub(crate) fn introduced() {
    let driver = driver("none");
    assert!(driver.must_be_asked() && driver.promises().is_empty());
    driver.introduce(&PlainHost::new(), later()).unwrap();
    assert!(!driver.must_be_asked());
    assert!(driver.version().starts_with("test 3, driven by `"));
    let promises = driver.promises();
    assert_eq!(promises[0].guarantee, Guarantee::Durable(Durability::AtAck));
    assert!(driver.abilities().barrier && driver.abilities().abort);
}

pub(crate) fn described() {
    let (host, driver) = (PlainHost::new(), driver("second"));
    driver.introduce(&host, later()).unwrap();
    assert!(driver.version().starts_with("test 4, driven by `"));
    assert_eq!(driver.promises().len(), 1);
    assert_eq!(driver.ops_per_txn(), 2..=9);
    assert_eq!(driver.patience(), 3);
    assert!(driver.keeps_snapshots() && driver.is_snapshot("s-7") && !driver.is_snapshot("s-x"));
    assert!(driver.abilities().barrier);
    // An action that is done while the target is down has a driver of its own.
    let action = driver.actions()[0].clone();
    assert_eq!(
        (action.name.as_str(), action.when),
        ("reorg", ActionTime::Down)
    );
    // It says in the way of before there was `amount` what it takes, and is given it so.
    assert_eq!(action.takes().unwrap().name, "depth");
    driver
        .act_down(&host, &action, Some(6), later())
        .unwrap()
        .unwrap();
    let acted = std::fs::read_to_string(host.data_dir().join("acted")).unwrap();
    assert!(
        acted.contains("\"action\":\"reorg\"") && acted.contains("\"depth\":6"),
        "{acted}"
    );
    let mut client = driver
        .start(&host, later())
        .unwrap()
        .connect(later())
        .unwrap();
    assert_eq!(client.apply(&put(1, "k", "v"), later()), Ok(()));
    assert!(matches!(
        client.act("reorg", Some(1), later()),
        Err(ClientError::Fail(_))
    ));
}

pub(crate) fn launched() {
    let (host, driver) = (PlainHost::new(), driver("daemon-driver"));
    let mut running = driver.start(&host, later()).unwrap();
    assert_eq!(host.parts(), [Part::Beside, Part::Beside, Part::Target]);
    let mut client = running.connect(later()).unwrap();
    assert_eq!(client.apply(&put(1, "k", "v"), later()), Ok(()));
    let now = Instant::now();
    assert_eq!(running.process().unwrap().wait(now).unwrap(), None);
}

pub(crate) fn fail_and_info() {
    let (host, driver) = (PlainHost::new(), driver("moody"));
    let mut client = driver
        .start(&host, later())
        .unwrap()
        .connect(later())
        .unwrap();
    let mut apply = |id| client.apply(&put(id, "k", "v"), later());
    assert_eq!(apply(1), Err(ClientError::Fail("one".into())));
    assert_eq!(apply(2), Err(ClientError::Info("two".into())));
    assert_eq!(apply(3), Ok(()));
}

pub(crate) fn unable() {
    let (host, driver) = (PlainHost::new(), driver("modest"));
    let running = driver.start(&host, later()).unwrap();
    let able = driver.abilities();
    assert!(!able.abort && !able.delete && !able.barrier);
    let mut client = running.connect(later()).unwrap();
    assert_eq!(client.apply(&put(1, "k", "v"), later()), Ok(()));
    let aborted = Txn {
        abort: true,
        ..put(2, "k", "w")
    };
    let refused = |result| matches!(result, Err(ClientError::Fail(_)));
    assert!(refused(client.apply(&aborted, later())));
    assert!(refused(client.apply(&txn(3, "k", Write::Delete), later())));
    assert!(refused(client.barrier(later())));
    assert_eq!(client.check(later()), Ok(None));
    assert_eq!(client.get("k", later()), Ok(Some("v".into())));
}

fn gone<T>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Gone(why)) => why,
        _ => panic!("an answer"),
    }
}

pub(crate) fn late() {
    let (host, driver) = (PlainHost::new(), driver("slow"));
    let running = driver.start(&host, later()).unwrap();
    let mut client = running.connect(later()).unwrap();
    let soon = Instant::now() + Duration::from_millis(30);
    assert_eq!(gone(client.get("slow", soon)), "the deadline passed");
    assert_eq!(gone(client.get("k", later())), "the deadline passed");
    // Another client goes on; the late answer comes first and is nobody's.
    let mut other = running.connect(later()).unwrap();
    assert_eq!(other.get("k", later()), Ok(None));
    let passed = Instant::now();
    assert_eq!(gone(other.get("k", passed)), "the deadline passed");
}

pub(crate) fn breach() {
    for (flaw, why) in [
        ("garbles", "it wrote a line that is no answer"),
        ("dies", "the driver closed its standard output"),
        ("unasked", "which has its answer"),
        ("numbers", "the answer's values does not fit"),
    ] {
        let (host, driver) = (PlainHost::new(), driver(flaw));
        let running = driver.start(&host, later()).unwrap();
        let mut client = running.connect(later()).unwrap();
        // The first of these is answered by all but the one that garbles it at once.
        let mut said = Vec::new();
        for id in 1..50 {
            let results = [
                client.apply(&put(id, "two", "v"), later()),
                client.get("two", later()).map(drop),
                client.read_all(later()).map(drop),
            ];
            said.extend(results.into_iter().filter_map(Result::err));
            if !said.is_empty() {
                break;
            }
        }
        let text = format!("{said:?}");
        assert!(text.contains(why), "{flaw}: {text}");
        if flaw != "numbers" {
            gone(running.connect(later()).unwrap().get("k", later()));
        }
    }
}

fn start_error(flaw: &str, deadline: Instant) -> StartError {
    let (host, driver) = (PlainHost::new(), driver(flaw));
    driver.start(&host, deadline).err().unwrap()
}

pub(crate) fn not_up() {
    match start_error("exits", later()) {
        StartError::Exited { code: 7, output } => assert_eq!(output, "the store is damaged\n"),
        other => panic!("{other}"),
    }
    let soon = Instant::now() + Duration::from_millis(50);
    assert!(matches!(
        start_error("silent", soon),
        StartError::Timeout { .. }
    ));
    match start_error("refuses", later()) {
        StartError::Refused(why) => assert_eq!(why, "not today"),
        other => panic!("{other}"),
    }
    for (flaw, said) in [
        ("other-protocol", "it speaks version 2"),
        ("no-version", "missing field `version`"),
        ("banner", "no answer"),
        ("strange-capability", "no capability \"fly\""),
        ("barrier-promised", "no capability barrier"),
    ] {
        let error = start_error(flaw, later()).to_string();
        assert!(error.contains(said), "{flaw}: {error}");
        // Who speaks for the target is wrong; the target is not.
        assert!(matches!(start_error(flaw, later()), StartError::Host(_)));
    }
}

pub(crate) fn daemon() {
    let settings = settings(&[("cmd", "beside"), ("daemon", "daemon")]);
    let driver = DriverTarget::user(&settings).unwrap();
    let host = PlainHost::new();
    let mut running = driver.start(&host, later()).unwrap();
    // The first was to describe itself.
    assert_eq!(host.parts(), [Part::Beside, Part::Target, Part::Beside]);
    let mut client = running.connect(later()).unwrap();
    assert_eq!(client.apply(&put(1, "k", "v"), later()), Ok(()));
    // The process is the daemon, which goes on whatever the driver does.
    let now = Instant::now();
    assert_eq!(running.process().unwrap().wait(now).unwrap(), None);

    let settings = self::settings(&[("cmd", "silent"), ("daemon", "exits")]);
    let error = DriverTarget::user(&settings).unwrap().start(&host, later());
    assert!(matches!(
        error.err().unwrap(),
        StartError::Exited { code: 7, .. }
    ));
}
