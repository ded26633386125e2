//! The doctor: what this machine can inject, and how to get the rest.
//!
//! Everything is really tried, in a throw-away sandbox, and nothing is left behind: that a device
//! or a setting exists says little about whether it may be used.

mod cause;
mod loop_device;

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, geteuid};

use crate::{CgroupVersion, Isolation, Sandbox, SandboxError, SandboxOptions, Wanted};
use cause::Machine;

/// Something that faults need of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name: `root`, `user-namespaces`, `mount-namespace`, `fuse`, `cgroup-memory`, `loop`,
    /// `overlay` or `pinning`.
    pub name: &'static str,
    /// Whether this machine has it, for this user.
    pub available: bool,
    /// What was tried, and what happened.
    pub detail: String,
    /// The names of the faults that cannot be injected without it. Empty where it only makes
    /// things faster, or where something else stands in for it.
    pub enables: Vec<&'static str>,
    /// The command that would enable it, where it is missing and there is one.
    pub fix: Option<String>,
}

/// Tries everything. Takes a fraction of a second, and starts the running program again as
/// [`Sandbox::open`] does. `enabled_by` names the faults that need the capability of a name.
pub fn probe(enabled_by: fn(&str) -> Vec<&'static str>) -> Vec<Capability> {
    let machine = Machine::look();
    let full = open(Isolation::Full, false);
    // Root's own sandbox needs no user namespace, so that one is tried apart.
    let with_user_namespace = match &full {
        Ok(sandbox) if sandbox.user_namespace() => None,
        _ => Some(open(Isolation::Full, true)),
    };
    // The memory limit works without namespaces too.
    let bare = match &full {
        Ok(_) => None,
        Err(_) => Some(open(Isolation::Bare, false)),
    };
    let limited = bare.as_ref().unwrap_or(&full);
    let mut found = vec![
        root(&machine),
        user_namespaces(&machine, with_user_namespace.as_ref().unwrap_or(&full)),
        mount_namespace(&machine, &full),
        fuse(&machine, &full),
        cgroup_memory(&machine, limited),
        loop_devices(&machine),
        overlay(&full),
        pinning(),
    ];
    for capability in &mut found {
        capability.enables = enabled_by(capability.name);
    }
    found
}

fn open(isolation: Isolation, user_namespace: bool) -> Result<Sandbox, SandboxError> {
    Sandbox::open(&SandboxOptions {
        isolation: Wanted::Only(isolation),
        user_namespace,
        ..SandboxOptions::default()
    })
}

fn root(machine: &Machine) -> Capability {
    Capability {
        name: "root",
        available: machine.root && machine.admin,
        detail: match (machine.root, machine.admin) {
            (true, true) => "running as root, with CAP_SYS_ADMIN".into(),
            (true, false) => "running as root of a container, without CAP_SYS_ADMIN".into(),
            (false, _) => format!("running as user {}", geteuid()),
        },
        enables: Vec::new(),
        fix: (!machine.root).then(|| "sudo plugpull ...".into()),
    }
}

fn user_namespaces(machine: &Machine, sandbox: &Result<Sandbox, SandboxError>) -> Capability {
    Capability {
        name: "user-namespaces",
        available: sandbox.is_ok(),
        detail: match sandbox {
            Ok(_) => "entered one, and mounted in it".into(),
            Err(error) => error.to_string(),
        },
        // What they allow is listed where it is used: mount-namespace and fuse.
        enables: Vec::new(),
        fix: sandbox.is_err().then(|| machine.allow_user_namespaces()),
    }
}

fn mount_namespace(machine: &Machine, sandbox: &Result<Sandbox, SandboxError>) -> Capability {
    let (detail, fix) = match sandbox {
        Ok(sandbox) => {
            let mut detail = format!(
                "made the machine read-only and mounted {} in private namespaces",
                sandbox.data_dir().display()
            );
            for note in sandbox.notes() {
                detail.push_str("; ");
                detail.push_str(note);
            }
            (detail, None)
        }
        Err(error) => (error.to_string(), Some(machine.allow_user_namespaces())),
    };
    Capability {
        name: "mount-namespace",
        available: sandbox.is_ok(),
        detail,
        enables: Vec::new(),
        fix,
    }
}

fn fuse(machine: &Machine, sandbox: &Result<Sandbox, SandboxError>) -> Capability {
    let mounted = match sandbox {
        Ok(sandbox) => sandbox.mount_fuse().and_then(|_| sandbox.unmount(true)),
        // Without a place to mount it, at least say whether the device is open to us.
        Err(_) => std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .map_err(|source| SandboxError::Refused {
                what: "open /dev/fuse".into(),
                source,
            })
            .and(Err(SandboxError::Unavailable(
                "/dev/fuse can be opened, but nothing can be mounted without a mount namespace"
                    .into(),
            ))),
    };
    let (detail, fix) = match &mounted {
        Ok(()) => (
            "opened /dev/fuse, mounted a filesystem in private namespaces and unmounted it".into(),
            None,
        ),
        Err(error) => (error.to_string(), Some(machine.allow_fuse(error))),
    };
    Capability {
        name: "fuse",
        available: mounted.is_ok(),
        detail,
        enables: Vec::new(),
        fix,
    }
}

fn cgroup_memory(machine: &Machine, sandbox: &Result<Sandbox, SandboxError>) -> Capability {
    let limited = match sandbox {
        Ok(sandbox) => sandbox.memory().and_then(|memory| {
            memory.set(Some(64 << 20))?;
            memory.set(None)?;
            Ok(memory.version())
        }),
        Err(error) => Err(SandboxError::Unavailable(error.to_string())),
    };
    let (detail, fix) = match &limited {
        Ok(version) => {
            let version = match version {
                CgroupVersion::V1 => 1,
                CgroupVersion::V2 => 2,
            };
            let detail =
                format!("made a cgroup (version {version}), limited its memory and removed it");
            (detail, None)
        }
        Err(error) => (error.to_string(), Some(machine.allow_memory_cgroup())),
    };
    Capability {
        name: "cgroup-memory",
        available: limited.is_ok(),
        detail,
        enables: Vec::new(),
        fix,
    }
}

fn loop_devices(machine: &Machine) -> Capability {
    let found = loop_device::free();
    let (detail, fix) = match &found {
        Ok(detail) => (detail.clone(), None),
        Err(error) => (
            format!("opening /dev/loop-control and a free loop device: {error}"),
            Some(machine.allow_loop(error)),
        ),
    };
    Capability {
        name: "loop",
        available: found.is_ok(),
        detail,
        enables: Vec::new(),
        fix,
    }
}

fn overlay(sandbox: &Result<Sandbox, SandboxError>) -> Capability {
    let tmp = sandbox.as_ref().map(Sandbox::tmp);
    Capability {
        name: "overlay",
        available: matches!(tmp, Ok("overlay")),
        detail: match tmp {
            Ok("overlay") => "mounted one on /tmp: programs there stay visible".into(),
            Ok("tmpfs") => "not allowed: in the sandbox /tmp is empty".into(),
            Ok(_) => "not allowed: in the sandbox /tmp is read-only".into(),
            Err(_) => "not tried, there is no mount namespace".into(),
        },
        enables: Vec::new(),
        fix: None,
    }
}

fn pinning() -> Capability {
    let pinned = pin();
    Capability {
        name: "pinning",
        available: pinned.is_ok(),
        detail: match pinned {
            Ok(cpus) => format!("pinned a thread to one of {cpus} CPUs"),
            Err(error) => format!("pinning a thread to a CPU: {error}"),
        },
        enables: Vec::new(),
        fix: None,
    }
}

/// Pins a thread of its own to the first CPU that it may use; returns how many it may use.
fn pin() -> io::Result<usize> {
    let pinned = std::thread::Builder::new().spawn(|| {
        let here = Pid::from_raw(0);
        let allowed = sched_getaffinity(here)?;
        let allowed: Vec<usize> = (0..CpuSet::count())
            .filter(|&cpu| allowed.is_set(cpu).unwrap_or(false))
            .collect();
        let mut one = CpuSet::new();
        one.set(allowed.first().copied().unwrap_or(0))?;
        sched_setaffinity(here, &one)?;
        Ok(allowed.len())
    })?;
    pinned
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}
