//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use plugpull_crashsim::persist::Device;
use plugpull_engine::explore::FollowUpShare;
use plugpull_engine::shard::Shard;

use crate::command::attach::AttachArgs;
use crate::options::{OutputOptions, ReportOptions, TargetOptions};
use crate::options::{duration, key_value, percent, size};

/// Pulls the plug on a storage program and says whether it kept its promises.
#[derive(Debug, Parser)]
#[command(name = "plugpull", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Take options from this file, and not from the nearest plugpull.toml in the working directory
    /// or above it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Take the options of [profile.NAME] in that file before its others
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "no_config")]
    pub(crate) profile: Option<String>,

    /// Take options from no file
    #[arg(long, global = true, conflicts_with = "config")]
    pub(crate) no_config: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Lets a command that makes a run know the whole command line, the program's name first.
    pub(crate) fn note_arguments(&mut self, all: &[OsString]) {
        let outputs = match &mut self.command {
            Command::Run(args) => &mut args.outputs,
            Command::Explore(args) => &mut args.outputs,
            Command::Syncs(args) => &mut args.explore.outputs,
            Command::Growth(args) => &mut args.outputs,
            Command::Attach(args) => &mut args.outputs,
            _ => return,
        };
        let words = all.iter().skip(1);
        outputs.arguments = words
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Inject live faults into a running target, restart it after each, and check it
    Run(RunArgs),
    /// Record one run, then try the crash states that it could have left
    Explore(ExploreArgs),
    /// Explore, and say which syncs of the target are needed: each is left out of the recording in turn
    Syncs(SyncsArgs),
    /// Measure how recovery time grows with what was written before the crash
    Growth(GrowthArgs),
    /// The crash of an artifact again: says whether the finding still stands
    Replay(ReplayArgs),
    /// Whether a finding is fixed: records today's program again and looks where the artifact's crash was
    Verify(VerifyArgs),
    /// Whether real filesystems can leave what an artifact has: its operations on ext4, XFS and btrfs
    Confirm(ConfirmArgs),
    /// Crash a service that something else supervises, outside any sandbox, and check it
    Attach(Box<AttachArgs>),
    /// What became better and worse from one report to another
    Compare(CompareArgs),
    /// The reports of many machines as one
    Merge(MergeArgs),
    /// The report of a run file, also of a run that was interrupted
    Report(ReportArgs),
    /// Go on with a run that was interrupted
    Resume(ResumeArgs),
    /// What this machine can inject, and how to get the rest
    Doctor,
    /// What can be tested, and what each one promises
    Targets(TargetsArgs),
    /// The faults, what each one does and when it usually fires
    Faults,
    /// Look at the files that a system left, with a parser of plugpull's own
    Inspect(InspectArgs),
    /// Say what a driver gets wrong of the driver protocol
    DriverCheck(DriverCheckArgs),
    /// Run any command in the sandbox, with a crash filesystem as its working directory
    Exec(ExecArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(ManArgs),
}

/// Exit codes: 0 every promise kept, 1 a promise broken, 2 wrong use, 3 not measured or plugpull
/// itself failed, 128 and its number when a signal ended the run and no promise was broken.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) target: TargetOptions,

    /// Only this fault, at this moment (a seeded one when none is named), for example
    /// `power-loss@op=sync,path=*-wal,n=17`; may be given several times
    #[arg(long = "fault", value_name = "NAME[@TRIGGER]")]
    pub(crate) faults: Vec<String>,

    /// Leave this fault out; may be given several times
    #[arg(long, value_name = "FAULT")]
    pub(crate) skip: Vec<String>,

    /// A fault that could not be measured does not fail the run: exit code 0 where something else was
    /// measured and every promise was kept
    #[arg(long)]
    pub(crate) allow_not_measured: bool,

    /// The seed of everything that plugpull decides
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How long it may take, to within a tenth; a fault whose turn does not come is not measured
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) budget: Duration,

    /// Make this many trials of each fault, whatever the budget
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: Option<u64>,

    /// Make only part K of N of the trials, for N machines with the same options and the same
    /// --seed; `plugpull merge` makes one report of theirs
    #[arg(
        long,
        value_name = "K/N",
        requires = "seed",
        conflicts_with = "trial_seed"
    )]
    pub(crate) shard: Option<Shard>,

    /// Repeat one trial by its seed, as a finding prints it; wants one --fault
    #[arg(long, value_name = "N", conflicts_with_all = ["rounds", "seed"])]
    pub(crate) trial_seed: Option<u64>,

    /// How many clients write at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) clients: u32,

    /// The largest payload of a value, in bytes, up to 1 MiB
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) value_size: u32,

    /// Choose keys by Zipf's law with this exponent, 0 to 10, and not all alike
    #[arg(long, value_name = "EXPONENT")]
    pub(crate) zipf: Option<f64>,

    /// All clients write the same keys
    #[arg(long)]
    pub(crate) shared_keys: bool,

    /// How the disk may lose what was not synced: journaled, strict, ext4, ext4-writeback, xfs or
    /// btrfs
    #[arg(long, value_name = "MODEL", default_value = "journaled")]
    pub(crate) model: String,

    #[command(flatten)]
    pub(crate) device: DeviceOptions,

    #[command(flatten)]
    pub(crate) outputs: OutputOptions,

    /// Do without FUSE, as on a machine that has none
    #[arg(long)]
    pub(crate) no_fuse: bool,
}

/// What the device does with a write when power is lost.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DeviceOptions {
    /// The device, in SQLite's words, for example `sector=4096,atomic=4096,safe-append`; also
    /// sequential, atomic=any and no-powersafe-overwrite
    #[arg(long = "device", value_name = "TEXT")]
    device: Option<Device>,

    /// The bytes that the device writes atomically: short for `--device sector=BYTES`. Less than 512, down to
    /// 16, is an assumption, which the verdict says
    #[arg(long, value_name = "BYTES", conflicts_with = "device", value_parser = sector)]
    sector: Option<Device>,
}

impl DeviceOptions {
    /// The device that was asked for.
    pub(crate) fn device(self) -> Device {
        self.device.or(self.sector).unwrap_or_default()
    }

    /// What it does that no device is known to do.
    pub(crate) fn assumed(self) -> Vec<String> {
        self.device().assumption().into_iter().collect()
    }
}

/// Exit codes as of `run`.
#[derive(Debug, Args)]
pub(crate) struct ExploreArgs {
    #[command(flatten)]
    pub(crate) target: TargetOptions,

    /// Only these models: kill, journaled, strict, ext4, ext4-writeback, xfs, btrfs
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) models: Vec<String>,

    /// How many acknowledged transactions to record [default: up to 100, so few that at least half of
    /// the crash points can be reached within the budget]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) txns: Option<u64>,

    /// The seed of everything that plugpull decides
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How long it may take, to within a tenth, with recording the run, which takes a third at most
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) budget: Duration,

    /// Try at most this many different states; with --record, 0 records and tries none
    #[arg(long, value_name = "N")]
    pub(crate) states: Option<u64>,

    /// Exit with 3 unless at least this much of the crash points was judged, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) min_coverage: Option<f64>,

    /// How many recoveries deep crashes go: 0 crashes the recorded run alone, 1 also the recoveries
    /// from those crashes
    #[arg(long, value_name = "N", default_value_t = Self::RECOVERY_DEPTH, value_parser = clap::value_parser!(u32).range(0..=3))]
    pub(crate) recovery_depth: u32,

    /// Record into this file, as it happens; `--trace` takes it
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Record which line of the program made each operation: its calls are stopped by ptrace(2) for that
    #[arg(long, conflicts_with = "trace")]
    pub(crate) stacks: bool,

    /// Explore what was recorded into this file, and record nothing; it names the target and its
    /// settings
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["record", "txns", "clients", "value_size", "name", "settings", "reference"]
    )]
    pub(crate) trace: Option<PathBuf>,

    /// Try only part K of N of the states, for N machines with copies of the same --trace and the
    /// same options; `plugpull merge` makes one report of theirs
    #[arg(long, value_name = "K/N", requires = "trace")]
    pub(crate) shard: Option<Shard>,

    /// How much memory plugpull may take, for example 2G or 512M: when little of it is left the
    /// exploration ends, as at the end of its budget [default: no limit]. `run` and `growth` keep what
    /// one trial wrote, and no more with each further one
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,

    /// With --record: how many MiB may wait in memory to be written [default: 64]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) record_buffer: Option<u64>,

    /// How many states are tried side by side; as many as there are CPUs when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: Option<u16>,

    /// Start the driver for each state, also one that offers to be forked
    #[arg(long)]
    pub(crate) no_fork: bool,

    /// What is done once a state's first recovery was read back, beside start and check: in turn it is stopped
    /// in order and started again, killed and started again, or written to, killed and started again. `some`
    /// does that in at most one state in four
    #[arg(long, value_name = "STATES", value_enum, default_value_t = FollowUpArg::Some)]
    pub(crate) follow_up: FollowUpArg,

    /// After the sample of states, or when half of the budget is over: decide crash points by what the target
    /// reads. Losses that agree on all that a trial read are decided with it, until every loss of whole
    /// updates is
    #[arg(long)]
    pub(crate) decide: bool,

    /// Do not look for the causes of findings, and for the syncs that make them go
    #[arg(long)]
    pub(crate) no_diagnosis: bool,

    /// Of N states that were decided so, try one all the same
    #[arg(long, value_name = "N", requires = "decide", default_value_t = plugpull_engine::explore::Limits::CHECK_ONE_IN, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) check_decided: u64,

    /// How many clients write at the same time
    #[arg(long, value_name = "N", default_value_t = Self::CLIENTS, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) clients: u32,

    /// The largest payload of a value, in bytes, up to 1 MiB
    #[arg(long, value_name = "BYTES", default_value_t = Self::VALUE_SIZE, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) value_size: u32,

    #[command(flatten)]
    pub(crate) device: DeviceOptions,

    /// The syncs of what is recorded are audited: `syncs`.
    #[arg(skip)]
    pub(crate) audit: bool,

    /// Where they are timed.
    #[arg(skip)]
    pub(crate) cost_on: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) outputs: OutputOptions,
}

/// Half of the budget is for the audit. Exit codes as of `run`: a sync that is needed is no finding.
#[derive(Debug, Args)]
pub(crate) struct SyncsArgs {
    #[command(flatten)]
    pub(crate) explore: ExploreArgs,

    /// Do the recorded operations again in a directory made in this one, on the filesystem that it is on,
    /// and time the syncs there
    #[arg(long, value_name = "DIR")]
    pub(crate) cost_on: Option<PathBuf>,
}

impl SyncsArgs {
    /// The exploration, with the audit at its end.
    pub(crate) fn into_explored(self) -> ExploreArgs {
        ExploreArgs {
            audit: true,
            cost_on: self.cost_on,
            ..self.explore
        }
    }
}

impl ExploreArgs {
    /// How many recoveries deep crashes go, when nobody says how many.
    pub(crate) const RECOVERY_DEPTH: u32 = 1;
    /// How many clients write, when nobody says how many.
    pub(crate) const CLIENTS: u32 = 2;
    /// The largest payload of a value, when nobody names one.
    pub(crate) const VALUE_SIZE: u32 = 200;
}

/// Exit codes as of `run`: 1 when recovery was over its bound at a size that was measured, 3 when too
/// few sizes could be measured.
#[derive(Debug, Args)]
pub(crate) struct GrowthArgs {
    #[command(flatten)]
    pub(crate) target: TargetOptions,

    /// How many transactions are acknowledged before each crash: four sizes or more, the largest ten
    /// times the smallest or more [default: 1, 2, 4, 8 and 16 times up to 500, as fast as the target
    /// is]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    pub(crate) sizes: Vec<u64>,

    /// Measure each size so often, unless the budget ends it
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(3..=1000))]
    pub(crate) repeats: u64,

    /// No further round of all sizes begins after this time; three are made in any case
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) budget: Duration,

    /// What recovery is from
    #[arg(long, value_name = "CRASH", value_enum, default_value_t = CrashArg::Kill)]
    pub(crate) crash: CrashArg,

    /// The seed of everything that plugpull decides
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How many clients write at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) clients: u32,

    /// The largest payload of a value, in bytes, up to 1 MiB
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(crate) value_size: u32,

    #[command(flatten)]
    pub(crate) outputs: OutputOptions,
}

/// In which states something is done once the first recovery was read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FollowUpArg {
    /// In none.
    None,
    /// In at most one of four.
    Some,
    /// In each.
    All,
}

impl FollowUpArg {
    /// How many states that is.
    pub(crate) fn share(self) -> FollowUpShare {
        match self {
            Self::None => FollowUpShare::None,
            Self::Some => FollowUpShare::Some,
            Self::All => FollowUpShare::All,
        }
    }

    /// As it is written on a command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Some => "some",
            Self::All => "all",
        }
    }
}

/// What the recoveries that are timed are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CrashArg {
    /// SIGKILL of the whole process tree.
    Kill,
    /// Power loss; nothing that was not synced survives.
    PowerLoss,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The artifact
    pub(crate) artifact: PathBuf,

    /// Write the crashed data directory here, as plain files, and try nothing
    #[arg(long, value_name = "DIR")]
    pub(crate) export: Option<PathBuf>,

    /// Print the operations around the crash, and try nothing
    #[arg(long)]
    pub(crate) timeline: bool,

    /// Open a shell in the crashed data directory, in the sandbox, and try nothing
    #[arg(long)]
    pub(crate) shell: bool,
}

/// Exit codes: 0 fixed, 1 still there, 2 wrong use, 3 the places of the cause were not reached.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The artifact of an exploration
    pub(crate) artifact: PathBuf,

    /// Another setting than the artifact has; `plugpull targets NAME` lists them
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) settings: Vec<(String, String)>,

    /// How long it may take, about, with recording the run, which takes a half at most
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) budget: Duration,
}

/// Needs root. Exit codes: 1 the finding was seen on a real filesystem, 0 it was not seen on any, and all
/// that it lost was lost on each; 2 wrong use, 3 not reached on one, or not measured.
#[derive(Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// The artifact of an exploration
    pub(crate) artifact: PathBuf,

    /// Only this filesystem: ext4, xfs, btrfs or ext4-writeback; may be given several times
    #[arg(long = "filesystem", value_name = "NAME")]
    pub(crate) filesystems: Vec<String>,

    /// How long it may take, about
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = duration)]
    pub(crate) budget: Duration,

    /// The most block states that are mounted of each filesystem
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) states: u32,

    /// The seed of what is written back and committed between the operations, and of the block states
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// How many plays and mounts go on at a time [default: as many as there are processors, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: Option<u16>,

    /// The trace that was explored, for an artifact without operations
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Judge the states of this log of block writes (dm-log-writes) instead of playing the operations
    #[arg(long, value_name = "FILE", conflicts_with = "filesystems")]
    pub(crate) block_log: Option<PathBuf>,

    /// Write the log of block writes of each filesystem on which the finding was seen into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,

    /// Write what was seen here, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Exit codes: 0 nothing became worse, 1 a new finding or a slower recovery, 2 wrong use.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The earlier report (JSON or run file)
    pub(crate) before: PathBuf,

    /// The later report (JSON or run file)
    pub(crate) now: PathBuf,
}

/// Exit codes as of `run`: a run that did not come to its end is no pass.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The run file
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) report: ReportOptions,
}

/// The run goes on with the options that it had, and what it has done is not done again. Exit codes
/// as of `run`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run file
    pub(crate) file: PathBuf,
}

/// Exit codes as of `run`.
#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The reports (JSON or run files), in any order; all about the same target
    #[arg(required = true, value_name = "REPORT")]
    pub(crate) reports: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) report: ReportOptions,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// A directory for the pages of all commands
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TargetsArgs {
    /// One target, in detail
    pub(crate) name: Option<String>,
    /// Set a setting, to see what is promised then
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) settings: Vec<(String, String)>,
    /// Print the catalogue's entry: what the target promises with any settings, in the form of a
    /// target file
    #[arg(long, requires = "name")]
    pub(crate) toml: bool,
}

/// Exit codes: 0 sound, 1 damage found, 2 wrong use (no such file, say).
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The system: ailee (l2_snapshots.dat), interstice (a log, or a node's directory), vfab (a
    /// workspace, or a job's directory)
    pub(crate) system: String,

    /// The file or directory; nothing in it is changed
    pub(crate) path: PathBuf,

    /// This must be in it: for ailee the state root of an acknowledged anchor, for vfab the id of
    /// a job; may be given several times
    #[arg(long, value_name = "WORD")]
    pub(crate) expect: Vec<String>,

    /// The files are as a crash left them: what recovery is promised to mend is no damage
    #[arg(long)]
    pub(crate) after_crash: bool,

    /// For interstice's transaction log: write what comes before the first damage to a new file
    #[arg(long, value_name = "OUT")]
    pub(crate) truncate: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Exit codes: 0 every rule kept, 1 a rule broken, 2 wrong use, 3 plugpull itself failed.
#[derive(Debug, Args)]
pub(crate) struct DriverCheckArgs {
    /// A program that the driver drives, started before it in the same sandbox
    #[arg(long, value_name = "CMD")]
    pub(crate) daemon: Option<String>,

    /// How long an answer is waited for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,

    /// The driver and its arguments; found on PATH
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The command and its arguments; found on PATH
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,

    /// What lies under the working directory: crashfs or tmpfs
    #[arg(long, value_name = "STORAGE", default_value = "crashfs")]
    pub(crate) storage: String,

    /// Print the log of storage operations at the end
    #[arg(long)]
    pub(crate) log: bool,

    /// Keep at most this many MiB of written data in the log
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) log_limit: u64,
}

/// What is wrong with the command line, in one line; none where help is what is wanted.
pub(crate) fn one_line(error: &clap::Error) -> Option<String> {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return None;
    }
    let text = error.render().to_string();
    // Usage and a pointer to --help follow; between them and the error there may be hints.
    let said = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty());
    let mut joined = String::new();
    for line in said {
        match joined.chars().last() {
            None => {}
            Some(':') => joined.push(' '),
            Some(_) => joined.push_str("; "),
        }
        joined.push_str(line.trim_start_matches("error: "));
    }
    Some(joined)
}

/// The option that an error is about, as the error calls it.
pub(crate) fn about(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(about) => Some(about.clone()),
        ContextValue::Strings(all) => all.first().cloned(),
        _ => None,
    }
}

fn sector(text: &str) -> Result<Device, String> {
    let device = text.parse().ok().and_then(Device::with_sector);
    device.ok_or_else(|| "it wants a power of two from 16 to 4096".into())
}
