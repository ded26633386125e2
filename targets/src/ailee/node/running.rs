//! Starting the node, and knowing when it is ready.

use std::io::{Error, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::api::Api;
use crate::{Client, ClientError, Host, Launch, Process, Program, Running, StartError};

/// How often the node is asked whether it is ready. Nothing tells when it takes connections.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// How long one such question may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// What it prints when everything is set up, its databases first.
const SET_UP: &str = "AILEE Engine started successfully";
/// How long that line is waited for once it answers: another version may not print it.
const LINE_LIMIT: Duration = Duration::from_secs(1);
/// What it prints when it goes on without one of its databases (`initStorage` and
/// `initReorgDetector` in its `src/main.cpp`).
const WITHOUT: &[&str] = &[
    "Failed to initialize PersistentStorage",
    "ReorgDetector initialization failed",
    "Failed to initialize ReorgDetector",
];

/// A node that answers.
pub(super) struct NodeRunning(Box<dyn Process>);

/// Starts the node in the data folder and waits until it answers `GET /api/health`, whatever it
/// answers there. One that serves without a database of its own, and says so in its log alone, has
/// not recovered: that is an error.
pub(super) fn start(
    host: &dyn Host,
    program: &Path,
    port: u16,
    deadline: Instant,
) -> Result<NodeRunning, StartError> {
    let began = Instant::now();
    let mut process = host.spawn(&launch(program, port))?;
    let api = Api {
        connect: || host.connect(port),
    };
    let mut set_up = false;
    let mut answered: Option<Instant> = None;
    loop {
        // Its lines, until there is none for a moment; or its end.
        match process.stdout_line(Instant::now() + ASK_EVERY) {
            Ok(Some(line)) => {
                if let Some(at) = WITHOUT.iter().find_map(|words| line.find(words)) {
                    let why = format!("it serves without a database of its own: {}", &line[at..]);
                    return Err(Error::other(why).into());
                }
                set_up |= line.contains(SET_UP);
                continue;
            }
            Ok(None) => {
                if let Some(code) = process.wait(Instant::now() + ASK_EVERY)? {
                    return Err(StartError::Exited {
                        code,
                        output: process.output(),
                    });
                }
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error.into()),
        }
        if answered.is_none() {
            let limit = deadline.min(Instant::now() + ANSWER_LIMIT);
            answered = api.health(limit).is_ok().then(Instant::now);
        }
        if answered.is_some_and(|since| set_up || since.elapsed() >= LINE_LIMIT) {
            return Ok(NodeRunning(process));
        }
        if Instant::now() >= deadline {
            return Err(StartError::Timeout {
                waited: began.elapsed(),
                output: process.output(),
            });
        }
    }
}

fn launch(program: &Path, port: u16) -> Launch {
    Launch {
        program: Program::Path(program.to_owned()),
        args: Vec::new(),
        env: vec![
            ("AILEE_WEB_SERVER_HOST".into(), "127.0.0.1".into()),
            ("AILEE_WEB_SERVER_PORT".into(), port.to_string()),
        ],
        cwd: None,
    }
}

impl Running for NodeRunning {
    fn connect(&self, _deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        Err(ClientError::Fail(
            "the node is written to by its own workload".into(),
        ))
    }

    fn process(&mut self) -> Option<&mut dyn Process> {
        Some(&mut *self.0)
    }
}
