//! `plugpull completions` and `plugpull man`: made from the command line itself.

use std::io::Write as _;

use anyhow::Context;

use super::wrong;
use crate::cli::{CompletionsArgs, ManArgs};
use crate::switches::definition;

/// The name of the program, and of its pages.
const NAME: &str = "plugpull";

/// Prints a shell's completions.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut definition(), NAME, &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(crate::KEPT)
}

/// Prints the manual page, or writes those of all commands into a folder.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<u8> {
    let Some(folder) = &args.dir else {
        let mut text = Vec::new();
        clap_mangen::Man::new(definition()).render(&mut text)?;
        std::io::stdout().write_all(&text)?;
        return Ok(crate::KEPT);
    };
    if !folder.is_dir() {
        return Err(wrong(format!(
            "the manual pages cannot be written to {}: there is no such folder",
            folder.display()
        )));
    }
    clap_mangen::generate_to(definition(), folder)
        .with_context(|| format!("writing the manual pages to {}", folder.display()))?;
    Ok(crate::KEPT)
}
