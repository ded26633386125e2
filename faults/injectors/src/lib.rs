//! Live faults, and the triggers that say when they are injected.

pub mod doctor;
pub mod fault;
pub mod inject;
pub mod kinds;
pub mod trigger;
