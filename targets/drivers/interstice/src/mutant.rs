//! The mutants of the fake: what logs get wrong.

// tidy: small because it is a list.

plugpull_driver::mutants! {
    AckBeforeSync "ack-before-sync"
        "a transaction is answered first, and synced with the next one";
    CommitInParts "commit-in-parts"
        "each record is appended and synced by itself, and counts by itself";
    TornTailKept "torn-tail-kept"
        "a torn tail stays in the log, and the next record is glued to it";
    RotationNotSynced "rotation-not-synced"
        "the directory is not synced when the log is rotated";
    RotationOverwrites "rotation-overwrites"
        "where all numbers are taken, the log is rotated over the last one";
    LogsByName "logs-by-name"
        "rotated logs are replayed in the order of their names: .10 before .2";
    ClockRestarts "clock-restarts"
        "after a restart logical time begins at 1 again";
    DeletesNotLogged "deletes-not-logged"
        "deletes are done in memory and not logged";
    DamageAccepted "damage-accepted"
        "checksums are not looked at, and what cannot be read is passed over";
    CutAtDamage "cut-at-damage"
        "damage in the middle is taken for a torn tail: all behind it is cut off";
    FullDiskAcked "full-disk-acked"
        "a transaction that finds no space is answered as if it had";
}
