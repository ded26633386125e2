//! Ctrl-C: the run ends with a report of what was done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that Ctrl-C and SIGTERM raise. A second Ctrl-C ends plugpull at once, and the sandbox
/// with it.
pub(super) fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = stop.clone();
    let set = ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = set {
        eprintln!("plugpull: Ctrl-C will end the run without a report: {error}");
    }
    stop
}
