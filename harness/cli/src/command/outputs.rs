//! What a run writes: whether each file can be written, before anything is started.

// tidy: small because what is checked of outputs is one subject

use std::path::Path;

use nix::unistd::{AccessFlags, access};
use plugpull_engine::keep::Keep;

use super::{run_files, wrong};
use crate::options::{OutputOptions, ReportOptions};

/// Checks that the results can be written. The directory to keep things in, if one is wanted.
pub(super) fn check(options: &OutputOptions) -> anyhow::Result<Option<Keep>> {
    check_files(&options.report)?;
    run_files::check(options)?;
    options.keep.as_deref().map(Keep::open).transpose()
}

/// Checks that every file of a report can be written.
pub(super) fn check_files(options: &ReportOptions) -> anyhow::Result<()> {
    let all = [
        &options.json,
        &options.junit,
        &options.sarif,
        &options.markdown,
        &options.html,
    ];
    for path in all.into_iter().flatten() {
        writable(path, "the report")?;
    }
    Ok(())
}

/// Wrong use unless a file can be written there.
pub(super) fn writable(path: &Path, what: &str) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let why = if path.is_dir() {
        "it is a directory".to_string()
    } else if !directory.is_dir() {
        "its directory does not exist".to_string()
    } else if let Err(error) = access(directory, AccessFlags::W_OK) {
        format!("its directory: {}", error.desc())
    } else {
        return Ok(());
    };
    Err(wrong(format!(
        "{what} cannot be written to {}: {why}",
        path.display()
    )))
}
