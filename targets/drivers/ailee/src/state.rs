//! What a snapshot file holds. All text is bytes as they lie in the file, unquoted.

/// Bytes of text, which need not be UTF-8 in a damaged file.
pub(super) type Text = Vec<u8>;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The key.
    pub peer: Text,
    /// Its amount.
    pub amount: u64,
}

/// Money held for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escrow {
    /// The key.
    pub task: Text,
    /// Who pays.
    pub client: Text,
    /// How much.
    pub amount: u64,
    /// Whether it is locked.
    pub locked: bool,
    /// Milliseconds since 1970.
    pub created_at: u64,
}

/// A transfer from Bitcoin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PegIn {
    /// The key.
    pub peg: Text,
    /// The Bitcoin transaction.
    pub txid: Text,
    /// Its output.
    pub vout: u32,
    /// Satoshis.
    pub amount: u64,
    /// From which Bitcoin address.
    pub source: Text,
    /// To which account.
    pub dest: Text,
    /// A number of the node's own.
    pub status: i32,
    /// Confirmations.
    pub confirmations: u64,
    /// Milliseconds since 1970.
    pub initiated: u64,
    /// Milliseconds since 1970.
    pub completed: u64,
}

/// A transfer to Bitcoin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PegOut {
    /// The key.
    pub peg: Text,
    /// From which account.
    pub source: Text,
    /// To which Bitcoin address.
    pub dest: Text,
    /// Burnt on this side.
    pub burn: u64,
    /// Released on the other.
    pub release: u64,
    /// A number of the node's own.
    pub status: i32,
    /// The hash of the anchor that covers it.
    pub anchor_hash: Text,
    /// Milliseconds since 1970.
    pub initiated: u64,
    /// Milliseconds since 1970.
    pub completed: u64,
}

/// A queued task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The key.
    pub task: Text,
    /// A number of the node's own.
    pub kind: i32,
    /// A number of the node's own.
    pub priority: i32,
    /// Who wants it.
    pub submitter: Text,
    /// Milliseconds since 1970.
    pub submitted_at: u64,
    /// SHA-256 of what is to be done, in hexadecimal; empty where there is nothing.
    pub payload_hash: Text,
    /// The hash of the anchor that covers it.
    pub anchor_hash: Text,
}

/// The state that a snapshot holds, each list in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Accounts.
    pub balances: Vec<Balance>,
    /// Money held for tasks.
    pub escrows: Vec<Escrow>,
    /// Transfers from Bitcoin.
    pub pegins: Vec<PegIn>,
    /// Transfers to Bitcoin.
    pub pegouts: Vec<PegOut>,
    /// Queued tasks.
    pub tasks: Vec<Task>,
}

/// A commitment to a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The state root that it commits to, in hexadecimal.
    pub root: Text,
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Whatever the node put there.
    pub metadata: Text,
    /// `<root>:<timestamp>:<metadata>`.
    pub payload: Text,
    /// SHA-256 of the payload, in hexadecimal.
    pub hash: Text,
}

/// How a snapshot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its `END_SNAPSHOT` line.
    Complete,
    /// The file ends within it, as a crash leaves it.
    CutShort,
    /// The next snapshot begins within it: it was cut short, and the node went on.
    Superseded,
}

/// Where a snapshot stops fitting the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The byte, from the beginning of the file.
    pub offset: usize,
    /// What the grammar wants there.
    pub wanted: String,
}

/// A list whose count line and rows differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miscount {
    /// Where the count line is.
    pub offset: usize,
    /// Which list.
    pub list: &'static str,
    /// What the count line says.
    pub said: u64,
    /// How many rows there are.
    pub rows: u64,
}

/// One snapshot, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its first byte.
    pub offset: usize,
    /// The byte behind its last.
    pub end: usize,
    /// How it ends.
    pub ending: Ending,
    /// When it was taken, in milliseconds since 1970; none where it was not read so far.
    pub timestamp_ms: Option<u64>,
    /// What it holds.
    pub state: State,
    /// The anchor; none where there is none or it was not read so far.
    pub anchor: Option<Anchor>,
    /// Where the anchor's line is.
    pub anchor_offset: Option<usize>,
    /// Lists whose count is wrong.
    pub miscounts: Vec<Miscount>,
    /// The first line end within a quoted value, which the node's own loader cannot read.
    pub broken_value: Option<usize>,
    /// Where it stops fitting the grammar. What follows was not read.
    pub misfit: Option<Misfit>,
    /// A snapshot's first line that is no line of its own, behind the misfit: the loader misses it.
    pub glued: Option<usize>,
}

impl Snapshot {
    /// True when all of it was read: state and anchor are what the node wrote.
    pub fn whole(&self) -> bool {
        self.ending == Ending::Complete && self.misfit.is_none()
    }
}

/// A file: its snapshots in order, and bytes that belong to none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Stretches of bytes that belong to no snapshot: first byte, and the byte behind the last.
    pub strays: Vec<(usize, usize)>,
}
