//! The worker's side: takes connections and answers them from a store.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use super::protocol::{Answer, MAX_LINE, READY, Request};
use super::store::{Session, Store, StoreError};

/// Binds `port` on 127.0.0.1, one of the kernel's choice where it is 0, says `ready PORT` on `out`,
/// and serves for as long as connections can be taken. Returns why they no longer can.
pub fn serve(store: Arc<dyn Store>, port: u16, out: &mut dyn Write) -> io::Error {
    let announced = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| {
        let port = listener.local_addr()?.port();
        writeln!(out, "{READY} {port}")?;
        out.flush()?;
        Ok(listener)
    });
    match announced {
        Ok(listener) => serve_on(&listener, store),
        Err(error) => error,
    }
}

/// Serves on a listener that is already bound, one thread for each connection.
pub fn serve_on(listener: &TcpListener, store: Arc<dyn Store>) -> io::Error {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // The client was gone before it was taken: nobody's loss.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(e) => return e,
        };
        let store = Arc::clone(&store);
        let spawned = thread::Builder::new()
            .name("connection".into())
            .spawn(move || {
                // A connection that breaks is the client's to notice.
                let _ = converse(stream, &*store);
            });
        if let Err(e) = spawned {
            return e;
        }
    }
}

fn converse(stream: TcpStream, store: &dyn Store) -> io::Result<()> {
    // An answer is one small packet that somebody waits for.
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut session = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let answer = answer(&line, store, &mut session);
        let mut bytes = serde_json::to_vec(&answer)?;
        bytes.push(b'\n');
        writer.write_all(&bytes)?;
    }
}

fn answer(line: &[u8], store: &dyn Store, session: &mut Option<Box<dyn Session>>) -> Answer {
    let request = match serde_json::from_slice::<Request>(line) {
        Ok(request) => request,
        Err(e) => {
            return Answer::Fail {
                text: format!("not a request: {e}"),
            };
        }
    };
    // A session that could not be had (no space, say) is asked for again with the next request.
    let session = match session {
        Some(session) => session,
        None => match store.session() {
            Ok(new) => session.insert(new),
            Err(e) => return e.into(),
        },
    };
    let result = match request {
        Request::Apply { txn } => session.apply(&txn).map(|()| Answer::Ok),
        Request::Barrier => session.barrier().map(|()| Answer::Ok),
        Request::Get { key } => session.get(&key).map(|value| Answer::Value { value }),
        Request::ReadAll => session.read_all().map(|values| Answer::Values { values }),
        Request::Check => session
            .check()
            .map(|complaint| Answer::Checked { complaint }),
    };
    result.unwrap_or_else(Answer::from)
}

impl From<StoreError> for Answer {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fail(text) => Self::Fail { text },
            StoreError::Info(text) => Self::Info { text },
        }
    }
}
