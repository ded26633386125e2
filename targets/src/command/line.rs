//! A command of the file, made ready to be launched.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::file::CommandLine;
use crate::{Host, Launch, Program};

/// Names the folder of the TOML file to every command.
pub(super) const FOLDER_VARIABLE: &str = "PLUGPULL_FOLDER";
/// Names the data folder to every command.
const DATA_VARIABLE: &str = "PLUGPULL_DATA";
/// The shell that runs texts.
const SHELL: &str = "/bin/sh";

/// A command whose program has been found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) program: PathBuf,
    /// Its arguments, with `{folder}` replaced and `{data}` not yet.
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// As it was written, for people.
    pub(super) shown: String,
}

impl Line {
    /// Finds the program of a command: a name on `PATH`, or with a slash in it a path relative to
    /// `folder`. The error names the program.
    pub(super) fn new(
        written: &CommandLine,
        folder: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let at = folder.to_string_lossy();
        let (program, args, shown) = match written {
            CommandLine::Shell(text) => (
                PathBuf::from(SHELL),
                vec!["-c".to_owned(), text.clone()],
                text.clone(),
            ),
            CommandLine::Words(words) => (
                find(&words[0].replace("{folder}", &at), folder, &env["PATH"])?,
                words[1..]
                    .iter()
                    .map(|word| word.replace("{folder}", &at))
                    .collect(),
                words.join(" "),
            ),
        };
        let mut env: Vec<(String, String)> = env.clone().into_iter().collect();
        env.push((FOLDER_VARIABLE.into(), at.into_owned()));
        Ok(Self {
            program,
            args,
            env,
            shown,
        })
    }

    /// The launch on this host's data folder, which is also the working directory.
    pub(super) fn launch(&self, host: &dyn Host) -> Launch {
        self.launch_in(host.data_dir())
    }

    /// The same for any data folder.
    pub(super) fn launch_in(&self, data: &Path) -> Launch {
        let data = data.to_string_lossy();
        let mut env = self.env.clone();
        env.push((DATA_VARIABLE.into(), data.clone().into_owned()));
        Launch {
            program: Program::Path(self.program.clone()),
            args: self
                .args
                .iter()
                .map(|arg| arg.replace("{data}", &data))
                .collect(),
            env,
            cwd: None,
        }
    }
}

fn find(name: &str, folder: &Path, path: &str) -> Result<PathBuf, String> {
    let runs = |path: &PathBuf| {
        std::fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let path = folder.join(name);
        return match (path.exists(), runs(&path)) {
            (_, true) => Ok(path),
            (true, _) => Err(format!(
                "{name} is no program: `chmod +x` it, or name its interpreter"
            )),
            (false, _) => Err(format!("there is no program {}", path.display())),
        };
    }
    std::env::split_paths(path)
        .map(|entry| entry.join(name))
        .find(runs)
        .ok_or_else(|| format!("there is no program '{name}' on PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> BTreeMap<String, String> {
        BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())])
    }

    fn words(list: &[&str]) -> CommandLine {
        CommandLine::Words(list.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn names_are_replaced_and_told_by_variables() {
        let line = Line::new(
            &words(&["sh", "{folder}/a", "{data}/b"]),
            Path::new("/etc"),
            &env(),
        );
        let line = line.expect("a shell");
        assert!(line.program.ends_with("sh"));
        let launch = line.launch_in(Path::new("/data"));
        assert_eq!(launch.args, ["/etc/a", "/data/b"]);
        for (name, value) in [("PLUGPULL_FOLDER", "/etc"), ("PLUGPULL_DATA", "/data")] {
            assert!(launch.env.contains(&(name.into(), value.into())), "{name}");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("plain.sh"), "true").expect("a file");
        for (program, words_of) in [
            ("no-such-program", "'no-such-program' on PATH"),
            ("./gone.sh", "gone.sh"),
            ("./plain.sh", "chmod +x"),
        ] {
            let error = Line::new(&words(&[program]), folder.path(), &env()).expect_err(program);
            assert!(error.contains(words_of), "{error}");
        }
    }
}
