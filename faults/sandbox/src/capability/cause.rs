//! From what was refused to the command that would allow it.

use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::geteuid;

use crate::SandboxError;

/// The settings of a machine that decide what is allowed.
#[derive(Clone, Debug)]
pub(super) struct MachineSettings {
    /// Whether this is uid 0.
    pub(super) root: bool,
    /// Whether it may mount.
    pub(super) admin: bool,
    /// Whether this looks like the inside of a container.
    pub(super) container: bool,
    /// Debian's switch for user namespaces.
    pub(super) userns_clone: Option<u64>,
    /// Ubuntu's (AppArmor's).
    pub(super) apparmor_restricts: Option<u64>,
    /// The kernel's own.
    pub(super) max_user_namespaces: Option<u64>,
    /// Whether systemd runs the machine.
    pub(super) systemd: bool,
    /// Controllers of the root cgroup of version 2, and those that it hands down.
    pub(super) controllers: Option<(String, String)>,
    /// Whether a hierarchy of version 1 has the memory controller.
    pub(super) memory_v1: bool,
}

impl MachineSettings {
    /// Reads them.
    pub(super) fn look() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cgroup2 = text("/proc/self/mounts").lines().find_map(|line| {
            let mut fields = line.split(' ');
            let top = fields.nth(1)?.to_owned();
            (fields.next()? == "cgroup2").then_some(top)
        });
        Self {
            root: geteuid().is_root(),
            admin: may_mount(&text("/proc/self/status")),
            container: Path::new("/.dockerenv").exists()
                || Path::new("/run/.containerenv").exists()
                || std::env::var_os("container").is_some(),
            userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            systemd: Path::new("/run/systemd/system").exists(),
            controllers: cgroup2.map(|top| {
                (
                    text(&format!("{top}/cgroup.controllers")),
                    text(&format!("{top}/cgroup.subtree_control")),
                )
            }),
            memory_v1: text("/proc/self/cgroup").lines().any(|line| {
                line.split(':')
                    .nth(1)
                    .is_some_and(|names| names.split(',').any(|name| name == "memory"))
            }),
        }
    }

    /// What would allow namespaces. The switches are named in the order in which the kernel asks.
    pub(super) fn allow_user_namespaces(&self) -> String {
        if self.max_user_namespaces == Some(0) {
            return "sudo sysctl -w user.max_user_namespaces=15000".into();
        }
        if self.userns_clone == Some(0) {
            return "sudo sysctl -w kernel.unprivileged_userns_clone=1".into();
        }
        if self.apparmor_restricts.is_some_and(|value| value != 0) {
            return "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".into();
        }
        if self.container {
            return "docker run --privileged ... (on the host that runs this container)".into();
        }
        "sudo plugpull ...".into()
    }

    /// What would allow a FUSE mount that was refused like this.
    pub(super) fn allow_fuse(&self, error: &SandboxError) -> String {
        let SandboxError::Refused { what, source } = error else {
            return self.allow_user_namespaces();
        };
        match source.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) if self.container => {
                "docker run --device /dev/fuse --privileged ... (on the host)".into()
            }
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => "sudo modprobe fuse".into(),
            Some(libc::EACCES | libc::EPERM) if what.contains("/dev/fuse") && !self.root => {
                "sudo chmod 666 /dev/fuse".into()
            }
            Some(libc::EPERM) if self.container => {
                "docker run --device /dev/fuse --privileged ... (on the host)".into()
            }
            _ => self.allow_user_namespaces(),
        }
    }

    /// What would allow a memory limit.
    pub(super) fn allow_memory_cgroup(&self) -> String {
        let has = |names: &str| names.split_ascii_whitespace().any(|name| name == "memory");
        let (known, handed_down) = match &self.controllers {
            Some((all, down)) => (has(all), has(down)),
            None => (false, false),
        };
        if !known && !self.memory_v1 {
            return "add cgroup_enable=memory to the kernel's command line, and reboot".into();
        }
        if known && self.systemd && !self.root {
            return "systemd-run --user --scope -p Delegate=yes plugpull ...".into();
        }
        if !self.root {
            return "sudo plugpull ...".into();
        }
        if self.container {
            return "docker run --privileged --cgroupns=host ... (on the host)".into();
        }
        if known && !handed_down {
            return "echo +memory | sudo tee /sys/fs/cgroup/cgroup.subtree_control".into();
        }
        "sudo mount -o remount,rw /sys/fs/cgroup".into()
    }

    /// What would allow a loop device that was refused like this.
    pub(super) fn allow_loop(&self, error: &io::Error) -> String {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) if !self.container => {
                "sudo modprobe loop".into()
            }
            Some(libc::EACCES | libc::EPERM) if !self.root => "sudo plugpull ...".into(),
            _ => "docker run --privileged ... (on the host)".into(),
        }
    }
}

/// Whether the effective capabilities in `/proc/self/status` hold CAP_SYS_ADMIN, number 21.
fn may_mount(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << 21) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user of a machine that allows everything.
    fn user() -> MachineSettings {
        MachineSettings {
            root: false,
            admin: false,
            container: false,
            userns_clone: Some(1),
            apparmor_restricts: Some(0),
            max_user_namespaces: Some(1000),
            systemd: true,
            controllers: Some(("cpu memory".into(), "cpu memory".into())),
            memory_v1: false,
        }
    }

    fn refused(what: &str, errno: i32) -> SandboxError {
        SandboxError::Refused {
            what: what.into(),
            source: io::Error::from_raw_os_error(errno),
        }
    }

    #[test]
    fn the_switch_that_is_off_is_named() {
        let mut machine = user();
        assert_eq!(machine.allow_user_namespaces(), "sudo plugpull ...");
        machine.apparmor_restricts = Some(1);
        assert_eq!(
            machine.allow_user_namespaces(),
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        );
        machine.userns_clone = Some(0);
        assert_eq!(
            machine.allow_user_namespaces(),
            "sudo sysctl -w kernel.unprivileged_userns_clone=1"
        );
        machine.max_user_namespaces = Some(0);
        assert!(
            machine
                .allow_user_namespaces()
                .contains("max_user_namespaces")
        );
    }

    #[test]
    fn a_closed_device_and_a_missing_one_have_other_fixes() {
        let machine = user();
        let open = "open /dev/fuse";
        assert_eq!(
            machine.allow_fuse(&refused(open, libc::EACCES)),
            "sudo chmod 666 /dev/fuse"
        );
        assert_eq!(
            machine.allow_fuse(&refused(open, libc::ENOENT)),
            "sudo modprobe fuse"
        );
        let inside = MachineSettings {
            container: true,
            ..machine
        };
        assert!(
            inside
                .allow_fuse(&refused(open, libc::ENOENT))
                .starts_with("docker")
        );
    }

    #[test]
    fn a_memory_limit_is_delegated_enabled_or_compiled_in() {
        let mut machine = user();
        assert!(machine.allow_memory_cgroup().starts_with("systemd-run"));
        machine.root = true;
        machine.controllers = Some(("memory".into(), String::new()));
        assert!(machine.allow_memory_cgroup().starts_with("echo +memory"));
        machine.controllers = None;
        assert!(machine.allow_memory_cgroup().contains("cgroup_enable"));
        machine.memory_v1 = true;
        machine.root = false;
        assert_eq!(machine.allow_memory_cgroup(), "sudo plugpull ...");
    }

    #[test]
    fn a_loop_device_wants_its_module_or_root() {
        let machine = user();
        let fix = |errno| machine.allow_loop(&io::Error::from_raw_os_error(errno));
        assert_eq!(fix(libc::ENOENT), "sudo modprobe loop");
        assert_eq!(fix(libc::EACCES), "sudo plugpull ...");
    }

    #[test]
    fn the_right_to_mount_is_read_from_the_mask() {
        assert!(may_mount("Name:\tx\nCapEff:\t000001fffeffffff\n"));
        assert!(!may_mount("CapEff:\t0000000000000000\n"));
        assert!(!may_mount(""));
    }
}
