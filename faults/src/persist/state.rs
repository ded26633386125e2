//! Crash states: a choice among the pending steps, and the tree that it leaves.

use std::sync::Arc;

use super::choice::{Keep, choose};
use super::plan::Plan;
use super::step::{Fate, Model, Step, StepKind};
use crate::crashfs::{FILE_MAX, Log, Op, PAGE, Record, Tree};

/// What becomes of the pending steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them reached the disk.
    Nothing,
    /// None of them did.
    Everything,
    /// A seeded choice: some whole, some torn, some not.
    Subset,
    /// All reached the disk, but for the last write, of which some sectors did not.
    TornLast,
}

/// A pending step that did not reach the disk whole.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Its record's number on the trace's clock.
    pub seq: u64,
    /// The file, for people.
    pub path: Arc<str>,
    /// What is missing, for people: "write of 4096 bytes at 8192".
    pub what: String,
    /// True when some of its sectors are there.
    pub torn: bool,
}

/// One content of the disk after losing power.
pub struct CrashState {
    /// The content.
    pub tree: Tree,
    /// What is missing in it, in the order in which it had happened.
    pub lost: Vec<Lost>,
    /// How many steps were pending.
    pub pending: usize,
}

/// The content of the disk when power is lost at the end of `log`.
///
/// `sector` is the unit that the disk writes atomically, in bytes: 512 or 4096 (what is smaller
/// than 4096 counts as 512). The same log, model, loss, sector and seed give the same state
/// anywhere.
pub fn crash_state(log: &Log, model: &dyn Model, loss: Loss, sector: u64, seed: u64) -> CrashState {
    let sector = if sector < PAGE as u64 {
        512
    } else {
        PAGE as u64
    };
    let plan = Plan::new(model, log.records());
    let keeps = choose(&plan, log.records(), model, loss, sector, seed);
    build(log, &plan, sector, &keeps)
}

fn build(log: &Log, plan: &Plan<'_>, sector: u64, keeps: &[Keep]) -> CrashState {
    let records = log.records();
    let mut tree = log.base().clone();
    let mut missing = Vec::new();
    let mut pending = 0;
    let mut next = 0;
    for (index, record) in records.iter().enumerate() {
        if let Op::Create {
            ino,
            node,
            mode,
            owner,
            ..
        } = &record.op
        {
            tree.raw_node(*ino, node, *mode, *owner, record.path.clone());
        }
        while let Some(step) = plan.steps.get(next).filter(|step| step.record == index) {
            let keep = &keeps[next];
            next += 1;
            pending += usize::from(step.fate != Fate::Durable);
            apply(&mut tree, record, step, keep, sector);
            missing.extend(lost(records, step, keep));
        }
    }
    tree.settle();
    CrashState {
        tree,
        lost: missing,
        pending,
    }
}

/// What is missing of a step, in words; none when it is there whole.
pub(super) fn lost(records: &[Record], step: &Step<'_>, keep: &Keep) -> Option<Lost> {
    let record = &records[step.record];
    (*keep != Keep::All).then(|| Lost {
        seq: record.seq,
        path: record.path.clone(),
        what: describe(record, step),
        torn: matches!(keep, Keep::Sectors(_)),
    })
}

/// Applies what is kept of a step.
pub(super) fn apply(tree: &mut Tree, record: &Record, step: &Step<'_>, keep: &Keep, sector: u64) {
    if *keep == Keep::None {
        return;
    }
    match (&step.kind, &record.op) {
        (StepKind::Name { dir, name, ino }, _) => tree.raw_entry(*dir, name, *ino),
        (StepKind::Data { ino }, Op::Write { data, .. }) => match keep {
            Keep::Sectors(kept) => tree.raw_content(*ino, |content| {
                let first = data.offset() / sector;
                data.for_each(|at, bytes| {
                    let mut from = 0;
                    while from < bytes.len() {
                        let offset = at + from as u64;
                        let to = ((offset / sector + 1) * sector - at).min(bytes.len() as u64);
                        if kept[(offset / sector - first) as usize] {
                            content.patch(offset, &bytes[from..to as usize]);
                        }
                        from = to as usize;
                    }
                });
            }),
            _ => tree.raw_content(*ino, |content| content.apply(data)),
        },
        (StepKind::Size { ino, size, shrinks }, _) => tree.raw_content(*ino, |content| {
            if *shrinks {
                // Also bytes that are on the disk behind a size that is not.
                content.set_size_only(content.size().max(FILE_MAX));
                content.truncate(*size);
            } else {
                content.set_size_only(*size);
            }
        }),
        (StepKind::Space { ino, .. }, Op::Allocate { offset, len, .. }) => {
            tree.raw_content(*ino, |content| content.allocate(*offset, *len));
        }
        (
            StepKind::Space { ino, .. },
            Op::Zero {
                offset, len, punch, ..
            },
        ) => {
            tree.raw_content(*ino, |content| content.zero(*offset, *len, *punch));
        }
        (StepKind::Attrs { ino }, Op::SetAttrs { attrs, .. }) => {
            tree.raw_attrs(*ino, *attrs, attrs.ctime.unwrap_or_default());
        }
        _ => {}
    }
}

fn describe(record: &Record, step: &Step<'_>) -> String {
    match (&step.kind, &record.op) {
        (StepKind::Data { .. }, Op::Write { data, .. }) => {
            format!("write of {} bytes at {}", data.len(), data.offset())
        }
        (StepKind::Size { size, .. }, _) => format!("size {size} ({})", record.op.name()),
        (
            StepKind::Name {
                name, ino: None, ..
            },
            _,
        ) => {
            format!(
                "removal of the name {} ({})",
                name.to_string_lossy(),
                record.op.name()
            )
        }
        (StepKind::Name { name, .. }, _) => {
            format!("the name {} ({})", name.to_string_lossy(), record.op.name())
        }
        _ => record.op.name().to_string(),
    }
}
