//! gRPC as far as targets need it: unary calls and streamed answers over one connection, in
//! plaintext, on both sides.
//!
//! HTTP/2 is the `h2` crate's, messages are `prost`'s; what is left of the protocol
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>) is a prefix of five bytes,
//! a few headers and a status. A full client with balancing and retries would bring some forty
//! crates more, and a retried commit is the last thing that a tester wants.

mod client;
mod frame;
mod server;
#[cfg(test)]
mod tests;

pub use client::{CallError, Channel, one};
pub use server::{Service, Status, serve};

/// The status of a call that went well.
const OK: &str = "0";
/// `INTERNAL` of <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
pub const INTERNAL: u32 = 13;
/// `UNIMPLEMENTED`, for a method that nobody knows.
pub const UNIMPLEMENTED: u32 = 12;
/// `INVALID_ARGUMENT`, for a message that cannot be read.
pub const INVALID_ARGUMENT: u32 = 3;
