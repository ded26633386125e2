//! The workload: hands in signed transactions over HTTP and watches the chain.
//!
//! Status 202 is a transaction's acknowledgement. The node promises nothing for it before an anchor
//! covers it, so an anchor is a barrier: ahead of each nothing is handed in for some blocks, and
//! where the node then tells of the anchor, and has all that was accepted in its blocks, that is a
//! barrier.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use plugpull_driver::sdk::{Events, note};

use super::api::{Api, AskError, L2State, Submission, Submitted};
use super::id::AnchorId;
use super::sign::{Signer, digest, hex};

/// An anchor comes with every block of this number (`commitmentInterval` in the node's
/// `src/main.cpp`).
const ANCHOR_EVERY: u64 = 100;
/// Nothing is handed in for so many blocks before an anchor.
const QUIET: u64 = 10;
/// How often the chain is looked at, and a transaction handed in. Nothing tells when a block is made.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long the node may give no answer before the workload ends.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Where the workload says what happens.
pub(super) trait Report {
    /// The ID is going to be handed in.
    fn trying(&self, id: &str);
    /// The ID was acknowledged.
    fn ack(&self, id: &str);
    /// The ID was refused, with why.
    fn fail(&self, id: &str, why: &str);
    /// Nobody knows whether the ID was taken, with why.
    fn info(&self, id: &str, why: &str);
    /// All that was acknowledged so far is covered by an anchor.
    fn barrier(&self);
}

impl Report for Events {
    fn trying(&self, id: &str) {
        Events::trying(self, id);
    }

    fn ack(&self, id: &str) {
        Events::ack(self, id);
    }

    fn fail(&self, id: &str, why: &str) {
        note(why);
        Events::fail(self, id);
    }

    fn info(&self, id: &str, why: &str) {
        note(why);
        Events::info(self, id);
    }

    fn barrier(&self) {
        Events::barrier(self);
    }
}

/// The workload, between two looks at the chain.
pub(super) struct Workload<'a, C> {
    api: &'a Api<C>,
    report: &'a dyn Report,
    signer: Signer,
    life: u64,
    /// Transactions made so far.
    made: u64,
    /// What the chain was when this life began.
    began: Option<L2State>,
    /// How many were accepted in this life.
    accepted: u64,
    /// The last anchor that was noted.
    anchored: u64,
    /// The chain's height when the quiet before an anchor began.
    quiet_from: Option<u64>,
    /// Since when there has been no answer.
    silent: Option<Instant>,
}

impl<'a, C: Fn() -> io::Result<TcpStream>> Workload<'a, C> {
    /// The workload's life of this number in a trial, from 1.
    pub(super) fn new(api: &'a Api<C>, life: u64, report: &'a dyn Report) -> Result<Self, String> {
        Ok(Self {
            api,
            report,
            signer: Signer::from_words("plugpull's key for the transactions of ailee_node")?,
            life,
            made: 0,
            began: None,
            accepted: 0,
            anchored: 0,
            quiet_from: None,
            silent: None,
        })
    }

    /// Looks at the chain, notes an anchor, and hands in a transaction where it is time to.
    ///
    /// # Errors
    /// The node has given no answer for long.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        let state = match self.api.state(deadline) {
            Ok(state) => {
                self.silent = None;
                state
            }
            Err(error) => return self.unanswered(&error),
        };
        let began = *self.began.get_or_insert_with(|| {
            self.anchored = state.last_anchor_height;
            state
        });
        if state.last_anchor_height > self.anchored {
            self.anchor(&state, &began)?;
        }
        let next = self.anchored + ANCHOR_EVERY;
        if state.block_height + QUIET >= next {
            self.quiet_from.get_or_insert(state.block_height);
            return Ok(());
        }
        self.quiet_from = None;
        self.hand_in()
    }

    /// Notes the anchor that the chain has come to: a barrier, where all that was accepted was in
    /// blocks by then.
    fn anchor(&mut self, state: &L2State, began: &L2State) -> Result<(), String> {
        self.anchored = state.last_anchor_height;
        let quiet = self.quiet_from.take();
        let settled = quiet.is_some_and(|height| height < state.last_anchor_height)
            && state.total_transactions >= began.total_transactions + self.accepted;
        let hash = match self.api.anchor_hash(Instant::now() + ANSWER_LIMIT) {
            Ok(hash) => hash,
            Err(error) => return self.unanswered(&error),
        };
        let anchor = AnchorId {
            height: state.last_anchor_height,
            hash,
        };
        self.report.ack(&anchor.id());
        if settled {
            self.report.barrier();
        }
        Ok(())
    }

    /// Hands in the next transaction.
    fn hand_in(&mut self) -> Result<(), String> {
        self.made += 1;
        let submission = self.submission()?;
        let id = submission.tx_hash.clone();
        self.report.trying(&id);
        let deadline = Instant::now() + ANSWER_LIMIT;
        match self.api.submit(&submission, deadline) {
            Ok(Submitted::Accepted) => {
                self.accepted += 1;
                self.report.ack(&id);
            }
            Ok(Submitted::Refused(why)) => self.report.fail(&id, &why),
            Ok(Submitted::Unclear(why)) => self.report.info(&id, &why),
            Err(error @ AskError::Unconnected { .. }) => self.report.fail(&id, &error.to_string()),
            Err(error) => self.report.info(&id, &error.to_string()),
        }
        Ok(())
    }

    /// The next transaction. Its hash is that of what it says, with a number that is used once.
    fn submission(&self) -> Result<Submission, String> {
        let (from, to) = (self.signer.public_key(), "plugpull");
        let amount = self.made;
        let text = format!("{from} pays {to} {amount} in life {}", self.life);
        let hash = digest(&text);
        Ok(Submission {
            from_address: from.clone(),
            to_address: to.to_owned(),
            amount,
            tx_hash: hex(&hash),
            signature: self.signer.sign(&hash)?,
            public_key: from,
        })
    }

    /// There was no answer: an error when that has lasted too long.
    fn unanswered(&mut self, error: &AskError) -> Result<(), String> {
        let since = *self.silent.get_or_insert_with(Instant::now);
        if since.elapsed() < SILENCE_LIMIT {
            return Ok(());
        }
        Err(format!(
            "the node has given no good answer for {SILENCE_LIMIT:?}: {error}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    /// Notes what is reported, a line each.
    #[derive(Default)]
    struct Lines(RefCell<Vec<String>>);

    impl Lines {
        fn add(&self, line: String) {
            self.0.borrow_mut().push(line);
        }
    }

    impl Report for Lines {
        fn trying(&self, id: &str) {
            self.add(format!("try {id}"));
        }

        fn ack(&self, id: &str) {
            self.add(format!("ack {id}"));
        }

        fn fail(&self, id: &str, _why: &str) {
            self.add(format!("fail {id}"));
        }

        fn info(&self, id: &str, _why: &str) {
            self.add(format!("info {id}"));
        }

        fn barrier(&self) {
            self.add("barrier".into());
        }
    }

    /// What the workload reports while the chain goes through these states: block_height,
    /// total_transactions, last_anchor_height. Hashes are shown as `tx`.
    fn printed(states: Vec<(u64, u64, u64)>) -> Vec<String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let steps = states.len();
        let mut left = states.into_iter();
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.expect("a connection"), &mut left);
            }
        });
        let api = Api {
            connect: || TcpStream::connect(address),
        };
        let reported = Lines::default();
        let mut work = Workload::new(&api, 1, &reported).expect("a workload");
        for _ in 0..steps {
            work.look().expect("a look");
        }
        let lines = reported.0.into_inner().into_iter();
        let lines = lines.map(|line| match line.split_once(' ') {
            Some((word, id)) if id.len() == 64 => format!("{word} tx"),
            _ => line,
        });
        lines.collect()
    }

    fn answer(mut stream: TcpStream, left: &mut dyn Iterator<Item = (u64, u64, u64)>) {
        let mut reader = BufReader::new(stream.try_clone().expect("a second end"));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).expect("a line"), 0);
        }
        // A question without a body has none.
        let length = head.split("Content-Length: ").nth(1).unwrap_or("0");
        let length = length.lines().next().and_then(|text| text.parse().ok());
        let mut body = vec![0; length.expect("a number")];
        reader.read_exact(&mut body).expect("a body");
        let (status, body) = if head.starts_with("GET /api/l2/state ") {
            let (height, transactions, anchor) = left.next().expect("another state");
            let body = format!(
                "{{\"block_height\":{height},\"total_transactions\":{transactions},\
                 \"last_anchor_height\":{anchor}}}"
            );
            (200, body)
        } else if head.starts_with("GET /api/anchors/latest ") {
            (200, "{\"last_anchor_hash\":\"N/A\"}".into())
        } else {
            (202, "{}".into())
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("it is read");
    }

    #[test]
    fn an_anchor_is_a_barrier_for_all_that_was_in_blocks() {
        let lines = printed(vec![(1, 0, 0), (2, 1, 0), (91, 2, 0), (100, 2, 100)]);
        assert_eq!(
            lines,
            [
                "try tx",
                "ack tx",
                "try tx",
                "ack tx",
                "ack anchor-100",
                "barrier",
                "try tx",
                "ack tx"
            ]
        );
    }

    #[test]
    fn an_anchor_that_may_not_cover_everything_is_no_barrier() {
        let not_in_blocks = vec![(1, 0, 0), (91, 0, 0), (100, 0, 100)];
        let not_quiet = vec![(1, 0, 0), (100, 1, 100)];
        for states in [not_in_blocks, not_quiet] {
            let lines = printed(states);
            assert!(lines.contains(&"ack anchor-100".into()), "{lines:?}");
            assert!(!lines.contains(&"barrier".into()), "{lines:?}");
        }
    }
}
