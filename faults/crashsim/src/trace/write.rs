//! Writing a trace while it happens, by a thread of its own, with bounded memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use foldhash::{HashMap, HashMapExt};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;
use parking_lot::{Condvar, Mutex};
use xxhash_rust::xxh3::xxh3_128;

use super::frame::{End, Item, Kind, MAGIC, PAYLOAD_MAX, PathRef, StoredEnds, What, put};
use crate::fs::page::Bytes;
use crate::fs::{Mark, Op, Record, Sink, WriteData};

/// Bytes of pages in a frame.
const PAGES_FRAME: usize = 1 << 20;
/// Bytes of records in a frame.
const RECORDS_FRAME: usize = 256 << 10;
/// How many different pages are remembered, to be stored once: about 50 bytes each.
const REMEMBERED: usize = 1 << 18;
/// What a record takes in memory beside its bytes.
const RECORD_COST: u64 = 256;

enum Message {
    Record(Box<Record>),
    Mark(Mark),
    Finish(Vec<u8>),
}

/// How many bytes wait to be written, and room for more.
pub(super) struct Gate {
    /// None when nobody writes any more, and so nobody must wait.
    waiting: Mutex<Option<u64>>,
    less: Condvar,
    limit: u64,
}

impl Gate {
    fn enter(&self, bytes: u64) {
        let mut waiting = self.waiting.lock();
        // One that is larger than the limit goes alone.
        while waiting.is_some_and(|now| now > 0 && now + bytes > self.limit) {
            self.less.wait(&mut waiting);
        }
        if let Some(now) = &mut *waiting {
            *now += bytes;
        }
    }

    fn leave(&self, bytes: u64) {
        if let Some(now) = &mut *self.waiting.lock() {
            *now -= bytes;
        }
        self.less.notify_all();
    }

    /// Lets everybody through from now on.
    fn open(&self) {
        *self.waiting.lock() = None;
        self.less.notify_all();
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.lock().unwrap_or(0)
    }
}

/// A trace that is being written. The file has no name before it is whole, so that nothing is
/// left behind when the program is killed.
pub struct TraceWriter {
    path: PathBuf,
    messages: Sender<Message>,
    pub(super) gate: Arc<Gate>,
    thread: JoinHandle<io::Result<File>>,
}

impl TraceWriter {
    /// Begins a trace that will be at `path`, where nothing may be yet. At most about `memory`
    /// bytes wait to be written; whoever writes more waits.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is something at `path`; whatever making a file
    /// in its directory meets.
    pub fn create(path: &Path, memory: u64) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let directory = match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .open(directory)?;
        let (messages, received) = unbounded();
        let gate = Arc::new(Gate {
            waiting: Mutex::new(Some(0)),
            less: Condvar::new(),
            limit: memory,
        });
        let mut book = Book::new(BufWriter::with_capacity(1 << 20, file));
        let exit = gate.clone();
        let thread = std::thread::Builder::new()
            .name("trace".into())
            .spawn(move || {
                let written = book.keep(&received, &exit);
                exit.open();
                written.and_then(|()| book.file.into_inner().map_err(|e| e.into_error()))
            })?;
        Ok(Self {
            path: path.to_path_buf(),
            messages,
            gate,
            thread,
        })
    }

    /// What takes the records of a log.
    pub fn sink(&self) -> Box<dyn Sink> {
        Box::new(Stream {
            messages: self.messages.clone(),
            gate: self.gate.clone(),
        })
    }

    /// StoredEnds the trace with what its owner says of it, and gives the file its name. Records that
    /// come later are dropped.
    ///
    /// # Errors
    /// The first error that writing met.
    pub fn finish(self, about: Vec<u8>) -> io::Result<()> {
        send(&self.messages, &self.gate, Message::Finish(about));
        drop(self.messages);
        let file = self
            .thread
            .join()
            .map_err(|_| io::Error::other("the thread that writes the trace panicked"))??;
        file.sync_all()?;
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        linkat(
            AT_FDCWD,
            open.as_str(),
            AT_FDCWD,
            &self.path,
            AtFlags::AT_SYMLINK_FOLLOW,
        )?;
        Ok(())
    }
}

/// A trace of these records as it is in a file, without acks and with nothing said of it; none where it
/// would be longer than `limit` bytes.
///
/// # Errors
/// A record that no trace can hold.
pub fn to_bytes(records: &[Record], limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut book = Book::new(Vec::new());
    book.file.extend_from_slice(MAGIC);
    for record in records {
        book.put(Message::Record(Box::new(record.clone())))?;
        if book.file.len() > limit {
            return Ok(None);
        }
    }
    book.put(Message::Finish(Vec::new()))?;
    Ok(Some(book.file).filter(|bytes| bytes.len() <= limit))
}

fn cost(message: &Message) -> u64 {
    RECORD_COST
        + match message {
            Message::Record(record) => match &record.op {
                Op::Write { data, .. } => data.len(),
                _ => 0,
            },
            Message::Mark(_) => 0,
            Message::Finish(about) => about.len() as u64,
        }
}

fn send(messages: &Sender<Message>, gate: &Gate, message: Message) {
    let bytes = cost(&message);
    gate.enter(bytes);
    if messages.send(message).is_err() {
        gate.leave(bytes);
    }
}

struct Stream {
    messages: Sender<Message>,
    gate: Arc<Gate>,
}

impl Sink for Stream {
    fn record(&mut self, record: Record) {
        send(
            &self.messages,
            &self.gate,
            Message::Record(Box::new(record)),
        );
    }

    fn mark(&mut self, mark: Mark) {
        send(&self.messages, &self.gate, Message::Mark(mark));
    }
}

/// The file and what is to be written next.
struct Book<W> {
    file: W,
    /// Pages not yet written.
    pages: Vec<u8>,
    /// Items not yet written.
    items: Vec<u8>,
    known_pages: HashMap<u128, u64>,
    known_paths: HashMap<Arc<str>, u32>,
    /// Nanoseconds of the last item.
    at: u64,
    written: End,
}

impl<W: Write> Book<W> {
    fn new(file: W) -> Self {
        Self {
            file,
            pages: Vec::with_capacity(PAGES_FRAME),
            items: Vec::with_capacity(RECORDS_FRAME),
            known_pages: HashMap::new(),
            known_paths: HashMap::new(),
            at: 0,
            written: End {
                records: 0,
                marks: 0,
                pages: 0,
            },
        }
    }

    /// Writes what comes until the end.
    fn keep(&mut self, received: &Receiver<Message>, gate: &Gate) -> io::Result<()> {
        self.file.write_all(MAGIC)?;
        for message in received {
            let bytes = cost(&message);
            let done = self.put(message);
            gate.leave(bytes);
            if done? {
                return self.file.flush();
            }
        }
        Err(io::Error::other("the recording was given up"))
    }

    /// Takes a message; true for the last one.
    fn put(&mut self, message: Message) -> io::Result<bool> {
        match message {
            Message::Record(record) => {
                let later = self.later(record.nanos);
                let item = Item::Record {
                    later,
                    pid: record.pid,
                    path: self.path(&record.path),
                    what: self.what(record.op)?,
                };
                self.written.records += 1;
                self.item(&item)?;
                Ok(false)
            }
            Message::Mark(mark) => {
                let later = self.later(mark.nanos);
                self.written.marks += 1;
                self.item(&Item::Mark { later, id: mark.id })?;
                Ok(false)
            }
            Message::Finish(about) => {
                self.flush_items()?;
                for piece in about.chunks(PAYLOAD_MAX / 2) {
                    put(&mut self.file, Kind::About, piece)?;
                }
                let end = postcard::to_stdvec(&self.written).map_err(io::Error::other)?;
                put(&mut self.file, Kind::End, &end)?;
                Ok(true)
            }
        }
    }

    fn item(&mut self, item: &Item) -> io::Result<()> {
        let items = std::mem::take(&mut self.items);
        self.items = postcard::to_extend(item, items).map_err(io::Error::other)?;
        if self.items.len() >= RECORDS_FRAME {
            self.flush_items()?;
        }
        Ok(())
    }

    fn later(&mut self, nanos: u64) -> i64 {
        let later = nanos.wrapping_sub(self.at).cast_signed();
        self.at = nanos;
        later
    }

    fn path(&mut self, path: &Arc<str>) -> PathRef {
        if let Some(number) = self.known_paths.get(path) {
            return PathRef::Known(*number);
        }
        // Both sides count alike; beyond 32 bits every path would be new.
        let number = u32::try_from(self.known_paths.len()).unwrap_or(u32::MAX);
        self.known_paths.insert(path.clone(), number);
        PathRef::New(path.to_string())
    }

    fn what(&mut self, op: Op) -> io::Result<What> {
        let Op::Write {
            ino,
            data,
            old_size,
        } = op
        else {
            return Ok(What::Other(op));
        };
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for page in data.pages() {
            let number = self.page(page)?;
            match runs.last_mut() {
                Some((first, count)) if *first + *count == number => *count += 1,
                _ => runs.push((number, 1)),
            }
        }
        Ok(What::Write {
            ino,
            offset: data.offset(),
            len: data.len(),
            old_size,
            ends: self.ends(&data)?,
            pages: runs,
        })
    }

    fn ends(&mut self, data: &WriteData) -> io::Result<StoredEnds> {
        let bytes = data.ends();
        match <&Bytes>::try_from(bytes) {
            Ok(page) => Ok(StoredEnds::Page(self.page(page)?)),
            Err(_) => Ok(StoredEnds::Bytes(bytes.to_vec())),
        }
    }

    /// The number of a page with these bytes.
    fn page(&mut self, bytes: &Bytes) -> io::Result<u64> {
        let digest = xxh3_128(bytes);
        if let Some(number) = self.known_pages.get(&digest) {
            return Ok(*number);
        }
        if self.known_pages.len() >= REMEMBERED {
            self.known_pages.clear();
        }
        if self.pages.len() >= PAGES_FRAME {
            self.flush_pages()?;
        }
        let number = self.written.pages;
        self.written.pages += 1;
        self.pages.extend_from_slice(bytes);
        self.known_pages.insert(digest, number);
        Ok(number)
    }

    fn flush_pages(&mut self) -> io::Result<()> {
        if !self.pages.is_empty() {
            put(&mut self.file, Kind::Pages, &self.pages)?;
            self.pages.clear();
        }
        Ok(())
    }

    fn flush_items(&mut self) -> io::Result<()> {
        self.flush_pages()?;
        if !self.items.is_empty() {
            put(&mut self.file, Kind::Records, &self.items)?;
            self.items.clear();
        }
        Ok(())
    }
}
