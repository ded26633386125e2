//! Which faults a run tries: those that were asked for, that can be about the target, and that this
//! machine can inject.

use plugpull_driver::{Action, Target};
use plugpull_faults::FAULTS;
use plugpull_faults::fault::{Fault, Need};
use plugpull_faults::trigger::Trigger;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::trial::ChosenFault;

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

/// Every fault that a run can try, in order. Each action of the target is one; where its name is
/// another fault's, it is called `act:NAME`.
pub fn every_fault(target: &dyn Target) -> Vec<ChosenFault> {
    let action = |fault: &'static Fault, action: &Action| ChosenFault {
        name: match FAULTS.iter().any(|fault| fault.name == action.name) {
            true => format!("act:{}", action.name),
            false => action.name.clone(),
        },
        action: Some(action.clone()),
        ..fault.into()
    };
    let of_fault = |fault: &&'static Fault| match fault.needs.contains(&Need::Action) {
        true => target
            .actions()
            .iter()
            .map(|one| action(fault, one))
            .collect(),
        false => vec![(*fault).into()],
    };
    FAULTS.iter().flat_map(of_fault).collect()
}

/// Of these faults those that can be tried on the target of this name, and the others with why. What is
/// about something that the target has not got (snapshots) is left out without a word. Of what
/// was asked for `by_name` nothing is left out, and nothing is not applicable: it was to be measured.
pub fn selected(
    faults: Vec<ChosenFault>,
    (name, target): (&str, &dyn Target),
    machinery: Machinery,
    by_name: bool,
) -> Selected {
    let mut selected = Selected::default();
    for chosen in faults {
        if let Some(lacks) = target_lacks(&chosen, target) {
            if by_name {
                let why = format!("{name} {lacks}");
                selected.not_measured.push((chosen.name, why));
            }
            continue;
        }
        let cannot = never_comes(&chosen, target)
            .map(|why| (why.to_owned(), true))
            .or_else(|| machine_lacks(&chosen, machinery));
        match cannot {
            None => selected.tried.push(chosen),
            Some((why, true)) if !by_name => selected.not_applicable.push((chosen.name, why)),
            Some((why, _)) => selected.not_measured.push((chosen.name, why)),
        }
    }
    selected
}

/// What a target has not got that a fault is about.
fn target_lacks(chosen: &ChosenFault, target: &dyn Target) -> Option<&'static str> {
    chosen.fault.needs.iter().find_map(|need| match need {
        Need::Action if chosen.action.is_none() => Some("offers no such action"),
        Need::Snapshots if !target.keeps_snapshots() => {
            Some("keeps no snapshots in files of their own that plugpull knows of")
        }
        _ => None,
    })
}

/// Why this machine cannot inject a fault, and whether the run is as good without it. One without a
/// storage that plugpull rules is not: most of what is promised is about that.
fn machine_lacks(chosen: &ChosenFault, machinery: Machinery) -> Option<(String, bool)> {
    let mut needs = chosen.fault.needs.to_vec();
    if chosen.trigger.as_ref().is_some_and(Trigger::at_operation) {
        needs.push(Need::CrashFs);
    }
    let lacking = |need: &Need| {
        let what = need.label();
        format!("needs {what}, which this machine does not give; see `plugpull doctor`")
    };
    needs.iter().find_map(|need| match need {
        Need::CrashFs if machinery.without_fuse => {
            Some(("needs FUSE, which --no-fuse does without".into(), false))
        }
        Need::CrashFs if !machinery.fuse => Some((lacking(need), false)),
        Need::LimitedStorage if !machinery.fuse && !machinery.own_mounts => {
            Some((lacking(need), false))
        }
        Need::MemoryCgroup if !machinery.memory_limit => Some((lacking(need), true)),
        _ => None,
    })
}

/// Why a fault has no moment where starting the target runs nothing: it is one of a recovery.
fn never_comes(chosen: &ChosenFault, target: &dyn Target) -> Option<&'static str> {
    if target.scripted().is_none_or(|script| script.recovers()) {
        return None;
    }
    let fault = chosen.fault;
    let default = || (fault.default_trigger)(&mut ChaCha8Rng::seed_from_u64(0));
    if chosen.trigger.clone().unwrap_or_else(default).recovery {
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
        of.iter().map(|one| one.name.as_str()).collect()
    }

    /// A target that nothing is known of.
    fn plain() -> plugpull_driver::DriverTarget {
        let settings = BTreeMap::from([("cmd".to_owned(), "sh".to_owned())]);
        plugpull_driver::DriverTarget::user(&settings).expect("a shell")
    }

    #[test]
    fn what_the_machine_does_not_give_is_said_for_each_fault_that_needs_it() {
        let target = plain();
        let all = every_fault(&plain());
        let whole = selected(all.clone(), ("sqlite", &target), ALL, false);
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
        let all = every_fault(&plain());
        let run = selected(all, ("sqlite", &target), machinery, false);
        assert!(run.not_measured.is_empty(), "{:?}", run.not_measured);
        assert_eq!(run.not_applicable[0].0, "oom");
        let oom = vec![plugpull_faults::fault("oom").expect("known").into()];
        let run = selected(oom, ("sqlite", &target), machinery, true);
        assert!(run.tried.is_empty() && run.not_applicable.is_empty());
        assert_eq!(run.not_measured[0].0, "oom");
    }

    #[test]
    fn a_fault_that_was_named_and_cannot_be_about_the_target_is_not_passed_over() {
        let target = plain();
        let reorg = ChosenFault::from(plugpull_faults::fault("reorg").expect("known"));
        let run = selected(vec![reorg], ("sqlite", &target), ALL, true);
        assert!(run.tried.is_empty());
        assert!(run.not_measured[0].1.contains("no such action"));
    }
}
