//! Where a key of the workload lives in the state store.

/// The namespace of everything that plugpull writes.
pub(super) const NAMESPACE: &str = "plugpull";
/// The agent of the keys that all clients write.
pub(super) const SHARED: &str = "shared";
/// The most clients that a workload has.
pub(super) const MOST_CLIENTS: u32 = 64;

/// The agent of a key: each client's own for its keys ("c3" for "c3.k17"), one for all keys that
/// are shared ("k17"). The key itself is kept whole: the store's own separator is ':'.
pub(super) fn agent(key: &str) -> &str {
    match key.split_once('.') {
        Some((client, _)) => client,
        None => SHARED,
    }
}

/// The agents of `clients` clients, and the shared one.
pub(super) fn agents(clients: u32) -> impl Iterator<Item = String> {
    let own = (0..clients.min(MOST_CLIENTS)).map(|client| format!("c{client}"));
    own.chain(std::iter::once(SHARED.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_an_agent_that_is_read_back() {
        assert_eq!(agent("c3.k17"), "c3");
        assert_eq!(agent("c0.head"), "c0");
        assert_eq!(agent("k17"), "shared");
        assert_eq!(agents(2).collect::<Vec<_>>(), ["c0", "c1", "shared"]);
    }
}
