//! Where run files are: `.plugpull/runs` in the working directory, where the last ones stay.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use plugpull_reports::{Header, RunFile, load_run};

use super::wrong;
use crate::options::OutputOptions;

/// Where run files are kept by default.
const DIRECTORY: &str = ".plugpull/runs";
/// So many are kept there, besides those of a trace that the user keeps.
const KEPT: usize = 20;
/// What comes before the time of day when a name is taken.
const TRIES: u32 = 100;

/// Refuses a run file that would replace something else.
pub(super) fn check(outputs: &OutputOptions) -> anyhow::Result<()> {
    let Some(path) = &outputs.run_file else {
        return Ok(());
    };
    let taken = fs::symlink_metadata(path).is_ok_and(|meta| {
        let empty = meta.is_file() && meta.len() == 0;
        let run = || matches!(load_run(path), Ok(Some(_)));
        meta.is_file() && !empty && !run() || meta.is_dir()
    });
    match taken {
        true => Err(wrong(format!(
            "--run-file {}: there is something else already",
            path.display()
        ))),
        false => Ok(()),
    }
}

/// Opens the run file of a run that begins. Where that is not possible there is a warning, and the
/// run goes on without.
pub(super) fn open(outputs: &OutputOptions, header: &Header) -> RunFile {
    if outputs.no_run_file {
        return RunFile::unnamed();
    }
    let opened = match &outputs.run_file {
        Some(path) => RunFile::replace(path).map_err(|error| (path.clone(), error)),
        None => in_directory(Path::new(DIRECTORY), header)
            .map_err(|error| (PathBuf::from(DIRECTORY), error)),
    };
    opened.unwrap_or_else(|(path, error)| {
        eprintln!(
            "plugpull: no run file is written to {}: {error}; the run goes on, and cannot be resumed",
            path.display()
        );
        RunFile::unnamed()
    })
}

/// A new run file in this directory, which is made where it is missing. Those that are too old go.
fn in_directory(directory: &Path, header: &Header) -> io::Result<RunFile> {
    fs::create_dir_all(directory)?;
    if let Some(parent) = directory.parent()
        && !parent.join(".gitignore").exists()
    {
        fs::write(parent.join(".gitignore"), "*\n")?;
    }
    let stem = format!("{}-{}", time(header.began_unix), header.command.name());
    let mut last = None;
    for number in 1..=TRIES {
        let name = match number {
            1 => format!("{stem}.jsonl"),
            _ => format!("{stem}-{number}.jsonl"),
        };
        match RunFile::create(&directory.join(name)) {
            Ok(file) => {
                remove_old(directory, file.path());
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
}

/// Removes all run files but the last ones, `own`, and those of a trace that the user keeps. One
/// that cannot be removed stays.
fn remove_old(directory: &Path, own: Option<&Path>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut all: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    // Their names begin with the time.
    all.sort();
    let old = all.len().saturating_sub(KEPT);
    for path in &all[..old] {
        if own == Some(path) || of_a_kept_trace(path) {
            continue;
        }
        if fs::remove_file(path).is_ok() {
            drop(fs::remove_file(trace_beside(path)));
            drop(fs::remove_dir_all(findings_beside(path)));
        }
    }
}

/// The directory beside a run file that holds the artifacts of its findings.
pub(super) fn findings_beside(run_file: &Path) -> PathBuf {
    let mut path = run_file.as_os_str().to_owned();
    path.push(".findings");
    PathBuf::from(path)
}

/// The file beside a run file that holds its trace.
pub(super) fn trace_beside(run_file: &Path) -> PathBuf {
    let mut path = run_file.as_os_str().to_owned();
    path.push(".trace");
    PathBuf::from(path)
}

/// True when the run explored a trace of the user's own that is still there.
fn of_a_kept_trace(path: &Path) -> bool {
    let Ok(Some(run)) = plugpull_reports::load_header(path) else {
        return false;
    };
    let mut words = run.arguments.iter();
    while let Some(word) = words.next() {
        let named = match word.split_once('=') {
            Some((name, value)) => Some((name, value)),
            None => Some(word.as_str()).zip(words.as_slice().first().map(String::as_str)),
        };
        if let Some(("--record" | "--trace", file)) = named {
            return Path::new(&run.directory).join(file).exists();
        }
    }
    false
}

/// Seconds since 1970.
pub(super) fn now_unix() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |time| time.as_secs())
}

/// A time in UTC that sorts as text: `20261129T132200Z`.
fn time(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // From days to a date, as in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms":
    // years begin in March, and the leap day is their last.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{:02}Z",
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_that_sort() {
        for (unix, text) in [
            (0, "19700101T000000Z"),
            (951_827_696, "20000229T123456Z"),
            (1_700_000_000, "20231114T221320Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(time(unix), text);
        }
    }

    #[test]
    fn the_last_ones_are_kept_and_those_of_a_kept_trace() {
        let directory = tempfile::tempdir().expect("a directory");
        let runs = directory.path().join("runs");
        let trace = directory.path().join("kept.trace");
        fs::write(&trace, "").expect("written");
        let header = |n: u64, argument: &str| Header {
            schema: plugpull_reports::RUN_SCHEMA.into(),
            began_unix: n,
            arguments: vec!["explore".into(), argument.into(), "kept.trace".into()],
            directory: directory.path().display().to_string(),
            ..Header::default()
        };
        let begin = |n: u64, argument: &str| {
            let header = header(n, argument);
            let mut file = in_directory(&runs, &header).expect("a run file");
            file.write(&plugpull_reports::Line {
                at_us: 0,
                record: plugpull_reports::Record::Header(Box::new(header)),
            });
            file.path().expect("a name").to_path_buf()
        };
        let of_trace = begin(1, "--trace");
        let plain: Vec<PathBuf> = (2..30).map(|n| begin(n, "--states")).collect();
        let there = |path: &PathBuf| path.exists();
        assert!(there(&of_trace));
        assert_eq!(plain.iter().filter(|path| there(path)).count(), KEPT);
        assert!(plain[8..].iter().all(there), "the newest stay");
        fs::remove_file(&trace).expect("removed");
        let twice = [begin(40, "--states"), begin(40, "--states")];
        assert!(!there(&of_trace) && twice.iter().all(there));
        assert_ne!(twice[0], twice[1]);
    }
}
