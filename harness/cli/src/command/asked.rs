//! What a command was asked to test, checked: the target, what it is held to, how long it may take.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use plugpull_driver::Target;
use plugpull_reports::TargetInfo;
use plugpull_targets::catalog::{self, Catalogued};
use plugpull_workloads::{Durability, Guarantee, Promise, WorkloadConfig, parse_demand};

use super::introduce::introduce;
use super::reports::Baseline;
use super::run_files;
use super::{open_target, settings, wrong};
use crate::cli::{OutputOptions, ReportOptions, TargetOptions};
use plugpull_engine::keep::Keep;
use plugpull_engine::trial::{SandboxHost, Setup, StorageRules};

/// The target when none is named.
const DEFAULT: &str = "sqlite";
/// How long a start may take before it counts as hung, when the user names no bound.
const START_LIMIT: Duration = Duration::from_secs(20);
/// The least that it may be, when the user does: a start takes its time on a busy machine.
const LEAST_START_LIMIT: Duration = Duration::from_secs(2);

/// How often a call is a barrier, where there are any.
const BARRIER_CHANCE: f64 = 0.03;

/// A target that was asked for.
pub(super) struct Asked {
    /// The target, with its settings applied.
    pub(super) target: Arc<dyn Target>,
    /// The same for reports. Its promises are what it is held to: its own, and what was demanded.
    pub(super) info: TargetInfo,
    /// The bound on recovery that the user named.
    pub(super) recovery_bound: Option<Duration>,
    /// How long a start may take before it counts as hung.
    pub(super) start_limit: Duration,
}

impl Asked {
    /// Opens and checks; starts nothing.
    pub(super) fn new(options: &TargetOptions) -> anyhow::Result<Self> {
        let mut settings = settings(&options.settings)?;
        if options.reference {
            fake(name(options), &mut settings)?;
        }
        Self::of(name(options), settings, options)
    }

    /// The same for a target that a file names; the options say what more it is held to.
    pub(super) fn of(
        name: &str,
        settings: BTreeMap<String, String>,
        options: &TargetOptions,
    ) -> anyhow::Result<Self> {
        let target = open_target(name, &settings)?;
        introduce(&*target, start_limit(options.recovery_bound, &[]))?;
        let mut promises = target.promises();
        for word in &options.promises {
            promises.push(parse_demand(word).map_err(wrong)?);
        }
        Ok(Self {
            start_limit: start_limit(options.recovery_bound, &promises)
                .max(target.start_limit().unwrap_or_default()),
            recovery_bound: options.recovery_bound,
            info: TargetInfo {
                name: name.to_string(),
                version: target.version(),
                settings,
                promises,
            },
            target: Arc::from(target),
        })
    }

    /// The workload as the target wants it, without what it cannot do; with barriers where it promises something
    /// for them.
    pub(super) fn fit(&self, config: WorkloadConfig) -> WorkloadConfig {
        let able = self.target.abilities();
        let at_barrier =
            |promise: &Promise| promise.guarantee == Guarantee::Durable(Durability::AtBarrier);
        let barriers = able.barrier && self.promises().iter().any(at_barrier);
        WorkloadConfig {
            abort_chance: if able.abort { config.abort_chance } else { 0.0 },
            delete_chance: if able.delete {
                config.delete_chance
            } else {
                0.0
            },
            barrier_chance: if barriers { BARRIER_CHANCE } else { 0.0 },
            ops_per_txn: self.target.ops_per_txn(),
            ..config
        }
    }

    /// What all trials of a run have in common.
    pub(super) fn setup(
        &self,
        host: Arc<SandboxHost>,
        workload: WorkloadConfig,
        rules: StorageRules,
    ) -> Setup {
        Setup {
            host,
            target: self.target.clone(),
            promises: self.info.promises.clone(),
            workload,
            rules,
            recovery_bound: self.recovery_bound,
            start_limit: self.start_limit,
        }
    }

    /// What the target is held to.
    pub(super) fn promises(&self) -> &[Promise] {
        &self.info.promises
    }
}

/// What `--reference` means is a setting of the targets that have a fake.
fn fake(name: &str, settings: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    const SETTING: &str = "reference";
    let all = catalog::all();
    let has = |target: &Catalogued| target.has_setting(SETTING).map_err(wrong);
    if let Some(target) = all.iter().find(|target| target.name == name)
        && !has(target)?
    {
        let mut names = Vec::new();
        for other in &all {
            if has(other)? {
                names.push(other.name);
            }
        }
        return Err(wrong(format!(
            "{name} has no fake; --reference is for {}",
            names.join(", ")
        )));
    }
    if settings.insert(SETTING.into(), "yes".into()).is_some() {
        return Err(wrong(
            "--reference and --set reference=... say the same: leave one out",
        ));
    }
    Ok(())
}

fn name(options: &TargetOptions) -> &str {
    options.name.as_deref().unwrap_or(DEFAULT)
}

/// The target and its options as they were typed, to be typed again.
pub(super) fn again(options: &TargetOptions) -> String {
    let mut text = name(options).to_string();
    for (key, value) in &options.settings {
        let setting = format!("{key}={value}");
        // Only a NUL cannot be quoted, and no argument has one.
        let quoted = shlex::try_quote(&setting).map_or(setting.clone(), Into::into);
        text.push_str(&format!(" --set {quoted}"));
    }
    if options.reference {
        text.push_str(" --reference");
    }
    text.push_str(&demands(options));
    text
}

/// What the target is held to besides its own promises, as it was typed.
pub(super) fn demands(options: &TargetOptions) -> String {
    let mut text = String::new();
    for promise in &options.promises {
        text.push_str(&format!(" --promise {promise}"));
    }
    if let Some(bound) = options.recovery_bound {
        text.push_str(&format!(" --recovery-bound {}us", bound.as_micros()));
    }
    text
}

/// How long a start may take before it counts as hung: four times the bound on recovery. One that
/// the user names also shortens it; one that is only promised does not.
pub(super) fn start_limit(wanted: Option<Duration>, promises: &[Promise]) -> Duration {
    match (wanted, promised_bound(promises)) {
        (Some(bound), _) => bound.saturating_mul(4).max(LEAST_START_LIMIT),
        (None, Some(bound)) => bound.saturating_mul(4).max(START_LIMIT),
        (None, None) => START_LIMIT,
    }
}

/// The bound on recovery that the target itself promises.
fn promised_bound(promises: &[Promise]) -> Option<Duration> {
    let bounds = promises
        .iter()
        .filter_map(|promise| match promise.guarantee {
            Guarantee::RecoversWithinMs(ms) => Some(Duration::from_millis(ms)),
            _ => None,
        });
    bounds.max()
}

/// Checks that the results can be written. The directory to keep things in, if one is wanted.
pub(super) fn outputs(options: &OutputOptions) -> anyhow::Result<Option<Keep>> {
    files(&options.report)?;
    run_files::check(options)?;
    options.keep.as_deref().map(Keep::open).transpose()
}

/// Checks that every file of a report can be written.
pub(super) fn files(options: &ReportOptions) -> anyhow::Result<()> {
    let all = [
        &options.json,
        &options.junit,
        &options.markdown,
        &options.html,
    ];
    for path in all.into_iter().flatten() {
        writable(path, "the report")?;
    }
    Ok(())
}

/// The report that a run is held against, if one is wanted.
pub(super) fn baseline(
    options: &OutputOptions,
    target: &TargetInfo,
) -> anyhow::Result<Option<Baseline>> {
    let path = options.baseline.as_deref();
    path.map(|path| Baseline::open(path, &target.name))
        .transpose()
}

/// Wrong use unless a file can be written there.
pub(super) fn writable(path: &Path, what: &str) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let why = if path.is_dir() {
        "it is a directory".to_string()
    } else if !directory.is_dir() {
        "its directory does not exist".to_string()
    } else if let Err(error) = access(directory, AccessFlags::W_OK) {
        format!("its directory: {}", error.desc())
    } else {
        return Ok(());
    };
    Err(wrong(format!(
        "{what} cannot be written to {}: {why}",
        path.display()
    )))
}
