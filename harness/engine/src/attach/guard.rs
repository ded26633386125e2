//! What is refused before anything is done: a target that was not named, one that is protected, and
//! a place that calls itself production.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::options::AttachOptions;
use super::shell::Shell;
use crate::wrong;

/// The file that protects a data directory.
pub(super) const MARKER: &str = "plugpull.protected";

/// The variables that say what a machine or a service is for, in the words of those who read them.
pub(super) const VARIABLES: [&str; 14] = [
    "PLUGPULL_ENV",
    "ENVIRONMENT",
    "ENV",
    "APP_ENV",
    "DEPLOY_ENV",
    "DEPLOYMENT_ENVIRONMENT",
    "RAILS_ENV",
    "RACK_ENV",
    "NODE_ENV",
    "MIX_ENV",
    "DJANGO_ENV",
    "ASPNETCORE_ENVIRONMENT",
    "DOTNET_ENVIRONMENT",
    "SPRING_PROFILES_ACTIVE",
];

/// Refuses unless `--i-own-this-target` names the unit, the data directory or the service.
pub(super) fn owned(args: &AttachOptions) -> anyhow::Result<()> {
    let names = own_names(args)?;
    let listed = names.join(" or ");
    match &args.i_own_this_target {
        None => Err(wrong(format!(
            "nothing is done to a service that was not named: add --i-own-this-target {listed} if it \
             is yours to break"
        ))),
        Some(name) if names.contains(name) => Ok(()),
        Some(name) => Err(wrong(format!(
            "--i-own-this-target {name} is not the name of this target, which is {listed}"
        ))),
    }
}

/// The names that the target itself has: of its unit, and of its data directory with all links
/// followed.
fn own_names(args: &AttachOptions) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    if let Some(unit) = &args.unit {
        names.push(unit.clone());
        names.extend(unit.strip_suffix(".service").map(str::to_owned));
    }
    if let Some(directory) = &args.data_dir {
        let name = real(directory)?;
        names.extend(name.file_name().map(|name| name.display().to_string()));
    }
    if names.is_empty() {
        names.extend(args.service.clone());
    }
    if names.is_empty() {
        return Err(wrong(
            "the target has no name: give --unit, --data-dir or --service",
        ));
    }
    Ok(names)
}

/// The data directory's own path.
pub(super) fn real(directory: &Path) -> anyhow::Result<PathBuf> {
    let real = fs::canonicalize(directory).map_err(|error| {
        wrong(format!(
            "the data directory {}: {error}",
            directory.display()
        ))
    })?;
    match real.is_dir() {
        true => Ok(real),
        false => Err(wrong(format!("{} is not a directory", real.display()))),
    }
}

/// Refuses where the marker file stands: in the data directory, in a directory above it up to where its
/// filesystem is mounted, or where `--marker-cmd` finds it.
pub(super) fn unprotected(args: &AttachOptions, shell: &Shell) -> anyhow::Result<()> {
    if let Some(directory) = &args.data_dir {
        let directory = real(directory)?;
        let device = device(&directory)?;
        for above in directory.ancestors() {
            if self::device(above)? != device {
                break;
            }
            let marker = above.join(MARKER);
            if marker.symlink_metadata().is_ok() {
                return Err(wrong(format!(
                    "{} says that this target is protected: nothing is done to it",
                    marker.display()
                )));
            }
        }
    }
    match &args.marker_cmd {
        Some(command) => has_marker(command, shell),
        None if args.data_dir.is_some() => Ok(()),
        None => Err(wrong(format!(
            "it is not known whether the target is protected: give --data-dir, or --marker-cmd \
             that looks for the file {MARKER}"
        ))),
    }
}

fn has_marker(command: &str, shell: &Shell) -> anyhow::Result<()> {
    let ended = shell.run(command, &[])?;
    match ended.code {
        1 => Ok(()),
        0 => Err(wrong(format!(
            "--marker-cmd found {MARKER}: this target is protected, nothing is done to it"
        ))),
        code => Err(wrong(format!(
            "--marker-cmd must end with 0 (protected) or 1 (not protected); it ended with {code}: {}",
            ended.describe()
        ))),
    }
}

fn device(directory: &Path) -> anyhow::Result<u64> {
    match directory.metadata() {
        Ok(about) => Ok(about.dev()),
        Err(error) => Err(wrong(format!("{}: {error}", directory.display()))),
    }
}

/// Refuses where one of [`VARIABLES`] says production. `whose` environment it is, for the error.
pub(super) fn not_production(
    variables: impl IntoIterator<Item = (String, String)>,
    whose: &str,
) -> anyhow::Result<()> {
    for (name, value) in variables {
        if VARIABLES.contains(&name.as_str()) && value.split(',').any(says_production) {
            return Err(wrong(format!(
                "{name}={value} in the environment of {whose} says that this is production: \
                 nothing is done here"
            )));
        }
    }
    Ok(())
}

fn says_production(value: &str) -> bool {
    let value = value.trim().to_lowercase();
    ["production", "prod", "live"].iter().any(|word| {
        value
            .strip_prefix(word)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_', '.']))
    })
}

/// The environment of a process, as far as this user may read it.
pub(super) fn environment_of(pid: i32) -> Vec<(String, String)> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            let text = String::from_utf8_lossy(entry);
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(name: &str, value: &str) -> bool {
        not_production([(name.to_owned(), value.to_owned())], "plugpull").is_err()
    }

    #[test]
    fn production_is_not_taken_for_another_place() {
        for value in [
            "production",
            "PROD",
            "Prod-eu",
            "live",
            "metrics,prod",
            " production ",
        ] {
            assert!(refuses("ENVIRONMENT", value), "{value}");
        }
        for value in ["staging", "test", "pre-prod", "product", "", "livetest"] {
            assert!(!refuses("ENVIRONMENT", value), "{value}");
        }
        for name in VARIABLES {
            assert!(refuses(name, "production"), "{name}");
        }
        assert!(!refuses("EDITOR", "production"));
    }
}
