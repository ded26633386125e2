//! A call of `plugpull attach`, from its refusals to its report.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use plugpull_reports::{Emit, Header, Record, TargetInfo};
use plugpull_targets::catalog;
use plugpull_workloads::{Durability, Guarantee, WorkloadConfig, parse_demand};

use super::endpoint::Endpoint;
use super::guard;
use super::incarnation::Incarnation;
use super::journal::Journal;
use super::local_host::LocalHost;
use super::options::{AttachOptions, Mode};
use super::session::{Session, UP_LIMIT, generators, remove_keys};
use super::shell::Shell;
use super::supervision::Supervision;
use super::{plan, space};
use crate::experiment::{TrialSink, conduct};
use crate::seed;
use crate::trial::micros;
use crate::wrong;

/// How long a command of the user's may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// How often a call is a barrier, where there are any.
const BARRIER_CHANCE: f64 = 0.03;
/// How many keys each client writes.
const KEYS: u32 = 20;
/// The target whose protocol is spoken over a port, when none is named.
const DEFAULT: &str = "reference";

/// What a call did.
pub enum Attached {
    /// It made rounds.
    Rounds {
        /// How long they took.
        took: Duration,
        /// A signal ended them.
        interrupted: bool,
        /// Everything is as it was before. What is not was said on standard error.
        all_put_back: bool,
    },
    /// It made none, and has these lines to print: what it would do, or what it put back.
    Lines(Vec<String>),
}

/// Runs the rounds and emits what happens.
///
/// # Errors
/// The service may not be touched, or cannot be reached: nothing was done to it.
pub fn run(
    args: &AttachOptions,
    stop: &AtomicBool,
    sink: &mut (impl Emit + TrialSink),
) -> anyhow::Result<Attached> {
    let data = args.data_dir.as_deref().map(guard::real).transpose()?;
    let supervision = supervision(args, data.as_deref())?;
    let work_dir = data.as_deref().map(|data| work_dir(args, data));
    if args.restore {
        return restore(args, &supervision, work_dir.as_deref()).map(Attached::Lines);
    }
    let seed = args.seed.unwrap_or_else(seed::fresh);
    let local_host = LocalHost {
        data_dir: data.clone().unwrap_or_default(),
        env: Vec::new(),
    };
    let endpoint = Endpoint::new(args, local_host, format!("{}{seed:x}.", args.prefix))?;
    let (modes, left_out) = modes(args, &supervision, data.as_deref())?;
    // Refused before anything is done, as far as it can be known.
    let mut info = target(args)?;
    if args.dry_run {
        let all = plan::actions(args, &modes, &endpoint, &supervision, work_dir.as_deref());
        let numbered = (1..)
            .zip(all)
            .map(|(n, action)| format!("{n:>4}. {action}"));
        return Ok(Attached::Lines(numbered.collect()));
    }
    let journal = begin(
        args,
        (data.as_deref(), work_dir.as_deref()),
        &supervision,
        &endpoint,
        &mut info,
    )?;
    for (name, why) in &left_out {
        eprintln!("plugpull: {name} is left out: {why}");
    }
    let workload = workload(args, &endpoint, &info);
    workload.validate().map_err(wrong)?;
    // There is no budget: the number of rounds is given.
    sink.emit(Record::Header(Box::new(Header {
        target: info.clone(),
        seed,
        faults: modes.iter().map(|(_, name)| name.clone()).collect(),
        recovery_bound_us: args.recovery_bound.map(micros),
        ..Header::default()
    })));
    let began = Instant::now();
    let mut session = Session {
        args,
        endpoint: &endpoint,
        supervision: &supervision,
        stop,
        promises: info.promises,
        data,
        journal,
        seed,
        again: again(args, seed),
        generators: generators(&workload, seed)?,
        modes,
        last: 0,
        quickest: Cell::default(),
        used: RefCell::default(),
    };
    let interrupted = conduct(&mut session, stop, sink);
    let troubles = session.finish();
    for trouble in &troubles {
        eprintln!("plugpull: {trouble}");
    }
    Ok(Attached::Rounds {
        took: began.elapsed(),
        interrupted,
        all_put_back: troubles.is_empty(),
    })
}

/// Who supervises the service, when nothing speaks against touching it.
fn supervision(args: &AttachOptions, data: Option<&Path>) -> anyhow::Result<Supervision> {
    let shell = Shell {
        env: data
            .iter()
            .map(|data| ("PLUGPULL_DATA_DIR".into(), data.display().to_string()))
            .collect(),
        limit: COMMAND_LIMIT,
    };
    refuse(args, &shell)?;
    let supervision = Supervision::new(args, shell)?;
    let seen = supervision.look()?;
    if supervision.local()
        && let Some(pid) = seen.pid
    {
        let whose = format!("process {pid}");
        guard::not_production(guard::environment_of(pid), &whose)?;
    }
    Ok(supervision)
}

/// Puts back what an earlier call left, sees to it that the service is the one which was meant, and
/// learns what it is. The journal, where there is a data directory.
fn begin(
    args: &AttachOptions,
    (data, work_dir): (Option<&Path>, Option<&Path>),
    supervision: &Supervision,
    endpoint: &Endpoint,
    info: &mut TargetInfo,
) -> anyhow::Result<Option<Journal>> {
    let mut journal = work_dir.map(Journal::open).transpose()?;
    if let Some(journal) = &mut journal {
        for done in journal.settle(supervision, args.start_limit)? {
            eprintln!("plugpull: an earlier call was killed: {done}");
        }
    }
    let introduced = introduce(args, (data, supervision), endpoint, info);
    if let Err(error) = introduced {
        if let Some(journal) = journal {
            journal.finish()?;
        }
        return Err(error);
    }
    // What the service is, only a driver can tell; a target's name is for its promises.
    info.version = match endpoint.introduced() {
        Some(_) => format!("{}, attached to {}", info.version, name(args)),
        None => format!("attached to {}", name(args)),
    };
    Ok(journal)
}

/// The name that the report gives the target.
pub fn target_name(args: &AttachOptions) -> &str {
    match (&args.target, &args.driver) {
        (Some(name), _) => name,
        (None, None) => DEFAULT,
        (None, Some(_)) => plugpull_driver::host::NAME,
    }
}

/// Every refusal that needs nothing but the options and a look at the machine.
fn refuse(args: &AttachOptions, shell: &Shell) -> anyhow::Result<()> {
    guard::not_production(
        std::env::vars_os().map(|(name, value)| {
            let text = |word: std::ffi::OsString| word.to_string_lossy().into_owned();
            (text(name), text(value))
        }),
        "plugpull",
    )?;
    guard::owned(args)?;
    guard::unprotected(args, shell)
}

/// What the target is called.
fn name(args: &AttachOptions) -> &str {
    args.i_own_this_target.as_deref().unwrap_or_default()
}

/// Beside the data directory, so that the next call finds it.
fn work_dir(args: &AttachOptions, data: &Path) -> PathBuf {
    args.work_dir.clone().unwrap_or_else(|| {
        let mut path = data.as_os_str().to_owned();
        path.push(".plugpull");
        PathBuf::from(path)
    })
}

fn restore(
    args: &AttachOptions,
    supervision: &Supervision,
    work_dir: Option<&Path>,
) -> anyhow::Result<Vec<String>> {
    let directory = work_dir.ok_or_else(|| wrong("--restore wants --data-dir"))?;
    let mut done = Vec::new();
    if directory.exists() {
        let mut journal = Journal::open(directory)?;
        done = journal.settle(supervision, args.start_limit)?;
        journal
            .finish()
            .with_context(|| format!("put back so far: {done:?}"))?;
    }
    if done.is_empty() {
        done.push("There is nothing to put back.".into());
    }
    Ok(done)
}

/// Modes with their names.
pub(super) type Modes = Vec<(Mode, String)>;

/// The modes with their names, and where all were asked for those that were not given what they
/// want, with what that is.
fn modes(
    args: &AttachOptions,
    supervision: &Supervision,
    data: Option<&Path>,
) -> anyhow::Result<(Modes, Vec<(String, String)>)> {
    // An action is called by its own name.
    let name = |mode: Mode| match (mode, &args.action) {
        (Mode::Action, Some(action)) => action.clone(),
        _ => mode.name().to_owned(),
    };
    if let (Some(mount), Some(data)) = (&args.fill, data) {
        space::named(mount, data)?;
    }
    if !args.modes.contains(&Mode::All) {
        let mut modes: Modes = Vec::new();
        for mode in &args.modes {
            if !modes.iter().any(|(known, _)| known == mode) {
                modes.push((*mode, name(*mode)));
            }
        }
        return Ok((modes, Vec::new()));
    }
    let mut chosen = Vec::new();
    let mut left_out = Vec::new();
    for mode in &Mode::ALL {
        let lacks = match mode {
            Mode::All => continue,
            Mode::DiskFull if args.fill.is_none() => Some("--fill with a mount point"),
            Mode::DiskFull | Mode::Corruption if data.is_none() => Some("--data-dir"),
            Mode::Corruption if args.in_place && !supervision.can_hold() => {
                Some("--unit, or --stop-cmd and --start-cmd")
            }
            Mode::Corruption if !args.in_place && args.start_cmd.is_none() => Some("--start-cmd"),
            Mode::Action if args.action.is_none() => Some("--action and --driver"),
            _ => None,
        };
        match lacks {
            Some(option) => left_out.push((name(*mode), format!("it wants {option}"))),
            None => chosen.push((*mode, name(*mode))),
        }
    }
    Ok((chosen, left_out))
}

/// What is tested, and what it is held to; a driver's own promises come later.
fn target(args: &AttachOptions) -> anyhow::Result<TargetInfo> {
    let mut info = TargetInfo {
        name: target_name(args).to_owned(),
        settings: args.settings.clone(),
        ..TargetInfo::default()
    };
    if args.target.is_some() || args.driver.is_none() {
        let target = catalog::open(&info.name, &info.settings).map_err(wrong)?;
        info.version = target.version();
        info.promises = target.promises();
    } else if !info.settings.is_empty() {
        return Err(wrong("--set is for the target that --target names"));
    }
    for word in &args.promises {
        info.promises.push(parse_demand(word).map_err(wrong)?);
    }
    Ok(info)
}

/// Reaches the service once, learns what a driver says of it, and removes what earlier calls left.
/// Nothing has been done to the service before.
fn introduce(
    args: &AttachOptions,
    (data, supervision): (Option<&Path>, &Supervision),
    endpoint: &Endpoint,
    info: &mut TargetInfo,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + args.start_limit;
    drop(
        endpoint
            .open(deadline)
            .map_err(|why| wrong(format!("the service cannot be reached: {why}")))?,
    );
    // It is let go again: it lives on until the first round.
    drop(
        Incarnation::find(supervision, endpoint, data, Instant::now() + UP_LIMIT)
            .map_err(|why| wrong(format!("nothing is done to this service: {why}")))?,
    );
    if let Some((version, promises)) = endpoint.introduced() {
        info.version = version;
        if args.target.is_none() {
            info.promises.splice(0..0, promises);
        }
    }
    if !endpoint.abilities().delete {
        return match args.leave_keys {
            true => Ok(()),
            false => Err(wrong(
                "the driver cannot delete, so plugpull could not remove its keys; --leave-keys \
                 leaves them",
            )),
        };
    }
    match remove_keys(endpoint, &args.prefix) {
        Ok(0) => Ok(()),
        Ok(keys) => {
            eprintln!("plugpull: {keys} keys that an earlier call left are removed");
            Ok(())
        }
        Err(why) => Err(wrong(format!("the service cannot be reached: {why}"))),
    }
}

fn workload(args: &AttachOptions, endpoint: &Endpoint, info: &TargetInfo) -> WorkloadConfig {
    let able = endpoint.abilities();
    let barriers = able.barrier
        && info
            .promises
            .iter()
            .any(|promise| promise.guarantee == Guarantee::Durable(Durability::AtBarrier));
    let usual = WorkloadConfig::default();
    WorkloadConfig {
        clients: args.clients,
        // Few, so that most writes meet an older value, and the service is not filled with them.
        keys_per_client: KEYS,
        value_len: 1..=args.value_size,
        abort_chance: if able.abort { usual.abort_chance } else { 0.0 },
        delete_chance: if able.delete {
            usual.delete_chance
        } else {
            0.0
        },
        barrier_chance: if barriers { BARRIER_CHANCE } else { 0.0 },
        ..usual
    }
}

/// Options that say where reports go: they repeat nothing.
const OUTPUTS: [&str; 5] = ["--json", "--junit", "--markdown", "--html", "--format"];

/// The command as it was typed, with the seed.
fn again(args: &AttachOptions, seed: u64) -> String {
    let text = retyped(std::env::args().skip(1));
    match args.seed {
        Some(_) => format!("plugpull {text}"),
        None => format!("plugpull {text} --seed {seed}"),
    }
}

/// These arguments for a shell, without what says where reports go.
fn retyped(mut typed: impl Iterator<Item = String>) -> String {
    let mut texts = Vec::new();
    while let Some(word) = typed.next() {
        if OUTPUTS.contains(&word.as_str()) {
            typed.next();
            continue;
        }
        // Only a NUL cannot be quoted, and no argument has one.
        let quoted = |word: &str| shlex::try_quote(word).map_or(word.to_owned(), Into::into);
        match word.split_once('=') {
            Some((name, _)) if OUTPUTS.contains(&name) => {}
            Some((name, value)) if name.starts_with("--") && !value.is_empty() => {
                texts.push(format!("{}={}", quoted(name), quoted(value)));
            }
            _ => texts.push(quoted(&word)),
        }
    }
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::retyped;

    #[test]
    fn a_command_is_repeated_without_its_reports() {
        let typed = [
            "attach",
            "--unit=a.service",
            "--json=x.json",
            "--html",
            "x.html",
            "--driver=python3 d.py",
            "--start-cmd",
            "run $PORT",
        ];
        assert_eq!(
            retyped(typed.into_iter().map(str::to_owned)),
            "attach --unit=a.service --driver='python3 d.py' --start-cmd 'run $PORT'"
        );
    }
}
