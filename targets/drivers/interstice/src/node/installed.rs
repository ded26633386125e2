//! Whether the node and the test module are there, and what to do where they are not.

// tidy: small because what a user must install is a subject of its own.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::NodeSettings;
use plugpull_driver::program;

/// How to get the node.
const INSTALL: &str = "install it with `cargo install interstice-cli --version 0.5.0 --locked` \
     (Debian: it needs libasound2-dev; half an hour and more on two cores), name it with --set \
     bin=PATH, or test the guide's log by plugpull's fake with --reference";

/// How to get the module.
const COMPILE: &str = "compile plugpull's docs/examples/interstice/module.c with `clang \
     --target=wasm32 -nostdlib -O2 -Wl,--no-entry -o module.wasm module.c` (Debian: clang and lld), \
     and name what comes of it with --set module=PATH";

/// What a WebAssembly module begins with.
const MAGIC: &[u8] = b"\0asm";

/// The programs and files that a start needs, by absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    /// The node's command line.
    pub(crate) program: PathBuf,
    /// The test module.
    pub(crate) module: PathBuf,
}

/// Finds them; an error says what is missing and what to do.
pub(crate) fn find(settings: &NodeSettings) -> Result<Installed, String> {
    let name = &settings.bin;
    let program =
        program::find(name).ok_or_else(|| format!("{}: {INSTALL}", program::missing(name)))?;
    let module = Path::new(&settings.module);
    let mut begin = Vec::new();
    let read = File::open(module).and_then(|file| file.take(4).read_to_end(&mut begin));
    if let Err(error) = read {
        return Err(format!(
            "the node's test module {} cannot be read: {error}: {COMPILE}",
            module.display()
        ));
    }
    if begin != MAGIC {
        return Err(format!(
            "{} is no WebAssembly module: {COMPILE}",
            module.display()
        ));
    }
    let module = std::path::absolute(module).map_err(|error| error.to_string())?;
    Ok(Installed { program, module })
}
