//! The models held to specifications over random logs.

use std::ffi::OsStr;

use proptest::prelude::*;

use super::testing_test::{Call, Run, Seen, bytes, calls, changed_names, names, visible};
use super::*;
use crate::fs::{Ino, Op, ROOT, Record};

pub(super) const LOSSES: [Loss; 4] = [
    Loss::Nothing,
    Loss::Everything,
    Loss::Subset,
    Loss::TornLast,
];

/// The specification that a state is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelUnderTest {
    Journaled,
    Strict,
    Ext4,
    Ext4Writeback,
    Xfs,
    Btrfs,
}

impl ModelUnderTest {
    /// That of a model.
    pub(super) fn to(model: &dyn Model) -> Self {
        match model.name() {
            "journaled" => ModelUnderTest::Journaled,
            "strict" => ModelUnderTest::Strict,
            "ext4" => ModelUnderTest::Ext4,
            "ext4-writeback" => ModelUnderTest::Ext4Writeback,
            "xfs" => ModelUnderTest::Xfs,
            "btrfs" => ModelUnderTest::Btrfs,
            other => panic!("{other} has no specification"),
        }
    }

    /// True where blocks are given to data when it is written back.
    fn delays(self) -> bool {
        !matches!(self, ModelUnderTest::Journaled | ModelUnderTest::Strict)
    }

    /// True where what is lost of all names is a suffix.
    fn journals(self) -> bool {
        !matches!(self, ModelUnderTest::Strict | ModelUnderTest::Btrfs)
    }
}

/// A crash state with all that a specification may ask about it.
pub(super) struct Scenario<'a> {
    pub(super) run: &'a Run,
    pub(super) records: &'a [Record],
    pub(super) held: ModelUnderTest,
    pub(super) loss: Loss,
    pub(super) sector: u64,
    pub(super) state: CrashState,
}

pub(super) type Says = Result<(), String>;
pub(super) type Spec = fn(&Scenario<'_>) -> Says;

pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Says {
    if holds { Ok(()) } else { Err(what()) }
}

pub(super) fn crash(
    run: &Run,
    model: &dyn Model,
    loss: Loss,
    sector: u64,
    seed: u64,
) -> CrashState {
    run.inspect(|_, log| crash_state(log, model, loss, Device::with_sector(sector).unwrap(), seed))
}

/// Names, bytes, sizes, modes and links are those of the live tree.
pub(super) fn is_live(case: &Scenario<'_>) -> Says {
    let (live, state) = (visible(case.run.live()), visible(&case.state.tree));
    ensure(live == state, || format!("{state:?} for {live:?}"))
}

pub(super) fn touches(op: &Op, ino: Ino) -> bool {
    let content = matches!(
        op,
        Op::Write { .. } | Op::Truncate { .. } | Op::Allocate { .. } | Op::Zero { .. }
    );
    content && op.ino() == ino
}

/// Index of the last completed sync of a file or directory before `end`.
pub(super) fn last_sync(records: &[Record], ino: Ino, end: usize) -> Option<usize> {
    records[..end]
        .iter()
        .rposition(|r| matches!(&r.op, Op::Sync { ino: of, .. } if *of == ino))
}

pub(super) fn ever_failed(records: &[Record], ino: Ino) -> Option<usize> {
    records
        .iter()
        .position(|r| matches!(&r.op, Op::SyncFailed { ino: of } if *of == ino))
}

/// True when a path of the tree after `end` records is durable then, all the way up.
pub(super) fn name_is_durable(case: &Scenario<'_>, end: usize, path: &str) -> bool {
    name_was_made_durable(case, end, end, path)
}

/// True when a path of the tree after `end` records is durable after `until` records, all the way up.
fn name_was_made_durable(case: &Scenario<'_>, end: usize, until: usize, path: &str) -> bool {
    let mut dir = ROOT;
    path.split('/').filter(|name| !name.is_empty()).all(|name| {
        let here = (dir, name.into());
        let named = case.records[..end]
            .iter()
            .rposition(|r| changed_names(&r.op).contains(&here));
        let child = case.run.moments[end].lookup(dir, name.as_ref()).unwrap();
        let synced = named.is_none_or(|named| {
            case.records[named..until].iter().any(|r| match &r.op {
                Op::Sync {
                    ino,
                    data_only: false,
                    ..
                } => match case.held {
                    ModelUnderTest::Journaled => true,
                    ModelUnderTest::Strict => *ino == dir,
                    // The change of the name changed both.
                    _ => *ino == dir || *ino == child,
                },
                _ => false,
            })
        });
        dir = child;
        synced
    })
}

/// A file that was synced and not touched since has its bytes, if its name is durable.
pub(super) fn durable_floor(case: &Scenario<'_>) -> Says {
    let end = case.records.len();
    let state = visible(&case.state.tree);
    for (path, live) in visible(case.run.live()) {
        let synced = last_sync(case.records, live.ino, end);
        let clean = synced.is_some_and(|synced| {
            !case.records[synced..]
                .iter()
                .any(|r| touches(&r.op, live.ino))
        });
        let failed = ever_failed(case.records, live.ino).is_some();
        if clean && !failed && name_is_durable(case, end, &path) {
            let found = state.get(&path);
            let same = found
                .is_some_and(|Seen { ino, bytes, .. }| *ino == live.ino && *bytes == live.bytes);
            ensure(same, || {
                format!("{path} was synced and is {found:?} for {live:?}")
            })?;
        }
    }
    Ok(())
}

/// Each aligned sector shows what was in the cache at one moment since the file's last sync,
/// as far as the size goes. So each of its bytes has a value that it had then.
///
/// Two exceptions, because a disk has them. Bytes behind the size of that moment are zeros: a
/// length can be on the disk without data. And what was cut off or zeroed later may be missing
/// in it: that is metadata (a length, an extent), which is on the disk apart from the data. Cuts
/// of one file come in order, so a prefix of them has happened.
pub(super) fn sector_ceiling(case: &Scenario<'_>) -> Says {
    let end = case.records.len();
    for (path, seen) in visible(&case.state.tree) {
        if case.state.tree.content(seen.ino).is_err() {
            continue;
        }
        // What a failed sync gave up may be missing for ever.
        let trusted = ever_failed(case.records, seen.ino).unwrap_or(end);
        let floor = last_sync(case.records, seen.ino, trusted).map_or(0, |n| n + 1);
        let moments: Vec<(usize, Vec<u8>)> = (floor..=end)
            .filter(|n| *n == floor || touches(&case.records[n - 1].op, seen.ino))
            .map(|n| (n, bytes(&case.run.moments[n], seen.ino)))
            .collect();
        // Where data is copied on write, no page is torn either.
        let unit = if case.held == ModelUnderTest::Btrfs {
            4096
        } else {
            case.sector as usize
        };
        for (n, shown) in seen.bytes.chunks(unit).enumerate() {
            let start = n * unit;
            let possible = moments.iter().any(|(moment, cache)| {
                let mut sector = vec![0; shown.len()];
                let there = &cache[start.min(cache.len())..cache.len().min(start + shown.len())];
                sector[..there.len()].copy_from_slice(there);
                let mut cuts = case.records[*moment..].iter().filter_map(|r| match r.op {
                    Op::Truncate { ino, size, .. } if ino == seen.ino => Some((size, u64::MAX)),
                    Op::Zero {
                        ino, offset, len, ..
                    } if ino == seen.ino => Some((offset, offset + len)),
                    _ => None,
                });
                loop {
                    if sector == shown {
                        return true;
                    }
                    let Some((from, to)) = cuts.next() else {
                        return false;
                    };
                    for (byte, at) in sector.iter_mut().zip(start as u64..) {
                        if (from..to).contains(&at) {
                            *byte = 0;
                        }
                    }
                }
            });
            ensure(possible, || {
                format!("{path}: no moment had the sector at {start}")
            })?;
        }
    }
    Ok(())
}

/// True when a sync of `ino` after `index` records finds data to which it must give blocks, or a
/// length that comes with its data.
fn allocates(case: &Scenario<'_>, index: usize, ino: Ino) -> bool {
    let from = last_sync(case.records, ino, index).map_or(0, |n| n + 1);
    (from..index).any(|n| match &case.records[n].op {
        Op::Write {
            ino: of,
            data,
            old_size,
        } if *of == ino && !data.is_empty() => {
            let content = case.run.moments[n].content(ino).ok();
            let mut pages = data.offset() / 4096..data.end().div_ceil(4096);
            let new = pages.any(|page| !content.is_some_and(|content| content.has_data(page)));
            new || (case.held == ModelUnderTest::Xfs && data.end() > *old_size)
        }
        _ => false,
    })
}

/// True when a record changes an inode, as a sync of it sees; for fdatasync the times and, on
/// ext4, also names and modes do not count.
fn changes(case: &Scenario<'_>, record: &Record, ino: Ino, data_only: bool) -> bool {
    let named = changed_names(&record.op).iter().any(|(dir, _)| *dir == ino);
    let replaced = matches!(&record.op, Op::Rename { replaced, .. } if *replaced == Some(ino));
    let own = record.op.ino() == ino;
    match &record.op {
        Op::Sync { .. } | Op::SyncFailed { .. } => false,
        _ if !data_only => own || named || replaced,
        Op::Write { data, old_size, .. } => own && data.end() > *old_size,
        Op::Truncate { size, old_size, .. } => own && size != old_size,
        Op::Allocate { .. } | Op::Zero { .. } | Op::Create { .. } => own || named,
        _ => case.held == ModelUnderTest::Xfs && (own || named || replaced),
    }
}

/// How many records the last commit of metadata covers, where there is one journal.
pub(super) fn last_commit(case: &Scenario<'_>) -> usize {
    let mut commit = 0;
    for (index, record) in case.records.iter().enumerate() {
        let Op::Sync {
            ino,
            data_only,
            dir,
        } = record.op
        else {
            continue;
        };
        let data_only = data_only && !dir;
        let covers = if !case.held.delays() {
            let own = case.records[commit..index].iter();
            let mut own = own.filter(|r| r.op.ino() == ino);
            let needed = own.any(|r| changes(case, r, ino, true));
            if !data_only || needed { index + 1 } else { 0 }
        } else if allocates(case, index, ino) {
            index + 1
        } else {
            let mut before = case.records[..index].iter();
            before
                .rposition(|r| changes(case, r, ino, data_only))
                .map_or(0, |n| n + 1)
        };
        commit = commit.max(covers);
    }
    commit
}

/// One journal: the names are those of one moment since the last commit; of exactly that commit
/// when all is lost.
pub(super) fn names_are_a_prefix(case: &Scenario<'_>) -> Says {
    let failed = case
        .records
        .iter()
        .any(|r| matches!(r.op, Op::SyncFailed { .. }));
    // What a sync does that follows a failed one is not what is looked at here.
    if !case.held.journals() || (case.held.delays() && failed) {
        return Ok(());
    }
    let found = names(&case.state.tree);
    let commit = last_commit(case);
    let moments = &case.run.moments[commit..];
    let exact = if case.loss == Loss::Everything {
        &moments[..1]
    } else {
        moments
    };
    ensure(exact.iter().any(|tree| names(tree) == found), || {
        format!("the names {found:?} are of no moment since record {commit}")
    })
}

/// XFS: the last byte of a file that grew by writes alone is one that was written. ext4: its last
/// page is.
pub(super) fn lengths_have_data(case: &Scenario<'_>) -> Says {
    let unit = match case.held {
        ModelUnderTest::Xfs => 1,
        ModelUnderTest::Ext4 => 4096,
        _ => return Ok(()),
    };
    for (path, seen) in visible(&case.state.tree) {
        let by_writes_alone = !case.records.iter().any(|r| {
            let other = !matches!(r.op, Op::Write { .. });
            (other && touches(&r.op, seen.ino))
                || matches!(r.op, Op::SyncFailed { ino } if ino == seen.ino)
        });
        if !by_writes_alone || seen.bytes.is_empty() {
            continue;
        }
        let last = (seen.bytes.len() - 1) / unit * unit;
        ensure(seen.bytes[last..].iter().any(|byte| *byte != 0), || {
            format!("{path} ends with zeros, {} bytes", seen.bytes.len())
        })?;
    }
    Ok(())
}

/// True when a file was renamed away from this name and its new name is not durable: the old one may be there,
/// for a rename loses no file.
fn is_kept_for_a_rename(case: &Scenario<'_>, (dir, name): (Ino, &OsStr), file: Ino) -> bool {
    let end = case.records.len();
    case.records
        .iter()
        .enumerate()
        .any(|(index, r)| match &r.op {
            Op::Rename {
                from,
                to,
                ino,
                exchange: false,
                ..
            } if *from == (dir, name.to_owned()) && *ino == file => {
                let after = &case.run.moments[index + 1];
                let is_new = |path: &&String| {
                    let (above, last) = path.rsplit_once('/').unwrap_or(("", path.as_str()));
                    last == to.1 && after.resolve(above) == Ok(to.0)
                };
                let all = names(after);
                let new = all.keys().find(is_new);
                new.is_none_or(|new| !name_was_made_durable(case, index + 1, end, new))
            }
            _ => false,
        })
}

/// Strict and btrfs: each name has a value that it had since its directory's last fsync. Strict, when
/// all is lost and no rename ties names together: the value of that fsync.
pub(super) fn names_are_not_older(case: &Scenario<'_>) -> Says {
    if case.held.journals() {
        return Ok(());
    }
    let end = case.records.len();
    let tied = case
        .records
        .iter()
        .any(|r| matches!(r.op, Op::Rename { .. }));
    for (dir, name) in case.records.iter().flat_map(|r| changed_names(&r.op)) {
        let Ok(directory) = case.state.tree.dir(dir) else {
            continue;
        };
        let found = directory.get(&name).map(|entry| entry.ino);
        let floor = last_sync(case.records, dir, end).map_or(0, |n| n + 1);
        let exact = case.loss == Loss::Everything && !tied && case.held == ModelUnderTest::Strict;
        let until = if exact { floor } else { end };
        let values: Vec<Option<Ino>> = case.run.moments[floor..=until]
            .iter()
            .map(|tree| tree.dir(dir).ok()?.get(&name).map(|entry| entry.ino))
            .collect();
        // A directory that two names lead to keeps one of them.
        let directory_left = found.is_none()
            && values
                .iter()
                .flatten()
                .any(|ino| case.run.moments.iter().any(|tree| tree.dir(*ino).is_ok()));
        let kept = || {
            let file = found.filter(|_| case.held == ModelUnderTest::Strict);
            file.is_some_and(|file| is_kept_for_a_rename(case, (dir, &name), file))
        };
        ensure(values.contains(&found) || directory_left || kept(), || {
            format!("{name:?} in {dir} is {found:?}, and was {values:?} since record {floor}")
        })?;
    }
    Ok(())
}

/// Strict: a file whose name was durable when it was renamed is there under some name, unless a
/// name of it was removed later.
pub(super) fn renames_lose_nothing(case: &Scenario<'_>) -> Says {
    let state = visible(&case.state.tree);
    for (index, record) in case.records.iter().enumerate() {
        let Op::Rename {
            ino,
            replaced,
            exchange,
            ..
        } = &record.op
        else {
            continue;
        };
        for ino in [Some(*ino), replaced.filter(|_| *exchange)]
            .into_iter()
            .flatten()
        {
            let before = names(&case.run.moments[index]);
            let mut paths = before.iter().filter(|(_, named)| **named == ino);
            let durable = paths.any(|(path, _)| name_is_durable(case, index, path));
            let removed = case.records[index + 1..].iter().any(|r| match &r.op {
                Op::Unlink { ino: gone, .. } => *gone == ino,
                Op::Rename {
                    replaced,
                    exchange: false,
                    ..
                } => *replaced == Some(ino),
                _ => false,
            });
            ensure(
                !durable || removed || state.values().any(|seen| seen.ino == ino),
                || format!("inode {ino} has no name after record {index}: {state:?}"),
            )?;
        }
    }
    Ok(())
}

/// Where a write of several sectors is pending, some of one are there and some are not.
pub(super) fn one_write_is_torn(case: &Scenario<'_>) -> Says {
    let pending = case
        .records
        .iter()
        .enumerate()
        .any(|(index, r)| match &r.op {
            Op::Write { ino, data, .. } => {
                let sectors = data.end().div_ceil(case.sector) - data.offset() / case.sector;
                let later = case.records[index..].iter();
                let mut later = later.filter(|r| r.op.ino() == *ino);
                sectors > 1
                    && !later.any(|r| matches!(r.op, Op::Sync { .. } | Op::SyncFailed { .. }))
            }
            _ => false,
        });
    let torn = case.state.lost.iter().filter(|lost| lost.torn).count();
    // New blocks do not tear.
    let right = torn == 1 || (case.held.delays() && torn == 0);
    ensure(!pending || case.loss != Loss::TornLast || right, || {
        format!("{torn} are torn")
    })
}

/// The state is a filesystem: no bytes are hidden behind a size, and links and space are right.
pub(super) fn is_whole(case: &Scenario<'_>) -> Says {
    let tree = &case.state.tree;
    let state = visible(tree);
    let mut pages = 0;
    for (ino, inode) in tree.inodes() {
        pages += inode.pages();
        let paths = || state.iter().filter(|(_, seen)| seen.ino == ino);
        let directories = || {
            let below = |path: &str| {
                path.rsplit_once('/')
                    .map_or(ROOT, |(directory, _)| state[directory].ino)
                    == ino
            };
            let directories = state.iter().filter(|(_, seen)| tree.dir(seen.ino).is_ok());
            directories
                .filter(|(path, _)| !path.is_empty() && below(path))
                .count()
        };
        let links = if inode.is_dir() {
            2 + directories()
        } else {
            paths().count()
        };
        let hidden = tree.content(ino).is_ok_and(|content| !content.is_settled());
        ensure(
            !hidden && inode.nlink as usize == links && paths().count() > 0,
            || {
                format!(
                    "inode {ino}: {} links for {links}, hidden {hidden}",
                    inode.nlink
                )
            },
        )?;
    }
    ensure(tree.pages() == pages, || {
        format!("{} pages for {pages}", tree.pages())
    })
}

/// Everything that a state must keep to, whatever was lost.
pub(super) const SPECS: [(&str, Spec); 8] = [
    ("durable floor", durable_floor),
    ("sector ceiling", sector_ceiling),
    ("names are a prefix", names_are_a_prefix),
    ("lengths have data", lengths_have_data),
    ("names are not older", names_are_not_older),
    ("renames lose nothing", renames_lose_nothing),
    ("one write is torn", one_write_is_torn),
    ("is whole", is_whole),
];

/// Calls `judge` for each state of a run that `seed` gives under a model.
pub(super) fn each_case(
    run: &Run,
    model: &dyn Model,
    held: ModelUnderTest,
    seed: u64,
    mut judge: impl FnMut(&Scenario<'_>) -> Says,
) -> Says {
    let records = run.records();
    for (loss, n) in LOSSES.into_iter().chain([Loss::Subset; 3]).zip(0..) {
        for sector in [512, 4096] {
            let state = crash(run, model, loss, sector, seed.wrapping_add(n));
            let case = Scenario {
                run,
                records: &records,
                held,
                loss,
                sector,
                state,
            };
            judge(&case)
                .map_err(|what| format!("{} {loss:?} {sector} seed {n}: {what}", model.name()))?;
        }
    }
    Ok(())
}

pub(super) fn all_specs(case: &Scenario<'_>) -> Says {
    for (name, spec) in SPECS {
        spec(case).map_err(|what| format!("{name}: {what}"))?;
    }
    if case.loss == Loss::Nothing {
        is_live(case)
    } else {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_models_keep_to_their_specifications(calls in calls(), seed: u64) {
        let run = Run::new(&calls);
        for model in MODELS {
            let said = each_case(&run, model, ModelUnderTest::to(model), seed, all_specs);
            prop_assert_eq!(said, Ok(()));
        }
    }

    #[test]
    fn nothing_is_lost_after_a_sync_of_everything(calls in calls(), seed: u64) {
        let sound = |call: &Call| !matches!(call, Call::FsyncFails(_));
        let calls: Vec<Call> = calls.into_iter().filter(sound).collect();
        let mut run = Run::new(&calls);
        run.sync_all();
        for model in MODELS {
            prop_assert_eq!(each_case(&run, model, ModelUnderTest::to(model), seed, is_live), Ok(()));
        }
    }

    #[test]
    fn a_failed_sync_gives_up_what_is_not_written_again(
        at in 0..12_000u64, len in 1..9000usize, again in 0..12_000u64, n in 1..5000usize,
    ) {
        let mut run = Run::new(&[
            Call::File("a"),
            Call::Write("a", 0, 24_000),
            Call::Fsync("a"),
            Call::FsyncDir(""),
            Call::Write("a", at, len),
            Call::FsyncFails("a"),
            Call::Write("a", again, n),
            Call::Fsync("a"),
        ]);
        run.call(&Call::FsyncDir(""));
        let live = visible(run.live())["a"].bytes.clone();
        for model in MODELS {
            let state = crash(&run, model, Loss::Everything, 512, 0);
            let found = visible(&state.tree)["a"].bytes.clone();
            for (page, bytes) in found.chunks(4096).enumerate() {
                let start = page * 4096;
                let rewritten = again / 4096 <= page as u64
                    && (page as u64) < (again + n as u64).div_ceil(4096);
                let wanted = if rewritten { &live[start..start + bytes.len()] } else {
                    &[1; 4096][..bytes.len()]
                };
                prop_assert_eq!(bytes, wanted, "page {}", page);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_state(calls in calls(), seed: u64) {
        let run = Run::new(&calls);
        for model in MODELS {
            for loss in LOSSES {
                let described = |state: &CrashState| {
                    let lost: Vec<String> =
                        state.lost.iter().map(|lost| format!("{lost:?}")).collect();
                    (visible(&state.tree), lost, state.pending, state.tree.pages())
                };
                let states = [0; 2].map(|_| crash(&run, model, loss, 512, seed));
                prop_assert_eq!(described(&states[0]), described(&states[1]));
            }
        }
    }
}
