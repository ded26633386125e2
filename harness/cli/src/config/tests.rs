//! Every option of every command can be set from a file, with the effect of typing it.

use std::path::Path;

use super::*;
use crate::definition::{definition, is_switch};

/// Values of which every option takes one.
const SAMPLES: [&str; 15] = [
    "2",
    "5",
    "1/1",
    "a=b",
    "sector=4096",
    "1024",
    "30s",
    "human",
    "crash",
    "kill",
    "bash",
    "./there",
    "word",
    "some",
    "0.5",
];

fn file(text: &str) -> (tempfile::TempDir, File) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("plugpull.toml");
    std::fs::write(&path, text).expect("written");
    let file = File::read(&path).expect("sound");
    (directory, file)
}

/// What a command line means: each option with its values as they were typed. Nothing is required.
fn meaning(arguments: &[OsString]) -> Vec<String> {
    let lenient = definition().ignore_errors(true);
    let matches = lenient.try_get_matches_from(arguments).expect("lenient");
    let (_, matches) = matches.subcommand().expect("a command");
    let ids = matches.ids().filter(|id| {
        // Groups have no values of their own.
        matches.value_source(id.as_str()) == Some(ValueSource::CommandLine)
    });
    let line = |id: &clap::Id| {
        let raw = matches.try_get_raw(id.as_str()).ok().flatten();
        let all: Vec<_> = raw.into_iter().flatten().collect();
        format!("{id} {all:?}")
    };
    ids.map(line).collect()
}

fn line(command: &str, rest: &[OsString]) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["plugpull".into(), command.into()];
    all.extend(rest.iter().cloned());
    all
}

#[test]
fn every_option_can_be_set_from_the_file() {
    let mut cli = definition();
    cli.build();
    let mut tried = 0;
    for command in cli.get_subcommands() {
        let name = command.get_name();
        let own = |arg: &&clap::Arg| !arg.is_global_set() && arg.get_long().is_some();
        for arg in command.get_arguments().filter(own) {
            let long = arg.get_long().expect("a long name");
            if matches!(long, "help" | "version") {
                continue;
            }
            let switch = is_switch(arg);
            let (value, typed) = if switch {
                ("true".to_owned(), format!("--{long}"))
            } else {
                let takes = |sample: &&&str| {
                    let typed: OsString = format!("--{long}={sample}").into();
                    let strict = definition().try_get_matches_from(line(name, &[typed]));
                    use clap::error::ErrorKind::{InvalidValue, ValueValidation};
                    !strict.is_err_and(|e| matches!(e.kind(), InvalidValue | ValueValidation))
                };
                let sample = SAMPLES.iter().find(takes);
                let sample = sample.unwrap_or_else(|| panic!("no sample fits {name} --{long}"));
                (format!("\"{sample}\""), format!("--{long}={sample}"))
            };
            let (directory, mut file) = file(&format!("[{name}]\n{long} = {value}\n"));
            // Paths are left as they are.
            file.directory = PathBuf::new();
            check(&cli, &file).unwrap_or_else(|why| panic!("{name} --{long}: {why}"));
            let lenient = definition().ignore_errors(true);
            let nothing = lenient
                .try_get_matches_from(line(name, &[]))
                .expect("lenient");
            let (_, nothing) = nothing.subcommand().expect("a command");
            let (added, _) = arguments(command, nothing, &file, None).expect("sound");
            let by_hand = meaning(&line(name, &[typed.into()]));
            assert_eq!(meaning(&line(name, &added)), by_hand, "{name} --{long}");
            assert!(!by_hand.is_empty(), "{name} --{long}");
            tried += 1;
            drop(directory);
        }
    }
    assert!(tried > 80, "{tried}");
}

/// A table is either a command's section or what an option is set to.
#[test]
fn no_option_has_the_name_of_a_command() {
    let mut cli = definition();
    cli.build();
    for command in cli.get_subcommands() {
        for one in accepted(command) {
            assert!(cli.find_subcommand(&one.key).is_none(), "{}", one.key);
            let pairs = one.arg_takes_pairs();
            assert_eq!(pairs, one.key == file::PAIRS, "{}", one.key);
        }
    }
}

#[test]
fn the_place_of_the_command_is_found() {
    let at = |words: &str| {
        let words: Vec<OsString> = words.split(' ').map(Into::into).collect();
        behind(&words, "run")
    };
    assert_eq!(at("plugpull run"), 2);
    assert_eq!(at("plugpull --config run run sqlite"), 4);
    assert_eq!(at("plugpull --config=run run"), 3);
    assert_eq!(at("plugpull --no-config run"), 3);
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    assert_eq!(
        resolved(Path::new("/a/b"), "c.json"),
        Path::new("/a/b/c.json")
    );
    assert_eq!(resolved(Path::new("/a/b"), "/c.json"), Path::new("/c.json"));
    assert_eq!(resolved(Path::new(""), "c.json"), Path::new("c.json"));
}

#[test]
fn every_switch_can_be_typed_off() {
    let mut cli = definition();
    cli.build();
    let mut tried = 0;
    for command in cli.get_subcommands() {
        let name = command.get_name();
        let own = |arg: &&clap::Arg| !arg.is_global_set() && is_switch(arg);
        for arg in command.get_arguments().filter(own) {
            let long = arg.get_long().expect("a long name");
            let on = |typed: &[OsString]| {
                let lenient = definition().ignore_errors(true);
                let matches = lenient.try_get_matches_from(line(name, typed));
                let matches = matches.expect("lenient");
                let (_, own) = matches.subcommand().expect("a command");
                own.get_flag(arg.get_id().as_str())
            };
            assert!(!on(&[]), "{name} --{long}");
            for (typed, wanted) in [("", true), ("=true", true), ("=false", false)] {
                let typed: OsString = format!("--{long}{typed}").into();
                assert_eq!(on(std::slice::from_ref(&typed)), wanted, "{name} {typed:?}");
                // What is typed counts, and not what the file has.
                let (_directory, file) = file(&format!("[{name}]\n{long} = true\n"));
                let lenient = definition().ignore_errors(true);
                let matches = lenient.try_get_matches_from(line(name, &[typed]));
                let matches = matches.expect("lenient");
                let (_, own) = matches.subcommand().expect("a command");
                let (added, _) = arguments(command, own, &file, None).expect("sound");
                assert_eq!(added, Vec::<OsString>::new(), "{name} --{long}");
            }
            tried += 1;
        }
    }
    assert!(tried > 12, "{tried}");
}
