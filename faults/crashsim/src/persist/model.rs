//! The rules that a filesystem gives to updates.

use super::update::{SyncPoint, Update};

/// The rules of one kind of filesystem.
pub trait Model: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;
    /// What it says, in one line.
    fn about(&self) -> &'static str;
    /// True when a completed sync makes this earlier update durable. Asked about the updates whose
    /// home is the synced inode, and where metadata is ordered about all metadata.
    fn covers(&self, sync: &SyncPoint, update: &Update<'_>) -> bool;
    /// The order in which metadata reaches the disk.
    fn metadata_order(&self) -> MetadataOrder;
    /// How a length that grows with a write reaches the disk.
    fn growth(&self) -> Growth;
    /// How bytes that replace others reach the disk.
    fn overwrite(&self) -> Overwrite {
        Overwrite::InPlace
    }
    /// What a rename over an existing file brings to the disk before it.
    fn replace(&self) -> Replace {
        Replace::Nothing
    }
    /// True when a truncate waits for the data that has been appended below the new length.
    fn truncate_waits(&self) -> bool {
        false
    }
}

/// The order in which metadata reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataOrder {
    /// None but what cannot be otherwise (see [`STRICT`](super::STRICT)).
    None,
    /// That in which it changed: what is lost of it is a suffix.
    Journal,
    /// The same, but for what the sync of an inode has logged of it, which is there whatever of
    /// the rest is lost.
    JournalAndLogs,
}

impl MetadataOrder {
    /// True when what is lost is a suffix.
    pub fn is_ordered(self) -> bool {
        self != MetadataOrder::None
    }

    /// True when a change can be durable before an earlier one is.
    pub fn has_gaps(self) -> bool {
        self != MetadataOrder::Journal
    }
}

/// How a length that grows with a write reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// As other metadata, when the write happens.
    AtOnce,
    /// When blocks are given to the data (delayed allocation); at once where the file's last
    /// block has room. With `ordered`, new blocks are on disk before the length is.
    AtAllocation {
        /// True when data in new blocks is written first.
        ordered: bool,
    },
    /// When the data is on disk.
    AfterData,
    /// When any data of the file is on disk that had not been.
    AfterAnyData,
}

impl Growth {
    /// True when data gets its blocks only when it is written back.
    pub fn is_delayed(self) -> bool {
        self != Growth::AtOnce
    }
}

/// How bytes that replace others reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Over the old ones: sector by sector.
    InPlace,
    /// In new blocks, which replace the old ones when they are written: page by page, and as part
    /// of the journal.
    InNewBlocks,
}

/// What a rename over an existing file brings to the disk before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Nothing.
    Nothing,
    /// The length of the file that is renamed.
    Length,
    /// Its length, and its data in new blocks.
    Data,
}
