//! `plugpull resume`: goes on with a run that was interrupted.

use std::path::Path;

use anyhow::Context as _;
use clap::FromArgMatches as _;
use plugpull_reports::{EndReason, Header, RecordedRun, RunCommand, RunFile, load_run};

use super::live_run::{Resumed, build};
use super::{explore, growth, run, wrong};
use crate::cli::{Cli, Command, ResumeArgs};
use crate::definition;
use crate::options::OutputOptions;

/// Reads the run file, and makes what is missing of the run with the options that it had.
pub(crate) fn run(args: &ResumeArgs) -> anyhow::Result<u8> {
    let path = std::fs::canonicalize(&args.file)
        .map_err(|error| wrong(format!("{}: {error}", args.file.display())))?;
    let recorded = load_run(&path).map_err(wrong)?;
    let recorded =
        recorded.ok_or_else(|| wrong(format!("{} is no run file", args.file.display())))?;
    let header = recorded
        .header()
        .cloned()
        .context("the run file lost its header")?;
    can_be_resumed(&recorded, &header)
        .map_err(|why| wrong(format!("{} cannot be resumed: {why}", args.file.display())))?;
    // Relative paths among its options start where the run did.
    std::env::set_current_dir(&header.directory).map_err(|error| {
        wrong(format!(
            "the run's working directory {}: {error}",
            header.directory
        ))
    })?;
    let program = std::iter::once("plugpull".to_owned());
    let matches = definition::definition()
        .try_get_matches_from(program.chain(header.arguments.iter().cloned()))
        .map_err(|error| wrong(format!("the options of the run: {error}")))?;
    let cli = Cli::from_arg_matches(&matches)
        .map_err(|error| wrong(format!("the options of the run: {error}")))?;
    let same_file = |mut outputs: OutputOptions| {
        outputs.arguments = header.arguments.clone();
        outputs
    };
    match cli.command {
        Command::Run(mut args) => {
            args.seed = Some(header.seed);
            args.outputs = same_file(args.outputs);
            run::run(&args, Some(resumed(recorded, &path)?))
        }
        Command::Growth(mut args) => {
            args.seed = Some(header.seed);
            args.sizes = header.growth.map_or(args.sizes, |growth| growth.sizes);
            args.outputs = same_file(args.outputs);
            growth::run(&args, Some(resumed(recorded, &path)?))
        }
        Command::Explore(mut args) => {
            args.seed = Some(header.seed);
            args.outputs = same_file(args.outputs);
            explore::run(&args, Some(resumed(recorded, &path)?))
        }
        Command::Syncs(args) => {
            let mut args = args.into_explored();
            args.seed = Some(header.seed);
            args.outputs = same_file(args.outputs);
            explore::run(&args, Some(resumed(recorded, &path)?))
        }
        _ => Err(wrong("the run file names a command that makes no run")),
    }
}

/// The run and its file, to go on with behind its last whole line.
fn resumed(run: RecordedRun, path: &Path) -> anyhow::Result<Resumed> {
    let file =
        RunFile::append(path).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(Resumed { run, file })
}

/// Why a run cannot be resumed.
fn can_be_resumed(run: &RecordedRun, header: &Header) -> Result<(), String> {
    if header.command == RunCommand::Attach {
        return Err(
            "what attach did to a service is not done again without being asked for; call \
             `plugpull attach` once more"
                .into(),
        );
    }
    if let Some(end) = run.fold.end()
        && matches!(end.reason, EndReason::Complete | EndReason::Budget)
    {
        return Err("the run came to its end; `plugpull report` shows it".into());
    }
    let version = env!("CARGO_PKG_VERSION");
    if header.plugpull != version {
        return Err(format!(
            "it was made by plugpull {}, this is {version}",
            header.plugpull
        ));
    }
    if header.build != build() {
        return Err("it was made by another build of plugpull".into());
    }
    Ok(())
}
