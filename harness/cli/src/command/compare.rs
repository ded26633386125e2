//! `plugpull compare`: two reports held against each other.

use std::io::Write as _;

use plugpull_reports::{Look, compare, load, render_comparison};

use super::wrong;
use crate::cli::CompareArgs;

/// Prints what became better and worse; 1 when something became worse.
pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<u8> {
    let before = load(&args.before).map_err(wrong)?;
    let now = load(&args.now).map_err(wrong)?;
    let comparison = compare(&before, &now).map_err(wrong)?;
    let text = render_comparison(&comparison, Look::of_stdout());
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(u8::from(comparison.worse()))
}
