//! What a process writes to its standard output and standard error, as it comes.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read};
use parking_lot::{Condvar, Mutex};

/// How much is kept of the beginning, and as much of the end, of each stream, in bytes.
const KEEP: usize = 64 * 1024;
/// How many lines wait for their reader before no more are taken from the process.
const LINES: usize = 16 * 1024;
/// How many bytes these lines may have together, so that long ones are no more than short ones.
const LINE_BYTES: usize = 8 << 20;
/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;
/// The least that comes at once out of a full buffer of standard output.
const BLOCK: usize = 1024;
/// How long [`Output::catch_up`] waits at most.
const CATCH_UP: Duration = Duration::from_secs(1);
/// Of a longer line only so much is kept: the rest is no line of its own.
const LINE: usize = 64 * 1024;
/// The first and the last [`KEEP`] bytes of a stream.
#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = (KEEP - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend(&bytes[room..]);
        let surplus = self.tail.len().saturating_sub(KEEP);
        self.tail.drain(..surplus);
    }

    /// As text, with a note where bytes are missing.
    fn text(&self) -> String {
        let mut bytes = self.head.clone();
        let missing = self.total - (self.head.len() + self.tail.len()) as u64;
        if missing > 0 {
            bytes.extend_from_slice(format!("\n[... {missing} bytes ...]\n").as_bytes());
        }
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The reading end of a stream, and what came out of it.
struct Stream {
    /// None after the end of file.
    pipe: Option<Arc<OwnedFd>>,
    kept: Kept,
}

impl Stream {
    /// Reads what is there now, without waiting, and hands it to `also`, which says whether more is
    /// taken.
    fn drain(&mut self, mut also: impl FnMut(&[u8]) -> bool) {
        let mut buffer = [0; CHUNK];
        while let Some(pipe) = &self.pipe {
            match read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(length) => {
                    self.kept.push(&buffer[..length]);
                    if !also(&buffer[..length]) {
                        return;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                // A pipe has no other errors; if it had, nothing more would come of it.
                Err(_) => self.pipe = None,
            }
        }
    }
}

/// The lines of standard output that wait for their reader.
#[derive(Default)]
struct Lines {
    waiting: VecDeque<String>,
    /// The bytes of all that wait.
    bytes: usize,
    /// The beginning of the next line.
    partial: Vec<u8>,
    /// A block ended within a line, and that line is not over.
    within: bool,
    /// A line waited in a buffer, which was written when it was full.
    cut: bool,
    /// Somebody says when a change of the disk comes.
    asked: bool,
    /// Whoever waited for their reader gave it up.
    late: bool,
}

impl Lines {
    /// Notes that so many bytes came at once. A buffer that is written when it is full ends within a line, and
    /// the rest of that line comes with the next one. So may what somebody has read late of a line that is
    /// written in pieces (Python without a buffer writes each argument of a print): see [`Self::at_change`].
    fn came(&mut self, length: usize) {
        let block = (BLOCK..CHUNK).contains(&length);
        self.cut |= block && self.within && !self.asked;
        self.within = !self.partial.is_empty() && (block || self.within);
    }

    /// Notes that the process changes the disk now. Whoever writes a line in pieces has written all of it by then;
    /// what a block cut off is still in its buffer.
    fn at_change(&mut self) {
        self.asked = true;
        self.cut |= self.within;
    }

    /// True while no more may be taken from the process.
    fn full(&self) -> bool {
        self.waiting.len() >= LINES || self.bytes >= LINE_BYTES
    }

    fn split(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.partial.len() < LINE {
                self.partial.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        if self.partial.last() == Some(&b'\r') {
            self.partial.pop();
        }
        let line = String::from_utf8_lossy(&self.partial).into_owned();
        self.bytes += line.len();
        self.waiting.push_back(line);
        self.partial.clear();
    }

    fn take(&mut self) -> Option<String> {
        let line = self.waiting.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }
}

struct Streams {
    out: Stream,
    err: Stream,
    /// None where nobody reads lines (any more): then no limit holds the process up.
    lines: Option<Lines>,
    /// Whoever reads lines has done with the last one, and waits for the next.
    idle: bool,
}

impl Streams {
    /// True while standard output is left in its pipe, so that the process waits for the reader of
    /// its lines.
    fn held_back(&self) -> bool {
        self.lines.as_ref().is_some_and(Lines::full)
    }

    fn drain_out(&mut self) {
        if self.held_back() {
            return;
        }
        let Some(lines) = &mut self.lines else {
            self.out.drain(|_| true);
            return;
        };
        self.out.drain(|bytes| {
            lines.split(bytes);
            lines.came(bytes.len());
            !lines.full()
        });
        if self.out.pipe.is_none() && !lines.partial.is_empty() {
            lines.end_line();
        }
    }

    fn drain(&mut self) {
        self.drain_out();
        self.err.drain(|_| true);
    }
}

/// The output of one process and its children. Whoever asks first drains the pipes, so that all
/// that was written before a process ended is there when its end is known.
///
/// Where its lines are read, none is lost: once [`LINES`] of them wait, standard output stays in its
/// pipe and the process waits for the reader. Where they are not, nothing ever holds it up.
pub(super) struct Output {
    streams: Mutex<Streams>,
    changed: Condvar,
    /// Standard output may be taken again.
    room: Condvar,
    /// The reader of lines waits for the next.
    caught_up: Condvar,
}

impl Output {
    /// Makes the pipes, and threads that keep them from filling up; with `reads_lines`, standard
    /// output only as far as its lines are read. Returns the writing ends: standard output, standard
    /// error.
    pub(super) fn capture(reads_lines: bool) -> io::Result<(Arc<Self>, [OwnedFd; 2])> {
        let (out, out_end) = pipe()?;
        let (err, err_end) = pipe()?;
        let stream = |pipe| Stream {
            pipe: Some(pipe),
            kept: Kept::default(),
        };
        let output = Arc::new(Self {
            streams: Mutex::new(Streams {
                out: stream(out),
                err: stream(err),
                lines: reads_lines.then(Lines::default),
                idle: false,
            }),
            changed: Condvar::new(),
            caught_up: Condvar::new(),
            room: Condvar::new(),
        });
        let thread = || std::thread::Builder::new().name("output".into());
        if reads_lines {
            // What waits for a reader must not keep standard error waiting.
            let pump = Arc::clone(&output);
            thread().spawn(move || pump.pump_lines())?;
        }
        let pump = Arc::clone(&output);
        thread().spawn(move || pump.pump(!reads_lines))?;
        Ok((output, [out_end, err_end]))
    }

    /// Reads until both streams have ended, which is when the last process with a writing end
    /// has: at the latest when the sandbox is torn down. Without `both` only standard error.
    fn pump(&self, both: bool) {
        loop {
            let pipes: Vec<Arc<OwnedFd>> = {
                let streams = self.streams.lock();
                let out = streams.out.pipe.iter().filter(|_| both);
                out.chain(&streams.err.pipe).cloned().collect()
            };
            if pipes.is_empty() || !await_input(&pipes) {
                return;
            }
            let mut streams = self.streams.lock();
            if both {
                streams.drain_out();
            }
            streams.err.drain(|_| true);
            drop(streams);
            self.changed.notify_all();
        }
    }

    /// Reads standard output until its end, as fast as its lines are read.
    fn pump_lines(&self) {
        loop {
            let pipe = {
                let mut streams = self.streams.lock();
                while streams.held_back() {
                    self.room.wait(&mut streams);
                }
                streams.out.pipe.clone()
            };
            let Some(pipe) = pipe else { return };
            if !await_input(&[pipe]) {
                return;
            }
            self.streams.lock().drain_out();
            self.changed.notify_all();
        }
    }

    /// From here on nobody reads lines: those that wait are dropped, and the process is not held up.
    pub(super) fn ignore_lines(&self) {
        self.streams.lock().lines = None;
        self.room.notify_all();
        self.changed.notify_all();
        self.caught_up.notify_all();
    }

    /// Waits until the reader of lines has done with all that was written before this call: at most a
    /// second. Where that is not enough [`Output::read_late`] says so.
    pub(super) fn catch_up(&self) {
        let mut streams = self.streams.lock();
        streams.drain_out();
        if let Some(lines) = &mut streams.lines {
            lines.at_change();
        }
        let until = Instant::now() + CATCH_UP;
        let mut woken = false;
        while streams
            .lines
            .as_ref()
            .is_some_and(|lines| !lines.waiting.is_empty() || !streams.idle)
        {
            if !woken {
                self.changed.notify_all();
                woken = true;
            }
            if self.caught_up.wait_until(&mut streams, until).timed_out() {
                if let Some(lines) = &mut streams.lines {
                    lines.late = true;
                }
                return;
            }
        }
    }

    /// Whether lines were read so late that whoever waited for that gave it up: they count from later than
    /// they were written. Only known while they are read.
    pub(super) fn read_late(&self) -> bool {
        self.streams
            .lock()
            .lines
            .as_ref()
            .is_some_and(|lines| lines.late)
    }

    /// Whether its lines waited in a buffer of its own until that was full.
    pub(super) fn buffered(&self) -> bool {
        self.streams
            .lock()
            .lines
            .as_ref()
            .is_some_and(|lines| lines.cut)
    }

    /// The next line of standard output; none at its end. [`io::ErrorKind::Unsupported`] where lines
    /// are not read.
    pub(super) fn line(&self, deadline: Instant) -> io::Result<Option<String>> {
        let mut streams = self.streams.lock();
        loop {
            let Some(lines) = &mut streams.lines else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            let was_full = lines.full();
            if let Some(line) = lines.take() {
                if was_full && !lines.full() {
                    self.room.notify_all();
                }
                streams.idle = false;
                return Ok(Some(line));
            }
            streams.idle = true;
            self.caught_up.notify_all();
            if streams.out.pipe.is_none() {
                return Ok(None);
            }
            if self.changed.wait_until(&mut streams, deadline).timed_out() {
                streams.drain_out();
                let none = (streams.lines.as_ref()).is_some_and(|lines| lines.waiting.is_empty());
                if none && streams.out.pipe.is_some() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }

    /// Standard output and standard error so far.
    pub(super) fn text(&self) -> (String, String) {
        let mut streams = self.streams.lock();
        streams.drain();
        (streams.out.kept.text(), streams.err.kept.text())
    }
}

/// Waits until one of these has something to read, or has ended; false when that cannot be waited for.
fn await_input(pipes: &[Arc<OwnedFd>]) -> bool {
    loop {
        let mut fds: Vec<PollFd<'_>> = pipes
            .iter()
            .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return true,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// A pipe whose reading end does not block.
fn pipe() -> io::Result<(Arc<OwnedFd>, OwnedFd)> {
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read_end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((Arc::new(read_end), write_end))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let mut kept = Kept::default();
        kept.push(&vec![b'a'; KEEP - 1]);
        kept.push(b"bc");
        assert_eq!(kept.text().len(), KEEP + 1);
        kept.push(&vec![b'x'; 3 * KEEP]);
        kept.push(b"end");
        let text = kept.text();
        assert!(text.starts_with("aaa") && text.ends_with("xxend"));
        assert!(
            text.contains(&format!("[... {} bytes ...]", 2 * KEEP + 4)),
            "{}",
            kept.total
        );
    }

    #[test]
    fn lines_come_in_order_and_the_last_needs_no_line_end() {
        let (output, [out, _err]) = Output::capture(true).expect("pipes");
        let mut file = std::fs::File::from(out);
        file.write_all(b"one\r\ntwo\nthr").expect("a write");
        file.write_all(b"ee").expect("a write");
        drop(file);
        let lines: Vec<_> = std::iter::from_fn(|| output.line(soon()).expect("a line")).collect();
        assert_eq!(lines, ["one", "two", "three"]);
    }

    /// A reader that comes is waited for; one that does not come is said to be late.
    #[test]
    fn a_reader_that_does_not_come_in_time_is_late() {
        for (reads, late) in [(true, false), (false, true)] {
            let (output, [out, _err]) = Output::capture(true).expect("pipes");
            let mut file = std::fs::File::from(out);
            file.write_all(b"ack 1\n").expect("a write");
            std::thread::scope(|scope| {
                if reads {
                    let next = || output.line(soon()).expect("no error");
                    scope.spawn(move || while next().is_some() {});
                }
                output.catch_up();
                assert_eq!(output.read_late(), late);
                drop(file);
            });
        }
    }

    /// Writes so many lines in a thread of its own.
    fn chatter(out: OwnedFd, lines: usize) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            let mut file = std::io::BufWriter::new(std::fs::File::from(out));
            for number in 1..=lines {
                writeln!(file, "ack {number}").expect("a write");
            }
        })
    }

    /// Waits until no more is taken from the process.
    fn until_held_back(output: &Output) {
        while !output.streams.lock().held_back() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn lines_that_come_faster_than_they_are_read_are_all_there() {
        let (output, [out, err]) = Output::capture(true).expect("pipes");
        let all = 100_000;
        let writer = chatter(out, all);
        until_held_back(&output);
        // Standard error goes on meanwhile: this is more than its pipe holds.
        std::fs::File::from(err)
            .write_all(&vec![b'e'; 1 << 20])
            .expect("a write");
        for number in 1..=all {
            let line = output.line(soon()).expect("a line");
            assert_eq!(line, Some(format!("ack {number}")));
        }
        assert_eq!(output.line(soon()).expect("the end"), None);
        writer.join().expect("all was written");
    }

    #[test]
    fn a_process_whose_lines_nobody_reads_is_never_held_up() {
        let (output, [out, _err]) = Output::capture(false).expect("pipes");
        chatter(out, 1_000_000).join().expect("all was written");
        let (text, _) = output.text();
        assert!(text.starts_with("ack 1\nack 2\n"), "{text:.40}");
        assert!(text.ends_with("\nack 1000000\n"));
        assert!(text.contains(" bytes ...]"));
        let refused = output.line(soon()).expect_err("no lines are kept");
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn from_where_lines_are_ignored_on_nothing_is_held_up() {
        let (output, [out, _err]) = Output::capture(true).expect("pipes");
        let writer = chatter(out, 1_000_000);
        until_held_back(&output);
        assert_eq!(output.line(soon()).expect("a line"), Some("ack 1".into()));
        output.ignore_lines();
        writer.join().expect("all was written");
        assert!(output.text().0.ends_with("\nack 1000000\n"));
    }

    /// Whether this is taken for output of a buffer, where it is read so; none is a change of the disk.
    fn from_a_buffer(reads: &[Option<&str>]) -> bool {
        let mut lines = Lines::default();
        for read in reads {
            match read {
                Some(text) => {
                    lines.split(text.as_bytes());
                    lines.came(text.len());
                }
                None => lines.at_change(),
            }
        }
        lines.cut
    }

    #[test]
    fn a_line_that_is_not_over_when_the_disk_changes_came_out_of_a_buffer() {
        let lines = "ack 12345678\n".repeat(300);
        let cut = format!("{lines}ack 1");
        assert!(from_a_buffer(&[Some(&cut), None]));
        assert!(!from_a_buffer(&[Some(&lines), None]));
        // A line that is written in two pieces.
        assert!(!from_a_buffer(&[Some("ack 1\nack "), None]));
    }

    /// Python without a buffer writes "ack", a blank, a number and the end of the line by themselves.
    #[test]
    fn lines_in_pieces_that_were_read_late_came_out_of_no_buffer() {
        let late = format!("{}ack", "ack 12345678\n".repeat(300));
        let rest = format!(" 7\n{late}");
        let pieces = [Some(late.as_str()), Some(" 7"), Some("\n"), None];
        assert!(!from_a_buffer(&pieces));
        assert!(!from_a_buffer(&[&[None], &pieces[..]].concat()));
        let twice = [None, Some(late.as_str()), Some(&rest), Some(" 8\n"), None];
        assert!(!from_a_buffer(&twice));
    }

    #[test]
    fn a_line_in_two_blocks_came_out_of_a_buffer_where_nobody_knows_of_changes() {
        let block = |text: &str| {
            let (output, [out, _err]) = Output::capture(true).expect("pipes");
            let mut file = std::fs::File::from(out);
            for text in [text, "23\n", text] {
                file.write_all(text.as_bytes()).expect("a write");
                output.line(soon()).expect("a line");
            }
            output.buffered()
        };
        let lines = "ack 12345678\n".repeat(300);
        assert!(!block(&lines));
        assert!(!block("ack 1\nack "));
        let (one, other) = (format!("{lines}ack 1"), format!("2\n{lines}"));
        assert!(from_a_buffer(&[Some(&one), Some(&other)]));
    }

    #[test]
    fn the_rest_of_a_line_that_is_too_long_is_no_line() {
        let (output, [out, _err]) = Output::capture(true).expect("pipes");
        let mut text = vec![b'a'; LINE];
        text.extend_from_slice(b"ack 1\nack 2\n");
        std::fs::File::from(out).write_all(&text).expect("a write");
        let first = output.line(soon()).expect("a line").expect("a line");
        assert_eq!(first.len(), LINE);
        assert_eq!(output.line(soon()).expect("a line"), Some("ack 2".into()));
        assert_eq!(output.line(soon()).expect("the end"), None);
    }

    #[test]
    fn no_line_is_an_error_when_the_time_is_up() {
        let (output, [_out, _err]) = Output::capture(true).expect("pipes");
        let error = output.line(Instant::now()).expect_err("no line");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_was_written_is_there_without_waiting() {
        let (output, [_out, err]) = Output::capture(true).expect("pipes");
        std::fs::File::from(err)
            .write_all(b"oops")
            .expect("a write");
        assert_eq!(output.text(), (String::new(), "oops".into()));
    }
}
