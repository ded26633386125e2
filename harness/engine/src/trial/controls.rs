//! Negative controls, before the first trial: whether a target of the user's own, and the check that
//! decides of it, can show anything at all.
//!
//! A check that is content with everything passes every trial, and one that is never content fails
//! every trial: both would be a verdict on the check. So it is asked where the answer is known: on an
//! empty data directory without an acknowledged ID (nothing is wrong), after a clean stop (nothing is
//! wrong), on an empty data directory with the IDs that were acknowledged (all is gone), and with the
//! newest file emptied (something is gone, as far as anybody looks).

use std::fmt::Display;
use std::path::{Component, Path};
use std::time::Duration;

use plugpull_crashsim::fs::{Ino, Node, Tree};
use plugpull_faults::machine::{InjectError, Machine};
use plugpull_workloads::{
    Durability, FailureClass, Guarantee, History, Observed, Promise, Start, Verdict, judge,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::script::{self, Acked};
use super::testbed::{Stopped, Testbed};
use super::{PROBE, Setup};
use crate::outcome::{HarnessFailed, TargetFailed, guard};

/// How long a target may take to end when it is asked to.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long a workload may go on to its own end, where no signal stops it cleanly.
const OWN_END_LIMIT: Duration = Duration::from_secs(2);
/// How many IDs a sentence names.
const NAMED: usize = 5;
/// So many of the newest files are emptied, one at a time, until that is noticed: the very last one may
/// hold what nobody acknowledged.
const EMPTIED: usize = 3;
/// So many acks at one moment may be those of one group commit.
const LUMP: usize = 20;
/// A reader that is woken by each line is not late by so much.
const LATE_FOR_CERTAIN: Duration = Duration::from_secs(1);

/// Why no trial is made.
#[derive(Debug)]
pub enum Refusal {
    /// What the user named cannot be tested as it is: wrong use.
    Wrong(String),
    /// Nothing that a trial shows would say anything of the target.
    NotMeasured(String),
    /// plugpull failed.
    Harness(HarnessFailed),
}

impl From<HarnessFailed> for Refusal {
    fn from(failed: HarnessFailed) -> Self {
        Self::Harness(failed)
    }
}

impl From<InjectError> for Refusal {
    fn from(error: InjectError) -> Self {
        Self::Harness(error.into())
    }
}

/// Starts the target on an empty data directory and stops it again. One of the user's own is then
/// worked on, stopped, and its check is asked where the answer is known. What is worth a word and
/// stops nothing is returned, a sentence each.
///
/// # Errors
/// Why no trial is to be made.
pub fn before_trials(setup: &Setup) -> Result<Vec<String>, Refusal> {
    // A target without a check of its own is started on one when it is worked on.
    if setup.target.scripted().is_some() || !setup.target.users_own() {
        on_testbed(setup, |testbed| {
            empty(setup, testbed, Acked::default()).map(drop)
        })?;
    }
    if !setup.target.users_own() {
        return Ok(Vec::new());
    }
    let (worked, not_asked) = stopped(setup)?;
    sees_a_loss(setup, &worked.history)?;
    let mut warnings = Vec::new();
    warnings.extend(not_asked);
    warnings.extend(worked.unseen);
    warnings.extend(worked.leads_out);
    warnings.extend(worked.late);
    Ok(warnings)
}

/// The same for a run that was recorded before: its workload is not run again.
///
/// # Errors
/// Why no trial is to be made.
pub fn before_trials_of(setup: &Setup, recorded: &History) -> Result<(), Refusal> {
    on_testbed(setup, |testbed| {
        empty(setup, testbed, Acked::default()).map(drop)
    })?;
    match setup.target.users_own() {
        true => sees_a_loss(setup, recorded),
        false => Ok(()),
    }
}

/// Does it on an empty machine, and leaves a clean one.
fn on_testbed<T>(
    setup: &Setup,
    act: impl FnOnce(&mut Testbed<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut testbed = Testbed::new(
        &setup.host,
        &setup.target,
        setup.rules,
        &setup.workload,
        0,
        ChaCha8Rng::seed_from_u64(0),
        setup.start_limit,
    )?;
    let done = guard(|| Ok(act(&mut testbed)));
    let cleaned = testbed.tear_down();
    let done = done??;
    cleaned?;
    Ok(done)
}

/// What a target showed that was to be started and looked at.
enum Looked {
    /// It did not start.
    Down(TargetFailed),
    /// It started, and its check, or who reads it back, does not open it.
    Closed(String),
    /// It was read back.
    Open(Box<Observed>),
}

fn look(testbed: &mut Testbed<'_>, acked: Acked) -> Result<Looked, HarnessFailed> {
    let mut observed = Observed::default();
    match testbed.bring_up_for(PROBE, acked)? {
        Err(failed) => return Ok(Looked::Down(failed)),
        Ok(mut up) => drop(up.note(&mut observed)?),
    }
    Ok(match observed.start {
        Start::Started => Looked::Open(Box::new(observed)),
        Start::Refused { message } => Looked::Closed(message),
        Start::Hung { waited } => Looked::Closed(format!("it had not ended after {waited:?}")),
    })
}

/// Starts the target on the empty data directory, and looks at it with these IDs. It must start, and
/// without an ID its check must be content.
fn empty(setup: &Setup, testbed: &mut Testbed<'_>, acked: Acked) -> Result<Looked, Refusal> {
    let asked_for = acked.ids().len();
    let looked = look(testbed, acked)?;
    let why = match &looked {
        Looked::Down(failed) => return Err(down(setup, testbed, failed)),
        Looked::Closed(why) => why.clone(),
        Looked::Open(observed) => match &observed.integrity {
            Some(Err(what)) => format!("corrupt {what}"),
            _ => return Ok(looked),
        },
    };
    if asked_for > 0 || setup.target.scripted().is_none() {
        return Ok(looked);
    }
    Err(Refusal::Wrong(with_hint(
        setup,
        format!(
            "its check does not end with exit code 0 on an empty data directory with no ID \
             acknowledged, so it would find fault with everything: {why}"
        ),
    )))
}

/// Why a target that does not start on an empty data directory is not tried.
fn down(setup: &Setup, testbed: &mut Testbed<'_>, failed: &TargetFailed) -> Refusal {
    let waited = match failed {
        TargetFailed::Refused(why) | TargetFailed::WentOn(why) => {
            return Refusal::Wrong(with_hint(setup, format!("it cannot be started: {why}")));
        }
        TargetFailed::Hung(waited) => waited,
    };
    if let Err(error) = testbed.kill() {
        return error.into();
    }
    let output = testbed.outputs.concat();
    Refusal::NotMeasured(format!(
        "its start on an empty data directory was not done after {waited:.3?}{}{}; a longer \
         [start] timeout_ms, or --recovery-bound, raises the limit",
        part(setup, "ready when").map_or(String::new(), |when| format!(" (ready when {when})")),
        last_words(&output)
    ))
}

/// What the target says of itself under this name.
fn part(setup: &Setup, name: &str) -> Option<String> {
    let described = setup.target.scripted()?.described();
    let mut found = described.into_iter().filter(|(known, _)| known == name);
    found.next().map(|(_, text)| text)
}

/// The end of what something printed, as the end of a sentence.
fn last_words(output: &str) -> String {
    match output.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => format!("; its last line: {line}"),
        None => String::new(),
    }
}

fn with_hint(setup: &Setup, why: String) -> String {
    match setup.target.scripted().and_then(|script| script.hint()) {
        Some(hint) => format!("{why}; {hint}"),
        None => why,
    }
}

/// What came of a target that was worked on and stopped.
struct Worked {
    stopped: Stopped,
    history: History,
    looked: Looked,
    /// That its check does not see when the newest file is emptied.
    unseen: Option<String>,
    /// That its acks waited in a buffer.
    late: Option<String>,
    /// That something in its data directory lies elsewhere.
    leads_out: Option<String>,
}

/// How a target comes to its end.
#[derive(Clone, Copy)]
enum Ending {
    /// It is asked to by this signal.
    Signal(i32),
    /// Its workload has no more to do, if that is soon.
    Own,
}

/// Lets the workload acknowledge something, has the target end, and looks at what it left.
fn work_and_stop(setup: &Setup, testbed: &mut Testbed<'_>, end: Ending) -> Result<Worked, Refusal> {
    if let Err(failed) = testbed.bring_up(PROBE)?.map(drop) {
        return Err(down(setup, testbed, &failed));
    }
    testbed.work()?;
    let warm = testbed.warm_up().and_then(|()| testbed.reach_barrier());
    if let Some(why) = failed_by_itself(setup, testbed, warm.err()) {
        return Err(why);
    }
    if testbed.acked() == 0 {
        return Err(Refusal::NotMeasured(format!(
            "its workload acknowledged nothing{}",
            match testbed.workload_end() {
                Some(end) => format!(" and came to its end{}", last_words(&end.output)),
                None => format!(
                    " within {:.1?}; where it prints acks they wait in a buffer ([workload] \
                     unbuffer = true); where it needs longer, [start] timeout_ms or \
                     --recovery-bound raises the limit",
                    testbed.first_ack_limit()
                ),
            }
        )));
    }
    if let Some(untouched) = testbed.untouched()? {
        return Err(Refusal::NotMeasured(untouched.to_string()));
    }
    let signal = match end {
        Ending::Signal(signal) => signal,
        Ending::Own => {
            testbed.work_until(OWN_END_LIMIT, &|_| false)?;
            libc::SIGTERM
        }
    };
    let stopped = testbed.stop(signal, STOP_LIMIT)?;
    let (disk, history) = (testbed.snapshot(), testbed.history());
    let acked = Acked::of(&history, &*setup.target);
    let late = late(testbed.buffered, &history, testbed.operations_took());
    let looked = look(testbed, acked.clone())?;
    let mut worked = Worked {
        stopped,
        history,
        looked,
        unseen: None,
        late,
        leads_out: disk.as_ref().and_then(leads_out),
    };
    if let Some(disk) = disk
        && worked.trouble(setup).is_none()
    {
        worked.unseen = newest_emptied(setup, testbed, &disk, &acked)?;
    }
    Ok(worked)
}

/// Why a target that ended by itself, before any fault, is not tried.
fn failed_by_itself(
    setup: &Setup,
    testbed: &Testbed<'_>,
    error: Option<InjectError>,
) -> Option<Refusal> {
    let why = match (testbed.workload_trouble(), error) {
        (Some(why), _) => why,
        (None, Some(InjectError::TargetGone(why))) => {
            format!("it ended while it was written to{}", last_words(&why))
        }
        (None, Some(InjectError::NeverReached(why))) => return Some(Refusal::NotMeasured(why)),
        (None, Some(error)) => return Some(error.into()),
        (None, None) => return None,
    };
    let command = part(setup, "workload").map_or(String::new(), |line| format!(" ({line})"));
    Some(Refusal::Wrong(with_hint(
        setup,
        format!("it failed by itself{command}, before any fault: {why}"),
    )))
}

impl Worked {
    /// What is wrong with what it left, as far as it must be right after a clean stop.
    fn trouble(&self, setup: &Setup) -> Option<String> {
        trouble(setup, &self.history, &self.looked)
    }

    /// True where its check misses all that was acknowledged.
    fn misses_all(&self, setup: &Setup) -> bool {
        let Looked::Open(observed) = &self.looked else {
            return false;
        };
        let acked = Acked::of(&self.history, &*setup.target);
        let state = observed
            .state
            .as_ref()
            .and_then(|state| state.as_ref().ok());
        setup.target.scripted().is_some()
            && state.is_some_and(|state| acked.not_whole(state).len() == acked.ids().len())
    }
}

/// What is wrong with what a target shows, where all of this history must be there.
fn trouble(setup: &Setup, history: &History, looked: &Looked) -> Option<String> {
    let observed = match looked {
        Looked::Down(failed) => return Some(format!("it does not start: {failed}")),
        Looked::Closed(why) => return Some(format!("its check fails: {why}")),
        Looked::Open(observed) => observed,
    };
    if let Some(Err(what)) = &observed.integrity {
        return Some(format!("its check says: corrupt {what}"));
    }
    let state = match &observed.state {
        Some(Ok(state)) => state,
        Some(Err(why)) => return Some(format!("it cannot be read: {why}")),
        None => return None,
    };
    if !durable(&setup.promises) {
        return None;
    }
    if setup.target.scripted().is_some() {
        let missing = Acked::of(history, &*setup.target).not_whole(state);
        let named = named(&missing);
        return (!missing.is_empty()).then(|| format!("its check says that {named} is gone"));
    }
    let judgement = judge(
        history,
        observed,
        &[Promise {
            classes: vec![FailureClass::ProcessCrash],
            guarantee: Guarantee::Durable(Durability::AtAck),
            words: String::new(),
            source: String::new(),
            demanded: false,
        }],
        FailureClass::ProcessCrash,
        None,
        None,
    );
    let found = judgement.findings.into_iter().next();
    (judgement.verdict == Verdict::Broken)
        .then(|| found.map_or_else(|| judgement.why, |finding| finding.sentence))
}

/// Whether anything that is acknowledged must stay.
fn durable(promises: &[Promise]) -> bool {
    let durable = |promise: &Promise| matches!(promise.guarantee, Guarantee::Durable(_));
    promises.iter().any(durable)
}

/// "1, 2, 3 and 7 more".
fn named<T: Display>(all: &[T]) -> String {
    let (first, rest) = all.split_at(all.len().min(NAMED));
    let first: Vec<String> = first.iter().map(ToString::to_string).collect();
    match rest.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// After a clean stop nothing may be wrong. A target that ended otherwise was killed, perhaps in the midst
/// of a change: there the check may be right, and only a sentence says that it was not asked.
fn stopped(setup: &Setup) -> Result<(Worked, Option<String>), Refusal> {
    let mut last = None;
    for end in [
        Ending::Signal(libc::SIGTERM),
        Ending::Signal(libc::SIGINT),
        Ending::Own,
    ] {
        let worked = on_testbed(setup, |testbed| work_and_stop(setup, testbed, end))?;
        let Some(why) = worked.trouble(setup) else {
            return Ok((worked, None));
        };
        let closed = matches!(worked.looked, Looked::Closed(_));
        // As on an empty directory: it may look elsewhere than where the target writes.
        let sees_nothing = closed || worked.misses_all(setup);
        if matches!(end, Ending::Own) && !sees_nothing {
            break;
        }
        if worked.stopped == Stopped::Ended(0) {
            let or_the_target = match closed {
                true => "",
                false => {
                    ". Or the target itself lost all that it had acknowledged when it ended: see what its data \
                     directory holds then"
                }
            };
            return Err(Refusal::Wrong(with_hint(
                setup,
                format!(
                    "after a clean stop, with no fault injected, {why}; so it would find fault with every \
                     crash{or_the_target}"
                ),
            )));
        }
        last = Some((worked, why));
        // What else it lost then is for the trials to find.
        if !sees_nothing {
            break;
        }
    }
    let Some((worked, why)) = last else {
        return Err(HarnessFailed::new("the target was not stopped").into());
    };
    let unknown = format!(
        "it was not stopped cleanly, so what its check says after a clean stop is not known (let the \
         workload end with exit code 0 on SIGTERM or SIGINT, or soon by itself); after it was killed {why}"
    );
    Ok((worked, Some(unknown)))
}

/// On an empty data directory all that was acknowledged is gone, and that must be seen.
fn sees_a_loss(setup: &Setup, history: &History) -> Result<(), Refusal> {
    let acked = Acked::of(history, &*setup.target);
    if !durable(&setup.promises) || history.acked() == 0 {
        return Ok(());
    }
    let looked = on_testbed(setup, |testbed| empty(setup, testbed, acked.clone()))?;
    if trouble(setup, history, &looked).is_some() {
        return Ok(());
    }
    Err(Refusal::Wrong(match setup.target.scripted() {
        Some(_) => {
            let ids = acked.ids();
            format!(
                "its check is blind: on an empty data directory it missed none of the {} \
                 acknowledged IDs ({}), so it can find no loss; for each ID that is gone it must print \
                 a line 'lost ID'",
                ids.len(),
                named(&ids)
            )
        }
        None => format!(
            "the driver is blind: on an empty data directory it reads back all {} acknowledged \
             transactions, so it can find no loss; it must read what lies in the data directory",
            history.acked()
        ),
    }))
}

/// Empties the newest files of this disk, one at a time. A sentence where nobody sees that.
fn newest_emptied(
    setup: &Setup,
    testbed: &mut Testbed<'_>,
    disk: &Tree,
    acked: &Acked,
) -> Result<Option<String>, Refusal> {
    let history = testbed.history();
    let mut files = newest(disk);
    if setup.target.scripted().is_none() {
        // A driver starts for each, and reads back what nobody acknowledged as well.
        files.truncate(1);
    }
    for (ino, _) in &files {
        let mut disk = disk.clone();
        let emptied = disk.change(*ino, |content| content.truncate(0));
        debug_assert!(emptied.is_ok(), "it was found as a file");
        testbed.kill()?;
        testbed.restore(disk)?;
        let looked = look(testbed, acked.clone())?;
        if trouble(setup, &history, &looked).is_some() {
            return Ok(None);
        }
    }
    let paths: Vec<String> = files.into_iter().map(|(_, path)| path).collect();
    Ok((!paths.is_empty()).then(|| {
        format!(
            "its check noticed nothing when the newest files were emptied, one at a time ({}): it \
             does not look at what is in there",
            paths.join(", ")
        )
    }))
}

/// That symbolic links lead out of the data directory: what is written through them is on no disk that a
/// crash leaves.
fn leads_out(disk: &Tree) -> Option<String> {
    let links = disk.inodes().filter_map(|(_, inode)| {
        let Node::Symlink(to) = &inode.node else {
            return None;
        };
        let to = Path::new(to);
        let up = to.components().filter(|part| *part == Component::ParentDir);
        let depth = Path::new(&*inode.path).components().count();
        let leads_out = inode.nlink > 0 && (to.is_absolute() || up.count() >= depth);
        leads_out.then(|| format!("{} -> {}", inode.path, to.display()))
    });
    let mut links: Vec<String> = links.collect();
    links.sort();
    (!links.is_empty()).then(|| {
        format!(
            "symbolic links lead out of its data directory ({}): what is written through them is on no \
             disk that a crash leaves, and is lost with each",
            named(&links)
        )
    })
}

/// The files that were written to last and hold something, the last one first.
fn newest(disk: &Tree) -> Vec<(Ino, String)> {
    let files = disk.inodes().filter(|(_, inode)| {
        inode.mode & libc::S_IFMT == libc::S_IFREG && inode.nlink > 0 && inode.size() > 0
    });
    let mut files: Vec<_> = files.collect();
    files.sort_by_key(|(_, inode)| std::cmp::Reverse((inode.mtime, inode.path.clone())));
    let named = files.into_iter().take(EMPTIED);
    named
        .map(|(ino, inode)| (ino, inode.path.to_string()))
        .collect()
}

/// A sentence where acks waited in a buffer: it was written when it was full, which ends within a line,
/// or when the workload had come to its end, after operations over this time. A short time proves
/// nothing: plugpull itself may have been late.
fn late(in_blocks: bool, history: &History, took: Duration) -> Option<String> {
    let acks = script::acks_by_moment(history).unwrap_or_default();
    // Each was for an operation of its own, at least.
    let how = match acks[..] {
        [(operations, count)]
            if count >= LUMP && operations >= count as u64 && took >= LATE_FOR_CERTAIN =>
        {
            format!("all {count} acks came at one moment, after {operations} operations")
        }
        _ if in_blocks => "its acks came in blocks that end within a line".into(),
        _ => return None,
    };
    Some(format!(
        "your workload's output is buffered: {how}, and an ack that comes late obliges late; flush after \
         each line, or set [workload] unbuffer = true"
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plugpull_workloads::{Call, Entry, Outcome, Stamp, Txn};

    use super::*;

    /// A history with so many acks after so many operations.
    fn acked(moments: &[(u64, usize)]) -> History {
        let acks = moments.iter().flat_map(|(seq, count)| vec![*seq; *count]);
        let entry = |(id, seq): (u64, u64)| Entry {
            client: 0,
            call: Call::Txn(Arc::new(Txn {
                id,
                client: 0,
                ops: Vec::new(),
                abort: false,
            })),
            invoked: Stamp::default(),
            done: Some((Stamp { seq, nanos: id }, Outcome::Ok)),
        };
        History {
            entries: (1..).zip(acks).map(entry).collect(),
        }
    }

    #[test]
    fn acks_that_come_at_the_end_together_waited_in_a_buffer() {
        let second = Duration::from_secs(1);
        let why = late(false, &acked(&[(90, 30)]), second).expect("a lump");
        assert!(
            why.contains("all 30 acks came at one moment, after 90 operations"),
            "{why}"
        );
        // It may have been plugpull that had no time to read.
        assert_eq!(late(false, &acked(&[(90, 30)]), second / 2), None);
        let one_by_one: Vec<(u64, usize)> = (1..60).map(|seq| (seq, 1)).collect();
        assert_eq!(late(false, &acked(&one_by_one), second), None);
        // What acknowledges without an operation of its own keeps its data in memory.
        assert_eq!(late(false, &acked(&[(2, 30)]), second), None);
        assert!(late(true, &acked(&one_by_one), second).is_some());
    }

    #[test]
    fn some_names_stand_for_all() {
        assert_eq!(named(&[1, 2]), "1, 2");
        assert_eq!(named(&[1, 2, 3, 4, 5, 6, 7]), "1, 2, 3, 4, 5 and 2 more");
    }
}
