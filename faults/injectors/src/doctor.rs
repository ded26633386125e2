//! Which faults a capability of the machine enables.

use plugpull_sandbox::capability::{self, Capability};

use crate::FAULTS;
use crate::fault::Need;

/// Tries every capability, as [`capability::probe`] does, and says which faults each enables.
pub fn probe() -> Vec<Capability> {
    capability::probe(enabled_by)
}

/// The capabilities by name, with the need of a fault that each of them meets.
const NEEDED: [(&str, Need); 3] = [
    ("fuse", Need::CrashFs),
    ("mount-namespace", Need::LimitedStorage),
    ("cgroup-memory", Need::MemoryCgroup),
];

/// The names of the faults that need the capability of this name.
fn enabled_by(capability: &str) -> Vec<&'static str> {
    let enables = |need: &Need| NEEDED.contains(&(capability, *need));
    FAULTS
        .iter()
        .filter(|fault| fault.needs.iter().any(enables))
        .map(|fault| fault.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_loss_needs_the_crash_filesystem() {
        assert!(enabled_by("fuse").contains(&"power-loss"));
        assert!(enabled_by("loop").is_empty());
    }

    #[test]
    fn what_a_fault_needs_of_the_machine_is_a_capability() {
        for fault in FAULTS {
            for need in fault.needs {
                // The others are needs of the target.
                if !matches!(need, Need::Chain | Need::Snapshots) {
                    let known = NEEDED.iter().any(|(_, met)| met == need);
                    assert!(known, "no capability meets {need:?} of {}", fault.name);
                }
            }
        }
    }
}
