//! A trace: one recorded run of the workload, in memory and as the file that `--record` writes and
//! `--trace` reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use plugpull_crashsim::fs::{Log, Tree};
use plugpull_crashsim::trace::{self, TraceError, TraceWriter};
use plugpull_sandbox::{Stack, Stacks};
use plugpull_workloads::{Entry, History, Stamp};
use serde::{Deserialize, Serialize};

/// A recorded run: the filesystem's log from an empty disk on, and the clients' history.
pub struct Trace {
    /// Every operation from an empty disk on.
    pub log: Log,
    /// What was recorded, and the clients' side of it.
    pub about: Recorded,
}

/// What a trace is a recording of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// plugpull's version.
    pub plugpull: String,
    /// The target's name.
    pub target: String,
    /// Its version and settings, for people.
    pub version: String,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
    /// The seed of the workload.
    pub seed: u64,
    /// How many clients wrote.
    pub clients: u32,
    /// The largest value, in bytes.
    pub value_size: u32,
    /// User and group that the disk belonged to.
    pub owner: (u32, u32),
    /// Every call and its outcome, on the log's clock.
    pub history: History,
    /// What the target wrote to its standard output and standard error.
    pub output: String,
    /// The moment at which the recording ends: that of the last ack that was wanted. What a file has
    /// behind it the target did until it died, which may be much where the machine is busy. None
    /// where everything counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Stamp>,
    /// Where the workload came to its own end before so many acks: the moment of its last ack. What
    /// is behind it is a phase of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ack: Option<Stamp>,
    /// plugpull had no time to read acks for over a second: some count from later than they were written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_late: bool,
    /// Who made the operations, where that was recorded. It stands here and not in a frame of its own: a
    /// plugpull that does not know it reads the trace all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stacks: Option<Arc<Stacks>>,
}

impl Recorded {
    /// Ends the recording at this moment: what was answered later is open, what was called later
    /// never was.
    pub fn end_at(&mut self, end: Stamp) {
        self.history = until(&self.history, |stamp| stamp <= end);
        self.end = Some(end);
    }
}

/// The history as it was: what was answered later is open, what was called later never was.
fn until(history: &History, happened: impl Fn(Stamp) -> bool) -> History {
    let known = history.entries.iter();
    let entries = known
        .filter(|entry| happened(entry.invoked))
        .map(|entry| Entry {
            done: entry.done.clone().filter(|(stamp, _)| happened(*stamp)),
            ..entry.clone()
        })
        .collect();
    History { entries }
}

impl Trace {
    /// A recording, without what its log has behind its end.
    ///
    /// # Errors
    /// The two do not belong together, or are not in order.
    pub fn new(log: Log, mut about: Recorded) -> Result<Self, String> {
        let log = match about.end {
            Some(end) => cut(log, end),
            None => log,
        };
        if let (Some(stacks), Some(end)) = (&mut about.stacks, about.end) {
            Arc::make_mut(stacks).cut(end.seq);
        }
        let trace = Self { log, about };
        trace.is_sound()?;
        Ok(trace)
    }

    /// What is taken for granted everywhere: a crash point is a number of operations, and acks are in
    /// their order.
    fn is_sound(&self) -> Result<(), String> {
        let (records, marks) = (self.log.records(), self.log.marks());
        let numbered = records.iter().zip(0..).all(|(one, seq)| one.seq == seq);
        if !numbered {
            return Err("its operations are not numbered from 0 without a gap".into());
        }
        let stamp = |mark: &plugpull_crashsim::fs::Mark| (mark.seq, mark.nanos);
        if !marks.is_sorted_by_key(stamp) {
            return Err("its acks are not in the order in which they came".into());
        }
        let operations = records.len() as u64;
        if marks.last().is_some_and(|last| last.seq > operations) {
            return Err("it has an ack behind its last operation".into());
        }
        let calls = &self.about.history.entries;
        if !calls.is_sorted_by_key(|call| call.invoked) {
            return Err("its calls are not in the order in which they were made".into());
        }
        let early = |call: &Entry| {
            (call.done.as_ref()).is_some_and(|(answered, _)| *answered < call.invoked)
        };
        if calls.iter().any(early) {
            return Err("it has an answer that came before its call".into());
        }
        let stacks = self.about.stacks.as_ref();
        let checked = stacks.map_or(Ok(()), |stacks| stacks.check(operations));
        checked.map_err(|why| format!("it has {why}"))
    }

    /// Who made the operation of this number; none where that was not recorded, or is not known.
    pub fn stack_of(&self, seq: u64) -> Option<Stack<'_>> {
        self.about.stacks.as_ref()?.stack_of(seq)
    }

    /// The history as it was when the first `point` operations had happened: what was answered
    /// later is open, what was called later never was.
    pub fn history_at(&self, point: u64) -> History {
        until(&self.about.history, |stamp| stamp.seq <= point)
    }

    /// The moment at which the first `point` operations had happened.
    pub fn stamp(&self, point: u64) -> Stamp {
        let before = self.log.records().get((point as usize).wrapping_sub(1));
        let nanos = before.map_or(0, |record| record.nanos);
        Stamp { seq: point, nanos }
    }
}

/// A log without what came behind this moment.
fn cut(log: Log, end: Stamp) -> Log {
    let records = log.records().partition_point(|one| one.seq < end.seq);
    let marks = log
        .marks()
        .partition_point(|one| (one.seq, one.nanos) <= (end.seq, end.nanos));
    if records == log.records().len() && marks == log.marks().len() {
        return log;
    }
    Log::of(
        log.base().clone(),
        log.records()[..records].to_vec(),
        log.marks()[..marks].to_vec(),
    )
}

/// Where a trace is kept, and how much memory it may take on the way there.
pub struct TraceFile {
    /// The file.
    pub path: PathBuf,
    /// The most bytes that wait to be written.
    pub memory: u64,
}

impl TraceFile {
    /// Begins to write it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(&self) -> anyhow::Result<TraceWriter> {
        TraceWriter::create(&self.path, self.memory)
            .with_context(|| format!("the trace cannot be written to {}", self.path.display()))
    }

    /// Writes what it is about and gives it its name.
    ///
    /// # Errors
    /// It could not be written.
    pub fn finish(&self, writer: TraceWriter, about: &Recorded) -> anyhow::Result<()> {
        writer
            .finish(serde_json::to_vec(about)?)
            .with_context(|| format!("the trace could not be written to {}", self.path.display()))
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is no trace, or a damaged one.
    pub fn read(&self) -> anyhow::Result<Trace> {
        let mut about: Option<serde_json::Result<Recorded>> = None;
        let traced = trace::read(&self.path, |bytes| {
            let read = about.insert(serde_json::from_slice(bytes));
            let (uid, gid) = read.as_ref().map_or((0, 0), |about| about.owner);
            Tree::new(uid, gid, 0)
        })?;
        let Some(Ok(about)) = about else {
            return Err(TraceError::NoTrace(self.path.clone()).into());
        };
        Trace::new(traced.log, about)
            .map_err(|why| anyhow::anyhow!("{} is damaged: {why}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plugpull_crashsim::fs::{Mark, Op, ROOT, Record};
    use plugpull_workloads::{Call, Outcome, Txn};

    use super::*;

    fn at(seq: u64, nanos: u64) -> Stamp {
        Stamp { seq, nanos }
    }

    /// A run of ten syncs and four acks, the last two of which came when it was being killed.
    fn recorded() -> (Log, Recorded) {
        let records = (0..10).map(|seq| Record {
            seq,
            nanos: seq * 10 + 5,
            pid: 1,
            path: "".into(),
            op: Op::Sync {
                ino: ROOT,
                data_only: false,
                dir: true,
            },
        });
        let acks = [at(2, 20), at(5, 50), at(5, 51), at(9, 90)];
        let marks = acks.iter().zip(1..).map(|(ack, id)| Mark {
            seq: ack.seq,
            nanos: ack.nanos,
            id,
        });
        let calls = acks.iter().zip(1..).map(|(ack, id)| Entry {
            client: 0,
            call: Call::Txn(Arc::new(Txn {
                id,
                client: 0,
                ops: Vec::new(),
                abort: false,
            })),
            invoked: at(ack.seq - 1, ack.nanos - 9),
            done: Some((*ack, Outcome::Ok)),
        });
        let about = Recorded {
            plugpull: String::new(),
            target: String::new(),
            version: String::new(),
            settings: BTreeMap::new(),
            seed: 1,
            clients: 1,
            value_size: 1,
            owner: (0, 0),
            history: History {
                entries: calls.collect(),
            },
            output: String::new(),
            end: None,
            last_ack: None,
            read_late: false,
            stacks: None,
        };
        let log = Log::of(Tree::new(0, 0, 0), records.collect(), marks.collect());
        (log, about)
    }

    #[test]
    fn a_recording_ends_at_the_last_ack_that_was_wanted() {
        let (log, mut about) = recorded();
        about.end_at(at(5, 50));
        let trace = Trace::new(log, about).expect("sound");
        assert_eq!(trace.log.records().len(), 5);
        assert_eq!(trace.log.marks().len(), 2);
        assert_eq!(trace.about.history.acked(), 2);
        // The third call was under way, the fourth had not been made.
        let calls = &trace.about.history.entries;
        assert_eq!(calls.len(), 3);
        assert!(calls[2].done.is_none());
    }

    #[test]
    fn stacks_end_with_the_recording_and_are_checked() {
        let made = |seq: u64| serde_json::json!({"seq": seq, "how": "called", "stack": 0});
        let stacks = |last: u64| {
            let stacks = serde_json::json!({
                "modules": [],
                "frames": [],
                "stacks": [{"call": "fsync"}],
                "operations": [made(2), made(last)],
            });
            serde_json::from_value(stacks).ok()
        };
        let (log, mut about) = recorded();
        about.stacks = stacks(8);
        about.end_at(at(5, 50));
        let trace = Trace::new(log, about).expect("sound");
        let call = |seq| trace.stack_of(seq).and_then(|stack| stack.call());
        assert_eq!((call(2), call(3), call(8)), (Some("fsync"), None, None));
        let (log, mut about) = recorded();
        about.stacks = stacks(10);
        let refused = Trace::new(log, about).err().expect("no such operation");
        assert!(refused.contains("stacks"), "{refused}");
    }

    #[test]
    fn without_an_end_everything_counts() {
        let (log, about) = recorded();
        let trace = Trace::new(log, about).expect("sound");
        assert_eq!(
            (trace.log.records().len(), trace.log.marks().len()),
            (10, 4)
        );
    }

    #[test]
    fn a_trace_out_of_order_is_refused() {
        let (log, about) = recorded();
        let mut late = about.clone();
        late.history.entries.swap(0, 3);
        let again = || {
            Log::of(
                Tree::new(0, 0, 0),
                log.records().to_vec(),
                log.marks().to_vec(),
            )
        };
        let why = Trace::new(again(), late).err();
        assert!(why.is_some_and(|why| why.contains("calls")));
        let mut early = about;
        early.history.entries[3].done = Some((at(1, 1), Outcome::Ok));
        let why = Trace::new(again(), early).err();
        assert!(why.is_some_and(|why| why.contains("before its call")));
        let late = Mark {
            seq: 11,
            ..log.marks()[3]
        };
        let (_, about) = recorded();
        let log = Log::of(Tree::new(0, 0, 0), log.records().to_vec(), vec![late]);
        let why = Trace::new(log, about).err();
        assert!(why.is_some_and(|why| why.contains("behind its last operation")));
    }
}
