//! Signals: the run ends with a report of what was done, in time.
//!
//! A signal raises a flag, and the run comes to its end by itself. What it is in the middle of may
//! take long: a target that hangs, a recording, a machine that is busy. Where it is not done in time,
//! a thread of its own reports what there is, and plugpull ends.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// How long a run has to come to its end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// What is done when a run has not come to its end by itself.
#[derive(Default)]
pub(super) enum Overdue {
    /// plugpull ends: there is nothing to report yet.
    #[default]
    End,
    /// This. It may end plugpull.
    Report(Box<dyn FnOnce(Signal) + Send>),
    /// Nothing: what is under way must be done, and is not long.
    Wait,
}

/// Whether a signal asked plugpull to end, and which.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    raised: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
    overdue: Arc<Mutex<Overdue>>,
}

impl Stop {
    /// What is done from here on when a run has not come to its end in time.
    pub(super) fn when_overdue(&self, overdue: Overdue) {
        *self.overdue.lock() = overdue;
    }

    /// Whether a signal came.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

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
/// second one ends plugpull at once, and the sandbox with it. A run that has not ended by itself a
/// second after the first is overdue.
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
    if let Err(error) = watch(&stop) {
        eprintln!("plugpull: after a signal the report may take long: {error}");
    }
    stop
}

/// Starts the thread that waits for a signal, and for the end of what was to end in time.
fn watch(stop: &Stop) -> std::io::Result<()> {
    let (mut signalled, signals) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        pipe::register(signal, signals.try_clone()?)?;
    }
    let stop = stop.clone();
    let watching = move || {
        // The handlers keep the other end for as long as plugpull lives.
        if signalled.read_exact(&mut [0]).is_err() {
            return;
        }
        std::thread::sleep(GRACE);
        let signal = stop.signal().unwrap_or(Signal(SIGTERM));
        let overdue = std::mem::replace(&mut *stop.overdue.lock(), Overdue::Wait);
        match overdue {
            Overdue::End => std::process::exit(i32::from(signal.exit_code())),
            Overdue::Report(report) => report(signal),
            Overdue::Wait => {}
        }
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(watching)?;
    Ok(())
}
