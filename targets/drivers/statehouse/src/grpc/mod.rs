//! gRPC as far as targets need it: unary calls and streamed answers over one connection, in
//! plaintext, on both sides.
//!
//! `tonic` speaks the protocol, `hyper` HTTP/2, and messages are `prost`'s. Of tonic only its two ends
//! of a call are used, not its channel: that one connects again by itself, and a call must never
//! reach another daemon than the one before it.

mod client;
mod server;
#[cfg(test)]
mod tests;

pub use client::{CallError, Channel, one};
pub use server::{Answer, Call, Service, serve};
pub use tonic::Status;
