//! What plugpull says to a machine, and what it answers: frames of a length and JSON, or of plain bytes.

use std::io::{self, Read, Write};

use plugpull_crashsim::fs::Ino;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest frame, in bytes.
const LONGEST: u64 = 2 << 30;

/// What a machine is given to do. It answers each with a [`Reply`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// To mount what holds the image. It is served from then on: before, there is nothing to serve.
    Begin,
    /// To attach a loop device to the image of this name, and make a filesystem on it where `mkfs` has a
    /// program and arguments.
    Attach { image: String, mkfs: Vec<String> },
    /// To mount the real filesystem.
    Mount { kind: String, options: String },
    /// To take the operations that come in the next frame, as a trace.
    Take,
    /// To do those before this one, and have all of it on disk.
    Prepare { before: usize },
    /// To do one.
    Do { record: usize },
    /// To write back the data of every file, but of these, and but for these pages.
    WriteBack {
        but: Vec<Ino>,
        pages: Vec<(Ino, u64)>,
    },
    /// To commit the journal, and no data.
    Commit,
    /// To send what the data directory holds, as a trace, in the frame after the answer.
    Read,
    /// To unmount everything, and end.
    Unmount,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    /// An operation that is no call, or about a file without a name.
    Skipped,
    Failed(String),
}

/// Sends a message.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    send_bytes(to, &serde_json::to_vec(message).map_err(io::Error::other)?)
}

/// Sends plain bytes.
pub(crate) fn send_bytes(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)?;
    to.flush()
}

/// Receives plain bytes; none at the end.
pub(crate) fn receive_bytes(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    let length = u64::from_le_bytes(length);
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(Some(bytes)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Receives a message; none at the end.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let bytes = receive_bytes(from)?;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other))
        .transpose()
}
