//! How targets write their promises down.

use plugpull_workloads::{FailureClass, Guarantee, Promise};

/// One promise of a target itself, with the words and the document it comes from.
pub(crate) fn promise(
    classes: &[FailureClass],
    guarantee: Guarantee,
    words: &str,
    source: &str,
) -> Promise {
    Promise {
        classes: classes.to_vec(),
        guarantee,
        words: words.to_owned(),
        source: source.to_owned(),
        demanded: false,
    }
}
