//! The stand-ins for daemons that others wrote, one subcommand a system.

/// The first argument that makes plugpull's own binary a stand-in. What follows it goes to [`run`].
pub const REFERENCE: &str = "__reference";

/// Becomes the stand-in that `args` name: `SYSTEM [NAME=VALUE]...`. Returns the exit code when it
/// ends: 2 for wrong use, 1 when it cannot open or serve its data (said on standard error).
pub fn run(args: &[String]) -> i32 {
    let (code, why) = match args.split_first() {
        #[cfg(feature = "statehouse")]
        Some((system, rest)) if system == crate::statehouse::NAME => {
            crate::statehouse::reference::main(rest)
        }
        Some((system, rest)) if system == crate::interstice::NAME => {
            crate::interstice::reference::main(rest)
        }
        Some((system, rest)) if system == crate::vfab::NAME => crate::vfab::reference::main(rest),
        #[cfg(feature = "ailee")]
        Some((system, rest)) if system == crate::ailee::NAME => crate::ailee::reference::main(rest),
        // Not stand-ins: what keeps the real node's folder, what writes to a real node, and what speaks
        // for a real command line.
        Some((system, rest)) if system == crate::interstice::node::keeper::KEEPER => {
            crate::interstice::node::keeper::main(rest)
        }
        #[cfg(feature = "ailee")]
        Some((system, rest)) if system == crate::ailee::WORKLOAD => crate::ailee::workload(rest),
        Some((system, rest)) if system == crate::vfab::commands::COMMANDS => {
            crate::vfab::commands::main(rest)
        }
        Some((system, _)) => (
            2,
            format!(
                "there is no stand-in for {system:?} in this build; {}",
                known()
            ),
        ),
        None => (2, format!("which system? {}", known())),
    };
    if why.is_empty() {
        return code;
    }
    // Nobody may be listening, and eprintln! would panic then.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{why}\n"));
    code
}

/// The systems that can be stood in for, in words.
fn known() -> String {
    let systems: &[&str] = &[
        #[cfg(feature = "statehouse")]
        crate::statehouse::NAME,
        crate::interstice::NAME,
        crate::vfab::NAME,
        #[cfg(feature = "ailee")]
        crate::ailee::NAME,
    ];
    format!("there is: {}", systems.join(", "))
}
