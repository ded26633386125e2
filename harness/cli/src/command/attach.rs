//! `plugpull attach`: a service that something else supervises.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use plugpull_engine::attach::{self, AttachOptions, Attached, Mode};
use plugpull_reports::{EndReason, RunCommand, TargetInfo};

use super::baseline::Baseline;
use super::interrupt::{Overdue, stop_on_signal};
use super::live_run::LiveRun;
use super::{outputs, settings, wrong};
use crate::options::{OutputOptions, duration, key_value};

/// The action that had a mode of its own in version 0.1.
const REORG: &str = "reorg";

/// A mode as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModeArg {
    /// One of the engine's.
    Mode(Mode),
    /// `action` with the action `reorg`.
    Reorg,
}

impl ValueEnum for ModeArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [ModeArg; 7] = {
            let [a, b, c, d, e, f] = Mode::ALL;
            [
                ModeArg::Mode(a),
                ModeArg::Mode(b),
                ModeArg::Mode(c),
                ModeArg::Mode(d),
                ModeArg::Mode(e),
                ModeArg::Reorg,
                ModeArg::Mode(f),
            ]
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let Self::Mode(mode) = self else {
            let help = "The same as action, with --action reorg";
            return Some(PossibleValue::new(REORG).help(help));
        };
        let help = match mode {
            Mode::Crash => "SIGKILL, in the midst of writes",
            Mode::Restart => "SIGTERM, in the midst of writes",
            Mode::DiskFull => {
                "The data directory's filesystem is full for a while (requires --fill)"
            }
            Mode::Corruption => {
                "A bit of a stored file is flipped, in a copy of the data directory (requires \
                 --start-cmd)"
            }
            Mode::Action => {
                "An action of the driver is done in the midst of writes, then SIGKILL (requires \
                 --action)"
            }
            Mode::All => "Each of these that was given what it requires",
        };
        Some(PossibleValue::new(mode.name()).help(help))
    }
}

/// Exit codes: 0 every promise kept, 1 a promise broken, 2 wrong use or refused, 3 not measured or
/// plugpull itself failed. Commands are run by `sh -c`, with PLUGPULL_DATA_DIR and, where it is
/// known, PLUGPULL_PID in their environment.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// What is done to the service; may be given several times
    #[arg(
        long = "mode",
        value_name = "MODE",
        value_enum,
        default_value = "crash",
        value_delimiter = ','
    )]
    pub(crate) modes: Vec<ModeArg>,

    /// The name of the unit, of the data directory, or given by --service: nothing is done without it
    #[arg(long, value_name = "NAME")]
    pub(crate) i_own_this_target: Option<String>,

    /// The service's data directory on this machine
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// The systemd unit that supervises it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["pid_file", "pid_cmd"])]
    pub(crate) unit: Option<String>,

    /// The file that holds its process id
    #[arg(long, value_name = "FILE", conflicts_with = "pid_cmd")]
    pub(crate) pid_file: Option<PathBuf>,

    /// Prints its process id, on whatever machine; it is only compared, never signalled
    #[arg(long, value_name = "CMD")]
    pub(crate) pid_cmd: Option<String>,

    /// Prints what tells one start of the service from the next (a time, a run's id), on whatever
    /// machine; it is only compared
    #[arg(long, value_name = "CMD", conflicts_with_all = ["unit", "pid_file"])]
    pub(crate) identity_cmd: Option<String>,

    /// What the service is called, where it is no unit and has no data directory on this machine
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,

    /// Looks for the file plugpull.protected where there is no --data-dir: exit code 0 when it is
    /// there, 1 when it is not
    #[arg(long, value_name = "CMD")]
    pub(crate) marker_cmd: Option<String>,

    /// Starts it. For --mode corruption also starts it on a copy: the copy's path is in
    /// PLUGPULL_DATA_DIR, a free port in PLUGPULL_PORT
    #[arg(long, value_name = "CMD")]
    pub(crate) start_cmd: Option<String>,

    /// Stops it, for --mode restart and --in-place
    #[arg(long, value_name = "CMD")]
    pub(crate) stop_cmd: Option<String>,

    /// Kills it at once, as SIGKILL does
    #[arg(long, value_name = "CMD")]
    pub(crate) kill_cmd: Option<String>,

    /// How long the supervisor has to bring it back before plugpull starts it [default: 0s with
    /// --start-cmd alone, else the start limit]
    #[arg(long, value_name = "DURATION", value_parser = limit)]
    pub(crate) supervisor_wait: Option<Duration>,

    /// How long it may take to come back before it counts as down
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) start_limit: Duration,

    /// Write and read over TCP, by the protocol of the reference store
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "driver")]
    pub(crate) connect: Option<String>,

    /// Write and read through a driver (docs/driver-protocol.md) that connects to the service
    #[arg(long, value_name = "CMD")]
    pub(crate) driver: Option<String>,

    /// Hold it to the promises of this target [default: the driver's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,

    /// Set a setting of the target, where its promises hang on it
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) settings: Vec<(String, String)>,

    /// Hold it to more than it promises; as for `plugpull run`
    #[arg(long = "promise", value_name = "PROMISE")]
    pub(crate) promises: Vec<String>,

    /// Recovery, from the start of its process to the first correct answer, may take so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) recovery_bound: Option<Duration>,

    /// How often each mode is tried
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) rounds: u64,

    /// How many transactions a second are written, by all clients together
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,

    /// How many clients write at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) clients: u32,

    /// The largest payload of a value, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) value_size: u32,

    /// The seed of everything that plugpull decides
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// What the names of all keys begin with that plugpull writes, and removes
    #[arg(long, value_name = "TEXT", default_value = "plugpull.", value_parser = prefix)]
    pub(crate) prefix: String,

    /// Leave the keys where they are at the end
    #[arg(long)]
    pub(crate) leave_keys: bool,

    /// For disk-full: the mount point of the data directory's filesystem, which may be filled
    #[arg(long, value_name = "MOUNT")]
    pub(crate) fill: Option<PathBuf>,

    /// For disk-full: take no more than so many MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub(crate) fill_limit: u64,

    /// For corruption: damage only files whose name has `snap` in it
    #[arg(long)]
    pub(crate) corrupt_snapshot: bool,

    /// For corruption: damage the data directory itself, and put it back from a copy (wants a way to
    /// stop the service and to start it)
    #[arg(long)]
    pub(crate) in_place: bool,

    /// Where the copy of the data directory is made, and what must be put back is written down
    /// [default: the data directory's path with `.plugpull` behind it]
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,

    /// For action: which one of the driver's
    #[arg(long, value_name = "NAME")]
    pub(crate) action: Option<String>,

    /// For action: the number that it takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) amount: Option<u32>,

    /// The same as --action reorg --amount N
    #[arg(long, value_name = "N", conflicts_with_all = ["action", "amount"], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) reorg_depth: Option<u32>,

    /// Print every action and do none
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Put back what an earlier call that was killed left, and end
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) restore: bool,

    #[command(flatten)]
    pub(crate) outputs: OutputOptions,
}

impl AttachArgs {
    /// These as the engine takes them.
    pub(crate) fn options(&self) -> anyhow::Result<AttachOptions> {
        let of_engine = |mode: &ModeArg| match mode {
            ModeArg::Mode(mode) => *mode,
            ModeArg::Reorg => Mode::Action,
        };
        let by_mode = self.modes.contains(&ModeArg::Reorg);
        if by_mode && self.action.as_deref().is_some_and(|action| action != REORG) {
            return Err(wrong(
                "--mode reorg is for the action reorg; --mode action takes any",
            ));
        }
        let reorg = (by_mode || self.reorg_depth.is_some()).then_some(REORG);
        Ok(AttachOptions {
            modes: self.modes.iter().map(of_engine).collect(),
            i_own_this_target: self.i_own_this_target.clone(),
            data_dir: self.data_dir.clone(),
            unit: self.unit.clone(),
            pid_file: self.pid_file.clone(),
            pid_cmd: self.pid_cmd.clone(),
            identity_cmd: self.identity_cmd.clone(),
            service: self.service.clone(),
            marker_cmd: self.marker_cmd.clone(),
            start_cmd: self.start_cmd.clone(),
            stop_cmd: self.stop_cmd.clone(),
            kill_cmd: self.kill_cmd.clone(),
            supervisor_wait: self.supervisor_wait,
            start_limit: self.start_limit,
            connect: self.connect.clone(),
            driver: self.driver.clone(),
            target: self.target.clone(),
            settings: settings(&self.settings)?,
            promises: self.promises.clone(),
            recovery_bound: self.recovery_bound,
            rounds: self.rounds,
            rate: self.rate,
            clients: self.clients,
            value_size: self.value_size,
            seed: self.seed,
            prefix: self.prefix.clone(),
            leave_keys: self.leave_keys,
            fill: self.fill.clone(),
            fill_limit: self.fill_limit,
            corrupt_snapshot: self.corrupt_snapshot,
            in_place: self.in_place,
            work_dir: self.work_dir.clone(),
            action: self.action.clone().or_else(|| reorg.map(str::to_owned)),
            amount: self.amount.or(self.reorg_depth),
            dry_run: self.dry_run,
            restore: self.restore,
        })
    }
}

/// Makes the rounds and reports them. What could not be put back makes a run that found nothing
/// fail.
pub(crate) fn run(args: &AttachArgs) -> anyhow::Result<u8> {
    // From the beginning, so that no signal leaves anything behind.
    let stop = stop_on_signal();
    stop.when_overdue(Overdue::Wait);
    if args.outputs.keep.is_some() {
        return Err(wrong(
            "--keep is not for attach: the data stays where the service has it",
        ));
    }
    outputs::check(&args.outputs)?;
    let options = args.options()?;
    let target = TargetInfo {
        name: attach::target_name(&options).to_owned(),
        ..TargetInfo::default()
    };
    let baseline = Baseline::named(&args.outputs, &target)?;
    let began = Instant::now();
    let mut live = LiveRun::new(RunCommand::Attach, &args.outputs, baseline, &stop, began);
    let (took, interrupted, all_put_back) = match attach::run(&options, stop.flag(), &mut live)? {
        Attached::Rounds {
            took,
            interrupted,
            all_put_back,
        } => (took, interrupted, all_put_back),
        Attached::Lines(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            return Ok(crate::KEPT);
        }
    };
    let reason = match interrupted {
        true => EndReason::Interrupted,
        false => EndReason::Complete,
    };
    let code = live.finish(reason, "", took)?;
    Ok(match code {
        crate::KEPT if !all_put_back => crate::FAILED,
        code => code,
    })
}

/// A duration that may be zero.
fn limit(text: &str) -> Result<Duration, String> {
    plugpull_faults::trigger::parse_duration(text)
        .ok_or_else(|| "it wants a duration, for example 30s, 500ms or 0s".into())
}

fn prefix(text: &str) -> Result<String, String> {
    let sound = text.len() >= 3 && text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic());
    match sound {
        true => Ok(text.to_owned()),
        false => Err("it wants 3 to 64 printable characters without white space".into()),
    }
}
