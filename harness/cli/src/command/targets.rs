//! `plugpull targets`: what can be tested, and what each one promises.

use std::collections::BTreeMap;
use std::time::Duration;

use plugpull_driver::{ActionTime, Target};
use plugpull_engine::prepare::handshake;
use plugpull_targets::catalog;

use super::{settings, wrong};
use crate::cli::TargetsArgs;

/// How long a target may take to say what it promises.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// Prints all targets, or one in detail.
pub(crate) fn run(args: &TargetsArgs) -> anyhow::Result<u8> {
    let Some(name) = &args.name else {
        for target in catalog::all() {
            let about = match target.listed() {
                Ok(listed) => listed.about,
                Err(error) => error.to_string(),
            };
            println!("{:<14} {about}", target.name);
            let absent = (target.open)(&BTreeMap::new())
                .ok()
                .and_then(|t| t.absent());
            if let Some(why) = absent {
                println!("{:<14} not here: {why}", "");
            }
        }
        println!("\n`plugpull targets NAME` shows its settings, mutants and promises.");
        return Ok(crate::KEPT);
    };
    if args.toml {
        let entry = plugpull_catalog::find(name).ok_or_else(|| {
            let known = plugpull_catalog::ENTRIES.map(|entry| entry.name).join(", ");
            wrong(format!("the catalogue has no {name:?}; it has {known}"))
        })?;
        println!("{}", entry.toml.trim_end());
        return Ok(crate::KEPT);
    }
    let settings = settings(&args.settings)?;
    let target = catalog::open(name, &settings).map_err(wrong)?;
    handshake(&*target, ASK_LIMIT)?;
    println!("{}\n", target.version());
    if let Some(why) = target.absent() {
        println!("It cannot be tested here: {why}.\n");
    }
    let all = catalog::all();
    if let Some(known) = all.iter().find(|known| known.name == name) {
        let listed = known.listed().map_err(wrong)?;
        println!("Settings (--set NAME=VALUE):");
        for one in listed.settings {
            println!("  {:<18} {} (default {})", one.name, one.about, one.default);
            println!("  {:<18}   {}", "", one.values);
        }
        if !listed.mutants.is_empty() {
            println!("\nMutants (--set defect=NAME):");
            for mutant in listed.mutants {
                println!("  {:<24} {}", mutant.name, mutant.about);
            }
        }
    }
    if let Some(script) = target.scripted() {
        println!("Commands and variables (--set changes a variable):");
        for (name, text) in script.described() {
            println!("  {name:<18} {text}");
        }
    }
    print_actions(&*target);
    println!("\nPromises with these settings:");
    for promise in target.promises() {
        let classes: Vec<&str> = promise.classes.iter().map(|class| class.label()).collect();
        println!(
            "  {} after {}\n      \"{}\"\n      {}",
            plugpull_reports::guarantee_words(promise.guarantee),
            classes.join(", "),
            promise.words,
            promise.source
        );
    }
    Ok(crate::KEPT)
}

/// Prints what can be done to a target besides transactions.
fn print_actions(target: &dyn Target) {
    if !target.actions().is_empty() {
        println!("\nActions (--fault NAME, and part of every run):");
    }
    for action in target.actions() {
        let when = match action.when {
            ActionTime::Up => "while it is up",
            ActionTime::Down => "while it is down",
        };
        println!("  {:<18} {} ({when})", action.name, action.about);
        if let Some(takes) = action.takes() {
            let (least, most) = (takes.least, takes.most);
            println!("  {:<18}   {}={least} to {most}, or any", "", takes.name);
        }
    }
}
