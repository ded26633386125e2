//! The seeded moments at which faults are injected, where the user names none.

use std::time::Duration;

use plugpull_sandbox::fuse::OpKind;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::rule::Matcher;
use crate::trigger::{Trigger, When};

/// Some way into the workload: before any change of the disk, or after an ack.
pub(crate) fn anywhere(rng: &mut ChaCha8Rng) -> Trigger {
    if rng.random_bool(0.7) {
        let nth = skewed(rng, 400);
        Trigger::at(When::Op {
            matcher: Matcher::default(),
            nth,
        })
    } else {
        Trigger::at(When::Ack(skewed(rng, 80)))
    }
}

/// After some acks.
pub(crate) fn after_acks(rng: &mut ChaCha8Rng) -> Trigger {
    Trigger::at(When::Ack(rng.random_range(5..60)))
}

/// Before an operation of one of these kinds.
pub(crate) fn before(kinds: &[OpKind], rng: &mut ChaCha8Rng) -> Trigger {
    let matcher = Matcher {
        kinds: kinds.to_vec(),
        path: None,
    };
    Trigger::at(When::Op {
        matcher,
        nth: skewed(rng, 120),
    })
}

/// Early in the recovery: before one of its first changes, or after a short time, since many a
/// recovery changes nothing.
pub(crate) fn in_recovery(rng: &mut ChaCha8Rng) -> Trigger {
    let when = if rng.random_bool(0.5) {
        When::Op {
            matcher: Matcher::default(),
            nth: skewed(rng, 4),
        }
    } else {
        When::Time(Duration::from_micros(rng.random_range(500..6000)))
    };
    Trigger {
        recovery: true,
        ..Trigger::at(when)
    }
}

/// From 1 up to `most`, small numbers more often: every order of magnitude is as likely.
fn skewed(rng: &mut ChaCha8Rng, most: u64) -> u64 {
    let top = (most as f64).ln();
    (rng.random_range(0.0..=top).exp() as u64).clamp(1, most)
}
