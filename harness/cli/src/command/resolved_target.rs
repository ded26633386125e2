//! The target that the command line names, checked: what it is held to, and how long it may take.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plugpull_driver::Target;
use plugpull_engine::prepare::{fitted, handshake, start_limit};
use plugpull_engine::trial::{SandboxHost, Setup, StorageRules};
use plugpull_reports::TargetInfo;
use plugpull_targets::catalog::{self, Catalogued};
use plugpull_workloads::{Promise, WorkloadConfig, parse_demand};

use super::{open_target, settings, wrong};
use crate::options::TargetOptions;

/// The target when none is named.
const DEFAULT: &str = "sqlite";

/// A target with all that the command line says of it.
pub(super) struct ResolvedTarget {
    /// The target, with its settings applied.
    pub(super) target: Arc<dyn Target>,
    /// The same for reports. Its promises are what it is held to: its own, and what was demanded.
    pub(super) info: TargetInfo,
    /// The bound on recovery that the user named.
    pub(super) recovery_bound: Option<Duration>,
    /// How long a start may take before it counts as hung.
    pub(super) start_limit: Duration,
}

impl ResolvedTarget {
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
        handshake(&*target, start_limit(options.recovery_bound, &[]))?;
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

    /// The workload as the target can serve it.
    pub(super) fn fit(&self, config: WorkloadConfig) -> WorkloadConfig {
        fitted(config, &*self.target, self.promises())
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
