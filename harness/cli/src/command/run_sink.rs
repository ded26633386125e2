//! What an exploration finds: into the run file, with an artifact of each finding.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plugpull_crashsim::fs::Record as OperationRecord;
use plugpull_crashsim::persist::Device;
use plugpull_engine::explore::{
    About, Artifact, Crash, CrashCause, FoundGroup, Group, Limits, Minimised, Oracle, RecordedWith,
    Sink, Summary, coverage, finding_of, finding_record, reported, timeline,
};
use plugpull_engine::keep::Keep;
use plugpull_engine::trial::micros;
use plugpull_filesystems::{records_of, time_syncs};
use plugpull_reports::{Emit as _, Record, SyncAudit, SyncCost, TargetInfo, finding_name};
use plugpull_workloads::{FindingKind, FollowUp};

use super::live_run::LiveRun;
use super::resolved_target::{again, demands};
use crate::cli::{ExploreArgs, FollowUpArg};

/// Writes what an exploration finds into its run, and each finding's artifact at once.
pub(super) struct RunSink<'a, 'r> {
    pub(super) args: &'a ExploreArgs,
    pub(super) oracle: &'a Oracle<'a>,
    pub(super) keep: Option<&'a Keep>,
    pub(super) info: &'a TargetInfo,
    pub(super) seed: u64,
    pub(super) live: LiveRun<'r>,
    /// Why an artifact could not be written.
    pub(super) failed: Option<anyhow::Error>,
}

impl Sink for RunSink<'_, '_> {
    fn emit(&mut self, mut record: Record) {
        if let Record::SyncAudit(audit) = &mut record {
            audit.cost = self.sync_cost(audit);
        }
        self.live.emit(record);
    }

    fn minimised(&mut self, found: &FoundGroup<'_>) {
        let kept = match (self.keep, found.id) {
            (Some(keep), Some(id)) => match self.artifact(keep, id, found.group) {
                Ok(path) => Some(path),
                Err(error) => {
                    self.failed.get_or_insert(error);
                    None
                }
            },
            _ => None,
        };
        let finding = reported(self.oracle, found.group, kept.as_deref(), self.again());
        self.live.emit(finding_record(found, finding));
    }

    fn covered(&mut self, so_far: &Summary) {
        let coverage = coverage(self.oracle, so_far);
        self.live.emit(Record::Coverage(Box::new(coverage)));
    }
}

impl RunSink<'_, '_> {
    /// What the syncs of each site cost on the user's filesystem; none where nobody asked, or it failed.
    fn sync_cost(&self, audit: &SyncAudit) -> Option<SyncCost> {
        let on = self.args.cost_on.as_ref()?;
        let records = self.oracle.trace.log.records();
        let times = time_syncs(records, on).inspect_err(|error| {
            let on = on.display();
            eprintln!("plugpull: warning: syncs were not timed on {on}: {error}");
        });
        let times = times.ok()?;
        let site = |places: &[u64]| -> u64 {
            let of_site = times.syncs.iter();
            let of_site = of_site.filter(|(index, _)| places.contains(&(*index as u64)));
            of_site.map(|(_, took)| micros(*took)).sum()
        };
        Some(SyncCost {
            directory: on.display().to_string(),
            took_us: micros(times.took),
            sites_us: audit.sites.iter().map(|one| site(&one.places)).collect(),
        })
    }

    /// The command that explores this again.
    pub(super) fn again(&self) -> String {
        let args = self.args;
        let what = match args.trace.as_deref().or(args.record.as_deref()) {
            Some(trace) => format!("--trace {}{}", quoted(trace), demands(&args.target)),
            None => again(&args.target),
        };
        let mut text = format!("plugpull explore {what} --seed {}", self.seed);
        let mut add = |option: String| {
            text.push(' ');
            text.push_str(&option);
        };
        for model in &args.models {
            add(format!("--model {model}"));
        }
        if args.trace.is_none() && args.record.is_none() {
            // As many as were recorded, where nobody said how many.
            let acked = || self.oracle.trace.about.history.acked() as u64;
            add(format!("--txns {}", args.txns.unwrap_or_else(acked)));
            if args.clients != ExploreArgs::CLIENTS {
                add(format!("--clients {}", args.clients));
            }
            if args.value_size != ExploreArgs::VALUE_SIZE {
                add(format!("--value-size {}", args.value_size));
            }
            if args.stacks {
                add("--stacks".into());
            }
        }
        if args.recovery_depth != ExploreArgs::RECOVERY_DEPTH {
            add(format!("--recovery-depth {}", args.recovery_depth));
        }
        if let Some(states) = args.states {
            add(format!("--states {states}"));
        }
        if args.follow_up != FollowUpArg::Some {
            add(format!("--follow-up {}", args.follow_up.name()));
        }
        if args.decide {
            add("--decide".into());
        }
        if args.no_diagnosis {
            add("--no-diagnosis".into());
        }
        if args.check_decided != Limits::CHECK_ONE_IN {
            add(format!("--check-decided {}", args.check_decided));
        }
        if let Some(shard) = args.shard {
            add(format!("--shard {shard}"));
        }
        let device = args.device.device();
        if device != Device::default() {
            add(format!("--device {device}"));
        }
        let budget = args.budget.as_millis();
        add(match budget % 1000 {
            0 => format!("--budget {}s", budget / 1000),
            _ => format!("--budget {budget}ms"),
        });
        add("--keep DIR".into());
        text
    }

    /// Gives each artifact the name and number that its finding has in the report, which is known at the end.
    pub(super) fn name_artifacts(&mut self) {
        let Some(keep) = self.keep else {
            return;
        };
        // All are moved aside first: in a run that was resumed the name of one may be that of another.
        let mut aside = Vec::new();
        let mut rename = |from: &mut String, name: String| {
            let to = keep.path(&name).display().to_string();
            let beside = format!("{from}.renamed");
            if *from == to {
                return;
            }
            match std::fs::rename(&*from, &beside) {
                Ok(()) => {
                    aside.push((beside, to.clone()));
                    *from = to;
                }
                Err(error) => eprintln!("plugpull: warning: {from} keeps its name: {error}"),
            }
        };
        self.live.name_findings(|number, found| {
            let name = finding_name(found.finding.kind, number);
            let Some(evidence) = found.evidence.as_mut() else {
                return false;
            };
            let smallest = evidence.smallest.as_mut();
            if let Some(kept) = smallest.and_then(|smallest| smallest.artifact.as_mut()) {
                rename(kept, format!("{name}-smallest.json"));
            }
            let Some(kept) = evidence.artifact.as_mut() else {
                return false;
            };
            rename(kept, format!("{name}.json"));
            found.repeat = format!("plugpull replay {kept}");
            true
        });
        for (beside, to) in aside {
            if let Err(error) = std::fs::rename(&beside, &to) {
                let error = anyhow::Error::new(error).context(format!("renaming {beside} to {to}"));
                self.failed.get_or_insert(error);
            }
        }
    }

    /// Writes the artifact of a finding, in place of that of a larger state. Where it is.
    fn artifact(&self, keep: &Keep, id: u64, group: &Group) -> anyhow::Result<PathBuf> {
        let path = artifact_path(keep, id);
        self.write_artifact(self.oracle, &group.minimised, &path)?;
        Ok(path)
    }

    /// Writes the artifact of a crash of a recording of the target.
    pub(super) fn write_artifact(
        &self,
        oracle: &Oracle<'_>,
        minimised: &Minimised,
        path: &Path,
    ) -> anyhow::Result<()> {
        let info = self.info;
        let first = minimised.crash.first();
        // That of the last crash, whose promises must hold.
        let model = oracle.models[minimised.crash.model];
        let artifact = Artifact::new(
            About {
                target: info.name.clone(),
                version: info.version.clone(),
                settings: info.settings.clone(),
                model: model.name.to_string(),
                seed: self.seed,
                point: first.point,
                crash: oracle.trace.stamp(first.point),
                class: model.class(),
                promises: oracle.promises.to_vec(),
                finding: finding_of(minimised, oracle),
                timeline: timeline(&minimised.crash, minimised.finding.ack, oracle),
                history: oracle.trace.history_at(first.point),
                recovery_bound_us: self.args.target.recovery_bound.map(micros),
                damaged: String::new(),
                injected: String::new(),
                not_on_disk: false,
                recorded: recorded_with(&minimised.crash, oracle),
                second_life: match minimised.finding.follow_up {
                    Some(FollowUp::SecondLife) => oracle.life.to_vec(),
                    _ => Vec::new(),
                },
                served: served(minimised),
            },
            &minimised.tree,
        )?;
        let artifact = match model.power {
            true => with_operations(artifact, &minimised.crash, oracle)?,
            false => artifact,
        };
        artifact.write(path)
    }
}

/// What the last recovery had served, where the finding is that it is gone.
fn served(minimised: &Minimised) -> Option<BTreeMap<String, String>> {
    let (finding, within) = (&minimised.finding, minimised.crash.within.as_ref());
    let is_it = finding.kind == FindingKind::NotRepeatable && finding.follow_up.is_none();
    let served = within.filter(|_| is_it)?.served.as_ref()?;
    Some(BTreeMap::clone(served))
}

/// Where the artifact of a finding is kept until its number in the report is known.
pub(super) fn artifact_path(keep: &Keep, id: u64) -> PathBuf {
    keep.path(&format!("finding-{}.json", id + 1))
}

/// How the run was recorded, for `verify`; none for a crash of a recovery.
fn recorded_with(crash: &Crash, oracle: &Oracle<'_>) -> Option<RecordedWith> {
    let about = &oracle.trace.about;
    Some(RecordedWith {
        seed: about.seed,
        txns: about.history.acked() as u64,
        clients: about.clients,
        value_size: about.value_size,
        device: oracle.device.to_string(),
        cause: CrashCause::of(crash, oracle)?,
    })
}

/// The artifact with what was done up to the crash, so that `confirm` can do it elsewhere.
fn with_operations(
    artifact: Artifact,
    crash: &Crash,
    oracle: &Oracle<'_>,
) -> anyhow::Result<Artifact> {
    let log = match &crash.within {
        Some(recovery) => &recovery.log,
        None => &oracle.trace.log,
    };
    let mut records = records_of(log.base());
    let before = records.len();
    let done = log.records().iter().take(crash.point as usize);
    records.extend(
        done.zip(before as u64..)
            .map(|(record, seq)| OperationRecord {
                seq,
                ..record.clone()
            }),
    );
    Ok(artifact.with_operations(&records, before, crash.depth())?)
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    shlex::try_quote(&text).map_or(text.clone(), Into::into)
}
