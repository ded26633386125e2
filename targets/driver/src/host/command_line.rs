//! Commands as the user types them: split into words, the program found, files made absolute.

use std::env;
use std::path::{Path, PathBuf};

use crate::program::is_program;
use crate::protocol::DATA_VARIABLE;
use crate::{Host, Launch};

/// A command that can be started from any directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program, by absolute path.
    pub program: PathBuf,
    /// Its arguments. Those that named a file or directory when they were read are absolute paths,
    /// because the working directory will be another one.
    pub args: Vec<String>,
}

impl CommandLine {
    /// Splits a text as a POSIX shell splits words, without expanding anything.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = shlex::split(text)
            .ok_or_else(|| format!("{text:?} has a quote or a backslash that is not ended"))?;
        Self::of(&words)
    }

    /// A command of these words, the first of which is a path or is found on PATH.
    pub fn of(words: &[String]) -> Result<Self, String> {
        let (name, args) = words
            .split_first()
            .ok_or("a command is needed, for example --set cmd='python3 kv.py'")?;
        Ok(Self {
            program: find(name)?,
            args: args.iter().map(|word| absolute(word)).collect(),
        })
    }

    /// How to start it: in the data directory, which a variable names as well.
    pub(crate) fn launch(&self, host: &dyn Host) -> Launch {
        let directory = host.data_dir().display().to_string();
        Launch {
            program: self.program.clone(),
            args: self.args.clone(),
            env: vec![
                (DATA_VARIABLE.to_owned(), directory),
                // An answer of a Python driver must not wait in a buffer.
                ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
            ],
            cwd: None,
            reads_lines: false,
            forks: false,
            fork_exits: false,
        }
    }
}

fn find(name: &str) -> Result<PathBuf, String> {
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![PathBuf::from(name)]
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .map(|directory| directory.join(name))
            .collect()
    };
    let found = candidates.iter().find(|path| is_program(path));
    // Not its canonical path: some programs look at the name they were called by, and a virtual
    // environment's python is known by where its link is.
    found
        .and_then(|path| std::path::absolute(path).ok())
        .ok_or_else(|| format!("there is no program '{name}'"))
}

fn absolute(word: &str) -> String {
    let path = Path::new(word);
    if word.is_empty() || path.is_absolute() || !path.exists() {
        return word.to_owned();
    }
    std::path::absolute(path)
        .ok()
        .and_then(|path| path.to_str().map(str::to_owned))
        .unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let command = CommandLine::parse("sh -c 'echo \"a b\"' x\\ y ''").expect("a command");
        assert!(command.program.is_absolute() && command.program.ends_with("sh"));
        assert_eq!(command.args, ["-c", "echo \"a b\"", "x y", ""]);
    }

    #[test]
    fn files_become_absolute_and_other_words_stay() {
        let command = CommandLine::parse("sh Cargo.toml -v none.txt").expect("a command");
        assert!(Path::new(&command.args[0]).is_absolute(), "{command:?}");
        assert_eq!(command.args[1..], ["-v", "none.txt"]);
    }

    #[test]
    fn what_cannot_be_started_is_said() {
        for (text, said) in [
            ("", "a command is needed"),
            ("sh 'x", "not ended"),
            ("no-such-program x", "no program 'no-such-program'"),
            ("./Cargo.toml", "no program './Cargo.toml'"),
        ] {
            let error = CommandLine::parse(text).expect_err(text);
            assert!(error.contains(said), "{error}");
        }
    }
}
