//! Numbers of a report that somebody else made: counts that can be added up.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The largest count: whole numbers are exact in JSON up to here (RFC 8259, section 6), and sums of them
/// do not overflow.
const LARGEST: u64 = 1 << 53;

/// Reads a value, of whatever form, for its numbers alone. An error where one is no count.
#[derive(Clone, Copy)]
pub(crate) struct CountLimit {
    /// It may be any number.
    any: bool,
}

/// What may be any number: a seed, and how many states are possible, which ends at the largest number.
const ANY: [&str; 3] = ["seed", "trial_seed", "possible"];

impl CountLimit {
    /// For a value with this name.
    pub(crate) fn of(name: &str) -> Self {
        Self {
            any: ANY.contains(&name),
        }
    }

    fn look<E: Error>(self, number: u64) -> Result<(), E> {
        match number <= LARGEST || self.any {
            true => Ok(()),
            false => Err(E::custom(format_args!(
                "{number} is more than there can be of anything"
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for CountLimit {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CountLimit {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.look(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.look(number.unsigned_abs())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            map.next_value_seed(Self::of(&name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), serde_json::Error> {
        CountLimit::of("").deserialize(&mut serde_json::Deserializer::from_str(text))
    }

    #[test]
    fn a_number_that_is_no_count_is_refused() {
        for text in [
            r#"{"a":[{"b":18446744073709551615}]}"#,
            r#"{"a":-9223372036854775807}"#,
        ] {
            let why = read(text).expect_err(text).to_string();
            assert!(why.contains("more than there can be"), "{why}");
        }
    }

    #[test]
    fn seeds_and_all_else_are_left_alone() {
        let text = r#"{"seed":18446744073709551615,"possible":18446744073709551615,"a":[1,-1,1e300,true,null,"x",9007199254740992]}"#;
        read(text).expect(text);
    }
}
