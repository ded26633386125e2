//! `system export` and `system import`: whether what was exported brings everything back.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::statistics::statistics;
use super::jobs::JOBS;
use super::runner::Runner;

/// The second home, under the first.
const HOME: &str = "carried";
const DATABASE: &str = "workspace/vfab.db";

/// Exports everything, imports it in an empty home, and compares jobs and statistics. The
/// configuration is not compared: the first command in a home makes one. Returns what does not hold.
pub(super) fn complaints(runner: &Runner) -> Result<Vec<String>, String> {
    let home = runner.directory().join(HOME);
    let said = carry(runner, &home);
    #[expect(
        clippy::let_underscore_must_use,
        reason = "it is no part of what is tested next"
    )]
    let _ = fs::remove_dir_all(&home);
    said
}

fn carry(runner: &Runner, home: &Path) -> Result<Vec<String>, String> {
    let exported = runner.run(&["system", "export", "all", "--apply"])?;
    let file = exported
        .stdout
        .split_once("Export completed: ")
        .map(|(_, rest)| PathBuf::from(rest.lines().next().unwrap_or_default().trim()));
    let Some(file) = file.filter(|file| exported.good && file.is_file()) else {
        return Ok(vec![format!("export-fails: {}", exported.said)]);
    };
    let failed = |e: std::io::Error| format!("the second home: {e}");
    fs::create_dir_all(home).map_err(failed)?;
    let there = runner.at(home);
    let mut all = Vec::new();
    // As it was named, then by the other name that import knows.
    let named = home.join(file.file_name().unwrap_or_default());
    fs::copy(&file, &named).map_err(failed)?;
    let mut imported = there.run(&["system", "import", &named.display().to_string()])?;
    if !imported.good {
        all.push(format!(
            "import-refused: vfab system import does not take what vfab system export made: {}",
            imported.said
        ));
        let other = home.join("export.tgz");
        fs::rename(&named, &other).map_err(failed)?;
        imported = there.run(&["system", "import", &other.display().to_string()])?;
    }
    if imported.good {
        all.extend(differences(runner.directory(), home));
    } else {
        all.push(format!("import-fails: {}", imported.said));
    }
    #[expect(
        clippy::let_underscore_must_use,
        reason = "not to be found by the next export, nor to fill the disk; what is left harms neither check"
    )]
    let _ = fs::remove_file(&file);
    Ok(all)
}

fn differences(from: &Path, to: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let (here, there) = (from.join(JOBS), to.join(JOBS));
    let files = files(&here);
    let gone: Vec<&PathBuf> = files
        .iter()
        .filter(|name| fs::read(here.join(name)).ok() != fs::read(there.join(name)).ok())
        .collect();
    if let Some(first) = gone.first() {
        all.push(format!(
            "not-brought-back: {} of {} files of jobs, {} first",
            gone.len(),
            files.len(),
            first.display()
        ));
    }
    let events = |home: &Path| statistics(&home.join(DATABASE)).map(|s| s.events);
    if let Ok(before) = events(from)
        && events(to).as_ref() != Ok(&before)
    {
        let count: usize = before.values().map(Vec::len).sum();
        all.push(format!("not-brought-back: the statistics, {count} events"));
    }
    all
}

/// Every file under a directory, by its name within it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if let Ok(name) = path.strip_prefix(directory) {
                all.push(name.to_owned());
            }
        }
    }
    all.sort();
    all
}
