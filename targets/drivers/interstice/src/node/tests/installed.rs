//! What is missing is said, with what to do.

use std::collections::BTreeMap;
use std::fs;

use plugpull_driver::sdk::Driver;
use plugpull_driver::{Description, UsageError};

use crate::Settings;
use crate::driver::IntersticeDriver;

fn described(settings: &[(&str, &str)]) -> Description {
    IntersticeDriver::new(&values(settings)).unwrap().describe()
}

fn values(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

#[test]
fn each_missing_part_is_said_with_how_to_get_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("text"), "text").unwrap();
    fs::write(path("m.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let bin = ("bin", "/bin/sh");
    for (settings, said) in [
        (
            vec![("bin", "no-such-node")],
            "no-such-node is not on PATH: install it with `cargo",
        ),
        (
            vec![("bin", "/no/node")],
            "there is no program /no/node: install it",
        ),
        (
            vec![bin],
            "the node's test module module.wasm cannot be read",
        ),
        (vec![bin, ("module", "/no.wasm")], "/no.wasm cannot be read"),
        (
            vec![bin, ("module", &path("text"))],
            "text is no WebAssembly module: compile",
        ),
    ] {
        let absent = described(&settings).unavailable.unwrap();
        assert!(absent.contains(said), "{absent}");
    }
    let there = described(&[bin, ("module", &path("m.wasm"))]);
    assert_eq!(there.unavailable, None);
    assert_eq!(there.version, "Interstice's node, /bin/sh");
    assert_eq!(described(&[("reference", "yes")]).unavailable, None);
}

#[test]
fn settings_of_the_node_and_of_the_fake_do_not_mix() {
    for settings in [
        [("reference", "yes"), ("bin", "x")],
        [("reference", "yes"), ("module", "x")],
        [("reference", "yes"), ("port", "4711")],
        [("reference", "no"), ("rotate_bytes", "4096")],
        [("reference", "no"), ("rotated_logs", "3")],
    ] {
        let error = Settings::parse(&values(&settings)).unwrap_err();
        assert!(matches!(error, UsageError::Conflict { .. }), "{error}");
    }
}
