//! plugpull itself, for the benchmarks that time whole commands of it.

// tidy: small because two benchmarks share it.

use std::path::{Path, PathBuf};

/// The program that was named, or else the one beside this one.
///
/// # Errors
/// It is not there.
pub(crate) fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let program = match named {
        Some(path) => path.to_path_buf(),
        None => std::env::current_exe()?.with_file_name("plugpull"),
    };
    anyhow::ensure!(
        program.is_file(),
        "{} is not there; build it first: cargo build --release",
        program.display()
    );
    Ok(program)
}
