//! A small append log that is tested in its own process, without FUSE: its missing directory sync is
//! found in milliseconds.
//!
//! `cargo run -p plugpull-crashsim --example append_log`

use std::io;
use std::time::Instant;

use plugpull_crashsim::file::{File, SimDisk, Storage};
use plugpull_crashsim::persist::{MODELS, Model, crash_states};

/// Records of 8 bytes in segments of four; each segment is a file of its own.
struct AppendLog<S: Storage> {
    storage: S,
    segment: Option<S::File>,
    count: u64,
    /// The mutant leaves out the sync of the directory.
    syncs_dir: bool,
}

const PER_SEGMENT: u64 = 4;

impl<S: Storage> AppendLog<S> {
    fn new(storage: S, syncs_dir: bool) -> Self {
        Self {
            storage,
            segment: None,
            count: 0,
            syncs_dir,
        }
    }

    /// Appends a record; it is durable when this returns.
    fn append(&mut self, record: u64) -> io::Result<()> {
        let at = self.count % PER_SEGMENT;
        if at == 0 {
            let name = format!("segment-{}", self.count / PER_SEGMENT);
            self.segment = Some(self.storage.create(&name)?);
            if self.syncs_dir {
                self.storage.sync_dir("")?;
            }
        }
        let Some(segment) = &self.segment else {
            return Err(io::Error::other("no segment is open"));
        };
        segment.write_at(at * 8, &record.to_le_bytes())?;
        segment.sync_data()?;
        self.count += 1;
        Ok(())
    }
}

/// The records that a log holds, as recovery reads them.
fn recover(disk: &SimDisk) -> Vec<u64> {
    let segments = (0..).map_while(|n| disk.read(&format!("segment-{n}")).ok());
    let bytes: Vec<u8> = segments.flatten().collect();
    let (records, _torn) = bytes.as_chunks::<8>();
    records
        .iter()
        .map(|record| u64::from_le_bytes(*record))
        .collect()
}

/// Tries the crash states of ten appends under a model: how many there are, and in how many an
/// acknowledged record is lost.
fn explore(model: &dyn Model, syncs_dir: bool) -> io::Result<(usize, usize)> {
    let disk = SimDisk::new();
    let mut log = AppendLog::new(disk.clone(), syncs_dir);
    for n in 1..=10 {
        log.append(n)?;
        disk.ack(n);
    }
    let recorded = disk.take_log();
    let (mut states, mut lost) = (0, 0);
    for (point, state) in crash_states(&recorded, model, 4) {
        let acked = recorded.acks_before(point);
        let found = recover(&SimDisk::of(state.tree));
        let there = (1..=acked as u64).all(|n| found.get(n as usize - 1) == Some(&n));
        states += 1;
        lost += usize::from(!there);
    }
    Ok((states, lost))
}

fn main() -> io::Result<()> {
    for syncs_dir in [true, false] {
        let what = if syncs_dir { "with" } else { "without" };
        println!("{what} a sync of the directory");
        for model in MODELS {
            let began = Instant::now();
            let (states, lost) = explore(model, syncs_dir)?;
            println!(
                "  {:<16} {states:>4} crash states, an acknowledged record lost in {lost:>3}, {:.1} ms",
                model.name(),
                began.elapsed().as_secs_f64() * 1000.0
            );
            // Only the strict model, which is what POSIX promises, lets a synced file lose its name.
            let finds = !syncs_dir && model.name() == "strict";
            assert_eq!(lost > 0, finds, "{} {what}", model.name());
        }
    }
    Ok(())
}
