//! Mutant damage is found, each kind by its own name; what the programs write is found sound.

// tidy: small because it only names the parts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod guide;
mod node;
mod noise;
