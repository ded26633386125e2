//! A command of the file, made ready to be launched.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::file::CommandLine;
use crate::{Host, Launch};

/// Names the directory of the TOML file to every command.
pub(super) const DIRECTORY_VARIABLE: &str = "PLUGPULL_FOLDER";
/// Names the data directory to every command.
const DATA_VARIABLE: &str = "PLUGPULL_DATA";
/// Has Python write each line at once: an ack that waits in a buffer obliges late.
const UNBUFFERED: (&str, &str) = ("PYTHONUNBUFFERED", "1");
/// Has programs that use the C library's streams do the same.
const STDBUF: &str = "stdbuf";
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
    /// `directory`. The error names the program.
    pub(super) fn new(
        written: &CommandLine,
        directory: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let at = directory.to_string_lossy();
        let (program, args, shown) = match written {
            CommandLine::Shell(text) => {
                is_for_a_shell(text)?;
                let args = vec!["-c".to_owned(), text.clone()];
                (PathBuf::from(SHELL), args, text.clone())
            }
            CommandLine::Words(words) => (
                find(&words[0].replace("{folder}", &at), directory, &env["PATH"])?,
                words[1..]
                    .iter()
                    .map(|word| word.replace("{folder}", &at))
                    .collect(),
                words.join(" "),
            ),
        };
        let (name, value) = UNBUFFERED;
        let mut env = env.clone();
        env.entry(name.into()).or_insert_with(|| value.into());
        let mut env: Vec<(String, String)> = env.into_iter().collect();
        env.push((DIRECTORY_VARIABLE.into(), at.into_owned()));
        Ok(Self {
            program,
            args,
            env,
            shown,
        })
    }

    /// The same command with its standard output written line by line (stdbuf(1)). The error says that
    /// this cannot be had.
    pub(super) fn unbuffered(mut self) -> Result<Self, String> {
        let path = self.env.iter().find(|(name, _)| name == "PATH");
        let path = path.map(|(_, value)| value.as_str()).unwrap_or_default();
        let stdbuf = find(STDBUF, Path::new("/"), path)
            .map_err(|why| format!("unbuffer = true needs coreutils' {STDBUF}: {why}"))?;
        let program = std::mem::replace(&mut self.program, stdbuf);
        let first = ["-oL".to_owned(), program.to_string_lossy().into_owned()];
        self.args.splice(0..0, first);
        Ok(self)
    }

    /// The launch on this host's data directory, which is also the working directory.
    pub(super) fn launch(&self, host: &dyn Host) -> Launch {
        self.launch_in(host.data_dir())
    }

    /// The same for any data directory.
    pub(super) fn launch_in(&self, data: &Path) -> Launch {
        let data = data.to_string_lossy();
        let mut env = self.env.clone();
        env.push((DATA_VARIABLE.into(), data.clone().into_owned()));
        Launch {
            program: self.program.clone(),
            args: self
                .args
                .iter()
                .map(|arg| arg.replace("{data}", &data))
                .collect(),
            env,
            cwd: None,
            reads_lines: false,
            forks: false,
            fork_exits: false,
        }
    }
}

/// Refuses the placeholders of a list in a text for the shell: quoting them there is the shell's affair.
fn is_for_a_shell(text: &str) -> Result<(), String> {
    for (placeholder, variable) in [("{folder}", DIRECTORY_VARIABLE), ("{data}", DATA_VARIABLE)] {
        if text.contains(placeholder) {
            return Err(format!(
                "{placeholder} stands in a list of words alone; in a text, which a shell runs, write \
                 \"${variable}\""
            ));
        }
    }
    Ok(())
}

fn find(name: &str, directory: &Path, path: &str) -> Result<PathBuf, String> {
    let runs = |path: &PathBuf| {
        std::fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let path = directory.join(name);
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

    fn command(list: &[&str]) -> CommandLine {
        CommandLine::Words(list.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn names_are_replaced_and_given_by_variables() {
        let line = Line::new(
            &command(&["sh", "{folder}/a", "{data}/b"]),
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
    fn a_text_for_the_shell_has_no_placeholders() {
        for text in ["sh {folder}/a.sh", "cat {data}/x"] {
            let line = Line::new(&CommandLine::Shell(text.into()), Path::new("/etc"), &env());
            let why = line.expect_err(text);
            assert!(why.contains("write \"$PLUGPULL_"), "{why}");
        }
    }

    #[test]
    fn what_prints_waits_in_no_buffer() {
        let line = Line::new(&command(&["sh", "-c", "x"]), Path::new("/etc"), &env());
        let line = line.expect("a shell");
        let python = |line: &Line| {
            let launch = line.launch_in(Path::new("/data"));
            let mut env = launch.env.into_iter();
            env.find(|(name, _)| name == "PYTHONUNBUFFERED")
        };
        assert_eq!(python(&line).expect("a variable").1, "1");
        let shell = line.program.display().to_string();
        let line = line.unbuffered().expect("coreutils");
        assert!(line.program.ends_with("stdbuf"));
        assert_eq!(
            line.launch_in(Path::new("/d")).args,
            ["-oL", &shell, "-c", "x"]
        );
        let mut own = env();
        own.insert("PYTHONUNBUFFERED".into(), "".into());
        let line = Line::new(&command(&["sh"]), Path::new("/etc"), &own).expect("a shell");
        assert_eq!(python(&line).expect("a variable").1, "");
        own.insert("PATH".into(), "/nowhere".into());
        let nowhere = Line::new(&CommandLine::Shell("x".into()), Path::new("/etc"), &own);
        let why = nowhere.expect("a shell").unbuffered().expect_err("no PATH");
        assert!(why.contains("stdbuf"), "{why}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("plain.sh"), "true").expect("a file");
        for (program, words_of) in [
            ("no-such-program", "'no-such-program' on PATH"),
            ("./gone.sh", "gone.sh"),
            ("./plain.sh", "chmod +x"),
        ] {
            let error =
                Line::new(&command(&[program]), directory.path(), &env()).expect_err(program);
            assert!(error.contains(words_of), "{error}");
        }
    }
}
