//! What an exploration covered, as reports have it.

use plugpull_reports::{Coverage, ModelCoverage, RecoveryCoverage};

use plugpull_engine::explore::{Ended, Rules, Trace};

/// The coverage of an exploration that came so far.
pub(super) fn coverage(trace: &Trace, rules: &[Rules], ended: &Ended) -> Coverage {
    let models = rules.iter().zip(&ended.coverage).zip(&ended.judged);
    let models = models.map(|((rules, covered), (judged, failed))| ModelCoverage {
        model: rules.name.to_string(),
        points: covered.points,
        possible: Some(u64::try_from(covered.possible).unwrap_or(u64::MAX)),
        at_least: covered.at_least || covered.possible > u128::from(u64::MAX),
        made: covered.made,
        distinct: covered.distinct,
        judged: *judged,
        failed: *failed,
    });
    let recoveries = &ended.recoveries;
    Coverage {
        operations: trace.log.records().len() as u64,
        acked: trace.about.history.acked() as u64,
        points: ended.points,
        tried: ended.tried,
        complete: ended.complete,
        recoveries: Some(RecoveryCoverage {
            seen: recoveries.seen,
            crashed: recoveries.crashed,
            distinct: recoveries.distinct,
        }),
        models: models.collect(),
        at: ended.at.clone(),
    }
}
