//! Starting the node, and knowing when it is ready.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Instant;

use plugpull_driver::protocol::LaunchAnswer;
use plugpull_driver::sdk::Store;
use plugpull_driver::{Client, ClientError};

use super::Installed;
use super::client::{NodeClient, PATIENCE};
use super::directory::{KNOWN_CLIENTS, NODE, client_id, environment, make};
use super::module::MODULE;
use crate::NodeSettings;

/// How often a node that has just started is asked. See [`Answering::wait`].
const QUESTIONS: usize = 3;

/// How the node is started; it is made first where the data directory has none.
pub(crate) fn launch(
    data: &Path,
    installed: &Installed,
    settings: &NodeSettings,
) -> Result<LaunchAnswer, String> {
    let clients = if settings.known { KNOWN_CLIENTS } else { 0 };
    let port = settings.port.to_string();
    make(data, &installed.program, &installed.module, &port, clients)?;
    Ok(LaunchAnswer {
        program: installed.program.display().to_string(),
        args: ["node", "start", NODE].map(str::to_owned).to_vec(),
        env: environment(data).into_iter().collect(),
        ready_line: Some(format!("Loaded module '{MODULE}'")),
        ..LaunchAnswer::default()
    })
}

/// A node that answers.
pub(crate) struct Answering {
    data: PathBuf,
    port: u16,
    /// How many connections there were.
    connections: AtomicU32,
}

impl Answering {
    /// Waits until the node answers.
    ///
    /// It says that it loaded the module before it restores the module's tables, and takes calls even
    /// before that. (`Node::load_modules_from_disk`: `load_module` prints the line, then comes
    /// `replay`.) There is no line for the end of `replay`. While it runs it holds the lock of the
    /// tables, which a query needs, so an answer comes after it; and where it fails, the node ends. So
    /// the node is asked, a few times, for an answer may just precede its end.
    pub(crate) fn wait(data: &Path, port: u16, deadline: Instant) -> Result<Self, String> {
        let node = Self {
            data: data.to_owned(),
            port,
            connections: AtomicU32::new(0),
        };
        node.answers(deadline).map_err(|error| {
            // What ended the connection ends the process, a moment later: plugpull sees that first.
            sleep(PATIENCE);
            format!("it says that it loaded the module, and does not answer: {error}")
        })?;
        Ok(node)
    }

    fn answers(&self, deadline: Instant) -> Result<(), ClientError> {
        let mut client = self.connect(0, deadline)?;
        for _ in 0..QUESTIONS {
            client.get("", deadline)?;
        }
        Ok(())
    }
}

impl Store for Answering {
    fn connect(&self, _client: u32, deadline: Instant) -> Result<Box<dyn Client>, ClientError> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .map_err(|error| ClientError::Gone(error.to_string()))?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let client = NodeClient::open(stream, self.data.clone(), client_id(number), deadline)?;
        Ok(Box::new(client))
    }
}
