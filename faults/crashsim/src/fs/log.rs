//! The log: every mutation and every sync of a crash filesystem, in the order they happened.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::node::{Attrs, Caller, Ino, NewNode, ROOT, Times};
use super::tree::Tree;
use super::write_data::WriteData;

/// A change of the filesystem, or a sync. All but writes, whose bytes lie elsewhere, are written
/// down by serde.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    /// A new inode under a new name.
    Create {
        /// The directory.
        parent: Ino,
        /// The name.
        name: OsString,
        /// The new inode.
        ino: Ino,
        /// What it is.
        node: NewNode,
        /// Its type and permission bits.
        mode: u32,
        /// Its owner and birth.
        owner: Caller,
    },
    /// One more name for a file.
    Link {
        /// The file.
        ino: Ino,
        /// The directory of the new name.
        parent: Ino,
        /// The new name.
        name: OsString,
    },
    /// A name removed, of a file or (rmdir) of a directory.
    Unlink {
        /// The directory.
        parent: Ino,
        /// The name.
        name: OsString,
        /// What it named.
        ino: Ino,
        /// True for rmdir.
        dir: bool,
    },
    /// A name moved, over whatever had the new name.
    Rename {
        /// Directory and name before.
        from: (Ino, OsString),
        /// Directory and name after.
        to: (Ino, OsString),
        /// What moved.
        ino: Ino,
        /// What had the name before.
        replaced: Option<Ino>,
        /// True when the two were swapped.
        exchange: bool,
    },
    /// Length set.
    Truncate {
        /// The file.
        ino: Ino,
        /// The size before.
        old_size: u64,
        /// The size after.
        size: u64,
    },
    /// Space taken by fallocate.
    Allocate {
        /// The file.
        ino: Ino,
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
        /// The size before.
        old_size: u64,
        /// The size after.
        size: u64,
    },
    /// A range made zero, its space given back (`punch`) or not.
    Zero {
        /// The file.
        ino: Ino,
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
        /// True when the space was given back.
        punch: bool,
        /// The size before.
        old_size: u64,
        /// The size after.
        size: u64,
    },
    /// Attributes changed.
    SetAttrs {
        /// The inode.
        ino: Ino,
        /// What changed.
        attrs: Attrs,
    },
    /// fsync(2), fdatasync(2) or fsync on a directory, completed.
    Sync {
        /// File or directory.
        ino: Ino,
        /// True for fdatasync.
        data_only: bool,
        /// True for a directory.
        dir: bool,
    },
    /// A sync that failed with EIO and whose un-synced data the kernel gave up: from here on no
    /// sync of this file covers what was written before.
    SyncFailed {
        /// The file.
        ino: Ino,
    },
    /// sync(2) or syncfs(2), completed: everything that came before it is durable.
    SyncAll {
        /// True for sync(2).
        machine: bool,
    },
    /// One that failed, as [`Op::SyncFailed`] for every file.
    SyncAllFailed,
    /// The write before it is a part of one call of write(2), which goes on: the kernel sends long
    /// ones in pieces.
    CallGoesOn {
        /// The file.
        ino: Ino,
        /// How many bytes of the call are written so far.
        done: u64,
        /// How many bytes the call was given.
        of: u64,
    },
    /// The kernel has written back what was stored in shared mappings: here its page cache held
    /// nothing that the log has not.
    CacheSettled,
    /// An extended attribute set, or removed.
    SetXattr {
        /// The inode.
        ino: Ino,
        /// Its full name.
        name: OsString,
        /// Its value from now on; none when it was removed.
        value: Option<Vec<u8>>,
    },
    /// Times set to what the clock showed.
    Touch {
        /// The inode.
        ino: Ino,
        /// The times.
        times: Times,
    },
    /// Bytes written. The last variant, because serde numbers those behind a skipped one
    /// differently when it reads them.
    #[serde(skip)]
    Write {
        /// The file.
        ino: Ino,
        /// The bytes.
        data: WriteData,
        /// The size before.
        old_size: u64,
    },
    /// From here on the page cache may hold what was stored in shared mappings and the log has not: an
    /// ack was noted, and what was stored before it may not be written back yet.
    CacheUnsettled,
}

impl Op {
    /// The inode that it is about (of a rename, what moved).
    pub fn ino(&self) -> Ino {
        match self {
            Op::Create { ino, .. }
            | Op::Link { ino, .. }
            | Op::Unlink { ino, .. }
            | Op::Rename { ino, .. }
            | Op::Write { ino, .. }
            | Op::Truncate { ino, .. }
            | Op::Allocate { ino, .. }
            | Op::Zero { ino, .. }
            | Op::SetAttrs { ino, .. }
            | Op::SetXattr { ino, .. }
            | Op::CallGoesOn { ino, .. }
            | Op::Touch { ino, .. }
            | Op::Sync { ino, .. }
            | Op::SyncFailed { ino } => *ino,
            Op::SyncAll { .. } | Op::SyncAllFailed | Op::CacheSettled | Op::CacheUnsettled => ROOT,
        }
    }

    /// True for what only notes something about the operations beside it.
    pub fn is_note(&self) -> bool {
        matches!(
            self,
            Op::CallGoesOn { .. } | Op::CacheSettled | Op::CacheUnsettled
        )
    }

    /// True for a sync that succeeded, of a file, a directory or the whole filesystem.
    pub fn is_sync(&self) -> bool {
        matches!(self, Op::Sync { .. } | Op::SyncAll { .. })
    }

    /// True for what changes the disk, but for times alone.
    pub fn changes(&self) -> bool {
        let failed = matches!(self, Op::SyncFailed { .. } | Op::SyncAllFailed);
        !self.is_sync() && !failed && !self.is_note() && !matches!(self, Op::Touch { .. })
    }

    /// The operation's name, as strace would show the call.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Create {
                node: NewNode::Dir, ..
            } => "mkdir",
            Op::Create {
                node: NewNode::Symlink(_),
                ..
            } => "symlink",
            Op::Create {
                node: NewNode::Special { .. },
                ..
            } => "mknod",
            Op::Create { .. } => "create",
            Op::Link { .. } => "link",
            Op::Unlink { dir: true, .. } => "rmdir",
            Op::Unlink { .. } => "unlink",
            Op::Rename { .. } => "rename",
            Op::Write { .. } => "write",
            Op::Truncate { .. } => "truncate",
            Op::Allocate { .. } => "fallocate",
            Op::Zero { .. } => "fallocate(zero)",
            Op::SetAttrs { attrs, .. } => attrs.call(),
            Op::SetXattr { value: Some(_), .. } => "setxattr",
            Op::SetXattr { .. } => "removexattr",
            Op::Touch { .. } => "utimens(now)",
            Op::Sync { dir: true, .. } => "fsync(dir)",
            Op::Sync {
                data_only: true, ..
            } => "fdatasync",
            Op::Sync { .. } => "fsync",
            Op::SyncFailed { .. } => "fsync(failed)",
            Op::SyncAll { machine: true } => "sync",
            Op::SyncAll { .. } => "syncfs",
            Op::SyncAllFailed => "syncfs(failed)",
            Op::CacheSettled => "(mappings seen)",
            Op::CacheUnsettled => "(mappings unseen)",
            Op::CallGoesOn { .. } => "(write goes on)",
        }
    }
}

/// One entry of the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its place on the trace's clock, from 0, without gaps.
    pub seq: u64,
    /// Nanoseconds since the log began.
    pub nanos: u64,
    /// The calling process, as its own namespace numbers it; 0 for the kernel itself
    /// (write-back of a shared mapping).
    pub pid: u32,
    /// A path of the inode at that time, for people.
    pub path: Arc<str>,
    /// What happened.
    pub op: Op,
}

impl Record {
    /// The path, for people: the directory that all paths begin at has none.
    pub fn place(&self) -> &str {
        match &*self.path {
            "" => "the data directory",
            path => path,
        }
    }
}

/// A client's ack, on the trace's clock: it had been received when the operation `seq` had not yet
/// happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number that the next operation got.
    pub seq: u64,
    /// Nanoseconds since the log began.
    pub nanos: u64,
    /// What was acknowledged, as the client names it.
    pub id: u64,
}

/// What is known of what a process leaves that dies at a point of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillPoint {
    /// All that the log has up to there.
    Known,
    /// The same, if the kernel ended a call of write(2) early. It looks for a signal that kills
    /// before each piece of the page cache (`generic_perform_write` in mm/filemap.c).
    InCall {
        /// How many bytes of the call are written.
        done: u64,
        /// How many it was given.
        of: u64,
    },
    /// Something that the log does not have.
    Unknown,
}

/// Takes what happens as it happens, for a log that keeps nothing itself.
pub trait Sink: Send + Sync {
    /// The next record. It may wait, and the operation with it.
    fn record(&mut self, record: Record);
    /// An ack.
    fn mark(&mut self, mark: Mark);
}

/// Hears of each record before anything else is done, while whoever asked for it waits.
pub trait Witness: Send + Sync {
    /// It happened just now.
    fn recorded(&self, record: &Record);
}

/// What becomes of a log that has grown to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLimit {
    /// Its older half becomes part of the base. For a log of which only the end matters.
    Fold(u64),
    /// It keeps no further record and is incomplete from then on ([`Log::is_complete`]). For a
    /// recording, whose crash points all matter.
    Stop(u64),
}

impl LogLimit {
    /// The most bytes of records that are kept.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Fold(bytes) | Self::Stop(bytes) => bytes,
        }
    }
}

/// The log of one crash filesystem: the tree it began with, and what happened since.
pub struct Log {
    base: Tree,
    records: Vec<Record>,
    marks: Vec<Mark>,
    /// The number of the first record kept.
    first: u64,
    began: Instant,
    bytes: u64,
    limit: LogLimit,
    /// Records that were not kept, because the log had reached its limit.
    dropped: u64,
    /// Where records and marks go instead of being kept.
    sink: Option<Box<dyn Sink>>,
    witness: Option<Arc<dyn Witness>>,
}

impl Log {
    /// An empty log over `base`. What [`LogLimit::Fold`] makes part of the base counts as written
    /// back, as a kernel does with old dirty pages (`vm.dirty_expire_centisecs`, 30 s by default).
    pub fn new(mut base: Tree, began: Instant, first: u64, limit: LogLimit) -> Self {
        // What has no name now never has one again, in no crash state either.
        base.untrack();
        base.raw_drop_orphans();
        base.fold();
        Self {
            base,
            records: Vec::new(),
            marks: Vec::new(),
            first,
            began,
            bytes: 0,
            limit,
            dropped: 0,
            sink: None,
            witness: None,
        }
    }

    /// A log that was written down: what had happened on `base`, numbered from 0.
    ///
    /// # Panics
    /// When the numbers of the records are not 0, 1, 2 ..., or the acks are not in their order.
    pub fn of(base: Tree, records: Vec<Record>, marks: Vec<Mark>) -> Self {
        let numbered = (0..).zip(&records).all(|(seq, record)| record.seq == seq);
        assert!(numbered, "a log that is not numbered from 0 without gaps");
        assert!(
            marks.is_sorted_by_key(|mark| mark.seq),
            "a log whose acks are not in order"
        );
        Self {
            bytes: records.iter().map(|record| cost(&record.op)).sum(),
            records,
            marks,
            ..Self::new(base, Instant::now(), 0, LogLimit::Stop(u64::MAX))
        }
    }

    /// From here on everything goes to `sink`, and nothing is kept.
    pub fn stream_to(&mut self, sink: Box<dyn Sink>) {
        self.sink = Some(sink);
    }

    /// From here on `witness` hears of every record first.
    pub fn witness(&mut self, witness: Arc<dyn Witness>) {
        self.witness = Some(witness);
    }

    /// Appends what just happened.
    pub fn push(&mut self, pid: u32, path: Arc<str>, op: Op) {
        let record = Record {
            seq: self.next_seq(),
            nanos: self.nanos(),
            pid,
            path,
            op,
        };
        if let Some(witness) = &self.witness {
            witness.recorded(&record);
        }
        if let Some(sink) = &mut self.sink {
            sink.record(record);
            self.first += 1;
            return;
        }
        let bytes = self.bytes + cost(&record.op);
        match self.limit {
            LogLimit::Stop(limit) if self.dropped > 0 || bytes > limit => self.dropped += 1,
            LogLimit::Fold(limit) if bytes > limit => {
                self.keep(record);
                self.fold(self.records.len() / 2);
            }
            _ => self.keep(record),
        }
    }

    fn keep(&mut self, record: Record) {
        self.bytes += cost(&record.op);
        self.records.push(record);
    }

    /// False when it reached its limit and later records were dropped: the end of such a log says
    /// nothing about the disk's end.
    pub fn is_complete(&self) -> bool {
        self.dropped == 0
    }

    /// Cuts the log off at the ack of this number, counted from 1: what happened after it had been
    /// received goes, and later acks go too. Returns how many records went; none when there are
    /// fewer acks.
    ///
    /// The log is then complete, whatever its limit dropped behind that ack.
    pub fn cut_at_mark(&mut self, number: usize) -> Option<usize> {
        let mark = *self.marks.get(number.checked_sub(1)?)?;
        let keep = usize::try_from(mark.seq.checked_sub(self.first)?).ok()?;
        if keep > self.records.len() {
            return None;
        }
        let gone = self.records.split_off(keep);
        self.bytes -= gone.iter().map(|record| cost(&record.op)).sum::<u64>();
        self.marks.truncate(number);
        let gone = gone.len() + usize::try_from(self.dropped).unwrap_or(usize::MAX);
        self.dropped = 0;
        Some(gone)
    }

    /// Notes that a client has received an ack now.
    pub fn mark(&mut self, id: u64) -> Mark {
        let mark = Mark {
            seq: self.next_seq(),
            nanos: self.nanos(),
            id,
        };
        match &mut self.sink {
            Some(sink) => sink.mark(mark),
            None => self.marks.push(mark),
        }
        mark
    }

    /// The acks, oldest first.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// How many acks had been received when the record of index `point` had not happened yet.
    pub fn acks_before(&self, point: usize) -> usize {
        let seq = self.first + point as u64;
        self.marks.partition_point(|mark| mark.seq <= seq)
    }

    /// What a process that dies leaves, one for each point.
    ///
    /// Where a file is mapped, shared and writable, stores there are in no record until the kernel
    /// writes them back, at any time and page by page. So then it is known where nothing was mapped
    /// yet, and where the kernel had just been asked to ([`Op::CacheSettled`]).
    pub fn kill_points(&self) -> Vec<KillPoint> {
        let written_back =
            |record: &Record| record.pid == 0 && matches!(record.op, Op::Write { .. });
        let settled = |record: &Record| matches!(record.op, Op::CacheSettled);
        let mut records = self.records.iter();
        let unmapped = records
            .position(|record| settled(record) || written_back(record))
            .map_or(usize::MAX, |first| match settled(&self.records[first]) {
                // It was asked for when the first file was mapped.
                true => first,
                // Nobody knows since when.
                false => 0,
            });
        let known = |point: usize| point <= unmapped || settled(&self.records[point - 1]);
        let mut points: Vec<KillPoint> = (0..=self.records.len())
            .map(|point| match known(point) {
                true => KillPoint::Known,
                false => KillPoint::Unknown,
            })
            .collect();
        for (at, record) in self.records.iter().enumerate() {
            let Op::CallGoesOn { done, of, .. } = record.op else {
                continue;
            };
            // Until the same thread does something else, the next piece most likely.
            let later = self.records[at + 1..].iter();
            let next = later.take_while(|other| other.pid != record.pid).count();
            for point in &mut points[at..=at + 1 + next] {
                if *point == KillPoint::Known {
                    *point = KillPoint::InCall { done, of };
                }
            }
        }
        points
    }

    /// The number that the next record will get.
    pub fn next_seq(&self) -> u64 {
        self.first + self.records.len() as u64 + self.dropped
    }

    /// Nanoseconds since the log began.
    pub fn nanos(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// How much it keeps at most.
    pub fn limit(&self) -> LogLimit {
        self.limit
    }

    /// When the log began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The filesystem before the first record kept.
    pub fn base(&self) -> &Tree {
        &self.base
    }

    /// The records kept, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The number of the first record kept.
    pub fn first_seq(&self) -> u64 {
        self.first
    }

    /// # Panics
    /// When the records are not numbered from [`Log::first_seq`] on. Looks at the ends alone.
    pub(crate) fn assert_numbered(&self) {
        let ends = [self.records.first(), self.records.last()];
        let numbers = ends.map(|record| record.map(|record| record.seq));
        let count = self.records.len() as u64;
        let wanted = [self.first, self.first + count.saturating_sub(1)];
        assert!(
            count == 0 || numbers == wanted.map(Some),
            "records {numbers:?} where {wanted:?} should be"
        );
    }

    /// Makes the first `count` records part of the base: all that they wrote counts as durable.
    ///
    /// Files whose last name is removed among them are dropped: they are in no crash state.
    pub fn fold(&mut self, count: usize) {
        let count = count.min(self.records.len());
        for record in self.records.drain(..count) {
            self.bytes -= cost(&record.op);
            apply(&mut self.base, &record);
        }
        self.first += count as u64;
    }
}

/// Applies a record whole to a tree, as if it had happened there, but for the links of directories
/// and the times: [`Tree::settle`] counts the links, and crash states keep no times of writes.
pub fn apply(tree: &mut Tree, record: &Record) {
    let resize = |tree: &mut Tree, ino, size, old_size| {
        if size != old_size {
            tree.raw_content(ino, |content| content.truncate(size));
        }
    };
    match &record.op {
        Op::Create {
            parent,
            name,
            ino,
            node,
            mode,
            owner,
        } => {
            tree.raw_node(*ino, node, *mode, *owner, record.path.clone());
            tree.raw_entry(*parent, name, Some(*ino));
        }
        Op::Link { ino, parent, name } => tree.raw_entry(*parent, name, Some(*ino)),
        Op::Unlink {
            parent, name, ino, ..
        } => {
            tree.raw_entry(*parent, name, None);
            drop_nameless(tree, *ino);
        }
        Op::Rename {
            from,
            to,
            ino,
            replaced,
            exchange,
        } => {
            tree.raw_entry(from.0, &from.1, replaced.filter(|_| *exchange));
            tree.raw_entry(to.0, &to.1, Some(*ino));
            if let Some(replaced) = replaced.filter(|_| !exchange) {
                drop_nameless(tree, replaced);
            }
        }
        Op::Write { ino, data, .. } => {
            tree.raw_content(*ino, |content: &mut Content| {
                content.apply(data);
                content.set_size_only(content.size().max(data.end()));
            });
        }
        Op::Truncate { ino, size, .. } => {
            tree.raw_content(*ino, |content| content.truncate(*size));
        }
        Op::Allocate {
            ino,
            offset,
            len,
            size,
            old_size,
        } => {
            tree.raw_content(*ino, |content| content.allocate(*offset, *len));
            resize(tree, *ino, *size, *old_size);
        }
        Op::Zero {
            ino,
            offset,
            len,
            punch,
            size,
            old_size,
        } => {
            tree.raw_content(*ino, |content| content.zero(*offset, *len, *punch));
            resize(tree, *ino, *size, *old_size);
        }
        Op::SetAttrs { ino, attrs } => {
            tree.raw_attrs(*ino, *attrs, attrs.ctime.unwrap_or_default());
        }
        Op::SetXattr { ino, name, value } => tree.raw_xattr(*ino, name, value.as_deref()),
        Op::Touch { ino, times } => tree.raw_touch(*ino, *times),
        Op::Sync { .. }
        | Op::SyncFailed { .. }
        | Op::SyncAll { .. }
        | Op::SyncAllFailed
        | Op::CallGoesOn { .. }
        | Op::CacheSettled
        | Op::CacheUnsettled => {}
    }
}

/// After a name was taken away: a file with others stays.
fn drop_nameless(tree: &mut Tree, ino: Ino) {
    tree.raw_drop(ino);
}

/// About how much memory a record takes, in bytes.
fn cost(op: &Op) -> u64 {
    let data = match op {
        Op::Write { data, .. } => data.len(),
        Op::SetXattr { value, .. } => value.as_ref().map_or(0, |value| value.len() as u64),
        _ => 0,
    };
    size_of::<Record>() as u64 + data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(limit: LogLimit) -> Log {
        let mut log = Log::new(Tree::new(0, 0, 0), Instant::now(), 0, limit);
        for n in 0..10 {
            log.push(1, "f".into(), Op::SyncFailed { ino: 1 });
            if n % 3 == 2 {
                log.mark(n);
            }
        }
        log
    }

    #[test]
    fn is_cut_where_the_ack_had_been_received() {
        let mut cut = log(LogLimit::Fold(u64::MAX));
        assert_eq!(cut.cut_at_mark(4), None);
        assert_eq!(cut.cut_at_mark(0), None);
        assert_eq!(cut.cut_at_mark(2), Some(4));
        assert_eq!((cut.records().len(), cut.next_seq()), (6, 6));
        assert_eq!(cut.marks().last().map(|mark| mark.id), Some(5));
    }

    fn kill_points(pids_and_ops: &[(u32, Op)]) -> Vec<KillPoint> {
        let mut log = Log::new(
            Tree::new(0, 0, 0),
            Instant::now(),
            0,
            LogLimit::Stop(1 << 20),
        );
        for (pid, op) in pids_and_ops {
            log.push(*pid, "f".into(), op.clone());
        }
        log.kill_points()
    }

    #[test]
    fn a_process_with_mappings_is_killed_where_they_are_known() {
        let write = || Op::Write {
            ino: 2,
            data: Content::default().write(0, b"x"),
            old_size: 0,
        };
        let (own, back) = ((7, write()), (0, write()));
        let settled = (0, Op::CacheSettled);
        let named = |known: &[bool]| -> Vec<KillPoint> {
            let name = |known: &bool| match known {
                true => KillPoint::Known,
                false => KillPoint::Unknown,
            };
            known.iter().map(name).collect()
        };
        assert_eq!(kill_points(&[own.clone(), own.clone()]), named(&[true; 3]));
        // Mapped after the first write; then a write back in two pieces.
        let run = [&own, &settled, &own, &back, &back, &settled, &own].map(Clone::clone);
        let known = [true, true, true, false, false, false, true, false];
        assert_eq!(kill_points(&run), named(&known));
        // An ack that did not wait for what was stored before it.
        let noted = (0, Op::CacheUnsettled);
        let run = [&settled, &noted, &back, &settled].map(Clone::clone);
        assert_eq!(kill_points(&run), named(&[true, true, false, false, true]));
        // A mapping that nobody heard of.
        let run = [&own, &back, &settled].map(Clone::clone);
        assert_eq!(kill_points(&run), named(&[true, false, false, true]));
    }

    #[test]
    fn a_call_in_pieces_is_one_and_may_be_cut_short() {
        let write = |pid| {
            let data = Content::default().write(0, b"x");
            let op = Op::Write {
                ino: 2,
                data,
                old_size: 0,
            };
            (pid, op)
        };
        let goes_on = |done| {
            (
                7,
                Op::CallGoesOn {
                    ino: 2,
                    done,
                    of: 9,
                },
            )
        };
        let run = [
            write(7),
            goes_on(4),
            write(8),
            write(7),
            goes_on(8),
            write(7),
            write(7),
        ];
        let within = |done| KillPoint::InCall { done, of: 9 };
        let known = KillPoint::Known;
        let points = [
            known,
            within(4),
            within(4),
            within(4),
            within(8),
            within(8),
            known,
            known,
        ];
        assert_eq!(kill_points(&run), points);
    }

    #[test]
    fn at_its_limit_it_folds_or_stops() {
        let room = 5 * size_of::<Record>() as u64;
        let folded = log(LogLimit::Fold(room));
        assert!(folded.first_seq() > 0 && folded.is_complete());
        let mut stopped = log(LogLimit::Stop(room));
        assert_eq!((stopped.first_seq(), stopped.records().len()), (0, 5));
        assert!(!stopped.is_complete());
        assert_eq!(stopped.next_seq(), 10);
        assert_eq!(stopped.cut_at_mark(2), None, "what it needs was dropped");
        assert_eq!(stopped.cut_at_mark(1), Some(7));
        assert!(stopped.is_complete());
    }
    /// What no caller may do, each shown to be noticed.
    #[test]
    #[should_panic(expected = "not numbered from 0 without gaps")]
    fn a_gap_in_the_numbers_is_noticed() {
        let log = log(LogLimit::Fold(u64::MAX));
        let records = log.records()[1..].to_vec();
        Log::of(Tree::new(0, 0, 0), records, Vec::new());
    }

    #[test]
    #[should_panic(expected = "whose acks are not in order")]
    fn acks_out_of_order_are_noticed() {
        let log = log(LogLimit::Fold(u64::MAX));
        let marks = log.marks().iter().rev().copied().collect();
        Log::of(Tree::new(0, 0, 0), log.records().to_vec(), marks);
    }

    #[test]
    #[should_panic(expected = "should be")]
    fn a_log_that_lost_its_beginning_is_noticed() {
        let mut log = log(LogLimit::Fold(u64::MAX));
        log.records.remove(0);
        log.assert_numbered();
    }

    #[test]
    fn pages_that_are_counted_wrongly_are_noticed() {
        let mut tree = Tree::new(0, 0, 0);
        assert_eq!(tree.flaw(), None);
        tree.pages += 1;
        let flaw = tree.flaw().unwrap();
        assert!(flaw.contains("pages are counted"), "{flaw}");
    }
}
