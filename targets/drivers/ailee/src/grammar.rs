//! The tokens of the snapshot file, read at a position of its bytes.

use super::state::Text;

/// Why a token was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end, and might have gone on as the grammar wants.
    End,
    /// Another byte stands there.
    Wrong {
        /// Where.
        at: usize,
        /// What is wanted.
        wanted: String,
    },
}

/// A position in the bytes of a file.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// The first line end within a quoted value.
    pub(super) broken_value: Option<usize>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            broken_value: None,
        }
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Exactly this text.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Stop> {
        let rest = self.rest();
        let pairs = rest.iter().zip(text.as_bytes());
        let same = pairs.take_while(|(there, wanted)| there == wanted).count();
        self.at += same;
        if same == text.len() {
            Ok(())
        } else if same == rest.len() {
            Err(Stop::End)
        } else {
            Err(self.wrong(format!("{text:?}")))
        }
    }

    /// Whether this text comes next; an error where the bytes end before that is known.
    pub(super) fn next_is(&self, text: &str) -> Result<bool, Stop> {
        let rest = self.rest();
        if rest.starts_with(text.as_bytes()) {
            Ok(true)
        } else if text.as_bytes().starts_with(rest) {
            Err(Stop::End)
        } else {
            Ok(false)
        }
    }

    /// A decimal number without needless zeros, up to `most`. More bytes must follow: a number at
    /// the end of the bytes may have had more digits.
    pub(super) fn number(&mut self, most: u64) -> Result<u64, Stop> {
        let rest = self.rest();
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == rest.len() && digits <= 20 {
            return Err(Stop::End);
        }
        let zeros = digits > 1 && rest[0] == b'0';
        let value = rest[..digits].iter().try_fold(0_u64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        match value.filter(|value| digits > 0 && !zeros && *value <= most) {
            Some(value) => {
                self.at += digits;
                Ok(value)
            }
            None => Err(self.wrong(format!("a number from 0 to {most}"))),
        }
    }

    /// A decimal number of 32 bits, which may be negative.
    pub(super) fn int(&mut self) -> Result<i32, Stop> {
        let began = self.at;
        let negative = self.rest().first() == Some(&b'-');
        self.at += usize::from(negative);
        let most = if negative { 1 << 31 } else { (1 << 31) - 1 };
        let number = self.number(most).map_err(|stop| match stop {
            Stop::Wrong { .. } => Stop::Wrong {
                at: began,
                wanted: "a number of 32 bits".into(),
            },
            Stop::End => Stop::End,
        })?;
        let number = i64::try_from(number).unwrap_or_default();
        Ok(i32::try_from(if negative { -number } else { number }).unwrap_or_default())
    }

    /// A value in quotes, in which `\"` and `\\` stand for `"` and `\`.
    pub(super) fn quoted(&mut self) -> Result<Text, Stop> {
        self.text("\"")?;
        let mut text = Vec::new();
        loop {
            match self.rest() {
                [] | [b'\\'] => return Err(Stop::End),
                [b'"', ..] => {
                    self.at += 1;
                    return Ok(text);
                }
                [b'\\', escaped @ (b'"' | b'\\'), ..] => {
                    text.push(*escaped);
                    self.at += 2;
                }
                [b'\\', ..] => return Err(self.wrong("\\\" or \\\\")),
                [byte, ..] => {
                    if *byte == b'\n' {
                        self.broken_value.get_or_insert(self.at);
                    }
                    text.push(*byte);
                    self.at += 1;
                }
            }
        }
    }

    fn wrong(&self, wanted: impl Into<String>) -> Stop {
        Stop::Wrong {
            at: self.at,
            wanted: wanted.into(),
        }
    }
}
