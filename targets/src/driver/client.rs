//! One client of a driver. All clients of a driver share its pipes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use plugpull_workloads::{Txn, Write};
use serde::de::DeserializeOwned;

use super::hello::Introduction;
use super::link::Link;
use super::protocol::{Answer, Call, Verdict};
use crate::{Client, ClientError};

/// A client, by number. After an answer that did not come or does not fit it is gone for good.
pub(super) struct DriverClient {
    pub(super) number: u32,
    pub(super) link: Arc<Link>,
    pub(super) introduction: Arc<Introduction>,
    pub(super) gone: Option<String>,
}

impl DriverClient {
    fn call(&mut self, call: Call<'_>, deadline: Instant) -> Result<Answer, ClientError> {
        if let Some(why) = &self.gone {
            return Err(ClientError::Gone(why.clone()));
        }
        let answer = self.link.call(Some(self.number), call, deadline);
        let answer = answer.map_err(|none| self.lose(none.words()))?;
        match answer.answer {
            Verdict::Ok => Ok(answer),
            Verdict::Fail => Err(ClientError::Fail(answer.text)),
            Verdict::Info => Err(ClientError::Info(answer.text)),
        }
    }

    fn lose(&mut self, why: String) -> ClientError {
        self.gone = Some(why.clone());
        ClientError::Gone(why)
    }

    /// A field that an answer must have.
    fn field<T: DeserializeOwned>(&mut self, answer: Answer, name: &str) -> Result<T, ClientError> {
        let mut fields = answer.fields;
        match fields.remove(name).map(serde_json::from_value) {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                Err(self.lose(format!("the answer's {name} does not fit: {error}")))
            }
            None => Err(self.lose(format!("the answer has no {name}"))),
        }
    }
}

impl Client for DriverClient {
    fn apply(&mut self, txn: &Txn, deadline: Instant) -> Result<(), ClientError> {
        // What it cannot do is not asked for, and so certainly did not happen.
        let able = self.introduction.abilities;
        if txn.abort && !able.abort {
            return Err(ClientError::Fail("the driver cannot roll back".into()));
        }
        if !able.delete && txn.ops.iter().any(|op| op.write == Write::Delete) {
            return Err(ClientError::Fail("the driver cannot delete".into()));
        }
        self.call(Call::apply(txn), deadline).map(drop)
    }

    fn barrier(&mut self, deadline: Instant) -> Result<(), ClientError> {
        if !self.introduction.abilities.barrier {
            return Err(ClientError::Fail("the driver has no barrier".into()));
        }
        self.call(Call::Barrier, deadline).map(drop)
    }

    fn get(&mut self, key: &str, deadline: Instant) -> Result<Option<String>, ClientError> {
        let answer = self.call(Call::Get { key }, deadline)?;
        self.field(answer, "value")
    }

    fn read_all(&mut self, deadline: Instant) -> Result<BTreeMap<String, String>, ClientError> {
        let answer = self.call(Call::ReadAll, deadline)?;
        self.field(answer, "values")
    }

    fn check(&mut self, deadline: Instant) -> Result<Option<String>, ClientError> {
        if !self.introduction.check {
            return Ok(None);
        }
        let answer = self.call(Call::Check, deadline)?;
        self.field(answer, "complaint")
    }

    fn reorg(&mut self, depth: u32, deadline: Instant) -> Result<(), ClientError> {
        if !self.introduction.reorg {
            return Err(ClientError::Fail(
                "the driver does not have the capability reorg".into(),
            ));
        }
        self.call(Call::Reorg { depth }, deadline).map(drop)
    }
}
