//! The node's state, its anchors, and recovery.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use plugpull_workloads::{Txn, Write};

use super::chain::Chain;
use super::snapshots::{load, snapshot};
use plugpull_driver::sdk::StoreError;
use plugpull_driver_ailee::Mutant;
use plugpull_driver_ailee::SNAPSHOTS;

/// The node.
pub(super) struct AileeEngine {
    pub(super) path: PathBuf,
    file: File,
    /// In bytes: where the whole snapshots end.
    length: u64,
    /// Something that is no snapshot may lie behind them.
    dirty: bool,
    mutant: Option<Mutant>,
    pub(super) chain: Chain,
    /// The time of the next snapshot: they are counted, so that the same run writes the same.
    time: u64,
    /// An anchor whose snapshot is written and which is not tracked yet.
    untracked: Option<(String, String)>,
    /// Only with ack-before-anchor: a snapshot that waits for the next one.
    waiting: Option<BTreeMap<String, String>>,
    pub(super) state: BTreeMap<String, String>,
    /// Whether the state is what was loaded: nothing was applied since.
    pub(super) as_loaded: bool,
}

fn damage(path: &Path, why: &str) -> io::Error {
    let text = format!("corruption: {}: {why}", path.display());
    io::Error::new(ErrorKind::InvalidData, text)
}

impl AileeEngine {
    /// Opens the node's files in `directory`, or makes them. An error says what is damaged.
    pub(super) fn open(directory: &Path, mutant: Option<Mutant>) -> io::Result<Self> {
        let has = |one| mutant == Some(one);
        let chain = Chain::open(&directory.join("reorg_db"), mutant)?;
        let path = directory.join(SNAPSHOTS);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        File::open(directory)?.sync_all()?;
        let bytes = fs::read(&path)?;
        // MUTANT damage-accepted, torn-tail-kept.
        let lenient = has(Mutant::DamageAccepted) || has(Mutant::TornTailKept);
        let loaded = load(&bytes, !lenient);
        if loaded.damaged {
            let why = format!("the snapshot at byte {} is damaged", loaded.end);
            return Err(damage(&path, &why));
        }
        let tracked = chain.anchors()?;
        let missing = tracked
            .iter()
            .find(|hash| loaded.anchors.iter().all(|(known, _)| known != *hash));
        if let (Some(hash), false) = (missing, lenient || has(Mutant::FileRewritten)) {
            let why = format!(
                "the snapshot of the anchor {hash} is damaged or gone; whole up to byte {}",
                loaded.end
            );
            return Err(damage(&path, &why));
        }
        let keep = has(Mutant::TornTailKept);
        let mut engine = Self {
            path,
            file,
            length: if keep { bytes.len() } else { loaded.end } as u64,
            dirty: loaded.end < bytes.len() && !keep,
            mutant,
            chain,
            time: loaded.anchors.len() as u64 + 1,
            untracked: loaded.anchors.last().cloned(),
            waiting: None,
            // MUTANT snapshot-before-loaded.
            state: match has(Mutant::SnapshotBeforeLoaded) {
                true => loaded.before,
                false => loaded.tasks,
            },
            as_loaded: true,
        };
        // MUTANT anchor-not-tracked.
        let known = |(hash, _): &(String, String)| tracked.contains(hash);
        if engine.untracked.as_ref().is_some_and(known) || has(Mutant::AnchorNotTracked) {
            engine.untracked = None;
        }
        // What was read need not be on the disk: its sync may have failed.
        engine.file.sync_all()?;
        // MUTANT reorg-missed.
        let heard = match has(Mutant::ReorgMissed) {
            true => Ok(()),
            false => engine
                .chain
                .follow(&plugpull_driver_ailee::reorgs(directory)?),
        };
        match heard.and_then(|()| engine.mend()) {
            // Reading needs no space; the next anchor begins with it.
            Err(e) if e.kind() == ErrorKind::StorageFull => Ok(engine),
            other => other.map(|()| engine),
        }
    }

    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Changes the state in memory.
    pub(super) fn apply(&mut self, txn: &Txn) {
        if txn.abort {
            return;
        }
        self.as_loaded = false;
        for op in &txn.ops {
            match &op.write {
                Write::Put(value) => {
                    self.state.insert(op.key.clone(), value.text().into_owned());
                }
                Write::Delete => drop(self.state.remove(&op.key)),
            }
        }
    }

    /// Cuts off what is no snapshot, and tracks the last anchor.
    fn mend(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.length)?;
            self.file.sync_all()?;
            self.dirty = false;
        }
        if let Some((hash, root)) = self.untracked.clone() {
            self.chain.track(&hash, &root)?;
            self.untracked = None;
        }
        Ok(())
    }

    /// Anchors the state: it is on the disk when this returns.
    pub(super) fn anchor(&mut self) -> Result<(), StoreError> {
        let full = |e: &io::Error| e.kind() == ErrorKind::StorageFull;
        let mut state = self.state.clone();
        // MUTANT ack-before-anchor.
        if self.has(Mutant::AckBeforeAnchor) {
            match self.waiting.replace(state) {
                Some(before) => state = before,
                None => return Ok(()),
            }
        }
        match self.mend().and_then(|()| self.write(&state)) {
            // MUTANT full-disk-acked.
            Err(e) if full(&e) && self.has(Mutant::FullDiskAcked) => Ok(()),
            Err(e) => Err(StoreError::Info(format!("the state is not anchored: {e}"))),
            Ok(()) => Ok(()),
        }
    }

    fn write(&mut self, state: &BTreeMap<String, String>) -> io::Result<()> {
        let (text, hash, root) = snapshot(state, self.time);
        // MUTANT file-rewritten.
        if self.has(Mutant::FileRewritten) {
            self.file.set_len(0)?;
            self.length = 0;
        }
        self.dirty = true;
        let wrote = self.file.write_all_at(text.as_bytes(), self.length);
        // MUTANT snapshot-not-synced.
        let synced = wrote.and_then(|()| match self.has(Mutant::SnapshotNotSynced) {
            true => Ok(()),
            false => self.file.sync_all(),
        });
        if let Err(e) = synced {
            #[expect(
                clippy::let_underscore_must_use,
                reason = "if this fails too, the next anchor begins with it"
            )]
            let _ = self.mend();
            return Err(e);
        }
        self.dirty = false;
        self.length += text.len() as u64;
        self.time += 1;
        self.untracked = Some((hash, root));
        self.mend()
    }
}
