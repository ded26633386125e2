//! The generator: a seeded transactional key-value workload.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Zipf;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Call, Op, Text, Txn, TxnId, Value, Write};

/// The largest payload of a value, in bytes.
pub const MAX_VALUE_LEN: u32 = 1 << 20;

/// The steepest Zipf exponent: from here on practically every write goes to one key.
const MAX_EXPONENT: f64 = 10.0;

/// What a workload looks like. The same configuration, seed and client give the same calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkloadConfig {
    /// How many clients write at the same time, at least 1.
    pub clients: u32,
    /// How many keys each client writes (all clients together when `shared_keys`), at least 1,
    /// without the head keys.
    pub keys_per_client: u32,
    /// How many of these keys a transaction writes; no more than there are. Every second
    /// transaction of a client writes two at least, where the range allows it. The write to the
    /// client's head key comes on top.
    pub ops_per_txn: RangeInclusive<u32>,
    /// The chance that a write is a delete, 0 to 1. The head key is never deleted.
    pub delete_chance: f64,
    /// The chance that a transaction is rolled back at its end, 0 to 1.
    pub abort_chance: f64,
    /// The chance that a call is a [`Call::Barrier`] and not a transaction, 0 to 1. For targets
    /// that have such a call.
    pub barrier_chance: f64,
    /// How often each key is written.
    pub distribution: Distribution,
    /// Bytes of payload in a value (tag and check characters come on top), from 1 to
    /// [`MAX_VALUE_LEN`]. Every doubling within the range is equally likely.
    pub value_len: RangeInclusive<u32>,
    /// True when all clients write the same keys ("k17"), false when each has its own ("c0.k17").
    pub shared_keys: bool,
}

impl Default for WorkloadConfig {
    fn default() -> Self {
        Self {
            clients: 4,
            keys_per_client: 100,
            ops_per_txn: 1..=6,
            delete_chance: 0.15,
            abort_chance: 0.05,
            barrier_chance: 0.0,
            distribution: Distribution::Uniform,
            value_len: 1..=4096,
            shared_keys: false,
        }
    }
}

/// How often each key is written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// All alike.
    Uniform,
    /// By Zipf's law: the key of rank r in proportion to r^-exponent; 0 is uniform, 1 usual.
    Zipf {
        /// From 0 to 10.
        exponent: f64,
    },
}

/// A configuration that no workload can have.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ConfigError {
    /// A number lies outside its range.
    #[error("{name} must be {range}, not {found}")]
    OutOfRange {
        /// The field of [`WorkloadConfig`].
        name: &'static str,
        /// What it may be.
        range: &'static str,
        /// What it is.
        found: String,
    },
}

impl WorkloadConfig {
    /// Whether a workload can have this configuration.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ensure = |sound: bool, name, range, found: String| {
            if sound {
                Ok(())
            } else {
                Err(ConfigError::OutOfRange { name, range, found })
            }
        };
        ensure(
            self.clients >= 1,
            "clients",
            "1 or more",
            self.clients.to_string(),
        )?;
        ensure(
            self.keys_per_client >= 1,
            "keys_per_client",
            "1 or more",
            self.keys_per_client.to_string(),
        )?;
        let ops = &self.ops_per_txn;
        ensure(
            *ops.start() >= 1 && ops.start() <= ops.end(),
            "ops_per_txn",
            "a range from 1 or more",
            format!("{ops:?}"),
        )?;
        for (name, chance) in [
            ("delete_chance", self.delete_chance),
            ("abort_chance", self.abort_chance),
            ("barrier_chance", self.barrier_chance),
        ] {
            ensure(
                (0.0..=1.0).contains(&chance),
                name,
                "from 0 to 1",
                chance.to_string(),
            )?;
        }
        if let Distribution::Zipf { exponent } = self.distribution {
            let sound = (0.0..=MAX_EXPONENT).contains(&exponent);
            ensure(
                sound,
                "distribution.exponent",
                "from 0 to 10",
                exponent.to_string(),
            )?;
        }
        let len = &self.value_len;
        ensure(
            *len.start() >= 1 && len.start() <= len.end() && *len.end() <= MAX_VALUE_LEN,
            "value_len",
            "a range within 1 to 1048576 bytes",
            format!("{len:?}"),
        )
    }

    /// The key that `client` alone writes, in each of its transactions, aborted ones too: it
    /// tells which of them was the last to be kept.
    pub fn head_key(client: u32) -> String {
        format!("c{client}.head")
    }
}

/// The endless calls of one client. To go on after a restart of the target keep the generator: a
/// new one would name its transactions, and so its values, like the first.
#[derive(Clone, Debug)]
pub struct Generator {
    config: WorkloadConfig,
    zipf: Option<Zipf<f64>>,
    client: u32,
    rng: ChaCha8Rng,
    /// Transactions generated so far.
    count: u64,
}

impl Generator {
    /// The calls of `client` (counted from 0, below `config.clients`) for this seed.
    pub fn new(config: &WorkloadConfig, seed: u64, client: u32) -> Result<Self, ConfigError> {
        config.validate()?;
        if client >= config.clients {
            return Err(ConfigError::OutOfRange {
                name: "client",
                range: "below the number of clients",
                found: client.to_string(),
            });
        }
        let zipf = match config.distribution {
            Distribution::Uniform => None,
            Distribution::Zipf { exponent } => Some(
                Zipf::new(f64::from(config.keys_per_client), exponent).map_err(|error| {
                    ConfigError::OutOfRange {
                        name: "distribution.exponent",
                        range: "from 0 to 10",
                        found: format!("{exponent} ({error})"),
                    }
                })?,
            ),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(client.into());
        Ok(Self {
            config: config.clone(),
            zipf,
            client,
            rng,
            count: 0,
        })
    }

    /// The next transaction. Its id is unique among the clients of the workload and never 0:
    /// client c of n gives out c + 1, c + 1 + n, c + 1 + 2n, ...
    pub fn transaction(&mut self) -> Txn {
        let id = self.count * u64::from(self.config.clients) + u64::from(self.client) + 1;
        self.count += 1;
        let mut keys: Vec<String> = self
            .keys()
            .into_iter()
            .map(|index| self.key_name(index))
            .collect();
        // The head key stands anywhere in the transaction, so that a half-applied one shows it
        // sometimes without its other writes, sometimes the other way round.
        let head = self.rng.random_range(0..=keys.len());
        keys.insert(head, WorkloadConfig::head_key(self.client));
        let ops = keys
            .into_iter()
            .enumerate()
            .map(|(op, key)| {
                let delete = op != head && self.rng.random_bool(self.config.delete_chance);
                let write = if delete {
                    Write::Delete
                } else {
                    Write::Put(self.value(id, op))
                };
                Op { key, write }
            })
            .collect();
        let abort = self.rng.random_bool(self.config.abort_chance);
        Txn {
            id,
            client: self.client,
            ops,
            abort,
        }
    }

    /// Distinct key indices for one transaction.
    fn keys(&mut self) -> Vec<u32> {
        let available = self.config.keys_per_client;
        let most = (*self.config.ops_per_txn.end()).min(available);
        let least = if self.count.is_multiple_of(2) { 2 } else { 1 };
        let least = least.max(*self.config.ops_per_txn.start()).min(most);
        let wanted = self.rng.random_range(least..=most) as usize;
        let mut keys: Vec<u32> = Vec::with_capacity(wanted);
        while keys.len() < wanted {
            let mut key = match &self.zipf {
                None => self.rng.random_range(0..available),
                // A sample is a rank from 1.
                Some(zipf) => (self.rng.sample(zipf) as u32).clamp(1, available) - 1,
            };
            // Taken keys give way to their neighbours: drawing again could last very long where
            // the distribution is steep.
            while keys.contains(&key) {
                key = (key + 1) % available;
            }
            keys.push(key);
        }
        keys
    }

    fn key_name(&self, index: u32) -> String {
        if self.config.shared_keys {
            format!("k{index}")
        } else {
            format!("c{}.k{index}", self.client)
        }
    }

    fn value(&mut self, txn: TxnId, op: usize) -> Text {
        let payload = log_uniform(&mut self.rng, &self.config.value_len) as usize;
        Value { txn, op, payload }.into()
    }
}

impl Iterator for Generator {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        Some(if self.rng.random_bool(self.config.barrier_chance) {
            Call::Barrier
        } else {
            Call::Txn(Arc::new(self.transaction()))
        })
    }
}

/// A number of the range; every doubling within it is equally likely, and so is every number
/// within a doubling. Whole numbers only: logarithms differ between machines in their last bit.
fn log_uniform(rng: &mut ChaCha8Rng, range: &RangeInclusive<u32>) -> u32 {
    let (low, high) = (u64::from(*range.start()), u64::from(*range.end()));
    let whole = (high / low).ilog2();
    // The last doubling may be cut short: its weight is the part of it that is in the range.
    let last = low << whole;
    let ticket = rng.random_range(0..u64::from(whole) * last + (high - last + 1));
    let start = low << (ticket / last);
    let end = (2 * start - 1).min(high);
    rng.random_range(start..=end) as u32
}
