//! `plugpull attach` and `ci/test-recovery.sh` against a real daemon: the reference store, kept
//! alive by a stand-in for a supervisor.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../support/mod.rs"]
mod support;

mod interrupted;
mod modes;
mod real_systemd;
mod refusals;
mod script;
mod service;
mod systemd;
