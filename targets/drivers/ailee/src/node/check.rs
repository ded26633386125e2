//! The check: what the node says now against what it said before.
//!
//! It lets nobody read a transaction back. So transactions are counted: where fewer are in blocks
//! than were acknowledged, the last ones are taken for the missing ones, which is the reading that
//! accuses least.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::api::{Api, AskError, Health, L2State};
use super::id::{self, AnchorId, Item};
use plugpull_driver::protocol::OpaqueCheck;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long the chain is waited for to take in what may still be in the mempool.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
/// By so many blocks it has.
const SETTLED: u64 = 2;
/// How often the chain is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Asks the node for everything, and compares it with what was acknowledged.
pub(super) fn check<C: Fn() -> io::Result<TcpStream>>(
    api: &Api<C>,
    acked: &[String],
) -> OpaqueCheck {
    let began = Instant::now();
    match answers(api, acked) {
        Ok((seen, output)) => match seen {
            Ok(missing) => OpaqueCheck { output, ..missing },
            Err(ill) => OpaqueCheck {
                refused: Some(ill),
                output,
                ..OpaqueCheck::default()
            },
        },
        Err(error) => {
            let output = error.to_string();
            let mut found = OpaqueCheck {
                output: output.clone(),
                ..OpaqueCheck::default()
            };
            match error {
                AskError::Nonsense { .. } => found.corrupt.push(output),
                AskError::Unconnected { .. } => found.refused = Some(output),
                AskError::Gone { .. } => {
                    let ms = u64::try_from(began.elapsed().as_millis());
                    found.silent_ms = Some(ms.unwrap_or(u64::MAX));
                }
            }
            found
        }
    }
}

/// What is missing, or why it says itself that it is ill; and all that it said, for people.
type Seen = (Result<OpaqueCheck, String>, String);

fn answers<C: Fn() -> io::Result<TcpStream>>(
    api: &Api<C>,
    acked: &[String],
) -> Result<Seen, AskError> {
    let soon = || Instant::now() + ANSWER_LIMIT;
    if let Health::Ill(why) = api.health(soon())? {
        return Ok((Err(why.clone()), why));
    }
    let transactions = acked.iter().filter(|id| id::read(id) == Item::Transaction);
    let state = settled(api, transactions.count() as u64)?;
    let hash = api.anchor_hash(soon())?;
    let running = api.running(soon())?;
    let output = format!(
        "healthy; block_height {}, total_transactions {}, last_anchor_height {}, last_anchor_hash \
         {}, running {running}",
        state.block_height,
        state.total_transactions,
        state.last_anchor_height,
        hash.as_deref().unwrap_or("none"),
    );
    let mut missing = compare(&state, hash.as_deref(), acked);
    if !running {
        let what = "/api/status says that it does not run, and /api/health that it is healthy";
        missing.corrupt.push(what.into());
    }
    Ok((Ok(missing), output))
}

/// The chain, once it holds so many transactions or has had the blocks to take them in.
fn settled<C: Fn() -> io::Result<TcpStream>>(
    api: &Api<C>,
    transactions: u64,
) -> Result<L2State, AskError> {
    let began = Instant::now();
    let mut first = None;
    loop {
        let state = api.state(Instant::now() + ANSWER_LIMIT)?;
        let first = *first.get_or_insert(state.block_height);
        if state.total_transactions >= transactions
            || state.block_height >= first + SETTLED
            || began.elapsed() >= SETTLE_LIMIT
        {
            return Ok(state);
        }
        sleep(LOOK_EVERY);
    }
}

/// What of this the node, which calls itself healthy, does not have.
fn compare(state: &L2State, hash: Option<&str>, acked: &[String]) -> OpaqueCheck {
    let now = format!(
        "after the restart it calls itself healthy and says block_height {}, total_transactions {}, \
         last_anchor_height {}",
        state.block_height, state.total_transactions, state.last_anchor_height
    );
    let mut lost = BTreeMap::new();
    let mut corrupt = Vec::new();
    let mut transactions = Vec::new();
    for id in acked {
        match id::read(id) {
            Item::Transaction => transactions.push(id),
            Item::Anchor(anchor) => {
                if state.last_anchor_height < anchor.height || state.block_height < anchor.height {
                    lost.insert(id.clone(), now.clone());
                } else if let Some(other) = replaced(&anchor, state, hash) {
                    corrupt.push(other);
                }
            }
        }
    }
    let counted = usize::try_from(state.total_transactions).unwrap_or(usize::MAX);
    for id in transactions.iter().skip(counted) {
        lost.insert((*id).clone(), now.clone());
    }
    if state.last_anchor_height > state.block_height {
        corrupt.push(format!(
            "it has an anchor of block {} and only {} blocks",
            state.last_anchor_height, state.block_height
        ));
    }
    OpaqueCheck {
        lost,
        corrupt,
        ..OpaqueCheck::default()
    }
}

/// How the last anchor, still of the same block, is another one; none where it is not.
fn replaced(anchor: &AnchorId, state: &L2State, hash: Option<&str>) -> Option<String> {
    let said = anchor.hash.as_deref()?;
    let same = state.last_anchor_height != anchor.height || hash == Some(said);
    (!same).then(|| {
        format!(
            "the anchor of block {} had the hash {said} and has {} now",
            anchor.height,
            hash.unwrap_or("none")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(block_height: u64, total_transactions: u64, last_anchor_height: u64) -> L2State {
        L2State {
            block_height,
            total_transactions,
            last_anchor_height,
        }
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn what_it_says_as_before_or_more_is_all_there() {
        let acked = ids(&["t1", "t2", "anchor-100-ab", "t3"]);
        for (now, hash) in [(state(104, 3, 100), "ab"), (state(207, 9, 200), "cd")] {
            assert_eq!(compare(&now, Some(hash), &acked), OpaqueCheck::default());
        }
    }

    #[test]
    fn the_last_transactions_are_those_that_are_missing() {
        let acked = ids(&["t1", "t2", "anchor-100", "t3"]);
        let missing = compare(&state(101, 2, 100), None, &acked);
        assert_eq!(missing.lost.keys().collect::<Vec<_>>(), ["t3"]);
        assert!(missing.lost["t3"].contains("total_transactions 2"));
        let all = compare(&state(3, 0, 0), None, &acked);
        assert_eq!(all.lost.len(), 4);
        assert!(all.corrupt.is_empty());
    }

    #[test]
    fn a_chain_below_its_anchor_or_with_another_one_is_wrong() {
        let acked = ids(&["anchor-100-ab"]);
        let below = compare(&state(40, 0, 100), Some("ab"), &acked);
        assert_eq!(below.lost.len(), 1);
        assert_eq!(below.corrupt.len(), 1, "{:?}", below.corrupt);
        for other in [Some("cd"), None] {
            let missing = compare(&state(140, 0, 100), other, &acked);
            assert!(missing.lost.is_empty());
            assert!(missing.corrupt[0].contains("had the hash ab"));
        }
    }
}
