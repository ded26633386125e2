//! How plugpull speaks with an embedded target: one JSON value a line over TCP on 127.0.0.1.
//!
//! The worker binds a port of the kernel's choice and prints `ready PORT` on standard output once
//! it takes connections. On each connection requests are answered one by one, in order.

mod client;
mod launch;
mod protocol;
mod server;
mod shared;
mod store;

pub use client::WireClient;
pub(crate) use client::{remaining, retry_or};
pub(crate) use launch::announced;
pub use launch::{WireRunning, start};
pub use protocol::{Answer, MAX_LINE, READY, Request};
pub use server::{serve, serve_on};
pub(crate) use shared::Shared;
pub use store::{Session, Store, StoreError};
