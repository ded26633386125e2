//! Which faults a run tries: those that were asked for, that can be about the target, and that this
//! machine can inject.

use plugpull_driver::{Reorgs, Target};
use plugpull_faults::fault::{Fault, Need};
use plugpull_faults::trigger::{Trigger, When};
use plugpull_faults::{FAULTS, fault};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::wrong;

/// A fault, and its moment where the user named one.
pub type ChosenFault = (&'static Fault, Option<Trigger>);

/// The name of a fault that is not tried, and why.
pub type NotTried = (String, String);

/// What this machine gives a run.
#[derive(Clone, Copy, Debug)]
pub struct Machinery {
    /// The crash filesystem can be mounted.
    pub fuse: bool,
    /// The user does without it.
    pub without_fuse: bool,
    /// The sandbox has mounts of its own.
    pub own_mounts: bool,
    /// The sandbox has a memory limit.
    pub memory_limit: bool,
}

/// The faults that these words name, `NAME` or `NAME@TRIGGER`; all of them for no words.
///
/// # Errors
/// Wrong use: no fault of this name, or a trigger that it cannot take.
pub fn chosen_faults(given: &[String]) -> anyhow::Result<Vec<ChosenFault>> {
    if given.is_empty() {
        return Ok(FAULTS.iter().map(|fault| (*fault, None)).collect());
    }
    given.iter().map(|text| chosen_fault(text)).collect()
}

fn chosen_fault(text: &str) -> anyhow::Result<ChosenFault> {
    let (name, trigger) = match text.split_once('@') {
        Some((name, trigger)) => (name, Some(trigger)),
        None => (text, None),
    };
    let found = fault(name).ok_or_else(|| {
        let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        wrong(format!(
            "there is no fault '{name}'; there are {}",
            known.join(", ")
        ))
    })?;
    let trigger = trigger
        .map(|text| chosen_trigger(found, text))
        .transpose()?;
    Ok((found, trigger))
}

/// A trigger as the user gave it. Where the text names no moment, the default one of a fixed seed
/// stands for it.
fn chosen_trigger(fault: &Fault, text: &str) -> anyhow::Result<Trigger> {
    let default = (fault.default_trigger)(&mut ChaCha8Rng::seed_from_u64(0));
    let default = match default.when {
        When::Ack(_) if text.contains("recovery") => {
            Trigger::parse("n=1,recovery", &default).map_err(wrong)?
        }
        _ => default,
    };
    let trigger = Trigger::parse(text, &default).map_err(wrong)?;
    match fault.cannot_take(&trigger) {
        Some(why) => Err(wrong(format!("--fault {}@{text}: {why}", fault.name))),
        None => Ok(trigger),
    }
}

/// Of these faults those that can be tried on the target of this name, and the others with why. What cannot be about the target is
/// left out without a word, unless it was asked for `by_name`.
pub fn selected(
    faults: Vec<ChosenFault>,
    (name, target): (&str, &dyn Target),
    machinery: Machinery,
    by_name: bool,
) -> (Vec<ChosenFault>, Vec<NotTried>) {
    let mut kept = Vec::new();
    let (mut of_machine, mut of_target, mut of_recovery) = (Vec::new(), Vec::new(), Vec::new());
    for (fault, trigger) in faults {
        let of_fault = fault.name.to_string();
        if let Some(lacks) = target_lacks(fault, target) {
            of_target.push((of_fault, format!("{name} {lacks}")));
        } else if let Some(why) = machine_lacks(fault, trigger.as_ref(), machinery) {
            of_machine.push((of_fault, why));
        } else if never_comes(fault, trigger.as_ref(), target) {
            let why = "its moment is during recovery, and starting this target runs nothing";
            of_recovery.push((of_fault, why.into()));
        } else {
            kept.push((fault, trigger));
        }
    }
    let mut others = of_machine;
    others.extend(of_target.into_iter().filter(|_| by_name));
    others.extend(of_recovery);
    (kept, others)
}

/// What a target has not got that a fault is about.
fn target_lacks(fault: &Fault, target: &dyn Target) -> Option<&'static str> {
    fault.needs.iter().find_map(|need| match need {
        Need::Chain if target.reorgs() == Reorgs::Never => {
            Some("follows no chain that could be reorganised")
        }
        Need::Snapshots if !target.keeps_snapshots() => {
            Some("keeps no snapshots in files of their own that plugpull knows of")
        }
        _ => None,
    })
}

/// Why this machine cannot inject a fault.
fn machine_lacks(fault: &Fault, trigger: Option<&Trigger>, machinery: Machinery) -> Option<String> {
    let mut needs = fault.needs.to_vec();
    if trigger.is_some_and(Trigger::at_operation) {
        needs.push(Need::CrashFs);
    }
    let lacking = |what: &str| {
        format!("needs {what}, which this machine does not give; see `plugpull doctor`")
    };
    needs.iter().find_map(|need| match need {
        Need::CrashFs if machinery.without_fuse => {
            Some("needs FUSE, which --no-fuse does without".into())
        }
        Need::CrashFs if !machinery.fuse => Some(lacking("FUSE")),
        Need::LimitedStorage if !machinery.fuse && !machinery.own_mounts => {
            Some(lacking("FUSE or mounts of its own"))
        }
        Need::MemoryCgroup if !machinery.memory_limit => {
            Some(lacking("a cgroup with a memory limit"))
        }
        _ => None,
    })
}

/// True when the moment is one of a recovery, and starting the target runs nothing.
fn never_comes(fault: &Fault, trigger: Option<&Trigger>, target: &dyn Target) -> bool {
    let recovers = target.scripted().is_none_or(|script| script.recovers());
    let default = || (fault.default_trigger)(&mut ChaCha8Rng::seed_from_u64(0));
    !recovers && trigger.cloned().unwrap_or_else(default).recovery
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ALL: Machinery = Machinery {
        fuse: true,
        without_fuse: false,
        own_mounts: true,
        memory_limit: true,
    };

    fn names(of: &[ChosenFault]) -> Vec<&str> {
        of.iter().map(|(fault, _)| fault.name).collect()
    }

    /// A target that nothing is known of.
    fn plain() -> plugpull_driver::DriverTarget {
        let settings = BTreeMap::from([("cmd".to_owned(), "sh".to_owned())]);
        plugpull_driver::DriverTarget::user(&settings).expect("a shell")
    }

    #[test]
    fn what_the_machine_does_not_give_is_said_for_each_fault_that_needs_it() {
        let target = plain();
        let all = chosen_faults(&[]).expect("all");
        let (kept, others) = selected(all.clone(), ("sqlite", &target), ALL, false);
        // It follows no chain, which nobody asked about.
        assert!(others.is_empty(), "{others:?}");
        assert!(names(&kept).contains(&"power-loss"));
        let none = Machinery { fuse: false, ..ALL };
        let (kept, others) = selected(all, ("sqlite", &target), none, false);
        assert!(!names(&kept).contains(&"power-loss"));
        assert!(names(&kept).contains(&"kill"));
        let why = others.iter().find(|(name, _)| name == "power-loss");
        assert!(
            why.is_some_and(|(_, why)| why.contains("FUSE")),
            "{others:?}"
        );
    }

    #[test]
    fn a_fault_that_was_named_and_cannot_be_about_the_target_is_not_passed_over() {
        let target = plain();
        let reorg = chosen_faults(&["reorg".into()]).expect("known");
        let (kept, others) = selected(reorg, ("sqlite", &target), ALL, true);
        assert!(kept.is_empty());
        assert!(others[0].1.contains("no chain"), "{others:?}");
        let unknown = chosen_faults(&["no-such".into()]);
        assert!(unknown.is_err_and(|error| error.to_string().contains("kill")));
    }
}
