//! Each specification of the models shown to say no: to wrong models, and to wrong states.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::spec_test::{
    Case, LOSSES, SPECS, all_specs, crash, each_case, is_live, is_whole, one_write_is_torn,
    renames_lose_nothing, sector_ceiling,
};
use super::testing::{Run, Step, steps};
use super::*;
use crate::crashfs::{Ino, ROOT, Tree};

/// A model that is wrong in one way.
struct Wrong {
    ordered: bool,
    covers: fn(&SyncPoint, &super::Step<'_>) -> bool,
}

impl Model for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }
    fn about(&self) -> &'static str {
        "for tests"
    }
    fn covers(&self, sync: &SyncPoint, step: &super::Step<'_>) -> bool {
        (self.covers)(sync, step)
    }
    fn orders_metadata(&self) -> bool {
        self.ordered
    }
}

fn nothing(_: &SyncPoint, _: &super::Step<'_>) -> bool {
    false
}

fn everything(_: &SyncPoint, _: &super::Step<'_>) -> bool {
    true
}

fn data_only(sync: &SyncPoint, step: &super::Step<'_>) -> bool {
    !step.kind.is_metadata() && step.kind.home() == sync.ino
}

fn names_only(_: &SyncPoint, step: &super::Step<'_>) -> bool {
    matches!(step.kind, StepKind::Name { .. })
}

/// How many of many random runs show that a model breaks each specification.
fn broken(model: &dyn Model, journaled: bool) -> HashMap<&'static str, usize> {
    let mut runner = TestRunner::deterministic();
    let mut broken = HashMap::new();
    for seed in 0..60 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let run = Run::new(&steps);
        let _ = each_case(&run, model, journaled, seed, |case| {
            for (name, spec) in SPECS {
                if spec(case).is_err() {
                    *broken.entry(name).or_insert(0) += 1;
                }
            }
            Ok(())
        });
    }
    broken
}

#[test]
fn a_wrong_model_breaks_its_specification() {
    let wrong = |ordered, covers| Wrong { ordered, covers };
    for (what, model, journaled, spec) in [
        (
            "no sync covers data",
            wrong(true, names_only),
            true,
            "durable floor",
        ),
        (
            "no sync covers a name",
            wrong(false, data_only),
            false,
            "durable floor",
        ),
        (
            "no sync covers anything",
            wrong(false, nothing),
            false,
            "sector ceiling",
        ),
        (
            "no sync covers a folder",
            wrong(false, nothing),
            false,
            "names are not older",
        ),
        (
            "a file's fsync covers its name",
            wrong(true, everything),
            false,
            "names are not older",
        ),
        (
            "metadata has no order",
            wrong(false, STRICT_COVERS),
            true,
            "names are a prefix",
        ),
        (
            "fdatasync commits everything",
            wrong(true, everything),
            true,
            "names are a prefix",
        ),
        (
            "no fsync commits anything",
            wrong(true, nothing),
            true,
            "names are a prefix",
        ),
    ] {
        let broken = broken(&model, journaled);
        assert!(
            broken.contains_key(spec),
            "{what}: {spec} does not notice; {broken:?}"
        );
    }
    for model in MODELS {
        assert_eq!(broken(model, model.name() == "journaled"), HashMap::new());
    }
}

const STRICT_COVERS: fn(&SyncPoint, &super::Step<'_>) -> bool =
    |sync, step| STRICT.covers(sync, step);

/// What no model can do wrong is planted in the state itself.
#[test]
fn a_wrong_state_breaks_its_specification() {
    let run = Run::new(&[
        Step::File("a"),
        Step::Write("a", 0, 2000),
        Step::Fsync("a"),
        Step::FsyncDir(""),
        Step::Rename("a", "b", crate::crashfs::RenameMode::Replace),
        Step::Write("b", 0, 2000),
    ]);
    let records = run.records();
    let case = |loss, plant: fn(&mut Tree, Ino)| {
        let mut state = crash(&run, &STRICT, loss, 512, 1);
        plant(&mut state.tree, ROOT + 1);
        Case {
            run: &run,
            records: &records,
            journaled: false,
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
