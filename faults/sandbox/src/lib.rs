//! Private namespaces for everything that a target does, so that nothing outlives plugpull.
//!
//! ```text
//! plugpull (supervisor)  many threads; serves FUSE; holds a Sandbox
//!   └─ janitor           plugpull again, outside the namespaces; cleans up whatever happens
//!        └─ init         process 1 of a PID namespace; mounts, starts, signals, kills, reaps
//!             └─ target  and its children
//!   └─ file holder       plugpull again; holds files that the target maps, and writes them back
//! ```
//!
//! A PID namespace dies with its init, a mount namespace with its last process, a network
//! namespace with its last socket. So it is enough that init dies when plugpull or the janitor
//! does; the janitor removes what no namespace takes along (see its module `janitor`).
//!
//! In the sandbox everything that the user has is visible and read-only. Writable are the data
//! directory, a private `/tmp` that shows what the real one holds, and a private `/dev/shm`. The
//! network is a loopback of its own, so that many sandboxes can use the same port. As an ordinary
//! user this needs user namespaces; where they are not allowed, [`Isolation::Bare`] has no mounts
//! and shares the network, and kills by walking the process tree.
//!
//! A program that opens a sandbox must call [`sandbox_main`] when its first argument is
//! [`SANDBOX_ARG`], before it starts a thread.

mod bare;
mod calls;
pub mod capability;
mod cgroup;
mod child;
mod elsewhere;
mod error;
mod file_holder;
mod fork_parent;
mod free_memory;
pub mod fuse;
mod init;
mod janitor;
mod launch;
mod listener;
mod memory;
mod mount_table;
mod mounts;
mod options;
mod output;
mod packet;
#[expect(unsafe_code, reason = "an allocator is unsafe by its nature")]
pub mod page_memory;
mod pending;
pub mod pin;
mod proctree;
mod protocol;
mod readahead;
mod renew;
mod stacks;
mod supervisor;
mod sys;
mod usage;

pub use cgroup::CgroupVersion;
pub use child::{Child, Limit, Program, SpawnRequest};
pub use elsewhere::WrittenElsewhere;
pub use error::SandboxError;
pub use fork_parent::{ForkError, ForkParent};
pub use free_memory::disk_size;
pub use janitor::sandbox_main;
pub use memory::{MemoryLimit, OomEvidence};
pub use options::{Isolation, IsolationPolicy, SandboxOptions};
pub use pending::Prepared;
pub use stacks::{
    CodeKind, MadeHow, SourceCall, Stack, StackFrame, StackModule, StackRecorder, Stacks,
};
pub use supervisor::Sandbox;
pub use usage::{Usage, used_by};

/// The exit code of a process that was forked from outside of the sandbox ([`ForkParent`]), where the kernel
/// tells it to nobody but its parent.
pub const UNKNOWN_CODE: i32 = -1;

/// The argument that has a program become the sandbox's janitor.
pub const SANDBOX_ARG: &str = "__sandbox";
