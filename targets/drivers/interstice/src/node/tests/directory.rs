//! Making the node once, and looking at its files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::directory::{HOME, look, make};

/// A command line that does what `body` says when a node is to be created.
fn program(directory: &Path, body: &str) -> PathBuf {
    let path = directory.join("interstice");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

const CREATES: &str = "test \"$1 $2 $3 $4\" = 'node create plugpull 4711' || exit 9\n\
     echo x >> made\n\
     mkdir -p \"$XDG_DATA_HOME/interstice/nodes/the-id/modules\"";

#[test]
fn the_node_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    let module = directory.path().join("m.wasm");
    fs::write(&module, "\0asm").unwrap();
    let program = program(directory.path(), CREATES);
    let times = || fs::read_to_string(data.join("made")).unwrap().len() / 2;

    make(&data, &program, &module, "4711", 0).unwrap();
    let copy = data.join("node/interstice/nodes/the-id/modules/plugpull/module.wasm");
    assert_eq!(fs::read(&copy).unwrap(), b"\0asm");
    make(&data, &program, &module, "4711", 0).unwrap();
    assert_eq!(times(), 1);

    // A crash before it was made leaves anything; none of it is taken for the node.
    fs::remove_file(data.join("node-is-made")).unwrap();
    fs::create_dir(data.join(HOME).join("interstice/nodes/half")).unwrap();
    make(&data, &program, &module, "4711", 0).unwrap();
    assert_eq!(times(), 2);
    assert!(copy.exists());
}

#[test]
fn a_node_that_is_not_made_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let module = directory.path().join("m.wasm");
    fs::write(&module, "\0asm").unwrap();
    for (body, said) in [
        ("echo no audio >&2; exit 3", "exit status: 3: no audio"),
        ("exit 0", "nodes: No such file"),
        (
            "mkdir -p \"$XDG_DATA_HOME/interstice/nodes/a\" \"$XDG_DATA_HOME/interstice/nodes/b\"",
            "made 2 nodes",
        ),
    ] {
        let program = program(directory.path(), body);
        let why = make(directory.path(), &program, &module, "4711", 0).unwrap_err();
        assert!(why.contains(said), "{why}");
        assert!(!directory.path().join("node-is-made").exists());
    }
}

#[test]
fn files_are_looked_at_without_asking_the_node() {
    let directory = tempfile::tempdir().unwrap();
    let logs = directory
        .path()
        .join(HOME)
        .join("interstice/nodes/n/modules/plugpull/logs");
    fs::create_dir_all(&logs).unwrap();
    assert_eq!(look(directory.path()), Ok(None));
    fs::write(logs.join("rows.log"), [5, 0, 0, 0, 0, 0, 3]).unwrap();
    let said = look(directory.path()).unwrap().unwrap();
    let file = "node/interstice/nodes/n/modules/plugpull/logs/rows.log";
    assert!(
        said.starts_with(&format!("torn: {file} at byte 0: ")),
        "{said}"
    );
}

/// What the node itself would write for a client that it meets, and nothing else changed.
#[test]
fn clients_are_introduced_in_the_nodes_own_file() {
    let directory = tempfile::tempdir().unwrap();
    let module = directory.path().join("m.wasm");
    fs::write(&module, "\0asm").unwrap();
    let writes = |text: &str| {
        format!(
            "mkdir -p \"$XDG_DATA_HOME/interstice/nodes/n\"\n\
             printf '{text}' > \"$XDG_DATA_HOME/interstice/nodes/n/peer_tokens.toml\""
        )
    };
    let as_made = program(
        directory.path(),
        &writes("local_token = \"own\"\\n\\n[peers]\\n"),
    );
    make(directory.path(), &as_made, &module, "4711", 2).unwrap();
    let tokens = directory
        .path()
        .join("node/interstice/nodes/n/peer_tokens.toml");
    let one = "706c7567-7075-4c6c-8000-000000000000";
    let two = "706c7567-7075-4c6c-8000-000000000001";
    assert_eq!(
        fs::read_to_string(tokens).unwrap(),
        format!("local_token = \"own\"\n\n[peers]\n{one} = \"{one}\"\n{two} = \"{two}\"\n")
    );

    fs::remove_file(directory.path().join("node-is-made")).unwrap();
    let other = program(directory.path(), &writes("[peers]\\n[others]\\n"));
    let why = make(directory.path(), &other, &module, "4711", 2).unwrap_err();
    assert!(
        why.ends_with("peer_tokens.toml: it does not end with an empty [peers]"),
        "{why}"
    );
}
