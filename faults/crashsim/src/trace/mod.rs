//! The trace as a file: a log and whatever its owner says of it, to be kept and moved.
//!
//! # The form, version 2
//!
//! The line `plugpull.trace/2`, then frames. (Version 1 has fewer kinds of operations and is read as
//! well.) A frame is a kind (1 byte), the length of its payload
//! as stored and as it was before compression (4 bytes each), a checksum over all of these and the
//! payload (8 bytes, XXH3), and the payload, an LZ4 block. All numbers are little-endian.
//!
//! | kind | payload |
//! | --- | --- |
//! | `P` | whole pages of 4096 bytes, numbered through the file from 0; equal pages are stored once |
//! | `R` | records and acks in the order in which they happened, in postcard's form |
//! | `A` | what the owner says of the trace (for plugpull: JSON) |
//! | `E` | the end: how many records, acks and pages there are |
//!
//! A page comes before the first record that needs it, so a trace is written and read in one go.
//! A file without its `E` is not whole, and refused.

mod frame;
mod limits;
mod names;
mod read;
#[cfg(test)]
mod trace_test;
mod write;

pub use read::{TraceError, Traced, fingerprint, read, read_from};
pub use write::{TraceWriter, to_bytes};
