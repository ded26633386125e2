//! What each record means for the disk, and what the syncs have made durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;

use super::step::{Fate, Model, Step, StepKind, SyncPoint};
use crate::crashfs::{Ino, Op, PAGE, Record, WriteData};

/// The steps of a log with their fates at its end.
pub struct Plan<'a> {
    /// In the order in which they happened.
    pub steps: Vec<Step<'a>>,
}

impl<'a> Plan<'a> {
    /// Judges a log under a model.
    pub fn new(model: &dyn Model, records: &'a [Record]) -> Self {
        let mut judge = Judge {
            ordered: model.orders_metadata(),
            steps: Vec::with_capacity(records.len()),
            open: BTreeMap::new(),
            created: HashMap::new(),
            named: HashMap::new(),
            entries: HashMap::new(),
            last_cut: HashMap::new(),
            abandoned: HashMap::new(),
        };
        for (index, record) in records.iter().enumerate() {
            match &record.op {
                Op::Sync {
                    ino,
                    data_only,
                    dir,
                } => {
                    judge.sync(model, records, *ino, *data_only, *dir);
                }
                Op::SyncFailed { ino } => judge.abandon(records, *ino),
                _ => judge.expand(index, record),
            }
        }
        Plan { steps: judge.steps }
    }
}

/// The pages that a write touches.
fn pages(data: &WriteData) -> std::ops::Range<u64> {
    data.offset() / PAGE as u64..data.end().div_ceil(PAGE as u64)
}

/// The bytes of a step that is a write.
pub(super) fn write_of<'r>(records: &'r [Record], step: &Step<'_>) -> Option<(Ino, &'r WriteData)> {
    match (&step.kind, &records[step.record].op) {
        (StepKind::Data { ino }, Op::Write { data, .. }) => Some((*ino, data)),
        _ => None,
    }
}

/// A plan while the log is read. No work here grows with the length of the log before.
struct Judge<'a> {
    /// True when the model keeps metadata in order.
    ordered: bool,
    steps: Vec<Step<'a>>,
    /// The steps that no sync covers yet, by home.
    open: BTreeMap<Ino, Vec<usize>>,
    /// The step that gave a new inode its first name.
    created: HashMap<Ino, usize>,
    /// The last step that gave an inode a name.
    named: HashMap<Ino, usize>,
    /// The last step about a name of a folder.
    entries: HashMap<(Ino, &'a OsStr), usize>,
    /// The last step that took bytes away from a file.
    last_cut: HashMap<Ino, usize>,
    /// Writes that were given up, by file, with those of their pages that no later write, itself
    /// synced, has brought to the disk.
    abandoned: HashMap<Ino, Vec<(usize, HashSet<u64>)>>,
}

impl<'a> Judge<'a> {
    fn pending(&self, step: usize) -> bool {
        self.steps[step].fate == Fate::Pending
    }

    fn sync(
        &mut self,
        model: &dyn Model,
        records: &[Record],
        ino: Ino,
        data_only: bool,
        dir: bool,
    ) {
        let resized = self.open.get(&ino).is_some_and(|open| {
            open.iter().any(|&step| {
                let kind = &self.steps[step].kind;
                matches!(kind, StepKind::Size { .. } | StepKind::Space { .. })
            })
        });
        let needs_metadata = resized
            || self
                .created
                .get(&ino)
                .is_some_and(|&step| self.pending(step));
        let sync = SyncPoint {
            ino,
            data_only,
            dir,
            needs_metadata,
        };
        let homes: Vec<Ino> = if self.ordered {
            self.open.keys().copied().collect()
        } else {
            vec![ino]
        };
        for home in homes {
            let Some(open) = self.open.remove(&home) else {
                continue;
            };
            let mut still_open = Vec::new();
            for step in open {
                let one = &self.steps[step];
                let asked = home == ino || one.kind.is_metadata();
                if one.fate != Fate::Pending {
                    continue;
                }
                if asked && model.covers(&sync, one) {
                    self.make_durable(records, step);
                } else {
                    still_open.push(step);
                }
            }
            if !still_open.is_empty() {
                self.open.insert(home, still_open);
            }
        }
    }

    /// Makes a step durable with all that cannot be apart from it.
    fn make_durable(&mut self, records: &[Record], step: usize) {
        let mut next = vec![step];
        while let Some(step) = next.pop() {
            if !self.pending(step) {
                continue;
            }
            self.steps[step].fate = Fate::Durable;
            let one = &self.steps[step];
            next.extend(&one.needs);
            if let StepKind::Name { .. } = one.kind {
                // The two names of an exchange are neighbours.
                let near = [step.checked_sub(1), Some(step + 1)];
                next.extend(near.into_iter().flatten().filter(|&other| {
                    self.steps.get(other).is_some_and(|other| {
                        other.group == one.group && matches!(other.kind, StepKind::Name { .. })
                    })
                }));
            }
            if let Some((ino, data)) = write_of(records, one) {
                self.brings_along(ino, data);
            }
        }
    }

    /// A page that a durable write brought to the disk took with it what had been given up there.
    fn brings_along(&mut self, ino: Ino, data: &WriteData) {
        let Some(given_up) = self.abandoned.get_mut(&ino) else {
            return;
        };
        let written = pages(data);
        given_up.retain_mut(|(step, missing)| {
            missing.retain(|page| !written.contains(page));
            if missing.is_empty() {
                self.steps[*step].fate = Fate::Durable;
            }
            !missing.is_empty()
        });
    }

    fn abandon(&mut self, records: &[Record], ino: Ino) {
        let Some(open) = self.open.get_mut(&ino) else {
            return;
        };
        let given_up = self.abandoned.entry(ino).or_default();
        open.retain(|&step| {
            let one = &mut self.steps[step];
            match write_of(records, one) {
                Some((_, data)) if one.fate == Fate::Pending => {
                    one.fate = Fate::Abandoned;
                    given_up.push((step, pages(data).collect()));
                    false
                }
                _ => true,
            }
        });
    }

    fn add(&mut self, record: usize, kind: StepKind<'a>, needs: Vec<usize>) -> usize {
        let step = self.steps.len();
        self.open.entry(kind.home()).or_default().push(step);
        self.steps.push(Step {
            record,
            kind,
            fate: Fate::Pending,
            needs,
            group: record,
        });
        step
    }

    fn name(
        &mut self,
        record: usize,
        dir: Ino,
        name: &'a OsStr,
        ino: Option<Ino>,
        needs: Vec<usize>,
    ) -> usize {
        let step = self.add(record, StepKind::Name { dir, name, ino }, needs);
        self.entries.insert((dir, name), step);
        if let Some(ino) = ino {
            self.named.insert(ino, step);
        }
        step
    }

    fn expand(&mut self, index: usize, record: &'a Record) {
        match &record.op {
            Op::Create {
                parent, name, ino, ..
            } => {
                let needs = self.before(*parent, name);
                let step = self.name(index, *parent, name, Some(*ino), needs);
                self.created.insert(*ino, step);
            }
            Op::Link { parent, name, ino } => {
                let needs = self.before(*parent, name);
                self.name(index, *parent, name, Some(*ino), needs);
            }
            Op::Unlink {
                parent, name, ino, ..
            } => {
                let mut needs = self.before(*parent, name);
                needs.extend(self.left(*ino));
                self.name(index, *parent, name, None, needs);
            }
            Op::Rename {
                from,
                to,
                ino,
                replaced,
                exchange: false,
            } => {
                let mut needs = self.before(to.0, &to.1);
                needs.extend(replaced.map(|folder| self.left(folder)).unwrap_or_default());
                let mut gone_needs = self.before(from.0, &from.1);
                gone_needs.extend(self.above(to.0));
                let there = self.name(index, to.0, &to.1, Some(*ino), needs);
                // No filesystem loses the file itself: the old name goes only when the new one
                // is there, and can be reached.
                gone_needs.push(there);
                let gone = self.name(index, from.0, &from.1, None, gone_needs);
                if !self.ordered {
                    // Groups are numbered by record; this one is split off behind all of them.
                    self.steps[gone].group = usize::MAX - index;
                }
            }
            Op::Rename {
                from,
                to,
                ino,
                replaced,
                exchange: true,
            } => {
                // Both names change at once; what both need stands with the first.
                let mut needs = self.before(to.0, &to.1);
                needs.extend(self.before(from.0, &from.1));
                needs.extend(self.above(to.0));
                needs.extend(self.above(from.0));
                let there = self.name(index, to.0, &to.1, Some(*ino), needs);
                self.name(index, from.0, &from.1, *replaced, vec![there]);
            }
            Op::Write {
                ino,
                data,
                old_size,
            } => {
                if !data.is_empty() {
                    // What is written after a cut goes to new blocks, which the old state of the
                    // file does not show.
                    let needs = self.cut_of(*ino);
                    let step = self.add(index, StepKind::Data { ino: *ino }, needs);
                    // The bytes are no part of the record's metadata change.
                    self.steps[step].group = usize::MAX - index;
                }
                self.grow(index, *ino, *old_size, data.end());
            }
            Op::Truncate {
                ino,
                old_size,
                size,
            } => {
                if size < old_size {
                    self.cut(
                        index,
                        StepKind::Size {
                            ino: *ino,
                            size: *size,
                            shrinks: true,
                        },
                    );
                } else {
                    self.grow(index, *ino, *old_size, *size);
                }
            }
            Op::Allocate {
                ino,
                old_size,
                size,
                ..
            } => {
                self.add(
                    index,
                    StepKind::Space {
                        ino: *ino,
                        zeroes: false,
                    },
                    Vec::new(),
                );
                self.grow(index, *ino, *old_size, *size);
            }
            Op::Zero {
                ino,
                old_size,
                size,
                ..
            } => {
                self.cut(
                    index,
                    StepKind::Space {
                        ino: *ino,
                        zeroes: true,
                    },
                );
                self.grow(index, *ino, *old_size, *size);
            }
            Op::SetAttrs { ino, .. } => {
                self.add(index, StepKind::Attrs { ino: *ino }, Vec::new());
            }
            Op::Sync { .. } | Op::SyncFailed { .. } => {}
        }
    }

    fn grow(&mut self, index: usize, ino: Ino, old_size: u64, size: u64) {
        if size > old_size {
            self.add(
                index,
                StepKind::Size {
                    ino,
                    size,
                    shrinks: false,
                },
                Vec::new(),
            );
        }
    }

    /// Adds a step that takes bytes away. Those of one file keep their order: each changes the
    /// block map that the one before has left.
    fn cut(&mut self, index: usize, kind: StepKind<'a>) {
        let needs = self.cut_of(kind.home());
        let step = self.add(index, kind, needs);
        self.last_cut.insert(kind.home(), step);
    }

    /// The last step that took bytes away from a file, if it is pending.
    fn cut_of(&self, ino: Ino) -> Vec<usize> {
        self.last_cut
            .get(&ino)
            .copied()
            .filter(|&step| self.pending(step))
            .into_iter()
            .collect()
    }

    /// The last step about this name, if it is pending. Where metadata has an order of its own,
    /// this and the two below are not needed.
    fn before(&self, dir: Ino, name: &'a OsStr) -> Vec<usize> {
        let before = self.entries.get(&(dir, name)).copied();
        before
            .filter(|&step| !self.ordered && self.pending(step))
            .into_iter()
            .collect()
    }

    /// The pending steps that gave a folder, and those above it, their names: without them
    /// nobody finds what is in it.
    fn above(&self, mut folder: Ino) -> Vec<usize> {
        let mut above = Vec::new();
        if self.ordered {
            return above;
        }
        while let Some(&step) = self.named.get(&folder) {
            let StepKind::Name { dir, .. } = self.steps[step].kind else {
                break;
            };
            if self.pending(step) {
                above.push(step);
            }
            folder = dir;
        }
        above
    }

    /// The pending steps by which names left a folder. A folder that is removed is empty on the
    /// disk too: what was moved out of it is elsewhere. None for a file.
    fn left(&self, folder: Ino) -> Vec<usize> {
        let open = self.open.get(&folder).filter(|_| !self.ordered);
        let left = open.into_iter().flatten().copied().filter(|&step| {
            let gone = matches!(self.steps[step].kind, StepKind::Name { ino: None, .. });
            gone && self.pending(step)
        });
        left.collect()
    }
}
