//! Small histories by hand, with a clock that counts.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use plugpull_workloads::{
    Call, Durability, Entry, FailureClass, Guarantee, History, Judgement, Observed, Op, Outcome,
    Promise, Stamp, Txn, TxnId, Value, Write, judge,
};

/// The moment `n`: trace number n, n milliseconds into the trial.
pub(crate) fn at(n: u64) -> Stamp {
    Stamp {
        seq: n,
        nanos: n * 1_000_000,
    }
}

/// The value of op `op` of transaction `txn`.
pub(crate) fn value(txn: TxnId, op: usize) -> String {
    Value {
        txn,
        op,
        payload: 10,
    }
    .to_string()
}

/// A history under construction.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) history: History,
    now: u64,
}

impl Book {
    fn tick(&mut self) -> Stamp {
        self.now += 10;
        at(self.now)
    }

    fn push(&mut self, client: u32, call: Call, invoked: Stamp, done: Option<(Stamp, Outcome)>) {
        self.history.entries.push(Entry {
            client,
            call,
            invoked,
            done,
        });
    }

    /// A transaction that runs alone; "k" puts key k, "-k" deletes it.
    pub(crate) fn txn(&mut self, id: TxnId, client: u32, keys: &[&str], outcome: Outcome) {
        let invoked = self.tick();
        let done = self.tick();
        self.push(
            client,
            Call::Txn(make(id, client, keys, false)),
            invoked,
            Some((done, outcome)),
        );
    }

    /// An acknowledged transaction.
    pub(crate) fn ok(&mut self, id: TxnId, client: u32, keys: &[&str]) {
        self.txn(id, client, keys, Outcome::Ok);
    }

    /// A transaction that was rolled back.
    pub(crate) fn aborted(&mut self, id: TxnId, client: u32, keys: &[&str]) {
        let (invoked, done) = (self.tick(), self.tick());
        let call = Call::Txn(make(id, client, keys, true));
        self.push(client, call, invoked, Some((done, Outcome::Ok)));
    }

    /// A transaction that was never answered.
    pub(crate) fn pending(&mut self, id: TxnId, client: u32, keys: &[&str]) {
        let invoked = self.tick();
        self.push(
            client,
            Call::Txn(make(id, client, keys, false)),
            invoked,
            None,
        );
    }

    /// Acknowledged transactions of different clients, all under way at the same time.
    pub(crate) fn together(&mut self, txns: &[(TxnId, u32, &[&str])]) {
        let first = self.history.entries.len();
        for (id, client, keys) in txns {
            let invoked = self.tick();
            self.push(
                *client,
                Call::Txn(make(*id, *client, keys, false)),
                invoked,
                None,
            );
        }
        for i in first..self.history.entries.len() {
            let done = self.tick();
            self.history.entries[i].done = Some((done, Outcome::Ok));
        }
    }

    /// An acknowledged barrier.
    pub(crate) fn barrier(&mut self, client: u32) {
        let (invoked, done) = (self.tick(), self.tick());
        self.push(client, Call::Barrier, invoked, Some((done, Outcome::Ok)));
    }

    /// The moment after all that happened so far.
    pub(crate) fn now(&self) -> Stamp {
        at(self.now + 1)
    }

    /// Judges this state after a power loss.
    pub(crate) fn judge(&self, state: &[(&str, String)], promises: &[Promise]) -> Judgement {
        self.judge_as(
            FailureClass::PowerLoss,
            &Observed::holding(self::state(state)),
            promises,
        )
    }

    /// Judges what was observed after a failure of this class.
    pub(crate) fn judge_as(
        &self,
        class: FailureClass,
        observed: &Observed,
        promises: &[Promise],
    ) -> Judgement {
        judge(
            &self.history,
            observed,
            promises,
            class,
            Some(self.now()),
            None,
        )
    }
}

fn make(id: TxnId, client: u32, keys: &[&str], abort: bool) -> Arc<Txn> {
    let op = |(op, key): (usize, &&str)| match key.strip_prefix('-') {
        Some(key) => Op {
            key: key.into(),
            write: Write::Delete,
        },
        None => Op {
            key: (*key).into(),
            write: Write::Put(value(id, op).into()),
        },
    };
    Arc::new(Txn {
        id,
        client,
        ops: keys.iter().enumerate().map(op).collect(),
        abort,
    })
}

/// A state by key and value.
pub(crate) fn state(of: &[(&str, String)]) -> BTreeMap<String, String> {
    of.iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

/// A promise for every class of failure.
pub(crate) fn promise(guarantee: Guarantee) -> Promise {
    use FailureClass::{
        CleanStop, Corruption, DiskFull, IoError, OutOfMemory, PowerLoss, ProcessCrash, Stall,
    };
    Promise {
        classes: vec![
            ProcessCrash,
            PowerLoss,
            CleanStop,
            DiskFull,
            IoError,
            Corruption,
            Stall,
            OutOfMemory,
        ],
        guarantee,
        words: "as documented".into(),
        source: "the manual".into(),
        demanded: false,
    }
}

/// Durable at the ack.
pub(crate) fn durable() -> Promise {
    promise(Guarantee::Durable(Durability::AtAck))
}

/// All that a good store promises.
pub(crate) fn all() -> Vec<Promise> {
    vec![
        durable(),
        promise(Guarantee::Atomic),
        promise(Guarantee::Prefix),
        promise(Guarantee::Consistent),
    ]
}
