//! What a sandbox is to be.

use std::path::{Path, PathBuf};

use super::error::SandboxError;

/// The places for the data directory, in order of preference: empty on most machines, and no part of
/// the path of any program.
const BASES: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];

/// How far a sandbox keeps its inside apart from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Private mounts, processes, network, IPC and host name.
    Full,
    /// None of them: a temporary directory, and a walk through the process tree to kill.
    Bare,
}

/// Which isolation a sandbox must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationPolicy {
    /// Full where the machine allows it, bare otherwise.
    #[default]
    Best,
    /// This one or an error.
    Only(Isolation),
}

/// What a sandbox is to be.
#[derive(Clone, Debug, Default)]
pub struct SandboxOptions {
    /// The program that becomes the janitor when its first argument is [`super::SANDBOX_ARG`],
    /// and that [`super::Program::Myself`] means; the running program when none.
    pub helper: Option<PathBuf>,
    /// The isolation.
    pub isolation: IsolationPolicy,
    /// Enter a user namespace even as root, who can do without.
    pub user_namespace: bool,
    /// Absolute paths of programs and files that must stay visible: the data directory covers none
    /// of their parents.
    pub visible: Vec<PathBuf>,
}

impl SandboxOptions {
    /// The directory that the private tmpfs covers: the same one on every machine of a kind, so
    /// that the data directory has the same path.
    pub(super) fn base(&self) -> Result<PathBuf, SandboxError> {
        let mut kept = self.visible.clone();
        kept.extend(std::env::current_dir().ok());
        kept.extend(std::env::current_exe().ok());
        kept.extend(self.helper.clone());
        choose(&kept, Path::is_dir)
    }
}

fn choose(kept: &[PathBuf], exists: impl Fn(&Path) -> bool) -> Result<PathBuf, SandboxError> {
    BASES
        .iter()
        .map(Path::new)
        .find(|base| exists(base) && !kept.iter().any(|path| path.starts_with(base)))
        .map(Path::to_path_buf)
        .ok_or_else(|| {
            SandboxError::Unavailable(format!(
                "of {} none is there and free of the program and the working directory",
                BASES.join(", ")
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_covers_no_program() {
        let all = |_: &Path| true;
        assert_eq!(choose(&[], all).expect("a base"), Path::new("/mnt"));
        assert_eq!(
            choose(&["/mnt/x/plugpull".into(), "/mediator".into()], all).expect("a base"),
            Path::new("/media")
        );
        assert_eq!(
            choose(&["/mnt".into()], |path| path != Path::new("/media")).expect("a base"),
            Path::new("/srv")
        );
        assert!(choose(&[], |_| false).is_err());
    }
}
