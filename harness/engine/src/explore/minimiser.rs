//! The thread that confirms and minimises findings, beside the exploration: failing trials are handed
//! to it in their order, and counted in that order, so that the result is the same with any number of
//! workers.
// tidy: small because it is a thread's whole work, and what it does is in `findings` and `retry`.

use crossbeam_channel::{Receiver, Sender};

use super::findings::{Failing, Findings, News};
use super::grouping::Groups;
use super::retry::Retry;
use crate::outcome::guard;

/// Counts failing trials until there are no more. The groups.
pub(super) fn work(
    mut findings: Findings,
    mut retry: Retry<'_, '_>,
    failing: &Receiver<Failing>,
    news: &Sender<News>,
) -> Groups {
    for trial in failing {
        // The explorer waits for it until the end.
        let mut tell = |one| drop(news.send(one));
        let counted = guard(|| {
            findings.count(&trial, &mut retry, &mut tell);
            Ok(())
        });
        if counted.is_err() {
            // A finding is not lost because plugpull failed when it was to be made smaller.
            let counted = guard(|| {
                findings.count_as_they_are(&trial, &mut retry, &mut tell);
                Ok(())
            });
            if let Err(failure) = counted {
                tell(News::Failed(failure));
            }
        }
    }
    findings.tell_changed(&mut |one| drop(news.send(one)));
    findings.into_groups()
}
