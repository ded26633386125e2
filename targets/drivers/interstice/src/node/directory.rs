//! The node's directory: it is made at the node's first start, and its files are looked at when the
//! check is asked for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plugpull_driver::{ClientError, sync_tree};
use plugpull_inspect::{InspectError, Request};

use super::module::MODULE;
use crate::INSPECTOR;

/// How many clients are known. They are counted from the beginning in each life of the node.
pub(super) const KNOWN_CLIENTS: u32 = 256;

/// The node's name.
pub(super) const NODE: &str = "plugpull";
/// Where the node's data is, in the data directory: its XDG_DATA_HOME.
pub(super) const HOME: &str = "node";
/// Under that: what the node's own program calls `data_file()`.
const DATA: &str = "interstice";
/// It is there once the node is made, and all of it durable.
const MADE: &str = "node-is-made";

/// The name of the `number`th connection of a life of the node, as a UUID. The node takes only one
/// connection of a name at a time, and writes every new name down, so they are the same in every life.
pub(super) fn client_id(number: u32) -> String {
    format!("706c7567-7075-4c6c-8000-{number:012x}")
}

/// The variables of the node's command line.
pub(super) fn environment(data: &Path) -> Vec<(String, String)> {
    let home = data.join(HOME).display().to_string();
    // Its log has colours otherwise.
    vec![
        ("XDG_DATA_HOME".into(), home),
        ("NO_COLOR".into(), "1".into()),
    ]
}

/// Makes the node, where it is not made. What a crash left of an attempt is removed: the node was
/// never started, so nothing was written to it.
pub(super) fn make(
    directory: &Path,
    program: &Path,
    module: &Path,
    port: &str,
    clients: u32,
) -> Result<(), String> {
    if directory.join(MADE).exists() {
        return Ok(());
    }
    let home = directory.join(HOME);
    let failed = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    if home.exists() {
        fs::remove_dir_all(&home).map_err(|e| failed(&home, e))?;
    }
    let output = Command::new(program)
        .args(["node", "create", NODE, port])
        .current_dir(directory)
        .envs(environment(directory))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| failed(program, e))?;
    if !output.status.success() {
        return Err(format!(
            "`interstice node create` ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let node = node(directory)?;
    introduce(&node.join("peer_tokens.toml"), clients)?;
    let place = node.join("modules").join(MODULE);
    let copied = fs::create_dir_all(&place).and_then(|()| {
        fs::copy(module, place.join("module.wasm"))?;
        // What an installation sets up is long on the disk when the node is used.
        sync_tree(directory)?;
        File::create(directory.join(MADE))?.sync_all()?;
        File::open(directory)?.sync_all()
    });
    copied.map_err(|e| failed(&place, e))
}

/// Writes down the first `clients` clients where the node does (`src/persistence/peer_tokens.rs`), as if
/// they had come before: it rewrites the file in place for each new one, and never syncs it.
fn introduce(tokens: &Path, clients: u32) -> Result<(), String> {
    if clients == 0 {
        return Ok(());
    }
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", tokens.display());
    let mut text = fs::read_to_string(tokens).map_err(|e| failed(&e))?;
    for client in (0..clients).map(client_id) {
        text.push_str(&format!("{client} = \"{client}\"\n"));
    }
    // A node that has met nobody ends its file with the head of that table.
    let file: toml::Table = toml::from_str(&text).map_err(|e| failed(&e))?;
    let known = file.get("peers").and_then(toml::Value::as_table);
    if known.map_or(0, toml::Table::len) != clients as usize {
        return Err(failed(&"it does not end with an empty [peers]"));
    }
    fs::write(tokens, text).map_err(|e| failed(&e))
}

/// The directory of the only node.
fn node(directory: &Path) -> Result<PathBuf, String> {
    let nodes = directory.join(HOME).join(DATA).join("nodes");
    let failed = |e: std::io::Error| format!("{}: {e}", nodes.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&nodes).map_err(failed)? {
        found.push(entry.map_err(failed)?.path());
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
pub(super) fn look(directory: &Path) -> Result<Option<String>, ClientError> {
    let request = Request {
        path: directory.join(HOME),
        after_crash: true,
        ..Request::default()
    };
    match (INSPECTOR.inspect)(&request) {
        Ok(inspection) => Ok(inspection.damage.first().map(|spot| {
            let at = spot
                .offset
                .map_or(String::new(), |at| format!(" at byte {at}"));
            let file = Path::new(&spot.file);
            let file = file.strip_prefix(directory).unwrap_or(file).display();
            format!("{}: {file}{at}: {}", spot.kind, spot.what)
        })),
        // A table has no files before its first change.
        Err(InspectError::NotThis { .. }) => Ok(None),
        Err(error) => Err(ClientError::Fail(error.to_string())),
    }
}
