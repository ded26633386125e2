//! Exploring: one recorded run, and the crash states that it could have left.
//!
//! A [`Trace`] is recorded or read. A [`StateEnumerator`] makes crash states of it, [`Workers`] try
//! them, the [`Oracle`] judges what came of them, and the [`Explorer`] decides what is tried next,
//! groups what failed and has it minimised.

mod answers;
mod artifact;
mod artifact_limits;
mod attempt;
mod audit;
mod crash;
mod deciding;
mod describe;
mod diagnosis;
mod end_state;
mod enumerator;
mod explorer;
mod findings;
mod follow_up;
mod follow_ups;
mod forked;
mod grouping;
mod known;
mod limits;
mod minimise;
mod minimiser;
mod names;
mod oracle;
mod phases;
mod points;
mod recording;
mod recoveries;
mod report;
mod retry;
mod sandbox_follow_up;
mod sandbox_worker;
mod smaller;
mod tally;
mod trace;
mod trial_log;
mod verification;
mod worker_pool;

pub use artifact::{About, Artifact, RecordedWith};
pub use attempt::{Answer, Attempt, Breaker, CrashDisk, RecoveryNote, Reply, TryState, Workers};
pub use crash::{Crash, CrashModel, changes_disk};
#[cfg(test)]
pub(crate) use deciding::{Deciding, Noted};
pub use describe::{evidence, sentence, timeline};
#[cfg(test)]
pub(crate) use diagnosis::EditedRun;
pub use end_state::end_state;
pub use enumerator::{Candidate, ModelTally, StateEnumerator};
pub use explorer::Explorer;
pub use follow_up::{Basis, FollowUpPlan, FollowedUp, LifeCall, Shown};
pub use follow_ups::{FollowUpShare, FollowUps};
#[cfg(test)]
pub(crate) use forked::what_counts;
#[cfg(test)]
pub(crate) use grouping::{ByMissingUpdates, Cause, Grouping};
pub use grouping::{Group, Groups};
pub use known::{KnownStates, KnownWorkers};
pub use limits::Limits;
pub use oracle::Oracle;
pub use recording::{RecordingPlan, record};
pub use report::{coverage, finding_of, finding_record, reported};
pub use retry::{Minimised, Rate};
pub use sandbox_worker::{CpuLease, NewSandbox, SandboxWorker, StartLimits};
pub use smaller::{SmallerRun, SmallerRuns, WorkloadSize};
pub use tally::{Judged, Summary};
pub use trace::{Recorded, Trace, TraceFile};
pub use trial_log::{FoundGroup, Sink};
pub use verification::{CrashCause, Verification, verify};
pub use worker_pool::WorkerPool;
