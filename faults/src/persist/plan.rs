//! What each record means for the disk, and what the syncs have made durable.

use std::ffi::OsStr;

use crate::crashfs::{Ino, Op, Record};

/// What a step changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind<'a> {
    /// The folder `dir` gets `name` for `ino`, or loses it (`ino` none).
    Name {
        /// The folder.
        dir: Ino,
        /// The name.
        name: &'a OsStr,
        /// What it names from now on.
        ino: Option<Ino>,
    },
    /// The bytes of a write.
    Data {
        /// The file.
        ino: Ino,
    },
    /// A length.
    Size {
        /// The file.
        ino: Ino,
        /// The length from now on.
        size: u64,
        /// True when it cuts bytes off.
        shrinks: bool,
    },
    /// Space taken, or a range made zero.
    Space {
        /// The file.
        ino: Ino,
        /// True when bytes become zero.
        zeroes: bool,
    },
    /// Permissions, owner, times.
    Attrs {
        /// The file or folder.
        ino: Ino,
    },
}

impl StepKind<'_> {
    /// The inode whose fsync is about this step: the file, or for a name its folder.
    pub fn home(&self) -> Ino {
        match self {
            StepKind::Name { dir, .. } => *dir,
            StepKind::Data { ino }
            | StepKind::Size { ino, .. }
            | StepKind::Space { ino, .. }
            | StepKind::Attrs { ino } => *ino,
        }
    }

    /// True for everything but the bytes of a write.
    pub fn is_metadata(&self) -> bool {
        !matches!(self, StepKind::Data { .. })
    }
}

/// What is known of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A completed sync covers it.
    Durable,
    /// It may be on disk or not.
    Pending,
    /// Pending, and no later sync will cover it: its write-back failed and the kernel marked the
    /// pages clean.
    Abandoned,
}

/// One change on its way to the disk.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Index of its record in the log.
    pub record: usize,
    /// What it changes.
    pub kind: StepKind<'a>,
    /// What is known of it.
    pub fate: Fate,
    /// A step without which this one cannot be on disk.
    pub needs: Option<usize>,
    /// Steps of one group reach the disk together.
    pub group: usize,
}

/// A sync, as a model judges it.
#[derive(Clone, Copy, Debug)]
pub struct SyncPoint {
    /// File or folder.
    pub ino: Ino,
    /// True for fdatasync.
    pub data_only: bool,
    /// True for a folder.
    pub dir: bool,
    /// True when the file's own creation, size or space is pending: then fdatasync must write
    /// metadata too, or the data could not be found.
    pub needs_metadata: bool,
}

/// The rules of one kind of filesystem.
pub trait Model: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;
    /// What it says, in one line.
    fn about(&self) -> &'static str;
    /// True when a completed sync makes this earlier step durable.
    fn covers(&self, sync: &SyncPoint, step: &Step<'_>) -> bool;
    /// True when metadata reaches the disk in the order in which it was changed, so that what is
    /// lost of it is a suffix.
    fn orders_metadata(&self) -> bool;
}

/// The steps of a log with their fates at its end.
pub struct Plan<'a> {
    /// In the order in which they happened.
    pub steps: Vec<Step<'a>>,
}

impl<'a> Plan<'a> {
    /// Judges a log under a model.
    pub fn new(model: &dyn Model, records: &'a [Record]) -> Self {
        let mut plan = Plan { steps: Vec::new() };
        // Indices of the steps that no sync covers yet.
        let mut open: Vec<usize> = Vec::new();
        for (index, record) in records.iter().enumerate() {
            match &record.op {
                Op::Sync {
                    ino,
                    data_only,
                    dir,
                } => {
                    let needs_metadata = open.iter().any(|&s| {
                        let step = &plan.steps[s];
                        match step.kind {
                            StepKind::Name { ino: named, .. } => named == Some(*ino),
                            StepKind::Size { ino: own, .. } | StepKind::Space { ino: own, .. } => {
                                own == *ino
                            }
                            _ => false,
                        }
                    });
                    let sync = SyncPoint {
                        ino: *ino,
                        data_only: *data_only,
                        dir: *dir,
                        needs_metadata,
                    };
                    open.retain(|&s| {
                        let step = &mut plan.steps[s];
                        let stays = step.fate == Fate::Abandoned || !model.covers(&sync, step);
                        if !stays {
                            step.fate = Fate::Durable;
                        }
                        stays
                    });
                }
                Op::SyncFailed { ino } => {
                    for &s in &open {
                        let step = &mut plan.steps[s];
                        if step.kind == (StepKind::Data { ino: *ino }) {
                            step.fate = Fate::Abandoned;
                        }
                    }
                }
                _ => {
                    let from = plan.steps.len();
                    plan.expand(model, index, record);
                    open.extend(from..plan.steps.len());
                }
            }
        }
        plan
    }

    fn add(&mut self, record: usize, kind: StepKind<'a>) -> usize {
        let step = self.steps.len();
        self.steps.push(Step {
            record,
            kind,
            fate: Fate::Pending,
            needs: None,
            group: record,
        });
        step
    }

    fn expand(&mut self, model: &dyn Model, index: usize, record: &'a Record) {
        match &record.op {
            Op::Create {
                parent, name, ino, ..
            }
            | Op::Link { parent, name, ino } => {
                self.add(
                    index,
                    StepKind::Name {
                        dir: *parent,
                        name,
                        ino: Some(*ino),
                    },
                );
            }
            Op::Unlink { parent, name, .. } => {
                self.add(
                    index,
                    StepKind::Name {
                        dir: *parent,
                        name,
                        ino: None,
                    },
                );
            }
            Op::Rename {
                from,
                to,
                ino,
                replaced,
                exchange,
            } => {
                let there = self.add(
                    index,
                    StepKind::Name {
                        dir: to.0,
                        name: &to.1,
                        ino: Some(*ino),
                    },
                );
                let left = if *exchange { *replaced } else { None };
                let gone = self.add(
                    index,
                    StepKind::Name {
                        dir: from.0,
                        name: &from.1,
                        ino: left,
                    },
                );
                // No filesystem loses the file itself: the old name goes only when the new one
                // is there. Where metadata is ordered, and in an exchange, both are one change.
                self.steps[gone].needs = Some(there);
                if !model.orders_metadata() && !exchange {
                    // Groups are numbered by record; this one is split off behind all of them.
                    self.steps[gone].group = usize::MAX - index;
                }
            }
            Op::Write {
                ino,
                data,
                old_size,
            } => {
                if !data.is_empty() {
                    let needs = self.last_cut(*ino);
                    let step = self.add(index, StepKind::Data { ino: *ino });
                    self.steps[step].needs = needs;
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
                let kind = StepKind::Size {
                    ino: *ino,
                    size: *size,
                    shrinks: size < old_size,
                };
                if size != old_size {
                    self.add(index, kind);
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
                );
                self.grow(index, *ino, *old_size, *size);
            }
            Op::Zero {
                ino,
                old_size,
                size,
                ..
            } => {
                self.add(
                    index,
                    StepKind::Space {
                        ino: *ino,
                        zeroes: true,
                    },
                );
                self.grow(index, *ino, *old_size, *size);
            }
            Op::SetAttrs { ino, .. } => {
                self.add(index, StepKind::Attrs { ino: *ino });
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
            );
        }
    }

    /// The last step that took bytes away from a file. What is written afterwards goes to new
    /// blocks, which the old state of the file does not show.
    fn last_cut(&self, ino: Ino) -> Option<usize> {
        // Looking back over the whole log would make it quadratic; a cut that lies far back
        // is nearly always durable.
        const REACH: usize = 4096;
        let from = self.steps.len().saturating_sub(REACH);
        (from..self.steps.len())
            .rev()
            .find(|&s| match self.steps[s].kind {
                StepKind::Size {
                    ino: own, shrinks, ..
                } => own == ino && shrinks,
                StepKind::Space { ino: own, zeroes } => own == ino && zeroes,
                _ => false,
            })
    }
}
