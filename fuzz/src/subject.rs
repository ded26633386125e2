//! One reader under fuzzing.
// tidy: small because it is what every subject has, and no more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// How inputs are made from sound ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Bytes, of which nothing is known.
    Bytes,
    /// Text of words and signs.
    Text,
    /// JSON, one value or a value in each line: mostly changed as values.
    Json,
    /// Frames of a trace: what is in them is changed, and their checksums are made right again.
    Frames,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It was read to its end.
    Read,
    /// It was refused, with a message.
    Refused,
}

/// Reads an input; the directory is its own, and empty but for what the reader wrote there before. The
/// error says which property did not hold. A panic is a failure as well.
pub type Property = fn(&[u8], &Path) -> Result<Reading, String>;

/// A reader with what must hold of it.
#[derive(Clone, Copy)]
pub struct Subject {
    /// Its name on the command line.
    pub name: &'static str,
    /// How its inputs are made.
    pub shape: Shape,
    /// Sound inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What must hold for every input.
    pub property: Property,
    /// The same for a reader that is wrong: a test shows that fuzzing finds it.
    pub mutant: Property,
}

/// What a reader makes of something, where anything will do: that it comes back is the property.
pub fn any<T>(_made: T) {}

/// Holds a property to one input. The error says what failed, also where it panicked.
pub fn hold(property: Property, input: &[u8], scratch: &Path) -> Result<Reading, String> {
    catch_unwind(AssertUnwindSafe(|| property(input, scratch))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", text.unwrap_or("without a text")))
    })
}
