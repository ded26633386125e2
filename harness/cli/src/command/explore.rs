//! `plugpull explore`: record one run, then try the crash states that it could have left.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use nix::unistd::{getegid, geteuid};
use plugpull_crashsim::fs::Tree;
use plugpull_crashsim::trace::fingerprint;
use plugpull_reports::{
    Emit as _, EndReason, FindingRecord, Header, Record, Recording, ReportedFinding, RunCommand,
    Shard, TargetInfo,
};
use plugpull_workloads::WorkloadConfig;

use super::asked::{Asked, again, baseline, outputs, writable};
use super::coverage::coverage;
use super::interrupt::stop_on_signal;
use super::live_run::LiveRun;
use super::place::with_crash_filesystem;
use super::wrong;
use crate::cli::ExploreArgs;
use plugpull_engine::explore::{
    About, Artifact, Court, Ended, Explorer, Group, Limits, Minimised, Order, Rules, Sink, Station,
    Stations, Trace, TraceFile, Turn, Wanted, evidence, record, sentence, timeline,
};
use plugpull_engine::keep::Keep;
use plugpull_engine::seed;
use plugpull_engine::trial::{Acked, SandboxHost, StorageRules, micros, script};
use plugpull_sandbox::pin;

/// Records, tries and reports.
pub(crate) fn run(args: &ExploreArgs) -> anyhow::Result<u8> {
    let command_began = Instant::now();
    let kept = args.trace.as_deref().map(read_trace).transpose()?;
    let asked = match &kept {
        Some(trace) => Asked::of(
            &trace.about.target,
            trace.about.settings.clone(),
            &args.target,
        )?,
        None => Asked::new(&args.target)?,
    };
    let rules = chosen_rules(&args.models)?;
    let workload = asked.fit(WorkloadConfig {
        clients: args.clients,
        value_len: 1..=args.value_size,
        ..WorkloadConfig::default()
    });
    workload.validate().map_err(wrong)?;
    // Which trace it was, before anybody can put another in its place.
    let digest = match (&args.trace, args.shard) {
        (Some(path), Some(_)) => Some(fingerprint(path).map_err(wrong)?),
        _ => None,
    };
    let keep = outputs(&args.outputs)?;
    let baseline = baseline(&args.outputs, &asked.info)?;
    let record_to = args.record.as_deref().map(|path| trace_file(args, path));
    let record_to = record_to.transpose()?;
    if args.states == Some(0) && record_to.is_none() {
        return Err(wrong("--states 0 tries nothing; it wants --record FILE"));
    }
    let cpus = pin::all();
    let workers = args.workers.map_or(cpus.len().max(1), usize::from);
    let turns: Vec<Turn> = std::iter::repeat_with(Turn::default)
        .take(workers)
        .collect();
    let station = |number: usize| -> anyhow::Result<Station> {
        let cpu = (!cpus.is_empty()).then(|| cpus[number % cpus.len()]);
        // What speaks with the target shares its CPU: an idle CPU takes long to wake.
        let sandbox = pin::on(cpu, || with_crash_filesystem("exploring", &*asked.target))?;
        let host = Arc::new(SandboxHost::new(sandbox, cpu, false));
        Ok(Station {
            turn: turns[number % workers].clone(),
            host,
            target: asked.target.clone(),
            start_limit: asked.start_limit,
        })
    };
    let own = station(0)?;
    sound_when_empty(&own)?;
    if let Some(keep) = &keep {
        keep.claim()?;
    }
    let stop = stop_on_signal();
    let seed = match (args.seed, &kept) {
        (Some(seed), _) => seed,
        (None, Some(trace)) => trace.about.seed,
        (None, None) => seed::fresh(),
    };
    let trace = match kept {
        Some(trace) => trace,
        None => {
            let wanted = Wanted {
                target: &asked.target,
                info: &asked.info,
                rules: StorageRules {
                    model: rules[0].model,
                    device: args.device.device(),
                    fuse: true,
                },
                workload: &workload,
                seed,
                acks: args.txns,
                start_limit: asked.start_limit,
            };
            let trace =
                record(&own.host, &wanted, record_to.as_ref()).context("recording the run")?;
            match &record_to {
                None => trace,
                Some(file) if args.states == Some(0) => return tell_recorded(file, &trace),
                Some(file) => file.read()?,
            }
        }
    };
    let mut live = LiveRun::new(RunCommand::Explore, &args.outputs, &stop, command_began);
    live.emit(Record::Header(Box::new(Header {
        target: asked.info.clone(),
        seed,
        budget_us: Some(micros(args.budget)),
        faults: rules.iter().map(|one| one.name.to_string()).collect(),
        recovery_bound_us: asked.recovery_bound.map(micros),
        shard: shard(args, digest, &rules).map(Box::new),
        ..Header::default()
    })));
    live.emit(Record::Recording(Recording {
        operations: trace.log.records().len() as u64,
        acked: trace.about.history.acked() as u64,
        trace: args
            .trace
            .as_ref()
            .or(args.record.as_ref())
            .map(|path| path.display().to_string()),
        digest: digest.map(|digest| format!("{digest:032x}")),
    }));
    let indexes = Rules::indexes(&rules, &trace.log, args.device.device());
    let court = Court::new(
        &trace,
        &rules,
        &indexes,
        args.device.device(),
        asked.promises(),
        asked.recovery_bound,
        Acked::of(&trace.about.history, &*asked.target),
    );
    // A CPU that has no worker sets up the next state while the target of this one runs.
    let sandboxes = workers.max(cpus.len().min(2 * workers));
    let stations: Vec<Station> = (0..sandboxes).map(station).collect::<anyhow::Result<_>>()?;
    let mut stations = Stations::start(stations);
    let (until, small_until) = Limits::ends(command_began, args.budget);
    let limits = Limits {
        until,
        small_until,
        states: args.states,
        depth: args.recovery_depth,
        stop: stop.flag(),
    };
    let began = Instant::now();
    let mut sink = RunSink {
        args,
        court: &court,
        keep: keep.as_ref(),
        info: &asked.info,
        seed,
        live,
        failed: None,
    };
    let mut explorer = Explorer::new(&court, &own, args.shard.is_some(), sandboxes, &mut sink);
    let mut order = Order::of_run(&trace.log, &rules, &indexes, &court.acked, seed, args.shard);
    let ended = explorer.go(&mut order, &stations, &limits);
    stations.finish();
    let ended = ended?;
    sink.covered(&ended);
    let reason = match ended.interrupted {
        true => EndReason::Interrupted,
        false if ended.complete => EndReason::Complete,
        false => EndReason::Budget,
    };
    if let Some(error) = sink.failed {
        return Err(error);
    }
    sink.live.finish(reason, began.elapsed(), baseline.as_ref())
}

/// Writes what an exploration finds into its run, and each finding's artifact at once.
struct RunSink<'a> {
    args: &'a ExploreArgs,
    court: &'a Court<'a>,
    keep: Option<&'a Keep>,
    info: &'a TargetInfo,
    seed: u64,
    live: LiveRun<'a>,
    /// Why an artifact could not be written.
    failed: Option<anyhow::Error>,
}

impl Sink for RunSink<'_> {
    fn emit(&mut self, record: Record) {
        self.live.emit(record);
    }

    fn minimised(&mut self, found: &Minimised<'_>) {
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
        let finding = reported(
            self.args,
            self.court,
            found.group,
            kept.as_deref(),
            self.seed,
        );
        self.live.emit(Record::Finding(Box::new(FindingRecord {
            id: found.id,
            minimised: found.index,
            size: found.group.small.measure(),
            finding,
        })));
    }

    fn covered(&mut self, so_far: &Ended) {
        let coverage = coverage(self.court.trace, self.court.rules, so_far);
        self.live.emit(Record::Coverage(Box::new(coverage)));
    }
}

/// What the report of a shard has besides, for `plugpull merge`.
fn shard(args: &ExploreArgs, digest: Option<u128>, rules: &[Rules]) -> Option<Shard> {
    let states = args.states.map_or("all".into(), |most| most.to_string());
    Some(Shard {
        number: args.shard?.number,
        of: args.shard?.of,
        trace: digest.map(|digest| format!("{digest:032x}")),
        options: format!(
            "--states {states} --recovery-depth {} --device {}",
            args.recovery_depth,
            args.device.device()
        ),
        faults: rules.iter().map(|one| one.name.to_string()).collect(),
        ..Shard::default()
    })
}

fn tell_recorded(file: &TraceFile, trace: &Trace) -> anyhow::Result<u8> {
    println!(
        "Recorded {} acknowledged transactions of {} into {} ({:.1} MB); \
         `plugpull explore --trace {}` explores them.",
        trace.about.history.acked(),
        trace.about.version,
        file.path.display(),
        std::fs::metadata(&file.path)?.len() as f64 / 1e6,
        file.path.display()
    );
    Ok(crate::KEPT)
}

/// Wrong use unless the check of a target that brings its own is content with an empty data folder.
fn sound_when_empty(station: &Station) -> anyhow::Result<()> {
    if station.target.scripted().is_none() {
        return Ok(());
    }
    let owner = (geteuid().as_raw(), getegid().as_raw());
    let empty = Tree::new(owner.0, owner.1, 0);
    let (tried, _) = station.observe(&empty, false, &Acked::default())?;
    let name = station.target.name();
    script::must_be_sound(&tried.observed).map_err(|why| wrong(format!("{name}: {why}")))
}

/// A trace that was recorded before.
fn read_trace(path: &Path) -> anyhow::Result<Trace> {
    let file = TraceFile {
        path: path.to_path_buf(),
        memory: 0,
    };
    file.read().map_err(|error| wrong(format!("{error:#}")))
}

/// Where to record to; nothing may be there.
fn trace_file(args: &ExploreArgs, path: &Path) -> anyhow::Result<TraceFile> {
    writable(path, "the trace")?;
    if path.symlink_metadata().is_ok() {
        return Err(wrong(format!(
            "the trace cannot be written to {}: there is something already",
            path.display()
        )));
    }
    Ok(TraceFile {
        path: path.to_path_buf(),
        memory: args.memory << 20,
    })
}

fn chosen_rules(given: &[String]) -> anyhow::Result<Vec<Rules>> {
    let all = Rules::all();
    if given.is_empty() {
        return Ok(all);
    }
    given
        .iter()
        .map(|name| {
            all.iter()
                .copied()
                .find(|one| one.name == name)
                .ok_or_else(|| {
                    let known: Vec<&str> = all.iter().map(|one| one.name).collect();
                    wrong(format!(
                        "--model {name} is not known; known are {}",
                        known.join(", ")
                    ))
                })
        })
        .collect()
}

impl RunSink<'_> {
    /// Writes the artifact of a finding, in place of that of a larger state. Where it is.
    fn artifact(&self, keep: &Keep, id: u64, group: &Group) -> anyhow::Result<PathBuf> {
        let (court, info) = (self.court, self.info);
        let path = keep.path(&format!("finding-{}.json", id + 1));
        let first = group.small.crash.first();
        let rules = court.rules[first.rules];
        let artifact = Artifact::new(
            About {
                target: info.name.clone(),
                version: info.version.clone(),
                settings: info.settings.clone(),
                model: rules.name.to_string(),
                seed: self.seed,
                point: first.point,
                crash: court.trace.stamp(first.point),
                class: rules.class(),
                promises: court.promises.to_vec(),
                finding: reported(self.args, court, group, None, self.seed).finding,
                timeline: timeline(&group.small.crash, group.small.finding.ack, court),
                history: court.trace.history_at(first.point),
            },
            &group.small.tree,
        )?;
        artifact.write(&path)?;
        Ok(path)
    }
}

/// A group's entry of the report. `kept` is where its artifact is.
fn reported(
    args: &ExploreArgs,
    court: &Court<'_>,
    group: &Group,
    kept: Option<&Path>,
    seed: u64,
) -> ReportedFinding {
    let small = &group.small;
    let first = small.crash.first();
    let mut finding = small.finding.clone();
    finding.sentence = sentence(small, court);
    finding.fault = format!("{}@{}", court.rules[first.rules].name, first.point);
    let what = match args.trace.as_deref().or(args.record.as_deref()) {
        Some(trace) => format!("--trace {}", trace.display()),
        None => again(&args.target),
    };
    let repeat = match kept {
        Some(path) => format!("plugpull replay {}", path.display()),
        None => format!("plugpull explore {what} --seed {seed} --keep DIR"),
    };
    let kept = kept.map(|path| path.display().to_string());
    ReportedFinding {
        finding,
        trial: group.trial,
        count: group.count,
        repeat,
        output: vec![small.output.clone()],
        evidence: Some(Box::new(evidence(group, court, kept))),
    }
}
