//! A crash filesystem for the kernel: the FUSE server of a simulated disk.

mod admission;
#[allow(unsafe_code)]
mod buffers;
mod fs;
mod serve;

pub use admission::{Admission, AdmitAll, Decision, OpKind, Operation, WaitId};
pub use fs::CrashFs;
pub use serve::serve;
