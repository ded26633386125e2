//! The workload: hands in signed transactions over HTTP and watches the chain. It runs in the
//! sandbox, as plugpull's own binary again, and prints the lines of
//! [`Said`](crate::Said).
//!
//! Status 202 is a transaction's acknowledgement. The node promises nothing for it before an anchor
//! covers it, so an anchor is a barrier: ahead of each nothing is handed in for some blocks, and
//! where the node then tells of the anchor, and has all that was accepted in its blocks, `barrier`
//! is printed.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::api::{Api, AskError, L2State, Submission, Submitted};
use super::said::AnchorSaid;
use super::sign::{Signer, digest, hex};

/// The argument that makes the process of a stand-in this workload: `PORT LIFE`.
pub(crate) const WORKLOAD: &str = "ailee-node-workload";

/// An anchor comes with every block of this number (`commitmentInterval` in the node's
/// `src/main.cpp`).
const ANCHOR_EVERY: u64 = 100;
/// Nothing is handed in for so many blocks before an anchor.
const QUIET: u64 = 10;
/// How often the chain is looked at, and a transaction handed in. Nothing tells when a block is made.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long the node may give no answer before the workload ends.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Becomes the workload: `PORT LIFE`. Returns the exit code and why, when it ends.
pub(crate) fn main(args: &[String]) -> (i32, String) {
    let numbers = match args {
        [port, life] => port.parse::<u16>().ok().zip(life.parse::<u64>().ok()),
        _ => None,
    };
    let Some((port, life)) = numbers else {
        return (2, format!("{WORKLOAD} takes PORT LIFE, not {args:?}"));
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let api = Api {
        connect: || TcpStream::connect_timeout(&address, ANSWER_LIMIT),
    };
    let mut out = io::stdout();
    let ended = Workload::new(&api, life, &mut out).and_then(|mut work| {
        loop {
            work.step()?;
            sleep(LOOK_EVERY);
        }
    });
    match ended {
        Ok(()) => (0, String::new()),
        Err(why) => (1, format!("Error: {why}")),
    }
}

/// The workload, between two looks at the chain.
pub(super) struct Workload<'a, C> {
    api: &'a Api<C>,
    out: &'a mut dyn Write,
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
    pub(super) fn new(api: &'a Api<C>, life: u64, out: &'a mut dyn Write) -> Result<Self, String> {
        Ok(Self {
            api,
            out,
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
    /// The node has given no answer for long, or nobody listens to this workload.
    pub(super) fn step(&mut self) -> Result<(), String> {
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
        let anchor = AnchorSaid {
            height: state.last_anchor_height,
            hash,
        };
        self.say(&format!("ack {}\n", anchor.id()))?;
        if settled {
            self.say("barrier\n")?;
        }
        Ok(())
    }

    /// Hands in the next transaction.
    fn hand_in(&mut self) -> Result<(), String> {
        self.made += 1;
        let submission = self.submission()?;
        let id = submission.tx_hash.clone();
        self.say(&format!("try {id}\n"))?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        match self.api.submit(&submission, deadline) {
            Ok(Submitted::Accepted) => {
                self.accepted += 1;
                self.say(&format!("ack {id}\n"))
            }
            Ok(Submitted::Refused(why)) => self.say(&format!("{why}\nfail {id}\n")),
            Ok(Submitted::Unclear(why)) => self.say(&format!("{why}\ninfo {id}\n")),
            Err(error @ AskError::Unconnected { .. }) => self.say(&format!("{error}\nfail {id}\n")),
            Err(error) => self.say(&format!("{error}\ninfo {id}\n")),
        }
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

    fn say(&mut self, lines: &str) -> Result<(), String> {
        self.out
            .write_all(lines.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|error| format!("cannot tell what was acknowledged: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What the workload prints while the chain goes through these states: block_height,
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
        let mut out = Vec::new();
        let mut work = Workload::new(&api, 1, &mut out).expect("a workload");
        for _ in 0..steps {
            work.step().expect("a step");
        }
        let text = String::from_utf8(out).expect("text");
        let lines = text.lines().map(|line| match line.split_once(' ') {
            Some((word, id)) if id.len() == 64 => format!("{word} tx"),
            _ => line.to_owned(),
        });
        lines.collect()
    }

    fn answer(mut stream: TcpStream, left: &mut dyn Iterator<Item = (u64, u64, u64)>) {
        let mut reader = BufReader::new(stream.try_clone().expect("a second end"));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).expect("a line"), 0);
        }
        let length = head.split("Content-Length: ").nth(1).expect("a length");
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
