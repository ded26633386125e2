//! The action `vacuum`: the database is written again, without what is free in it.
// tidy: small because an action is a file of its own

use plugpull_driver::ActionTime;
use plugpull_driver::sdk::OfferedAction;
use rusqlite::Connection;

use super::session::failed;

/// "The VACUUM command rebuilds the database file, repacking it into a minimal amount of disk space",
/// in one transaction: <https://www.sqlite.org/lang_vacuum.html>.
pub(crate) const VACUUM: OfferedAction<Connection> = OfferedAction {
    name: "vacuum",
    when: ActionTime::Up,
    about: "VACUUM: the database is written again, without what is free in it",
    amount: None,
    act: |db, _| db.execute_batch("VACUUM").map_err(|e| failed("VACUUM", &e)),
};
