//! The targets of the tests.

use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;

/// The first argument of a target.
pub(crate) const ARG: &str = "__target";

pub(crate) fn main(args: &[String]) -> ExitCode {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["listen", port] => listen(port.parse().unwrap_or(0)),
        ["hold", mib] => hold(mib.parse().unwrap_or(0)),
        ["fds"] => fds(),
        _ => ExitCode::from(99),
    }
}

fn say(line: &str) {
    #[expect(
        clippy::let_underscore_must_use,
        reason = "where nobody listens any more, nobody misses it"
    )]
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Greets whoever connects. Port 0 is any; the first line says which.
fn listen(port: u16) -> ExitCode {
    let listener = match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => listener,
        Err(error) => {
            say(&format!("no: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let port = listener.local_addr().map_or(0, |address| address.port());
    say(&format!("listening on {port}"));
    for mut stream in listener.incoming().flatten() {
        #[expect(
            clippy::let_underscore_must_use,
            reason = "who connected may be gone, and the next one is greeted"
        )]
        let _ = stream.write_all(b"hello");
    }
    ExitCode::SUCCESS
}

/// Holds so many MiB of memory, for ever.
fn hold(mib: usize) -> ExitCode {
    let held = std::hint::black_box(vec![1u8; mib << 20]);
    say("holding");
    loop {
        std::thread::park();
        std::hint::black_box(&held);
    }
}

/// Says which descriptors it was born with.
fn fds() -> ExitCode {
    let mut fds: Vec<i32> = (0..1024)
        .filter(|fd| std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok())
        .collect();
    fds.sort_unstable();
    say(&format!("{fds:?}"));
    ExitCode::SUCCESS
}
