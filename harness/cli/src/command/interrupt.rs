//! Signals: the run ends with a report of what was done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal asked plugpull to end, and which.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    raised: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// The flag that a signal raises.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.raised
    }

    /// The signal, where one came.
    pub(crate) fn signal(&self) -> Option<Signal> {
        let number = i32::try_from(self.signal.load(Ordering::Relaxed)).ok();
        number.filter(|number| *number != 0).map(Signal)
    }
}

/// A signal that ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// `SIGINT`.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            SIGHUP => "SIGHUP",
            _ => "a signal",
        }
    }

    /// The exit code of a run that it ended, as a shell has it: 128 and its number.
    pub(crate) fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(crate::FAILED)
    }
}

/// Takes SIGINT (Ctrl-C), SIGTERM and SIGHUP from here on: the first one asks the run to end. The
/// second one ends plugpull at once, and the sandbox with it.
pub(crate) fn stop_on_signal() -> Stop {
    let stop = Stop::default();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The order counts: the first signal finds the flag down.
        let set = flag::register_conditional_shutdown(signal, 128 + signal, stop.raised.clone())
            .and_then(|_| {
                let number = usize::try_from(signal).unwrap_or_default();
                flag::register_usize(signal, stop.signal.clone(), number)
            })
            .and_then(|_| flag::register(signal, stop.raised.clone()));
        if let Err(error) = set {
            let name = Signal(signal).name();
            eprintln!("plugpull: {name} will end the run without a report: {error}");
        }
    }
    stop
}
