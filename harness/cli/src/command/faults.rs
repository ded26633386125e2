//! `plugpull faults`: the list.

use plugpull_crashsim::persist::MODELS;
use plugpull_faults::FAULTS;

/// Prints every fault and every persistence model.
pub(crate) fn run() -> anyhow::Result<u8> {
    println!("Faults (--fault NAME, or NAME@TRIGGER):");
    for fault in FAULTS {
        println!("  {:<20} {}", fault.name, fault.about);
    }
    println!();
    println!(
        "Triggers: op=KIND, path=PATTERN, n=COUNT, p=CHANCE, ack=COUNT, time=DURATION, recovery, \
         depth=BLOCKS, within=DURATION"
    );
    println!("  power-loss@op=sync,path=*-wal,n=17   before the 17th sync of a file named *-wal");
    println!("  kill@ack=25                          after the 25th acknowledged transaction");
    println!("  kill-op@op=write,p=0.01              before a write, each with a chance of 1 %");
    println!("  power-loss@n=3,recovery              before the 3rd change that recovery makes");
    println!(
        "  bit-flip@path=*.dat,n=9              before the 9th change of such a file, and in one"
    );
    println!(
        "  reorg@ack=40,depth=6                 six blocks, after the 40th acknowledged transaction"
    );
    println!("  term@ack=40,within=60s               a stop that may take a minute");
    println!();
    println!("Persistence models (--model NAME):");
    for model in MODELS {
        println!("  {:<20} {}", model.name(), model.about());
    }
    Ok(crate::KEPT)
}
