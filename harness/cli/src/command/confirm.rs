//! `plugpull confirm`: whether the kernel's own filesystems can leave what an artifact has.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::num::NonZero;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use plugpull_crashsim::fs::{Record, Tree};
use plugpull_engine::explore::{Artifact, CrashModel, TraceFile};
use plugpull_engine::keep::Keep;
use plugpull_filesystems::{
    BlockLog, FILESYSTEMS, Filesystem, MachineFailed, Search, Tally, missing_here, read_log_writes,
    records_of, this_program, tree_of, write_log_writes,
};
use plugpull_workloads::{Finding, FindingKind};
use serde_json::{Value, json};

use super::outputs::writable;
use super::replay::Replay;
use super::wrong;
use crate::cli::ConfirmArgs;

/// The filesystems that are tried when nobody names one.
const USUAL: [&str; 3] = ["ext4", "xfs", "btrfs"];
/// The most workers when nobody says how many.
const WORKERS_MAX: usize = 4;
/// The form of the JSON.
const SCHEMA: &str = "plugpull.confirm/1";

/// What came of one filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The finding was seen.
    Seen,
    /// All that it lost was lost and nothing else, and it was not seen.
    NotSeen,
    /// In no state was all of it lost and nothing else: nothing is known.
    NotReached,
    /// Nothing could be tried.
    NotMeasured,
}

impl Answer {
    fn label(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::NotSeen => "not-seen",
            Self::NotReached => "not-reached",
            Self::NotMeasured => "not-measured",
        }
    }
}

/// One filesystem's line.
struct Line {
    filesystem: Filesystem,
    answer: Answer,
    sentence: String,
    tally: Tally,
    /// Where its block log is.
    evidence: Option<String>,
}

/// Plays the artifact's operations on each filesystem, or takes a log of block writes, and says what was seen.
pub(crate) fn run(args: &ConfirmArgs) -> anyhow::Result<u8> {
    let artifact = Artifact::read(&args.artifact).map_err(|error| wrong(format!("{error:#}")))?;
    let crashed = artifact
        .tree()
        .map_err(|error| wrong(format!("{error:#}")))?;
    let blocks = args.block_log.as_deref().map(block_log).transpose()?;
    let filesystems = match &blocks {
        Some(blocks) => vec![filesystem_of(blocks)?],
        None => chosen(&args.filesystems)?,
    };
    let (records, before) = operations(args, &artifact)?;
    if let Some(json) = &args.json {
        writable(json, "what was seen")?;
    }
    let keep = args.keep.as_deref().map(Keep::open).transpose()?;
    let missing = missing_here();
    if !missing.is_empty() {
        return Err(wrong(format!(
            "confirm mounts real filesystems, and this needs {}, which is not here; see `plugpull doctor`",
            missing.join(" and ")
        )));
    }
    if let Some(keep) = &keep {
        keep.claim()?;
    }
    let replay = Replay::new(&artifact)?;
    controls(&artifact, &replay, &crashed, &tree_of(&records))?;
    let mut shows_finding = |disk: &Tree| {
        let judged = replay.judge(disk.clone());
        let judged = judged.map_err(|error| MachineFailed::Broken(format!("{error:#}")))?;
        Ok(judged
            .findings
            .iter()
            .any(|one| is_same(one, &artifact.about.finding)))
    };
    let program = this_program();
    let workers = workers(args.workers);
    let mut lines = Vec::new();
    let mut blocks = blocks;
    for (number, filesystem) in filesystems.iter().enumerate() {
        let share = args.budget / filesystems.len() as u32;
        let search = Search {
            program: &program,
            filesystem: *filesystem,
            records: &records,
            before,
            crashed: &crashed,
            seed: args.seed.wrapping_add((number as u64) << 32),
            states: args.states as usize,
            workers,
            until: Instant::now() + share,
        };
        let tally = match blocks.take() {
            Some(blocks) => search.run_on(blocks, &mut shows_finding),
            None if filesystem.program().is_none() => Err(MachineFailed::Broken(format!(
                "there is no {} here",
                filesystem.mkfs[0]
            ))),
            None => search.run(&mut shows_finding),
        };
        let line = line(*filesystem, tally, keep.as_ref())?;
        println!("{}", line.sentence);
        lines.push(line);
    }
    if let Some(path) = &args.json {
        let report = report(&artifact, args, &lines);
        std::fs::write(path, format!("{report:#}\n"))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(exit_code(&lines))
}

/// As many as there are processors, where nobody says how many.
fn workers(wanted: Option<u16>) -> usize {
    let here = std::thread::available_parallelism().map_or(1, NonZero::get);
    wanted.map_or(here.min(WORKERS_MAX), usize::from)
}

/// Seen on one is seen. All others must have an answer, or this is no pass.
fn exit_code(lines: &[Line]) -> u8 {
    let any = |answer: Answer| lines.iter().any(|line| line.answer == answer);
    if any(Answer::Seen) {
        return crate::BROKEN;
    }
    match any(Answer::NotReached) || any(Answer::NotMeasured) || lines.is_empty() {
        true => crate::FAILED,
        false => crate::KEPT,
    }
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Filesystem>> {
    let usual = USUAL.map(String::from);
    let names = if names.is_empty() { &usual } else { names };
    let known: Vec<&str> = FILESYSTEMS.iter().map(|one| one.name).collect();
    let named = names.iter().map(|name| {
        Filesystem::named(name).ok_or_else(|| {
            wrong(format!(
                "--filesystem {name}: there are {}",
                known.join(", ")
            ))
        })
    });
    let named: Vec<Filesystem> = named.collect::<anyhow::Result<_>>()?;
    let missing: Vec<&str> = named
        .iter()
        .filter(|one| one.program().is_none())
        .map(|one| one.mkfs[0])
        .collect();
    match missing.len() == named.len() {
        true => Err(wrong(format!(
            "there is no {} here, so no filesystem can be made",
            missing.join(" and no ")
        ))),
        false => Ok(named),
    }
}

/// The operations up to the crash, from an empty disk on, and how many of them were before the first.
fn operations(args: &ConfirmArgs, artifact: &Artifact) -> anyhow::Result<(Vec<Record>, usize)> {
    let about = &artifact.about;
    if about.model == CrashModel::KILL.name || about.not_on_disk {
        return Err(wrong(
            "the finding is not of a power loss: no filesystem has a part in it",
        ));
    }
    let own = artifact.operations();
    if let Some(own) = own.map_err(|error| wrong(format!("{error:#}")))? {
        return Ok(own);
    }
    if artifact.recoveries() > 0 {
        return Err(wrong(
            "the crash is one of a recovery whose operations were too long for the artifact: it cannot be \
             played",
        ));
    }
    let Some(path) = &args.trace else {
        return Err(wrong(
            "the artifact has no operations; --trace FILE names the trace that was explored",
        ));
    };
    let file = TraceFile {
        path: path.clone(),
        memory: 0,
    };
    let trace = file.read().map_err(|error| wrong(format!("{error:#}")))?;
    let point = usize::try_from(about.point).unwrap_or(usize::MAX);
    let done = trace.log.records().get(..point);
    let done = done.ok_or_else(|| {
        wrong(format!(
            "{} ends before the crash of the artifact: it is another trace",
            path.display()
        ))
    })?;
    let mut records = records_of(trace.log.base());
    let before = records.len();
    let numbered = done.iter().zip(before as u64..);
    records.extend(numbered.map(|(record, seq)| Record {
        seq,
        ..record.clone()
    }));
    Ok((records, before))
}

/// Whether there is something to look for: the artifact's disk shows the finding here, and the one on which
/// nothing is lost does not.
fn controls(
    artifact: &Artifact,
    replay: &Replay<'_>,
    crashed: &Tree,
    whole: &Tree,
) -> anyhow::Result<()> {
    let finding = &artifact.about.finding;
    println!("Found under {}: {}", artifact.about.model, finding.sentence);
    let shows = |disk: &Tree| -> anyhow::Result<bool> {
        let judged = replay.judge(disk.clone())?;
        Ok(judged.findings.iter().any(|one| is_same(one, finding)))
    };
    anyhow::ensure!(
        shows(crashed)?,
        "the finding does not stand here: on the artifact's disk the target shows no {}",
        kind_name(finding.kind)
    );
    anyhow::ensure!(
        !shows(whole)?,
        "the finding shows where nothing was lost too: no filesystem has a part in it"
    );
    Ok(())
}

/// True when both are of one kind and were seen behind the same.
fn is_same(one: &Finding, other: &Finding) -> bool {
    (one.kind, one.follow_up) == (other.kind, other.follow_up)
}

/// The name of a kind of finding in JSON.
fn kind_name(kind: FindingKind) -> String {
    let name = serde_json::to_value(kind).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn block_log(path: &Path) -> anyhow::Result<BlockLog> {
    let refused = |why: String| wrong(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| refused(error.to_string()))?;
    read_log_writes(BufReader::new(file)).map_err(|error| refused(error.to_string()))
}

fn filesystem_of(blocks: &BlockLog) -> anyhow::Result<Filesystem> {
    let known = blocks.filesystem();
    known.ok_or_else(|| wrong("the log of block writes leaves no ext4, XFS or btrfs"))
}

/// What is said of one filesystem; its evidence is kept.
fn line(
    filesystem: Filesystem,
    tally: Result<Tally, MachineFailed>,
    keep: Option<&Keep>,
) -> anyhow::Result<Line> {
    let name = filesystem.described();
    let (answer, mut sentence, tally) = match tally {
        Err(why) => (
            Answer::NotMeasured,
            format!("not measured on {name}: {why}"),
            Tally::default(),
        ),
        Ok(tally) => {
            let (answer, sentence) = answer(&name, &tally);
            (answer, sentence, tally)
        }
    };
    if tally.unreadable > 0 {
        sentence.push_str(&format!(
            "; {} could not be mounted or read: {}",
            tally.unreadable, tally.unreadable_why
        ));
    }
    let mut evidence = None;
    if let (Some(keep), Some(blocks)) = (keep, &tally.evidence) {
        let path = keep.path(&format!("{}.log-writes", filesystem.name));
        let mut file = BufWriter::new(File::create(&path)?);
        write_log_writes(blocks, &mut file)
            .with_context(|| format!("writing {}", path.display()))?;
        evidence = Some(path.display().to_string());
    }
    Ok(Line {
        filesystem,
        answer,
        sentence,
        tally,
        evidence,
    })
}

/// What was seen, and the sentence that says it. A state that lost more than the finding did, on which the
/// target showed nothing, is counted and proves nothing.
fn answer(name: &str, tally: &Tally) -> (Answer, String) {
    let Tally {
        tried,
        reached,
        seen,
        lost_more,
        seen_lost_more,
        ..
    } = *tally;
    let more = match (lost_more, seen_lost_more) {
        (0, _) => String::new(),
        (_, 0) => format!("; the target survived {lost_more} that lost more, which says nothing"),
        _ => format!("; {seen_lost_more} of {lost_more} that lost more showed it too"),
    };
    if seen > 0 {
        let sentence = format!(
            "seen on {name} in {seen} of {reached} block states that lost the same ({tried} were mounted){more}"
        );
        return (Answer::Seen, sentence);
    }
    if seen_lost_more > 0 {
        let same = match reached {
            0 => "none lost the same".to_owned(),
            reached => format!("{reached} lost the same, and did not show it"),
        };
        let sentence = format!(
            "seen on {name} in {seen_lost_more} of {lost_more} block states that lost more ({tried} were \
             mounted; {same})"
        );
        return (Answer::Seen, sentence);
    }
    if reached > 0 {
        let sentence = format!(
            "not seen on {name} in {reached} block states that lost the same ({tried} were mounted){more}"
        );
        return (Answer::NotSeen, sentence);
    }
    let sentence = format!("not reached on {name} in {tried} block states{more}");
    (Answer::NotReached, sentence)
}

fn report(artifact: &Artifact, args: &ConfirmArgs, lines: &[Line]) -> Value {
    let of = |line: &Line| {
        let tally = &line.tally;
        json!({
            "filesystem": line.filesystem.name,
            "described": line.filesystem.described(),
            "answer": line.answer.label(),
            "sentence": line.sentence,
            "plays": tally.plays,
            "block_states": tally.tried,
            "reached": tally.reached,
            "same_disk": tally.same_disk,
            "seen": tally.seen,
            "lost_more": tally.lost_more,
            "seen_lost_more": tally.seen_lost_more,
            "unreadable": tally.unreadable,
            "block_log": line.evidence,
        })
    };
    json!({
        "schema": SCHEMA,
        "plugpull": env!("CARGO_PKG_VERSION"),
        "artifact": args.artifact.display().to_string(),
        "model": artifact.about.model,
        "kind": kind_name(artifact.about.finding.kind),
        "sentence": artifact.about.finding.sentence,
        "seed": args.seed,
        "filesystems": lines.iter().map(of).collect::<Vec<_>>(),
    })
}
