//! The readers, by what they read.

pub(crate) mod disk;
pub(crate) mod driver;
pub(crate) mod report;
pub(crate) mod stored;
pub(crate) mod text;

use crate::subject::Subject;

/// Every subject.
#[must_use]
pub fn all() -> [Subject; 9] {
    [
        stored::TRACE,
        stored::ARTIFACT,
        report::RUN_FILE,
        report::REPORT,
        report::BASELINE,
        driver::ANSWERS,
        text::TRIGGER,
        text::TARGET_FILE,
        disk::OPERATIONS,
    ]
}
