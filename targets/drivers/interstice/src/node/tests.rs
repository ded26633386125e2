//! The codec, the client against a node that a test speaks for, and the node's directory.

// tidy: small because it only names the parts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod codec;
mod directory;
mod installed;
mod script;
