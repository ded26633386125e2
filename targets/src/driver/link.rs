//! The pipes to a driver: requests go out, and each answer finds whoever waits for it.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use parking_lot::Mutex;

use super::protocol::{Answer, Call, MAX_LINE, Request};
use crate::Pipes;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The deadline passed.
    Late,
    /// The driver closed its standard output.
    Ended,
    /// It broke the protocol, in these words.
    Breach(String),
}

impl NoAnswer {
    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Late => "the deadline passed".into(),
            Self::Ended => "the driver closed its standard output".into(),
            Self::Breach(why) => format!("the driver broke the protocol: {why}"),
        }
    }
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, Sender<Answer>>,
    /// Requests that nobody waits for any more.
    given_up: HashSet<u64>,
    over: Option<NoAnswer>,
}

/// A driver that is spoken with. When it is dropped, the driver's standard input ends.
pub(super) struct Link {
    lines: Sender<Vec<u8>>,
    state: Arc<Mutex<State>>,
}

/// An answer that is on its way.
pub(super) struct Pending {
    id: u64,
    answer: Receiver<Answer>,
    state: Arc<Mutex<State>>,
}

impl Link {
    /// Speaks over these pipes, from threads of its own: a driver that stands still must not hold
    /// up whoever writes to it.
    pub(super) fn new(pipes: Pipes) -> std::io::Result<Self> {
        let (lines, queue) = mpsc::channel();
        let state = Arc::new(Mutex::new(State::default()));
        let (stdin, stdout, heard) = (pipes.stdin, pipes.stdout, Arc::clone(&state));
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        thread("driver input").spawn(move || write(stdin, &queue))?;
        thread("driver output").spawn(move || hear(stdout, &heard))?;
        Ok(Self { lines, state })
    }

    /// Sends a request.
    pub(super) fn ask(
        &self,
        client: Option<u32>,
        call: Call<'_>,
        deadline: Instant,
    ) -> Result<Pending, NoAnswer> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::Late);
        }
        let (send, answer) = mpsc::channel();
        let id = {
            let mut state = self.state.lock();
            if let Some(over) = &state.over {
                return Err(over.clone());
            }
            state.next += 1;
            let id = state.next;
            state.waiting.insert(id, send);
            id
        };
        let request = Request {
            id,
            client,
            timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1),
            call,
        };
        let mut line =
            serde_json::to_vec(&request).map_err(|error| NoAnswer::Breach(error.to_string()))?;
        line.push(b'\n');
        // Where the writer is gone, so is the driver, and its output tells.
        let _ = self.lines.send(line);
        Ok(Pending {
            id,
            answer,
            state: Arc::clone(&self.state),
        })
    }

    /// Sends a request and waits for its answer.
    pub(super) fn call(
        &self,
        client: Option<u32>,
        call: Call<'_>,
        deadline: Instant,
    ) -> Result<Answer, NoAnswer> {
        let pending = self.ask(client, call, deadline)?;
        match pending.wait(deadline) {
            Err(NoAnswer::Late) => {
                pending.give_up();
                Err(NoAnswer::Late)
            }
            other => other,
        }
    }
}

impl Pending {
    /// Waits for the answer until `deadline`; it can be waited for again after that.
    pub(super) fn wait(&self, deadline: Instant) -> Result<Answer, NoAnswer> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.answer.recv_timeout(left) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => Err(NoAnswer::Late),
            Err(RecvTimeoutError::Disconnected) => {
                let over = self.state.lock().over.clone();
                Err(over.unwrap_or(NoAnswer::Ended))
            }
        }
    }

    fn give_up(&self) {
        let mut state = self.state.lock();
        if state.waiting.remove(&self.id).is_some() {
            state.given_up.insert(self.id);
        }
    }
}

fn write(mut stdin: PipeWriter, lines: &Receiver<Vec<u8>>) {
    for line in lines {
        if stdin.write_all(&line).is_err() {
            return;
        }
    }
}

fn hear(stdout: PipeReader, state: &Mutex<State>) {
    let mut stdout = BufReader::new(stdout);
    let over = loop {
        match next_line(&mut stdout).and_then(|line| deliver(&line, state)) {
            Ok(()) => {}
            Err(over) => break over,
        }
    };
    let mut state = state.lock();
    state.over = Some(over);
    // Whoever waits learns it by that.
    state.waiting.clear();
}

/// The next line, with its end.
pub(super) fn next_line(stdout: &mut impl BufRead) -> Result<Vec<u8>, NoAnswer> {
    let mut line = Vec::new();
    let read = stdout.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
    if read.is_err() || line.is_empty() {
        return Err(NoAnswer::Ended);
    }
    match line.last() {
        Some(b'\n') => Ok(line),
        _ if line.len() as u64 == MAX_LINE => {
            let why = format!("it wrote a line of more than {MAX_LINE} bytes");
            Err(NoAnswer::Breach(why))
        }
        // It was killed while it wrote.
        _ => Err(NoAnswer::Ended),
    }
}

fn deliver(line: &[u8], state: &Mutex<State>) -> Result<(), NoAnswer> {
    let answer = Answer::parse(line).map_err(NoAnswer::Breach)?;
    let Some(id) = answer.id else {
        let why = format!("it could not read a request: {}", answer.text);
        return Err(NoAnswer::Breach(why));
    };
    let mut state = state.lock();
    if let Some(waits) = state.waiting.remove(&id) {
        // Whoever waited may have given up just now.
        let _ = waits.send(answer);
    } else if !state.given_up.remove(&id) {
        let what = if id == 0 || id > state.next {
            "was never made"
        } else {
            "has its answer"
        };
        let why = format!("it answered request {id}, which {what}");
        return Err(NoAnswer::Breach(why));
    }
    Ok(())
}
