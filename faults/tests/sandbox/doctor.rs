//! The doctor, against the machine that the tests run on.

use crate::support::Test;

pub(crate) fn tests() -> Vec<(&'static str, Test)> {
    Vec::new()
}
