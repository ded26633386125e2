//! A fake `ailee_node`: its HTTP interface and its pace of blocks and anchors, a hundred times as
//! fast. It keeps what the real one's guide promises: each anchor is durable before it is announced.
//! The name of its program says what it gets wrong: `ailee_node-FLAW`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// What it gets wrong, each shown by a test of its own. All but the first are only seen once it was
/// started on what an earlier life left.
pub(crate) const FLAWS: &[&str] = &[
    "ill-from-the-start",
    "forgets",
    "forgets-transactions",
    "lower-block",
    "other-anchor",
    "garbage",
    "no-http",
    "hangs",
    "ill",
    "stopped",
    "without-database",
    "ends",
];

const BLOCK: Duration = Duration::from_millis(10);
const ANCHOR_EVERY: u64 = 100;
const FILE: &str = "anchored";

#[derive(Clone, Default)]
struct Chain {
    height: u64,
    transactions: u64,
    anchor: u64,
    pending: HashSet<String>,
}

/// Serves until it is killed.
pub(crate) fn run(flaw: &str, port: u16) -> ExitCode {
    match serve(flaw, port) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(flaw: &str, port: u16) -> io::Result<ExitCode> {
    let (chain, again) = match fs::read_to_string(FILE) {
        Ok(text) => (read(&text, flaw), true),
        Err(_) => (Chain::default(), false),
    };
    let flaw: Arc<str> = match again || flaw == "ill-from-the-start" {
        true => flaw.into(),
        false => "".into(),
    };
    match &*flaw {
        "ends" => {
            eprintln!("Failed to load snapshot");
            return Ok(ExitCode::from(1));
        }
        "without-database" => println!(
            "[WARN ] ReorgDetector initialization failed: Corruption: no CURRENT (L1 reorg \
             protection completely disabled)"
        ),
        _ => {}
    }
    let chain = Arc::new(Mutex::new(chain));
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("[INFO ] AILEE Engine started successfully");
    let blocks = chain.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(BLOCK);
            if let Ok(mut chain) = blocks.lock() {
                block(&mut chain);
            }
        }
    });
    for stream in listener.incoming() {
        let (chain, flaw) = (chain.clone(), flaw.clone());
        thread::spawn(move || {
            if let Ok(stream) = stream {
                #[expect(
                    clippy::let_underscore_must_use,
                    reason = "a client that went away is no concern of the node's"
                )]
                let _ = answer(stream, &chain, &flaw);
            }
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// The chain as the last anchor left it.
fn read(text: &str, flaw: &str) -> Chain {
    let mut numbers = text.split_whitespace().map_while(|n| n.parse::<u64>().ok());
    let (anchor, transactions) = (numbers.next(), numbers.next());
    let mut chain = Chain {
        height: anchor.unwrap_or_default(),
        transactions: transactions.unwrap_or_default(),
        anchor: anchor.unwrap_or_default(),
        ..Chain::default()
    };
    match flaw {
        "forgets" => chain = Chain::default(),
        "forgets-transactions" => chain.transactions = 0,
        "lower-block" => chain.height -= ANCHOR_EVERY,
        _ => {}
    }
    chain
}

/// One more block, with all that is pending, and an anchor where it is due: first on the disk.
fn block(chain: &mut Chain) {
    let mut next = chain.clone();
    next.height += 1;
    next.transactions += next.pending.len() as u64;
    next.pending.clear();
    if next.height.saturating_sub(next.anchor) >= ANCHOR_EVERY {
        next.anchor = next.height;
        if keep(&next).is_err() {
            // No anchor without its file; the next block tries again.
            next.anchor = chain.anchor;
        }
    }
    *chain = next;
}

fn keep(chain: &Chain) -> io::Result<()> {
    let mut file = File::create("anchored.new")?;
    writeln!(file, "{} {}", chain.anchor, chain.transactions)?;
    file.sync_all()?;
    fs::rename("anchored.new", FILE)?;
    File::open(".")?.sync_all()
}

fn answer(mut stream: TcpStream, chain: &Mutex<Chain>, flaw: &str) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    reader.read_line(&mut head)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    match (flaw, path) {
        ("hangs", "/api/l2/state") => loop {
            thread::park();
        },
        ("garbage", "/api/l2/state") => return send(&mut stream, 200, "<html>It works</html>"),
        ("no-http", "/api/l2/state") => return stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"),
        _ => {}
    }
    let (status, body) = reply(path, &body, chain, flaw);
    send(&mut stream, status, &body.to_string())
}

fn reply(path: &str, body: &[u8], chain: &Mutex<Chain>, flaw: &str) -> (u16, Value) {
    let Ok(mut chain) = chain.lock() else {
        return (500, json!({ "error": "the chain is broken" }));
    };
    match path {
        "/api/health" if flaw.starts_with("ill") => (503, json!({ "status": "unhealthy" })),
        "/api/health" => (200, json!({ "status": "healthy", "timestamp": 1.5e12 })),
        "/api/l2/state" => {
            let state = json!({
                "block_height": chain.height,
                "total_transactions": chain.transactions,
                "last_anchor_height": chain.anchor,
            });
            (200, state)
        }
        "/api/anchors/latest" => {
            let other = u64::from(flaw == "other-anchor");
            let hash = match chain.anchor {
                0 => "N/A".to_owned(),
                height => format!("{:064x}", height + other),
            };
            (200, json!({ "last_anchor_hash": hash }))
        }
        "/api/status" => (200, json!({ "running": flaw != "stopped" })),
        "/api/transactions/submit" => {
            let Ok(body) = serde_json::from_slice::<Value>(body) else {
                return (400, json!({ "error": "Invalid request" }));
            };
            let field = |name: &str| body[name].as_str().unwrap_or_default();
            let digits = [("tx_hash", 64), ("signature", 128), ("public_key", 66)];
            if digits
                .iter()
                .any(|(name, count)| field(name).len() != *count)
            {
                return (400, json!({ "error": "Invalid request" }));
            }
            match chain.pending.insert(field("tx_hash").to_owned()) {
                true => (202, json!({ "status": "accepted" })),
                false => (409, json!({ "error": "Conflict" })),
            }
        }
        _ => (404, json!({ "error": "Not Found" })),
    }
}

fn send(stream: &mut TcpStream, status: u16, body: &str) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
