//! The keeper of the node's folder: plugpull's own binary, in the sandbox beside the node, where the
//! files can be seen. It makes the node at its first start, and looks at the files when asked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use plugpull_workloads::Txn;

use super::Installed;
use super::module::MODULE;
use crate::inspect::{InspectError, Request};
use crate::interstice::INSPECTOR;
use crate::reference_daemon::REFERENCE;
use crate::sync_tree::sync_tree;
use crate::wire::{self, Session, StoreError};
use crate::{Host, Launch, Process, Program, StartError, stand_in};

/// The name under which the keeper is started.
pub(crate) const KEEPER: &str = "interstice-keeper";

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
    port: u16,
    deadline: Instant,
) -> Result<(Box<dyn Process>, u16), StartError> {
    let launch = Launch {
        program: Program::Myself,
        args: vec![
            REFERENCE.to_owned(),
            KEEPER.to_owned(),
            installed.program.display().to_string(),
            installed.module.display().to_string(),
            port.to_string(),
        ],
        env: Vec::new(),
        cwd: None,
    };
    let mut keeper = host.spawn_beside(&launch, None)?;
    let port = wire::announced(&mut *keeper, deadline)?;
    Ok((keeper, port))
}

/// Becomes the keeper of the node in the working directory. `args`: the node's program, the test
/// module, the node's port.
pub(crate) fn main(args: &[String]) -> (i32, String) {
    let [program, module, port] = args else {
        let why = format!("{KEEPER} takes the node's program, the test module and a port");
        return (2, why);
    };
    let folder = std::env::current_dir().map_err(|e| format!("the working directory: {e}"));
    stand_in::serve(folder.and_then(|folder| {
        make(&folder, Path::new(program), Path::new(module), port)?;
        Ok(Keeper { folder })
    }))
}

/// Makes the node, where it is not made. What a crash left of an attempt is removed: the node was
/// never started, so nothing was written to it.
pub(super) fn make(folder: &Path, program: &Path, module: &Path, port: &str) -> Result<(), String> {
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
    let place = node(folder)?.join("modules").join(MODULE);
    let copied = fs::create_dir_all(&place).and_then(|()| {
        fs::copy(module, place.join("module.wasm"))?;
        // What an installation sets up is long on the disk when the node is used.
        sync_tree(folder)?;
        File::create(folder.join(MADE))?.sync_all()?;
        File::open(folder)?.sync_all()
    });
    copied.map_err(|e| told(&place, e))
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
