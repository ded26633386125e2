//! What is missing is said, with what to do.

use std::collections::BTreeMap;
use std::fs;

use crate::interstice::{Interstice, Settings};
use crate::{Target, UsageError};

fn target(settings: &[(&str, &str)]) -> Interstice {
    Interstice::new(&values(settings)).unwrap()
}

fn values(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    owned.collect()
}

#[test]
fn each_missing_part_is_said_with_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
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
        let absent = target(&settings).absent().unwrap();
        assert!(absent.contains(said), "{absent}");
    }
    let there = target(&[bin, ("module", &path("m.wasm"))]);
    assert_eq!(there.absent(), None);
    assert_eq!(there.version(), "Interstice's node, /bin/sh");
    assert_eq!(target(&[("reference", "yes")]).absent(), None);
}

#[test]
fn settings_of_the_node_and_of_the_stand_in_do_not_mix() {
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

/// What the node promises is less than what the stand-in of its guide keeps.
#[test]
fn promises_are_those_of_what_is_tested() {
    let real = target(&[]).promises();
    let stand_in = target(&[("reference", "yes")]).promises();
    assert!(real.iter().all(|promise| promise.source.contains("0.5.0")));
    assert!(
        stand_in
            .iter()
            .all(|promise| !promise.source.contains("0.5.0"))
    );
}
