//! The crash filesystem beside ext4: the same list of behaviours on both, compared line by line.
//!
//! The list says for each behaviour what ext4 does. On the crash filesystem exactly the lines
//! named in `docs/filesystem.md` may differ, and those must differ as the table says. Where the
//! build directory lies on ext4, the list itself is held to it.
//!
//! The program starts itself again for the list, because it forks and changes its working
//! directory and so must have one thread: alone on ext4, and inside `plugpull exec` on the crash
//! filesystem. By hand, in any directory: `filesystem posix-list`.

mod behaviours;
mod compare;
mod outcome;
mod sys;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode};

use compare::{Lines, differences};
use libtest_mimic::Failed;
use nix::sys::statfs::{EXT4_SUPER_MAGIC, statfs};
use plugpull_testing::MadeTest;

/// The first argument of the list.
const LIST: &str = "posix-list";
/// Where the table of differences is.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/filesystem.md");
/// A directory of the build, which others do not write to.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(LIST) {
        return show();
    }
    let of = MadeTest::of;
    let tests = [
        of(
            "the_crash_filesystem_differs_as_documented",
            "fuse",
            crash_filesystem,
        ),
        of("the_list_says_what_ext4_does", "ext4", ext4_itself),
        of("the_list_is_whole", "", the_list_is_whole),
        of(
            "the_table_is_about_the_list",
            "",
            the_table_is_about_the_list,
        ),
        of(
            "every_kind_of_difference_is_found",
            "",
            compare::finds_every_kind,
        ),
        of(
            "a_table_that_is_none_is_refused",
            "",
            table::refuses_what_is_no_table,
        ),
    ];
    let capability = |name: &str| match name {
        "fuse" => can_exec(),
        "ext4" => is_ext4(),
        program => plugpull_testing::program(program),
    };
    plugpull_testing::main_with(capability, tests)
}

/// Shows the list in a new directory of the working directory.
fn show() -> ExitCode {
    let shown = tempfile::tempdir_in(".").and_then(|directory| {
        let home = std::env::current_dir()?;
        // So that another user may work below it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open)?;
        std::env::set_current_dir(directory.path())?;
        behaviours::show_all(|name, line| println!("{name}: {line}"))?;
        std::env::set_current_dir(home)
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the list cannot be shown here: {error}");
            ExitCode::FAILURE
        }
    }
}

fn plugpull(command: &[&str]) -> Command {
    let mut exec = Command::new(env!("CARGO_BIN_EXE_plugpull"));
    exec.arg("exec").arg("--").args(command);
    exec
}

fn can_exec() -> Result<(), String> {
    let output = plugpull(&["true"])
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

fn is_ext4() -> Result<(), String> {
    let found = statfs(Path::new(DIRECTORY)).map_err(|errno| errno.to_string())?;
    // ext2 and ext3 have the same number; the list would tell them apart.
    if found.filesystem_type() == EXT4_SUPER_MAGIC {
        return Ok(());
    }
    Err(format!("{DIRECTORY} is on another filesystem"))
}

/// Runs the list by `command`, and returns its lines.
fn listed(command: &mut Command) -> Result<Lines, Failed> {
    let output = command.output()?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the list ended with {}: {why}", output.status).into());
    }
    Ok(Lines::read(&String::from_utf8_lossy(&output.stdout)))
}

fn own_path() -> Result<String, Failed> {
    Ok(std::env::current_exe()?.to_string_lossy().into_owned())
}

fn verdict(wrong: &[String]) -> Result<(), Failed> {
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n").into())
    }
}

fn crash_filesystem() -> Result<(), Failed> {
    let table = table::read(&std::fs::read_to_string(DOCUMENT)?)?;
    let lines = listed(&mut plugpull(&[&own_path()?, LIST]))?;
    verdict(&differences(&lines, &table))?;
    // Without the table every row of it is a difference, or the comparison sees nothing.
    let seen = differences(&lines, &[]).len();
    let rows = table
        .iter()
        .filter(|row| lines.measured(&row.behaviour))
        .count();
    if seen != rows {
        return Err(format!("{seen} differences without the table, which has {rows}").into());
    }
    Ok(())
}

fn ext4_itself() -> Result<(), Failed> {
    let lines = listed(Command::new(own_path()?).arg(LIST).current_dir(DIRECTORY))?;
    verdict(&differences(&lines, &[]))
}

/// Names are what the table and the lines are matched by.
fn the_list_is_whole() -> Result<(), Failed> {
    let names: std::collections::BTreeSet<&str> =
        behaviours::all().map(|behaviour| behaviour.name).collect();
    let count = behaviours::all().count();
    if names.len() != count || count < 150 {
        return Err(format!("{count} behaviours with {} names", names.len()).into());
    }
    Ok(())
}

fn the_table_is_about_the_list() -> Result<(), Failed> {
    let table = table::read(&std::fs::read_to_string(DOCUMENT)?)?;
    let wrong: Vec<String> = table
        .iter()
        .filter(|row| {
            !behaviours::all().any(|one| one.name == row.behaviour && one.ext4 == row.ext4)
        })
        .map(|row| {
            format!(
                "{}: the list does not say that ext4 does {}",
                row.behaviour, row.ext4
            )
        })
        .collect();
    verdict(&wrong)
}
