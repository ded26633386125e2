//! The action `compact`: a new snapshot takes the place of the log, before it would be its turn.
// tidy: small because an action is a file of its own

use plugpull_driver::ActionTime;
use plugpull_driver::sdk::OfferedAction;

use super::store::ReferenceStore;

/// As people compact a store by hand.
pub(crate) const COMPACT: OfferedAction<ReferenceStore> = OfferedAction {
    name: "compact",
    when: ActionTime::Up,
    about: "a new snapshot takes the place of the log",
    amount: None,
    act: |store, _| store.compact(),
};
