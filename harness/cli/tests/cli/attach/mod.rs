//! `plugpull attach` and `ci/test-recovery.sh` against a real daemon: the reference store, kept
//! alive by a fake supervisor.

mod interrupted;
mod modes;
pub(crate) mod real_systemd;
mod refusals;
mod script;
mod seen_to_end;
mod service;
mod systemd;
