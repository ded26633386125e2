//! Each specification of the models shown to say no: to wrong models, and to wrong states.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::spec_test::{
    LOSSES, ModelUnderTest, SPECS, Scenario, all_specs, crash, each_case, is_live, is_whole,
    one_write_is_torn, renames_lose_nothing, sector_ceiling,
};
use super::testing_test::{Call, Run, calls};
use super::*;
use crate::fs::{Ino, ROOT, Tree};

/// A model that is wrong in one way.
struct Wrong {
    order: MetadataOrder,
    growth: Growth,
    overwrite: Overwrite,
    covers: Covers,
}

type Covers = fn(&SyncPoint, &super::Update<'_>) -> bool;

impl Model for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }
    fn about(&self) -> &'static str {
        "for tests"
    }
    fn covers(&self, sync: &SyncPoint, call: &super::Update<'_>) -> bool {
        (self.covers)(sync, call)
    }
    fn metadata_order(&self) -> MetadataOrder {
        self.order
    }
    fn growth(&self) -> Growth {
        self.growth
    }
    fn overwrite(&self) -> Overwrite {
        self.overwrite
    }
}

fn nothing(_: &SyncPoint, _: &super::Update<'_>) -> bool {
    false
}

fn everything(_: &SyncPoint, _: &super::Update<'_>) -> bool {
    true
}

fn data_only(sync: &SyncPoint, call: &super::Update<'_>) -> bool {
    !call.kind.is_metadata() && call.kind.home() == sync.ino
}

fn names_only(_: &SyncPoint, call: &super::Update<'_>) -> bool {
    matches!(call.kind, UpdateKind::Name { .. })
}

/// How many of many random runs show that a model breaks each specification.
fn broken(model: &dyn Model, held: ModelUnderTest) -> HashMap<&'static str, usize> {
    let mut runner = TestRunner::deterministic();
    let mut broken = HashMap::new();
    for seed in 0..60 {
        let calls = calls().new_tree(&mut runner).unwrap().current();
        let run = Run::new(&calls);
        let judged = each_case(&run, model, held, seed, |case| {
            for (name, spec) in SPECS {
                if spec(case).is_err() {
                    *broken.entry(name).or_insert(0) += 1;
                }
            }
            Ok(())
        });
        assert_eq!(judged, Ok(()));
    }
    broken
}

#[expect(clippy::too_many_lines, reason = "it is a table of wrong models")]
#[test]
fn a_wrong_model_breaks_its_specification() {
    let wrong = |order, covers| Wrong {
        order,
        growth: Growth::AtOnce,
        overwrite: Overwrite::InPlace,
        covers,
    };
    let like = |model: &dyn Model, covers: Covers| Wrong {
        order: model.metadata_order(),
        growth: model.growth(),
        overwrite: model.overwrite(),
        covers,
    };
    let ext4: Covers = |sync, call| EXT4.covers(sync, call);
    let xfs: Covers = |sync, call| XFS.covers(sync, call);
    let btrfs: Covers = |sync, call| BTRFS.covers(sync, call);
    let unordered = Growth::AtAllocation { ordered: false };
    for (what, model, held, spec) in [
        (
            "no sync covers data",
            wrong(MetadataOrder::Journal, names_only),
            ModelUnderTest::Journaled,
            "durable floor",
        ),
        (
            "no sync covers a name",
            wrong(MetadataOrder::None, data_only),
            ModelUnderTest::Strict,
            "durable floor",
        ),
        (
            "no sync covers anything",
            wrong(MetadataOrder::None, nothing),
            ModelUnderTest::Strict,
            "sector ceiling",
        ),
        (
            "no sync covers a directory",
            wrong(MetadataOrder::None, nothing),
            ModelUnderTest::Strict,
            "names are not older",
        ),
        (
            "a file's fsync covers its name",
            wrong(MetadataOrder::Journal, everything),
            ModelUnderTest::Strict,
            "names are not older",
        ),
        (
            "metadata has no order",
            wrong(MetadataOrder::None, STRICT_COVERS),
            ModelUnderTest::Journaled,
            "names are a prefix",
        ),
        (
            "fdatasync commits everything",
            wrong(MetadataOrder::Journal, everything),
            ModelUnderTest::Journaled,
            "names are a prefix",
        ),
        (
            "no fsync commits anything",
            wrong(MetadataOrder::Journal, nothing),
            ModelUnderTest::Journaled,
            "names are a prefix",
        ),
        (
            "every sync commits all on ext4",
            like(&EXT4, everything),
            ModelUnderTest::Ext4,
            "names are a prefix",
        ),
        (
            "ext4 commits lengths before data",
            Wrong {
                growth: unordered,
                ..like(&EXT4, ext4)
            },
            ModelUnderTest::Ext4,
            "lengths have data",
        ),
        (
            "ext4 has no order",
            Wrong {
                order: MetadataOrder::None,
                ..like(&EXT4, ext4)
            },
            ModelUnderTest::Ext4Writeback,
            "names are a prefix",
        ),
        (
            "XFS logs lengths when a write happens",
            Wrong {
                growth: Growth::AtOnce,
                ..like(&XFS, xfs)
            },
            ModelUnderTest::Xfs,
            "lengths have data",
        ),
        (
            "XFS has the rules of ext4 for the last block",
            like(&EXT4, ext4),
            ModelUnderTest::Xfs,
            "lengths have data",
        ),
        (
            "btrfs writes in place",
            Wrong {
                overwrite: Overwrite::InPlace,
                ..like(&BTRFS, btrfs)
            },
            ModelUnderTest::Btrfs,
            "sector ceiling",
        ),
        (
            "btrfs logs no names",
            like(&BTRFS, data_only),
            ModelUnderTest::Btrfs,
            "durable floor",
        ),
    ] {
        let broken = broken(&model, held);
        assert!(
            broken.contains_key(spec),
            "{what}: {spec} does not notice; {broken:?}"
        );
    }
    for model in MODELS {
        let broken = broken(model, ModelUnderTest::to(model));
        assert_eq!(broken, HashMap::new(), "{}", model.name());
    }
}

const STRICT_COVERS: fn(&SyncPoint, &super::Update<'_>) -> bool =
    |sync, call| STRICT.covers(sync, call);

/// What no model can do wrong is seeded in the state itself.
#[test]
fn a_wrong_state_breaks_its_specification() {
    let run = Run::new(&[
        Call::File("a"),
        Call::Write("a", 0, 2000),
        Call::Fsync("a"),
        Call::FsyncDir(""),
        Call::Rename("a", "b", crate::fs::RenameMode::Replace),
        Call::Write("b", 0, 2000),
    ]);
    let records = run.records();
    let case = |loss, plant: fn(&mut Tree, Ino)| {
        let mut state = crash(&run, &STRICT, loss, 512, 1);
        plant(&mut state.tree, ROOT + 1);
        Scenario {
            run: &run,
            records: &records,
            held: ModelUnderTest::Strict,
            loss,
            sector: 512,
            state,
        }
    };
    let nothing_lost: fn(&mut Tree, Ino) = |_, _| {};
    for loss in LOSSES {
        assert_eq!(all_specs(&case(loss, nothing_lost)), Ok(()), "{loss:?}");
    }
    let lost = case(Loss::Nothing, |tree, _| {
        tree.raw_entry(ROOT, "a".as_ref(), None);
        tree.raw_entry(ROOT, "b".as_ref(), None);
    });
    assert!(renames_lose_nothing(&lost).is_err());
    let mixed = case(Loss::Nothing, |tree, ino| {
        tree.raw_content(ino, |content| content.patch(700, &[1; 10]));
    });
    assert!(sector_ceiling(&mixed).is_err());
    let by_sector = case(Loss::Nothing, |tree, ino| {
        tree.raw_content(ino, |content| content.patch(512, &[1; 512]));
    });
    assert_eq!(
        sector_ceiling(&by_sector),
        Ok(()),
        "a whole old sector is legal"
    );
    let invented = case(Loss::Nothing, |tree, ino| {
        tree.raw_entry(ROOT, "c".as_ref(), Some(ino))
    });
    assert!(is_live(&invented).is_err());
    let hidden = case(Loss::Nothing, |tree, ino| {
        tree.raw_content(ino, |content| content.patch(2500, &[9]));
    });
    assert!(is_whole(&hidden).is_err());
    let mut whole = case(Loss::TornLast, nothing_lost);
    whole.state.lost.clear();
    assert!(one_write_is_torn(&whole).is_err());
}
