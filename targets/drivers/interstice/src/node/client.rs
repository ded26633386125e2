//! One connection to the node.
//!
//! **What an ack is.** The node never answers the call of a reducer. A call's changes are put into the
//! tables and into their logs one after the other, and only when all of that went well are their events
//! handed out (`Runtime::call_reducer`: `apply_all_transactions(..)?`, then the events). So the event of
//! any row of a call says that the whole call was applied and written. The test module changes a row
//! for this alone, the last of each call: the caller's row in the table `acks`, which holds the number
//! of the caller's last call. The table is ephemeral, so this changes no file. Events overtake each
//! other on their way (`NetworkHandle::send_packet` makes a task of each), and for this it does not
//! matter.
//!
//! **When nothing comes.** A call that fails is reported to nobody but the node's log. So after
//! [`PATIENCE`] an empty call is sent. It is run after the first, because the two change the same table
//! and the node runs such calls in the order they came in (`runtime/scheduler.rs`, on one connection
//! that of the packets). Its event tells the number that the row had before: another one than that of
//! the call means that the call is over and was not acknowledged; what was written of it nobody knows.
//! Calls that are to be rolled back are asked for like this at once.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use plugpull_workloads::Txn;

use super::directory::look;
use super::link::Link;
use super::module::{self, ACKS, APPLY, Applied, GET, MODULE, TABLES};
use super::packets::{Cell, Kind, Received, Sent, Subscription};
use plugpull_driver::{Client, ClientError};

/// How long an event may stay away before the node is asked. Nothing depends on it but how soon a call
/// that failed is known to be over.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// One connection.
pub(super) struct NodeClient {
    link: Link,
    /// The data directory, whose files the check looks at.
    data: PathBuf,
    /// What the node knows this connection by.
    id: String,
    /// The number of the last call.
    number: u64,
    /// How many questions were asked.
    asked: u64,
}

impl NodeClient {
    /// Shakes hands, and waits until the node knows that the events of `acks` are wanted.
    pub(super) fn open(
        stream: TcpStream,
        data: PathBuf,
        id: String,
        deadline: Instant,
    ) -> Result<Self, ClientError> {
        let mut client = Self {
            link: Link::new(stream)?,
            data,
            number: 0,
            asked: 0,
            id: id.clone(),
        };
        let hello = Sent::Handshake {
            // The node only compares tokens of one name with each other.
            token: id.clone(),
            node_id: id,
            address: "127.0.0.1:0".into(),
        };
        client.link.send(&hello, deadline)?;
        client.until(deadline, |heard| {
            matches!(heard, Received::Handshake { .. }).then_some(())
        })?;
        for event in [Kind::Insert, Kind::Update] {
            let wanted = Subscription {
                module: MODULE.into(),
                table: ACKS.into(),
                event,
            };
            client
                .link
                .send(&Sent::RequestSubscription(wanted), deadline)?;
        }
        client.schema(deadline)?;
        Ok(client)
    }

    /// The next packet that `pick` takes something from. Others are thrown away, but for an error,
    /// which ends the wait: the node does not say what it is about.
    fn until<T>(
        &mut self,
        deadline: Instant,
        mut pick: impl FnMut(Received) -> Option<T>,
    ) -> Result<T, ClientError> {
        loop {
            match self.link.receive(deadline)? {
                None => return Err(ClientError::Gone("the deadline passed".into())),
                Some(Received::Error(text)) => return Err(ClientError::Fail(text)),
                Some(heard) => {
                    if let Some(picked) = pick(heard) {
                        return Ok(picked);
                    }
                }
            }
        }
    }

    fn question(&mut self) -> String {
        self.asked += 1;
        self.asked.to_string()
    }

    /// Asks for the schema and waits for it. Subscriptions and this go through one queue in the node
    /// (`Runtime::handle_event`), so those that were sent before are known then.
    fn schema(&mut self, deadline: Instant) -> Result<(), ClientError> {
        let question = self.question();
        let packet = Sent::SchemaRequest {
            request_id: question.clone(),
            node_name: MODULE.into(),
        };
        self.link.send(&packet, deadline)?;
        self.until(deadline, |heard| match heard {
            Received::SchemaResponse { request_id } => (request_id == question).then_some(()),
            _ => None,
        })
    }

    /// Calls the reducer; returns the call's number.
    fn call(
        &mut self,
        abort: bool,
        ops: &[plugpull_workloads::Op],
        deadline: Instant,
    ) -> Result<u64, ClientError> {
        self.number += 1;
        let packet = Sent::ReducerCall {
            module: MODULE.into(),
            reducer: APPLY.into(),
            input: module::apply(&self.id, self.number, abort, ops),
        };
        self.link.send(&packet, deadline)?;
        Ok(self.number)
    }

    /// What became of the call `mine`; `asked` is the empty call that was sent after it, if one was.
    /// `Ok(true)` where it was acknowledged, `Ok(false)` where it is over and was not.
    fn outcome(
        &mut self,
        mine: u64,
        mut asked: Option<u64>,
        deadline: Instant,
    ) -> Result<bool, ClientError> {
        let mut patience = Instant::now() + PATIENCE;
        // The call was applied, by what the empty call showed, and its own event is not there.
        let mut due = false;
        loop {
            let until = match asked {
                Some(_) if !due => deadline,
                _ => patience.min(deadline),
            };
            let event = match self.link.receive(until)? {
                Some(Received::TableEvent(event)) => module::applied(&event, &self.id),
                Some(Received::Error(text)) => return Err(ClientError::Info(text)),
                Some(_) => None,
                None if Instant::now() >= deadline => {
                    return Err(ClientError::Gone(
                        "neither the call nor an empty one after it was acknowledged in time"
                            .into(),
                    ));
                }
                None if due => return Ok(false),
                None => {
                    asked = Some(self.call(false, &[], deadline)?);
                    continue;
                }
            };
            match event {
                Some(Applied { number, .. }) if number == mine => return Ok(true),
                Some(Applied { number, before }) if Some(number) == asked => {
                    if before != Some(mine) {
                        return Ok(false);
                    }
                    due = true;
                    patience = Instant::now() + PATIENCE;
                }
                _ => {}
            }
        }
    }

    fn rows(
        &mut self,
        table: &str,
        into: &mut BTreeMap<String, String>,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let packet = Sent::RequestTableSync {
            module: MODULE.into(),
            table: table.into(),
        };
        self.link.send(&packet, deadline)?;
        let rows = self.until(deadline, |heard| match heard {
            Received::TableSyncResponse {
                module,
                table: of,
                rows,
            } => (module == MODULE && of == table).then_some(rows),
            _ => None,
        })?;
        for row in rows {
            let (key, value) = module::pair(row).map_err(ClientError::Fail)?;
            if module::table(&key) != table {
                let why = format!("the table {table} has a row of the key {key}");
                return Err(ClientError::Fail(why));
            }
            if into.insert(key.clone(), value).is_some() {
                let why = format!("the table {table} has two rows of the key {key}");
                return Err(ClientError::Fail(why));
            }
        }
        Ok(())
    }
}

impl Client for NodeClient {
    fn apply(&mut self, txn: &Txn, deadline: Instant) -> Result<(), ClientError> {
        let mine = self.call(txn.abort, &txn.ops, deadline)?;
        let asked = match txn.abort {
            true => Some(self.call(false, &[], deadline)?),
            false => None,
        };
        match (self.outcome(mine, asked, deadline)?, txn.abort) {
            (true, false) | (false, true) => Ok(()),
            (false, false) => Err(ClientError::Info(
                "the node did not acknowledge the call, and is done with it".into(),
            )),
            (true, true) => Err(ClientError::Info(
                "the node applied a call that trapped at its end".into(),
            )),
        }
    }

    fn barrier(&mut self, _deadline: Instant) -> Result<(), ClientError> {
        Err(ClientError::Fail("the node has no such call".into()))
    }

    fn get(&mut self, key: &str, deadline: Instant) -> Result<Option<String>, ClientError> {
        let question = self.question();
        let packet = Sent::QueryCall {
            request_id: question.clone(),
            module: MODULE.into(),
            query: GET.into(),
            input: module::get(key),
        };
        self.link.send(&packet, deadline)?;
        let result = self.until(deadline, |heard| match heard {
            Received::QueryResponse { request_id, result } => {
                (request_id == question).then_some(result)
            }
            _ => None,
        })?;
        match result {
            Cell::Void => Ok(None),
            Cell::String(value) => Ok(Some(value)),
            other => Err(ClientError::Fail(format!("the answer is {other:?}"))),
        }
    }

    fn read_all(&mut self, deadline: Instant) -> Result<BTreeMap<String, String>, ClientError> {
        let mut all = BTreeMap::new();
        for table in TABLES {
            self.rows(table, &mut all, deadline)?;
        }
        Ok(all)
    }

    fn check(&mut self, _deadline: Instant) -> Result<Option<String>, ClientError> {
        look(&self.data)
    }
}
