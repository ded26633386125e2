//! Updates applied to a tree, whole or in part.

use std::sync::Arc;

use super::device::Device;
use super::update::{Update, UpdateKind};
use crate::fs::{FILE_MAX, Op, Record, Tree, WriteData};

/// What is kept of an update.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Keep {
    /// The whole of it.
    All,
    /// Nothing.
    None,
    /// Of a write: by sector, from that of its first byte on.
    Sectors(Vec<bool>),
    /// Nothing of a write, and junk beside it in the sectors that it fills in part.
    Spoiled,
    /// A length, as far as its data is there.
    UpTo(u64),
}

/// A pending update that did not reach the disk whole.
#[derive(Clone, Debug)]
pub struct LostUpdate {
    /// Its record's number on the trace's clock.
    pub seq: u64,
    /// The file, for people.
    pub path: Arc<str>,
    /// What is missing, for people: "write of 4096 bytes at 8192".
    pub what: String,
    /// True when some of its sectors are there.
    pub torn: bool,
}

/// What a torn sector holds where nothing was written to it.
const JUNK: u8 = 0xA5;

/// The sectors that a write touches.
pub(super) fn sectors(data: &WriteData, sector: u64) -> std::ops::Range<u64> {
    data.offset() / sector..data.end().div_ceil(sector)
}

/// The ranges of a file beside a write, in the sectors that it fills in part.
pub(super) fn beside(data: &WriteData, sector: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    let range = sectors(data, sector);
    let before = range.start * sector..data.offset();
    let behind = data.end()..range.end * sector;
    [before, behind]
        .into_iter()
        .filter(|range| !range.is_empty())
}

/// What is missing of an update, in words; none when it is there whole.
pub(super) fn lost(records: &[Record], update: &Update<'_>, keep: &Keep) -> Option<LostUpdate> {
    // Most updates are there: words only for those that are not.
    if *keep == Keep::All {
        return None;
    }
    let record = &records[update.record];
    let mut what = describe(record, update);
    match keep {
        Keep::UpTo(size) => what.push_str(&format!(", {size} instead")),
        Keep::Spoiled => what.push_str(", and junk beside it in its sectors"),
        Keep::All | Keep::None | Keep::Sectors(_) => {}
    }
    Some(LostUpdate {
        seq: record.seq,
        path: record.path.clone(),
        what,
        torn: matches!(keep, Keep::Sectors(_) | Keep::Spoiled),
    })
}

/// Applies what is kept of an update.
pub(super) fn apply(
    tree: &mut Tree,
    record: &Record,
    update: &Update<'_>,
    keep: &Keep,
    device: &Device,
) {
    if *keep == Keep::None {
        return;
    }
    match (&update.kind, &record.op) {
        (UpdateKind::Name { dir, name, ino, .. }, _) => tree.raw_entry(*dir, name, *ino),
        (UpdateKind::Data { ino }, Op::Write { data, .. }) => {
            tree.raw_content(*ino, |content| match keep {
                Keep::Sectors(kept) => patch_sectors(content, data, kept, device.sector),
                Keep::Spoiled => {
                    for range in beside(data, device.sector) {
                        let end = range.end.min(content.size());
                        let junk = vec![JUNK; end.saturating_sub(range.start) as usize];
                        content.patch(range.start, &junk);
                    }
                }
                _ => content.apply(data),
            });
        }
        (UpdateKind::Size { ino, size, shrinks }, _) => tree.raw_content(*ino, |content| {
            if *shrinks {
                // Also bytes that are on the disk behind a size that is not.
                content.set_size_only(content.size().max(FILE_MAX));
                content.truncate(*size);
            } else {
                let size = if let Keep::UpTo(part) = keep {
                    part
                } else {
                    size
                };
                content.set_size_only(*size);
            }
        }),
        (UpdateKind::Space { ino, .. }, Op::Allocate { offset, len, .. }) => {
            tree.raw_content(*ino, |content| content.allocate(*offset, *len));
        }
        (
            UpdateKind::Space { ino, .. },
            Op::Zero {
                offset, len, punch, ..
            },
        ) => {
            tree.raw_content(*ino, |content| content.zero(*offset, *len, *punch));
        }
        (UpdateKind::Attrs { ino }, Op::SetAttrs { attrs, .. }) => {
            tree.raw_attrs(*ino, *attrs, attrs.ctime.unwrap_or_default());
        }
        (UpdateKind::Attrs { ino }, Op::SetXattr { name, value, .. }) => {
            tree.raw_xattr(*ino, name, value.as_deref());
        }
        (UpdateKind::Attrs { ino }, Op::Touch { times, .. }) => tree.raw_touch(*ino, *times),
        _ => {}
    }
}

fn patch_sectors(content: &mut crate::fs::Content, data: &WriteData, kept: &[bool], sector: u64) {
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
}

fn describe(record: &Record, update: &Update<'_>) -> String {
    match (&update.kind, &record.op) {
        (UpdateKind::Data { .. }, Op::Write { data, .. }) => {
            format!("write of {} bytes at {}", data.len(), data.offset())
        }
        (UpdateKind::Size { size, .. }, _) => format!("size {size} ({})", record.op.name()),
        (UpdateKind::Name { name, ino, .. }, _) => {
            let what = if ino.is_none() {
                "removal of the name"
            } else {
                "the name"
            };
            format!("{what} {} ({})", name.to_string_lossy(), record.op.name())
        }
        (_, Op::SetXattr { name, .. }) => {
            format!("{} {}", record.op.name(), name.to_string_lossy())
        }
        (_, Op::SetAttrs { attrs, .. }) => attrs.call().to_string(),
        _ => record.op.name().to_string(),
    }
}
