//! A crash filesystem for the kernel: the FUSE server of a simulated disk.

mod admission;
mod caller;
mod failure;
mod fs;
mod mappings;
mod requests;
mod server;

pub use admission::{Admission, AdmitAll, Decision, OpKind, Operation, WaitId};
pub use failure::ServerFailure;
pub use fs::CrashFs;
pub use server::Server;
