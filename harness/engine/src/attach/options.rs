//! What a call of `plugpull attach` was asked to do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use plugpull_workloads::FailureClass;

/// What is done to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// SIGKILL, in the midst of writes.
    Crash,
    /// SIGTERM, in the midst of writes.
    Restart,
    /// The data directory's filesystem is full for a while.
    DiskFull,
    /// A bit of a stored file is flipped, in a copy of the data directory.
    Corruption,
    /// An action of the driver is done, then SIGKILL.
    Action,
    /// Each of these that was given what it requires.
    All,
}

impl Mode {
    /// Every mode, in the order in which they are tried.
    pub const ALL: [Mode; 6] = [
        Mode::Crash,
        Mode::Restart,
        Mode::DiskFull,
        Mode::Corruption,
        Mode::Action,
        Mode::All,
    ];

    /// The class of failure whose promises it puts to the test. An action is followed by a kill, and
    /// what is judged is the recovery from that.
    pub fn class(self) -> FailureClass {
        match self {
            Mode::Crash | Mode::Action | Mode::All => FailureClass::ProcessCrash,
            Mode::Restart => FailureClass::CleanStop,
            Mode::DiskFull => FailureClass::DiskFull,
            Mode::Corruption => FailureClass::Corruption,
        }
    }

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Crash => "crash",
            Mode::Restart => "restart",
            Mode::DiskFull => "disk-full",
            Mode::Corruption => "corruption",
            Mode::Action => "action",
            Mode::All => "all",
        }
    }
}

impl AttachOptions {
    /// The action with its number, for people.
    pub(super) fn action_named(&self) -> String {
        let name = self.action.clone().unwrap_or_default();
        name + &self.amount.map_or(String::new(), |n| format!(" ({n})"))
    }
}

/// The options of a call, as they are documented in `docs/attach.md`.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// What is done to the service; may be given several times.
    pub modes: Vec<Mode>,
    /// The name of the unit, of the data directory, or given by --service: nothing is done without it.
    pub i_own_this_target: Option<String>,
    /// The service's data directory on this machine.
    pub data_dir: Option<PathBuf>,
    /// The systemd unit that supervises it.
    pub unit: Option<String>,
    /// The file that holds its process id.
    pub pid_file: Option<PathBuf>,
    /// Prints its process id, on whatever machine; it is only compared, never signalled.
    pub pid_cmd: Option<String>,
    /// Prints what tells one start of the service from the next; it is only compared.
    pub identity_cmd: Option<String>,
    /// What the service is called, where it is no unit and has no data directory on this machine.
    pub service: Option<String>,
    /// Looks for the file plugpull.protected where there is no --data-dir: exit code 0 when it is
    /// there, 1 when it is not.
    pub marker_cmd: Option<String>,
    /// Starts it. For --mode corruption also starts it on a copy: the copy's path is in
    /// PLUGPULL_DATA_DIR, a free port in PLUGPULL_PORT.
    pub start_cmd: Option<String>,
    /// Stops it, for --mode restart and --in-place.
    pub stop_cmd: Option<String>,
    /// Kills it at once, as SIGKILL does.
    pub kill_cmd: Option<String>,
    /// How long the supervisor has to bring it back before plugpull starts it [default: 0s with
    /// --start-cmd alone, else the start limit].
    pub supervisor_wait: Option<Duration>,
    /// How long it may take to come back before it counts as down.
    pub start_limit: Duration,
    /// Write and read over TCP, by the protocol of the reference store.
    pub connect: Option<String>,
    /// Write and read through a driver (docs/driver-protocol.md) that connects to the service.
    pub driver: Option<String>,
    /// Hold it to the promises of this target [default: the driver's own].
    pub target: Option<String>,
    /// Set a setting of the target, where its promises hang on it.
    pub settings: BTreeMap<String, String>,
    /// Hold it to more than it promises; as for `plugpull run`.
    pub promises: Vec<String>,
    /// Recovery, from the start of its process to the first correct answer, may take so long.
    pub recovery_bound: Option<Duration>,
    /// How often each mode is tried.
    pub rounds: u64,
    /// How many transactions a second are written, by all clients together.
    pub rate: u32,
    /// How many clients write at the same time.
    pub clients: u32,
    /// The largest payload of a value, in bytes.
    pub value_size: u32,
    /// The seed of everything that plugpull decides.
    pub seed: Option<u64>,
    /// What the names of all keys begin with that plugpull writes, and removes.
    pub prefix: String,
    /// Leave the keys where they are at the end.
    pub leave_keys: bool,
    /// For disk-full: the mount point of the data directory's filesystem, which may be filled.
    pub fill: Option<PathBuf>,
    /// For disk-full: take no more than so many MiB.
    pub fill_limit: u64,
    /// For corruption: damage only files whose name has `snap` in it.
    pub corrupt_snapshot: bool,
    /// For corruption: damage the data directory itself, and put it back from a copy (wants a way to
    /// stop the service and to start it).
    pub in_place: bool,
    /// Where the copy of the data directory is made, and what must be put back is written down
    /// [default: the data directory's path with `.plugpull` behind it].
    pub work_dir: Option<PathBuf>,
    /// For action: its name.
    pub action: Option<String>,
    /// For action: the number that it takes.
    pub amount: Option<u32>,
    /// Print every action and do none.
    pub dry_run: bool,
    /// Put back what an earlier call that was killed left, and end.
    pub restore: bool,
}
