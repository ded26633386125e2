//! Which faults the words of `--fault` and `--skip` name.

use plugpull_driver::{Action, Target};
use plugpull_engine::run::every_fault;
use plugpull_engine::trial::ChosenFault;
use plugpull_faults::fault;
use plugpull_faults::trigger::{Trigger, When};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::wrong;

/// The fault that does actions: each action is one of its own, and can be named with this before it.
const ACT: &str = "act";

/// The faults that these words name, `NAME` or `NAME@TRIGGER`; all of them for no words. Each action
/// of the target is one.
///
/// # Errors
/// Wrong use: no fault of this name, or a trigger that it cannot take.
pub(crate) fn chosen_faults(
    given: &[String],
    target: &dyn Target,
) -> anyhow::Result<Vec<ChosenFault>> {
    if given.is_empty() {
        return Ok(every_fault(target));
    }
    let chosen = given.iter().map(|text| chosen_fault(text, target));
    Ok(chosen.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// Of these faults those that are not skipped.
///
/// # Errors
/// Wrong use: no fault of this name, or nothing is left.
pub(crate) fn without_skipped(
    mut faults: Vec<ChosenFault>,
    skipped: &[String],
    target: &dyn Target,
) -> anyhow::Result<Vec<ChosenFault>> {
    for name in skipped {
        let skipped = named(name, target)?;
        faults.retain(|fault| skipped.iter().all(|other| fault.name != other.name));
    }
    if faults.is_empty() {
        return Err(wrong("--skip leaves no fault to try"));
    }
    Ok(faults)
}

/// The fault or action of this name; `act` for all actions. A former name is accepted, and an action
/// that was a fault of every target once, where this one does not offer it.
fn named(name: &str, target: &dyn Target) -> anyhow::Result<Vec<ChosenFault>> {
    let all = every_fault(target);
    let bare = name.strip_prefix("act:").unwrap_or(name);
    let found = fault(name);
    let is_meant = |one: &&ChosenFault| match &one.action {
        Some(_) => name == ACT || one.name == name || one.name == bare,
        None => found.is_some_and(|found| one.name == found.name),
    };
    let meant: Vec<ChosenFault> = all.iter().filter(is_meant).cloned().collect();
    match (meant.is_empty(), found) {
        (false, _) => Ok(meant),
        (true, Some(found)) => Ok(vec![ChosenFault {
            name: name.to_owned(),
            ..found.into()
        }]),
        (true, None) => {
            let known: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            let known = known.join(", ");
            Err(wrong(format!(
                "there is no fault '{name}'; there are {known}"
            )))
        }
    }
}

fn chosen_fault(text: &str, target: &dyn Target) -> anyhow::Result<Vec<ChosenFault>> {
    let (name, trigger) = match text.split_once('@') {
        Some((name, trigger)) => (name, Some(trigger)),
        None => (text, None),
    };
    let mut found = named(name, target)?;
    for one in &mut found {
        one.trigger = trigger.map(|text| chosen_trigger(one, text)).transpose()?;
    }
    Ok(found)
}

/// A trigger as the user gave it. Where the text names no moment, the default one of a fixed seed
/// stands for it.
fn chosen_trigger(chosen: &ChosenFault, text: &str) -> anyhow::Result<Trigger> {
    let fault = chosen.fault;
    let default = (fault.default_trigger)(&mut ChaCha8Rng::seed_from_u64(0));
    let default = match default.when {
        When::Ack(_) if text.contains("recovery") => {
            Trigger::parse("n=1,recovery", &default).map_err(wrong)?
        }
        _ => default,
    };
    let trigger = Trigger::parse(text, &default).map_err(wrong)?;
    let cannot_take = match (&chosen.action, &trigger.amount) {
        (Some(action), Some(given)) => does_not_take(action, &given.name),
        _ => fault.cannot_take(&trigger),
    };
    match cannot_take {
        Some(why) => Err(wrong(format!("--fault {}@{text}: {why}", chosen.name))),
        None => Ok(trigger),
    }
}

/// Why an action takes no number of this name; none where it does. Each may be called `amount`.
fn does_not_take(action: &Action, given: &str) -> Option<String> {
    let name = &action.name;
    match action.takes() {
        Some(takes) if [&*takes.name, "amount"].contains(&given) => None,
        Some(takes) => Some(format!("{name} takes {}, and no {given}", takes.name)),
        None => Some(format!("the action {name} takes no {given}")),
    }
}

#[cfg(test)]
mod tests {
    use plugpull_driver::{ActionTime, Amount, Running, StartError};
    use plugpull_workloads::Promise;

    use super::*;

    /// A target whose driver offers these actions.
    struct Acts(Vec<Action>);

    impl Target for Acts {
        fn name(&self) -> &str {
            "acts"
        }

        fn version(&self) -> String {
            "1".into()
        }

        fn actions(&self) -> &[Action] {
            &self.0
        }

        fn promises(&self) -> Vec<Promise> {
            Vec::new()
        }

        fn start<'host>(
            &self,
            _host: &'host dyn plugpull_driver::Host,
            _deadline: std::time::Instant,
        ) -> Result<Box<dyn Running + 'host>, StartError> {
            Err(StartError::Refused("never".into()))
        }
    }

    fn acts() -> Acts {
        let action = |name: &str, amount: Option<&str>| Action {
            name: name.into(),
            when: ActionTime::Up,
            about: String::new(),
            amount: amount.map(|name| Amount {
                name: name.into(),
                least: 1,
                most: 8,
            }),
            depth: false,
        };
        Acts(vec![
            action("compact", None),
            action("kill", None),
            action("reorg", Some("depth")),
        ])
    }

    fn names(of: &[ChosenFault]) -> Vec<&str> {
        of.iter().map(|one| one.name.as_str()).collect()
    }

    fn chosen(word: &str, target: &Acts) -> anyhow::Result<Vec<ChosenFault>> {
        chosen_faults(&[word.to_owned()], target)
    }

    fn refusal(word: &str, target: &Acts) -> String {
        let refused = chosen(word, target).err();
        refused.map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn each_action_is_a_fault_by_its_own_name() {
        let target = acts();
        let all = chosen_faults(&[], &target).expect("all");
        assert!(names(&all).ends_with(&["oom", "compact", "act:kill", "reorg"]));
        for (word, meant) in [
            ("compact", &["compact"][..]),
            ("act:compact@ack=3", &["compact"]),
            ("kill", &["kill"]),
            ("act:kill", &["act:kill"]),
            ("act", &["compact", "act:kill", "reorg"]),
            ("reorg@depth=6", &["reorg"]),
            ("reorg@ack=2,amount=6", &["reorg"]),
            ("bad-sector-for-ever", &["bad-sector-permanent"]),
        ] {
            let chosen = chosen(word, &target).expect(word);
            assert_eq!(names(&chosen), meant, "{word}");
        }
        assert!(chosen("kill", &target).expect("known")[0].action.is_none());
        assert!(
            chosen("act:kill", &target).expect("known")[0]
                .action
                .is_some()
        );
        let fewer = without_skipped(all, &["reorg".into(), "act:kill".into()], &target);
        let fewer = fewer.expect("known");
        assert!(names(&fewer).ends_with(&["oom", "compact"]) && names(&fewer).contains(&"kill"));
    }

    #[test]
    fn what_an_action_does_not_take_is_refused() {
        let target = acts();
        for (word, says) in [
            ("compact@depth=3", "the action compact takes no depth"),
            ("reorg@pages=3", "reorg takes depth, and no pages"),
            ("kill@depth=3", "kill takes no depth"),
            ("act:compakt", "there is no fault 'act:compakt'"),
            ("compakt", "oom, compact, act:kill, reorg"),
        ] {
            let why = refusal(word, &target);
            assert!(why.contains(says), "{word}: {why}");
        }
    }

    #[test]
    fn an_action_that_was_a_fault_of_every_target_is_accepted() {
        let target = Acts(Vec::new());
        for word in ["reorg", "reorg@ack=3,depth=6", "act"] {
            let chosen = chosen(word, &target).expect(word);
            assert!(chosen.len() == 1 && chosen[0].action.is_none());
        }
    }

    #[test]
    fn what_is_skipped_is_left_out_and_must_be_known() {
        let all = chosen_faults(&[], &Acts(Vec::new())).expect("all");
        let fewer = without_skipped(
            all,
            &["oom".into(), "eio-sync-kept".into()],
            &Acts(Vec::new()),
        )
        .expect("known");
        assert!(!names(&fewer).contains(&"oom"));
        // By its former name too.
        assert!(!names(&fewer).contains(&"eio-sync-dirty"));
        assert_eq!(fewer.len(), plugpull_faults::FAULTS.len() - 3);
        let kill = || chosen_faults(&["kill@ack=3".into()], &Acts(Vec::new())).expect("known");
        let unknown = without_skipped(kill(), &["oomm".into()], &Acts(Vec::new())).err();
        assert!(unknown.is_some_and(|error| error.to_string().contains("'oomm'")));
        let nothing = without_skipped(kill(), &["kill".into()], &Acts(Vec::new())).err();
        assert!(nothing.is_some_and(|error| error.to_string().contains("--skip")));
    }
}
