//! The targets of the tests.

use std::fs::File;
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
        ["write", name] => ExitCode::from(u8::from(write_and_sync(name).is_err())),
        ["write-often", name] => write_often(name),
        ["threads"] => write_in_threads(),
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

/// A file is made, written, synced, cut, linked, moved and removed, each in a function of its own.
#[inline(never)]
fn write_and_sync(name: &str) -> std::io::Result<()> {
    let mut file = makes_the_file(name)?;
    writes_the_line(&mut file)?;
    syncs_it(&file)?;
    cuts_it(&file)?;
    links_it(name)?;
    moves_it(name)?;
    removes_it("moved")?;
    makes_a_directory("d")
}

#[inline(never)]
fn makes_the_file(name: &str) -> std::io::Result<File> {
    std::hint::black_box(File::create(name))
}

#[inline(never)]
fn writes_the_line(file: &mut File) -> std::io::Result<()> {
    std::hint::black_box(file.write_all(b"a line"))
}

#[inline(never)]
fn syncs_it(file: &File) -> std::io::Result<()> {
    std::hint::black_box(file.sync_data())
}

#[inline(never)]
fn cuts_it(file: &File) -> std::io::Result<()> {
    std::hint::black_box(file.set_len(1))
}

#[inline(never)]
fn links_it(name: &str) -> std::io::Result<()> {
    std::hint::black_box(std::fs::hard_link(name, "linked"))
}

#[inline(never)]
fn moves_it(name: &str) -> std::io::Result<()> {
    std::hint::black_box(std::fs::rename(name, "moved"))
}

#[inline(never)]
fn removes_it(name: &str) -> std::io::Result<()> {
    std::hint::black_box(std::fs::remove_file(name))
}

#[inline(never)]
fn makes_a_directory(name: &str) -> std::io::Result<()> {
    std::hint::black_box(std::fs::create_dir(name))
}

fn write_often(name: &str) -> ExitCode {
    let done = || {
        let mut file = makes_the_file(name)?;
        for _ in 0..50 {
            writes_the_line(&mut file)?;
        }
        Ok::<_, std::io::Error>(())
    };
    ExitCode::from(u8::from(done().is_err()))
}

/// Two threads write at the same time, each its own file in a function of its own.
fn write_in_threads() -> ExitCode {
    let one = std::thread::spawn(|| (0..50).all(|_| writes_one().is_ok()));
    let two = (0..50).all(|_| writes_two().is_ok());
    ExitCode::from(u8::from(!two || !one.join().unwrap_or(false)))
}

#[inline(never)]
fn writes_one() -> std::io::Result<()> {
    std::hint::black_box(std::fs::write("one", b"1"))
}

#[inline(never)]
fn writes_two() -> std::io::Result<()> {
    std::hint::black_box(std::fs::write("two", b"22"))
}
