//! The node's own verifier, `ailee_l2_verify`, asked for a second opinion where it is on PATH.
//!
//! It looks at the newest complete snapshot alone, prints `Computed L2StateRoot: ROOT` and ends with
//! 0 where that verifies, 2 where it does not, 1 where there is none (`src/tools/ailee_l2_verify.cpp`
//! of the node). Nothing that it says takes anything back that plugpull found.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use plugpull_inspect::{Inspection, Request, Spot};

const PROGRAM: &str = "ailee_l2_verify";
/// What stands before the root in its output.
const ROOT_LINE: &str = "Computed L2StateRoot: ";

/// What it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opinion {
    /// Its exit code; none where a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) root: Option<String>,
    /// Its complaint, in one line.
    pub(super) words: String,
}

/// Asks it, and adds where it agrees and where it does not.
pub(super) fn ask(request: &Request, inspection: &mut Inspection) {
    let said = match on_path(PROGRAM) {
        None => "not asked: it is not on PATH".to_owned(),
        Some(program) => match run(&program, &request.path) {
            Ok(opinion) => compare(&opinion, inspection),
            Err(error) => format!("not asked: {} cannot be run: {error}", program.display()),
        },
    };
    inspection.facts.push((PROGRAM.to_owned(), said));
}

/// Holds its opinion against what was found, and tells in a line how they compare.
pub(super) fn compare(opinion: &Opinion, inspection: &mut Inspection) -> String {
    let loads = &inspection.detail["loads"];
    let offset = loads["offset"].as_u64();
    let ours = loads["root"].as_str().map(str::to_owned);
    let spot = |kind, what| Spot {
        kind,
        file: inspection.path.clone(),
        line: None,
        offset,
        what,
    };
    if let (Some(ours), Some(theirs)) = (&ours, &opinion.root)
        && !ours.eq_ignore_ascii_case(theirs)
    {
        let what = format!("{PROGRAM} computes the root {theirs} of the state, plugpull {ours}");
        let spot = spot("verifier-disagrees", what);
        inspection.damage.push(spot);
        inspection.sound = false;
        return "computes another state root".into();
    }
    match opinion.code {
        Some(0) if inspection.sound => "agrees".into(),
        Some(0) => {
            let what = format!(
                "{PROGRAM} finds nothing wrong, and looks at the newest complete snapshot alone"
            );
            let spot = spot("verifier-accepts", what);
            inspection.notes.push(spot);
            "finds nothing wrong".into()
        }
        Some(1) if offset.is_none() => "agrees: there is no complete snapshot".into(),
        // A state without an anchor is no damage by the grammar, and does not verify.
        _ if inspection.sound => {
            let what = format!("{PROGRAM} refuses the file: {}", opinion.words);
            let spot = spot("verifier-refuses", what);
            inspection.notes.push(spot);
            format!("refuses it: {}", opinion.words)
        }
        _ => format!("refuses it too: {}", opinion.words),
    }
}

fn run(program: &Path, file: &Path) -> io::Result<Opinion> {
    let output = Command::new(program)
        .arg("--snapshot")
        .arg(file)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let root = said.lines().find_map(|line| line.strip_prefix(ROOT_LINE));
    let words = String::from_utf8_lossy(&output.stderr);
    let first = words.lines().next().map_or("it says nothing", str::trim);
    Ok(Opinion {
        code: output.status.code(),
        root: root.map(|root| root.trim().to_owned()),
        words: first.to_owned(),
    })
}

fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(runs)
}
