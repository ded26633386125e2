//! A report that measured how recovery grows: described, drawn, merged and read back.

use plugpull_reports::{
    Growth, GrowthSample, GrowthShape, Look, Report, SizeUnit, exit_code, html, load, markdown,
    merge, render, save,
};
use plugpull_testing::test;
use plugpull_workloads::Verdict;

use crate::made_up::{plan, report_of, trial};

/// A report of growth with this much time for each MiB on top of 3 ms, in microseconds.
pub(crate) fn grown(us_per_mib: u64, seed: u64, repeats: u64) -> Report {
    let mut samples = Vec::new();
    let mut trials = Vec::new();
    for number in 1..=repeats * 5 {
        let mib = 1 << ((number - 1) % 5);
        let noise = (number * 7919 + seed * 31) % 97;
        let recovery_us = (3_000 + mib * us_per_mib) * (950 + noise) / 1_000;
        let mut one = trial(number, "kill");
        one.spec = format!("kill@ack={}", 500 * mib);
        one.recovery_us = vec![recovery_us; 3];
        trials.push(one);
        samples.push(GrowthSample {
            restored_nothing: false,
            trial: number,
            wanted: 500 * mib,
            size: (mib << 20) + noise * 100,
            disk_bytes: (mib << 21) + 4_096,
            recovery_us,
        });
    }
    let mut report = report_of(plan(&["kill"]), &trials);
    report.seed = seed;
    report.growth = Some(Growth::of(SizeUnit::Bytes, samples, Some(2_000_000), seed));
    report.needs_growth();
    report
}

fn shape(report: &Report) -> Option<GrowthShape> {
    let fit = report.growth.as_ref()?.fit.as_ref()?;
    Some(fit.shape)
}

#[test]
fn what_is_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    for report in [grown(12_000, 7, 5), grown(0, 8, 3), grown(40, 9, 2)] {
        save(&report, &path).unwrap();
        assert_eq!(load(&path).unwrap(), report);
    }
}

#[test]
fn every_form_says_what_was_found() {
    let report = grown(12_000, 7, 5);
    assert_eq!(shape(&report), Some(GrowthShape::Linear));
    let words = "Recovery grows linearly with the log: ";
    for width in [40, 80, 100] {
        let look = Look {
            width,
            colour: false,
        };
        let text = render(&report, look);
        assert!(text.replace("\n  ", " ").contains(words), "{text}");
        let long = text.lines().find(|line| line.chars().count() > width);
        assert_eq!(long, None, "{text}");
    }
    assert!(markdown(&report).unwrap().contains(words));
    let page = html(&report).unwrap();
    assert!(page.contains(words) && page.contains("id=\"growth\""));
    assert!(
        !html(&crate::made_up::report(1))
            .unwrap()
            .contains("id=\"growth\"")
    );
}

#[test]
fn too_little_is_no_pass() {
    let report = grown(12_000, 7, 2);
    assert_eq!(shape(&report), None);
    assert_eq!(
        (report.verdict, exit_code(&report)),
        (Verdict::NotMeasured, 3)
    );
    let text = render(&report, Look::PLAIN);
    assert!(text.contains("Not measured: how recovery grows."), "{text}");
    html(&report).unwrap();

    let mut late = report;
    let mut trials = std::mem::take(&mut late.trial_log).into_vec().unwrap();
    trials[4].verdict = Verdict::NotMeasured;
    trials[4].why = "the workload had come to its end".into();
    late.trial_log = trials.into();
    let why = "Not measured: kill@ack=8000 – the workload had come to its end";
    assert!(render(&late, Look::PLAIN).contains(why));
    assert!(html(&late).unwrap().contains(why));
}

#[test]
fn samples_of_several_reports_are_joined() {
    let parts = [grown(12_000, 1, 2), grown(12_000, 2, 2)];
    assert!(parts.iter().all(|part| shape(part).is_none()));
    let merged = merge(parts.to_vec()).unwrap();
    assert_eq!(shape(&merged), Some(GrowthShape::Linear));
    assert_eq!(merged.verdict, Verdict::Pass);
    let growth = merged.growth.as_ref().unwrap();
    assert_eq!(growth.samples.len(), 20);
    let of_trial = |sample: &GrowthSample| {
        let trial = merged
            .trial_log
            .in_memory()
            .iter()
            .find(|t| t.number == sample.trial);
        trial.map(|trial| trial.recovery_us[0])
    };
    for sample in &growth.samples {
        assert_eq!(of_trial(sample), Some(sample.recovery_us));
    }
    let run = crate::made_up::report(0);
    assert!(merge(vec![grown(1, 3, 3), run]).is_err());
}
