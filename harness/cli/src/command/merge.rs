//! `plugpull merge`: the reports of many machines as one.

use plugpull_reports::{Report, exit_code, load, merge};

use super::asked::files;
use super::reporters::Reporters;
use super::wrong;
use crate::cli::MergeArgs;

/// Reads the reports, and tells of all of them as of one run.
pub(crate) fn run(args: &MergeArgs) -> anyhow::Result<u8> {
    files(&args.report)?;
    let reports: Vec<Report> = args
        .reports
        .iter()
        .map(|path| load(path).map_err(wrong))
        .collect::<anyhow::Result<_>>()?;
    let merged = merge(reports).map_err(wrong)?;
    let code = exit_code(&merged);
    Reporters::new(&args.report).finish(&merged)?;
    Ok(code)
}
