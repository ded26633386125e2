//! Where a key of the workload lives in the state store.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// The namespace of everything that plugpull writes.
pub(super) const NAMESPACE: &str = "plugpull";
/// The agent of the keys that all clients write.
pub(super) const SHARED: &str = "shared";
/// The most clients that a workload has.
pub(super) const MOST_CLIENTS: u32 = 64;
/// So many clients are looked for at once in what earlier lives of the daemon left.
pub(super) const LOOK: u32 = 8;

/// The agent of a key: each client's own for its keys ("c3" for "c3.k17"), one for all keys that
/// are shared ("k17"). The key itself is kept whole: the store's own separator is ':'.
pub(super) fn agent(key: &str) -> &str {
    match key.split_once('.') {
        Some((client, _)) => client,
        None => SHARED,
    }
}

/// The agent of a client.
pub(super) fn of_client(client: u32) -> String {
    format!("c{client}")
}

/// How many clients wrote to the store, as far as this driver knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// In this life of the daemon.
    now: AtomicU32,
    /// In its earlier lives; not known before it was looked for.
    earlier: OnceLock<u32>,
}

impl Clients {
    /// A client is going to write.
    pub(super) fn writes(&self, client: u32) {
        self.0.now.fetch_max(client + 1, Ordering::Relaxed);
    }

    /// The agents of all clients, and the shared one. `any` says whether the store has anything of
    /// the clients in a range; it is asked for the ranges of [`LOOK`] clients until one has nothing,
    /// once.
    pub(super) fn agents<E>(
        &self,
        mut any: impl FnMut(std::ops::Range<u32>) -> Result<bool, E>,
    ) -> Result<Vec<String>, E> {
        let earlier = match self.0.earlier.get() {
            Some(earlier) => *earlier,
            None => {
                let mut earlier = 0;
                while earlier < MOST_CLIENTS && any(earlier..earlier + LOOK)? {
                    earlier += LOOK;
                }
                *self.0.earlier.get_or_init(|| earlier)
            }
        };
        let all = earlier.max(self.0.now.load(Ordering::Relaxed));
        let own = (0..all.min(MOST_CLIENTS)).map(of_client);
        Ok(own.chain(std::iter::once(SHARED.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(clients: &Clients, written: u32) -> Vec<String> {
        let any = |range: std::ops::Range<u32>| Ok::<_, ()>(range.start < written);
        clients.agents(any).expect("agents")
    }

    #[test]
    fn every_key_has_an_agent_that_is_read_back() {
        assert_eq!(agent("c3.k17"), "c3");
        assert_eq!(agent("c0.head"), "c0");
        assert_eq!(agent("k17"), "shared");
        let clients = Clients::default();
        clients.writes(1);
        assert_eq!(agents(&clients, 0), ["c0", "c1", "shared"]);
    }

    #[test]
    fn what_earlier_lives_wrote_is_read_back_too() {
        for (written, read) in [(0, 0), (1, 8), (8, 8), (9, 16), (64, 64)] {
            let clients = Clients::default();
            assert_eq!(agents(&clients, written).len(), read + 1, "{written}");
            clients.writes(0);
            let again = agents(&clients, 0).len();
            assert_eq!(again, read.max(1) + 1, "asked once");
        }
    }
}
