//! The version of a command target: what its own command says, and which contents it is made of.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::line::Line;

/// How long the version command may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The first line that the command prints. It runs outside of any sandbox, in `/`.
pub(super) fn ask(line: &Line) -> Result<String, String> {
    let launch = line.launch_in(Path::new("/"));
    let failed = |error: std::io::Error| format!("{}: {error}", line.shown);
    let mut child = Command::new(&line.program)
        .args(&launch.args)
        .envs(launch.env)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (send, receive) = channel();
    let streams = (child.stdout.take(), child.stderr.take());
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let (Some(mut out), Some(mut err)) = streams {
            // Some programs tell their version on standard error.
            let read = out.read_to_end(&mut text).and(err.read_to_end(&mut text));
            // After the limit nobody waits for it.
            drop(send.send(read.map(|_| text)));
        }
    });
    let Ok(text) = receive.recv_timeout(LIMIT) else {
        // It may have ended just now.
        drop((child.kill(), child.wait()));
        return Err(format!("{} did not end within {LIMIT:.1?}", line.shown));
    };
    let status = child.wait().map_err(failed)?;
    let text = text.map_err(failed)?;
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    match (status.success(), first) {
        (true, Some(line)) => Ok(line.to_owned()),
        (true, None) => Err(format!("{} printed nothing", line.shown)),
        (false, said) => Err(format!(
            "{} failed ({}): {}",
            line.shown,
            status,
            said.unwrap_or("it said nothing")
        )),
    }
}

/// "git: git version 2.47.3; contents git.toml 0123456789abcdef, work.sh ...".
pub(super) fn line(name: &str, says: &str, prints: &[String]) -> String {
    let says = if says.is_empty() {
        name.to_owned()
    } else if says.to_lowercase().contains(&name.to_lowercase()) {
        says.to_owned()
    } else {
        format!("{name}: {says}")
    };
    format!("{says}; contents {}", prints.join(", "))
}
