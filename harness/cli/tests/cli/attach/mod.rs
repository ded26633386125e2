//! `plugpull attach` and `ci/test-recovery.sh` against a real daemon: the reference store, kept
//! alive by a stand-in for a supervisor.

mod interrupted;
mod modes;
pub(crate) mod real_systemd;
mod refusals;
mod script;
mod seen_to_end;
mod service;
mod systemd;
