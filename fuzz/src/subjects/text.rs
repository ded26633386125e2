//! What is typed: triggers of faults, and the TOML file of a command target.

use std::path::Path;
use std::time::Duration;

use plugpull_faults::trigger::{Trigger, When, parse_duration};
use plugpull_targets::command;

use crate::subject::{Reading, Shape, Subject, any};

/// `--fault FAULT:TRIGGER`.
pub(crate) const TRIGGER: Subject = Subject {
    name: "trigger",
    shape: Shape::Text,
    seeds: triggers,
    property: read_trigger,
    mutant: cut_a_word,
};

/// `--target FILE.toml`.
pub(crate) const TARGET_FILE: Subject = Subject {
    name: "target-file",
    shape: Shape::Text,
    seeds: target_files,
    property: read_target_file,
    mutant: look_for_a_table,
};

fn triggers() -> Vec<Vec<u8>> {
    [
        "recovery",
        "op=write,path=*.log,n=3",
        "ack=17",
        "n=3,recovery",
        "time=1500us",
        "op=sync,p=0.05",
        "op=write|sync,path=a/*b,n=1,within=2s",
        "ack=3,depth=3",
        "time=100ms,recovery",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn read_trigger(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    let text = String::from_utf8_lossy(input);
    any(parse_duration(&text));
    let default = Trigger::at(When::Time(Duration::from_millis(1)));
    match Trigger::parse(&text, &default) {
        Ok(trigger) => {
            any(trigger.damages(&text));
            // It is named in reports, and in what repeats a finding.
            let shown = trigger.to_string();
            let again = Trigger::parse(&shown, &default).map_err(|error| error.to_string())?;
            match again == trigger {
                true => Ok(Reading::Read),
                false => Err(format!("{shown:?} is another trigger than it was")),
            }
        }
        Err(_) => Ok(Reading::Refused),
    }
}

fn one_line(message: &str) -> Result<(), String> {
    match message.contains(['\n', '\u{1b}', '\0']) {
        true => Err(format!("a message of several lines: {message:?}")),
        false => Ok(()),
    }
}

/// A reader that takes the unit of a duration to be one letter.
fn cut_a_word(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    let text = String::from_utf8_lossy(input);
    for part in text.split(',') {
        if let Some((_, value)) = part.split_once('=') {
            let (number, _unit) = value.split_at(value.len() - 1);
            any(number.parse::<u64>());
        }
    }
    Ok(Reading::Read)
}

fn target_files() -> Vec<Vec<u8>> {
    [
        include_str!("../../../docs/examples/etcd/etcd.toml"),
        include_str!("../../../docs/examples/git/git.toml"),
        include_str!("../../../docs/examples/notes/notes.toml"),
        "workload.command = ['work', 'x']\ncheck = { command = 'test -e x', timeout_ms = 5 }\n\
         [start]\ncommand = 'd'\nready.port = 80\n[[promise]]\nkeeps = 'durable'\nsource = 's'\n\
         after = ['power-loss']\nwhen = { A = ['b'] }\n[env]\nA = 'b'\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn read_target_file(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    match command::parse(&String::from_utf8_lossy(input)) {
        Ok(()) => Ok(Reading::Read),
        Err(message) => one_line(&message).map(|()| Reading::Refused),
    }
}

/// A reader that takes the file to have a workload.
fn look_for_a_table(input: &[u8], _scratch: &Path) -> Result<Reading, String> {
    let text = String::from_utf8_lossy(input);
    let from = text.find("workload").map(|at| &text[at..at + 20]);
    from.map(|_| Reading::Read)
        .ok_or_else(|| "there is no workload".to_owned())
}
