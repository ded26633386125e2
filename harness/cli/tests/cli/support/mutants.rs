//! Showing that a mutant is found, and the sound target has no finding under the very same options.

use plugpull_testing::test;

use super::{machine, run, text};

/// What a defect leads to, in order: the first kind is what it is, the others may come along. A word
/// behind a colon must be in the sentence of a finding of that kind: `unreadable:journal-chain`.
pub(crate) fn found(target: &str, defect: &str, shows: &[&str], options: &str) {
    let options = format!("{target} {options}");
    let defective = run(&format!("{} --set defect={defect}", once(&options)));
    let shown = &defective.ran.stdout;
    assert_eq!(defective.ran.code, 1, "{:?}", defective.ran);
    let shows: Vec<(String, String)> = shows
        .iter()
        .map(|show| {
            let (kind, word) = show.split_once(':').unwrap_or((show, ""));
            (kind.to_owned(), word.to_owned())
        })
        .collect();
    let findings: Vec<(String, String)> = defective
        .trials()
        .iter()
        .flat_map(|trial| super::list(trial, "findings"))
        .map(|f| (text(f, "kind").to_owned(), text(f, "sentence").to_owned()))
        .collect();
    let (kind, word) = &shows[0];
    assert!(
        findings.iter().any(|(k, s)| k == kind && s.contains(word)),
        "{findings:?}: {shown}"
    );
    for (kind, _) in &findings {
        assert!(
            shows.iter().any(|(known, _)| known == kind),
            "{kind}: {shown}"
        );
    }
    let sound = run(&options);
    sound.must_have_no_finding();
    // A sound fake may have nothing unsynced at that moment: then a power loss loses nothing, which is
    // not measured, and the run ends with 3. For no other reason.
    let without_effect = |trial: &&serde_json::Value| {
        text(trial, "verdict") == "not-measured" && text(trial, "why").contains(" 0 were lost ")
    };
    let trials = sound.trials();
    let some_measured = trials.iter().filter(without_effect).count() < trials.len();
    let expected = if some_measured { 0 } else { 3 };
    assert_eq!(sound.ran.code, expected, "{:?}", sound.ran);
}

/// Where these options make one trial, those that make it and try nothing again: that a finding is tried
/// again is what the tests of `run_evidence` show, and those with several rounds.
pub(crate) fn once(options: &str) -> String {
    match options.matches("--fault ").count() {
        1 => options.replace("--rounds 1 ", "--budget 1ms "),
        _ => options.to_owned(),
    }
}

/// A test for each defect of a target, which is named as `plugpull run` takes it: its name, the findings that it leads to (see [`found`]), and
/// options that show it. One client and a moment at an operation make a trial the same each time.
#[allow(unused_macros, reason = "each test program uses its own part")]
macro_rules! defects {
    ($target:literal, $listed:expr; $($test:ident: $defect:literal is $shows:expr, by $options:literal;)*) => {
        $(
            #[test(needs = "fuse")]
            fn $test() {
                $crate::support::mutants::found($target, $defect, &$shows, $options);
            }
        )*

        #[test]
        fn every_mutant_has_a_test() {
            let tested: Vec<&str> = $listed.iter().map(|d| d.name).collect();
            assert_eq!(tested, [$($defect),*]);
        }
    };
}
pub(crate) use defects;
