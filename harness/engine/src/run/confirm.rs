//! A finding of a live fault is tried again before it is reported: the same trial, and the disk that
//! its crash left, which is kept as an artifact for `plugpull replay`.

use std::path::{Path, PathBuf};

use plugpull_crashsim::fs::Tree;
use plugpull_reports::{ReportedFinding, TargetInfo, Tries};
use plugpull_workloads::{Damage, FindingKind};

use crate::explore::{About, Artifact, CrashDisk, FollowUpPlan, SandboxWorker};
use crate::outcome::HarnessFailed;
use crate::trial::{Acked, Crashed, Setup};

/// How often each is done.
pub(super) const TRIES: u64 = 3;

/// True for a finding that stands on how long something took, which a busy machine can bring.
fn is_of_time(kind: FindingKind) -> bool {
    matches!(
        kind,
        FindingKind::Hung | FindingKind::TooSlow | FindingKind::StaysDown
    )
}

/// Whether a finding that was tried again is one. What was read back stands as it was read; only what
/// was measured in time must show again.
pub(super) fn stands(kind: FindingKind, tries: &Tries) -> bool {
    let tried = tries.tries > 0;
    !is_of_time(kind) || !tried || tries.repeated + tries.replayed > 0
}

/// True when the disk alone can show the finding.
pub(super) fn on_disk(kind: FindingKind, crashed: &Crashed) -> bool {
    kind != FindingKind::StaysDown && !crashed.unreadable
}

/// How often the target shows a finding when it is started on the crashed disk.
pub(super) fn replayed(
    worker: &SandboxWorker,
    setup: &Setup,
    crashed: &Crashed,
    kind: FindingKind,
) -> Result<bool, HarnessFailed> {
    let acked = Acked::of(&crashed.judged.history, &*setup.target);
    let disk = CrashDisk {
        key: acked.key(crashed.disk.digest()),
        tree: settled(&crashed.disk),
        acked,
        then: Some(FollowUpPlan::second_restart()),
    };
    let attempt = worker.attempt(&disk)?;
    let mut observed = attempt.observed_twice();
    if !crashed.damaged.is_empty() {
        observed.damage = Damage::SingleCopy {
            description: crashed.damaged.clone(),
        };
    }
    let judgement = crashed.judged.again(&observed);
    let findings = judgement.map(|judgement| judgement.findings);
    Ok(findings.is_some_and(|all| all.iter().any(|one| one.kind == kind)))
}

fn settled(disk: &Tree) -> Tree {
    let mut disk = disk.clone();
    disk.settle();
    disk
}

/// Writes the artifact of a finding. Where it is.
pub(super) fn keep(
    into: &Path,
    name: &str,
    setup: &Setup,
    target: &TargetInfo,
    crashed: &Crashed,
    (found, seed, injected): (&ReportedFinding, u64, &str),
) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(into)?;
    let path = into.join(format!("{name}.json"));
    let evidence = crashed.evidence(found.finding.ack);
    let model = match crashed.lost_power() {
        true => setup.rules.model.name(),
        false => "kill",
    };
    let Some(class) = crashed.judged.class else {
        anyhow::bail!("nothing was judged");
    };
    let about = About {
        target: target.name.clone(),
        version: target.version.clone(),
        settings: target.settings.clone(),
        model: model.to_owned(),
        seed,
        point: evidence.point,
        crash: crashed.judged.at.unwrap_or_default(),
        class,
        promises: crashed.judged.promises.clone(),
        finding: found.finding.clone(),
        timeline: evidence.timeline,
        history: crashed.judged.history.clone(),
        recovery_bound_us: crashed.judged.bound.map(crate::trial::micros),
        damaged: crashed.damaged.clone(),
        injected: injected.to_owned(),
        not_on_disk: !on_disk(found.finding.kind, crashed),
        recorded: None,
        second_life: Vec::new(),
        served: None,
    };
    Artifact::new(about, &settled(&crashed.disk))?.write(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_in_time_must_show_again() {
        let tries = |repeated, replayed| Tries {
            repeated,
            tries: 3,
            replayed,
            replays: 3,
        };
        assert!(!stands(FindingKind::Hung, &tries(0, 0)));
        assert!(stands(FindingKind::Hung, &tries(1, 0)));
        assert!(stands(FindingKind::StaysDown, &tries(0, 1)));
        // One that there was no time to try again is not taken back.
        assert!(stands(FindingKind::TooSlow, &Tries::default()));
        // What was gone was gone.
        assert!(stands(FindingKind::LostAck, &tries(0, 0)));
    }
}
