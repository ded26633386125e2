//! The catalogue: what is listed, and what is said of wrong use.

use std::collections::BTreeMap;

use plugpull_driver::{UsageError, host};
use plugpull_targets::catalog;
use plugpull_testing::test;
use plugpull_workloads::{Durability, FailureClass, Guarantee};

fn settings(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    given
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect()
}

fn error(name: &str, given: &[(&str, &str)]) -> UsageError {
    catalog::open(name, &settings(given)).err().unwrap()
}

#[test]
fn everything_listed_opens_with_its_defaults_and_with_each_defect() {
    for target in catalog::all() {
        // A driver needs a command, and its promises are the program's.
        if target.name == host::NAME {
            assert!(
                error(target.name, &[])
                    .to_string()
                    .contains("cmd: a command is needed")
            );
            continue;
        }
        let opened = catalog::open(target.name, &BTreeMap::new()).unwrap();
        assert_eq!(opened.name(), target.name);
        assert!(!opened.promises().is_empty());
        let listed = target.listed().unwrap();
        assert!(!listed.about.is_empty());
        let defaults: Vec<_> = (listed.settings.iter())
            .map(|s| (s.name.as_str(), s.default.as_str()))
            .collect();
        let same = catalog::open(target.name, &settings(&defaults)).unwrap();
        assert_eq!(same.promises(), opened.promises());
        // Where the target is real, the defects are its fake's.
        let real = target.has_setting("reference").unwrap();
        let mut sound = if real {
            settings(&[("reference", "yes")])
        } else {
            BTreeMap::new()
        };
        let promises = catalog::open(target.name, &sound).unwrap().promises();
        for defect in listed.mutants {
            sound.insert("defect".into(), defect.name.clone());
            let with = catalog::open(target.name, &sound).unwrap();
            assert!(with.version().contains(&defect.name));
            assert_eq!(with.promises(), promises);
        }
    }
}

#[test]
fn an_unknown_target_gets_the_list_and_a_suggestion() {
    let text = error("sqlit", &[]).to_string();
    assert_eq!(
        text,
        "there is no target \"sqlit\" (did you mean \"sqlite\"?); known targets: sqlite, reference, \
         statehouse, interstice, vfab, ailee, driver"
    );
    assert!(!error("postgres", &[]).to_string().contains("did you mean"));
}

#[test]
fn an_unknown_setting_gets_the_list_and_a_suggestion() {
    let text = error("sqlite", &[("synchronus", "full")]).to_string();
    assert!(text.contains("(did you mean \"synchronous\"?)"), "{text}");
    assert!(
        text.contains("journal_mode") && text.contains("page_size"),
        "{text}"
    );
}

#[test]
fn a_bad_value_is_answered_with_what_is_allowed() {
    for (target, name, value, allowed) in [
        (
            "sqlite",
            "journal_mode",
            "wall",
            "wal, delete, truncate, persist, memory, off",
        ),
        ("sqlite", "synchronous", "FULL", "full, extra, normal, off"),
        (
            "sqlite",
            "page_size",
            "1000",
            "a power of two from 512 to 65536",
        ),
        ("sqlite", "page_size", "x", "whole number"),
        (
            "sqlite",
            "autocheckpoint",
            "-1",
            "a whole number from 0 to 1000000",
        ),
        (
            "reference",
            "snapshot_every",
            "0",
            "a whole number from 1 to 1000000",
        ),
        (
            "reference",
            "defect",
            "no-fsink",
            "(did you mean \"no-fsync\"?)",
        ),
    ] {
        let text = error(target, &[(name, value)]).to_string();
        assert!(text.contains(allowed) && text.contains(value), "{text}");
    }
}

/// The durability that SQLite promises for a class of failure.
fn durability(journal: &str, synchronous: &str, class: FailureClass) -> Option<Durability> {
    let given = settings(&[("journal_mode", journal), ("synchronous", synchronous)]);
    catalog::open("sqlite", &given)
        .unwrap()
        .promises()
        .iter()
        .find_map(|p| match p.guarantee {
            Guarantee::Durable(d) if p.classes.contains(&class) => Some(d),
            _ => None,
        })
}

#[test]
fn sqlite_promises_what_it_documents_for_each_setting() {
    use Durability::{AllButLast, AtAck, AtBarrier};
    use FailureClass::{Corruption, PowerLoss, ProcessCrash};
    for (journal, by_synchronous) in [
        // extra, full, normal, off
        ("wal", [Some(AtAck), Some(AtAck), Some(AtBarrier), None]),
        ("delete", [Some(AtAck), Some(AllButLast(1)), None, None]),
        ("truncate", [Some(AtAck), Some(AtAck), None, None]),
        ("persist", [Some(AtAck), Some(AtAck), None, None]),
        ("memory", [None; 4]),
        ("off", [None; 4]),
    ] {
        for (synchronous, expected) in ["extra", "full", "normal", "off"]
            .iter()
            .zip(by_synchronous)
        {
            let at = |class| durability(journal, synchronous, class);
            assert_eq!(at(PowerLoss), expected, "{journal} {synchronous}");
            let in_memory = matches!(journal, "memory" | "off");
            assert_eq!(
                at(ProcessCrash),
                (!in_memory).then_some(AtAck),
                "{journal} {synchronous}"
            );
            assert_eq!(at(Corruption), None);
        }
    }
}

#[test]
fn the_conditions_of_the_catalog_are_settings_with_their_values() {
    let all = catalog::all();
    for entry in plugpull_catalog::ENTRIES {
        let target = all.iter().find(|one| one.name == entry.name).unwrap();
        let listed = target.listed().unwrap();
        for (name, values) in entry.conditions() {
            let setting = listed.settings.iter().find(|one| one.name == name);
            let known: Vec<&str> = setting.unwrap().values.split(", ").collect();
            assert!(values.iter().all(|value| known.contains(&value.as_str())));
        }
    }
}

#[test]
fn a_promise_depends_on_the_settings() {
    let of = |name: &str, given: &[(&str, &str)]| {
        let opened = catalog::open(name, &settings(given)).unwrap();
        opened.promises()
    };
    let versions = |promise: &plugpull_workloads::Promise| promise.guarantee == Guarantee::Versions;
    assert!(!of("statehouse", &[]).iter().any(versions));
    assert!(of("statehouse", &[("versions", "on")]).iter().any(versions));
    // What a real system promises is less than what its fake keeps.
    for name in ["statehouse", "interstice", "vfab", "ailee"] {
        let fakes = |promise: &plugpull_workloads::Promise| promise.source.starts_with("the fake");
        assert!(!of(name, &[]).iter().any(fakes), "{name}");
        assert!(
            of(name, &[("reference", "yes")]).iter().any(fakes),
            "{name}"
        );
    }
}

#[test]
fn every_promise_has_its_words_and_its_source() {
    for target in catalog::all() {
        let Ok(opened) = catalog::open(target.name, &BTreeMap::new()) else {
            assert_eq!(target.name, host::NAME);
            continue;
        };
        for promise in opened.promises() {
            assert!(!promise.words.is_empty() && !promise.source.is_empty());
            assert!(!promise.demanded && !promise.classes.is_empty());
        }
    }
}

#[test]
fn what_belongs_to_the_fake_is_not_asked_of_the_real_daemon() {
    for given in [
        &[("defect", "abort-logged")][..],
        &[("reference", "yes"), ("bin", "x")],
    ] {
        let text = error("statehouse", given).to_string();
        assert!(text.contains("--reference"), "{text}");
    }
}

#[test]
fn a_fake_is_always_there() {
    for name in ["statehouse", "interstice", "vfab", "ailee"] {
        let opened = catalog::open(name, &settings(&[("reference", "yes")])).unwrap();
        assert_eq!(opened.absent(), None, "{name}");
    }
    let real = catalog::open("statehouse", &settings(&[("bin", "/no/daemon")])).unwrap();
    assert!(
        real.absent()
            .unwrap()
            .contains("cargo install statehouse-daemon")
    );
}

/// plugpull in a directory of its own, with this as the driver of SQLite where there is one.
fn alone(driver: Option<&str>) -> std::process::Output {
    let place = tempfile::tempdir().unwrap();
    let plugpull = place.path().join("plugpull");
    // Written by a process of its own: a file that this one has open for writing, and with it
    // whatever another test forks just now, cannot be executed.
    let made = std::process::Command::new("sh")
        .args([
            "-c",
            "cp \"$1\" \"$2\" && if [ -n \"$3\" ]; then \
             printf %s \"$3\" >\"$2-driver-sqlite\" && chmod 755 \"$2-driver-sqlite\"; fi",
            "sh",
            env!("CARGO_BIN_EXE_plugpull"),
        ])
        .arg(&plugpull)
        .arg(driver.unwrap_or_default())
        .status()
        .unwrap();
    assert!(made.success());
    std::process::Command::new(plugpull)
        .args(["targets", "sqlite"])
        .output()
        .unwrap()
}

#[test]
fn a_missing_driver_is_wrong_use_and_says_what_builds_it() {
    let output = alone(None);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for word in [
        "plugpull-driver-sqlite",
        "cargo build --release -p plugpull",
    ] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_driver_of_another_build_is_refused() {
    let answer =
        r#"{"id":1,"answer":"ok","protocol":2,"name":"sqlite","version":"1","build":"0.0.9+1"}"#;
    let output = alone(Some(&format!("#!/bin/sh\nread line\necho '{answer}'\n")));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("of another build (0.0.9+1)"), "{text}");
    assert!(text.contains(plugpull_driver::BUILD), "{text}");
}
