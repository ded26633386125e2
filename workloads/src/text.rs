//! The text of a value in a history. A long one that a [`Value`] made is kept as what makes it, so
//! that a history costs no more memory than its calls do, however much was written.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::Value;

/// From so many bytes on a text is long. Shorter ones are quicker to keep than to make.
const LONG: usize = 1024;

/// A value's text.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Text(Kept);

/// A long text that a value makes is always `Made`, so that equal texts are equal.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Kept {
    Whole(String),
    Made {
        value: Value,
        /// In bytes.
        len: usize,
        /// Of the text, to know it again without making it.
        digest: u128,
    },
}

/// How it is stored: a text as itself.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Whole(String),
    Made(Value),
}

impl Text {
    /// The text, made where it is not kept.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Kept::Whole(text) => Cow::Borrowed(text),
            Kept::Made { value, .. } => Cow::Owned(value.to_string()),
        }
    }

    /// The same, as a text of its own.
    pub fn into_text(self) -> String {
        match self.0 {
            Kept::Whole(text) => text,
            Kept::Made { value, .. } => value.to_string(),
        }
    }

    /// How long it is, in bytes.
    pub fn size(&self) -> usize {
        match &self.0 {
            Kept::Whole(text) => text.len(),
            Kept::Made { len, .. } => *len,
        }
    }

    /// Whether this is that text. Long ones are distinguished by 128 bits of a digest.
    pub fn is(&self, found: &str) -> bool {
        match &self.0 {
            Kept::Whole(text) => text == found,
            Kept::Made { len, digest, .. } => {
                *len == found.len() && *digest == xxh3_128(found.as_bytes())
            }
        }
    }

    fn made(value: Value, text: &str) -> Self {
        Self(Kept::Made {
            value,
            len: text.len(),
            digest: xxh3_128(text.as_bytes()),
        })
    }
}

impl From<Value> for Text {
    fn from(value: Value) -> Self {
        let text = value.to_string();
        match text.len() >= LONG {
            true => Self::made(value, &text),
            false => Self(Kept::Whole(text)),
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        let long = text.len() >= LONG;
        match long.then(|| Value::of(&text)).flatten() {
            Some(value) => Self::made(value, &text),
            None => Self(Kept::Whole(text)),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Form> for Text {
    fn from(form: Form) -> Self {
        match form {
            Form::Whole(text) => text.into(),
            Form::Made(value) => value.into(),
        }
    }
}

impl From<Text> for Form {
    fn from(text: Text) -> Self {
        match text.0 {
            Kept::Whole(text) => Self::Whole(text),
            Kept::Made { value, .. } => Self::Made(value),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However it came to be, it is the value's text and nothing else.
        #[test]
        fn is_the_text_that_it_was_made_of(
            txn: u64,
            op in 0_usize..9,
            payload in 0_usize..3 * LONG,
            at: prop::sample::Index,
        ) {
            let value = Value { txn, op, payload };
            let whole = value.to_string();
            let made = Text::from(value);
            prop_assert_eq!(made.text(), whole.as_str());
            prop_assert_eq!(made.size(), whole.len());
            prop_assert!(made.is(&whole));
            prop_assert_eq!(&made, &Text::from(whole.clone()));
            let stored = serde_json::to_string(&made).unwrap();
            prop_assert!(stored.len() < LONG + 2, "{}", stored);
            prop_assert_eq!(&made, &serde_json::from_str::<Text>(&stored).unwrap());
            // As older traces have it.
            let older = serde_json::to_string(&whole).unwrap();
            prop_assert_eq!(&made, &serde_json::from_str::<Text>(&older).unwrap());

            let mut bytes = whole.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(bytes).unwrap();
            prop_assert!(!made.is(&other));
            prop_assert_ne!(&made, &Text::from(other.clone()));
            prop_assert_eq!(Text::from(other.clone()).into_text(), other);
        }
    }
}
