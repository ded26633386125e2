//! The keeper of the node's folder: plugpull's own binary, in the sandbox beside the node, where the
//! files can be seen. It makes the node at its first start, and looks at the files when asked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use plugpull_workloads::Txn;

use super::Installed;
use super::client::id;
use super::module::MODULE;
use crate::inspect::{InspectError, Request};
use crate::interstice::{INSPECTOR, NodeSettings};
use crate::reference_daemon::REFERENCE;
use crate::sync_tree::sync_tree;
use crate::wire::{self, Session, StoreError};
use crate::{Host, Launch, Process, Program, StartError, stand_in};

/// The name under which the keeper is started.
pub(crate) const KEEPER: &str = "interstice-keeper";

/// Said to the keeper: clients are written down when the node is made.
const KNOWN: &str = "known";
/// Said to the keeper: the node meets every client for the first time.
const NEW: &str = "new";
/// How many clients are known. They are counted anew in each life of the node.
const KNOWN_CLIENTS: u32 = 256;

/// The node's name.
pub(super) const NODE: &str = "plugpull";
/// Where the node's data is, in the data folder: its XDG_DATA_HOME.
pub(super) const HOME: &str = "node";
/// Under that: what the node's own program calls `data_file()`.
const DATA: &str = "interstice";
/// It is there once the node is made, and all of it durable.
const MADE: &str = "node-is-made";

/// What the node's command line is told.
pub(super) fn environment(data: &Path) -> Vec<(String, String)> {
    let home = data.join(HOME).display().to_string();
    // Its log is told by colours otherwise.
    vec![
        ("XDG_DATA_HOME".into(), home),
        ("NO_COLOR".into(), "1".into()),
    ]
}

/// Starts the keeper, and waits until the node is made. Returns it with its port.
pub(super) fn start(
    host: &dyn Host,
    installed: &Installed,
    settings: &NodeSettings,
    deadline: Instant,
) -> Result<(Box<dyn Process>, u16), StartError> {
    let launch = Launch {
        program: Program::Myself,
        args: vec![
            REFERENCE.to_owned(),
            KEEPER.to_owned(),
            installed.program.display().to_string(),
            installed.module.display().to_string(),
            settings.port.to_string(),
            if settings.known { KNOWN } else { NEW }.to_owned(),
        ],
        env: Vec::new(),
        cwd: None,
    };
    let mut keeper = host.spawn_beside(&launch, None)?;
    let port = wire::announced(&mut *keeper, deadline)?;
    Ok((keeper, port))
}

/// Becomes the keeper of the node in the working directory. `args`: the node's program, the test
/// module, the node's port, and whether clients are known to it.
pub(crate) fn main(args: &[String]) -> (i32, String) {
    let [program, module, port, clients] = args else {
        let why = format!(
            "{KEEPER} takes the node's program, the test module, a port, and {KNOWN} or {NEW}"
        );
        return (2, why);
    };
    let folder = std::env::current_dir().map_err(|e| format!("the working directory: {e}"));
    stand_in::serve(folder.and_then(|folder| {
        let clients = if clients == KNOWN { KNOWN_CLIENTS } else { 0 };
        make(
            &folder,
            Path::new(program),
            Path::new(module),
            port,
            clients,
        )?;
        Ok(Keeper { folder })
    }))
}

/// Makes the node, where it is not made. What a crash left of an attempt is removed: the node was
/// never started, so nothing was written to it.
pub(super) fn make(
    folder: &Path,
    program: &Path,
    module: &Path,
    port: &str,
    clients: u32,
) -> Result<(), String> {
    if folder.join(MADE).exists() {
        return Ok(());
    }
    let home = folder.join(HOME);
    let told = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    if home.exists() {
        fs::remove_dir_all(&home).map_err(|e| told(&home, e))?;
    }
    let output = Command::new(program)
        .args(["node", "create", NODE, port])
        .current_dir(folder)
        .envs(environment(folder))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| told(program, e))?;
    if !output.status.success() {
        return Err(format!(
            "`interstice node create` ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let node = node(folder)?;
    introduce(&node.join("peer_tokens.toml"), clients)?;
    let place = node.join("modules").join(MODULE);
    let copied = fs::create_dir_all(&place).and_then(|()| {
        fs::copy(module, place.join("module.wasm"))?;
        // What an installation sets up is long on the disk when the node is used.
        sync_tree(folder)?;
        File::create(folder.join(MADE))?.sync_all()?;
        File::open(folder)?.sync_all()
    });
    copied.map_err(|e| told(&place, e))
}

/// Writes down the first `clients` clients where the node does (`src/persistence/peer_tokens.rs`), as if
/// they had come before: it rewrites the file in place for each new one, and never syncs it.
fn introduce(tokens: &Path, clients: u32) -> Result<(), String> {
    if clients == 0 {
        return Ok(());
    }
    let told = |e: &dyn std::fmt::Display| format!("{}: {e}", tokens.display());
    let mut text = fs::read_to_string(tokens).map_err(|e| told(&e))?;
    for client in (0..clients).map(id) {
        text.push_str(&format!("{client} = \"{client}\"\n"));
    }
    // A node that has met nobody ends its file with the head of that table.
    let file: toml::Table = toml::from_str(&text).map_err(|e| told(&e))?;
    let known = file.get("peers").and_then(toml::Value::as_table);
    if known.map_or(0, toml::Table::len) != clients as usize {
        return Err(told(&"it does not end with an empty [peers]"));
    }
    fs::write(tokens, text).map_err(|e| told(&e))
}

/// The folder of the only node.
fn node(folder: &Path) -> Result<PathBuf, String> {
    let nodes = folder.join(HOME).join(DATA).join("nodes");
    let told = |e: std::io::Error| format!("{}: {e}", nodes.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&nodes).map_err(told)? {
        found.push(entry.map_err(told)?.path());
    }
    match found.as_slice() {
        [node] => Ok(node.clone()),
        _ => Err(format!(
            "`interstice node create` made {} nodes in {}, not one",
            found.len(),
            nodes.display()
        )),
    }
}

/// Looks at the node's files.
pub(super) fn look(folder: &Path) -> Result<Option<String>, StoreError> {
    let request = Request {
        path: folder.join(HOME),
        after_crash: true,
        ..Request::default()
    };
    match (INSPECTOR.inspect)(&request) {
        Ok(inspection) => Ok(inspection.damage.first().map(|spot| {
            let at = spot
                .offset
                .map_or(String::new(), |at| format!(" at byte {at}"));
            let file = Path::new(&spot.file);
            let file = file.strip_prefix(folder).unwrap_or(file).display();
            format!("{}: {file}{at}: {}", spot.kind, spot.what)
        })),
        // A table has no files before its first change.
        Err(InspectError::NotThis { .. }) => Ok(None),
        Err(error) => Err(StoreError::Fail(error.to_string())),
    }
}

struct Keeper {
    folder: PathBuf,
}

/// Said of everything that is the node's and not the keeper's.
fn not_mine<T>() -> Result<T, StoreError> {
    Err(StoreError::Fail(
        "the keeper only looks at files: ask the node".into(),
    ))
}

impl Session for Keeper {
    fn apply(&mut self, _txn: &Txn) -> Result<(), StoreError> {
        not_mine()
    }

    fn barrier(&mut self) -> Result<(), StoreError> {
        not_mine()
    }

    fn get(&mut self, _key: &str) -> Result<Option<String>, StoreError> {
        not_mine()
    }

    fn read_all(&mut self) -> Result<BTreeMap<String, String>, StoreError> {
        not_mine()
    }

    fn check(&mut self) -> Result<Option<String>, StoreError> {
        look(&self.folder)
    }
}
