//! The readers, by what they read.

pub(crate) mod blocks;
pub(crate) mod disk;
pub(crate) mod driver;
pub(crate) mod report;
pub(crate) mod stored;
pub(crate) mod text;

use crate::subject::Subject;

/// Every subject.
#[must_use]
pub fn all() -> [Subject; 10] {
    [
        stored::TRACE,
        stored::ARTIFACT,
        blocks::LOG_WRITES,
        report::RUN_FILE,
        report::REPORT,
        report::BASELINE,
        driver::ANSWERS,
        text::TRIGGER,
        text::TARGET_FILE,
        disk::OPERATIONS,
    ]
}
