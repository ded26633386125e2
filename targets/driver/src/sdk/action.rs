//! The actions that a driver offers: each is declared in a file of its own, and is one line of the
//! driver's list. From that list follow the description, and what is done when plugpull asks.

use super::StoreError;
use crate::{Action, ActionTime, Amount};

/// An action, as the driver that offers it has it. `On` is what it works on: the open store or a
/// connection to it while the target is up, [`Place`](super::Place) while it is down.
pub struct OfferedAction<On> {
    /// Its name.
    pub name: &'static str,
    /// Whether the target is up or down then.
    pub when: ActionTime,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// The number that it takes: its name, and the least and the most that the seed chooses.
    pub amount: Option<(&'static str, u32, u32)>,
    /// Does it, with that number, or 0 where it takes none. What was acknowledged before is required
    /// all the same.
    pub act: fn(&On, u32) -> Result<(), StoreError>,
}

/// These actions, for [`Description::actions`](crate::Description::actions).
pub fn described<On>(actions: &[OfferedAction<On>]) -> Vec<Action> {
    let described = |action: &OfferedAction<On>| Action {
        name: action.name.into(),
        when: action.when,
        about: action.about.into(),
        amount: action.amount.map(|(name, least, most)| Amount {
            name: name.into(),
            least,
            most,
        }),
        depth: false,
    };
    actions.iter().map(described).collect()
}

/// Does the action of this name; where it takes a number and none is given, with the least.
///
/// # Errors
/// There is none of this name, or why it was not done.
pub fn act<On>(
    actions: &[OfferedAction<On>],
    on: &On,
    name: &str,
    amount: Option<u32>,
) -> Result<(), StoreError> {
    let found = actions.iter().find(|action| action.name == name);
    let found = found.ok_or_else(|| StoreError::Fail(format!("there is no action {name}")))?;
    let least = found.amount.map_or(0, |(_, least, _)| least);
    (found.act)(on, amount.unwrap_or(least))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const ACTIONS: &[OfferedAction<Cell<u32>>] = &[OfferedAction {
        name: "set",
        when: ActionTime::Up,
        about: "sets it",
        amount: Some(("to", 3, 5)),
        act: |on, to| {
            on.set(to);
            Ok(())
        },
    }];

    #[test]
    fn an_action_is_described_and_done_by_its_name() {
        let on = Cell::new(0);
        act(ACTIONS, &on, "set", None).expect("done");
        assert_eq!(on.get(), 3);
        act(ACTIONS, &on, "set", Some(9)).expect("done");
        assert_eq!(on.get(), 9);
        assert!(act(ACTIONS, &on, "unset", None).is_err());
        let amount = described(ACTIONS)[0].takes().expect("an amount");
        assert_eq!(
            (amount.name.as_str(), amount.least, amount.most),
            ("to", 3, 5)
        );
    }
}
