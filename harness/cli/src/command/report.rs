//! `plugpull report`: the report of a run file, in every form.

use plugpull_reports::{exit_code, load};

use super::asked::files;
use super::reporters::Reporters;
use super::wrong;
use crate::cli::ReportArgs;

/// Reads a run file, or a JSON report, and shows it as the run itself would have.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    files(&args.report)?;
    let report = load(&args.file).map_err(wrong)?;
    Reporters::new(&args.report).finish(&report)?;
    Ok(exit_code(&report))
}
