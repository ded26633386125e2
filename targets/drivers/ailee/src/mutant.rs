//! The mutants of the fake: what nodes get wrong.

// tidy: small because it is a list.

plugpull_driver::mutants! {
    AckBeforeAnchor "ack-before-anchor"
        "an anchor is answered first, and its snapshot written with the next one";
    SnapshotNotSynced "snapshot-not-synced"
        "a snapshot is not synced before its anchor is tracked";
    TornTailKept "torn-tail-kept"
        "an unfinished snapshot stays, and the next one is glued to it";
    SnapshotBeforeLoaded "snapshot-before-loaded"
        "recovery loads the snapshot before the last";
    FileRewritten "file-rewritten"
        "the file is emptied and written again with each snapshot";
    AnchorNotTracked "anchor-not-tracked"
        "recovery does not look whether the last snapshot's anchor is tracked";
    ReorgInParts "reorg-in-parts"
        "a reorg is several transactions of the database";
    ReorgMissed "reorg-missed"
        "a reorg that happened while the node was down is never noticed";
    CounterRestarts "counter-restarts"
        "after a restart the ids of reorgs begin at 1 again";
    DamageAccepted "damage-accepted"
        "neither state root nor anchor is looked at";
    FullDiskAcked "full-disk-acked"
        "an anchor that finds no space is answered as if it had";
}
