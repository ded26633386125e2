//! What is known of the Bitcoin chain: blocks, anchors in them, and reorgs, in redb. Keys and values
//! are the texts that the node keeps in RocksDB.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use plugpull_driver_ailee::Mutant;
use plugpull_driver_ailee::sha256;

const TABLE: TableDefinition<'_, &str, &str> = TableDefinition::new("default");
/// A reorg comes with every so many blocks, and replaces so many.
const REORG_EVERY: u64 = 4;
const REORG_DEPTH: u64 = 2;
/// How many reorgs of the network have been heard of.
pub(super) const HEARD: &str = "network_reorgs";
/// The number of the next reorg.
const COUNTER: &str = "reorg_counter";

/// The statuses of an anchor.
const PENDING: &str = "0";
pub(super) const INVALIDATED: &str = "2";

/// The database.
pub(super) struct Chain {
    database: Database,
    mutant: Option<Mutant>,
}

/// An error of the database; a full disk is known again.
fn io_error(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(e) => e,
        other => io::Error::other(format!("reorg_db: {other}")),
    }
}

type Rows<'a> = Table<'a, &'static str, &'static str>;

fn put(rows: &mut Rows<'_>, key: &str, value: &str) -> io::Result<()> {
    rows.insert(key, value).map(drop).map_err(io_error)
}

fn block(height: u64, fork: u64) -> String {
    sha256(format!("block {height} of fork {fork}").as_bytes())
}

/// An anchor's fields.
pub(super) fn fields(value: &str) -> Vec<&str> {
    value.split('|').collect()
}

/// How many reorgs of the network have been heard of.
pub(super) fn heard(rows: &[(String, String)]) -> io::Result<usize> {
    match rows.iter().find(|(key, _)| key == HEARD) {
        None => Ok(0),
        Some((_, count)) => count
            .parse()
            .map_err(|_| io::Error::other(format!("reorg_db: {HEARD} is {count:?}"))),
    }
}

impl Chain {
    /// Opens the database in `directory`, or makes it.
    pub(super) fn open(directory: &Path, mutant: Option<Mutant>) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join("reorg.redb");
        if !path.exists() {
            // Beside its place: redb does not open a database that was made half.
            let beside = directory.join("reorg.new");
            match fs::remove_file(&beside) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let made = Database::create(&beside).map_err(io_error)?;
            let begun = made.begin_write().map_err(io_error)?;
            put(
                &mut begun.open_table(TABLE).map_err(io_error)?,
                COUNTER,
                "1",
            )?;
            begun.commit().map_err(io_error)?;
            drop(made);
            fs::rename(&beside, &path)?;
        }
        File::open(directory)?.sync_all()?;
        if let Some(parent) = directory.parent() {
            File::open(parent)?.sync_all()?;
        }
        let mut database = Database::open(&path).map_err(io_error)?;
        database.check_integrity().map_err(io_error)?;
        // MUTANT counter-restarts.
        if mutant == Some(Mutant::CounterRestarts) {
            let begun = database.begin_write().map_err(io_error)?;
            put(
                &mut begun.open_table(TABLE).map_err(io_error)?,
                COUNTER,
                "1",
            )?;
            begun.commit().map_err(io_error)?;
        }
        Ok(Self { database, mutant })
    }

    /// Every key and value, sorted by key.
    pub(super) fn rows(&self) -> io::Result<Vec<(String, String)>> {
        let reading = self.database.begin_read().map_err(io_error)?;
        let table = reading.open_table(TABLE).map_err(io_error)?;
        let rows = table.iter().map_err(io_error)?;
        rows.map(|row| {
            let (key, value) = row.map_err(io_error)?;
            Ok((key.value().to_owned(), value.value().to_owned()))
        })
        .collect()
    }

    /// The hashes of all anchors that are tracked.
    pub(super) fn anchors(&self) -> io::Result<Vec<String>> {
        let rows = self.rows()?;
        let hash = |(key, _): &(String, String)| Some(key.strip_prefix("anchor:")?.to_owned());
        Ok(rows.iter().filter_map(hash).collect())
    }

    /// Tracks an anchor, in a new block; and what follows, where that block is on another fork.
    pub(super) fn track(&mut self, hash: &str, root: &str) -> io::Result<()> {
        let rows = self.rows()?;
        let blocks = rows.iter().filter(|(key, _)| key.starts_with("block:"));
        let height = blocks.count() as u64 + 1;
        let fork = rows.iter().filter(|(key, _)| key.starts_with("reorg:"));
        let fork = fork.count() as u64;
        let writing = self.database.begin_write().map_err(io_error)?;
        {
            let mut table = writing.open_table(TABLE).map_err(io_error)?;
            put(
                &mut table,
                &format!("block:{height:020}"),
                &block(height, fork),
            )?;
            let txid = sha256(hash.as_bytes());
            let value = format!("{hash}|{txid}|{height}|0|0|0|{PENDING}|{root}");
            put(&mut table, &format!("anchor:{hash}"), &value)?;
        }
        writing.commit().map_err(io_error)?;
        if height.is_multiple_of(REORG_EVERY) {
            self.reorg(height - REORG_DEPTH + 1, height, fork, None)?;
        }
        Ok(())
    }

    /// Takes in the reorgs of the network that have not been heard of: the depth of each, oldest
    /// first.
    pub(super) fn follow(&mut self, network: &[u64]) -> io::Result<()> {
        let rows = self.rows()?;
        let heard = heard(&rows)?;
        if heard > network.len() {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!(
                    "corruption: reorg_db has heard of {heard} reorgs of the network, and there were {}",
                    network.len()
                ),
            ));
        }
        for (index, depth) in network.iter().enumerate().skip(heard) {
            let rows = self.rows()?;
            let count = |prefix| {
                rows.iter()
                    .filter(|(key, _)| key.starts_with(prefix))
                    .count()
            };
            let height = count("block:") as u64;
            if height == 0 {
                self.heard(index + 1)?;
                continue;
            }
            let from = height.saturating_sub(*depth) + 1;
            self.reorg(from, height, count("reorg:") as u64, Some(index + 1))?;
        }
        Ok(())
    }

    /// Notes that so many reorgs of the network are known: none of them was about a tracked block.
    fn heard(&mut self, count: usize) -> io::Result<()> {
        let writing = self.database.begin_write().map_err(io_error)?;
        put(
            &mut writing.open_table(TABLE).map_err(io_error)?,
            HEARD,
            &count.to_string(),
        )?;
        writing.commit().map_err(io_error)
    }

    /// The blocks from `from` on are on another fork now. `heard` counts the reorgs of the network,
    /// where it is one of them.
    fn reorg(&mut self, from: u64, to: u64, fork: u64, heard: Option<usize>) -> io::Result<()> {
        let rows = self.rows()?;
        let invalid: Vec<(&str, Vec<&str>)> = rows
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("anchor:")?, fields(value))))
            .filter(|(_, fields)| {
                let height = fields.get(2).and_then(|height| height.parse().ok());
                height.is_some_and(|height: u64| height >= from)
            })
            .collect();
        let counter = rows.iter().find(|(key, _)| key == COUNTER);
        let id: u64 = counter
            .and_then(|(_, id)| id.parse().ok())
            .ok_or_else(|| io::Error::other("reorg_db: there is no reorg_counter"))?;
        let mut event = format!(
            "{from}|{}|{}|0|{}",
            block(from, fork),
            block(from, fork + 1),
            invalid.len()
        );
        let mut changes = Vec::new();
        for (hash, mut fields) in invalid {
            event += &format!("|{hash}");
            if let Some(status) = fields.get_mut(6) {
                *status = INVALIDATED;
            }
            changes.push((format!("anchor:{hash}"), fields.join("|")));
        }
        let blocks = (from..=to).map(|at| (format!("block:{at:020}"), block(at, fork + 1)));
        changes.extend(blocks);
        changes.push((COUNTER.to_owned(), (id + 1).to_string()));
        changes.extend(heard.map(|count| (HEARD.to_owned(), count.to_string())));
        changes.insert(0, (format!("reorg:{id:020}"), event));
        // MUTANT reorg-in-parts.
        let parts: Vec<&[(String, String)]> = match self.mutant {
            Some(Mutant::ReorgInParts) => changes.chunks(1).collect(),
            _ => vec![&changes],
        };
        for part in parts {
            let writing: WriteTransaction = self.database.begin_write().map_err(io_error)?;
            {
                let mut table = writing.open_table(TABLE).map_err(io_error)?;
                for (key, value) in part {
                    put(&mut table, key, value)?;
                }
            }
            writing.commit().map_err(io_error)?;
        }
        Ok(())
    }
}
