//! Starting the node, and knowing when it is ready.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::Installed;
use super::client::{NodeClient, id};
use super::keeper::{self, NODE, environment};
use super::module::MODULE;
use crate::command::ready;
use crate::interstice::NodeSettings;
use crate::{Client, ClientError, Host, Launch, Process, Program, Running, StartError};

/// How often a node that has just started is asked. See [`start`].
const QUESTIONS: usize = 3;

/// A node that answers.
pub(in crate::interstice) struct NodeRunning<'host> {
    host: &'host dyn Host,
    process: Box<dyn Process>,
    port: u16,
    /// The keeper lives as long as the sandbox does.
    keeper_port: u16,
    /// How many connections there were.
    connections: AtomicU32,
}

/// Starts the node, makes it first where the data folder has none, and waits until it answers.
///
/// It says that it loaded the module before it restores the module's tables, and takes calls even
/// before that. (`Node::load_modules_from_disk`: `load_module` says the line, then comes `replay`.) There
/// is no line for the end of `replay`. While it runs it holds the lock of the tables, which a query
/// needs, so an answer comes after it; and where it fails, the node ends. So the node is asked, a few
/// times, for an answer may just precede its end.
pub(in crate::interstice) fn start<'host>(
    host: &'host dyn Host,
    installed: &Installed,
    settings: &NodeSettings,
    deadline: Instant,
) -> Result<NodeRunning<'host>, StartError> {
    let (_, keeper_port) = keeper::start(host, installed, settings, deadline)?;
    let mut process = host.spawn(&Launch {
        program: Program::Path(installed.program.clone()),
        args: ["node", "start", NODE].map(str::to_owned).to_vec(),
        env: environment(host.data_dir()),
        cwd: None,
    })?;
    ready::line(
        &format!("Loaded module '{MODULE}'"),
        &mut *process,
        deadline,
    )?;
    let mut running = NodeRunning {
        host,
        process,
        port: settings.port,
        keeper_port,
        connections: AtomicU32::new(0),
    };
    match running.answers(deadline) {
        Ok(()) => Ok(running),
        Err(error) => {
            // What ended the connection ends the process, a moment later.
            let grace = Instant::now() + super::client::PATIENCE;
            match running.process.wait(grace.min(deadline))? {
                Some(code) => Err(StartError::Exited {
                    code,
                    output: running.process.complaint(),
                }),
                None => Err(StartError::Refused(format!(
                    "it says that it loaded the module, and does not answer: {error}"
                ))),
            }
        }
    }
}

impl NodeRunning<'_> {
    fn answers(&self, deadline: Instant) -> Result<(), ClientError> {
        let mut client = self.connect(deadline)?;
        for _ in 0..QUESTIONS {
            client.get("", deadline)?;
        }
        Ok(())
    }
}

impl Running for NodeRunning<'_> {
    fn connect(&self, deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        let gone = |e: std::io::Error| ClientError::Gone(e.to_string());
        let stream = self.host.connect(self.port).map_err(gone)?;
        let keeper = self.host.connect(self.keeper_port).map_err(gone)?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let client = NodeClient::open(stream, keeper, id(number), deadline)?;
        Ok(Box::new(client))
    }

    fn process(&mut self) -> Option<&mut dyn Process> {
        Some(&mut *self.process)
    }
}
