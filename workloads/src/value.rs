//! Values: text that names the write it comes from and proves every one of its bytes.
//!
//! A value is `t<txn>.<op>.` (the tag), [`CHECK_LEN`] check characters over the tag's numbers and
//! the payload's length, and the payload. Check and payload follow from (transaction, op, length)
//! alone, so whoever reads a value can tell which write it was and whether it is whole, without
//! the history.

use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Names one transaction of a history; never used twice in it.
pub type TxnId = u64;

/// How many check characters stand between the tag and the payload.
pub const CHECK_LEN: usize = 6;

/// 64 printable characters without `.`, which separates the parts of the tag.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The value that one write of a history carries. [`fmt::Display`] writes its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Value {
    /// The transaction that writes it.
    pub txn: TxnId,
    /// The index of the write in [`crate::Txn::ops`].
    pub op: usize,
    /// Bytes of payload, without tag and check characters.
    pub payload: usize,
}

impl Value {
    /// Which write this text is the value of: the transaction and the index in its `ops`. None
    /// unless every byte is as that write wrote it.
    pub fn parse(text: &str) -> Option<(TxnId, usize)> {
        Self::of(text).map(|value| (value.txn, value.op))
    }

    /// The value that makes this text. None unless every byte is as it makes it.
    pub fn of(text: &str) -> Option<Self> {
        let (txn, op, rest) = split(text)?;
        let payload = rest.len().checked_sub(CHECK_LEN)?;
        // Comparing with the text made again also refuses other spellings of the numbers ("+5").
        let value = Self { txn, op, payload };
        (value.to_string() == text).then_some(value)
    }

    /// Which write this text claims to be the value of, whatever its other bytes are.
    pub fn claimed(text: &str) -> Option<(TxnId, usize)> {
        split(text).map(|(txn, op, _)| (txn, op))
    }

    /// The check characters. One wrong byte in the numbers always changes them: every step of the
    /// sum is reversible modulo 2^36 because 31 is odd.
    fn check(&self) -> [u8; CHECK_LEN] {
        let text = format!("{}.{}.{}", self.txn, self.op, self.payload);
        let mut sum = text
            .bytes()
            .fold(0_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        let mut check = [0; CHECK_LEN];
        for c in check.iter_mut().rev() {
            *c = ALPHABET[(sum & 63) as usize];
            sum >>= 6;
        }
        check
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}.{}.", self.txn, self.op)?;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.txn.to_le_bytes());
        seed[8..16].copy_from_slice(&(self.op as u64).to_le_bytes());
        seed[16..24].copy_from_slice(&(self.payload as u64).to_le_bytes());
        let mut bytes = vec![0; CHECK_LEN + self.payload];
        let (check, payload) = bytes.split_at_mut(CHECK_LEN);
        check.copy_from_slice(&self.check());
        ChaCha8Rng::from_seed(seed).fill_bytes(payload);
        for b in payload {
            *b = ALPHABET[usize::from(*b & 63)];
        }
        f.write_str(str::from_utf8(&bytes).map_err(|_| fmt::Error)?)
    }
}

/// The numbers of a tag, and what follows it.
fn split(text: &str) -> Option<(TxnId, usize, &str)> {
    let (txn, rest) = text.strip_prefix('t')?.split_once('.')?;
    let (op, rest) = rest.split_once('.')?;
    Some((txn.parse().ok()?, op.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn a_value_is_the_same_on_every_machine() {
        let value = Value {
            txn: 17,
            op: 2,
            payload: 12,
        };
        assert_eq!(value.to_string(), "t17.2.qAi4glDitMV691EH19");
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = Value {
            txn: 5,
            op: 0,
            payload: 3,
        }
        .to_string();
        for wrong in [text.replacen("t5", "t+5", 1), text.replacen("t5", "t05", 1)] {
            assert_eq!(Value::parse(&wrong), None, "{wrong}");
        }
        for wrong in [
            "",
            "t",
            "t1",
            "t1.",
            "t1.0",
            "t1.0.",
            "t1.0.AAAAA",
            "t1.0.AAAAAA",
            "x",
        ] {
            assert_eq!(Value::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500,
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_value_names_its_write(txn: u64, op in 0_usize..1000, payload in 0_usize..5000) {
            let text = Value { txn, op, payload }.to_string();
            prop_assert_eq!(Value::parse(&text), Some((txn, op)));
            prop_assert_eq!(Value::claimed(&text), Some((txn, op)));
        }

        #[test]
        fn any_changed_byte_is_seen(
            txn in prop_oneof![0_u64..200, any::<u64>()],
            op in 0_usize..12,
            payload in 1_usize..40,
            at: prop::sample::Index,
            byte in 0_u8..128,
        ) {
            let text = Value { txn, op, payload }.to_string();
            let mut bytes = text.clone().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(Value::parse(&changed), None, "{} from {}", changed, text);
        }

        #[test]
        fn a_cut_or_a_longer_value_is_seen(txn: u64, payload in 1_usize..40, cut in 1_usize..20) {
            let text = Value { txn, op: 1, payload }.to_string();
            let cut = cut.min(text.len());
            prop_assert_eq!(Value::parse(&text[..text.len() - cut]), None);
            prop_assert_eq!(Value::parse(&format!("{text}A")), None);
        }
    }
}
