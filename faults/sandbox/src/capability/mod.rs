//! The doctor: what this machine can inject, and how to get the rest.
//!
//! Everything is really tried, in a throw-away sandbox, and nothing is left behind: that a device
//! or a setting exists says little about whether it may be used.

mod cause;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use nix::unistd::geteuid;

use crate::pin;
use crate::{
    CgroupVersion, Isolation, IsolationPolicy, Program, Sandbox, SandboxError, SandboxOptions,
    SpawnRequest,
};
use cause::MachineSettings;

/// Something that faults need of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name: `root`, `user-namespaces`, `mount-namespace`, `fuse`, `cgroup-memory`, `loop`,
    /// `overlay`, `sync-calls`, `forking`, `stacks` or `pinning`.
    pub name: &'static str,
    /// Whether this machine has it, for this user.
    pub available: bool,
    /// What was tried, and what happened.
    pub detail: String,
    /// The names of the faults that cannot be injected without it. Empty where it only makes
    /// things faster, or where something else does instead.
    pub enables: Vec<&'static str>,
    /// The command that would enable it, where it is missing and there is one.
    pub fix: Option<String>,
}

/// Tries everything. Takes a fraction of a second, and starts the running program again as
/// [`Sandbox::open`] does. `enabled_by` names the faults that need the capability of a name.
pub fn probe(enabled_by: fn(&str) -> Vec<&'static str>) -> Vec<Capability> {
    let machine = MachineSettings::look();
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
        sync_calls(&full),
        forking(&full),
        stacks(&full),
        pinning(),
    ];
    for capability in &mut found {
        capability.enables = enabled_by(capability.name);
    }
    found
}

fn open(isolation: Isolation, user_namespace: bool) -> Result<Sandbox, SandboxError> {
    Sandbox::open(&SandboxOptions {
        isolation: IsolationPolicy::Only(isolation),
        user_namespace,
        ..SandboxOptions::default()
    })
}

fn root(machine: &MachineSettings) -> Capability {
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

fn user_namespaces(
    machine: &MachineSettings,
    sandbox: &Result<Sandbox, SandboxError>,
) -> Capability {
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

/// Whether the crash filesystem hears of what the kernel tells no FUSE server.
fn sync_calls(sandbox: &Result<Sandbox, SandboxError>) -> Capability {
    let deaf = match sandbox {
        Ok(sandbox) => sandbox.why_deaf().map(|why| why.to_string()),
        Err(error) => Some(error.to_string()),
    };
    Capability {
        name: "sync-calls",
        available: deaf.is_none(),
        detail: match deaf {
            None => "watch sync, syncfs and shared mappings by a seccomp listener".into(),
            Some(why) => format!(
                "{why}: what a target makes durable by sync(2) or syncfs(2) alone counts as not \
                 durable, and stores in a shared mapping are seen late"
            ),
        },
        enables: Vec::new(),
        fix: None,
    }
}

/// Whether a driver that offers it can be forked for each state instead of being started.
fn forking(sandbox: &Result<Sandbox, SandboxError>) -> Capability {
    let program = Program::Path("/bin/true".into());
    let request = SpawnRequest::new(program, [] as [&str; 0]);
    let tried = sandbox
        .as_ref()
        .map(|sandbox| sandbox.fork_parent(&request));
    let failed = match tried {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    Capability {
        name: "forking",
        available: failed.is_none(),
        detail: match failed {
            None => "fork drivers that offer it, instead of starting them for each state".into(),
            Some(why) => format!("{why}: each driver is started for each state"),
        },
        enables: Vec::new(),
        fix: None,
    }
}

/// Whether `--stacks` can say who made an operation.
fn stacks(sandbox: &Result<Sandbox, SandboxError>) -> Capability {
    let failed = match sandbox.as_ref().map(Sandbox::try_stacks) {
        Ok(tried) => tried.err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    Capability {
        name: "stacks",
        available: failed.is_none(),
        detail: match &failed {
            None => "trace a process, and stop it at its calls (ptrace, seccomp)".into(),
            Some(why) => format!("{why}: --stacks cannot say which line made an operation"),
        },
        enables: Vec::new(),
        fix: failed.and_then(|_| ptrace_fix()),
    }
}

/// What allows tracing where Yama forbids it (Documentation/admin-guide/LSM/Yama.rst): at 2 only root may,
/// at 3 nobody until the machine is started again.
fn ptrace_fix() -> Option<String> {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    (scope.trim() == "2").then(|| "sudo sysctl -w kernel.yama.ptrace_scope=1".into())
}

fn mount_namespace(
    machine: &MachineSettings,
    sandbox: &Result<Sandbox, SandboxError>,
) -> Capability {
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

fn fuse(machine: &MachineSettings, sandbox: &Result<Sandbox, SandboxError>) -> Capability {
    let mounted = match sandbox {
        Ok(sandbox) => sandbox.mount_fuse().and_then(|_| sandbox.unmount(true)),
        // Without a place to mount it, at least say whether the device is open to us.
        Err(_) => OpenOptions::new()
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

fn cgroup_memory(machine: &MachineSettings, sandbox: &Result<Sandbox, SandboxError>) -> Capability {
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

fn loop_devices(machine: &MachineSettings) -> Capability {
    let found = free_loop_device();
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

/// Opens the control device and a free loop device, and attaches nothing. The control device
/// could be asked for a free one, but it may make one for that, which would be left behind.
fn free_loop_device() -> io::Result<String> {
    open_device(Path::new("/dev/loop-control"))?;
    let mut busy = 0;
    for number in 0.. {
        let name = format!("loop{number}");
        let Ok(_known) = fs::metadata(Path::new("/sys/block").join(&name)) else {
            break;
        };
        // This directory is there while a file is attached (drivers/block/loop.c).
        if Path::new("/sys/block").join(&name).join("loop").exists() {
            busy += 1;
            continue;
        }
        open_device(&Path::new("/dev").join(&name))?;
        return Ok(format!("opened /dev/loop-control and the free /dev/{name}"));
    }
    Ok(format!(
        "opened /dev/loop-control; {busy} devices are in use, it makes more"
    ))
}

fn open_device(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
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
    let pinned = pin_thread();
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
fn pin_thread() -> io::Result<usize> {
    let cpus = pin::all();
    let first = *cpus
        .first()
        .ok_or_else(|| io::Error::other("the kernel does not list the CPUs"))?;
    let pinned = std::thread::Builder::new().spawn(move || pin::this_thread(first))?;
    pinned.join().unwrap_or(Err(nix::errno::Errno::EIO))?;
    Ok(cpus.len())
}
