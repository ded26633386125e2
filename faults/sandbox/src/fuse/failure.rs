//! A failure of the server itself, kept for whoever has to tell it from a failure of the target.
//!
//! A panic is noted before it unwinds: the kernel is answered while it does, and a target that
//! fails of that answer must not be looked at before the failure is known.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Once, OnceLock};

use thiserror::Error;

/// The server of a crash filesystem failed: what a target has seen since is not its own doing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the server of the crash filesystem {message}{}", at(.place.as_ref()))]
pub struct ServerFailure {
    /// What happened to it: "panicked: no such page".
    pub message: String,
    /// The file and line of a panic, where they are known.
    pub place: Option<String>,
}

fn at(place: Option<&String>) -> String {
    place.map_or_else(String::new, |place| format!(" (at {place})"))
}

/// Where the first failure of a server is kept.
#[derive(Clone, Default)]
pub(super) struct Failures {
    first: Arc<OnceLock<ServerFailure>>,
}

thread_local! {
    /// Where the panics of this thread are noted, while it serves.
    static SERVING: RefCell<Option<Failures>> = const { RefCell::new(None) };
}

impl Failures {
    /// Notes a failure, if it is the first.
    pub(super) fn note(&self, message: String, place: Option<String>) {
        self.first.get_or_init(|| ServerFailure { message, place });
    }

    pub(super) fn first(&self) -> Option<ServerFailure> {
        self.first.get().cloned()
    }

    /// Runs it. A panic within is noted, with its place, and not printed: then there is no result.
    pub(super) fn catch<T>(&self, run: impl FnOnce() -> T) -> Option<T> {
        watch_panics();
        let before = SERVING.replace(Some(self.clone()));
        let done = panic::catch_unwind(AssertUnwindSafe(run));
        SERVING.set(before);
        // Noted by the hook already, unless somebody took the hook away.
        done.map_err(|payload| self.note(panicked(&*payload), None))
            .ok()
    }
}

fn panicked(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", message.unwrap_or("without a message"))
}

/// Has the panics of threads that serve noted where they happen; all others go on as before.
fn watch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let serving = SERVING.with_borrow(Clone::clone);
            match serving {
                Some(failures) => {
                    let place = info.location().map(ToString::to_string);
                    failures.note(panicked(info.payload()), place);
                }
                None => earlier(info),
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_panic_is_kept_with_its_place() {
        let failures = Failures::default();
        assert_eq!(failures.catch(|| 3), Some(3));
        assert_eq!(failures.first(), None);
        assert_eq!(failures.catch(|| -> u8 { panic!("page {}", 7) }), None);
        assert_eq!(failures.catch(|| -> u8 { panic!("later") }), None);
        let failure = failures.first().expect("a failure");
        assert_eq!(failure.message, "panicked: page 7");
        let place = failure.place.clone().expect("a place");
        assert!(place.contains("failure.rs:"), "{place}");
        let text = failure.to_string();
        assert!(
            text.ends_with(&format!("panicked: page 7 (at {place})")),
            "{text}"
        );
    }
}
