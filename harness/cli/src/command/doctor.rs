//! `plugpull faults` and `plugpull doctor`: what can be injected, and what of it this machine can.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use plugpull_crashsim::persist::MODELS;
use plugpull_faults::FAULTS;
use plugpull_filesystems::{FILESYSTEMS, missing_here};
use plugpull_sandbox::capability::Capability;

/// Probes the machine and prints what it found.
pub(crate) fn run() -> anyhow::Result<u8> {
    let mut found = plugpull_faults::probe_capabilities();
    found.push(confirm(&found));
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(plugpull_reports::Look::of_stdout().width.min(100) as u16);
    table.set_header(["capability", "", "what was found"]);
    for one in &found {
        let mark = if one.available { "yes" } else { "no" };
        table.add_row([one.name.to_string(), mark.to_string(), one.detail.clone()]);
    }
    println!("{table}");
    for one in &found {
        if one.available || one.enables.is_empty() {
            continue;
        }
        println!("\nWithout {}: no {}.", one.name, one.enables.join(", "));
        if let Some(fix) = &one.fix {
            println!("  {fix}");
        }
    }
    let missing = found
        .iter()
        .filter(|one| !one.available && !one.enables.is_empty())
        .count();
    println!(
        "\n{}",
        match missing {
            0 => "Every fault can be injected here.".to_string(),
            1 => "One capability is missing; what needs it is reported as not measured.".into(),
            n => format!(
                "{n} capabilities are missing; what needs them is reported as not measured."
            ),
        }
    );
    Ok(crate::KEPT)
}

/// Whether `plugpull confirm` can mount the kernel's own filesystems, and which. No fault needs it.
fn confirm(found: &[Capability]) -> Capability {
    let lacks = |name: &&str| {
        let one = found.iter().find(|one| one.name == *name);
        one.is_none_or(|one| !one.available)
    };
    let mut missing = missing_here();
    let needed = ["root", "loop", "fuse"];
    missing.extend(needed.iter().copied().filter(lacks));
    missing.sort_unstable();
    missing.dedup();
    let (here, not_here): (Vec<_>, Vec<_>) =
        FILESYSTEMS.iter().partition(|one| one.program().is_some());
    let names = |filesystems: Vec<&plugpull_filesystems::Filesystem>| {
        let names = filesystems.iter().map(|one| one.name);
        names.collect::<Vec<_>>().join(", ")
    };
    let detail = match (missing.is_empty(), here.is_empty()) {
        (false, _) => format!("mounting a real filesystem needs {}", missing.join(", ")),
        (true, true) => "there is no program that makes a filesystem".into(),
        (true, false) => format!("can be made here: {}", names(here.clone())),
    };
    let none_missing = not_here.is_empty();
    Capability {
        name: "confirm",
        available: missing.is_empty() && !here.is_empty(),
        detail: match none_missing {
            true => detail,
            false => format!("{detail}; cannot: {}", names(not_here)),
        },
        enables: Vec::new(),
        fix: (!none_missing).then(|| "apt-get install e2fsprogs xfsprogs btrfs-progs".into()),
    }
}

/// Prints every fault and every persistence model.
pub(crate) fn list() -> anyhow::Result<u8> {
    println!("Faults (--fault NAME, or NAME@TRIGGER):");
    for fault in FAULTS {
        println!("  {:<20} {}", fault.name, fault.about);
        if !fault.needs.is_empty() {
            let needs: Vec<&str> = fault.needs.iter().map(|need| need.label()).collect();
            println!("  {:<20}   needs {}", "", needs.join(" and "));
        }
    }
    println!();
    println!("Triggers: {}", plugpull_faults::trigger::KNOWN);
    println!("  power-loss@op=sync,path=*-wal,n=17   before the 17th sync of a file named *-wal");
    println!("  kill@ack=25                          after the 25th acknowledged transaction");
    println!("  kill-op@op=write,p=0.01              before a write, each with a chance of 1 %");
    println!("  power-loss@n=3,recovery              before the 3rd change that recovery makes");
    println!(
        "  bit-flip@path=*.dat,n=9              before the 9th change of such a file, and in one"
    );
    println!("  vacuum@ack=40                        the action, and a SIGKILL when it is done");
    println!("  vacuum@op=sync,n=2                   SIGKILL before the 2nd sync since it began");
    println!("  reorg@ack=40,depth=6                 the action with its number");
    println!("  term@ack=40,within=60s               a stop that may take a minute");
    println!();
    println!("Persistence models (--model NAME):");
    for model in MODELS {
        println!("  {:<20} {}", model.name(), model.about());
    }
    Ok(crate::KEPT)
}
