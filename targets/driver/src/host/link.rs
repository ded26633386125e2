//! What connects plugpull with a driver, two pipes or a socket: requests go out, and each answer finds whoever waits for it.
//!
//! There are no threads here. Whoever waits for an answer reads the driver's standard output, for
//! all who wait, and hands that over when its own answer has come. Both pipes are non-blocking: a
//! driver that stands still keeps nobody longer than its deadline.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Pipes;
use crate::protocol::{Call, EventKind, MAX_LINE, Request, Verdict, not_an_answer};

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The deadline passed.
    Late,
    /// The driver closed its standard output.
    Ended,
    /// It broke the protocol, in this way.
    Breach(String),
}

impl NoAnswer {
    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Late => "the deadline passed".into(),
            Self::Ended => "the driver closed its standard output".into(),
            Self::Breach(why) => format!("the driver broke the protocol: {why}"),
        }
    }
}

/// A line from a driver, of which only the head is understood yet.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) id: Option<u64>,
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
    line: Vec<u8>,
}

impl Reply {
    /// What the call returns; the error says what does not fit.
    pub(crate) fn returned<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.line).map_err(|error| error.to_string())
    }
}

/// The head of a line.
#[derive(Deserialize)]
struct Head {
    id: Option<u64>,
    answer: Option<Verdict>,
    event: Option<EventKind>,
    item: Option<String>,
    #[serde(default)]
    text: String,
}

/// What a line is.
enum Line {
    Reply(Reply),
    Event(u64, EventKind, Option<String>),
}

impl Line {
    fn parse(line: Vec<u8>) -> Result<Self, String> {
        let head: Head =
            serde_json::from_slice(&line).map_err(|error| not_an_answer(&error, &line))?;
        match (head.answer, head.event, head.id) {
            (Some(verdict), None, id) => Ok(Self::Reply(Reply {
                id,
                verdict,
                text: head.text,
                line,
            })),
            (None, Some(event), Some(id)) => Ok(Self::Event(id, event, head.item)),
            _ => Err(not_an_answer(&"it has neither answer nor event", &line)),
        }
    }
}

/// A request that is under way.
#[derive(Default)]
struct Waiting {
    events: VecDeque<(EventKind, Option<String>)>,
    reply: Option<Reply>,
}

struct State {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    /// Requests that nobody waits for any more.
    given_up: HashSet<u64>,
    over: Option<NoAnswer>,
    /// None while somebody reads.
    reader: Option<Reader>,
}

/// The driver's standard output, with what was read of the next line.
struct Reader {
    stdout: File,
    buffer: Vec<u8>,
    /// So much of the buffer has no line end in it.
    searched: usize,
}

/// The driver's standard input, with what could not be written yet.
struct Writer {
    stdin: File,
    unsent: Vec<u8>,
}

/// A driver that is spoken with. When it is dropped, the driver's standard input ends.
pub(crate) struct Link {
    writer: Mutex<Writer>,
    state: Mutex<State>,
    changed: Condvar,
}

/// What comes of a request that has events.
pub(crate) enum Heard {
    Event(EventKind, Option<String>),
    Reply(Reply),
}

impl Link {
    /// Speaks over a driver's standard input and standard output.
    pub(crate) fn new(pipes: Pipes) -> io::Result<Self> {
        Self::over(pipes.stdin.into(), pipes.stdout.into())
    }

    /// Speaks over these two, of which the first is written and the second is read.
    pub(crate) fn over(stdin: OwnedFd, stdout: OwnedFd) -> io::Result<Self> {
        let (stdin, stdout) = (File::from(stdin), File::from(stdout));
        rustix::io::ioctl_fionbio(&stdin, true)?;
        rustix::io::ioctl_fionbio(&stdout, true)?;
        Ok(Self {
            writer: Mutex::new(Writer {
                stdin,
                unsent: Vec::new(),
            }),
            state: Mutex::new(State {
                next: 0,
                waiting: HashMap::new(),
                given_up: HashSet::new(),
                over: None,
                reader: Some(Reader {
                    stdout,
                    buffer: Vec::new(),
                    searched: 0,
                }),
            }),
            changed: Condvar::new(),
        })
    }

    /// Sends a request, and returns its id.
    pub(crate) fn send(
        &self,
        client: Option<u32>,
        call: Call<'_>,
        deadline: Instant,
    ) -> Result<u64, NoAnswer> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::Late);
        }
        let id = {
            let mut state = self.state.lock();
            if let Some(over) = &state.over {
                return Err(over.clone());
            }
            state.next += 1;
            let id = state.next;
            state.waiting.insert(id, Waiting::default());
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
        self.write(line, deadline);
        Ok(id)
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn call(
        &self,
        client: Option<u32>,
        call: Call<'_>,
        deadline: Instant,
    ) -> Result<Reply, NoAnswer> {
        let id = self.send(client, call, deadline)?;
        let reply = self.wait(id, deadline);
        if reply.is_err() {
            self.give_up(id);
        }
        reply
    }

    /// Waits for the answer to a request until `deadline`; it can be waited for again after that.
    pub(crate) fn wait(&self, id: u64, deadline: Instant) -> Result<Reply, NoAnswer> {
        loop {
            match self.hear(id, deadline)? {
                Heard::Reply(reply) => return Ok(reply),
                Heard::Event(..) => {}
            }
        }
    }

    /// Waits for the next event of a request, or its answer.
    pub(crate) fn hear(&self, id: u64, deadline: Instant) -> Result<Heard, NoAnswer> {
        let mut state = self.state.lock();
        loop {
            if let Some(waiting) = state.waiting.get_mut(&id) {
                if let Some((event, item)) = waiting.events.pop_front() {
                    return Ok(Heard::Event(event, item));
                }
                if let Some(reply) = waiting.reply.take() {
                    state.waiting.remove(&id);
                    return Ok(Heard::Reply(reply));
                }
            }
            if let Some(over) = &state.over {
                return Err(over.clone());
            }
            let Some(reader) = state.reader.take() else {
                if self.changed.wait_until(&mut state, deadline).timed_out() {
                    return Err(NoAnswer::Late);
                }
                continue;
            };
            let (returned, read) = MutexGuard::unlocked(&mut state, || read_some(reader, deadline));
            state.reader = Some(returned);
            let read = read.and_then(|lines| take(lines, &mut state));
            // Somebody else reads on, or learns that it is over.
            self.changed.notify_all();
            match read {
                Ok(()) => {}
                Err(NoAnswer::Late) => return Err(NoAnswer::Late),
                Err(over) => state.over = Some(over),
            }
        }
    }

    /// Waits no longer for a request: its answer will be nobody's.
    pub(crate) fn give_up(&self, id: u64) {
        let mut state = self.state.lock();
        if state.waiting.remove(&id).is_some() {
            state.given_up.insert(id);
        }
    }

    /// Writes as much as can be by the deadline. Where the driver is gone, its output ends too,
    /// and what waits for it learns that.
    fn write(&self, line: Vec<u8>, deadline: Instant) {
        let Some(mut writer) = self.writer.try_lock_until(deadline) else {
            // Whoever writes now is as late as this, and the line goes out before the next one.
            self.writer.lock().unsent.extend(line);
            return;
        };
        let Writer { stdin, unsent } = &mut *writer;
        unsent.extend(line);
        let mut written = 0;
        while written < unsent.len() {
            match stdin.write(&unsent[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.make_room(stdin, deadline) {
                        break;
                    }
                }
                Err(_) => written = unsent.len(),
            }
        }
        unsent.drain(..written);
    }

    /// Waits until something can be written; false when the deadline passes. Where nobody reads,
    /// it reads: the driver may wait for that before it reads on itself.
    fn make_room(&self, stdin: &File, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        let Some(reader) = state.reader.take() else {
            drop(state);
            return wait_for(&mut [(stdin.as_fd(), PollFlags::OUT)], deadline);
        };
        let (reader, read, ready) = MutexGuard::unlocked(&mut state, || {
            let mut both = [
                (stdin.as_fd(), PollFlags::OUT),
                (reader.stdout.as_fd(), PollFlags::IN),
            ];
            let ready = wait_for(&mut both, deadline);
            // At once: there is something to read, or there is not.
            let (reader, read) = read_some(reader, Instant::now());
            (reader, read, ready)
        });
        state.reader = Some(reader);
        match read.and_then(|lines| take(lines, &mut state)) {
            Ok(()) | Err(NoAnswer::Late) => {}
            Err(over) => state.over = Some(over),
        }
        self.changed.notify_all();
        ready && state.over.is_none()
    }
}

/// Waits until one of these is ready; false when the deadline passes.
fn wait_for(fds: &mut [(BorrowedFd<'_>, PollFlags)], deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left.min(Duration::from_secs(3600))) else {
            return false;
        };
        let mut polled: Vec<PollFd<'_>> = fds
            .iter()
            .map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
            .collect();
        match poll(&mut polled, Some(&left)) {
            Ok(0) if Instant::now() >= deadline => return false,
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // An error is found by whoever reads or writes.
            Ok(_) | Err(_) => return true,
        }
    }
}

/// Reads at least one whole line, unless the deadline passes first or there will be none.
fn read_some(mut reader: Reader, deadline: Instant) -> (Reader, Result<Vec<Vec<u8>>, NoAnswer>) {
    let read = loop {
        let at = reader.buffer.len();
        reader.buffer.resize(at + CHUNK, 0);
        let read = reader.stdout.read(&mut reader.buffer[at..]);
        reader.buffer.truncate(at + *read.as_ref().unwrap_or(&0));
        match read {
            // A line that was cut is one of a driver that was killed while it wrote.
            Ok(0) => break Err(NoAnswer::Ended),
            Ok(_) => match lines(&mut reader) {
                Ok(lines) if lines.is_empty() => {}
                lines => break lines,
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if !wait_for(&mut [(reader.stdout.as_fd(), PollFlags::IN)], deadline) {
                    break Err(NoAnswer::Late);
                }
            }
            Err(_) => break Err(NoAnswer::Ended),
        }
    };
    (reader, read)
}

/// Takes the whole lines out of the buffer, with their ends.
fn lines(reader: &mut Reader) -> Result<Vec<Vec<u8>>, NoAnswer> {
    let mut lines = Vec::new();
    while let Some(at) = reader.buffer[reader.searched..]
        .iter()
        .position(|byte| *byte == b'\n')
    {
        let rest = reader.buffer.split_off(reader.searched + at + 1);
        let line = std::mem::replace(&mut reader.buffer, rest);
        reader.searched = 0;
        lines.push(line);
    }
    reader.searched = reader.buffer.len();
    if reader.searched as u64 >= MAX_LINE {
        let why = format!("it wrote a line of more than {MAX_LINE} bytes");
        return Err(NoAnswer::Breach(why));
    }
    Ok(lines)
}

/// Gives each line to whoever waits for it, up to the first that breaks the protocol.
fn take(lines: Vec<Vec<u8>>, state: &mut State) -> Result<(), NoAnswer> {
    lines.into_iter().try_for_each(|line| {
        let line = Line::parse(line).map_err(NoAnswer::Breach)?;
        deliver(line, state)
    })
}

fn deliver(line: Line, state: &mut State) -> Result<(), NoAnswer> {
    let id = match &line {
        Line::Reply(Reply { id: Some(id), .. }) | Line::Event(id, ..) => *id,
        Line::Reply(Reply { id: None, text, .. }) => {
            let why = format!("it could not read a request: {text}");
            return Err(NoAnswer::Breach(why));
        }
    };
    let waiting = state.waiting.get_mut(&id);
    match (waiting, line) {
        (
            Some(Waiting {
                reply: None,
                events,
            }),
            Line::Event(_, event, item),
        ) => {
            events.push_back((event, item));
        }
        (Some(waiting @ Waiting { reply: None, .. }), Line::Reply(reply)) => {
            waiting.reply = Some(reply);
        }
        (None, Line::Event(..)) if state.given_up.contains(&id) => {}
        (None, Line::Reply(_)) if state.given_up.remove(&id) => {}
        _ => {
            let what = if id == 0 || id > state.next {
                "was never made"
            } else {
                "has its answer"
            };
            let why = format!("it answered request {id}, which {what}");
            return Err(NoAnswer::Breach(why));
        }
    }
    Ok(())
}
