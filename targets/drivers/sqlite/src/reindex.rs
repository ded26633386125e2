//! The action `reindex`: every index is made again from its table.
// tidy: small because an action is a file of its own

use plugpull_driver::ActionTime;
use plugpull_driver::sdk::OfferedAction;
use rusqlite::Connection;

use super::session::failed;

/// "Delete and recreate indices from scratch": <https://www.sqlite.org/lang_reindex.html>.
pub(crate) const REINDEX: OfferedAction<Connection> = OfferedAction {
    name: "reindex",
    when: ActionTime::Up,
    about: "REINDEX: every index is made again from its table",
    amount: None,
    act: |db, _| {
        db.execute_batch("REINDEX")
            .map_err(|e| failed("REINDEX", &e))
    },
};
