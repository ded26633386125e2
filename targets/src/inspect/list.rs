//! All inspectors, by name.

use super::Inspector;
use crate::{ailee, interstice, vfab};

/// Every inspector.
pub const INSPECTORS: [Inspector; 3] = [ailee::INSPECTOR, interstice::INSPECTOR, vfab::INSPECTOR];

/// The inspector of this name.
pub fn inspector(name: &str) -> Option<&'static Inspector> {
    INSPECTORS.iter().find(|one| one.name == name)
}
