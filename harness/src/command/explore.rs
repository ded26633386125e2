//! `plugpull explore`: record one run, then try the crash states that it could have left.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use plugpull_reports::{Event, Plan, ReportBuilder, ReportedFinding, TargetInfo, Trial, exit_code};
use plugpull_workloads::{Verdict, WorkloadConfig};

use super::asked::{Asked, again, outputs};
use super::interrupt::stop_on_signal;
use super::place::with_crash_filesystem;
use super::reporters::Reporters;
use super::wrong;
use crate::cli::ExploreArgs;
use crate::explore::{
    About, Answers, Artifact, Case, Court, Coverage, Groups, Order, Rules, Seen, Shrink, Station,
    Stations, TimelineEntry, Trace, Tried, record, sentence, timeline, tries,
};
use crate::keep::Keep;
use crate::seed;
use crate::trial::{SandboxHost, StorageRules};
use plugpull_faults::pin;

/// Records, tries and reports.
pub(crate) fn run(args: &ExploreArgs) -> anyhow::Result<u8> {
    let asked = Asked::new(&args.target)?;
    let rules = chosen_rules(&args.models)?;
    if ![512, 4096].contains(&args.sector) {
        return Err(wrong(format!(
            "--sector {} must be 512 or 4096",
            args.sector
        )));
    }
    let workload = WorkloadConfig {
        clients: args.clients,
        value_len: 1..=args.value_size,
        ops_per_txn: asked.target.ops_per_txn(),
        ..WorkloadConfig::default()
    };
    workload.validate().map_err(wrong)?;
    let keep = outputs(&args.outputs)?;
    let cpus = pin::all();
    let workers = args.workers.map_or(cpus.len().max(1), usize::from);
    let station = |number: usize| -> anyhow::Result<Station> {
        let cpu = (!cpus.is_empty()).then(|| cpus[number % cpus.len()]);
        let host = Arc::new(SandboxHost::new(
            with_crash_filesystem("exploring")?,
            cpu,
            false,
        ));
        Ok(Station {
            host,
            target: asked.target.clone(),
            start_limit: asked.start_limit,
        })
    };
    let own = station(0)?;
    if let Some(keep) = &keep {
        keep.claim()?;
    }
    let stop = stop_on_signal();
    let seed = args.seed.unwrap_or_else(seed::fresh);
    let storage = StorageRules {
        model: rules[0].model,
        sector: args.sector,
        fuse: true,
    };
    let trace = record(
        &own.host,
        &asked.target,
        storage,
        &workload,
        seed,
        args.txns,
        asked.start_limit,
    )
    .context("recording the run")?;
    let names: Vec<String> = rules.iter().map(|one| one.name.to_string()).collect();
    let plan = Plan {
        plugpull: env!("CARGO_PKG_VERSION").to_string(),
        target: asked.info.clone(),
        seed,
        faults: names.clone(),
        unavailable: Vec::new(),
        recovery_bound: asked.recovery_bound,
    };
    let mut reporters = Reporters::new(&args.outputs);
    reporters.tell(&Event::RunStarted {
        target: asked.info.clone(),
        seed,
        budget: args.budget,
        faults: names,
        unavailable: Vec::new(),
    });
    let court = Court {
        trace: &trace,
        rules: &rules,
        promises: asked.promises(),
        sector: args.sector,
        recovery_bound: asked.recovery_bound,
    };
    let mut exploration = Exploration {
        court: &court,
        station: &own,
        answers: Answers::default(),
        groups: Groups::default(),
        builder: ReportBuilder::new(plan),
        reporters: &mut reporters,
        number: 0,
        distinct_only: std::collections::HashSet::new(),
        error: None,
    };
    let stations: Vec<Station> = (0..workers).map(station).collect::<anyhow::Result<_>>()?;
    let began = Instant::now();
    let mut order = Order::new(&trace.log, &rules, args.sector, seed);
    let (tried, interrupted) =
        exploration.go(&mut order, Stations::start(stations), args.budget, &stop)?;
    let Exploration {
        groups, builder, ..
    } = exploration;
    let mut report = builder.finish(began.elapsed(), interrupted);
    report.findings = findings(args, &court, &groups, keep.as_ref(), &asked.info, seed)?;
    let code = exit_code(&report);
    let rate = tried as f64 / began.elapsed().as_secs_f64().max(1e-9);
    reporters.finish(report)?;
    tell_coverage(&trace, &order, &rules, tried, rate);
    Ok(code)
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

/// An exploration under way.
struct Exploration<'a> {
    court: &'a Court<'a>,
    station: &'a Station,
    answers: Answers,
    groups: Groups,
    builder: ReportBuilder,
    reporters: &'a mut Reporters,
    number: u64,
    /// Contents that have a trial in the report already.
    distinct_only: std::collections::HashSet<(usize, u128)>,
    error: Option<anyhow::Error>,
}

impl Exploration<'_> {
    /// Tries states until there are none left, the budget is spent or the user stops it. Cases
    /// are judged in the order in which they were made, whichever station answers first. Returns
    /// how many contents were tried, and whether it was cut short.
    fn go(
        &mut self,
        order: &mut Order<'_>,
        mut stations: Stations,
        budget: std::time::Duration,
        stop: &AtomicBool,
    ) -> anyhow::Result<(u64, bool)> {
        let began = Instant::now();
        let mut waiting: VecDeque<Case> = VecDeque::new();
        let mut given = 0;
        let cut_short = loop {
            if stop.load(Ordering::Relaxed) || began.elapsed() >= budget {
                break true;
            }
            let Some((case, tree)) = order.next() else {
                break false;
            };
            if let Some(tree) = tree {
                stations.give(case.digest, tree);
                given += 1;
            }
            waiting.push_back(case);
            while let Ok((digest, tried)) = stations.results.try_recv() {
                self.answers.note(digest, tried?);
            }
            self.judge_ready(&mut waiting)?;
        };
        stations.finish();
        while let Ok((digest, tried)) = stations.results.try_recv() {
            self.answers.note(digest, tried?);
        }
        self.judge_ready(&mut waiting)?;
        Ok((given, cut_short && stop.load(Ordering::Relaxed)))
    }

    fn judge_ready(&mut self, waiting: &mut VecDeque<Case>) -> anyhow::Result<()> {
        while let Some(tried) = waiting
            .front()
            .and_then(|case| self.answers.get(case.digest))
        {
            if let Some(case) = waiting.pop_front() {
                self.judge(&case, &tried)?;
            }
        }
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn judge(&mut self, case: &Case, tried: &Tried) -> anyhow::Result<()> {
        let judgement = self.court.judge(case.rules, case.point, tried);
        let rules = self.court.rules[case.rules];
        let fresh = self.distinct_only.insert((case.rules, case.digest));
        if judgement.findings.is_empty() && !fresh {
            return Ok(());
        }
        self.number += 1;
        let mut trial = Trial {
            number: self.number,
            fault: rules.name.to_string(),
            spec: format!("{}@{}", rules.name, case.point),
            seed: 0,
            class: rules.class(),
            bit: true,
            what: format!("{} changes missing", case.lost.len()),
            acked: self.court.trace.history_at(case.point).acked() as u64,
            operations: case.point,
            verdict: judgement.verdict,
            why: judgement.why,
            recovery_us: tried
                .observed
                .recovery
                .iter()
                .map(|t| t.as_micros() as u64)
                .collect(),
            took_us: tried.took.as_micros() as u64,
            findings: Vec::new(),
        };
        // Before the first ack there is little to lose; that is no failure of the measurement.
        if trial.verdict == Verdict::NotMeasured {
            return Ok(());
        }
        for finding in judgement.findings {
            if let Seen::New = self.groups.seen(case, finding.kind, self.court) {
                let mut shrink = Shrink {
                    court: self.court,
                    station: self.station,
                    answers: &mut self.answers,
                    tries: tries(),
                };
                if let Some(small) = shrink.case(case, finding.kind)? {
                    self.groups.add(small, self.court);
                }
            }
            trial.findings.push(ReportedFinding {
                finding,
                trial: self.number,
                count: 1,
                repeat: String::new(),
                output: Vec::new(),
            });
        }
        self.builder.trial(&trial);
        self.reporters.tell(&Event::TrialFinished(Box::new(trial)));
        Ok(())
    }
}

/// The findings as they are reported, with an artifact each where they are kept.
fn findings(
    args: &ExploreArgs,
    court: &Court<'_>,
    groups: &Groups,
    keep: Option<&Keep>,
    info: &TargetInfo,
    seed: u64,
) -> anyhow::Result<Vec<ReportedFinding>> {
    let mut reported = Vec::new();
    for (number, group) in groups.all.iter().enumerate() {
        let small = &group.small;
        let rules = court.rules[small.rules];
        let mut finding = small.finding.clone();
        finding.sentence = sentence(small, court);
        finding.fault = format!("{}@{}", rules.name, small.point);
        let mut repeat = format!(
            "plugpull explore {} --seed {seed} --keep DIR",
            again(&args.target)
        );
        if let Some(keep) = keep {
            let path: PathBuf = keep.path(&format!("finding-{}.json", number + 1));
            let entries: Vec<TimelineEntry> = timeline(small, court);
            let artifact = Artifact::new(
                About {
                    target: info.name.clone(),
                    version: info.version.clone(),
                    settings: info.settings.clone(),
                    model: rules.name.to_string(),
                    seed,
                    point: small.point,
                    crash: court.trace.stamp(small.point),
                    class: rules.class(),
                    promises: court.promises.to_vec(),
                    finding: finding.clone(),
                    timeline: entries,
                    history: court.trace.history_at(small.point),
                },
                &small.tree,
            )?;
            artifact.write(&path)?;
            repeat = format!("plugpull replay {}", path.display());
        }
        reported.push(ReportedFinding {
            finding,
            trial: 0,
            count: group.count,
            repeat,
            output: vec![small.output.clone()],
        });
    }
    Ok(reported)
}

fn tell_coverage(trace: &Trace, order: &Order<'_>, rules: &[Rules], tried: u64, rate: f64) {
    println!(
        "\nRecorded: {} operations, {} acknowledged transactions, {} crash points.",
        trace.log.records().len(),
        trace.acked,
        order.point_count()
    );
    for (one, coverage) in rules.iter().zip(&order.coverage) {
        let Coverage {
            points,
            made,
            distinct,
        } = coverage;
        println!(
            "{:<10} {points} points looked at, {made} states made, {distinct} of them new",
            one.name
        );
    }
    println!("{tried} distinct states tried, {rate:.0} a second.");
}
