//! What plugpull reads from others, under fuzzing: traces, artifacts, run files, reports, baselines,
//! answers of drivers, triggers, target files; and the simulated disk against a plain model.
//!
//! A [`Subject`] is one reader, with sound inputs to begin from and the property that must hold for
//! every input. [`mutate`] makes inputs from the sound ones: the same seed and number give the same
//! input, so that two numbers repeat a finding. [`supervise`] runs a subject in a process of its own,
//! whose memory is limited, and ends it where one input takes too long.
//!
//! No special toolchain is needed. There is no feedback from coverage: the inputs are close to sound
//! ones instead, and keep the checksums of a format.

pub mod mutate;
pub mod subject;
mod subjects;
pub mod supervise;

pub use subject::{Reading, Shape, Subject};
pub use subjects::all;
