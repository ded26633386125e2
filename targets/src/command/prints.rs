//! Which contents a command target is made of: its file and the scripts that it names.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::file::CommandLine;
use super::line::DIRECTORY_VARIABLE;

/// The files below `directory` that these commands name: a word that is `{folder}/...` or a program
/// with a slash in it; in a shell text what follows `$PLUGPULL_FOLDER/`.
pub(super) fn named(directory: &Path, commands: &[&CommandLine]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for command in commands {
        match command {
            CommandLine::Words(words) => {
                let mut all = words.iter().enumerate();
                found.extend(all.by_ref().filter_map(|(number, word)| {
                    let below = word.strip_prefix("{folder}/");
                    below.or_else(|| (number == 0 && word.contains('/')).then_some(word.as_str()))
                }));
            }
            CommandLine::Shell(text) => found.extend(in_shell(text)),
        }
    }
    let mut files: Vec<PathBuf> = found
        .into_iter()
        .map(|name| directory.join(name))
        .filter(|path| path.is_file() && path.starts_with(directory))
        .collect();
    files.sort();
    files.dedup();
    files
}

/// A file below `directory` that a command names as such and that is not there, in a sentence.
pub(super) fn missing(directory: &Path, commands: &[(&str, &CommandLine)]) -> Option<String> {
    commands.iter().find_map(|(key, command)| {
        let CommandLine::Words(words) = command else {
            return None;
        };
        let named = words
            .iter()
            .filter_map(|word| word.strip_prefix("{folder}/"));
        let mut named = named.filter(|name| !name.contains(['{', '*']));
        let name = named.find(|name| !directory.join(name).exists())?;
        Some(format!(
            "{key}: there is no {}",
            directory.join(name).display()
        ))
    })
}

/// Where a command names a script by a relative path, and there is one in `directory`: commands start in
/// the data directory, where there is none.
pub(super) fn hint(directory: &Path, commands: &[(&str, &CommandLine)]) -> Option<String> {
    commands.iter().find_map(|(key, command)| {
        let CommandLine::Words(words) = command else {
            return None;
        };
        let relative = |word: &&String| {
            !word.starts_with(['/', '-', '{']) && directory.join(word.as_str()).is_file()
        };
        let word = words.iter().skip(1).find(relative)?;
        Some(format!(
            "{key} starts in the data directory, and {word} is in {}: write {{folder}}/{word}",
            directory.display()
        ))
    })
}

fn in_shell(text: &str) -> Vec<&str> {
    let ends = |c: char| c.is_whitespace() || "\"';&|<>()".contains(c);
    text.split(DIRECTORY_VARIABLE)
        .skip(1)
        .filter_map(|rest| {
            let rest = rest.strip_prefix('}').unwrap_or(rest);
            let rest = rest.strip_prefix('"').unwrap_or(rest);
            rest.strip_prefix('/')?.split(ends).next()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// One file's name below `directory` and the hash of its content (XXH3, 64 bits): "check.sh
/// 0123456789abcdef".
pub(super) fn print(directory: &Path, path: &Path) -> Result<String, String> {
    let failed = |error: io::Error| format!("reading {}: {error}", path.display());
    // A pipe or a device may have no end.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is no regular file")));
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Xxh3::new();
    let mut part = vec![0; 1 << 16];
    loop {
        match file.read(&mut part) {
            Ok(0) => break,
            Ok(read) => hash.update(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let name = path.strip_prefix(directory).unwrap_or(path);
    Ok(format!("{} {:016x}", name.display(), hash.digest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_refused() {
        let error = print(Path::new("/"), Path::new("/dev/zero")).unwrap_err();
        assert!(
            error.contains("/dev/zero: it is no regular file"),
            "{error}"
        );
    }

    #[test]
    fn scripts_are_found_in_both_forms() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["work.sh", "check.py", "lib.sh", "start"] {
            std::fs::write(directory.path().join(name), name).expect("a file");
        }
        let words = |list: &[&str]| CommandLine::Words(list.iter().map(|w| (*w).into()).collect());
        let commands = [
            words(&["./start", "{folder}/work.sh", "lib.sh", "{folder}/missing"]),
            CommandLine::Shell(r#"python3 "$PLUGPULL_FOLDER/check.py" --all"#.into()),
            CommandLine::Shell(r#". ${PLUGPULL_FOLDER}/lib.sh; run"#.into()),
        ];
        let refs: Vec<&CommandLine> = commands.iter().collect();
        let names: Vec<String> = named(directory.path(), &refs)
            .iter()
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        for name in ["start", "work.sh", "check.py", "lib.sh"] {
            assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
        }
        assert_eq!(names.len(), 4, "{names:?}");
    }

    #[test]
    fn a_script_that_is_named_wrongly_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("check.py"), "").expect("a file");
        let words = |list: &[&str]| CommandLine::Words(list.iter().map(|w| (*w).into()).collect());
        let right = words(&["python3", "{folder}/check.py", "{data}", "data.db"]);
        let commands = [("check.command", &right)];
        assert_eq!(missing(directory.path(), &commands), None);
        assert_eq!(hint(directory.path(), &commands), None);
        let wrong = words(&["python3", "check.py", "{folder}/gone.py"]);
        let commands = [("check.command", &wrong)];
        let why = missing(directory.path(), &commands).expect("it is not there");
        assert!(
            why.starts_with("check.command: ") && why.ends_with("/gone.py"),
            "{why}"
        );
        let why = hint(directory.path(), &commands).expect("it is elsewhere");
        assert!(why.ends_with("write {folder}/check.py"), "{why}");
    }

    #[test]
    fn another_content_has_another_print() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.sh");
        let mut seen = Vec::new();
        for content in ["one", "two"] {
            std::fs::write(&path, content).expect("a file");
            seen.push(print(directory.path(), &path).expect("a print"));
        }
        assert!(
            seen[0].starts_with("a.sh ") && seen[0] != seen[1],
            "{seen:?}"
        );
        assert!(print(directory.path(), &directory.path().join("gone")).is_err());
    }
}
