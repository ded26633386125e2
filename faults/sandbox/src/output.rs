//! What a process writes to its standard output and standard error, as it comes.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read};
use parking_lot::{Condvar, Mutex};

/// How much is kept of the beginning, and as much of the end, of each stream, in bytes.
const KEEP: usize = 64 * 1024;
/// How many lines wait for a reader before the oldest is dropped.
const LINES: usize = 16 * 1024;
/// A longer line is cut here into several.
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
    /// Reads all that is there now, without waiting, and hands it to `also`.
    fn drain(&mut self, mut also: impl FnMut(&[u8])) {
        let mut buffer = [0; 16 * 1024];
        while let Some(pipe) = &self.pipe {
            match read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(length) => {
                    self.kept.push(&buffer[..length]);
                    also(&buffer[..length]);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                // A pipe has no other errors; if it had, nothing more would come of it.
                Err(_) => self.pipe = None,
            }
        }
    }
}

struct Streams {
    out: Stream,
    err: Stream,
    lines: VecDeque<String>,
    /// The beginning of the next line of standard output.
    partial: Vec<u8>,
}

impl Streams {
    fn drain(&mut self) {
        let (partial, lines) = (&mut self.partial, &mut self.lines);
        self.out.drain(|bytes| split(bytes, partial, lines));
        if self.out.pipe.is_none() && !self.partial.is_empty() {
            push_line(&mut self.partial, &mut self.lines);
        }
        self.err.drain(|_| {});
    }
}

fn split(bytes: &[u8], partial: &mut Vec<u8>, lines: &mut VecDeque<String>) {
    for &byte in bytes {
        if byte == b'\n' {
            push_line(partial, lines);
            continue;
        }
        partial.push(byte);
        if partial.len() == LINE {
            push_line(partial, lines);
        }
    }
}

fn push_line(partial: &mut Vec<u8>, lines: &mut VecDeque<String>) {
    if partial.last() == Some(&b'\r') {
        partial.pop();
    }
    if lines.len() == LINES {
        lines.pop_front();
    }
    lines.push_back(String::from_utf8_lossy(partial).into_owned());
    partial.clear();
}

/// The output of one process and its children. Whoever asks first drains the pipes, so that all
/// that was written before a process ended is there when its end is known.
pub(super) struct Output {
    streams: Mutex<Streams>,
    changed: Condvar,
}

impl Output {
    /// Makes the pipes, and a thread that keeps them from filling up. Returns the writing ends:
    /// standard output, standard error.
    pub(super) fn capture() -> io::Result<(Arc<Self>, [OwnedFd; 2])> {
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
                lines: VecDeque::new(),
                partial: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let pump = Arc::clone(&output);
        std::thread::Builder::new()
            .name("output".into())
            .spawn(move || pump.pump())?;
        Ok((output, [out_end, err_end]))
    }

    /// Reads until both streams have ended, which is when the last process with a writing end
    /// has: at the latest when the sandbox is torn down.
    fn pump(&self) {
        loop {
            let pipes: Vec<Arc<OwnedFd>> = {
                let streams = self.streams.lock();
                [&streams.out.pipe, &streams.err.pipe]
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect()
            };
            if pipes.is_empty() {
                return;
            }
            let mut fds: Vec<PollFd<'_>> = pipes
                .iter()
                .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
                .collect();
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            self.streams.lock().drain();
            self.changed.notify_all();
        }
    }

    /// The next line of standard output; none at its end.
    pub(super) fn line(&self, deadline: Instant) -> io::Result<Option<String>> {
        let mut streams = self.streams.lock();
        loop {
            if let Some(line) = streams.lines.pop_front() {
                return Ok(Some(line));
            }
            if streams.out.pipe.is_none() {
                return Ok(None);
            }
            if self.changed.wait_until(&mut streams, deadline).timed_out() {
                streams.drain();
                if streams.lines.is_empty() && streams.out.pipe.is_some() {
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
        let (output, [out, _err]) = Output::capture().expect("pipes");
        let mut file = std::fs::File::from(out);
        file.write_all(b"one\r\ntwo\nthr").expect("a write");
        file.write_all(b"ee").expect("a write");
        drop(file);
        let lines: Vec<_> = std::iter::from_fn(|| output.line(soon()).expect("a line")).collect();
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn no_line_is_an_error_when_the_time_is_up() {
        let (output, [_out, _err]) = Output::capture().expect("pipes");
        let error = output.line(Instant::now()).expect_err("no line");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_was_written_is_there_without_waiting() {
        let (output, [_out, err]) = Output::capture().expect("pipes");
        std::fs::File::from(err)
            .write_all(b"oops")
            .expect("a write");
        assert_eq!(output.text(), (String::new(), "oops".into()));
    }
}
