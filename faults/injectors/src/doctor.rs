//! Which faults a capability of the machine enables.

use plugpull_sandbox::capability::{self, Capability};

use crate::FAULTS;
use crate::fault::Need;

/// Tries every capability, as [`capability::probe`] does, and says which faults each enables.
pub fn probe() -> Vec<Capability> {
    capability::probe(enabled_by)
}

/// The names of the faults that need the capability of this name.
fn enabled_by(capability: &str) -> Vec<&'static str> {
    let need = match capability {
        "fuse" => Need::CrashFs,
        "mount-namespace" => Need::LimitedStorage,
        "cgroup-memory" => Need::MemoryCgroup,
        _ => return Vec::new(),
    };
    FAULTS
        .iter()
        .filter(|fault| fault.needs.contains(&need))
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
}
