//! What every command says of itself, and the words of its errors, as they are: a change of one shows in
//! review. `INSTA_UPDATE=always` writes them again.

use plugpull_testing::test;

use crate::support::{Ran, plugpull};

fn output_of(arguments: &[&str]) -> Ran {
    plugpull().args(arguments).output().unwrap().into()
}

/// Every command that has a help of its own.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // Behind a name the line goes on; a line that goes on from the last one begins further to the right.
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|name| !name.is_empty() && *name != "help")
        .collect()
}

#[test]
fn the_help_of_every_command() {
    let all = output_of(&["--help"]);
    assert_eq!(all.code, 0, "{all:?}");
    insta::assert_snapshot!("help", all.stdout);
    let commands = commands(&all.stdout);
    // A page that is laid out in another way must not leave any out.
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        let help = output_of(&[command, "--help"]);
        assert_eq!(help.code, 0, "{command}: {help:?}");
        insta::assert_snapshot!(format!("help-{command}"), help.stdout);
    }
}

#[test]
fn the_words_of_errors() {
    for (name, arguments) in [
        ("no-such-target", &["run", "nonesuch"] as &[&str]),
        (
            "no-such-fault",
            &["run", "reference", "--fault", "nonesuch"],
        ),
        (
            "no-such-model",
            &["explore", "reference", "--model", "nonesuch"],
        ),
        (
            "no-such-setting",
            &["run", "reference", "--set", "nonesuch=1"],
        ),
        (
            "no-percentage",
            &["explore", "reference", "--min-coverage", "101"],
        ),
        ("no-duration", &["run", "reference", "--budget", "0"]),
        ("no-such-report", &["report", "nonesuch.json"]),
        (
            "no-such-promise",
            &["run", "reference", "--promise", "nonesuch"],
        ),
    ] {
        let ran = output_of(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
        insta::assert_snapshot!(format!("error-{name}"), ran.stderr);
    }
}
