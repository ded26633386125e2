//! Keys under a prefix of plugpull's own: nothing else of the service is written, read for a verdict
//! or removed.

use std::collections::BTreeMap;
use std::time::Instant;

use plugpull_driver::{Client, ClientError};
use plugpull_workloads::{Op, Txn, Write};

/// A client whose keys all stand under a prefix.
pub(super) struct Prefixed {
    client: Box<dyn Client>,
    prefix: String,
}

impl Prefixed {
    /// `client`, whose keys shall begin with `prefix`.
    pub(super) fn new(client: Box<dyn Client>, prefix: &str) -> Self {
        Self {
            client,
            prefix: prefix.to_owned(),
        }
    }
}

impl Client for Prefixed {
    fn apply(&mut self, txn: &Txn, deadline: Instant) -> Result<(), ClientError> {
        let mut txn = txn.clone();
        for op in &mut txn.ops {
            op.key.insert_str(0, &self.prefix);
        }
        self.client.apply(&txn, deadline)
    }

    fn barrier(&mut self, deadline: Instant) -> Result<(), ClientError> {
        self.client.barrier(deadline)
    }

    fn get(&mut self, key: &str, deadline: Instant) -> Result<Option<String>, ClientError> {
        self.client.get(&format!("{}{key}", self.prefix), deadline)
    }

    fn read_all(&mut self, deadline: Instant) -> Result<BTreeMap<String, String>, ClientError> {
        let all = self.client.read_all(deadline)?;
        let own = all.into_iter().filter_map(|(key, value)| {
            let key = key.strip_prefix(&self.prefix)?.to_owned();
            Some((key, value))
        });
        Ok(own.collect())
    }

    fn check(&mut self, deadline: Instant) -> Result<Option<String>, ClientError> {
        self.client.check(deadline)
    }

    fn act(
        &mut self,
        action: &str,
        depth: Option<u32>,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        self.client.act(action, depth, deadline)
    }
}

/// How many keys are removed at once.
const AT_ONCE: usize = 50;

/// Removes every key that the client sees, and returns how many there were.
pub(super) fn remove_all(client: &mut Prefixed, deadline: Instant) -> Result<usize, ClientError> {
    let keys: Vec<String> = client.read_all(deadline)?.into_keys().collect();
    for (number, some) in (0..).zip(keys.chunks(AT_ONCE)) {
        let ops = some.iter().map(|key| Op {
            key: key.clone(),
            write: Write::Delete,
        });
        let txn = Txn {
            // Above all that a workload gives out.
            id: u64::MAX - number,
            client: 0,
            ops: ops.collect(),
            abort: false,
        };
        client.apply(&txn, deadline)?;
    }
    Ok(keys.len())
}
