//! One client of a driver. All clients of a driver share its pipes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use plugpull_workloads::{EventLog, Txn, Write};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::link::{Link, Reply};
use crate::protocol::{Call, Verdict};
use crate::{ActionTime, Capability, Client, ClientError, Description};

/// A client, by number. After an answer that did not come or does not fit it is gone for good.
pub(crate) struct DriverClient {
    number: u32,
    link: Arc<Link>,
    description: Arc<Description>,
    gone: Option<String>,
}

#[derive(Deserialize)]
struct Value {
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<String>,
}

#[derive(Deserialize)]
struct Values {
    values: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(deserialize_with = "Option::deserialize")]
    complaint: Option<String>,
}

#[derive(Deserialize)]
struct Log {
    #[serde(deserialize_with = "Option::deserialize")]
    log: Option<EventLog>,
}

impl DriverClient {
    pub(crate) fn new(number: u32, link: Arc<Link>, description: Arc<Description>) -> Self {
        Self {
            number,
            link,
            description,
            gone: None,
        }
    }

    fn call(&mut self, call: Call<'_>, deadline: Instant) -> Result<Reply, ClientError> {
        if let Some(why) = &self.gone {
            return Err(ClientError::Gone(why.clone()));
        }
        let reply = self.link.call(Some(self.number), call, deadline);
        let reply = reply.map_err(|none| self.lose(none.describe()))?;
        match reply.verdict {
            Verdict::Ok => Ok(reply),
            Verdict::Fail => Err(ClientError::Fail(reply.text)),
            Verdict::Info => Err(ClientError::Info(reply.text)),
            Verdict::Gone => Err(self.lose(reply.text)),
        }
    }

    fn lose(&mut self, why: String) -> ClientError {
        self.gone = Some(why.clone());
        ClientError::Gone(why)
    }

    /// What an answer must have, called `name`.
    fn returned<T: DeserializeOwned>(
        &mut self,
        reply: &Reply,
        name: &str,
    ) -> Result<T, ClientError> {
        let returned = reply.returned();
        returned.map_err(|error| self.lose(format!("the answer's {name} does not fit: {error}")))
    }

    fn can(&self, capability: Capability) -> bool {
        self.description.can(capability)
    }
}

impl Client for DriverClient {
    fn apply(&mut self, txn: &Txn, deadline: Instant) -> Result<(), ClientError> {
        // What it cannot do is never requested, and so certainly did not happen.
        if txn.abort && !self.can(Capability::Abort) {
            return Err(ClientError::Fail("the driver cannot roll back".into()));
        }
        let deletes = txn.ops.iter().any(|op| op.write == Write::Delete);
        if deletes && !self.can(Capability::Delete) {
            return Err(ClientError::Fail("the driver cannot delete".into()));
        }
        self.call(Call::apply(txn), deadline).map(drop)
    }

    fn barrier(&mut self, deadline: Instant) -> Result<(), ClientError> {
        if !self.can(Capability::Barrier) {
            return Err(ClientError::Fail("the driver has no barrier".into()));
        }
        self.call(Call::Barrier, deadline).map(drop)
    }

    fn get(&mut self, key: &str, deadline: Instant) -> Result<Option<String>, ClientError> {
        let key = Cow::Borrowed(key);
        let reply = self.call(Call::Get { key }, deadline)?;
        let Value { value } = self.returned(&reply, "value")?;
        Ok(value)
    }

    fn read_all(&mut self, deadline: Instant) -> Result<BTreeMap<String, String>, ClientError> {
        let reply = self.call(Call::ReadAll, deadline)?;
        let Values { values } = self.returned(&reply, "values")?;
        Ok(values)
    }

    fn check(&mut self, deadline: Instant) -> Result<Option<String>, ClientError> {
        if !self.can(Capability::Check) {
            return Ok(None);
        }
        let reply = self.call(Call::Check { acked: None }, deadline)?;
        let Complaint { complaint } = self.returned(&reply, "complaint")?;
        Ok(complaint)
    }

    fn act(
        &mut self,
        action: &str,
        amount: Option<u32>,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let description = self.description.clone();
        let known = match description.action(action) {
            Some(known) if known.when == ActionTime::Up => known,
            Some(_) => {
                let why = format!("the action {action} is done while the target is down");
                return Err(ClientError::Fail(why));
            }
            None => {
                let why = format!("the driver does not have the action {action}");
                return Err(ClientError::Fail(why));
            }
        };
        let call = Call::act(known, amount, description.protocol);
        self.call(call, deadline).map(drop)
    }

    fn event_log(&mut self, deadline: Instant) -> Result<Option<EventLog>, ClientError> {
        if !self.can(Capability::EventLog) {
            return Ok(None);
        }
        let reply = self.call(Call::EventLog, deadline)?;
        let Log { log } = self.returned(&reply, "log")?;
        Ok(log)
    }
}
