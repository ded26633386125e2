//! What is looked at before the first trial of `run`, `explore` and `growth`, and what comes of it.

use std::collections::BTreeMap;

use plugpull_engine::trial::Setup;
use plugpull_engine::trial::controls::{Refusal, before_trials, before_trials_of};
use plugpull_reports::{Emit as _, EndReason, Header, NotMeasured, Record};
use plugpull_sandbox::{Isolation, Sandbox};
use plugpull_workloads::History;

use super::live_run::LiveRun;
use super::wrong;

/// Whether there is anything to try.
pub(super) enum Controlled {
    /// There is. What is worth a word besides, a sentence each.
    Ready(Vec<String>),
    /// There is not: nothing would say anything of the target.
    NotMeasured(String),
}

/// Looks whether a target, and the user's check of it, can show anything. An error is wrong use.
pub(super) fn controlled(name: &str, setup: &Setup) -> anyhow::Result<Controlled> {
    resolve(name, before_trials(setup))
}

/// The same for the trace of an earlier run.
pub(super) fn controlled_trace(
    name: &str,
    setup: &Setup,
    history: &History,
) -> anyhow::Result<Controlled> {
    let looked = before_trials_of(setup, history);
    resolve(name, looked.map(|()| Vec::new()))
}

fn resolve(name: &str, looked: Result<Vec<String>, Refusal>) -> anyhow::Result<Controlled> {
    match looked {
        Ok(warnings) => {
            for warning in &warnings {
                eprintln!("plugpull: warning: {name}: {warning}");
            }
            Ok(Controlled::Ready(warnings))
        }
        Err(Refusal::Wrong(why)) => Err(wrong(format!("the target '{name}': {}", one_line(&why)))),
        Err(Refusal::NotMeasured(why)) => Ok(Controlled::NotMeasured(why)),
        Err(Refusal::Harness(failed)) => Err(failed.into()),
    }
}

/// What a target said may have many lines; an error of ours has one.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

/// The note of the machine that it hears of no call of sync and syncfs.
const SYNC_CALLS: &str = "sync-calls";

/// Says where the crash filesystem will not hear of all that a target does, and why; also what
/// the run file says of it.
pub(super) fn machine_notes(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::new();
    if let Some(why) = sandbox
        .why_deaf()
        .filter(|_| sandbox.isolation() == Isolation::Full)
    {
        notes.insert(SYNC_CALLS.to_owned(), why.to_string());
    }
    for warning in machine_warnings(&notes) {
        eprintln!("plugpull: note: {warning}");
    }
    notes
}

/// What these notes mean for what a report says, a sentence each.
pub(super) fn machine_warnings(notes: &BTreeMap<String, String>) -> Vec<String> {
    let deaf = notes.get(SYNC_CALLS).map(|why| {
        format!(
            "calls of sync and syncfs are not seen here ({why}): what a target makes durable by them \
             alone counts as not durable"
        )
    });
    deaf.into_iter().collect()
}

/// Ends a run in which nothing can be measured: its report says so of everything that was to be tried.
pub(super) fn nothing_measured(
    mut live: LiveRun<'_>,
    header: Header,
    why: &str,
) -> anyhow::Result<u8> {
    let why = one_line(why);
    eprintln!("plugpull: not measured: {why}");
    let all = header.faults.clone();
    live.emit(Record::Header(Box::new(header)));
    say_not_measured(&mut live, &all, &why);
    let took = live.elapsed();
    live.finish(EndReason::Complete, "", took)
}

/// Notes of each of these that it was not measured.
pub(super) fn say_not_measured(live: &mut LiveRun<'_>, all: &[String], why: &str) {
    for what in all {
        let (what, why) = (what.clone(), why.to_owned());
        live.emit(Record::NotMeasured(NotMeasured { what, why }));
    }
}
