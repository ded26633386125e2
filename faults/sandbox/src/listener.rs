//! What init sends, sorted by who waits for it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::child::{Ending, Life};
use super::packet;
use super::protocol::{Answer, Failure, FromInit};

/// An answer of init's with what came with it.
pub(super) struct Reply {
    pub(super) answer: Answer,
    pub(super) fd: Option<OwnedFd>,
    /// Where the end of the process that the answer names is made known.
    pub(super) ending: Option<Arc<Ending>>,
}

/// What the thread that listens to init shares with those that ask.
#[derive(Default)]
pub(super) struct Replies {
    state: Mutex<Awaited>,
}

#[derive(Default)]
struct Awaited {
    /// Who waits for which answer.
    waiting: HashMap<u64, Sender<Result<Reply, Failure>>>,
    /// Where the end of which process is made known.
    endings: HashMap<i32, Arc<Ending>>,
    /// No more answers come.
    gone: bool,
}

impl Replies {
    /// Announces a request of this number, before it is sent: its answer comes through the
    /// channel, whose end says that none will come. None when no answers come any more.
    pub(super) fn expect(&self, id: u64) -> Option<Receiver<Result<Reply, Failure>>> {
        let (sender, receiver) = bounded(1);
        let mut state = self.state.lock();
        if state.gone {
            return None;
        }
        state.waiting.insert(id, sender);
        Some(receiver)
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&self, id: u64) {
        self.state.lock().waiting.remove(&id);
    }

    /// Takes init's answers and news until it has ended.
    pub(super) fn listen(&self, control: &OwnedFd) {
        while let Ok(Some((message, fds))) = packet::receive::<FromInit>(control) {
            match message {
                FromInit::Answer { id, result } => self.answered(id, result, fds),
                FromInit::Exited { pid, code } => {
                    if let Some(ending) = self.state.lock().endings.remove(&pid) {
                        ending.set(Life::Ended(code));
                    }
                }
                // Said once, before this thread began.
                FromInit::Ready(_) | FromInit::Failed(_) => {}
            }
        }
        let mut state = self.state.lock();
        state.gone = true;
        // Whoever waits is woken by the end of its channel.
        state.waiting.clear();
        for (_, ending) in state.endings.drain() {
            ending.set(Life::Lost);
        }
    }

    fn answered(&self, id: u64, result: Result<Answer, Failure>, fds: Vec<OwnedFd>) {
        let mut state = self.state.lock();
        let reply = result.map(|answer| Reply {
            ending: match answer {
                Answer::Started(pid) => {
                    let ending = Ending::new();
                    // init reports its start before its end.
                    state.endings.insert(pid, Arc::clone(&ending));
                    Some(ending)
                }
                Answer::Done | Answer::Elsewhere(_) | Answer::Usage(_) => None,
            },
            answer,
            fd: fds.into_iter().next(),
        });
        if let Some(sender) = state.waiting.remove(&id) {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "whoever sent the request may have given up"
            )]
            let _ = sender.send(reply);
        }
    }
}
