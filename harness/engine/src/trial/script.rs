//! Targets that bring their own workload and check: which IDs were acknowledged, reading what the
//! workload prints into the history, and what a check's answer shows of the target.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use plugpull_driver::{Checked, Missing, Process, Target, WorkloadLine};
use plugpull_workloads::{
    Call, History, ID_REST, Observed, Op, Outcome, Recorder, Start, Txn, TxnId, Value, Write,
};

use super::host::SandboxHost;
use super::progress::{End, Progress, Reading};
use crate::outcome::HarnessFailed;

/// How long a line is waited for before it is asked whether there is still something to wait for.
const LOOK: Duration = Duration::from_millis(20);
/// The client that barriers stand under; no ID ever does.
const BARRIERS: u32 = u32::MAX;

/// The IDs that were acknowledged up to some moment, in the order of their acks.
#[derive(Clone, Debug, Default)]
pub struct Acked {
    /// Every one of the history; a view shows the first few.
    all: Arc<Vec<Ack>>,
    count: usize,
}

#[derive(Debug)]
struct Ack {
    /// When it was acknowledged, on the trace's clock.
    seq: u64,
    id: String,
    /// What a target that holds it whole holds.
    content: Vec<(String, String)>,
}

impl Acked {
    /// All that the target's workload saw acknowledged in this history; none where it has clients.
    pub fn of(history: &History, target: &dyn Target) -> Self {
        if target.scripted().is_none() {
            return Self::default();
        }
        let mut all: Vec<Ack> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for entry in &history.entries {
            let (Call::Txn(txn), Some((at, Outcome::Ok))) = (&entry.call, &entry.done) else {
                continue;
            };
            for op in &txn.ops {
                let Write::Put(value) = &op.write else {
                    continue;
                };
                let id = op.key.strip_suffix(ID_REST).unwrap_or(&op.key);
                let content = (op.key.clone(), value.text().into_owned());
                match known.get(id) {
                    // A later life may write an ID again.
                    Some(&index) => {
                        let ack = &mut all[index];
                        ack.content.retain(|(key, _)| *key != content.0);
                        ack.content.push(content);
                    }
                    None => {
                        known.insert(id.to_owned(), all.len());
                        all.push(Ack {
                            seq: at.seq,
                            id: id.to_owned(),
                            content: vec![content],
                        });
                    }
                }
            }
        }
        all.sort_by_key(|ack| ack.seq);
        Self {
            count: all.len(),
            all: Arc::new(all),
        }
    }

    /// Those of them that were acknowledged when the first `point` operations had happened.
    pub fn at(&self, point: u64) -> Self {
        Self {
            all: self.all.clone(),
            count: self.all.partition_point(|ack| ack.seq <= point),
        }
    }

    /// The same on the clock of a run with other syncs, where `at` says what became of a moment.
    pub(crate) fn moved(&self, at: impl Fn(u64) -> u64) -> Self {
        let moved = |ack: &Ack| Ack {
            seq: at(ack.seq),
            id: ack.id.clone(),
            content: ack.content.clone(),
        };
        Self {
            all: Arc::new(self.all.iter().map(moved).collect()),
            count: self.count,
        }
    }

    /// Names a trial: a content together with what is asked of it. Where nothing is ever
    /// acknowledged by a script the content's own digest.
    pub fn key(&self, digest: u128) -> u128 {
        // A multiplication by an odd number is reversible, so equal keys of one content have equal
        // counts.
        digest ^ (self.count as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    }

    /// Their IDs.
    pub fn ids(&self) -> Vec<String> {
        let acks = self.all[..self.count].iter();
        acks.map(|ack| ack.id.clone()).collect()
    }

    /// The IDs that are not whole in what a target holds.
    pub(super) fn not_whole(&self, state: &BTreeMap<String, String>) -> Vec<String> {
        let acks = self.all[..self.count].iter();
        acks.filter(|ack| !ack.content.iter().all(|(key, _)| state.contains_key(key)))
            .map(|ack| ack.id.clone())
            .collect()
    }

    /// What a target holds of them that lacks this.
    fn without(&self, missing: &Missing) -> BTreeMap<String, String> {
        self.all[..self.count]
            .iter()
            .filter(|ack| !missing.lost.contains_key(&ack.id))
            .flat_map(|ack| {
                let torn = missing.torn.contains_key(&ack.id);
                let content = ack.content.iter();
                content.filter(move |(key, _)| !(torn && *key != ack.id))
            })
            .cloned()
            .collect()
    }
}

/// Runs the check of a target that is up, and notes what it says. Returns all that it printed.
pub(crate) fn look(
    target: &dyn Target,
    host: &SandboxHost,
    acked: &Acked,
    observed: &mut Observed,
) -> Result<String, HarnessFailed> {
    let Some(script) = target.scripted() else {
        return Ok(String::new());
    };
    let answer = script.check_within(host, &acked.ids(), host.check_limit())?;
    match answer.checked {
        Checked::Opened(missing) => {
            observed.state = Some(Ok(acked.without(&missing)));
            observed.integrity = Some(if missing.corrupt.is_empty() {
                Ok(())
            } else {
                Err(missing.corrupt.join("; "))
            });
            observed.said = messages(&missing);
            observed.ids = true;
        }
        Checked::Refused(message) => observed.start = Start::Refused { message },
        Checked::Hung(waited) => observed.start = Start::Hung { waited },
    }
    Ok(answer.output)
}

/// The check's words by the keys that they are about.
fn messages(missing: &Missing) -> BTreeMap<String, String> {
    let lost = missing.lost.iter().map(|(id, why)| (id.clone(), why));
    let torn = (missing.torn.iter()).map(|(id, why)| (format!("{id}{ID_REST}"), why));
    lost.chain(torn)
        .filter(|(_, why)| !why.is_empty())
        .map(|(key, why)| (key, why.clone()))
        .collect()
}

/// How many acks came after so many operations, in this order; none where acks of several lines may
/// belong together, because several IDs were being written at a time.
pub(super) fn acks_by_moment(history: &History) -> Option<Vec<(u64, usize)>> {
    let mut moments = BTreeMap::new();
    for entry in &history.entries {
        let (Call::Txn(_), Some((at, Outcome::Ok))) = (&entry.call, &entry.done) else {
            continue;
        };
        if entry.client != 0 {
            return None;
        }
        *moments.entry(at.seq).or_insert(0) += 1;
    }
    Some(moments.into_iter().collect())
}

/// Puts what a workload prints into the history, line by line.
pub(super) struct Reader {
    pub(super) process: Box<dyn Process>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) progress: Arc<Progress>,
    pub(super) reading: Arc<Reading>,
    /// Numbers the transactions of a trial.
    pub(super) numbers: Arc<AtomicU64>,
}

/// Waits until what was printed so far is read.
type CatchUp = Arc<dyn Fn() + Send + Sync>;

/// Holds changes of the disk back until somebody reads what the workload prints: a quick one would have
/// done all its work by then, and its acks would count from its end.
#[derive(Default)]
struct Gate {
    /// None while it is closed.
    open: Mutex<Option<Option<CatchUp>>>,
    changed: Condvar,
}

/// Opens a gate when it goes, also by a panic: a change that is held back holds up whoever unmounts the disk.
#[derive(Default)]
pub(super) struct GateOpener {
    gate: Arc<Gate>,
    /// What each change does from then on, where it is possible.
    pub(super) catch_up: Option<CatchUp>,
}

impl GateOpener {
    /// What a change does first.
    pub(super) fn before_changes(&self) -> CatchUp {
        let gate = self.gate.clone();
        Arc::new(move || {
            let mut open = gate.open.lock();
            while open.is_none() {
                gate.changed.wait(&mut open);
            }
            let catch_up = open.clone().flatten();
            drop(open);
            if let Some(catch_up) = catch_up {
                catch_up();
            }
        })
    }
}

impl Drop for GateOpener {
    fn drop(&mut self) {
        *self.gate.open.lock() = Some(self.catch_up.take());
        self.gate.changed.notify_all();
    }
}

/// Transactions under way: their index in the history and the client that each stands for.
#[derive(Default)]
struct Open {
    by_id: HashMap<String, (usize, u32)>,
    /// The IDs that were acknowledged in this life.
    acked: HashSet<String>,
    /// By client, whether it has one under way.
    busy: Vec<bool>,
}

impl Open {
    /// What is wrong with an ack of an ID that was acknowledged before. Whether the first or the second
    /// write of it survived could not be known.
    fn acked_twice(&mut self, line: &WorkloadLine) -> Option<String> {
        let WorkloadLine::Ack(id) = line else {
            return None;
        };
        let again = !self.acked.insert(id.clone());
        again.then(|| format!("the workload acknowledged the ID {id} twice: an ID is used once"))
    }
}

impl Reader {
    /// Reads until the workload has ended, or `stop` is set.
    pub(super) fn run(mut self, stop: &AtomicBool) {
        let mut open = Open::default();
        let mut nonsense = None;
        let mut ended = false;
        while !stop.load(Ordering::Relaxed) {
            let wait = if ended { Duration::ZERO } else { LOOK };
            match self.process.stdout_line(Instant::now() + wait) {
                Ok(Some(line)) => match WorkloadLine::parse(&line) {
                    Ok(said) => match open.acked_twice(&said) {
                        Some(why) => {
                            nonsense = Some(why);
                            break;
                        }
                        None => self.note(said, &mut open),
                    },
                    Err(error) => {
                        nonsense = Some(error);
                        break;
                    }
                },
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    if ended {
                        break;
                    }
                    // Something that it left running may hold its standard output open.
                    ended = !matches!(self.process.wait(Instant::now()), Ok(None));
                }
                Err(_) => break,
            }
        }
        let (buffered, read_late) = (self.process.buffered(), self.process.read_late());
        self.process.ignore_lines();
        let code = self.process.wait(Instant::now() + LOOK).ok().flatten();
        self.reading.finish(End {
            code,
            nonsense,
            buffered,
            read_late,
            output: self.process.output(),
        });
        self.progress.wake();
    }

    fn note(&self, line: WorkloadLine, open: &mut Open) {
        let (id, outcome) = match line {
            WorkloadLine::Nothing => return,
            WorkloadLine::Barrier => {
                // Reached when it is said, so it covers all that was acknowledged before.
                let index = self.recorder.invoke(BARRIERS, Call::Barrier);
                if self.recorder.complete(index, Outcome::Ok) == Outcome::Ok {
                    self.progress.note_barrier();
                }
                return;
            }
            WorkloadLine::Try(id) => {
                if !open.by_id.contains_key(&id) {
                    self.invoke(id, open);
                }
                return;
            }
            WorkloadLine::Ack(id) => (id, Outcome::Ok),
            WorkloadLine::Fail(id) => (id, Outcome::Fail("the workload said so".into())),
            WorkloadLine::Info(id) => (id, Outcome::Info("the workload said so".into())),
        };
        let (index, client) = match open.by_id.remove(&id) {
            Some(known) => known,
            None => {
                self.invoke(id.clone(), open);
                match open.by_id.remove(&id) {
                    Some(known) => known,
                    None => return,
                }
            }
        };
        open.busy[client as usize] = false;
        let counted = self.recorder.complete(index, outcome);
        self.progress.note(&counted);
    }

    /// Notes that an ID is being written, by the first client that has nothing else under way.
    fn invoke(&self, id: String, open: &mut Open) {
        let free = open.busy.iter().position(|busy| !busy);
        let client = free.unwrap_or_else(|| {
            open.busy.push(false);
            open.busy.len() - 1
        });
        open.busy[client] = true;
        let client = u32::try_from(client).unwrap_or(BARRIERS - 1);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let call = Call::Txn(Arc::new(txn(number, client, &id)));
        let index = self.recorder.invoke(client, call);
        open.by_id.insert(id, (index, client));
    }
}

/// The transaction that writes an ID.
fn txn(number: TxnId, client: u32, id: &str) -> Txn {
    let op = |op: usize, key: String| Op {
        key,
        write: Write::Put(
            Value {
                txn: number,
                op,
                payload: 0,
            }
            .into(),
        ),
    };
    Txn {
        id: number,
        client,
        ops: vec![op(0, id.to_owned()), op(1, format!("{id}{ID_REST}"))],
        abort: false,
    }
}

#[cfg(test)]
mod tests {
    use plugpull_workloads::{Entry, Stamp};

    use super::*;

    fn acked(ids: &[(&str, u64)]) -> Acked {
        let all = ids.iter().enumerate().map(|(number, (id, seq))| Ack {
            seq: *seq,
            id: (*id).to_owned(),
            content: txn(number as u64, 0, id)
                .ops
                .into_iter()
                .filter_map(|op| match op.write {
                    Write::Put(value) => Some((op.key, value.into_text())),
                    Write::Delete => None,
                })
                .collect(),
        });
        let all: Vec<Ack> = all.collect();
        Acked {
            count: all.len(),
            all: Arc::new(all),
        }
    }

    #[test]
    fn a_point_knows_the_acks_before_it() {
        let acked = acked(&[("a", 3), ("b", 3), ("c", 9)]);
        for (point, ids) in [(2, 0), (3, 2), (8, 2), (9, 3)] {
            assert_eq!(acked.at(point).ids().len(), ids, "{point}");
        }
        assert_ne!(acked.at(3).key(7), acked.at(9).key(7));
        assert_eq!(acked.at(3).key(7), acked.at(8).key(7));
        assert_eq!(acked.at(0).key(7), 7);
    }

    #[test]
    fn what_is_lost_is_gone_and_what_is_torn_is_half_there() {
        let acked = acked(&[("a", 1), ("b", 2), ("c", 3)]);
        let missing = Missing {
            lost: [("a".to_owned(), "no row".to_owned())].into(),
            torn: [("b".to_owned(), String::new())].into(),
            corrupt: Vec::new(),
        };
        let state = acked.without(&missing);
        let keys: Vec<&str> = state.keys().map(String::as_str).collect();
        assert_eq!(keys, ["b", "c", "c#rest"]);
        assert_eq!(messages(&missing), [("a".into(), "no row".into())].into());
    }

    #[test]
    fn what_is_torn_or_gone_is_not_whole() {
        let acked = acked(&[("a", 1), ("b", 2), ("c", 3)]);
        let missing = Missing {
            lost: [("a".to_owned(), String::new())].into(),
            torn: [("b".to_owned(), String::new())].into(),
            corrupt: Vec::new(),
        };
        assert_eq!(acked.not_whole(&acked.without(&missing)), ["a", "b"]);
        assert!(
            acked
                .not_whole(&acked.without(&Missing::default()))
                .is_empty()
        );
    }

    #[test]
    fn an_id_is_acknowledged_once() {
        let mut open = Open::default();
        let ack = |id: &str| WorkloadLine::Ack(id.to_owned());
        assert!(open.acked_twice(&ack("1")).is_none());
        assert!(open.acked_twice(&WorkloadLine::Try("1".into())).is_none());
        assert!(open.acked_twice(&ack("2")).is_none());
        let why = open.acked_twice(&ack("1")).expect("a second ack");
        assert!(why.contains("the ID 1 twice"), "{why}");
    }

    #[test]
    fn a_gate_is_open_when_starting_the_workload_panicked() {
        let opener = GateOpener::default();
        let gate = opener.gate.clone();
        let before_changes = opener.before_changes();
        assert!(gate.open.lock().is_none(), "closed until then");
        let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _opener = opener;
            panic!("no workload");
        }));
        assert!(started.is_err());
        assert!(gate.open.lock().is_some());
        before_changes();
    }

    #[test]
    fn targets_with_clients_have_no_ids() {
        let entry = Entry {
            client: 0,
            call: Call::Txn(Arc::new(txn(1, 0, "a"))),
            invoked: Stamp::default(),
            done: Some((Stamp::default(), Outcome::Ok)),
        };
        let history = History {
            entries: vec![entry],
        };
        let settings = BTreeMap::from([("cmd".to_owned(), "sh".to_owned())]);
        let target = plugpull_driver::DriverTarget::user(&settings).expect("a shell");
        assert!(Acked::of(&history, &target).ids().is_empty());
    }
}
