//! Each subject finds its mutant, and is silent on the reader that is used.

use std::time::Duration;

use plugpull_fuzz::all;
use plugpull_fuzz::supervise::{Until, here};

/// Enough for each mutant, by far.
const ENOUGH: u64 = 20_000;

fn inputs(inputs: u64) -> Until {
    Until {
        inputs,
        time: Duration::MAX,
    }
}

#[test]
fn each_mutant_is_found_and_each_reader_holds() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut wrong = Vec::new();
    for subject in all() {
        let found = here(&subject, subject.mutant, 1, inputs(ENOUGH), |_| {}).unwrap();
        if found.is_ok() {
            wrong.push(format!("{}: its mutant was not found", subject.name));
        }
        let silent = here(&subject, subject.property, 2, inputs(200), |_| {}).unwrap();
        if let Err(failure) = silent {
            wrong.push(format!("{}: {failure:?}", subject.name));
        }
    }
    drop(std::panic::take_hook());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Else a failing input could not be made again from its number.
#[test]
fn the_sound_inputs_are_the_same_each_time() {
    for subject in all() {
        assert!((subject.seeds)() == (subject.seeds)(), "{}", subject.name);
    }
}
