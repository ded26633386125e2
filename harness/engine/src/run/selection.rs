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

/// The faults of a run.
#[derive(Default)]
pub struct Selected {
    /// Those that are tried.
    pub tried: Vec<ChosenFault>,
    /// Those that should be and cannot: the run is no pass without them.
    pub not_measured: Vec<NotTried>,
    /// Those that cannot happen to this target, or not on this machine.
    pub not_applicable: Vec<NotTried>,
}

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

/// Of these faults those that are not skipped.
///
/// # Errors
/// Wrong use: no fault of this name, or nothing is left.
pub fn without_skipped(
    mut faults: Vec<ChosenFault>,
    skipped: &[String],
) -> anyhow::Result<Vec<ChosenFault>> {
    for name in skipped {
        let skipped = named(name)?;
        faults.retain(|(fault, _)| fault.name != skipped.name);
    }
    if faults.is_empty() {
        return Err(wrong("--skip leaves no fault to try"));
    }
    Ok(faults)
}

/// The fault of this name.
fn named(name: &str) -> anyhow::Result<&'static Fault> {
    fault(name).ok_or_else(|| {
        let known: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        wrong(format!(
            "there is no fault '{name}'; there are {}",
            known.join(", ")
        ))
    })
}

fn chosen_fault(text: &str) -> anyhow::Result<ChosenFault> {
    let (name, trigger) = match text.split_once('@') {
        Some((name, trigger)) => (name, Some(trigger)),
        None => (text, None),
    };
    let found = named(name)?;
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

/// Of these faults those that can be tried on the target of this name, and the others with why. What is
/// about something that the target has not got (a chain, snapshots) is left out without a word. Of what
/// was asked for `by_name` nothing is left out, and nothing is not applicable: it was to be measured.
pub fn selected(
    faults: Vec<ChosenFault>,
    (name, target): (&str, &dyn Target),
    machinery: Machinery,
    by_name: bool,
) -> Selected {
    let mut selected = Selected::default();
    for (fault, trigger) in faults {
        let of_fault = fault.name.to_string();
        if let Some(lacks) = target_lacks(fault, target) {
            if by_name {
                let why = format!("{name} {lacks}");
                selected.not_measured.push((of_fault, why));
            }
            continue;
        }
        let cannot = never_comes(fault, trigger.as_ref(), target)
            .map(|why| (why.to_owned(), true))
            .or_else(|| machine_lacks(fault, trigger.as_ref(), machinery));
        match cannot {
            None => selected.tried.push((fault, trigger)),
            Some((why, true)) if !by_name => selected.not_applicable.push((of_fault, why)),
            Some((why, _)) => selected.not_measured.push((of_fault, why)),
        }
    }
    selected
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

/// Why this machine cannot inject a fault, and whether the run is as good without it. One without a
/// storage that plugpull rules is not: most of what is promised is about that.
fn machine_lacks(
    fault: &Fault,
    trigger: Option<&Trigger>,
    machinery: Machinery,
) -> Option<(String, bool)> {
    let mut needs = fault.needs.to_vec();
    if trigger.is_some_and(Trigger::at_operation) {
        needs.push(Need::CrashFs);
    }
    let lacking = |what: &str| {
        format!("needs {what}, which this machine does not give; see `plugpull doctor`")
    };
    needs.iter().find_map(|need| match need {
        Need::CrashFs if machinery.without_fuse => {
            Some(("needs FUSE, which --no-fuse does without".into(), false))
        }
        Need::CrashFs if !machinery.fuse => Some((lacking("FUSE"), false)),
        Need::LimitedStorage if !machinery.fuse && !machinery.own_mounts => {
            Some((lacking("FUSE or mounts of its own"), false))
        }
        Need::MemoryCgroup if !machinery.memory_limit => {
            Some((lacking("a cgroup with a memory limit"), true))
        }
        _ => None,
    })
}

/// Why a fault has no moment where starting the target runs nothing: it is one of a recovery.
fn never_comes(
    fault: &Fault,
    trigger: Option<&Trigger>,
    target: &dyn Target,
) -> Option<&'static str> {
    if target.scripted().is_none_or(|script| script.recovers()) {
        return None;
    }
    let default = || (fault.default_trigger)(&mut ChaCha8Rng::seed_from_u64(0));
    if trigger.cloned().unwrap_or_else(default).recovery {
        return Some("its moment is during recovery, and starting this target runs nothing");
    }
    fault
        .needs
        .contains(&Need::Start)
        .then_some("it happens while the target starts, and starting this one runs nothing")
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
        let whole = selected(all.clone(), ("sqlite", &target), ALL, false);
        // It follows no chain, which nobody asked about.
        assert!(whole.not_measured.is_empty() && whole.not_applicable.is_empty());
        assert!(names(&whole.tried).contains(&"power-loss"));
        let none = Machinery { fuse: false, ..ALL };
        let less = selected(all, ("sqlite", &target), none, false);
        assert!(!names(&less.tried).contains(&"power-loss"));
        assert!(names(&less.tried).contains(&"kill"));
        let others = &less.not_measured;
        let why = others.iter().find(|(name, _)| name == "power-loss");
        assert!(
            why.is_some_and(|(_, why)| why.contains("FUSE")),
            "{others:?}"
        );
    }

    #[test]
    fn without_a_cgroup_oom_is_not_applicable_unless_it_was_asked_for() {
        let target = plain();
        let machinery = Machinery {
            memory_limit: false,
            ..ALL
        };
        let all = chosen_faults(&[]).expect("all");
        let run = selected(all, ("sqlite", &target), machinery, false);
        assert!(run.not_measured.is_empty(), "{:?}", run.not_measured);
        assert_eq!(run.not_applicable[0].0, "oom");
        let oom = chosen_faults(&["oom".into()]).expect("known");
        let run = selected(oom, ("sqlite", &target), machinery, true);
        assert!(run.tried.is_empty() && run.not_applicable.is_empty());
        assert_eq!(run.not_measured[0].0, "oom");
    }

    #[test]
    fn what_is_skipped_is_left_out_and_must_be_known() {
        let all = chosen_faults(&[]).expect("all");
        let fewer = without_skipped(all, &["oom".into(), "eio-sync-kept".into()]).expect("known");
        assert!(!names(&fewer).contains(&"oom"));
        // By its former name too.
        assert!(!names(&fewer).contains(&"eio-sync-dirty"));
        assert_eq!(fewer.len(), FAULTS.len() - 2);
        let kill = || chosen_faults(&["kill@ack=3".into()]).expect("known");
        let unknown = without_skipped(kill(), &["oomm".into()]).err();
        assert!(unknown.is_some_and(|error| error.to_string().contains("'oomm'")));
        let nothing = without_skipped(kill(), &["kill".into()]).err();
        assert!(nothing.is_some_and(|error| error.to_string().contains("--skip")));
    }

    #[test]
    fn a_fault_that_was_named_and_cannot_be_about_the_target_is_not_passed_over() {
        let target = plain();
        let reorg = chosen_faults(&["reorg".into()]).expect("known");
        let run = selected(reorg, ("sqlite", &target), ALL, true);
        assert!(run.tried.is_empty());
        assert!(run.not_measured[0].1.contains("no chain"));
        let unknown = chosen_faults(&["no-such".into()]);
        assert!(unknown.is_err_and(|error| error.to_string().contains("kill")));
    }
}
